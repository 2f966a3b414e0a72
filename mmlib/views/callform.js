// Building a line of a scenario from controls. Pure functions; tests/callform.test.mjs calls them.

// Who can act in a text, as far as its lines name them: a look, no reading.
export function actors(text) {
  const found = { machine: ["machine"], task: [], file: [] };
  for (const line of text.split("\n")) {
    const made = /^\s*([A-Za-z_]\w*)\s*=\s*(?:\w+\.)?(\w+)\(/.exec(line);
    const kind = made && { spawn: "task", fork: "task", clone: "task", memfd: "file", open: "file" }[made[2]];
    if (kind && !found[kind].includes(made[1])) found[kind].push(made[1]);
  }
  return found;
}

// A name that the text does not have yet: a, b, ... for processes; f, f1, ... for files.
export function fresh(kind, text) {
  const { task, file } = actors(text);
  if (kind === "file") return ["f", ...file.map((_, i) => `f${i + 1}`)].find((name) => !file.includes(name));
  const letters = [..."abcdefghijklmnopqrstuvwxyz", ...task.map((_, i) => `p${i}`)];
  return letters.find((name) => !task.includes(name) && !file.includes(name));
}

// A string as Python spells it.
export function quoted(text) {
  return `'${String(text).replace(/[\\']/g, "\\$&").replace(/[\x00-\x1f\x7f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)}'`;
}

// One argument as it is written; "" if it is left out.
export function spelled({ kind, optional }, value) {
  const text = Array.isArray(value) ? value.join("|") : String(value ?? "").trim();
  if (text === "" && optional) return "";
  if (kind === "bytes") return `b${quoted(text)}`;
  if (kind === "string" || kind === "prot") return quoted(text);
  if (kind === "check") return value ? "True" : "";
  if (kind === "flags") return text || "0";
  return text || "None";
}

// The line: arguments in their order, by name once one was left out.
export function callLine(who, call, args, values, result) {
  const parts = [];
  let gap = false;
  for (const arg of args) {
    const text = spelled(arg, values[arg.name]);
    if (text === "") gap = true;
    else parts.push(gap ? `${arg.name}=${text}` : text);
  }
  return `${result ? `${result} = ` : ""}${who}.${call}(${parts.join(", ")})`;
}

// A text with a line more: after the line in which *at* is, or at its end; an empty line is filled.
export function inserted(text, at, line) {
  const lines = text.split("\n");
  let place = at === null ? lines.length : text.slice(0, at).split("\n").length;
  const empty = lines[place - 1].trim() === "";
  if (empty) place -= 1;
  lines.splice(place, empty ? 1 : 0, line);
  return { text: lines.join("\n"), at: lines.slice(0, place + 1).join("\n").length };
}
