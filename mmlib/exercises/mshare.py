"""Exercises of notebook 07: share a layout with mshare."""

from ..abi import MAP_SHARED
from ..geometry import TINY
from ..machine import Machine
from ..sharing import FileTableCache, Private
from ..task import Task
from ..verdict import Verdict
from .exercise import Code, Exercise
from .guest import PATH, SLOT, faults, mounted
from .threads import taken_away

PAGE = TINY.page_size
FULL = range(0, SLOT, PAGE)             # every page of a slot
FAR = (0, SLOT // 4)                    # two pages below different PMD tables


def attach(machine: Machine, name: str) -> Task:
    """A process that maps the region."""
    task = machine.spawn(name)
    task.mmap(SLOT, SLOT, "rw", MAP_SHARED, task.open(PATH))
    return task


def served(pages, clients: int) -> Machine:
    """A server has stored to *pages* of a region, and each client has read them."""
    machine = mounted(trace=False)
    server = attach(machine, "server")
    for page in pages:
        server.store(SLOT + page, b"x")
    for number in range(clients):
        client = attach(machine, f"client.{number}")
        for page in pages:
            client.load(SLOT + page)
    return machine


def ordinary(pages, clients: int, policy) -> Machine:
    """The same with a file of tmpfs."""
    machine = Machine(TINY, sharing=policy, trace=False)
    file = machine.memfd("pool", SLOT)
    for number in range(1 + clients):
        task = machine.spawn()
        task.mmap(SLOT, SLOT, "rw", MAP_SHARED, file)
        for page in pages:
            task.store(SLOT + page, b"x") if not number else task.load(SLOT + page)
    return machine


def client_faults(machine: Machine) -> int:
    return sum(task.page_faults for task in machine.tasks[1:])


def orphaned() -> Machine:
    """a made the region and forked b and c; a unlinks and exits, b exits; c has touched nothing."""
    machine = mounted(trace=False)
    a = attach(machine, "a")
    a.store(SLOT, b"x")
    b = a.fork("b")
    a.fork("c")
    b.load(SLOT)
    a.unlink(PATH), a.exit(), b.exit()
    return machine


def check_taken_away(answer) -> Verdict:
    """Run the reader's script: does a process lose what it could access, by another's call?"""
    machine = mounted()
    verdict = taken_away(machine, answer)
    if verdict and any(step.call == "clone" for step in machine.trace):
        return Verdict(False, "There are threads in it. Do it with processes.")
    return verdict and Verdict(True, "Another process has taken it away from "
                               f"{machine.trace[-1].actor}, whose own list of mappings has not "
                               "changed. That is what sharing a layout means.")


EXERCISES = {
    "07.1": Exercise(
        lambda: client_faults(served(FULL, 3)),
        "One each: it links the slot, and all 64 pages are there.",
        lambda: {client_faults(ordinary(FULL, 3, Private())):
                 "That is a fault a page, as for an ordinary file.",
                 client_faults(ordinary(FULL, 3, FileTableCache())):
                 "That is a fault for each PMD table. What does one link of a slot reach?",
                 client_faults(ordinary(FULL, 3, FileTableCache(("pte",)))):
                 "That is a fault for each PTE table. What does one link of a slot reach?",
                 1: "One client's link is an entry of its own top-level table. It helps nobody "
                    "else.",
                 0: "Who sets the entry in a client's top-level table, if nobody faults?",
                 6: "Two are needed where the slot is empty. This one is filled."},
        "How many entries of its own does a client need, to reach all 64 pages?"),
    "07.2": Exercise(
        lambda: served(FAR, 4).table_count,
        "A PUD, two PMD and two PTE tables, all of the host. The clients have none.",
        lambda: {ordinary(FAR, 4, Private()).table_count: "That is with an ordinary file: each of "
                 "five processes has its own.",
                 0: "That is the sum of the processes' VmPTE. Who has the tables then?",
                 ordinary(FAR, 4, FileTableCache()).table_count: "Here each process would have a "
                 "PUD of its own. What is linked?",
                 3: "The two pages are 64 KiB apart. How much does a PMD table of TINY map?",
                 4: "Is one table of a level enough for both pages, at every level but one?"},
        "Which tables does a walk to the first page pass, and which of them serve the second?"),
    "07.3": Exercise(
        lambda: orphaned().table_count,
        "A PUD, a PMD and a PTE table. c still has the mapping, and that holds the region.",
        lambda: {0: "Does anybody still have the region mapped?",
                 6: "Does a guest have tables of its own?",
                 1: "And what hangs below this table?",
                 2: "How many levels are there between a top-level entry and a page?"},
        "What does a region live by, and who has that still?"),
    "07.4": Code(faults, "Your function does what the machine does, in {tried} places."),
    "07.5": check_taken_away,
}
