"""Exercises of notebook 09: count the cost."""

from itertools import count

from ..abi import MAP_SHARED
from ..cost import LEVELS, measure
from ..geometry import X86_64
from ..machine import Machine
from ..verdict import Verdict
from .exercise import Exercise

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ENTRY = X86_64.page_size // X86_64.entries      # bytes
# of exercise 5: (size, processes, shift); pieces of a span, whole ones, congruent and not
CASES = ((4096, 1, 0), (2 * MIB, 3, 0), (GIB, 2, 0), (2 * GIB + 6 * MIB, 3, 0), (GIB, 3, 4 * KIB),
         (3 * GIB, 4, 2 * MIB), (5 * GIB, 3, GIB), (600 * GIB, 5, 0), (300 * GIB, 1500, 12 * KIB))


def one_page(processes: int = 2000) -> int:
    """Bytes of the entries of so many processes that map one page."""
    machine = Machine(trace=False)
    file = machine.memfd("f", X86_64.page_size)
    for _ in range(processes):
        task = machine.spawn()
        start = task.mmap(None, X86_64.page_size, "rw", MAP_SHARED, file)
        task.store(start, b"x")
    mappings, _ = machine.rmap(task.pagemap(start, X86_64.page_size)[0].pfn)
    return len(mappings) * ENTRY


def tables(regime: str, size: int, processes: int, shift: int = 0) -> dict[str, int]:
    """Tables of each level, and "all" of them."""
    row = measure(regime, size, processes, shift)
    return row["tables"] | {"all": row["total_tables"]}


def cheaper() -> int:
    """From how many processes on the cache needs fewer tables than private huge pages do."""
    size = 300 * GIB
    one, two = ([tables(regime, size, n)["all"] for n in (1, 2)]
                for regime in ("cache", "private-2M"))
    return next(n for n in count(1) if one[0] + (n - 1) * (one[1] - one[0])
                < two[0] + (n - 1) * (two[1] - two[0]))


def check_prediction(answer) -> Verdict:
    """Compare the reader's formula with the machine."""
    if not callable(answer):
        return Verdict(False, "Give the function itself: check('09.5', tables).")
    names = [name.upper() for name in reversed(LEVELS)]
    for size, processes, shift in CASES:
        got = answer(size, processes, shift)
        if got is ...:
            return Verdict(False, "Put your formula in the place of the three dots.")
        if not isinstance(got, tuple) or [type(n) for n in got] != [int] * len(names):
            return Verdict(False, f"Your function returned {got!r}, not four whole numbers.")
        right = measure("cache", size, processes, shift)["tables"].values()
        for name, mine, machines in zip(names, got, right):
            if mine != machines:
                return Verdict(False, f"For {size // KIB:,} KiB, {processes:,} processes and a "
                               f"shift of {shift // KIB:,} KiB your function says {mine:,} {name} "
                               f"tables, which is too {'few' if mine < machines else 'many'}. "
                               + about(name))
    return Verdict(True, f"In {len(CASES)} cases you and the machine count the same, and you did "
                   "not make a single table.")


def about(name: str) -> str:
    """What to look at for a wrong number of tables."""
    if name in ("PGD", "PUD"):
        return "The cache keeps none of this level. How many has one process?"
    return ("How many spans of such a table does the mapping touch, and how many of these does it "
            "cover? Is the shift a multiple of the span?")


EXERCISES = {
    "09.1": Exercise(
        one_page, "One entry of 8 bytes in each process. Each entry also needs a table to stand "
        "in, and that is 4096 bytes: small mappings are the dear ones.",
        lambda: {8 * KIB: "So says the letter. How many entries of 8 bytes fit into that?",
                 2000: "So many entries. How many bytes has each?",
                 2000 * 4096: "That is a PTE table for each process. Only one of its entries is "
                 "asked for.", 8: "That is the entry of one process."},
        "How many entries lead to the page, and how many bytes has an entry?"),
    "09.2": Exercise(
        lambda: tables("cache", 100 * GIB, 1000)["all"],
        "Each process has a PGD and a PUD table for itself; all that is below exists once.",
        lambda: {
            **{tables(regime, 100 * GIB, 1000)["all"]: f"That is with {what}." for regime, what in
               (("private", "private tables"), ("mshare", "mshare"), ("cache-pte", "PTE tables "
                "alone kept"), ("threads", "threads"))},
            51_200: "Those are the PTE tables.", 52_300: "Top-level tables are counted, too."},
        "A PTE table maps 2 MiB, a PMD table 1 GiB. Which tables exist once, and which in each "
        "process?"),
    "09.3": Exercise(
        cheaper, "The cache pays for all PTE tables once; huge pages pay for 300 PMD tables in "
        "every process. Below that number they are the smaller ones.",
        lambda: {cheaper() - 1: "With so many, the two are equal.",
                 511: "That is where private tables of 4 KiB pages outgrow the data.",
                 512: "That is how many entries a table has. Count the tables.",
                 1: "With one process, how many PTE tables has the cache?"},
        "How many tables does one more process add under either regime, and what has the cache to "
        "pay first?"),
    "09.4": Exercise(
        lambda: tables("cache", 300 * GIB, 1500, 2 * MIB)["pmd"],
        "2 MiB is a multiple of what a PTE table maps, and not of what a PMD table maps. The PTE "
        "tables are shared, those above them are not.",
        lambda: {300: "That is without the shift. Does page 0 of the file still have index 0 in a "
                 "PMD table?",
                 301: "So many spans of 1 GiB are touched. Can the processes share a PMD table?",
                 450_000: "They are private, that is right. How many pieces of 1 GiB does the "
                 "shifted mapping touch?",
                 tables("cache", 300 * GIB, 1500, 2 * MIB)["pte"]: "Those are the PTE tables."},
        "May a PMD table be shared if the shift is 2 MiB? If not, how many has each process?"),
    "09.5": check_prediction,
}
