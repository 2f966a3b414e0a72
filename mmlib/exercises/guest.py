"""Exercise 07.4: what a guest's fault does, as the machine does it, and a region to see it in."""

from collections.abc import Iterator

from ..abi import MAP_FIXED, MAP_SHARED, MSHAREFS_CREATE_MAPPING
from ..geometry import TINY
from ..machine import Machine
from ..msharefile import MshareCreate
from ..task import Task
from .exercise import Case

SLOT, PAGE = TINY.span(3), TINY.page_size
PATH = "/sys/fs/mshare/pool"


def mounted(version: int = 2022, **options) -> Machine:
    machine = Machine(TINY, **options)
    machine.mount("msharefs", "/sys/fs/mshare", version=version)
    return machine


def faults() -> Iterator[Case]:
    """What a fault really does, by both sets of rules, at every kind of place."""
    for version in (2022, 2025):
        for who in ("server", "client"):
            for touched in ((), ("server",), ("server", "client")):
                for addr in (0x1000, 0x6000, SLOT + 0x5000):
                    machine = world(version)
                    tasks = {task.name: task for task in machine.tasks}
                    for name in touched:
                        tasks[name].load(tasks[name].mm.vmas[0].start + 0x2000)
                    told, arguments, right = probe(machine, tasks[who], addr)
                    yield Case(told, arguments, right, lambda got, right=right: why(got, right))


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
    told = (f"when {task.name} faults at {addr:#x}; its mapping starts at {vma.start:#x}, the "
            f"region at {region.start:#x}; for this slot "
            + ", ".join(f"{who} has {'no table' if pfn is None else f'table {pfn}'}"
                        for who, pfn in there.items()))
    task.load(addr)
    event = next(e for e in machine.trace[-1].events if e.kind in ("link", "host"))
    return told, (addr, vma.start, region.start, guest_table, host_table), \
        "link" if event.kind == "link" else event.addr


def why(got, right) -> str:
    """What to look at."""
    if right == "link":
        return "There is something to link, and without the link the guest's walk ends too early."
    if got == "link":
        return "Is there a table to link that the guest does not have?"
    return "Where in the host is this byte of the region?"
