"""Exercises of notebook 08: cache tables with the file."""

from itertools import product

from ..abi import MAP_SHARED
from ..geometry import TINY
from ..machine import Machine
from ..sharing import FileTableCache, Private, cache_key
from ..verdict import Verdict
from .exercise import UNWRITTEN, Exercise
from .unshare import check_unshare

BASE, SIZE = 0x40000, 0x10000           # what a PMD table of TINY maps: 16 pages, 4 PTE tables


def served(sharing, others: tuple[str, ...] = (), start: int = BASE) -> Machine:
    """A server that has stored to all 16 pages of a file, and readers of it: for each of
    *others* one with this protection, from *start* on."""
    machine = Machine(TINY, sharing=sharing, trace=False)
    file = machine.memfd("db", SIZE)
    for name, prot, at in (("server", "rw", BASE), *((None, prot, start) for prot in others)):
        task = machine.spawn(name)
        task.mmap(at, SIZE, prot, MAP_SHARED, file)
        task.touch(at, SIZE, write=name is not None)
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


def lucky_addresses(levels: tuple[str, ...]) -> int:
    """How many of 16 places of the client's mapping let it share at least one table."""
    return sum(served(FileTableCache(levels), ("rw",), start).tasks[1].minor_faults
               < reader_faults(Private())
               for start in range(BASE, BASE + SIZE, TINY.page_size))


def layouts():
    """VMAs of every protection, and the bases in them at which a table may come from the cache."""
    machine = Machine(TINY, sharing=FileTableCache(), trace=False)
    file = machine.memfd("db", 2 * SIZE)
    places = ((BASE + SIZE, 0), (BASE, SIZE), (BASE, 0))       # equal pages, equal addresses
    for prot, (start, offset) in product(("r", "rw", "w", "rx", "rwx", ""), places):
        task = machine.spawn()
        task.mmap(start, SIZE, prot, MAP_SHARED, file, offset)
        vma = task.mm.vmas[0]
        for level in (1, 2):
            for base in range(vma.start, vma.end, TINY.span(level)):
                if machine.sharing.may_share(vma, base, level):
                    yield vma, base, level


def check_key(answer) -> Verdict:
    """Do the reader's keys tell apart what must not be mixed, and nothing else?"""
    asked = [(where, cache_key(*where), answer(*where)) for where in layouts()]
    if any(got is ... for _, _, got in asked):
        return UNWRITTEN
    for _, _, got in asked:
        hash(got)                       # TypeError: it cannot be a key
    for (one, right, got), (two, right2, got2) in product(asked, asked):
        if (got == got2) != (right == right2):
            return Verdict(False, f"{told(*one)}, and {told(*two)}: your keys are "
                           f"{'equal' if got == got2 else 'different'}. {why(right, right2)}")
    return Verdict(True, f"Your keys keep the sets apart, and no more, in {len(asked)} places.")


def told(vma, base: int, level: int) -> str:
    return (f"{TINY.level_name(level)} table of a mapping {vma.perms} for page "
            f"{vma.index(base)} of the file, at {base:#x}")


def why(one: tuple, two: tuple) -> str:
    """What a table that served both would do wrong, or why one can."""
    (kind, level, page), (kind2, level2, page2) = one, two
    if one == two:
        return "One table could serve both. Is the address part of what a table means?"
    if level != level2:
        return "They are tables of different levels."
    if page != page2:
        return "They map different pages of the file."
    return f"Their entries must differ: one belongs to the set {kind!r}, one to {kind2!r}."


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
    "08.4": Exercise(
        lambda: lucky_addresses(("pte", "pmd")),
        "Every fourth page is congruent with the offset, modulo the span of a PTE table.",
        lambda: {1: "One address fits the span of the PMD table. What about PTE tables?",
                 16: "At most of them, an entry of the server's table would be for another page "
                     "than the client has there.",
                 15: "Is it enough to differ from the server's address?"},
        "When does page 0 of the file have the same index in a PTE table of both?"),
    "08.5": check_key,
    "08.6": check_unshare,
    "08.7": check_more_tables,
}
