"""Translate an address by the entries of the page tables.

Frames are handed out lowest first: the top-level table is in frame 2, and the first store to a
page takes a frame for each table that is missing on the way, top down, and then one for the page.
"""

import random

from ..geometry import NX, TINY, US, X86_64, A, D, P, RW, ZERO_PFN, Geometry
from .question import Problem, mistakes

TABLE, PAGE = P | RW | US | A, P | US | A | NX


def make(rng: random.Random) -> Problem:
    geometry = rng.choice((TINY, X86_64))
    pages = chosen(rng, geometry)
    code = [f"machine = Machine({geometry})", 'a = machine.spawn("a")']
    tables, used, path = {2: {}}, 2, {}
    for page, write in pages.items():
        code.append(f'a.mmap({page:#x}, 0x1000, "rw", ANON)')
        code.append(f'a.store({page:#x}, b"x")' if write else f"a.load({page:#x})")
        pfn, path[page] = 2, [2]
        for level in range(4, 1, -1):
            index = geometry.index(page, level)
            if index not in tables[pfn]:
                used += 1
                tables[pfn][index], tables[used] = used << 12 | TABLE, {}
            pfn = tables[pfn][index] >> 12
            path[page].append(pfn)
        used += write
        tables[pfn][geometry.index(page, 1)] = \
            used << 12 | PAGE | RW | D if write else ZERO_PFN << 12 | PAGE
    addr = rng.choice(list(pages)) + rng.randrange(4096)
    if rng.random() < 0.25:             # an index that leads nowhere
        level = rng.choice((1, 1, 2, 3))
        addr = (addr + (1 << 12 + geometry.bits * (level - 1))) % geometry.task_size
    return asked(geometry, tables, addr, tuple(code))


def chosen(rng: random.Random, geometry: Geometry) -> dict[int, bool]:
    """Pages, and whether each is stored to; neighbours are likely to have tables in common."""
    bits, first = geometry.bits, rng.randrange(1, geometry.task_size >> 12)
    pages = {first << 12: True}
    for _ in range(rng.choice((1, 2, 2))):
        level = rng.choice((1, 2, 3, 4))
        other = first ^ rng.randrange(1, 1 << bits - (level == 4)) << bits * (level - 1)
        if 0 < other < geometry.task_size >> 12:
            pages[other << 12] = rng.random() < 0.8
    return pages


def asked(geometry: Geometry, tables: dict, addr: int, code: tuple[str, ...]) -> Problem:
    indices, offset = geometry.indices(addr), addr & 4095
    why = [f"{addr:#x} is cut into the indices {', '.join(map(str, indices))} of {geometry.bits} "
           f"bits each and the offset {offset:#x}."]
    pfn, answer, last = 2, -1, 2
    for level, index in zip(range(4, 0, -1), indices):
        entry = tables[pfn].get(index, 0)
        name = geometry.level_name(level)
        if not entry:
            why.append(f"Entry {index} of the {name} table in frame {pfn} is empty: the walk ends, "
                       "and the answer is -1.")
            break
        last, pfn = pfn, entry >> 12 & 0xFFFFF
        why.append(f"Entry {index} of the {name} table in frame {last} is {entry:#x}: frame {pfn}.")
    else:
        answer = pfn << 12 | offset
        why.append(f"Frame {pfn} begins at {pfn << 12:#x}, and {offset:#x} bytes on is "
                   f"{answer:#x}.")
    dump = "\n".join(["    frame  entry  holds", *(
        f"    {pfn:5}  {index:5}  {entry:#x}" for pfn, entries in tables.items()
        for index, entry in sorted(entries.items()))])
    return Problem(
        given=f"A machine cuts addresses into four indices of {geometry.bits} bits and an offset "
              "of 12. CR3 holds frame 2. These are the page tables, with all entries that are not "
              f"0:\n{dump}",
        question=f"To which physical address does {addr:#x} lead? Answer with a number, or with "
                 "-1 if the walk meets an empty entry.",
        answer=answer, form="{0} ({0:#x})" if answer >= 0 else "{}",
        why=tuple(why), code=code, shows_code=False,
        ask=f"int(a.translate([{addr:#x}])[0])",
        hint=f"Cut the address from the right: 12 bits of offset, then {geometry.bits} bits an "
             "index. In an entry, the bits from 12 up are the number of the next frame.",
        mistakes={} if answer < 0 else mistakes(
            answer, (-1, "No entry on the way is empty. Are the indices right?"),
            (pfn << 12, "That is where the frame begins. And the offset?"),
            (pfn, "That is a frame's number. How many bytes has a frame?"),
            (last << 12 | offset, "You stopped one table too early."),
            (addr, "That is the virtual address.")))
