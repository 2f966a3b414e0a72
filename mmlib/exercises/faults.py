"""Exercises of notebook 02: fault in a page."""

from collections.abc import Iterator

from ..abi import MAP_SHARED
from ..geometry import TINY, X86_64
from ..machine import Machine
from ..signals import BusError, Segfault
from ..verdict import Verdict
from .exercise import ANON, Case, Code, Exercise


def tables_of_a_mapping() -> int:
    """Page tables after sixteen pages were mapped and none was touched."""
    task = Machine(TINY).spawn()
    task.mmap(0x10000, 0x10000, "rw", ANON)
    return task.tables


def load_then_store() -> int:
    """Faults of a load and then a store to one page of private memory."""
    task = Machine(TINY).spawn()
    task.mmap(0x4000, 0x1000, "rw", ANON)
    task.load(0x4000)
    task.store(0x4000, 1)
    return task.minor_faults


def read_a_cached_file() -> int:
    """Faults of reading 64 cached pages one after the other, twice, with Linux's fault-around."""
    machine = Machine(X86_64, trace=False)
    task, file = machine.spawn(), machine.memfd("f", 64 * 4096)
    file.pwrite(b"x" * 64 * 4096, 0)
    task.mmap(0x40000000, 64 * 4096, "r", MAP_SHARED, file)
    for _ in range(2):
        task.touch(0x40000000, 64 * 4096)
    return task.minor_faults


def outcome(prot: str | None, write: bool) -> str:
    """What the machine does: "ok", "SEGV_MAPERR" or "SEGV_ACCERR"."""
    task = Machine(TINY, trace=False).spawn()
    if prot is not None:
        task.mmap(0x4000, 0x1000, prot, ANON)
    try:
        task.touch(0x4000, 1, write)
    except Segfault as signal:
        return signal.code
    return "ok"


def accesses() -> Iterator[Case]:
    """Every protection and both accesses."""
    for prot in (None, "", "r", "rw", "w"):
        for write in (False, True):
            what = "no mapping" if prot is None else f"prot {prot!r}"
            yield Case(f"for a {'store' if write else 'load'} with {what}", (prot, write),
                       outcome(prot, write), lambda got: "The machine disagrees.")


def check_bus_error(answer) -> Verdict:
    """Run the reader's script: does it end in SIGBUS, with page tables made on the way?"""
    machine = Machine(TINY)
    try:
        answer(machine)
    except BusError:
        if machine.table_count:
            return Verdict(True, "The tables above the PTE table were made before anybody asked "
                           "the file for the page.")
        return Verdict(False, "SIGBUS it is, but no page table is there.")
    return Verdict(False, "Your script ended without a signal.")


EXERCISES = {
    "02.1": Exercise(
        tables_of_a_mapping, "mmap only notes what may be; tables come with the first fault.",
        lambda: {3: "That is after the first touch.",
                 6: "That is after every page was touched."},
        "What does mmap change: the VMA list, the page tables, or both?"),
    "02.2": Exercise(
        load_then_store, "First the zero page for the load, then a page of its own for the store.",
        lambda: {1: "So it would be if the store came first. What did the load map?",
                 0: "Who fills the entry, if nobody faults?"},
        "Look at what the entry allows after the load."),
    "02.3": Exercise(
        read_a_cached_file, "One fault maps a window of 16 pages, and the second round finds all of "
        "them mapped.",
        lambda: {64: "That is without fault-around, as in TINY.",
                 128: "Does a load of a page that is mapped already fault?",
                 2 * read_a_cached_file(): "What does the second round find in the page table?",
                 1: "The window is 16 pages, not the whole mapping."},
        "How many pages does one fault map, when they are in the page cache already?"),
    "02.4": Code(accesses, "And 'w' alone can be read, too: the entry has no bit that forbids it."),
    "02.5": check_bus_error,
}
