// The panels: what happened, mappings, walk, memory, counters. Each can be closed.
import { button, heard, linked, make, QUIET, row, tableOf } from "./dom.js";
import { axis, hex } from "./pure.js";
import { BITS, frames, indexOf, meaning, pageAt, walk } from "./tables.js";

const MANY = 160;                       // frames that are drawn one by one

// A panel, and the button that opens and closes it.
export function panel(key, title, open = true) {
  const body = make("div", { class: "body" }), heading = make("h4", {}, title);
  const close = button("\u00d7", `Close ${title}`, () => { set(false); toggle.focus(); }, { class: "close" });
  const box = make("section", { class: `mm-panel mm-${key}`, tabindex: "0", "aria-label": title, ...QUIET },
    make("div", { class: "top" }, heading, close), body);
  const toggle = button(title, `Panel ${title}`, () => set(box.hidden), { class: "toggle" });
  let late = null;                      // what a closed panel would show
  function set(on) {
    box.hidden = !on;
    toggle.setAttribute("aria-pressed", String(on));
    if (on && late) fill(late);
  }
  function fill(children) {
    late = box.hidden ? children : null;
    if (!late) body.replaceChildren(...[children()].flat());
  }
  set(open);
  // Its paragraphs, for who cannot see that they changed.
  const told = () => [...body.querySelectorAll("p")].map((one) => one.textContent).join(" ");
  return { box, toggle, set, heading, fill, told };
}

// Narration: a sentence an event, the kernel's function beside it. *done* of them have happened.
export function narrated(step, lines, done, top) {
  if (!step.events.length) return make("p", {}, "No event: neither the MMU nor the memory management had work.");
  return make("ol", { class: step.events.length > 99 ? "long" : "" }, ...step.events.slice(0, done || undefined).map(([what, by], i) =>
    make("li", done === i + 1 ? { class: "now", "aria-current": "step" } : {},
      ...linked(lines[what], step.mm, top), " ", make("span", { class: "by" }, "(", make("code", {}, lines[by]), ")"))));
}

export function counted(names, now, before) {
  return tableOf([], now.map((value, i) => {
    const change = before ? value - before[i] : 0;
    return row([names[i], String(value), change ? (change > 0 ? `+${change}` : `\u2212${-change}`) : ""],
      change ? { class: "hot" } : {});
  }));
}

// Mappings of each mm on one line that is to scale, the same at all steps; and in words.
export function mappings(track, pool) {
  const all = new Set(track.steps.flatMap((step) => pool[step.mms]));
  const line = axis([...all].flatMap((number) => pool[number][4].map(([start, end]) => [start, end])), track.top);
  return (now, before) => now.mms.map((mm) => {
    const old = before?.mms.find((one) => one.root === mm.root)?.vmas ?? [];
    const c = colour(track, mm.name);
    const bars = mm.vmas.map(([start, end, perms, backing]) => {
      const bar = button(perms, `Walk ${hex(start)} of ${mm.who}: ${perms} ${backing}`, () => {},
        { class: `vma ${c} mm-addr`, tabindex: "-1", "data-addr": hex(start), "data-mm": mm.name,
          title: `${hex(start)}-${hex(end)} ${perms} ${backing}` });
      bar.style.left = `${line.at(start)}%`;
      bar.style.width = `${line.at(end) - line.at(start)}%`;
      return bar;
    });
    const gaps = line.gaps.map((x) => {
      const gap = make("span", { class: "gap", "aria-hidden": "true" });
      gap.style.left = `${x}%`;
      gap.style.width = `${line.gap}%`;
      return gap;
    });
    const told = mm.vmas.map((vma) => {
      const [start, end, perms, backing, offset, flags] = vma, news = before ? novelty(old, vma) : "";
      return make("li", news ? { class: "hot" } : {}, ...linked(hex(start), mm.name, track.top), `-${hex(end)} `,
        perms, ` ${backing}`, offset ? ` from ${hex(offset)}` : "", flags ? ` ${flags}` : "", news);
    });
    return make("div", { class: "mm" }, make("h5", {}, make("b", {}, mm.who), ` VmPTE ${mm.kb} kB`),
      make("div", { class: "axis" }, ...gaps, ...bars),
      make("ul", {}, ...told.length ? told : [make("li", {}, "nothing is mapped")]));
  });
}

function novelty(old, vma) {
  if (old.some((one) => String(one) === String(vma))) return "";
  return old.some(([start, end]) => start === vma[0] && end === vma[1]) ? " (changed)" : " (new)";
}

export function colour(track, name) {
  const number = track.colours[name] ?? -1;
  return number < 0 ? "cn" : `c${number}`;
}

// Physical memory, frame by frame: each has its place for good. A large one is told in runs.
export function memory(now, last) {
  const rows = frames(now), sums = new Map(), cells = [];
  for (const { owner, id, count } of rows) {
    const sum = sums.get(owner) ?? [0, 0];
    sum[id ? 0 : 1] += count;
    sums.set(owner, sum);
  }
  if (last >= MANY) cells.push(...rows.slice(0, MANY).map((one) => frameOf(now, one, one.pfn, one.count)));
  else for (let pfn = 0; pfn <= last; pfn++) {
    const one = rows.find((row) => row.pfn <= pfn && pfn < row.pfn + row.count * row.size);
    cells.push(one ? frameOf(now, one, pfn, 1)
      : make("li", { class: "frame free" }, make("b", {}, String(pfn)), make("br"), "\u00a0", heard("free")));
  }
  const told = [...sums].map(([owner, [t, p]]) => `${short(owner)} ${t} + ${p}`);
  return [make("p", {}, "Tables + pages: ", make("b", {}, told.join(", ") || "none")),
    make("ul", { class: last >= MANY ? "frames wide" : "frames", "aria-label": "Frames" }, ...cells)];
}

function frameOf(now, one, pfn, count) {
  const more = one.size > 1 && (pfn - one.pfn) % one.size;
  return make("li", { class: `frame ${colour(now.track, one.mm)}${one.many > 1 ? " shared" : ""}` },
    make("b", {}, count > 1 ? `${pfn}-${pfn + count - 1}` : String(pfn)),
    more ? ` (+${more})` : ` ${one.size > 1 ? "huge" : one.what}${one.many > 1 ? ` x${one.many}` : ""}`,
    make("br"), short(one.owner));
}

function short(name) {
  const last = name.replace(/ \(deleted\)$/, "").replace(/^\/memfd:/, "").split("/").pop();
  return last.length > 9 ? `${last.slice(0, 8)}..` : last || name;
}

// The walk of one address: the VMA that permits, what the TLB has, and the entries on the way.
export function walked(now, name, addr, [lead, when]) {
  const mm = now.mms.find((one) => one.name === name);
  if (!mm) return [make("p", {}, "This call is about no address, or its address space is gone. Click an address, or type one.")];
  if (!(addr >= 0 && addr < now.track.top)) return [make("p", {}, `${hex(addr)} is beyond the address space.`)];
  const vma = mm.vmas.find(([start, end]) => start <= addr && addr < end);
  const cpu = now.cpus[name], page = addr - addr % now.track.size;
  const hit = (now.tlbs[cpu] ?? []).find(([who, at]) => who === name && at === Math.floor(addr / now.track.size));
  const path = walk(now, name, addr), end = path.at(-1);
  const rows = path.map(({ table: t, index, found }) => row([make("b", {}, t.name), String(index),
    bits(found), meaning(now, t.level, found)], { class: "walk" }));
  const leaf = end?.found && pageAt(now, end.found.pfn);
  return [
    make("p", {}, lead, make("b", {}, hex(addr)), ` of ${mm.who}: `, now.track.levels.map((level, i) =>
      `${level} ${indexOf(now.track, addr, i + 1)}`).reverse().join(", "), `, byte ${addr - page}${when}`),
    make("p", {}, "VMA: ", vma ? `${hex(vma[0])}-${hex(vma[1])} ${vma[2]} ${vma[3]}` : "there is none",
      cpu === undefined ? "" : `. TLB of CPU ${cpu}: ${hit ? `frame ${hit[2]}, ${hit[3] ? "rw" : "r-"}` : "no entry"}.`),
    tableOf(["table", "entry", "bits", "meaning"], rows),
    make("p", {}, leaf ? `It holds ${leaf.text === "0" ? "zeros" : `"${leaf.text}"`}.` : end ? `The walk ends in ${end.table.name}: there is no page.` : "")];
}

// Every bit at its place, a dot where it is off; to be heard without the dots.
export function bits(found) {
  const on = BITS.map(([name, bit]) => found && found.bits & bit ? name : "");
  const seen = on.map((name, i) => name || "\u00b7".repeat(BITS[i][0].length)).join(" ");
  return make("span", {}, make("code", { class: "bits", "aria-hidden": "true" }, seen),
    heard(on.filter(Boolean).join(" ") || "no bit"));
}
