"""Exercises of notebook 10: find the roadblocks."""

from collections.abc import Iterator
from random import Random

from ..abi import MADV_REMOVE, MAP_SHARED
from ..accounts import bill
from ..geometry import TINY, X86_64
from ..machine import Machine
from ..roadblocks import draw
from ..sharing import FileTableCache, Private
from ..task import Task
from ..verdict import Verdict
from .exercise import Exercise

BASE, SPAN, PAGE = 0x40000, TINY.span(2), TINY.page_size
CPUS = 16


def served(sharing, prots: tuple[str, ...], pages: int, size: int = SPAN) -> Machine:
    """A server has stored to the first *pages* pages of a file, and a client for each of *prots*
    has read them; each process runs on a CPU of its own, and there are more CPUs."""
    machine = Machine(TINY, sharing=sharing, cpus=CPUS, trace=False)
    file = machine.memfd("db", size)
    for cpu, prot in enumerate(("rw", *prots)):
        task = machine.spawn()
        task.run_on(cpu)
        task.mmap(BASE, size, prot, MAP_SHARED, file)
        task.touch(BASE, pages * PAGE, write=not cpu)
    return machine


def told_to_flush() -> int:
    """CPUs that flush when a page leaves a file that ten processes use."""
    machine = served(FileTableCache(), ("rw",) * 9, 4)
    before = machine.counters["flush_targets"]
    machine.tasks[0].madvise(BASE, PAGE, MADV_REMOVE)
    return machine.counters["flush_targets"] - before


def pages_billed(sharing) -> int:
    """Pages of PSS that four processes report together for eight pages."""
    return sum(task.pss for task in served(sharing, ("rw",) * 3, 8).tasks) // PAGE


def after_mprotect(sharing, size: int = 4 * SPAN) -> int:
    """Faults to read a whole slot again when its first page has been made read-only."""
    client = served(sharing, ("rw",), size // PAGE, size).tasks[1]
    before = client.page_faults
    client.mprotect(BASE, PAGE, "r")
    client.touch(BASE, size)
    return client.page_faults - before


def sets_drawn() -> int:
    """Starts that differ modulo the span of a PTE table, among those that the notebook draws."""
    dice = Random(10)
    return len({draw(dice) % X86_64.entries for _ in range(1500)})


def worlds() -> Iterator[tuple[str, Machine]]:
    """(what is special, a machine with a few processes that share a file)."""
    for told, sharing in (("private tables", Private()), ("shared tables", FileTableCache()),
                          ("shared PTE tables", FileTableCache(("pte",)))):
        yield f"{told}, three processes", served(sharing, ("rw", "rw"), 7)
        yield f"{told}, two of five only read", served(sharing, ("rw", "r", "rw", "r"), 5)
    machine = served(FileTableCache(), ("rw", "rw"), 4)
    machine.tasks[2].mprotect(BASE, PAGE, "r")
    machine.tasks[2].touch(BASE, 2 * PAGE)
    yield "shared tables, one process has left them", machine
    machine = served(FileTableCache(), ("r", "rw"), 4)
    machine.tasks[1].exit()
    yield "shared tables, a set is kept that nobody uses", machine


def check_pss(answer) -> Verdict:
    """Compare the reader's PSS with the true one, page rounding apart, in every world."""
    if not callable(answer):
        return Verdict(False, "Give the function itself: check('10.5', pss).")
    tried = 0
    for told, machine in worlds():
        true = {row.mm: row.true_pss for row in bill(machine)}
        for task in machine.tasks:
            got, right = answer(machine, task), true[task.mm.name]
            if type(got) is not int or abs(got - right) >= task.rss // PAGE + 1:
                return Verdict(False, f"{told}: for {task.name} your function says {got!r}. "
                               + why(got, task))
            tried += 1
    return Verdict(True, f"Yours is the fair share of all {tried} processes.")


def why(got, task: Task) -> str:
    """What to look at."""
    if type(got) is not int:
        return "PSS is a number of bytes, an int."
    if got == task.pss:
        return "That is what the kernel says: it divides by entries. How many processes are there?"
    if got == task.rss:
        return "That is RSS: each page in full. Who else reaches the page?"
    return "Divide each page by the processes that reach it; a set that nobody uses is none."


EXERCISES = {
    "10.1": Exercise(
        told_to_flush,
        "One entry changes, but the CPU of every process that used it may remember it.",
        lambda: {1: "There is one entry. How many address spaces use it, and where do they run?",
                 9: "That is all but the caller.",
                 CPUS: "That is every CPU of the machine, as in the mshare series of 2025. Do all "
                       "of them run a process that uses the table?"},
        "Who may have walked through the entry, and on which CPU?"),
    "10.2": Exercise(
        lambda: pages_billed(FileTableCache()),
        "Each page in full, to each of the four processes.",
        lambda: {pages_billed(Private()): "That is with private tables: four entries a page, a "
                 "quarter for each process.",
                 2: "That is the fair share of one process.",
                 4: "How many pages are there for each process?"},
        "How many entries map a page, and by what does PSS divide?"),
    "10.3": Exercise(
        lambda: after_mprotect(FileTableCache()),
        "Three PTE tables are linked again, and the four pages of the fourth are faulted in.",
        lambda: {after_mprotect(Private()): "With private tables it is so: the entry is changed in "
                 "place.",
                 1: "The page itself can be read at once, but for one thing: whose table was it in?",
                 4: "And the other pages of the PMD table?",
                 6: "And the page that was made read-only?",
                 16: "That is every page below the PMD table. What does the cache still have for "
                     "three quarters of them?",
                 64: "The link to one PMD table is dropped. The slot has four."},
        "Which table is let go? Which of the tables below it still lie in one mapping?"),
    "10.4": Exercise(
        sets_drawn,
        "So many sets for 1500 clients: two of three tables would be saved, not 1499 of 1500.",
        lambda: {512: "So many places there are. Has every one of them been drawn?",
                 1500: "That is if no two clients meet. There are fewer places than clients.",
                 1: "That is if all starts were alike.",
                 2: "That is how many shared under the rule with the offset."},
        "Draw as the notebook does, and count the different remainders modulo 512."),
    "10.5": check_pss,
}
