// The stepper's live part. All steps came with it: stepping needs no kernel.
//
// The picture is one SVG of everything that is ever shown. A step changes classes and texts, and
// nothing else, so what does not change does not move.

import { clamp, fold, grade, join, split, target } from "./pure.js";

// The DOM ---------------------------------------------------------------------------------------
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Without this JupyterLab takes "b" or "d d" in a button for a command on cells.
const QUIET = { "data-lm-suppress-shortcuts": "true" };

function button(text, label, press) {
  const element = make("button", { type: "button", "aria-label": label, title: label, ...QUIET }, text);
  element.addEventListener("click", press);
  return element;
}

// What is written of an element only if it differs: the page's observers stay quiet.
function picture(svg) {
  const box = make("div", { class: "mm-pic", tabindex: "0", role: "img", ...QUIET });
  box.innerHTML = svg;
  box.firstElementChild.setAttribute("aria-hidden", "true");   // the box has the name
  const parts = new Map();
  for (const element of box.querySelectorAll("[data-id]")) {
    const nested = element.querySelector(":scope > .many, :scope > text:not(.head):not(.name)");
    parts.set(element.dataset.id, { element, base: element.getAttribute("class"), text: nested,
      classes: null, words: null });
  }
  function show(state) {
    for (const [id, part] of parts) {
      const [classes, words] = split(state[id]);
      const whole = classes ? `${part.base} ${classes}` : part.base;
      if (whole !== part.classes) part.element.setAttribute("class", part.classes = whole);
      if (part.text && words !== part.words) part.text.textContent = part.words = words;
    }
  }
  // A wide picture scrolls sideways; what is new should be in sight. One that fits never moves.
  function reveal() {
    const news = box.querySelector(".n.on.hot, .cell.hot");
    if (!news || box.scrollWidth <= box.clientWidth) return;
    const one = news.getBoundingClientRect(), all = box.getBoundingClientRect();
    if (one.left < all.left || one.right > all.right) {
      box.scrollLeft += one.left - all.left - (all.width - one.width) / 2;
    }
  }
  return { box, show, reveal };
}

function panel(title) {
  const body = make("div");
  const box = make("section", { class: "mm-panel", tabindex: "0", "aria-label": title, ...QUIET },
    make("h4", {}, title), body);
  return { box, fill: (...children) => { body.replaceChildren(...children); box.scrollTop = 0; } };
}

function counterRows(names, now, before) {
  const rows = now.map((value, i) => make("tr", before && before[i] !== value ? { class: "hot" } : {},
    make("td", {}, names[i]), make("td", { class: "v" }, String(value))));
  return make("table", {}, make("tbody", {}, ...rows));
}

// Put a stepper into *element*. *data* is `Stepper.data` of Python, or the same read from JSON; no
// widget manager and no kernel is needed. *host*, if there is one, is told of each step. Returned
// is what a host may do: `go(k)` to a step counted from 0, and `show(k)` without a question.
export function mount(element, data, host = {}) {
  const { lines, counted: names, steps, name } = data, n = steps.length;
  const states = fold(steps.map((step) => step.delta));
  const asked = new Set(), tally = { right: 0, of: 0 };
  let at = clamp(host.index ?? 0, n), pending = null;      // the step that waits for an answer

  const pic = picture(data.svg);
  const jump = make("input", { type: "number", min: "1", max: String(n), "aria-label": "Step", ...QUIET });
  const first = button("|<", "First step", () => go(0));
  const back = button("<", "Back", () => go(at - 1));
  const next = button(">", "Next", () => go(at + 1));
  const last = button(">|", "Last step", () => go(n - 1));
  const score = make("span", { class: "mm-tally" });
  const bar = make("div", { class: "mm-bar", role: "toolbar", "aria-label": "Steps" },
    first, back, next, last, jump, make("span", {}, `of ${n}`), score);
  const say = make("div", { class: "mm-say", role: "status", "aria-live": "polite" });
  const events = panel("What happened"), mappings = panel("Mappings"), counters = panel("Counters");
  const text = make("pre", { tabindex: "0", ...QUIET });
  const root = make("div", { class: "mm-stepper", role: "group", "aria-label": `${name}, stepper` },
    bar, say, pic.box,
    make("div", { class: "mm-panels" }, events.box, mappings.box, counters.box),
    make("details", { class: "mm-text" }, make("summary", QUIET, "The picture as text"), text));

  // Forward by one onto a step with a question: it is asked before anything is shown. A second
  // press is the answer "skip"; a jump never asks.
  function go(k) {
    k = clamp(k, n);
    const question = steps[k].ask;
    if (question && k === at + 1 && !asked.has(k) && pending === null) return ask(k, question);
    if (pending === k) asked.add(k);
    pending = null;
    show(k);
  }

  function ask(k, question) {
    pending = k;
    const answers = question.choices.length
      ? question.choices.map((choice) => button(choice, choice, () => answer(choice)))
      : [make("input", { type: "number", "aria-label": question.text, ...QUIET }),
         button("Answer", "Answer", () => answer(answers[0].value))];
    if (!question.choices.length) {
      answers[0].addEventListener("keydown", (e) => { if (e.key === "Enter") answer(answers[0].value); });
    }
    say.replaceChildren(
      make("p", { class: "action" }, "Next: ", make("code", {}, steps[k].action)),
      make("p", {}, question.text),
      make("div", { class: "mm-ask" }, ...answers, button("Skip", "Skip the question", () => go(k))));
    answers[0].focus();
  }

  function answer(given) {
    const k = pending, question = steps[k].ask, right = grade(question, given);
    if (right === null) return;
    asked.add(k);
    pending = null;
    tally.of += 1;
    tally.right += right;
    score.textContent = `${tally.right} of ${tally.of} predicted`;
    show(k, make("p", {}, make("span", { class: right ? "mm-good" : "mm-bad" },
      right ? "Right: " : `Not ${given}: `), question.reason));
  }

  function show(k, verdict) {                        // the only writer of picture and panels
    at = k;
    const step = steps[k], leaving = say.contains(document.activeElement);
    pic.show(states[k]);
    pic.reveal();
    pic.box.setAttribute("aria-label", `Step ${k + 1} of ${n}: ${step.action}. ${step.say}`);
    say.replaceChildren(make("p", { class: "action" }, make("code", {}, step.action + step.outcome)),
      verdict ?? make("p", {}, step.say));
    if (leaving) pic.box.focus({ preventScroll: true });       // or keys would no longer come here
    events.fill(step.events.length ? make("ol", {}, ...step.events.map(([what, by]) =>
      make("li", {}, lines[what], " ", make("span", { class: "by" }, "(", make("code", {}, lines[by]), ")"))))
      : make("p", {}, "No event: neither the MMU nor the memory management had work."));
    mappings.fill(make("pre", {}, join(step.mappings, lines)));
    counters.fill(counterRows(names, step.counters, k ? steps[k - 1].counters : null));
    text.textContent = join(step.text, lines);
    jump.value = k + 1;
    for (const [one, off] of [[first, k === 0], [back, k === 0], [next, k === n - 1], [last, k === n - 1]]) {
      one.setAttribute("aria-disabled", String(off));      // "disabled" would lose the focus
    }
    host.tell?.(k);
  }

  jump.addEventListener("change", () => go(clamp(Number(jump.value) - 1, n)));
  root.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || (e.shiftKey && e.key === "Enter")) return;
    e.stopPropagation();                             // "b", "d d" and arrows stay here
    if (e.target instanceof HTMLInputElement || e.target === text) return;
    const to = target(e.key, at, n);
    if (to === null) return;
    e.preventDefault();
    go(to);
  });
  element.append(root);
  show(at);
  return { go, show: (k) => { pending = null; if (k !== at) show(clamp(k, n)); } };
}

// A widget of anywidget: the same, and the kernel knows the step, if there is one.
function render({ model, el }) {
  const stepper = mount(el, model.get("data"), { index: model.get("index"), tell });
  function tell(k) {
    model.set("index", k);
    const kernel = model.widget_manager?.kernel;
    if (kernel && !kernel.isDisposed && kernel.status !== "dead") model.save_changes();
  }
  model.on("change:index", () => stepper.show(model.get("index")));
}

export default { render };
