// The controls that write a line into the text of a scenario.

import { actors, callLine, fresh, inserted } from "./callform.js";

// JupyterLab's shortcuts stay out of what can have the focus, as in the stepper.
export const OURS = { "data-lm-suppress-shortcuts": "true" };

export function part(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function press(text, action, attributes = {}) {
  const element = part("button", { type: "button", ...OURS, ...attributes }, text);
  element.addEventListener("click", action);
  return element;
}

export function choice(label, options, attributes = {}) {
  const element = part("select", { ...OURS, ...attributes }, ...options.map(([value, text]) =>
    part("option", { value }, text)));
  return { element, field: part("label", {}, `${label} `, element) };
}

// The inputs for the arguments of a call; `values()` reads them.
function inputs(args, known) {
  const readers = {}, fields = args.map((arg) => {
    const { name, kind, value = "", choices } = arg, label = `${name} `;
    if (kind === "flags") {
      const boxes = choices.map((flag) => part("input", { type: "checkbox", value: flag, ...OURS,
        ...(value.includes(flag) ? { checked: "" } : {}) }));
      readers[name] = () => boxes.filter((box) => box.checked).map((box) => box.value);
      return part("fieldset", { class: "mm-flags" }, part("legend", {}, name),
        ...boxes.map((box) => part("label", {}, box, ` ${box.value}`)));
    }
    if (kind === "check") {
      const box = part("input", { type: "checkbox", ...OURS });
      readers[name] = () => box.checked;
      return part("label", {}, box, ` ${name}`);
    }
    const options = kind === "file" ? ["", ...known.file] : choices;
    const input = options
      ? choice("", options.map((option) => [option, option || "none"])).element
      : part("input", { type: "text", size: String(Math.max(8, String(value).length + 2)), spellcheck: "false", ...OURS });
    input.value = value;
    readers[name] = () => input.value;
    return part("label", {}, label, input);
  });
  return { fields, values: () => Object.fromEntries(Object.entries(readers).map(([name, read]) => [name, read()])) };
}

// The part that writes a line into the text.
export function builder(options, editor, ran) {
  const who = choice("Who", []), what = choice("does", []), place = part("div", { class: "mm-args" });
  const line = part("output", { "aria-label": "The line that is added" });
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
    const found = actors(editor.value), chosen = who.element.value;
    who.element.replaceChildren(...Object.entries(found).flatMap(([kind, names]) =>
      names.map((name) => part("option", { value: name, "data-kind": kind }, name))));
    const kept = [...who.element.options].some((option) => option.value === chosen);
    who.element.value = kept ? chosen : found.task[0] ?? "machine";
    calls();
  }
  function calls() {
    const names = Object.keys(options.calls[kindOf()]), chosen = what.element.value;
    what.element.replaceChildren(...names.map((name) => part("option", { value: name }, name)));
    what.element.value = names.includes(chosen) ? chosen : names[0];
    args();
  }
  function args() {
    form = inputs(call().args, actors(editor.value));
    place.replaceChildren(...form.fields);
    line.textContent = told();
  }
  function add() {
    const at = document.activeElement === editor || editor.dataset.caret ? Number(editor.dataset.caret ?? editor.value.length) : null;
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
  const box = part("fieldset", { class: "mm-build" }, part("legend", {}, "Add a call"),
    part("div", { class: "mm-row" }, who.field, what.field), place,
    part("div", { class: "mm-row" }, press("Add the line", add), line));
  return { box, cast };
}
