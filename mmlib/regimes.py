"""The ways to give two processes the same bytes, and what a program must do for each.

Regimes are spelled alike everywhere: private, threads, hugetlb, cache-pte, cache, mshare (the
rules of 2022) and mshare-2025.
"""

from collections.abc import Callable
from typing import NamedTuple

from .abi import MAP_FIXED, MAP_SHARED, MSHAREFS_CREATE_MAPPING
from .geometry import TINY
from .machine import Machine
from .msharefile import MshareCreate
from .sharing import FileTableCache, HugetlbPmdSharing, Private
from .task import Task

SIZE = TINY.span(3)                     # one slot of msharefs: whole spans at every level
START = SIZE
PAGE, CPUS = TINY.page_size, 2


class World(NamedTuple):
    """A machine with a file, and how a task maps it."""

    machine: Machine
    map: Callable[[Task, int], int]     # (task, address) -> the address
    second: Callable[[Task], Task]      # the other process, from the first


def spawn(task: Task) -> Task:
    return task.machine.spawn("second")


def ordinary(policy, **options) -> World:
    """A file of tmpfs, mapped by two processes: what every program does today."""
    machine = Machine(TINY, sharing=policy, cpus=CPUS, **options)
    file = machine.memfd("db", SIZE)
    return World(machine, lambda task, at: task.mmap(at, SIZE, "rw", MAP_SHARED | MAP_FIXED, file),
                 spawn)


def private() -> World:
    return ordinary(Private())


def cache_pte() -> World:
    return ordinary(FileTableCache(levels=("pte",)))


def cache() -> World:
    return ordinary(FileTableCache())


def threads() -> World:
    """One mm: the second task finds everything mapped."""
    machine, mapped, _ = ordinary(Private())

    def once(task: Task, at: int) -> int:
        return at if task.mm.find_vma(at) else mapped(task, at)
    return World(machine, once, lambda task: task.clone("second"))


def hugetlb() -> World:
    """A file of hugetlbfs, of huge pages."""
    machine = Machine(TINY, sharing=HugetlbPmdSharing(), cpus=CPUS,
                      huge_pages=SIZE // TINY.huge_size)
    machine.mount("hugetlbfs", "/huge")
    file = machine.open("/huge/db")
    return World(machine, lambda task, at: task.mmap(at, SIZE, "rw", MAP_SHARED | MAP_FIXED, file),
                 spawn)


def mshare() -> World:
    """A region of msharefs, by the rules of 2022; each process opens it."""
    machine = Machine(TINY, cpus=CPUS)
    machine.mount("msharefs", "/sys/fs/mshare")

    def mapped(task: Task, at: int) -> int:
        return task.mmap(at, SIZE, "rw", MAP_SHARED | MAP_FIXED, task.open("/sys/fs/mshare/db"))
    return World(machine, mapped, spawn)


def mshare_2025() -> World:
    """A region of msharefs, by the rules of 2025, with a file of tmpfs inside."""
    machine = Machine(TINY, cpus=CPUS)
    machine.mount("msharefs", "/sys/fs/mshare", version=2025)
    file = machine.memfd("db", SIZE)

    def mapped(task: Task, at: int) -> int:
        region = task.open("/sys/fs/mshare/db")
        if not region.size:
            region.truncate(SIZE)
            region.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(
                0, SIZE, 0, "rw", MAP_SHARED | MAP_FIXED, file))
        return task.mmap(at, SIZE, "rw", MAP_SHARED | MAP_FIXED, region)
    return World(machine, mapped, spawn)


REGIMES: dict[str, Callable[[], World]] = {
    "private": private, "threads": threads, "hugetlb": hugetlb, "cache-pte": cache_pte,
    "cache": cache, "mshare": mshare, "mshare-2025": mshare_2025}
