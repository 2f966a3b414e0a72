// Which panels a stepper has: of one trace all of them, of two what can be compared.
import { button, make, QUIET, row, tableOf } from "./dom.js";
import { grid } from "./grid.js";
import { hex } from "./pure.js";
import { counted, mappings, memory, narrated, panel, walked } from "./panels.js";

// Panels of one trace. *go(way)* lights the walk of an address, or with null the step's own.
export function panes(view, pool, go) {
  const events = panel("events", "What happened"), walk = panel("walk", "Walk");
  const maps = panel("maps", "Mappings"), frames = panel("frames", "Memory");
  const counters = panel("counters", "Counters"), told = mappings(view.track, pool);
  const spaces = make("select", { "aria-label": "Address space", ...QUIET });
  const address = make("input", { type: "text", size: "13", "aria-label": "Address to walk, such as 0x4000", placeholder: "0x4000", ...QUIET });
  const own = button("The step's", "Walk the step's address", () => go(null));
  const light = () => {
    const addr = Number(address.value.trim() || NaN), known = Number.isSafeInteger(addr);
    address.setAttribute("aria-invalid", String(!known));
    if (known) go({ mm: spaces.value, addr });
    else walk.fill(() => make("p", { class: "mm-bad", role: "alert" }, `\u201c${address.value}\u201d is no address: expected a number, such as 0x4000.`));
  };
  address.addEventListener("keydown", (e) => { if (e.key === "Enter") light(); });
  spaces.addEventListener("change", light);
  walk.heading.after(make("span", { class: "mm-form" }, spaces, address, button("Walk", "Walk this address", light), own));

  function fill(way) {
    const { now, before, step, at: [, j], steps } = view, k = view.at[0];
    const { mm, addr = null } = way ?? step;            // where Python runs in the browser, None is left out
    events.fill(() => narrated(step, pool, j, view.track.top));
    maps.fill(() => told(now, before));
    frames.fill(() => memory(now, view.last));
    const seen = j ? k - 1 : k;
    counters.fill(() => counted(view.track.counted, steps[seen].counters, !j && k ? steps[k - 1].counters : null));
    const names = now.mms.map((one) => one.name).join("\n");
    if (spaces.dataset.names !== names) {
      spaces.replaceChildren(...now.mms.map((one) => make("option", { value: one.name }, one.who)));
      spaces.dataset.names = names;
    }
    if (now.mms.some((one) => one.name === mm)) spaces.value = mm;
    if (addr !== null && document.activeElement !== address) address.value = hex(addr);
    address.setAttribute("aria-invalid", "false");
    own.setAttribute("aria-disabled", String(!way));
    walk.fill(() => walked(now, addr === null ? null : mm, addr,
      [way ? "Your address " : "", j ? ", before this call" : ""]));
    follow(events.box);
  }
  return { all: [events, walk, counters, maps, frames], walk, fill };
}

// The event that just happened is in sight; scrollIntoView would move the page as well.
function follow(box) {
  const now = box.querySelector(".now");
  const below = now ? now.offsetTop + now.offsetHeight - box.clientHeight + 4 : 0;
  if (!now || box.scrollTop < below || now.offsetTop - 40 < box.scrollTop) box.scrollTop = Math.max(0, below);
}

// Panels of two traces: what happened in each, and the counters side by side.
export function twoPanes(views, pool, differences) {
  const events = views.map((view, i) => panel(`events${i}`, `What happened: ${view.track.title}`));
  const counters = panel("counters", "Counters"), differs = panel("differs", "Differences");
  function fill() {
    views.forEach((view, i) => { events[i].fill(() => narrated(view.step, pool, view.at[1], view.track.top)); follow(events[i].box); });
    const [one, other] = views.map((view) => view.steps[view.at[1] ? view.at[0] - 1 : view.at[0]].counters);
    counters.fill(() => tableOf(["", ...views.map((view) => view.track.title), ""], views[0].track.counted.map((name, i) =>
      row([name, String(one[i]), String(other[i]), one[i] === other[i] ? "" : "\u2260"], one[i] === other[i] ? {} : { class: "diff" }))));
    const k = Math.min(Math.max(...views.map((view) => view.at[0])), differences.length - 1);
    const found = differences[views[0].at[1] ? Math.max(k - 1, 0) : k].map((number) => pool[number]);
    differs.fill(() => found.length ? make("ul", {}, ...found.map((text) => make("li", {}, text)))
      : make("p", {}, "The tables of both are alike."));
  }
  return { all: [...events, differs, counters], walk: null, fill };
}

// The panel that a click on a table opens.
export function tablePane() {
  const box = panel("table", "Table", false), entries = grid();
  let shown = null;                     // [view, id]
  const hint = "Click a table in the picture, or press Enter on the picture and go to one by arrow keys.";
  const fill = () => box.fill(() => (shown ? entries.fill(shown[0].now, shown[1]) : make("p", {}, hint)));
  return { box, key: entries.key, fill, told: box.told, open: (view, id) => { shown = [view, id]; box.set(true); fill(); } };
}
