// The playground: a scenario as text or by controls, run by Python, told line by line, and stepped
// through. Python reads and runs; here is only what is typed and shown.

import { builder, choice } from "./builder.js";
import { button, make, QUIET } from "./dom.js";
import { download } from "./save.js";
import { mount } from "./stepper.js";

const BIG = 8 << 20;                                  // of a file that is loaded

// The text, with numbers beside it and a mark at each line that failed.
function editing(name) {
  const area = make("textarea", { "aria-label": `${name}, the scenario as text`, wrap: "off",
    spellcheck: "false", autocomplete: "off", autocapitalize: "off", rows: "16", ...QUIET });
  const gutter = make("div", { class: "mm-gutter", "aria-hidden": "true" });
  let failed = new Set();
  function number() {
    gutter.replaceChildren(...area.value.split("\n").map((_, i) => failed.has(i + 1)
      ? make("div", { class: "bad" }, `> ${i + 1}`) : make("div", {}, String(i + 1))));
    gutter.scrollTop = area.scrollTop;
  }
  function select(line) {
    const lines = area.value.split("\n"), from = lines.slice(0, line - 1).join("\n").length + (line > 1);
    area.focus();
    area.setSelectionRange(from, from + (lines[line - 1] ?? "").length);
    area.scrollTop = Math.max(0, (line - 4) * area.scrollHeight / lines.length);
  }
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
  for (const event of ["keyup", "click", "select", "input"]) {
    area.addEventListener(event, () => { area.dataset.caret = area.selectionEnd; });
  }
  return { area, box: make("div", { class: "mm-edit" }, gutter, area), number, select,
    mark: (lines) => { failed = new Set(lines); number(); } };
}

// Put a playground into *element*. *host* has what is shown, `state()`, and gets what is asked for,
// `send(message)`, which is false if nobody is there to answer; `refresh` shows a new state.
export function mountPlayground(element, host) {
  const { options, name } = host.state(), { area, ...editor } = editing(name);
  const story = choice("Story", [["", "choose one"], ...options.stories.map((s) => [s, s])]);
  const regime = choice("Regime", [["", "as the text says"], ...options.regimes.map((r) => [r, r])]);
  const beside = choice("Compare with", [["", "nothing"], ...options.regimes.map((r) => [r, r])]);
  const status = make("p", { class: "mm-status", role: "status", "aria-live": "polite" });
  const told = make("ol", { class: "mm-told", "aria-label": "What the kernel answers, by line", tabindex: "0", ...QUIET });
  const stage = make("div", { class: "mm-stage" });
  const string = make("input", { type: "text", "aria-label": "The scenario as a short string",
    size: "40", spellcheck: "false", ...QUIET });
  const file = make("input", { type: "file", accept: ".json,application/json", "aria-label": "Load a scenario file", ...QUIET });
  let shown = null, stepper = null;

  function ask(message) {
    if (!host.send(message)) status.textContent = "No Python is there to answer: run the notebook's cell (again).";
  }
  const run = () => ask({ run: area.value, regime: regime.element.value, beside: beside.element.value });
  const call = builder(options, area, run);
  story.element.addEventListener("change", () => { if (story.element.value) ask({ story: story.element.value }); });
  regime.element.addEventListener("change", run);
  beside.element.addEventListener("change", run);
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > BIG) status.textContent = `${chosen.name}: expected a file of at most ${BIG >> 20} MiB.`;
    else ask({ load: await chosen.text() });
    file.value = "";
  });
  area.addEventListener("input", () => { editor.mark([]); call.cast(); });
  const save = (kind, as) => button(`Save as ${as}`, `Save as ${as}`, () => {
    const { result } = host.state();
    if (result.text !== area.value) status.textContent = "Run it first: the text has changed since.";
    else if (result[kind]) download(`scenario.${kind === "json" ? "json" : "py"}`, new Blob([result[kind]]));
    else status.textContent = "A text that cannot be read cannot be saved as a scenario.";
  });

  const root = make("div", { class: "mm-play", role: "group", "aria-label": `${name}, playground` },
    make("div", { class: "mm-row" }, story.field, regime.field, beside.field,
      button("Run", "Run", run, { class: "mm-run", title: "Ctrl and Enter in the text" })),
    make("div", { class: "mm-two" }, editor.box, told), status, call.box,
    make("fieldset", { class: "mm-take" }, make("legend", {}, "Take it along"),
      make("div", { class: "mm-row" }, save("json", "file for replay"), save("program", "Python"),
        make("label", {}, "Load ", file)),
      make("div", { class: "mm-row" }, make("label", {}, "Short string ", string),
        button("Copy", "Copy the short string", () => { string.select(); navigator.clipboard?.writeText(string.value); }),
        button("Restore", "Restore from the short string", () => ask({ restore: string.value })))),
    stage);
  root.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); e.stopPropagation(); run(); return; }
    if (e.ctrlKey || e.metaKey || e.altKey || (e.shiftKey && e.key === "Enter")) return;
    e.stopPropagation();
  });

  function lead(line, step) {                         // to a line, and to its step in the picture
    editor.select(line);
    if (step !== null) stepper?.show(step);
  }

  // As it comes, the stepper is at its first step, as everywhere; after a run, at what came of it.
  function refresh() {
    const { text, regime: chosen, beside: other, result } = host.state();
    if (result === shown) return;
    const first = shown === null;
    shown = result;
    if (result.loaded && area.value !== text) { area.value = text; delete area.dataset.caret; }
    regime.element.value = chosen;
    beside.element.value = other;
    status.textContent = result.say;
    string.value = result.string;
    editor.mark(area.value !== text ? [] : result.told.filter(([, outcome]) => outcome !== "ok").map(([line]) => line));
    told.replaceChildren(...result.told.map(([line, outcome, what, step]) => make("li",
      { class: outcome === "ok" ? "" : "bad" }, button(`line ${line}`, `line ${line}`, () => lead(line, step)), ` ${what}`)));
    stage.style.minHeight = result.stepper ? "" : `${stage.offsetHeight}px`;      // or the page jumps
    stage.replaceChildren();
    stepper = result.stepper && mount(stage, result.stepper, { index: first ? 0 : result.last });
    call.cast();
  }
  element.append(root);
  refresh();
  return { refresh, root };
}

function live({ model, el }) {
  const playground = mountPlayground(el, {
    state: () => ({ name: model.get("name"), options: model.get("options"), text: model.get("text"),
      regime: model.get("regime"), beside: model.get("beside"), result: model.get("result") }),
    send: (message) => {
      const kernel = model.widget_manager?.kernel;
      if (!kernel || kernel.isDisposed || kernel.status === "dead") return false;
      model.send(message);
      return true;
    } });
  model.on("change:result", playground.refresh);
}

export default { render: live };
