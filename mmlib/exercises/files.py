"""Exercises of notebook 04: map a file twice."""

from collections.abc import Iterator

from ..abi import MAP_FIXED, MAP_SHARED
from ..geometry import TINY, X86_64
from ..machine import Machine
from ..task import Task
from ..verdict import Verdict
from .exercise import ANON, Case, Code, Exercise

MIB, TIB = 1 << 20, 1 << 40
# of exercise 5: (start, length), among them spans that cross a 2 MiB, a 1 GiB, a 512 GiB border
RANGES = ((TIB, 4096), (TIB, 64 * MIB), (TIB + MIB, 2 * MIB), (TIB + 4096, 64 * MIB),
          (TIB - 4096, 8192), (TIB + 1023 * MIB, 2 * MIB), (TIB, 1024 * MIB),
          (TIB + 512 * MIB, 1024 * MIB))


def mapped(task: Task, start: int, length: int) -> Task:
    """*task* maps a file of its own there, and touches a page of each PTE table."""
    task.mmap(start, length, "rw", MAP_SHARED, task.machine.memfd("data", length))
    span = X86_64.span(1)
    for addr in (start, *range(start // span * span + span, start + length, span)):
        task.load(addr)
    return task


def process(start: int, length: int) -> Task:
    return mapped(Machine(X86_64, trace=False).spawn(), start, length)


def server_and_clients(clients: int = 3, pages: int = 6) -> Machine:
    """A file in TINY that a server stored to and its clients read."""
    machine = Machine(TINY)
    server = machine.spawn()
    start = server.mmap(0x20000, pages * 4096, "rw", MAP_SHARED, machine.memfd("f", pages * 4096))
    server.touch(start, pages * 4096, write=True)
    for _ in range(clients):
        server.fork().touch(start, pages * 4096)
    return machine


def file_pages() -> int:
    return len(server_and_clients().snapshot().frames)


def one_page_read() -> int:
    task = Machine(X86_64, trace=False).spawn()
    task.mmap(TIB, 64 * MIB, "r", MAP_SHARED, task.machine.memfd("f", 64 * MIB))
    task.load(TIB)
    return task.tables


def crossing() -> int:
    """The first number of processes whose tables are larger than a file of 1 GiB."""
    return (1 << 30) // process(TIB, 1 << 30).page_table_bytes + 1


def ranges() -> Iterator[Case]:
    """Mappings, and the tables that the machine makes for each."""
    for start, length in RANGES:
        right = process(start, length).tables

        def hint(got, right=right) -> str:
            return (f"That is too {'few' if got < right else 'many'}. " if type(got) is int else
                    "") + "Which borders of 2 MiB, 1 GiB and 512 GiB lie within the range?"
        yield Case(f"for {length // 4096} pages from {start:#x} on", (start, length), right, hint)


def check_scattered(answer) -> Verdict:
    """Do so few pages need so many tables?"""
    try:
        pages = {addr // 4096 * 4096 for addr in answer}
    except TypeError:
        return Verdict(False, "Give a list of addresses.")
    if not pages or not all(0 <= page < X86_64.task_size for page in pages):
        return Verdict(False, "Give at least one address, and only those of user space.")
    machine = Machine(X86_64, trace=False)
    task = machine.spawn()
    for page in pages:
        task.mmap(page, 4096, "rw", ANON | MAP_FIXED)
        task.store(page, b"x")
    told = f"{len(pages)} pages of data, {task.tables} page tables"
    if len(pages) < 8 or task.tables < 3 * len(pages):
        return Verdict(False, f"{told}. " + (
            "Give eight different pages." if len(pages) < 8 else
            "Some of the pages have tables in common. Which index decides about the PUD?"))
    return Verdict(True, f"{told}: three quarters of this memory tell where the rest is.")


EXERCISES = {
    "04.1": Exercise(
        file_pages, "The page cache has each page once, however many processes map it.",
        lambda: {sum(f.mapcount for f in server_and_clients().snapshot().frames):
                 "That is the number of entries that point to them.",
                 server_and_clients().table_count: "That is the number of page tables."},
        "Where does a fault on a shared mapping get its page from?"),
    "04.2": Exercise(
        one_page_read, "One table of each kind: PTE, PMD, PUD. Only what is touched costs tables.",
        lambda: {34: "That is after all of it was touched.",
                 1: "The walk has to get to the PTE table, too.",
                 0: "That is after mmap, before the load.",
                 4: "VmPTE does not count the top-level table."},
        "Which tables does the walk to this one page pass?"),
    "04.3": Exercise(
        lambda: process(TIB + MIB, 64 * MIB).tables,
        "Half a PTE table at either end: that makes 33, not 32, and two tables above them.",
        lambda: {process(TIB, 64 * MIB).tables: "So it is when the mapping begins at a border of "
                 "2 MiB. Where does this one begin and end?",
                 33: "So many PTE tables. And above them?"},
        "A PTE table maps 2 MiB, and begins at a multiple of 2 MiB. How many of these pieces does "
        "the mapping touch?"),
    "04.4": Exercise(
        crossing, "A little less than 4096 / 8, since there are tables above the PTE tables.",
        lambda: {512: "So it would be if there were PTE tables only.",
                 513: "So it would be if there were PTE tables only.",
                 crossing() - 1: "With so many, the tables are just not larger yet."},
        "How many tables has one process? Divide the size of the file by theirs."),
    "04.5": Code(ranges, "Only borders count: this is what a table is, a piece of the address "
                 "space, whatever is mapped there."),
    "04.6": check_scattered,
}
