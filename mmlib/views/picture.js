// The picture: one SVG of everything that is ever shown. A step changes classes and texts of it.
import { make, QUIET } from "./dom.js";
import { split } from "./pure.js";

const LEAST = 0.75;                     // of its size: smaller text cannot be read, so it scrolls then
const KINDS = { table: "", frame: "page ", task: "process ", file: "file " };

export function picture(svg, pick) {
  const box = make("div", { class: "mm-pic", tabindex: "0", role: "group", ...QUIET });
  box.innerHTML = svg;
  const drawing = box.firstElementChild;
  drawing.setAttribute("role", "presentation");
  drawing.style.minWidth = `${drawing.viewBox.baseVal.width * LEAST}px`;
  const parts = new Map(), nodes = [];
  for (const element of box.querySelectorAll("[data-id]")) {
    const nested = element.querySelector(":scope > .many, :scope > text:not(.head):not(.name):not(.differs)");
    const part = { id: element.dataset.id, element, base: element.getAttribute("class"), text: nested,
      classes: null, words: null, label: null };
    parts.set(part.id, part);
    if (part.base.startsWith("n ")) prepare(part);
  }
  for (const texts of box.querySelectorAll("svg > path, .n > *")) texts.setAttribute("aria-hidden", "true");

  // A box has a name; a table is a button besides.
  function prepare(part) {
    part.kind = part.base.split(" ")[1];
    part.name = KINDS[part.kind] + part.element.querySelector(".head, .name").textContent;
    part.element.setAttribute("role", part.kind === "table" ? "button" : "img");
    if (part.kind !== "table") return;
    nodes.push(part);
    part.element.setAttribute("tabindex", "-1");
    part.element.setAttribute("data-lm-suppress-shortcuts", "true");
    part.element.addEventListener("click", () => pick(part.id));
  }

  // What is written of an element only if it differs: the page's observers stay quiet. *way* are
  // the elements of a walk of the reader's own, instead of the step's.
  function show(state, way = null) {
    for (const [id, part] of parts) {
      let [classes, words] = split(state[id]);
      if (way && classes) {
        classes = classes.split(" ").filter((c) => c !== "walk" && c !== "now").join(" ");
        if (way.has(id)) classes += " walk";
      }
      const whole = classes ? `${part.base} ${classes}` : part.base;
      if (whole !== part.classes) part.element.setAttribute("class", part.classes = whole);
      if (part.text && words !== part.words) part.text.textContent = part.words = words;
      if (part.name) label(part, classes ? named(part, classes, words, state) : null);
    }
  }

  // Only what is there has a name: a name must not tell of what is to come.
  function label(part, text) {
    if (text === part.label) return;
    part.label = text;
    if (text === null) part.element.removeAttribute("aria-label");
    else part.element.setAttribute("aria-label", text);
  }

  function named(part, classes, words, state) {
    const shared = words.startsWith("x") ? `, ${part.kind === "frame" ? "mapped" : "shared"} ${words}` : "";
    const held = part.kind === "frame" ? `: ${split(state[`${part.id}.0`])[1]}` : "";
    return part.name + shared + held + (/\bdiff\b/.test(classes) ? ", differs" : "");
  }

  // A wide picture scrolls sideways; what is new should be in sight. One that fits never moves.
  function reveal() {
    const news = box.querySelector(".n.on.now, .cell.now, .n.on.hot, .cell.hot");
    if (!news || box.scrollWidth <= box.clientWidth) return;
    const one = news.getBoundingClientRect(), all = box.getBoundingClientRect();
    if (one.left < all.left || one.right > all.right) {
      box.scrollLeft += one.left - all.left - (all.width - one.width) / 2;
    }
  }

  // Keys within the picture: Enter goes in, arrows from table to table, Enter picks, Escape leaves.
  // True if the key was one of these.
  function key(event) {
    const inside = nodes.find((part) => part.element === event.target);
    const there = nodes.filter((part) => part.classes !== part.base);
    if (!inside) {
      if (event.target !== box || event.key !== "Enter" || !there.length) return false;
      (there.find((part) => / (hot|now)/.test(part.classes)) ?? there[0]).element.focus();
      return true;
    }
    if (event.key === "Enter" || event.key === " ") pick(inside.id);
    else if (event.key === "Escape") box.focus({ preventScroll: true });
    else if (event.key.startsWith("Arrow")) nearest(there, inside, event.key)?.element.focus();
    else return false;
    return true;
  }
  return { box, show, reveal, key, has: (id) => parts.has(id), svg: drawing,
    name: (id) => parts.get(id)?.name };
}

function place(part) {
  const [x, y] = part.element.getAttribute("transform").match(/[-\d.]+/g).map(Number);
  return { x, y };
}

// The nearest table in the direction of an arrow key; what is in line counts as nearer.
function nearest(there, from, key) {
  const { x, y } = place(from);
  const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  let best = null, least = Infinity;
  for (const part of there) {
    const to = place(part), along = (to.x - x) * dx + (to.y - y) * dy;
    const aside = Math.abs((to.x - x) * dy) + Math.abs((to.y - y) * dx);
    if (along > 0 && along + 3 * aside < least) [best, least] = [part, along + 3 * aside];
  }
  return best;
}
