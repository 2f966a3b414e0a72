// What needs no page: states, places, answers. tests/stepper.test.mjs calls these in node.

// Total states from the deltas, so that back, forward and jump end in the same picture.
export function fold(deltas) {
  const states = [];
  let now = {};
  for (const delta of deltas) {
    now = { ...now, ...delta };
    for (const id of Object.keys(now)) if (now[id] === "") delete now[id];
    states.push(now);
  }
  return states;
}

// "hot on|rw" -> ["hot on", "rw"]; a text may hold a bar.
export function split(value) {
  const bar = (value ?? "").indexOf("|");
  return bar < 0 ? ["", ""] : [value.slice(0, bar), value.slice(bar + 1)];
}

// A state without its marks: what is there, and not what is new or was walked.
export function bare(state) {
  return Object.fromEntries(Object.entries(state).map(([id, value]) => {
    const [classes, text] = split(value);
    return [id, `${classes.split(" ").filter((c) => c !== "hot" && c !== "walk").join(" ")}|${text}`];
  }));
}

// The state after event *j* of a call, counted from 1; *before* is the state before the call.
export function within(before, deltas, j) {
  return fold([bare(before), ...deltas.slice(0, j)]).at(-1);
}

// Places. A place is [call, event]: event 0 is the end of the call, event 1 is "after its first
// event". *counts* has the number of events at which each call stops.
export function forward([k, j], counts, micro) {
  if (j) return micro && j < counts[k] ? [k, j + 1] : [k, 0];
  if (k === counts.length - 1) return [k, 0];
  return [k + 1, micro && counts[k + 1] ? 1 : 0];
}

export function backward([k, j], counts, micro) {
  if (micro && j > 1) return [k, j - 1];
  if (micro && j === 0 && counts[k]) return [k, counts[k]];
  return [Math.max(0, k - 1), 0];
}

// The place that a key leads to, or null if it is not a key of ours. Page keys go by whole calls.
export function target(key, at, counts, micro) {
  switch (key) {
    case "ArrowRight": return forward(at, counts, micro);
    case "ArrowLeft": return backward(at, counts, micro);
    case "PageDown": return forward(at, counts, false);
    case "PageUp": return backward(at, counts, false);
    case "Home": return [0, 0];
    case "End": return [counts.length - 1, 0];
    default: return null;
  }
}

export function clamp(k, n) {
  return Math.max(0, Math.min(n - 1, Number.isFinite(k) ? Math.round(k) : 0));
}

// What an answer is worth: null if it is no answer. An answer is a number, a choice, or one of
// several: the ids of tables.
export function grade(question, given) {
  const text = String(given ?? "").trim();
  if (text === "") return null;
  if (Array.isArray(question.answer)) return question.answer.includes(text);
  if (typeof question.answer === "number") {
    const number = Number(text);
    return Number.isFinite(number) ? number === question.answer : null;
  }
  return text === question.answer;
}

// A text in parts: every other one is an address.
export function addresses(text) {
  return text.split(/\b(0x[0-9a-f]+)\b/);
}

export function hex(number) {
  return `0x${number.toString(16)}`;
}

// Where an address stands on a line on which mappings are to scale: ranges that some mapping ever
// covers are, the gaps between them are breaks of one width. -> address -> per cent
export function axis(ranges, top, gap = 3) {
  const cuts = [...new Set([0, top, ...ranges.flat()])].sort((a, b) => a - b);
  const covered = (at) => ranges.some(([start, end]) => start <= at && at < end);
  const sizes = cuts.slice(0, -1).map((at, i) => covered(at) ? cuts[i + 1] - at : -1);
  const all = sizes.filter((size) => size > 0).reduce((a, b) => a + b, 0) || 1;
  const room = 100 - gap * sizes.filter((size) => size < 0).length;
  const places = new Map([[cuts[0], 0]]);
  sizes.reduce((x, size, i) => {
    const next = x + (size < 0 ? gap : size / all * room);
    places.set(cuts[i + 1], next);
    return next;
  }, 0);
  return { at: (address) => places.get(address) ?? 0,
    gaps: sizes.flatMap((size, i) => size < 0 ? [places.get(cuts[i])] : []), gap };
}
