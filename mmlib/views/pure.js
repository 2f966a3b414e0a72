// Pure functions; tests/stepper.test.mjs calls them in node -------------------------------------

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

// The step that a key leads to, or null if it is not a key of ours.
export function target(key, at, n) {
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: n - 1 }[key];
  return to === undefined ? null : clamp(to, n);
}

export function clamp(k, n) {
  return Math.max(0, Math.min(n - 1, Number.isFinite(k) ? Math.round(k) : 0));
}

// A text from the numbers of its lines: most lines are those of the step before.
export function join(numbers, lines) {
  return numbers.map((number) => lines[number]).join("\n");
}

// What an answer is worth: null if it is no answer.
export function grade(question, given) {
  const text = String(given ?? "").trim();
  if (text === "") return null;
  if (typeof question.answer === "number") {
    const number = Number(text);
    return Number.isFinite(number) ? number === question.answer : null;
  }
  return text === question.answer;
}
