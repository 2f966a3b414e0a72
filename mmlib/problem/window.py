"""Count the faults of loads from a file, with fault-around.

A load of a page that is not mapped maps the cached pages around it as well: those of the 16 PTE
entries of an aligned window, as far as they lie in the mapping and in the file
(do_fault_around).  Where the mapping begins inside the window, the 16 begin there.
"""

import random

from .question import Problem, mistakes, plural

BASE, WINDOW = 0x200000000000, 16       # BASE is a multiple of what a PTE table maps


def make(rng: random.Random) -> Problem:
    size = rng.choice((32, 40, 64))
    cached = rng.choice((0, size, size, size // 2, 24))
    skip, shift = rng.choice((0, 0, 4, 8)), rng.choice((0, 0, 5, 8, 12))
    pages, start = size - skip, BASE + shift * 0x1000
    loads = [rng.randrange(pages) for _ in range(rng.choice((4, 5, 6)))]
    if rng.random() < 0.5:              # a neighbour of the first one
        loads[1] = min(loads[0] + rng.choice((1, 3)), pages - 1)
    code = ["machine = Machine(X86_64)", 'a = machine.spawn("a")',
            f'file = a.memfd("f", {size} * 4096)']
    if cached:
        code.append(f"file.pwrite(bytes({cached} * 4096), 0)")
    code.append(f'a.mmap({start:#x}, {pages} * 4096, "r", MAP_SHARED, file, {skip} * 4096)')
    code += [f"a.load({start:#x} + {page} * 4096)" for page in loads]
    in_cache, mapped, why, answer = set(range(cached)), set(), [], 0
    for page in loads:
        if page in mapped:
            why.append(f"Page {page} of the mapping is mapped already: no fault.")
            continue
        answer += 1
        first, end = window(shift + page, page, pages)
        around = {n for n in range(first, end) if n + skip in in_cache} - mapped - {page}
        in_cache.add(page + skip)
        mapped |= around | {page}
        why.append(f"Page {page}: a fault. Its window is the pages {first} to {end - 1} of the "
                   f"mapping; {len(around)} more of them are cached and are mapped with it.")
    why.append(f"That makes {plural(answer, 'fault')}.")
    return Problem(
        given=f"Linux maps {WINDOW} entries around a load of a file's page, as far as their pages "
              "are in the page cache. What pwrite wrote is in it; the rest of the file is holes.",
        question="How many page faults does the process take?",
        answer=answer, why=tuple(why), code=tuple(code), ask="a.minor_faults",
        hint="Write the numbers of the PTE entries beside the pages: a window begins at a "
             "multiple of 16 of those, or where the mapping begins.",
        mistakes=mistakes(
            answer, (len(set(loads)), "That is without fault-around."),
            (len(loads), "Does a load of a mapped page fault?"),
            (len({n // WINDOW for n in loads}), "Are windows counted from the start of the "
             "mapping, and is every page of them cached?")))


def window(pte: int, page: int, pages: int) -> tuple[int, int]:
    """The window around entry *pte*, as pages of the mapping; *page* is the one at *pte*.  (The
    file ends where the mapping does, and all of it lies in one PTE table.)"""
    first = max(pte // WINDOW * WINDOW, pte - page)
    return first - pte + page, min(first + WINDOW - pte + page, pages)
