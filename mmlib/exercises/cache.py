"""Exercises of notebook 08: cache tables with the file."""

from ..abi import MAP_SHARED
from ..geometry import TINY
from ..machine import Machine
from ..sharing import FileTableCache, Private
from ..verdict import Verdict
from .exercise import Exercise
from .unshare import check_unshare

BASE, SIZE = 0x40000, 0x10000           # what a PMD table of TINY maps: 16 pages, 4 PTE tables


def served(sharing, others: tuple[str, ...] = ()) -> Machine:
    """A server that has stored to all 16 pages of a file, and readers of it: for each of
    *others* one with this protection."""
    machine = Machine(TINY, sharing=sharing, trace=False)
    file = machine.memfd("db", SIZE)
    for name, prot in (("server", "rw"), *((None, prot) for prot in others)):
        task = machine.spawn(name)
        task.mmap(BASE, SIZE, prot, MAP_SHARED, file)
        task.touch(BASE, SIZE, write=name is not None)
    return machine


def reader_faults(sharing) -> int:
    return served(sharing, ("rw",)).tasks[1].minor_faults


def five_processes(sharing) -> int:
    """Tables of the server, two clients that may store, and two that may not."""
    return served(sharing, ("rw", "rw", "r", "r")).table_count


def still_shared() -> int:
    """PTE tables that a client has in common with others, after mprotect of one page."""
    machine = served(FileTableCache(), ("rw", "rw"))
    client = machine.tasks[1]
    client.mprotect(BASE, TINY.page_size, "r")
    client.touch(BASE, SIZE)
    tables = (machine.tables.table_at(client.mm.pgd, at, 1)
              for at in range(BASE, BASE + SIZE, TINY.span(1)))
    return sum(table.home is not None for table in tables)


def check_more_tables(answer) -> Verdict:
    """Run the reader's script on both machines: are there more tables with the cache?"""
    counts = []
    for sharing in (Private(), FileTableCache()):
        machine = Machine(TINY, sharing=sharing)
        answer(machine)
        counts.append(machine.table_count)
    if not any(counts):
        return Verdict(False, "Your script has made no page table so far.")
    told = f"{counts[1]} page tables with the cache, {counts[0]} with private ones"
    if counts[1] > counts[0]:
        return Verdict(True, f"{told}. Tables that nobody uses are kept for whoever comes next; "
                       "shrink frees them when memory is short.")
    return Verdict(False, f"{told}. Which tables are there for the cache's sake alone?")


EXERCISES = {
    "08.1": Exercise(
        lambda: reader_faults(FileTableCache(("pte",))),
        "A fault for each PTE table: the first one also has to make a PUD and a PMD table.",
        lambda: {reader_faults(Private()): "That is with private tables: TINY maps one page a "
                 "fault.",
                 reader_faults(FileTableCache()): "That is if PMD tables are kept as well.",
                 0: "Who links the tables into the client's own, if nobody faults?"},
        "How many tables can one fault link, and how many are there to link?"),
    "08.2": Exercise(
        lambda: five_processes(FileTableCache()),
        "A PUD for each of five processes, and two sets of one PMD and four PTE tables.",
        lambda: {five_processes(Private()): "That is with private tables.",
                 10: "Is there one set of tables for all, whatever they may do?",
                 five_processes(FileTableCache(("pte",))): "That is without PMD tables.",
                 5: "Those are the PUDs."},
        "How many sets does the file have, and how many tables are in one?"),
    "08.3": Exercise(
        still_shared,
        "Only the PTE table with the changed page is the client's own; so is the PMD table above.",
        lambda: {0: "That is so for hugetlb, where the span has a single table. Here the client "
                    "leaves the PMD table; what does it find below?",
                 4: "One of them holds an entry that must be read-only for this client alone.",
                 1: "That is how many it has for itself."},
        "Which of the four spans of 16 KiB still lies in one mapping?"),
    "08.4": check_unshare,
    "08.5": check_more_tables,
}
