"""What the kernel of this computer does otherwise than the simulator, found by asking both.

Each probe takes a task and returns what came of a few calls.  Version numbers would not do: a
distribution may have taken a change back or over.
"""

from ..abi import (
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
)
from ..machine import Machine
from .world import Linux

ANON, AT, PAGE, SPAN = MAP_PRIVATE | MAP_ANONYMOUS, 0x2000_0000_0000, 0x1000, 1 << 21


def emptied_table(task) -> int:
    task.mmap(AT, SPAN, "rw", ANON | MAP_FIXED)
    task.store(AT, 1)
    task.madvise(AT, SPAN, MADV_DONTNEED)
    return task.tables


def several_moved(task) -> int:
    for n in range(2):
        task.mmap(AT + n * PAGE, PAGE, "rw", MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
    return task.mremap(AT, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + SPAN)


def writable_again(task) -> int:
    task.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    task.store(AT, 1)
    task.mprotect(AT, PAGE, "r")
    task.mprotect(AT, PAGE, "rw")
    task.store(AT, 2)
    return task.minor_faults


def guarded(task) -> None:
    task.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    task.madvise(AT, PAGE, MADV_GUARD_INSTALL)


def guard_copied(task) -> int:
    task.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    task.madvise(AT, PAGE, MADV_GUARD_INSTALL)
    task.mremap(AT, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, AT + (1 << 39))
    return task.fork().tables


def read_around(task) -> int:
    file = task.memfd("probe", 32 * PAGE)
    file.pwrite(bytes(32 * PAGE), 0)
    task.mmap(AT, 32 * PAGE, "r", MAP_SHARED | MAP_FIXED, file)
    task.touch(AT, 32 * PAGE)
    return task.minor_faults


def small_pages(task) -> int:
    file = task.memfd("probe", SPAN)
    file.pwrite(bytes(SPAN), 0)
    task.mmap(AT, SPAN, "rw", MAP_SHARED | MAP_FIXED, file)
    task.touch(AT, SPAN, write=True)
    return task.minor_faults


def much_promised(task) -> int:
    return task.mmap(AT, 700 << 30, "rw", ANON | MAP_FIXED)


def placed(task) -> int:
    return task.mmap(None, PAGE, "rw", ANON)


def locked(task) -> None:
    task.mmap(AT, SPAN, "rw", ANON | MAP_FIXED)
    task.mlock(AT, SPAN)


PROBES = {
    "MADV_DONTNEED frees the PTE table that it has emptied (since 6.14)": emptied_table,
    "mremap moves several mappings at once (since 6.17)": several_moved,
    "mprotect makes a process's own pages writable without a fault": writable_again,
    "there are guard regions (since 6.13)": guarded,
    "fork copies the tables of memory that ever had a guard region (6.19; seen on 6.18.44)":
        guard_copied,
    "a load maps 16 pages of a file around it": read_around,
    "shared memory consists of 4 KiB pages (sysfs transparent_hugepage/shmem_enabled)": small_pages,
    "700 GiB can be promised (sysctl vm.overcommit_memory=1)": much_promised,
    "the kernel places a mapping at the same address in each process (personality(2))": placed,
    "any process may lock 2 MiB of memory (ulimit -l)": locked,
}


def lacking(kind=Linux) -> list[str]:
    """What of PROBES is not so on this kernel, or on another kind of world."""
    return [what for what, probe in PROBES.items()
            if outcome(kind, probe) != outcome(Machine, probe)]


def outcome(kind, probe):
    """What *probe* comes to in a fresh world of this kind."""
    world = kind()
    try:
        return probe(world.spawn())
    except OSError as why:
        return why.errno
    finally:
        if hasattr(world, "close"):
            world.close()
