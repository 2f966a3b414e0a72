"""Exercise 08.4: the reader's unshare takes the place of the machine's.

Random processes share cached tables and then unmap, protect and empty parts of them.  Each time the
reader's function has to let go of the right tables, and to make the CPUs forget.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple
from unittest.mock import patch

from .. import advise, protect, unmap
from ..abi import MADV_DONTNEED, MAP_SHARED
from ..check import validate
from ..geometry import TINY
from ..machine import Machine
from ..sharing import FileTableCache, is_shared
from ..tables import Ptdesc
from ..tlb import flush_range
from ..unshare import put_table
from ..verdict import Verdict
from .exercise import UNWRITTEN, Wrong

SIZE = 0x10000                          # of the file: what a PMD table of TINY maps


class Link(NamedTuple):
    """An entry that leads to a table: what the reader's function gets."""

    start: int                          # the table maps [start, end)
    end: int
    table: Ptdesc
    shared: bool                        # it may be changed only for all who use it
    parent: Ptdesc
    index: int

    def __repr__(self) -> str:
        name = TINY.level_name(self.table.level)
        return f"the {name} table for [{self.start:#x}, {self.end:#x})"


class StandIn:
    """Stands in for unshare_range, and calls the reader's *function*."""

    def __init__(self, function: Callable):
        self.function, self.dropped, self.written = function, 0, False

    def unshare_range(self, machine, mm, start: int, end: int) -> None:
        bases, gone = {mm.pgd: 0}, []

        def links(table: Ptdesc) -> list[Link]:
            found, span = [], TINY.entry_span(table.level)
            for index, _ in machine.tables.present(table):
                child = machine.tables.child(table, index)
                if child is not None:
                    bases[child] = at = bases[table] + index * span
                    found.append(Link(at, at + span, child, is_shared(child), table, index))
            return found

        def drop(link: Link) -> None:
            wrong = misplaced(link, start, end)
            if wrong:
                raise Wrong(wrong)
            put_table(machine, mm, link.parent, link.index)
            gone.append(link)

        def flush(first: int, last: int) -> None:
            flush_range(machine, mm, first, last)

        told = f"{mm.name} is about to change [{start:#x}, {end:#x})"
        wanted = expected(machine, mm, start, end)
        try:
            got = self.function(mm.pgd, start, end, links, drop, flush)
        except Wrong as why:
            self.written = True
            raise Wrong(f"{told}: {why}") from None
        except Exception as failed:     # the reader's code, whatever is wrong with it
            self.written = True
            raise Wrong(f"{told}: your function ended with {type(failed).__name__}: "
                        f"{failed}.") from None
        self.written |= got is not ... or bool(gone)
        wrong = kept(wanted, gone) or remembered(machine, mm, gone, start, end)
        if wrong:
            raise Wrong(f"{told}: {wrong}")
        self.dropped += len(gone)


def expected(machine, mm, start: int, end: int) -> list[tuple[Ptdesc, int, int, int]]:
    """(parent, index, start, end) of the shared tables that meet the range, as the machine finds
    them: none below another one."""
    own, found = {mm.pgd}, []
    for addr, parent, index, table in machine.tables.links(mm.pgd, start, end):
        if parent in own and is_shared(table):
            found.append((parent, index, addr, addr + TINY.span(table.level)))
        elif parent in own:
            own.add(table)
    return found


def misplaced(link: Link, start: int, end: int) -> str:
    """Why this table must not be dropped; "" if it may."""
    if is_shared(link.parent):
        return (f"you drop {link}, whose entry stands in a table that others use as well. Whose "
                "entry is it?")
    if not link.shared:
        return f"you drop {link}, which nobody else uses."
    if link.end <= start or end <= link.start:
        return f"you drop {link}. Does it map anything of the range?"
    return ""


def kept(wanted: list, gone: list[Link]) -> str:
    """Which table should have been dropped, and was not."""
    for parent, index, first, last in wanted:
        if (parent, index) not in [(link.parent, link.index) for link in gone]:
            return (f"afterwards it still uses a shared table for [{first:#x}, {last:#x}). What it "
                    "does next would happen to everybody.")
    return ""


def remembered(machine, mm, gone: list[Link], start: int, end: int) -> str:
    """Which CPU remembers an entry of a table that was dropped."""
    for cpu in mm.cpus:
        for owner, page in machine.tlbs[cpu].entries:
            addr = page << 12
            if owner is mm and any(link.start <= addr < link.end for link in gone):
                where = ", which is not in the range, but in the table"
                return (f"CPU {cpu} still remembers the entry for {addr:#x}"
                        f"{where * (not start <= addr < end)}.")
    return ""


def crowd(rng: random.Random) -> Machine:
    """Processes that map one file, some only a part, and give up parts of it at random."""
    machine = Machine(TINY, sharing=FileTableCache(), cpus=2, trace=False)
    file = machine.memfd("db", SIZE)
    for number in range(4):
        task = machine.spawn("abcd"[number])
        start, length = rng.choice(((0x40000, SIZE), (0x40000, SIZE), (0x80000, SIZE // 2)))
        task.mmap(start, length, "rw", MAP_SHARED, file)
    for _ in range(40):
        task = rng.choice(machine.tasks)
        task.run_on(rng.randrange(2))
        vma = rng.choice(task.mm.vmas) if task.mm.vmas else None
        if vma is None:
            continue
        page = rng.randrange(vma.start, vma.end, 4096)
        length = 4096 * rng.choice((1, 1, 2, 4))
        what = rng.choice(("load", "load", "load", "load", "mprotect", "madvise", "munmap"))
        if what == "load":
            for addr in range(vma.start, vma.end, 4096):
                task.load(addr)
        elif what == "mprotect":
            task.mprotect(page, min(length, vma.end - page), rng.choice(("r", "rw")))
        elif what == "madvise":
            task.madvise(page, min(length, vma.end - page), MADV_DONTNEED)
        elif rng.random() < 0.4:
            task.munmap(page, length)
    return machine


def check_unshare(function) -> Verdict:
    """Let random processes run on the reader's function."""
    stand = StandIn(function)
    try:
        with ExitStack() as stack:
            for module in (unmap, protect, advise):
                stack.enter_context(patch.object(module, "unshare_range", stand.unshare_range))
            for seed in range(30):
                validate(crowd(random.Random(seed)))
    except Wrong as why:
        return Verdict(False, f"When {why}") if stand.written else UNWRITTEN
    return Verdict(True, f"{stand.dropped} times your code has let go of a table, and everybody "
                   "else went on using it.")
