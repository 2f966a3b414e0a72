// The pure functions of callform.js: node --test tests/callform.test.mjs
import assert from "node:assert/strict";
import test from "node:test";
import { actors, callLine, fresh, inserted, quoted, spelled } from "../mmlib/views/callform.js";

test("who can act is read from the lines that make somebody", () => {
  const text = 'machine = Machine(TINY)\ndb = machine.memfd("db", 0x4000)\na = spawn("a")\n b = a.fork()\n# c = a.fork()\nx = a.mmap(1)';
  assert.deepEqual(actors(text), { machine: ["machine"], task: ["a", "b"], file: ["db"] });
});

test("a fresh name is one that is not taken", () => {
  assert.equal(fresh("task", "a = spawn('a')\nb = memfd('b')"), "c");
  assert.equal(fresh("file", "f = memfd('f')\n"), "f1");
  assert.equal(fresh("file", ""), "f");
});

test("strings are spelled so that nothing gets out of them", () => {
  assert.equal(quoted("a'b\\c\nd"), "'a\\'b\\\\c\\x0ad'");
});

test("arguments are spelled by their kind", () => {
  assert.equal(spelled({ kind: "bytes" }, "x"), "b'x'");
  assert.equal(spelled({ kind: "flags" }, ["MAP_SHARED", "MAP_FIXED"]), "MAP_SHARED|MAP_FIXED");
  assert.equal(spelled({ kind: "flags" }, []), "0");
  assert.equal(spelled({ kind: "number" }, ""), "None");
  assert.equal(spelled({ kind: "prot" }, ""), "''");
  assert.equal(spelled({ kind: "check", optional: true }, false), "");
});

test("after an argument that is left out, arguments are named", () => {
  const args = [{ name: "addr", kind: "number" }, { name: "file", kind: "file", optional: true },
    { name: "offset", kind: "number", optional: true }];
  assert.equal(callLine("a", "mmap", args, { addr: "0x4000", offset: "0x1000" }, "x"), "x = a.mmap(0x4000, offset=0x1000)");
  assert.equal(callLine("a", "mmap", args, { addr: "0x4000" }), "a.mmap(0x4000)");
});

test("a line is put after the one with the caret, or at the end", () => {
  assert.deepEqual(inserted("a\nb", 0, "new"), { text: "a\nnew\nb", at: 5 });
  assert.deepEqual(inserted("a\nb\n", null, "new"), { text: "a\nb\nnew", at: 7 });
  assert.deepEqual(inserted("a\n\nb", 2, "new"), { text: "a\nnew\nb", at: 5 });
  assert.deepEqual(inserted("", null, "new"), { text: "new", at: 3 });
  assert.deepEqual(inserted("a\nb", 3, "new"), { text: "a\nb\nnew", at: 7 });
});
