"""Will it share? Count the PMD tables that two mappings of hugetlb have in common.

A PMD table can serve a second mapping if both are MAP_SHARED, cover its whole span, allow the
same, and have the same pages at the same indices (page_table_shareable, huge_pmd_share).
"""

import random

from .question import SIZES, Problem, mistakes

BASE, SPAN, HUGE, FILE = 0x40000, 0x10000, 0x4000, 16       # a span has 4 huge pages


def make(rng: random.Random) -> Problem:
    """Drawn once more where nothing is shared, or every second answer would be 0."""
    return first if (first := drawn(rng)).answer else drawn(rng)


def drawn(rng: random.Random) -> Problem:
    length = rng.choice((12, 12, 10, 8))            # of a, in huge pages
    begin = rng.choice((0, 0, 0, 0, 0, 1))          # where a begins, after BASE
    lead = rng.choice((0, 0, 0, 1, 2, 4))           # b begins so many huge pages into the file
    count = rng.choice((12, 11, 8, 8, 5)) - (lead > 0) * rng.choice((lead, 1))
    place = rng.choice((0x80000, 0x90000, 0xA0000, 0xB0000, 0x90000 - HUGE * lead))
    shift = rng.choice((lead,) * 6 + (0, lead + 1))
    prot = rng.choice(("rw",) * 9 + ("r",))
    flags = rng.choice(("MAP_SHARED",) * 12 + ("MAP_PRIVATE",))
    a, b = BASE + begin * HUGE, place + shift * HUGE
    code = ("machine = Machine(TINY, huge_pages=32)", 'machine.mount("hugetlbfs", "/huge")',
            'a, b, file = machine.spawn("a"), machine.spawn("b"), machine.open("/huge/db")',
            f"file.truncate({FILE * HUGE:#x})",
            f'a.mmap({a:#x}, {length * HUGE:#x}, "rw", MAP_SHARED, file)',
            f"a.touch({a:#x}, {length * HUGE:#x}, write=True)",
            f'b.mmap({b:#x}, {count * HUGE:#x}, "{prot}", {flags}, file, {lead * HUGE:#x})',
            f"b.touch({b:#x}, {count * HUGE:#x})")
    why, shared, covered = [], 0, 0
    for base in range(b // SPAN * SPAN, b + count * HUGE, SPAN):
        fits, said = fit(base, a, a + length * HUGE, b, b + count * HUGE, lead)
        said = said if not fits or prot == "rw" and flags == "MAP_SHARED" else (
            "b's mapping is private: stores would have to stay its own." if prot == "rw" or
            flags != "MAP_SHARED" else "the entries allow stores, and b may not store.")
        fits = fits and prot == "rw" and flags == "MAP_SHARED"
        why.append(f"[{base:#x}, {base + SPAN:#x}): {'shared; ' if fits else ''}{said}")
        shared += fits
        covered += b <= base and base + SPAN <= b + count * HUGE
    low, high = b // SPAN * SPAN, b + count * HUGE
    met = len(range(low, high, SPAN))
    return Problem(
        given=SIZES + " A huge page is 16 KiB, what one entry of a PMD table maps. Hugetlb files "
              "share PMD tables as in Linux.",
        question="How many PMD tables do a and b have in common then?",
        answer=shared, why=(*why, f"So they have {shared} in common."), code=code,
        ask=f"sum(machine.tables.table_at(b.mm.pgd, at, 2).users > 1\n"
            f"    for at in range({low:#x}, {high:#x}, {SPAN:#x}))",
        hint="Take each span of 64 KiB that b touches. Does b cover it, does a cover the same "
             "pages with the same indices, and do both allow the same?",
        mistakes=mistakes(
            shared, (0, "There is a span that both cover, alike in everything."),
            (covered, "b covers so many spans. What of a's mapping, of the indices, of what each "
             "allows?"),
            (met, "b touches so many spans. Does it cover each?")))


def fit(base: int, a: int, a_end: int, b: int, b_end: int, lead: int) -> tuple[bool, str]:
    """Could one table serve both at *base* of b, as far as places go; and why."""
    if not (b <= base and base + SPAN <= b_end):
        return False, "b does not cover it."
    there = a + (base - b) + lead * HUGE            # where a has the same page of the file
    if there % SPAN:
        return False, f"a has the same pages from {there:#x} on, at other indices of a PMD table."
    if not (a <= there and there + SPAN <= a_end):
        return False, f"a does not cover [{there:#x}, {there + SPAN:#x}), the same pages."
    return True, f"a covers [{there:#x}, {there + SPAN:#x}) with the same pages."
