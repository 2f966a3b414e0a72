// The pure functions of the stepper, pure.js. Run by tests/test_stepper.py, or: node --test tests/stepper.test.mjs
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

// Without a package.json, older versions of node would take a file .js for no module.
const source = await readFile(new URL("../mmlib/views/pure.js", import.meta.url), "utf8");
const { addresses, axis, backward, bare, clamp, fold, forward, grade, split, target, within } =
  await import(`data:text/javascript,${encodeURIComponent(source)}`);

test("fold: a state is all that was said and not taken back", () => {
  assert.deepEqual(fold([]), []);
  assert.deepEqual(fold([{ a: "on|" }, {}, { b: "hot on|rw", a: "" }, { a: "on|x" }]), [
    { a: "on|" }, { a: "on|" }, { b: "hot on|rw" }, { b: "hot on|rw", a: "on|x" }]);
});

test("fold: earlier states know nothing of later ones, and the deltas stay as they are", () => {
  const deltas = Object.freeze([Object.freeze({ a: "on|" }), Object.freeze({ a: "on|rw", b: "on|" })]);
  const states = fold(deltas);
  assert.deepEqual(states[0], { a: "on|" });
  states[1].a = "spoilt";
  assert.deepEqual(states[0], { a: "on|" });
});

test("split: the first bar parts classes and text", () => {
  assert.deepEqual(split("hot on|rw"), ["hot on", "rw"]);
  assert.deepEqual(split("on|a|b"), ["on", "a|b"]);
  assert.deepEqual(split("on|"), ["on", ""]);
  for (const nothing of [undefined, null, ""]) assert.deepEqual(split(nothing), ["", ""]);
});

test("target: six keys lead somewhere, and never beyond the ends", () => {
  const none = [0, 0, 0, 0, 0], to = (key) => [0, 2, 4].map((k) => target(key, [k, 0], none, false)[0]);
  assert.deepEqual(to("ArrowRight"), [1, 3, 4]);
  assert.deepEqual(to("ArrowLeft"), [0, 1, 3]);
  assert.deepEqual(to("PageDown"), [1, 3, 4]);
  assert.deepEqual(to("PageUp"), [0, 1, 3]);
  assert.deepEqual(to("Home"), [0, 0, 0]);
  assert.deepEqual(to("End"), [4, 4, 4]);
  for (const key of ["b", "d", "Enter", "ArrowUp", ""]) {
    assert.equal(target(key, [2, 0], none, false), null, key);
  }
});

test("by event every stop is passed once, and back is forward the other way round", () => {
  const counts = [0, 2, 0, 3], way = [[0, 0]];
  while (way.at(-1).join() !== "3,0") way.push(forward(way.at(-1), counts, true));
  assert.deepEqual(way.map(String), ["0,0", "1,1", "1,2", "1,0", "2,0", "3,1", "3,2", "3,3", "3,0"]);
  const back = [[3, 0]];
  while (back.at(-1).join() !== "0,0") back.push(backward(back.at(-1), counts, true));
  assert.deepEqual(back.reverse(), way);
  assert.deepEqual(forward([3, 0], counts, true), [3, 0]);
  assert.deepEqual(backward([0, 0], counts, true), [0, 0]);
});

test("whole calls: from within a call the next stop is its end", () => {
  const counts = [0, 2, 0, 3];
  assert.deepEqual(target("PageDown", [3, 2], counts, true), [3, 0]);
  assert.deepEqual(target("PageUp", [3, 2], counts, true), [2, 0]);
  assert.deepEqual(forward([1, 1], counts, false), [1, 0]);
});

test("within: the state before without its marks, and the events so far", () => {
  const before = { a: "hot on walk|rw", b: "on|" }, deltas = [{ c: "hot now on|" }, { c: "on|", b: "" }];
  assert.deepEqual(bare(before), { a: "on|rw", b: "on|" });
  assert.deepEqual(within(before, deltas, 1), { a: "on|rw", b: "on|", c: "hot now on|" });
  assert.deepEqual(within(before, deltas, 2), { a: "on|rw", c: "on|" });
  assert.deepEqual(before, { a: "hot on walk|rw", b: "on|" });
});

test("clamp: any number becomes a step", () => {
  assert.deepEqual([-1, 0, 2, 2.4, 2.6, 4, 5, 1e9].map((k) => clamp(k, 5)), [0, 0, 2, 2, 3, 4, 4, 4]);
  assert.deepEqual([NaN, Infinity, -Infinity].map((k) => clamp(k, 5)), [0, 0, 0]);
  assert.equal(clamp(3, 1), 0);
});

test("grade: a number is right however it is written", () => {
  const question = { answer: 3 };
  for (const right of ["3", " 3 ", "3.0", "03", 3]) assert.equal(grade(question, right), true);
  for (const wrong of ["4", "-3", "0", 2.5]) assert.equal(grade(question, wrong), false);
  for (const none of ["", "  ", null, undefined, "three", "3 tables", "NaN", "Infinity"]) {
    assert.equal(grade(question, none), null, String(none));
  }
  assert.equal(grade({ answer: 0 }, "0"), true);
});

test("grade: a choice is right if it is the answer", () => {
  const question = { answer: "SIGSEGV", choices: ["SIGSEGV", "SIGBUS"] };
  assert.equal(grade(question, "SIGSEGV"), true);
  assert.equal(grade(question, "SIGBUS"), false);
  assert.equal(grade(question, ""), null);
});

test("grade: of several tables each is right", () => {
  const question = { answer: ["t5_4", "t7_6"], pick: true, choices: [] };
  assert.deepEqual(["t5_4", "t7_6", "t5_5", ""].map((id) => grade(question, id)), [true, true, false, null]);
});

test("addresses: every other part is one", () => {
  assert.deepEqual(addresses("from 0x4000 to 0x5fff."), ["from ", "0x4000", " to ", "0x5fff", "."]);
  assert.deepEqual(addresses("none, nor 10x4"), ["none, nor 10x4"]);
});

test("axis: mappings to scale, gaps of one width", () => {
  const line = axis([[0x1000, 0x2000], [0x8000, 0xa000]], 0x100000, 4);
  const [a, b, c, d] = [0x1000, 0x2000, 0x8000, 0xa000].map(line.at);
  assert.equal(a, 4);
  assert.ok(Math.abs((d - c) - 2 * (b - a)) < 1e-9);
  assert.ok(Math.abs(c - b - 4) < 1e-9 && Math.abs(100 - d - 4) < 1e-9);
  assert.equal(line.gaps.length, 3);
  assert.deepEqual(axis([], 0x1000).gaps, [0]);
});
