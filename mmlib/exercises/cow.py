"""Exercise 03.6: the reader's copy on write takes the place of the machine's.

Random families of processes run on it.  Each fault that it handles is judged: is the page copied
if others have it and else not, does the entry allow the store, does any CPU remember what was?
"""

import random
from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

from .. import fault
from ..abi import MAP_PRIVATE
from ..check import validate
from ..geometry import PFN_MASK, RW, TINY, A, D, entry_pfn
from ..machine import Machine
from ..tlb import flush_range
from ..verdict import Verdict
from ..vma import anon_vma_prepare
from .exercise import ANON, UNWRITTEN, Wrong

BASE, FILE = 0x4000, 0x20000            # three anonymous pages, two of a file, all private


class Page(NamedTuple):
    """What the reader's function is told of the page that a read-only entry leads to."""

    pfn: int
    mapcount: int                       # entries that lead to it
    anon: bool                          # it is no file's page and not the zero page


class StandIn:
    """Stands in for do_wp_page, and calls the reader's *function*."""

    def __init__(self, function: Callable):
        self.function, self.handled, self.copies, self.written = function, 0, 0, False

    def do_wp_page(self, machine, mm, vma, addr: int, table, entry: int) -> None:
        index, memory = TINY.index(addr, 1), machine.memory
        old, page = memory.folio(entry_pfn(entry)), addr // 4096 * 4096
        seen, made = Page(old.pfn, old.mapcount, old.anon), []
        anon_vma_prepare(vma)

        def copy() -> int:
            new = memory.alloc_folio()
            memory.copy(old, new)
            new.exclusive, new.mapcount = True, 1
            made.append(new.pfn)
            return new.pfn

        def set_entry(value: int) -> None:
            machine.tables.set(table, index, value)

        def flush() -> None:
            flush_range(machine, mm, page, page + 4096)

        told = f"{mm.name} stores to {addr:#x}, and the entry leads to {described(seen)}"
        try:
            got = self.function(entry, seen, copy, set_entry, flush)
        except Exception as failed:     # the reader's code, whatever is wrong with it
            self.written = True
            raise Wrong(f"{told}: your function ended with {type(failed).__name__}: "
                        f"{failed}.") from None
        now = machine.tables.get(table, index)
        self.written |= got is not ... or bool(made) or now != entry
        wrong = judge(seen, entry, now, made) or stale(machine, mm, page, entry_pfn(now))
        if wrong:
            raise Wrong(f"{told}: {wrong}")
        self.handled += 1
        if made:
            self.copies += 1
            memory.put_folio(old)
        else:
            old.exclusive = True


def described(page: Page) -> str:
    if page.anon:
        return f"frame {page.pfn}, an anonymous page with {page.mapcount} " + (
            "entry" if page.mapcount == 1 else "entries")
    return "the zero page" if page.pfn == 1 else f"frame {page.pfn}, a page of a file"


def judge(old: Page, entry: int, now: int, made: list[int]) -> str:
    """What is wrong with the entry, or with the copies that were made; "" if nothing is."""
    if len(made) > 1:
        return "you have copied the page more than once."
    if entry_pfn(now) not in (old.pfn, *made) or not now:
        return f"the entry is {now:#x} now, which leads to neither the old page nor a copy of it."
    if entry_pfn(now) == old.pfn and (not old.anon or old.mapcount > 1):
        return "if it stays there, who else would see the store?"
    if made and old.anon and old.mapcount == 1:
        return "you have made a copy. Who would miss the old page?"
    if not now & RW:
        return "the entry forbids the store as before, so it would fault again, for ever."
    if (now ^ entry) & ~(PFN_MASK | RW | A | D):
        return (f"the entry was {entry:#x} and is {now:#x}: bits have changed that say other "
                "things about the page.")
    return ""


def stale(machine, mm, page: int, pfn: int) -> str:
    """Does a CPU remember another frame for *page*?"""
    for cpu in mm.cpus:
        there = machine.tlbs[cpu].entries.get((mm, page >> 12))
        if there and entry_pfn(there) != pfn:
            return (f"CPU {cpu} still remembers frame {entry_pfn(there)} for this page, and goes "
                    "on reading there.")
    return ""


def family(rng: random.Random) -> Machine:
    """Processes and threads that fork, load, store and exit at random."""
    machine = Machine(TINY, cpus=2, trace=False)
    file = machine.memfd("f", 0x2000)
    first = machine.spawn("a")
    first.mmap(BASE, 0x3000, "rw", ANON)
    first.mmap(FILE, 0x2000, "rw", MAP_PRIVATE, file)
    places = [BASE, BASE + 0x1000, BASE + 0x2000, FILE, FILE + 0x1000]
    for number in range(40):
        task, tasks = rng.choice(machine.tasks), len(machine.tasks)
        what = rng.choice(("fork", "clone", "exit", "load", "load", "store", "store", "store"))
        if what in ("fork", "clone") and tasks < 5:
            getattr(task, what)("bcdefghijklmnopqrstuvwxyzBCDEFGHIJKLMNOPQRSTUVWXYZ"[number])
        elif what == "exit" and tasks > 2:
            task.exit()
        else:
            task.run_on(rng.randrange(2))
            addr = rng.choice(places)
            task.load(addr) if what == "load" else task.store(addr, bytes([number]))
    return machine


def check_cow(function) -> Verdict:
    """Let random families run on the reader's function."""
    stand = StandIn(function)
    try:
        with patch.object(fault, "do_wp_page", stand.do_wp_page):
            for seed in range(30):
                validate(family(random.Random(seed)))
    except Wrong as why:
        return Verdict(False, f"When {why}") if stand.written else UNWRITTEN
    return Verdict(True, f"{stand.handled} faults of 30 random families were handled by your "
                   f"code, {stand.copies} of them by a copy, as the kernel does it.")
