"""Exercises of notebook 06: share hugetlb PMD tables."""

from collections.abc import Iterator

from ..abi import MAP_FIXED, MAP_PRIVATE, MAP_SHARED
from ..geometry import TINY
from ..machine import Machine
from ..sharing import shareable
from ..verdict import Verdict
from .exercise import Case, Code, Exercise

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


def layouts() -> Iterator[Case]:
    """Mappings of every size around a span, shared and private, at both levels."""
    machine = Machine(TINY, trace=False)
    file = machine.memfd("f", 0x40000)
    for level in (1, 2):
        span = TINY.span(level)
        for start in range(BASE - span, BASE + span, span // 4):
            for length in range(span // 4, 2 * span + 1, span // 4):
                for flags in (MAP_SHARED, MAP_PRIVATE):
                    task = machine.spawn("t")
                    task.mmap(start, length, "rw", flags, file)
                    vma = task.mm.vmas[0]
                    yield Case(f"for {vma}, base {BASE:#x} and a span of {span:#x}",
                               (vma, BASE, level), shareable(vma, BASE, level),
                               lambda got, vma=vma, span=span: reason(vma, span))
                    task.exit()


def reason(vma, span: int) -> str:
    """What to look at in a layout that was judged wrongly."""
    if not vma.shared:
        return "Do stores reach the file?"
    return (f"The table maps [{BASE:#x}, {BASE + span:#x}). "
            "Could the process reach something through it that it has not mapped?")


def check_elsewhere(answer) -> Verdict:
    """Run the reader's script: has a PMD table two users, at different addresses?"""
    machine = Machine(TINY, huge_pages=16)
    machine.mount("hugetlbfs", "/huge")
    answer(machine)
    at: dict = {}                       # table: the addresses that it maps
    for task in machine.tasks:
        for addr in range(0, TINY.task_size, SPAN):
            table = machine.tables.table_at(task.mm.pgd, addr, 2)
            if table is not None:
                at.setdefault(table, {})[addr] = task.name
    if not at:
        return Verdict(False, "Nobody has a PMD table after your script.")
    if not any(table.users > 1 for table in at):
        return Verdict(False, "No PMD table has two users after your script. The four conditions "
                       "are a little above.")
    for table, places in at.items():
        if table.users > 1 and len(places) > 1:
            told = " and ".join(f"{addr:#x} of {name}" for addr, name in places.items())
            return Verdict(True, f"One PMD table maps {told}. A table holds no address, so it "
                           "does not matter where it is linked.")
    return Verdict(False, "A PMD table has two users, but at the same address.")


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
    "06.5": Code(layouts, "Your rule agrees with the machine's on all {tried} layouts."),
    "06.6": check_elsewhere,
}
