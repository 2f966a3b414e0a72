// One trace with its picture: what is shown of it at a place [call, event].
import { fold, within } from "./pure.js";
import { picture } from "./picture.js";
import { lit, walk, world } from "./tables.js";

export function view(track, pool, picked) {
  const steps = track.steps, n = steps.length;
  const states = fold(steps.map((step) => step.delta)), held = fold(steps.map((step) => step.tables));
  const counts = steps.map((step) => step.micro.length), worlds = [];
  const pic = picture(track.svg, (id) => picked(self, id));

  // Of two traces that step together, the shorter one stays at its end; and a call with fewer
  // events is over sooner.
  function place([k, j]) {
    if (k >= n) return [n - 1, 0];
    return j <= counts[k] ? [k, j] : [k, 0];
  }

  // Tables and pages after step k. Within a call they are those before it: nothing is told early.
  function after(k) {
    return worlds[k] ??= world(track, steps[k], held[k], pool);
  }

  function show(at, way) {
    const [k, j] = place(at), step = steps[k];
    const now = after(j ? k - 1 : k);
    pic.show(j ? within(states[k - 1], step.micro, j) : states[k],
      way && lit(now, walk(now, way.mm, way.addr), pic.has));
    pic.reveal();
    pic.box.setAttribute("aria-label", j ? `${named(k, j)}: ${said(step, j)} In ${step.action}.`
      : `${named(k, j)}: ${pool[step.text[0]]} After ${step.action}.`);      // what to see
    Object.assign(self, { now, before: k ? after(k - 1) : null, step, at: [k, j] });
  }

  function named(k, j) {
    return `Step ${k + 1} of ${n}${j ? `, event ${j} of ${steps[k].events.length}` : ""}`;
  }

  function said(step, j) {
    return j ? pool[step.events[j - 1][0]] : step.say;
  }

  const self = { track, steps, counts, pic, show, named, said, last: lastFrame() };
  return self;

  // The highest frame that is ever in use, so that the map of memory keeps its places.
  function lastFrame() {
    return Math.max(...steps.flatMap((step, k) => [
      ...Object.keys(held[k]).map((id) => Number(id.slice(1).split("_")[0])),
      ...pool[step.pages].map((number) => pool[number][0] + pool[number][1] - 1)]));
  }
}
