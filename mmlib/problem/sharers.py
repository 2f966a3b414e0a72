"""Say who uses whose page table, if tables are kept with the file.

A table of the cache serves every shared mapping that covers its span, has the same page of the
file there, and allows the same: one set for those that may store, one for those that may not,
each also with x.  Threads use whatever their mm has.
"""

import random

from .question import SIZES, Problem

BASE, SPAN = 0x40000, 0x4000            # a PTE table maps 4 pages; page 0 of the file is asked for
WAYS = {                                # (start, length, prot, flags), why not, if not
    "same": ((BASE, 0x10000, "rw", "MAP_SHARED"), None),
    "elsewhere": ((0x90000, 0x8000, "rw", "MAP_SHARED"), None),
    "congruent": ((0x84000, 0x4000, "rw", "MAP_SHARED"), None),
    "w": ((0xC0000, 0x4000, "w", "MAP_SHARED"), None),
    "read": ((BASE, 0x10000, "r", "MAP_SHARED"), "its set is the one that may not store."),
    "exec": ((BASE, 0x8000, "rwx", "MAP_SHARED"), "its entries allow to execute."),
    "shifted": ((0x81000, 0x8000, "rw", "MAP_SHARED"),
                "page 0 has another index in its PTE table."),
    "short": ((BASE, 0x3000, "rw", "MAP_SHARED"), "its mapping does not cover the span."),
    "private": ((BASE, 0x8000, "rw", "MAP_PRIVATE"), "its mapping is private."),
}


def make(rng: random.Random) -> Problem:
    code = ["machine = Machine(TINY, sharing=FileTableCache())",
            'file = machine.memfd("db", 0x10000)', 'a = machine.spawn("a")',
            *mapping("a", WAYS["same"][0])]
    right, why, places = [], [], {"a": BASE}
    ways = rng.sample([*WAYS, "thread", "child", "optout"], rng.choice((3, 4)))
    for name, way in zip("bcde", ways):
        if way == "thread":
            code += [f'{name} = a.clone("{name}")']
            no, said = None, "a thread of a: it has a's tables, whatever they are."
        elif way == "child":
            code += [f'{name} = a.fork("{name}")', f"{name}.load({BASE:#x})"]
            no = None
            said = "a child with the same mapping: its first fault links the file's table."
        elif way == "optout":
            code += [f'{name} = machine.spawn("{name}")', f"{name}.share_tables = False",
                     *mapping(name, WAYS["same"][0])]
            no = "it has opted out."
        else:
            where, no = WAYS[way]
            code += [f'{name} = machine.spawn("{name}")', *mapping(name, where)]
            said = "a shared mapping that covers the span, with the same pages, in the same set."
        places[name] = WAYS[way][0][0] if way in WAYS else BASE
        right += [name] * (no is None)
        why.append(f"{name}: {'yes, ' + said if no is None else 'no, ' + no}")
    return Problem(
        given="Page tables are kept with the file, as a mail of 2022 proposes. " + SIZES,
        question="Which other tasks have the PTE table in which a has page 0 of the file? Answer "
                 "with a tuple of their names, such as ('b', 'd').",
        answer=tuple(right), why=tuple(why), code=tuple(code), choices=tuple("bcde"[:len(ways)]),
        hint="Compare each mapping with that of a: its flags, what it covers, which page is where, "
             "what it allows. A thread has no mapping of its own.",
        ask=f"places = {{{', '.join(f'{name!r}: {at:#x}' for name, at in places.items())}}}\n"
            "own = {t.name: machine.tables.table_at(t.mm.pgd, places[t.name], 1)\n"
            "       for t in machine.tasks}\n"
            "tuple(name for name in own if name != 'a' and own[name] is own['a'])")


def mapping(name: str, where: tuple) -> list[str]:
    start, length, prot, flags = where
    return [f'{name}.mmap({start:#x}, {length:#x}, "{prot}", {flags}, file)',
            f"{name}.touch({start:#x}, {length:#x})"]
