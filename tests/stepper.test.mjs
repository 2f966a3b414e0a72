// The pure functions of the stepper, pure.js. Run by tests/test_stepper.py, or: node --test tests/stepper.test.mjs
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

// Without a package.json, older versions of node would take a file .js for no module.
const source = await readFile(new URL("../mmlib/views/pure.js", import.meta.url), "utf8");
const { clamp, fold, grade, join, split, target } =
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

test("target: four keys lead somewhere, and never beyond the ends", () => {
  const to = (key) => [0, 2, 4].map((at) => target(key, at, 5));
  assert.deepEqual(to("ArrowRight"), [1, 3, 4]);
  assert.deepEqual(to("ArrowLeft"), [0, 1, 3]);
  assert.deepEqual(to("Home"), [0, 0, 0]);
  assert.deepEqual(to("End"), [4, 4, 4]);
  for (const key of ["b", "d", "Enter", "ArrowUp", ""]) {
    assert.equal(target(key, 2, 5), null, key);
  }
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

test("join: a text from the numbers of its lines", () => {
  assert.equal(join([1, 0, 1], ["a", "b"]), "b\na\nb");
  assert.equal(join([], ["a"]), "");
});
