"""Exercises of notebook 07: share a layout with mshare."""

from collections.abc import Iterator

from ..abi import MAP_FIXED, MAP_SHARED, MSHAREFS_CREATE_MAPPING
from ..geometry import TINY
from ..machine import Machine
from ..msharefile import MshareCreate
from ..sharing import FileTableCache, Private
from ..task import Task
from .exercise import Exercise, Verdict

SLOT, PAGE = TINY.span(3), TINY.page_size
PATH = "/sys/fs/mshare/pool"
FULL = range(0, SLOT, PAGE)             # every page of a slot
FAR = (0, SLOT // 4)                    # two pages below different PMD tables


def mounted(version: int = 2022, **options) -> Machine:
    machine = Machine(TINY, **options)
    machine.mount("msharefs", "/sys/fs/mshare", version=version)
    return machine


def attach(machine: Machine, name: str, slots: int = 1) -> Task:
    """A process that maps the region from the first slot on."""
    task = machine.spawn(name)
    task.mmap(SLOT, slots * SLOT, "rw", MAP_SHARED, task.open(PATH))
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


def three_slots() -> Task:
    """A client that reads a page in each of three slots: the server has been at this page, at
    another one of the slot, and nowhere in the slot."""
    machine = mounted(trace=False)
    server, client = attach(machine, "server", 3), attach(machine, "client", 3)
    server.store(SLOT, b"x"), server.store(2 * SLOT + PAGE, b"x")
    for number in (1, 2, 3):
        client.load(number * SLOT)
    return client


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


def cases() -> Iterator[tuple[str, tuple, int | str]]:
    """(what is asked, the arguments, what a fault there really does), by both sets of rules."""
    for version in (2022, 2025):
        for who in ("server", "client"):
            for touched in ((), ("server",), ("server", "client")):
                for addr in (0x1000, 0x6000, SLOT + 0x5000):
                    machine = world(version)
                    tasks = {task.name: task for task in machine.tasks}
                    for name in touched:
                        tasks[name].load(tasks[name].mm.vmas[0].start + 0x2000)
                    yield probe(machine, tasks[who], addr)


def world(version: int) -> Machine:
    """A region of two slots and two guests; by the rules of 2025 at different addresses."""
    machine = mounted(version)
    for name, at in ("server", SLOT), ("client", SLOT if version == 2022 else 2 * SLOT):
        task = machine.spawn(name)
        file = task.open(PATH)
        if version == 2025 and not file.size:
            file.truncate(2 * SLOT)
            file.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(
                0, 2 * SLOT, 0, "rw", MAP_SHARED | MAP_FIXED))
        task.mmap(at, 2 * SLOT, "rw", MAP_SHARED | MAP_FIXED, file)
    return machine


def probe(machine: Machine, task: Task, offset: int) -> tuple[str, tuple, int | str]:
    """What the first exception of a load does, and what the reader's function is given for it."""
    vma, region = task.mm.vmas[0], task.mm.vmas[0].file.inode.region
    addr = vma.start + offset

    def table(mm):
        def frame(at: int) -> int | None:
            there = machine.tables.table_at(mm.pgd, at, 3)
            return None if there is None else there.pfn
        return frame
    # Later faults change the tables: the reader sees those of now.
    known = {(mm.name, at): table(mm)(at) for mm in (task.mm, region.host)
             for at in range(0, TINY.task_size, PAGE)}

    def guest_table(at: int) -> int | None:
        return known[task.mm.name, at // PAGE * PAGE]

    def host_table(at: int) -> int | None:
        return known[region.host.name, at // PAGE * PAGE]
    there = {task.name: guest_table(addr), "the region": host_table(region.host_addr(vma, addr))}
    told = (f"{task.name} faults at {addr:#x}; its mapping starts at {vma.start:#x}, the region at "
            f"{region.start:#x}; for this slot "
            + ", ".join(f"{who} has {'no table' if pfn is None else f'table {pfn}'}"
                        for who, pfn in there.items()))
    task.load(addr)
    event = next(e for e in machine.trace[-1].events if e.kind in ("link", "host"))
    return told, (addr, vma.start, region.start, guest_table, host_table), \
        "link" if event.kind == "link" else event.addr


def check_fault(answer) -> Verdict:
    """Compare the reader's rule with what the first exception at each place does."""
    if not callable(answer):
        return Verdict(False, "Give the function itself: check('07.5', fault).")
    tried = 0
    for told, arguments, right in cases():
        got = answer(*arguments)
        if type(got) is not type(right) or got != right:
            return Verdict(False, f"{told}. Your function says {shown(got)}. {why(got, right)}")
        tried += 1
    return Verdict(True, f"Your function does what the machine does, in {tried} places.")


def shown(answer) -> str:
    return f"{answer:#x}" if type(answer) is int else repr(answer)


def why(got, right) -> str:
    """What to look at."""
    if right == "link":
        return "There is something to link, and without the link the guest's walk ends too early."
    if got == "link":
        return "Is there a table to link that the guest does not have?"
    return "Where in the host is this byte of the region?"


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
        lambda: three_slots().page_faults,
        "One to link, two to link and fill, two to fill and link.",
        lambda: {three_slots().minor_faults: "That is what getrusage counts: it leaves the links "
                 "out.",
                 3: "One a slot? Each slot has to be linked, and what else is missing?",
                 4: "In the second slot there is a table, but not this page.",
                 6: "The page in the first slot is there."},
        "Go through the slots one by one: must it be linked, and must the page be made?"),
    "07.4": Exercise(
        lambda: orphaned().table_count,
        "A PUD, a PMD and a PTE table. c still has the mapping, and that holds the region.",
        lambda: {0: "Does anybody still have the region mapped?",
                 6: "Does a guest have tables of its own?",
                 1: "And what hangs below this table?",
                 2: "How many levels are there between a top-level entry and a page?"},
        "What does a region live by, and who has that still?"),
    "07.5": check_fault,
}
