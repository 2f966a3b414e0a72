// The stepper's live part. All steps came with it: stepping needs no kernel.
//
// The picture is one SVG of everything that is ever shown. A step changes classes and texts, and
// nothing else, so what does not change does not move.
import { asking } from "./asking.js";
import { button, heard, make, QUIET } from "./dom.js";
import { panes, tablePane, twoPanes } from "./panes.js";
import { backward, clamp, forward, target } from "./pure.js";
import { dot, download, png, stillSvg } from "./save.js";
import { view } from "./view.js";

const SPEEDS = [["3000", "slow"], ["1500", "normal"], ["600", "fast"], ["200", "very fast"]];

// Put a stepper into *element*. *data* is `Stepper.data` of Python, or the same read from JSON; no
// widget manager and no kernel is needed. *host*, if there is one, is told of each step. Returned
// is what a host may do: `go(k)`, to a step counted from 0, and `show(k)`, which goes only if another
// step is shown.
export function mount(element, data, host = {}) {
  const { pool } = data, views = data.tracks.map((track) => view(track, pool, picked));
  const [main] = views, alone = views.length === 1;
  const longest = views.reduce((a, b) => (b.steps.length > a.steps.length ? b : a));
  const n = longest.steps.length;
  const counts = longest.counts.map((_, k) => Math.max(...views.map((one) => one.counts[k] ?? 0)));
  let at = [clamp(host.index ?? 0, n), 0], micro = false, way = null, timer = 0;

  const jump = make("input", { type: "number", min: "1", max: String(n), "aria-label": "Step", ...QUIET });
  const first = button("|<", "First step", () => leap([0, 0]), { title: "First step (Home)" });
  const back = button("<", "Back", () => press(backward(at, counts, micro)), { title: "Back (left arrow)" });
  const next = button(">", "Next", () => press(forward(at, counts, micro)), { title: "Next (right arrow)" });
  const last = button(">|", "Last step", () => leap([n - 1, 0]), { title: "Last step (End)" });
  const playing = button("Play", "Play", () => play(!timer), { class: "play" });
  const speed = make("select", { "aria-label": "Speed", ...QUIET }, ...SPEEDS.map(([ms, text]) => make("option", { value: ms }, text)));
  speed.value = "1500";
  const events = button("Events", "Events", () => byEvent(!micro), { class: "toggle", "aria-pressed": "false",
    title: "Step by event: each entry that is read, each table that is made" });
  const score = make("span", { class: "mm-tally" });
  const bar = make("div", { class: "mm-bar", role: "toolbar", "aria-label": "Steps" },
    first, back, next, last, jump, make("span", {}, `of ${n}`), playing, speed, events, score);
  const say = make("div", { class: alone ? "mm-say" : "mm-say two", role: "status", "aria-live": "polite" });
  const quiz = asking(say, score, main.pic, alone ? main.steps : longest.steps.map(() => ({})), (k, verdict) => show([k, 0], verdict));
  const table = tablePane();
  const more = alone ? panes(main, pool, light) : twoPanes(views, pool, data.differences);
  const hint = make("div", { class: "mm-heard", role: "status" });     // what happened elsewhere than at the focus
  const text = make("pre", { tabindex: "0", role: "group", "aria-label": "The picture as text", ...QUIET });
  const all = [...more.all, table.box];
  const pictures = views.flatMap((one) => alone ? [one.pic.box] : [make("h4", { class: "mm-title" }, one.track.title), one.pic.box]);
  const root = make("div", { class: "mm-stepper", role: "group", "aria-label": `${data.name}, stepper` },
    bar, say, ...pictures,
    make("div", { class: "mm-show", role: "group", "aria-label": "Panels" }, make("span", {}, "Panels:"), ...all.map((one) => one.toggle)),
    make("div", { class: `mm-panels${alone ? "" : " two"}` }, ...all.map((one) => one.box)),
    hint, make("details", { class: "mm-text" }, make("summary", QUIET, "The picture as text, and as a file"), text, saving()));

  // What a reader does stops the playing; what Play does does not.
  function press(to) {
    play(false);
    go(to);
  }

  // A jump never asks, nor does a step back.
  function leap(to) {
    play(false);
    quiz.drop();
    go(to, false);
  }

  function go(to, ask = to[0] === at[0] + 1 && at[1] === 0) {
    if (ask && quiz.stops(to[0])) return;
    if (!ask) quiz.drop();
    if (!alone || way?.look) way = null;            // of two traces no panel says whose walk it is
    show(to);
  }

  function play(on) {
    clearTimeout(timer);
    timer = 0;
    playing.textContent = on ? "Pause" : "Play";
    playing.setAttribute("aria-label", playing.textContent);
    say.setAttribute("aria-live", on ? "off" : "polite");      // or it would talk without end
    if (!on) return;
    if (atEnd()) show([0, 0]);
    else go(forward(at, counts, micro));
    if (atEnd()) hint.textContent = `The end, step ${n} of ${n}.`;
    if (atEnd() || quiz.pending !== null || !root.isConnected) play(false);
    else timer = setTimeout(() => play(true), Number(speed.value));
  }

  function atEnd() {
    return at[0] === n - 1 && at[1] === 0;
  }

  function byEvent(on) {
    micro = on;
    events.setAttribute("aria-pressed", String(on));
    if (!on && at[1]) show([at[0], 0]);
  }

  // The walk of an address of the reader's own, until it is given back: one that was clicked, by
  // the next step.
  function light(to) {
    way = to;
    if (way) more.walk?.set(true);
    quiz.drop();
    show(at);
    hint.textContent = more.walk?.told() ?? "";
  }

  function picked(one, id) {
    if (one === main && quiz.pick(id)) return main.pic.box.focus({ preventScroll: true });    // arrows step again
    table.open(one, id);
    hint.textContent = `${table.told()} The panel Table has its entries.`;
  }

  function show(to, verdict) {                       // the only writer of pictures and panels
    const was = root.contains(document.activeElement) && document.activeElement;
    at = to;
    const [k, j] = at;
    hint.textContent = "";
    for (const one of views) one.show(at, way);
    say.replaceChildren(...views.flatMap((one) => told(one, verdict)));
    more.fill(way);
    table.fill();
    text.textContent = views.map((one) => lines(one)).join("\n\n");
    jump.value = k + 1;
    for (const [one, off] of [[first, k + j === 0], [back, k + j === 0], [next, atEnd()], [last, atEnd()]]) {
      one.setAttribute("aria-disabled", String(off));          // "disabled" would lose the focus
    }
    if (was) keep(was);
    if (j === 0) host.tell?.(k);
  }

  // The focus stays where it was. If that is gone, or is a table that is not there at this step, it
  // goes to the picture: without a focus the next key would be JupyterLab's.
  function keep(was) {
    const there = root.contains(was) && getComputedStyle(was).visibility !== "hidden";
    if (there && was === document.activeElement) return;
    (there ? was : was.closest(".mm-pic") ?? main.pic.box).focus({ preventScroll: true });
  }

  function told(one, verdict) {
    const { step, at: [k, j] } = one, title = alone ? [] : [`${one.track.title}: `];
    const where = j ? [make("b", {}, `Event ${j} of ${step.events.length}: `)] : [];
    const by = j ? [" (", make("code", {}, pool[step.events[j - 1][1]]), ")"] : [];
    const late = j && j === one.counts[k] ? step.events.length - j : 0;
    return [make("p", { class: "action" }, heard(`${one.named(k, j)}. `), ...title,
      make("code", {}, step.action + (j ? "" : step.outcome))),
      !j && verdict || make("p", {}, ...where, one.said(step, j), ...by),
      ...late ? [make("p", {}, `That was the last stop in this call: the next press does the other ${late} at once.`)] : []];
  }

  function lines(one) {
    const step = one.at[1] ? one.steps[one.at[0] - 1] : one.step;
    return (alone ? "" : `${one.track.title}\n`) + step.text.map((number) => pool[number]).join("\n");
  }

  function saving() {
    const name = (one) => `${data.name}${alone ? "" : ` ${one.track.title}`} ${at[0] + 1}`.replace(/[^\w.-]+/g, "-");
    const kinds = { SVG: async (one) => new Blob([stillSvg(one.pic.svg, data.style)], { type: "image/svg+xml" }),
      PNG: (one) => png(one.pic.svg, data.style), DOT: async (one) => new Blob([dot(one.pic.svg)], { type: "text/vnd.graphviz" }) };
    return make("div", { class: "mm-save" }, "Save the picture as ", ...Object.entries(kinds).map(([kind, make_]) =>
      button(kind, `Save as ${kind}`, async () => {
        for (const one of views) download(`${name(one)}.${kind.toLowerCase()}`, await make_(one));
      })));
  }

  jump.addEventListener("change", () => leap([clamp(Number(jump.value) - 1, n), 0]));
  root.addEventListener("click", (e) => {
    const link = e.target.closest?.(".mm-addr");
    if (link) light({ mm: link.dataset.mm, addr: Number(link.dataset.addr), look: true });
  });
  root.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || (e.shiftKey && e.key === "Enter")) return;
    e.stopPropagation();                             // "b", "d d" and arrows stay here
    if (e.target.matches("input, select, pre")) return;
    if (table.key(e) || views.some((one) => one.pic.key(e))) return e.preventDefault();
    const scrolls = e.target.closest(".mm-panel") && !e.key.startsWith("Arrow");
    const to = scrolls ? null : target(e.key, at, counts, micro);
    if (to === null) return;
    e.preventDefault();
    (e.key === "Home" || e.key === "End" ? leap : press)(to);
  });
  element.append(root);
  show(at);
  return { go: (k) => leap([clamp(k, n), 0]), show: (k) => {
    quiz.drop();
    if (k !== at[0]) show([clamp(k, n), 0]);
  } };
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
