"""Exercises of notebook 03: fork and copy on write."""

from collections.abc import Iterator

from ..abi import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED
from ..geometry import TINY
from ..machine import Machine
from ..verdict import Verdict
from .cow import check_cow
from .exercise import ANON, Case, Code, Exercise


def three_written_pages() -> Machine:
    """A process that has stored to three pages of one PTE table, and its child."""
    machine = Machine(TINY)
    parent = machine.spawn("a")
    parent.mmap(0x4000, 0x4000, "rw", ANON)
    parent.touch(0x4000, 0x3000, write=True)
    parent.fork("b")
    return machine


def frames_of_data(machine: Machine) -> int:
    return len(machine.snapshot().frames)


def after_one_store() -> int:
    machine = three_written_pages()
    machine.tasks[1].store(0x4000, b"x")
    return frames_of_data(machine)


def family_copies() -> int:
    """Copies made when three generations store to the one page that they share."""
    machine = Machine(TINY)
    parent = machine.spawn("a")
    parent.mmap(0x4000, 0x1000, "rw", ANON)
    parent.store(0x4000, b"x")
    child = parent.fork("b")
    grandchild = child.fork("c")
    for task in (parent, child, grandchild):
        task.store(0x4000, b"y")
    return machine.counters["copies"]


def mappings() -> Iterator[Case]:
    """Six kinds of mappings, and whether fork copies their entries."""
    for what, flags, file, write in (
            ("private anonymous memory that was only read", ANON, False, False),
            ("private anonymous memory that was stored to", ANON, False, True),
            ("a shared file mapping that was stored to", MAP_SHARED, True, True),
            ("a private file mapping that was only read", MAP_PRIVATE, True, False),
            ("a private file mapping that was stored to", MAP_PRIVATE, True, True),
            ("shared anonymous memory that was stored to", MAP_SHARED | MAP_ANONYMOUS, False,
             True)):
        machine = Machine(TINY, trace=False)
        task = machine.spawn()
        task.mmap(0x4000, 0x1000, "rw", flags, machine.memfd("f", 4096) if file else None)
        task.touch(0x4000, 0x1000, write)
        yield Case(f"for {what}", (task.mm.vmas[0],), task.fork().tables > 0,
                   lambda got: "The machine disagrees. What could the child not get back by a "
                   "fault?")


def check_lone_fault(answer) -> Verdict:
    """Run the reader's script: does its last call fault and make writable without a copy?"""
    machine = Machine(TINY)
    answer(machine)
    if not machine.trace:
        return Verdict(False, "Your script called nothing on the machine that it was given.")
    kinds = [event.kind for event in machine.trace[-1].events]
    if "fault" not in kinds:
        return Verdict(False, f"The last call, {machine.trace[-1].action}, took no fault.")
    if "copy" in kinds:
        return Verdict(False, "The last call made a copy, so somebody else still had the page.")
    if "reuse" not in kinds:
        return Verdict(False, "The last call faulted, but not on a page that was there already.")
    return Verdict(True, "The page has one owner again, but its entry does not know it: one "
                   "fault, no copy.")


EXERCISES = {
    "03.1": Exercise(
        lambda: three_written_pages().tasks[1].tables,
        "The child needs a whole path of its own: tables are not shared by fork, pages are.",
        lambda: {0: "That would be so for memory that can be faulted in again. Was this stored "
                    "to?",
                 1: "One table holds the entries, but the walk has to get there.",
                 three_written_pages().tasks[1].tables + 1:
                     "VmPTE does not count the top-level table."},
        "Count the tables on the way from the top-level table to the three entries."),
    "03.2": Exercise(
        after_one_store,
        "Only the page that was stored to exists twice.",
        lambda: {frames_of_data(three_written_pages()):
                 "Before the store, yes. What does the store need?",
                 2 * frames_of_data(three_written_pages()):
                 "That is what fork did before copy on write: it copied everything at once."},
        "Start from the pages before the fork, and ask for each whether it had to be copied."),
    "03.3": Exercise(
        family_copies,
        "Every writer but the last one copies; the last one finds itself alone and takes the "
        "page as it is.",
        lambda: {3: "Who else has the page when the last of them stores?",
                 1: "Three processes share one page. How many of them can keep it?",
                 0: "Then a store of the parent would be seen by its child."},
        "Follow the number of entries that map the old page: it starts at three."),
    "03.4": Code(mappings, "That is vma_needs_copy: only private pages that were stored to cannot "
                 "be had again by a fault."),
    "03.5": check_lone_fault,
    "03.6": check_cow,
}
