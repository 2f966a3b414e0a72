// One table, entry by entry: 4 or 512 of them, each with its meaning.
import { linked, make, QUIET, row, tableOf } from "./dom.js";
import { hex } from "./pure.js";
import { entry, isLink, letters, meaning, span, ways } from "./tables.js";
import { bits } from "./panels.js";

// What one cell of a large table shows: a letter, so that colour is not all.
function mark(level, found) {
  return !found ? "" : isLink(level, found) ? "t" : { rw: "w", "r-": "r", "--": "-", gd: "g" }[letters(found)] ?? "";
}

const FEW = 16;

export function grid() {
  const cells = make("div", { class: "entries large", tabindex: "0", role: "listbox", ...QUIET });
  const said = make("p", { class: "entry" });
  const own = `mm-entry-${Math.random().toString(36).slice(2)}`;       // each widget has a module of its own
  const head = make("p", {});
  let now = null, table = null, at = 0, all = [];

  function fill(world, id) {
    const same = table?.id === id;
    now = world;
    table = [...world.tables.values()].find((one) => one.id === id) ?? null;
    if (!table) return [make("p", {}, "This table is not there at this step.")];
    const many = 2 ** world.track.bits;
    head.replaceChildren(...describe());
    if (many <= FEW) return [head, small(many)];
    if (!same) at = table.runs[0]?.[0] ?? 0;
    all = Array.from({ length: many }, (_, i) => {
      const found = entry(table, i);
      return make("span", { class: found ? "full" : "", role: "option", "data-i": String(i) }, mark(table.level, found));
    });
    cells.replaceChildren(...all);
    cells.setAttribute("aria-label", `${many} entries of ${table.name}; arrow keys go from one to the next`);
    select(at);
    return [head, said, cells];
  }

  // Few entries: all of them in words.
  function small(many) {
    const way = ways(now, table.id)[0], size = span(now.track, table.level);
    return tableOf(["entry", way ? `address in ${way.mm.who}` : "", "bits", "meaning"], Array.from({ length: many }, (_, i) => {
      const found = entry(table, i);
      return row([make("b", {}, String(i)), way ? linked(hex(way.base + i * size), way.mm.name, now.track.top) : "",
        bits(found), meaning(now, table.level, found)]);
    }));
  }

  function describe() {
    const there = ways(now, table.id), size = span(now.track, table.level + 1);
    const used = table.runs.reduce((sum, [, many]) => sum + many, 0);
    const users = table.users > 1 ? `shared by ${table.users} entries` : table.users ? "one user" : "no entry leads here";
    const at = there.slice(0, 4).flatMap(({ mm, base }, i) =>
      [i ? ", " : "", `${mm.who} `, ...linked(hex(base), mm.name, now.track.top), `-${hex(base + size)}`]);
    const told = now.folded ? "of entries that are alike and in a row the first is told"
      : `${used} of ${2 ** now.track.bits} entries are used`;
    return [make("b", {}, table.name), `: ${users}; ${told}`,
      ...at.length ? [". It translates ", ...at, there.length > 4 ? ` and ${there.length - 4} more` : "", "."] : ["."]];
  }

  function select(i) {
    for (const name of ["id", "aria-label", "aria-selected"]) all[at]?.removeAttribute(name);
    all[at]?.classList.remove("at");
    at = Math.max(0, Math.min(all.length - 1, i));
    const found = entry(table, at), way = ways(now, table.id)[0];
    all[at].classList.add("at");
    all[at].id = own;                   // what is heard when an arrow key has gone there
    all[at].setAttribute("aria-selected", "true");
    all[at].setAttribute("aria-label", `entry ${at}: ${meaning(now, table.level, found)}`);
    cells.setAttribute("aria-activedescendant", own);
    const base = way ? way.base + at * span(now.track, table.level) : 0;
    const where = way ? ["; in ", way.mm.who, ": ", ...linked(hex(base), way.mm.name, now.track.top)] : [];
    said.replaceChildren(make("b", {}, `Entry ${at}`), ": ", bits(found), " ",
      meaning(now, table.level, found), ...where);
  }

  cells.addEventListener("click", (e) => { if (e.target.dataset.i) select(Number(e.target.dataset.i)); });
  // True if the key was for the grid.
  function key(event) {
    if (event.target !== cells || !table || !all.length) return false;
    const across = Math.max(1, Math.floor(cells.clientWidth / (all[0].offsetWidth || 1)));
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -all.length,
      End: all.length }[event.key];
    if (step === undefined) return false;
    select(at + step);
    return true;
  }
  return { fill, key };
}
