"""Change the protection of parts of a mapping: lines of maps, and who gets SIGSEGV.

A VMA is a range with one protection: mprotect cuts, and joins what has become alike again.
"""

import random

from .question import Problem, mistakes

BASE, PROTS = 0x10000, ("rw", "r", "")
WORDS = {"rw": "loads and stores", "r": "loads only", "": "nothing", None: "unmapped"}


def make(rng: random.Random) -> Problem:
    pages = rng.choice((6, 8))
    now: list[str | None] = ["rw"] * pages
    code = ["machine = Machine(TINY)", 'a = machine.spawn("a")',
            f'a.mmap({BASE:#x}, {pages * 0x1000:#x}, "rw", ANON)']
    if rng.random() < 0.5:
        code.append(f"a.touch({BASE:#x}, {pages * 0x1000:#x}, write=True)")
    for number in range(rng.choice((2, 3, 3, 4))):
        holes = [page for page in range(pages) if now[page] is None]
        first = rng.randrange(pages - 1)
        last = rng.randrange(first, min(pages, first + 4))
        span = f"{BASE + first * 0x1000:#x}, {(last - first + 1) * 0x1000:#x}"
        if number and not holes and rng.random() < 0.25:
            code.append(f"a.munmap({span})")
            now[first:last + 1] = [None] * (last - first + 1)
        elif not any(first <= page <= last for page in holes):
            prot = rng.choice(PROTS)
            code.append(f'a.mprotect({span}, "{prot}")')
            now[first:last + 1] = [prot] * (last - first + 1)
    return rng.choice((lines, signals))(rng, now, code)


def rows(now: list) -> list[tuple[int, int, str]]:
    """(first page, page after the last, protection) of the runs that are alike and mapped."""
    found: list[tuple[int, int, str]] = []
    for page, prot in enumerate(now):
        if prot is not None and found and found[-1][1:] == (page, prot):
            found[-1] = (found[-1][0], page + 1, prot)
        elif prot is not None:
            found.append((page, page + 1, prot))
    return found


def spelled(now: list) -> list[str]:
    return [f"[{BASE + first * 0x1000:#x}, {BASE + end * 0x1000:#x}) allows {WORDS[prot]}."
            for first, end, prot in rows(now)]


def lines(rng: random.Random, now: list, code: list[str]) -> Problem:
    answer, calls = len(rows(now)), sum("mprotect" in line for line in code)
    return Problem(
        question="How many lines does /proc/PID/maps of the process have then?",
        answer=answer, why=(*spelled(now), f"One line for each: {answer}."), code=tuple(code),
        ask="len(a.maps())",
        hint="Write down for each page what is allowed at the end. Neighbours that are alike are "
             "one line, and a hole is none.",
        mistakes=mistakes(
            answer, (1, "Has all of it one protection?"),
            (1 + 2 * calls, "Do all the cuts stay? Some neighbours are alike at the end."),
            (len(now), "That is the number of pages."),
            (answer + now.count(None), "A hole has no line."),
            (answer + 1, "Is a hole a line, or are two neighbours alike?")))


def signals(rng: random.Random, now: list, code: list[str]) -> Problem:
    answer, why = [], spelled(now)
    if None in now:
        why.append("What was unmapped allows nothing.")
    code = ["from contextlib import suppress", *code]
    for number in range(1, 6):
        page, write = rng.randrange(len(now)), rng.random() < 0.5
        addr = BASE + page * 0x1000 + rng.randrange(16) * 8
        call = f'a.store({addr:#x}, b"x")' if write else f"a.load({addr:#x})"
        code.append(f"with suppress(Segfault): {call:25}# {number}")
        if not now[page] or write and now[page] != "rw":
            answer.append(number)
    why.append("SIGSEGV: " + (", ".join(map(str, answer)) or "none") + ".")
    return Problem(
        question="Which of the numbered accesses end in SIGSEGV? Answer with a tuple of their "
                 "numbers, such as (1, 4).",
        answer=tuple(answer), why=tuple(why), code=tuple(code), choices=(1, 2, 3, 4, 5),
        hint="For each address: which call was the last that said what is allowed there?",
        ask="tuple(n for n, step in enumerate(\n"
            "    [s for s in machine.trace if s.call in ('load', 'store')], 1) if step.error)")
