"""Say which accesses of a process fault.

An access faults if its entry is empty, or read-only and it is a store.  What the fault puts into
the entry depends on the mapping: the zero page, a page of its own, or the file's.
"""

import random

from .question import Problem

KINDS = {"private": (0x40000, "ANON", "private anonymous memory"),
         "shared": (0x20000, "MAP_SHARED, file", "a shared mapping of a file"),
         "copied": (0x80000, "MAP_PRIVATE, file", "a private mapping of a file")}


def make(rng: random.Random) -> Problem:
    kinds = rng.sample(sorted(KINDS), rng.choice((1, 2, 2)))
    code = ["machine = Machine(TINY)", 'a = machine.spawn("a")']
    if set(kinds) != {"private"}:
        code.append('file = a.memfd("f", 0x2000)')
    code += [f'a.mmap({KINDS[kind][0]:#x}, 0x2000, "rw", {KINDS[kind][1]})' for kind in kinds]
    entries, why, answer = {}, [], []
    count, gone = rng.choice((6, 7, 8)), rng.choice((None, None, 3, 4))
    busy = [(kind, page) for kind in kinds for page in (0, 0x1000)]
    busy = rng.sample(busy, min(len(busy), rng.choice((2, 3))))
    for number in range(1, count + 1):
        kind, page = rng.choice(busy)
        addr, write = KINDS[kind][0] + page, rng.random() < 0.5
        if number - 1 == gone:
            start = KINDS[kind][0]
            code.append(f"a.madvise({start:#x}, 0x2000, MADV_DONTNEED)")
            why.append(f"MADV_DONTNEED empties the entries of {KINDS[kind][2]}.")
            for page in (0, 0x1000):
                entries.pop(start + page, None)
        call = f'a.store({addr:#x}, b"x")' if write else f"a.load({addr:#x})"
        code.append(f"{call:24}# {number}")
        faults, said, entries[addr] = access(kind, entries.get(addr), write)
        why.append(f"Access {number}: {said}")
        answer += [number] * faults
    return Problem(
        given="A process of TINY, where a fault maps one page.",
        question="Which of the numbered accesses take a page fault? Answer with a tuple of their "
                 "numbers, such as (1, 4).",
        answer=tuple(answer), why=tuple(why), code=tuple(code),
        ask="tuple(n for n, step in enumerate(\n"
            "    [s for s in machine.trace if s.call in ('load', 'store')], 1)\n"
            "    if any(event.kind == 'fault' for event in step.events))",
        hint="At each access: is anything in the entry by then, and does it allow this?",
        choices=tuple(range(1, count + 1)))


def access(kind: str, entry: str | None, write: bool) -> tuple[bool, str, str]:
    """(does it fault, why, what the entry is then): None, "ro", "rw"."""
    if entry is None:
        return True, "a fault, since the entry is empty; " + first(kind, write), \
            "rw" if write or kind == "shared" else "ro"
    if write and entry == "ro":
        return True, "a fault, since the entry is read-only; the store gets a page of its own.", \
            "rw"
    what = "store" if write else "load"
    return False, f"no fault, since the entry is there and allows a {what}.", entry


def first(kind: str, write: bool) -> str:
    if kind == "shared":
        return "the file's page is mapped, and may be stored to."
    if write:
        return "the store gets a page of its own."
    return ("the zero page is mapped, read-only." if kind == "private" else
            "the file's page is mapped, read-only: a store must not reach the file.")
