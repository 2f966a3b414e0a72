// The stepper's live part. All steps came with it: stepping needs no kernel.
//
// The picture is one SVG of everything that is ever shown. A step changes classes and texts, and
// nothing else, so what does not change does not move.

// Pure functions; tests/stepper.test.mjs calls them in node -------------------------------------

// Total states from the deltas, so that back, forward and jump end in the same picture.
export function fold(deltas) {
  const states = [];
  let now = {};
  for (const delta of deltas) {
    now = { ...now, ...delta };
    for (const id of Object.keys(now)) if (now[id] === "") delete now[id];
    states.push(now);
  }
  return states;
}

// "hot on|rw" -> ["hot on", "rw"]; a text may hold a bar.
export function split(value) {
  const bar = (value ?? "").indexOf("|");
  return bar < 0 ? ["", ""] : [value.slice(0, bar), value.slice(bar + 1)];
}

// The step that a key leads to, or null if it is not a key of ours.
export function target(key, at, n) {
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: n - 1 }[key];
  return to === undefined ? null : clamp(to, n);
}

export function clamp(k, n) {
  return Math.max(0, Math.min(n - 1, Number.isFinite(k) ? Math.round(k) : 0));
}

// A text from the numbers of its lines: most lines are those of the step before.
export function join(numbers, lines) {
  return numbers.map((number) => lines[number]).join("\n");
}

// What an answer is worth: null if it is no answer.
export function grade(question, given) {
  const text = String(given ?? "").trim();
  if (text === "") return null;
  if (typeof question.answer === "number") {
    const number = Number(text);
    return Number.isFinite(number) ? number === question.answer : null;
  }
  return text === question.answer;
}

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

function render({ model, el }) {
  const lines = model.get("lines"), names = model.get("counted"), steps = model.get("steps"), n = steps.length, name = model.get("name");
  const states = fold(steps.map((step) => step.delta));
  const asked = new Set(), tally = { right: 0, of: 0 };
  let at = clamp(model.get("index"), n), pending = null;      // the step that waits for an answer

  const pic = picture(model.get("svg"));
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
    tell(k);
  }

  function tell(k) {                                 // the kernel, if there is one
    model.set("index", k);
    const kernel = model.widget_manager?.kernel;
    if (kernel && !kernel.isDisposed && kernel.status !== "dead") model.save_changes();
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
  model.on("change:index", () => { if (model.get("index") !== at) { pending = null; show(clamp(model.get("index"), n)); } });
  el.append(root);
  show(at);
}

export default { render };
