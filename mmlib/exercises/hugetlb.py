"""Exercises of notebook 06: share hugetlb PMD tables."""

from ..abi import MAP_FIXED, MAP_PRIVATE, MAP_SHARED
from ..geometry import TINY
from ..machine import Machine
from ..sharing import shareable
from .exercise import Exercise, Verdict

BASE, SPAN = 0x40000, 0x10000           # a PMD table of TINY maps 64 KiB, four huge pages


def served(spans: int = 1) -> Machine:
    """A server that has stored to every huge page of *spans* spans from BASE on."""
    machine = Machine(TINY, huge_pages=32, trace=False)
    machine.mount("hugetlbfs", "/huge")
    machine.open("/huge/db")
    attach(machine, "server", BASE, spans * SPAN, write=True)
    return machine


def attach(machine: Machine, name: str, start: int, length: int, write: bool = False):
    """A process that maps the file from *start* on, as the server does, and touches it all."""
    task = machine.spawn(name)
    task.mmap(start, length, "rw", MAP_SHARED, machine.files[0], start - BASE)
    task.touch(start, length, write)
    return task


def three_clients() -> Machine:
    machine = served()
    for name in ("a", "b", "c"):
        attach(machine, name, BASE, SPAN)
    return machine


def clients_faults() -> int:
    return sum(task.minor_faults for task in three_clients().tasks[1:])


def half_a_span_off() -> int:
    """Faults of a client whose 12 huge pages begin and end in the middle of a span."""
    return attach(served(4), "client", BASE + SPAN // 2, 3 * SPAN).minor_faults


def refilled_hole() -> int:
    """Faults of a client that has unmapped one huge page and mapped it again."""
    machine = served()
    client = attach(machine, "client", BASE, SPAN)
    client.munmap(BASE, TINY.huge_size)
    client.mmap(BASE, TINY.huge_size, "rw", MAP_SHARED | MAP_FIXED, machine.files[0])
    before = client.minor_faults
    client.touch(BASE, SPAN)
    return client.minor_faults - before


def check_shareable(answer) -> Verdict:
    """Compare the reader's rule with the machine's for hugetlb and other mappings of every size."""
    if not callable(answer):
        return Verdict(False, "Give the function itself: check('06.5', shareable).")
    machine, tried = Machine(TINY, trace=False), 0
    file = machine.memfd("f", 0x40000)
    for level in (1, 2):
        span = TINY.span(level)
        for start in range(BASE - span, BASE + span, span // 4):
            for length in range(span // 4, 2 * span + 1, span // 4):
                for flags in (MAP_SHARED, MAP_PRIVATE):
                    task = machine.spawn("t")
                    task.mmap(start, length, "rw", flags, file)
                    vma = task.mm.vmas[0]
                    right = shareable(vma, BASE, level)
                    if bool(answer(vma, BASE, level)) != right:
                        return Verdict(False, f"For {vma}, base {BASE:#x} and a span of {span:#x} "
                                       f"the table {'may' if right else 'may not'} be shared; "
                                       "your rule says otherwise. " + reason(vma, span))
                    task.exit()
                    tried += 1
    return Verdict(True, f"Your rule agrees with the machine's on all {tried} layouts.")


def reason(vma, span: int) -> str:
    """What to look at in a layout that was judged wrongly."""
    if not vma.shared:
        return "Do stores reach the file?"
    return (f"The table maps [{BASE:#x}, {BASE + span:#x}). "
            "Could the process reach something through it that it has not mapped?")


EXERCISES = {
    "06.1": Exercise(
        clients_faults, "One each: the fault that links the table.",
        lambda: {4 * clients_faults(): "That is without sharing: one fault a page.",
                 0: "Who links the table into a client's PUD, if nobody faults?",
                 1: "One client's link does not help the next one: each has a PUD of its own."},
        "The table is there already. What is missing in a client's own tables?"),
    "06.2": Exercise(
        lambda: three_clients().table_count,
        "A PUD for each process, and one PMD table for all.",
        lambda: {sum(task.tables for task in three_clients().tasks):
                 "That is the sum of VmPTE, which counts the shared table in every process.",
                 2: "That is what one process reports.",
                 1: "Is the PUD shared, too?",
                 4: "Those are the PUDs. And the table that they lead to?"},
        "Count each table once: those that belong to one process, and those that serve all."),
    "06.3": Exercise(
        half_a_span_off, "Two covered spans with a fault each, and four pages at the ends.",
        lambda: {12: "Nothing shared? Address and offset are congruent here.",
                 4: "That is one fault a table. Does the client cover the first span?",
                 3: "12 pages fill three spans, but these 12 lie in four.",
                 2: "And the pages at both ends?"},
        "Which of the four spans does the client cover from end to end?"),
    "06.4": Exercise(
        refilled_hole, "Two mappings meet in the span, and neither covers it.",
        lambda: {1: "That would be so if the two mappings became one. Do they?",
                 0: "munmap of one page dropped the client's link to the whole table.",
                 3: "And the page that was mapped again?"},
        "How many mappings does the client have in this span?"),
    "06.5": check_shareable,
}
