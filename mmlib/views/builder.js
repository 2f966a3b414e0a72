// The controls that write a line into the text of a scenario.

import { actors, callLine, fresh, inserted } from "./callform.js";
import { button, make, QUIET } from "./dom.js";

export function choice(label, options, attributes = {}) {
  const element = make("select", { "aria-label": label, ...QUIET, ...attributes }, ...options.map(([value, text]) =>
    make("option", { value }, text)));
  return { element, field: make("label", {}, `${label} `, element) };
}

// The inputs for the arguments of a call; `values()` reads them.
function inputs(args, known) {
  const readers = {}, fields = args.map((arg) => {
    const { name, kind, value = "", choices } = arg, label = `${name} `;
    if (kind === "flags") {
      const boxes = choices.map((flag) => make("input", { type: "checkbox", value: flag, ...QUIET,
        ...(value.includes(flag) ? { checked: "" } : {}) }));
      readers[name] = () => boxes.filter((box) => box.checked).map((box) => box.value);
      return make("fieldset", { class: "mm-flags" }, make("legend", {}, name),
        ...boxes.map((box) => make("label", {}, box, ` ${box.value}`)));
    }
    if (kind === "check") {
      const box = make("input", { type: "checkbox", ...QUIET });
      readers[name] = () => box.checked;
      return make("label", {}, box, ` ${name}`);
    }
    const options = kind === "file" ? ["", ...known.file] : choices;
    const input = options
      ? choice(name, options.map((option) => [option, option || "none"])).element
      : make("input", { type: "text", "aria-label": name, size: String(Math.max(8, String(value).length + 2)), spellcheck: "false", ...QUIET });
    input.value = value;
    readers[name] = () => input.value;
    return make("label", {}, label, input);
  });
  return { fields, values: () => Object.fromEntries(Object.entries(readers).map(([name, read]) => [name, read()])) };
}

// The part that writes a line into the text.
export function builder(options, editor, ran) {
  const who = choice("Who", []), what = choice("does", []), place = make("div", { class: "mm-args" });
  const line = make("output", { "aria-label": "The line that is added" });
  let form = { fields: [], values: () => ({}) };
  const kindOf = () => who.element.selectedOptions[0]?.dataset.kind ?? "machine";
  const call = () => options.calls[kindOf()][what.element.value] ?? { args: [] };
  const result = () => call().makes ? form.values().name || fresh(call().makes, editor.value) : "";

  function told() {
    const values = form.values(), name = result();
    if (call().makes && call().args.some((arg) => arg.name === "name")) values.name ||= name;
    return callLine(who.element.value, what.element.value, call().args, values, name);
  }
  function cast() {                                   // who is there may have changed
    const found = actors(editor.value), chosen = who.element.value, kind = kindOf();
    who.element.replaceChildren(...Object.entries(found).flatMap(([kind, names]) =>
      names.map((name) => make("option", { value: name, "data-kind": kind }, name))));
    who.element.value = found[kind].includes(chosen) ? chosen : found.task[0] ?? "machine";
    calls();
  }
  function calls() {
    const names = Object.keys(options.calls[kindOf()]), chosen = what.element.value;
    what.element.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    what.element.value = names.includes(chosen) ? chosen : names[0];
    args();
  }
  function args() {
    form = inputs(call().args, actors(editor.value));
    place.replaceChildren(...form.fields);
    line.textContent = told();
  }
  function add() {
    const at = editor.dataset.caret === undefined ? null : Number(editor.dataset.caret);
    const done = inserted(editor.value, at, told());
    editor.value = done.text;
    editor.setSelectionRange(done.at, done.at);
    editor.dataset.caret = done.at;
    cast();
    ran();
  }
  who.element.addEventListener("change", calls);
  what.element.addEventListener("change", args);
  place.addEventListener("input", () => { line.textContent = told(); });
  const box = make("fieldset", { class: "mm-build" }, make("legend", {}, "Add a call"),
    make("div", { class: "mm-row" }, who.field, what.field), place,
    make("div", { class: "mm-row" }, button("Add the line", "Add the line", add), line));
  return { box, cast };
}
