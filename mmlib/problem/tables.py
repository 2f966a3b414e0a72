"""Count the page tables of a process.

A table of a level exists for each span of that level in which a page was touched; mmap alone
makes none.  The top-level table is not counted, as in VmPTE.
"""

import random

from ..geometry import TINY, X86_64, Geometry
from .question import SIZES, Problem, mistakes, plural

REAL = ("X86_64 has pages of 4 KiB and 512 entries a table: a PTE table maps 2 MiB (0x200000), a "
        "PMD table 1 GiB (0x40000000), a PUD table 512 GiB (0x8000000000).")
UNITS = {TINY: (0x1000,) * 3 + (0x4000,), X86_64: (0x1000, 0x100000, 0x200000, 0x20000000)}


def make(rng: random.Random) -> Problem:
    geometry = rng.choice((TINY, X86_64))
    code = [f"machine = Machine({geometry}, trace=False)", 'a = machine.spawn("a")']
    mapped, touched = [], []
    for start, length in layout(rng, geometry):
        code.append(f'a.mmap({start:#x}, {length:#x}, "rw", ANON)')
        mapped.append((start, start + length))
        how = rng.choice(("all", "all", "all", "part", "one", "none"))
        end = start + length
        if how == "part":
            end = start + -(-length // 0x2000) * 0x1000
        if how == "one":
            start = rng.randrange(start >> 12, end >> 12) << 12
            code.append(f'a.store({start:#x}, b"x")')
            end = start + 0x1000
        elif how != "none":
            code.append(f"a.touch({start:#x}, {end - start:#x}, write=True)")
        if how != "none":
            touched.append((start, end))
    if not touched:
        start, end = mapped[0]
        code.append(f"a.touch({start:#x}, {end - start:#x}, write=True)")
        touched.append(mapped[0])
    return asked(geometry, mapped, touched, tuple(code))


def layout(rng: random.Random, geometry: Geometry) -> list[tuple[int, int]]:
    """Two or three ranges (start, length) with gaps between them, near borders of spans."""
    found, at = [], rng.choice((0, 0x40000)) if geometry is TINY else rng.randrange(1, 200) << 39
    for _ in range(rng.choice((2, 2, 3))):
        unit, count = rng.choice(UNITS[geometry]), rng.randrange(1, 9)
        length = unit * count + rng.choice((0, 0x1000))
        at += rng.choice(UNITS[geometry]) * rng.randrange(1, 5)
        if at + length > geometry.task_size - 0x4000:
            break
        found.append((at, length))
        at += length
    return found


def spans(geometry: Geometry, ranges: list[tuple[int, int]], level: int) -> set[int]:
    """The numbers of the spans of *level* that *ranges* meet."""
    size = geometry.span(level)
    return {n for start, end in ranges for n in range(start // size, (end - 1) // size + 1)}


def asked(geometry: Geometry, mapped: list, touched: list, code: tuple[str, ...]) -> Problem:
    found = {level: len(spans(geometry, touched, level)) for level in (1, 2, 3)}
    answer, why = sum(found.values()), []
    for level, number in found.items():
        listed = sorted(spans(geometry, touched, level))[:4]
        size = geometry.span(level)
        where = ", ".join(f"{n * size:#x}" for n in listed) + " and so on" * (number > 4)
        why.append(f"{plural(number, geometry.level_name(level) + ' table')}: what was touched "
                   f"lies in so many spans of {size:#x} bytes, those at {where}.")
    why.append(f"Together {answer}; the top-level table is not counted.")
    alone = sum(len(spans(geometry, [one], level)) for one in touched for level in (1, 2, 3))
    eager = sum(len(spans(geometry, mapped, level)) for level in (1, 2, 3))
    return Problem(
        given=SIZES if geometry is TINY else REAL,
        question="How many page tables has the process then, the top-level one not counted?",
        answer=answer, why=tuple(why), code=code, ask="a.tables",
        hint="For each level: into how many spans of a table falls what was touched?",
        mistakes=mistakes(
            answer, (answer + 1, "VmPTE does not count the top-level table."),
            (eager, "Does mmap make page tables?"),
            (alone, "Can two mappings have a table in common?"),
            (found[1], "Those are the PTE tables. What stands above them?"),
            (0, "Something was touched: the walk to it needs tables.")))
