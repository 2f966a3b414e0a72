// Making elements.
import { addresses } from "./pure.js";

// Without this JupyterLab takes "b" or "d d" in a button for a command on cells.
export const QUIET = { "data-lm-suppress-shortcuts": "true" };

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What a button is called, where its text does not say it, is shown beside the mouse as well.
export function button(text, label, press, attributes = {}) {
  const tip = label.toLowerCase().includes(text.toLowerCase()) ? {} : { title: label };
  const element = make("button", { type: "button", "aria-label": label, ...tip, ...QUIET, ...attributes }, text);
  element.addEventListener("click", press);
  return element;
}

// Text for who hears the page, beside what only the eye can take in.
export function heard(text) {
  return make("span", { class: "mm-heard" }, text);
}

// A text in which every address below *top* can be clicked: it lights the way through the tables
// of *mm*. By keyboard the same is done in the panel "Walk".
export function linked(text, mm, top) {
  return addresses(text).map((part, i) => i % 2 && mm && Number(part) < top
    ? button(part, `Walk ${part}`, () => {}, { class: "mm-addr", tabindex: "-1", "data-addr": part, "data-mm": mm })
    : part);
}

export function tableOf(heads, rows) {
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
  return make("table", {}, ...heads.length ? [head] : [], make("tbody", {}, ...rows));
}

// The first cell says what the row is about.
export function row([first, ...cells], attributes = {}) {
  return make("tr", attributes, make("th", { scope: "row" }, ...[first].flat()),
    ...cells.map((cell) => make("td", {}, ...[cell].flat())));
}
