"""Regions of msharefs on small machines, for the tests of mshare.

A slot of TINY is 256 KiB, a quarter of its address space; `S` is the start of the second slot.
"""
from layout import PAGE, machine

from mmlib import (
    MAP_FIXED,
    MAP_SHARED,
    MSHAREFS_CREATE_MAPPING,
    MSHAREFS_UNMAP,
    BusError,
    MshareCreate,
    MshareUnmap,
    Segfault,
)

SLOT = 0x40000
S = SLOT
PATH = "/ms/r"
INSIDE = MAP_SHARED | MAP_FIXED


def mounted(version, *args, **options):
    """A machine with msharefs of one version at /ms."""
    m = machine(*args, **options)
    m.mount("msharefs", "/ms", version=version)
    return m


def region22(**options):
    """(machine, its first guest "a", the file) of a region of 2022 at `S`."""
    m = machine(**options)
    m.mount("msharefs", "/ms", version=2022)
    a = m.spawn("a")
    file = a.open(PATH)
    a.mmap(S, SLOT, "rw", MAP_SHARED, file)
    return m, a, file


def region25(size=SLOT, **options):
    """(machine, the owner "a", the file) of a region of 2025, anonymous memory in its first four
    pages; "a" maps it at `S`."""
    m = machine(**options)
    m.mount("msharefs", "/ms", version=2025)
    a = m.spawn("a")
    file = a.open(PATH)
    file.truncate(size)
    create(file, 0, 4)
    a.mmap(S, size, "rw", MAP_SHARED, file)
    return m, a, file


def guest(m, name="b", prot="rw", addr=S, size=SLOT, flags=MAP_SHARED):
    """Another process that maps the region."""
    task = m.spawn(name)
    task.mmap(addr, size, prot, flags, task.open(PATH))
    return task


def create(file, page, pages, prot="rw", inside=None, offset=0, flags=INSIDE):
    """MSHAREFS_CREATE_MAPPING of so many pages."""
    file.ioctl(MSHAREFS_CREATE_MAPPING,
               MshareCreate(page * PAGE, pages * PAGE, offset, prot, flags, inside))


def unmap(file, page, pages):
    """MSHAREFS_UNMAP of so many pages."""
    file.ioctl(MSHAREFS_UNMAP, MshareUnmap(page * PAGE, pages * PAGE))


def signal(access, *args):
    """The signal and the code that an access gets, or what it returns."""
    try:
        return access(*args)
    except BusError as got:
        return f"SIGBUS/{got.code}"
    except Segfault as got:
        return f"SIGSEGV/{got.code}"


def bills(task, access, *args):
    """(exceptions, minor faults) of an access."""
    before = task.page_faults, task.minor_faults
    access(*args)
    return task.page_faults - before[0], task.minor_faults - before[1]
