"""Exercises of notebook 11: ask your own kernel."""

from collections.abc import Callable, Iterator

from .. import abilities
from ..abi import MADV_DONTNEED, MAP_SHARED
from ..machine import Machine
from ..verdict import Verdict
from ..worlds import present
from .exercise import ANON, Case, Code, Exercise

MIB, AT = 1 << 20, 1 << 40
WINDOWS = (16, 1, 4, 64)                # of fault-around, in pages


def group(clients: int = 7, size: int = 16 * MIB) -> Machine:
    """A server that has stored to all of a file, and clients that have read all of it."""
    machine = Machine(trace=False)
    server = machine.spawn()
    server.mmap(AT, size, "rw", MAP_SHARED, machine.memfd("data", size))
    server.touch(AT, size, write=True)
    for _ in range(clients):
        server.fork().touch(AT, size)
    return machine


def kib_of_tables() -> int:
    return sum(task.page_table_bytes for task in group().tasks) >> 10


def written(size: int):
    task = Machine(trace=False).spawn()
    task.mmap(AT, size, "rw", ANON)
    task.touch(AT, size, write=True)
    return task


def faults_of_the_child() -> int:
    """It reads five pages that its parent has stored to, and stores to two of them."""
    child = written(5 * 4096).fork()
    child.touch(AT, 5 * 4096)
    child.touch(AT, 2 * 4096, write=True)
    return child.minor_faults


def after_dontneed() -> int:
    task = written(6 * MIB)
    task.madvise(AT + MIB, 4 * MIB, MADV_DONTNEED)
    return task.tables


def second_opinion(function: Callable, tell: Callable) -> str:
    """What *function* comes to on the kernel of this computer, in a sentence."""
    if abilities.refusal():
        return "No kernel can be asked here."
    from ..linux import Linux           # only here: not every system has what it needs
    try:
        with Linux() as world:
            return f"On this computer's kernel: {tell(world, function(world))}."
    except Exception as failed:         # the reader's code, whatever is wrong with it
        return f"On this computer's kernel it ended with {type(failed).__name__}: {failed}."


def check_window(answer) -> Verdict:
    """Does the reader's function measure fault-around, here and on this kernel?"""
    verdict = Code(windows, "It measures, since it is right for {tried} machines.")(answer)
    if not verdict:
        return verdict
    return Verdict(True, f"{verdict.why} "
                   + second_opinion(answer, lambda world, got: f"{got} pages"))


def windows() -> Iterator[Case]:
    for pages in WINDOWS:
        yield Case(f"on a machine that maps {pages} page{'s' * (pages > 1)} in a fault",
                   (Machine(fault_around=pages, trace=False),), pages,
                   lambda got: "Are all pages of the file in the page cache before the first "
                   "load, and are there enough of them?")


def figures(world, task) -> str:
    return f"tables: {task.tables}, pages: {len(present(world, task))}"


def check_empty_tables(answer) -> Verdict:
    """Has the task that the reader's scenario returns tables, and no page?"""
    machine = Machine()
    task = answer(machine)
    if task not in machine.tasks:
        return Verdict(False, "Return the task that has the tables; it has to be alive.")
    if len(machine.trace) == 1:
        return Verdict(False, "Your scenario has spawned a task so far. What does it do?")
    found = figures(machine, task)
    if present(machine, task):
        return Verdict(False, f"That leaves {found}. How can a page go while its table stays?")
    if task.tables < 3:
        return Verdict(False, f"That leaves {found}. A PTE table makes it three: it has to be "
                       "filled once, and then emptied in a way that does not free it.")
    return Verdict(True, f"It has {found}. VmPTE counts tables, not what is in them. "
                   + second_opinion(answer, figures))


EXERCISES = {
    "11.1": Exercise(
        kib_of_tables, "Eight processes, each with tables of its own for the same file.",
        lambda: {group().tasks[0].page_table_bytes >> 10: "That is one of the processes.",
                 sum(task.tables for task in group().tasks): "That is the number of tables. How "
                 "large is one?",
                 kib_of_tables() + 8 * 4: "VmPTE does not count the top-level tables.",
                 kib_of_tables() * 7 // 8: "The server has tables, too."},
        "How many tables has each process for 16 MiB, and how many processes are there?"),
    "11.2": Exercise(
        faults_of_the_child, "fork has copied the entries, so loads find their pages; the entries "
        "are read-only, so the first store to each page faults.",
        lambda: {7: "Does a load fault if fork has copied the entry?",
                 5: "Does a load fault if fork has copied the entry? And a store?",
                 0: "The entries are there. But what do they allow?"},
        "Which entries has the child after the fork, and what do they allow?"),
    "11.3": Exercise(
        after_dontneed, "Only the PTE table in the middle was emptied by a range that covers it.",
        lambda: {written(6 * MIB).tables: "So it was before, or on a kernel older than 6.14.",
                 after_dontneed() - 1: "That would be so if the range began at a border of "
                 "2 MiB.",
                 2: "Which pages are still there?"},
        "Draw the borders of 2 MiB. Which of the pieces lie within the range as a whole?"),
    "11.4": check_window,
    "11.5": check_empty_tables,
}
