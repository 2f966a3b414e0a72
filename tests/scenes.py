"""Traces to be drawn: one of every kind that a picture must bear, each made by a function.

Steps are calls as a notebook makes them; a call that fails is part of some.
"""
from contextlib import contextmanager

from mmlib import (
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    MSHAREFS_CREATE_MAPPING,
    MSHAREFS_UNMAP,
    TINY,
    X86_64,
    FileTableCache,
    Killed,
    Machine,
    MshareCreate,
    MshareUnmap,
    Private,
)
from mmlib.signals import Signal

PAGE = TINY.page_size
ANON = MAP_PRIVATE | MAP_ANONYMOUS
MIB = 1 << 20
# What a name may hold that a picture, a table and a page must not take for their own.
ODD = ['say "hi"', "<script>alert(1)</script>", "a & b", "two\nlines", "back\\slash", "naïve ☃",
       "🐧", "]]>", "x" * 300, "'--><svg onload=alert(1)>", "{record|<p>}", "\\N \\G", "&lt;"]


@contextmanager
def failing():
    """The call within fails, as it should."""
    try:
        yield
    except (OSError, Signal, Killed):
        return
    raise AssertionError("the call was to fail")


def nothing():
    """A machine that did nothing but start a process."""
    m = Machine(TINY)
    m.spawn("a")
    return m


def fork():
    """Copy on write, reuse, a write after the other is gone."""
    m = Machine(TINY)
    a = m.spawn("a")
    heap = a.mmap(0x4000, 3 * PAGE, "rw", ANON)
    a.store(heap, b"rows")
    a.store(heap + PAGE, b"index")
    b = a.fork("b")
    b.store(heap, b"mine")
    a.store(heap, b"ROWS")
    b.load(heap + 2 * PAGE)
    c = b.fork("c")
    c.store(heap + PAGE, b"c")
    b.exit()
    c.store(heap, b"last")
    with failing():
        c.load(0x80000)
    a.munmap(heap, 3 * PAGE)
    return m


def files(sharing=None):
    """Three processes map one file, one of them only to read."""
    m = Machine(TINY, sharing=sharing)
    a = m.spawn("a")
    file = m.memfd("db", 16 * PAGE)
    at = a.mmap(0x40000, 16 * PAGE, "rw", MAP_SHARED, file)
    a.store(at, b"hello")
    b, c = a.fork("b"), m.spawn("c")
    c.mmap(at, 16 * PAGE, "r", MAP_SHARED, file)
    b.load(at, 5)
    b.store(at + 5 * PAGE, b"five")
    c.load(at)
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, b"own")
    b.mprotect(at, 4 * PAGE, "r")
    b.load(at)
    with failing():
        b.store(at, b"no")
    a.exit()
    b.exit()
    file.truncate(PAGE)
    c.load(at)
    with failing():
        c.load(at + 8 * PAGE)
    c.exit()
    m.shrink()
    return m


def cache():
    """Tables that are cached with the file: linked by three, unshared, kept, freed."""
    m = Machine(TINY, sharing=FileTableCache())
    tasks = [m.spawn(name) for name in "abc"]
    file = m.memfd("db", 32 * PAGE)
    for task in tasks:
        task.mmap(0x40000, 32 * PAGE, "rw", MAP_SHARED, file)
    for task in tasks:
        task.load(0x40000)
    tasks[0].store(0x41000, b"once")
    tasks[1].load(0x41000)
    tasks[2].touch(0x50000, 16 * PAGE)
    tasks[1].mprotect(0x40000, 4 * PAGE, "r")
    tasks[1].load(0x40000)
    tasks[0].share_tables = False
    for task in tasks:
        task.exit()
    m.shrink()
    return m


def hugetlb():
    """Huge pages of a file, whose PMD table two processes share, and private ones."""
    m = Machine(TINY, huge_pages=6)
    m.mount("hugetlbfs", "/huge")
    a = m.spawn("a")
    file = a.open("/huge/f")
    file.truncate(4 * TINY.huge_size)
    at = a.mmap(0x40000, 4 * TINY.huge_size, "rw", MAP_SHARED, file)
    b = a.fork("b")
    a.store(at, b"huge")
    b.load(at)
    b.store(at + TINY.huge_size, b"too")
    own = a.mmap(0x80000, TINY.huge_size, "rw", ANON | MAP_HUGETLB)
    a.store(own, b"own")
    c = a.fork("c")
    c.store(own, b"copy")
    a.exit()
    return m


def threads():
    """Two threads of one process, and a third that outlives the name of the first."""
    m = Machine(TINY, cpus=2)
    a = m.spawn("a")
    t = a.clone("t")
    t.run_on(1)
    heap = a.mmap(None, 2 * PAGE, "rw", ANON)
    a.store(heap, b"one")
    t.store(heap + PAGE, b"two")
    t.load(heap)
    a.mprotect(heap, 2 * PAGE, "r")
    a.exit()
    again = m.spawn("a")
    again.mmap(heap, PAGE, "rw", ANON)
    again.store(heap, b"x")
    t.exit()
    return m


def execs():
    """exec: a new address space for the same name, and a thread that ends."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, 2 * PAGE, "rw", ANON)
    a.store(0x4000, b"old")
    a.clone("t")
    a.exec()
    a.mmap(0x4000, 2 * PAGE, "rw", ANON)
    a.load(0x4000)
    a.exec()
    return m


def reuse():
    """Names and frames that are used again: what stands in a frame now is another thing."""
    m = Machine(TINY)
    for word in (b"first", b"second", b"third"):
        a = m.spawn("a")
        a.mmap(0x4000, 2 * PAGE, "rw", ANON)
        a.store(0x4000, word)
        file = a.memfd("f", 2 * PAGE)
        a.mmap(0x8000, 2 * PAGE, "rw", MAP_SHARED, file)
        a.store(0x8000, word)
        a.exit()
    return m


def states_of_pages():
    """PROT_NONE, guards, the zero page, MADV_DONTNEED, mlock, a move."""
    m = Machine(TINY)
    a = m.spawn("a")
    at = a.mmap(0x4000, 8 * PAGE, "rw", ANON)
    a.store(at, b"x")
    a.load(at + PAGE)
    a.mprotect(at, PAGE, "")
    with failing():
        a.load(at)
    a.madvise(at + 2 * PAGE, PAGE, MADV_GUARD_INSTALL)
    with failing():
        a.store(at + 2 * PAGE, b"x")
    a.mlock(at + 4 * PAGE, 2 * PAGE)
    a.madvise(at + PAGE, PAGE, MADV_DONTNEED)
    b = a.fork("b")
    b.mprotect(at, PAGE, "rw")
    b.store(at, b"y")
    a.mmap(0xf0000, PAGE, "rw", ANON)
    a.store(0xf0000, b"end")
    a.mremap(0xf0000, PAGE, 4 * PAGE, MREMAP_MAYMOVE)
    a.mremap(at + 4 * PAGE, 4 * PAGE, PAGE)
    return m


def shared_memory():
    """MAP_SHARED | MAP_ANONYMOUS, a private mapping of a file, a disk, fault-around."""
    m = Machine(TINY, fault_around=4)
    m.mount("ext4", "/disk")
    a = m.spawn("a")
    at = a.mmap(0x10000, 4 * PAGE, "rw", MAP_SHARED | MAP_ANONYMOUS)
    a.store(at, b"shm")
    b = a.fork("b")
    b.load(at)
    file = a.open("/disk/log")
    file.pwrite(b"on disk" * 1000, 0)
    file.fsync()
    a.mmap(0x20000, 4 * PAGE, "rw", MAP_PRIVATE, file)
    a.load(0x20000)
    a.store(0x20000, b"own")
    b.mmap(0x30000, 4 * PAGE, "rw", MAP_SHARED, file)
    b.store(0x30000, b"all")
    m.drop_caches()
    m.reclaim(2)
    return m


def killed():
    """Memory runs out, and the OOM killer chooses."""
    m = Machine(TINY, memory=20 * PAGE)
    a, b = m.spawn("a"), m.spawn("b")
    for task in (a, b):
        task.mmap(0x4000, 16 * PAGE, "rw", ANON)
    a.touch(0x4000, 3 * PAGE, write=True)
    with failing():
        b.touch(0x4000, 16 * PAGE, write=True)
    return m


def wide():
    """A table of 512 entries of which many are used, and addresses far apart."""
    m = Machine(X86_64)
    a = m.spawn("a")
    file = a.memfd("db", 4 * MIB)
    at = a.mmap(None, 4 * MIB, "rw", MAP_SHARED, file)
    low = a.mmap(0x40_0000, 16 * PAGE, "rw", ANON)
    a.store(low, b"low")
    a.touch(low, 16 * PAGE, write=True)
    b = a.fork("b")
    b.load(at)
    b.load(at + 3 * MIB)
    b.store(low, b"mine")
    a.munmap(low, 8 * PAGE)
    return m


def sixty_four_mib():
    """A table for each of 32 ranges, and 16384 pages."""
    m = Machine(X86_64, sharing=Private())
    a = m.spawn("a")
    at = a.mmap(0x1_0000_0000, 64 * MIB, "rw", ANON)
    a.touch(at, 64 * MIB, write=True)
    b = a.fork("b")
    b.store(at, b"b")
    return m


def crowd():
    """More processes than have room, each with a page of a file and one of its own."""
    m = Machine(TINY)
    file = m.memfd("db", 4 * PAGE)
    for n in range(9):
        task = m.spawn(f"client {n}")
        task.mmap(0x40000, 4 * PAGE, "rw", MAP_SHARED, file)
        task.load(0x40000)
        task.mmap(0x4000, PAGE, "rw", ANON)
        task.store(0x4000, bytes([65 + n]))
    return m


def many_files():
    """One page of each of many files, and a hundred pages in the cache that nobody maps."""
    m = Machine(TINY)
    a = m.spawn("a")
    for n in range(12):
        file = a.memfd(f"f{n}", PAGE)
        a.mmap(0x10000 + n * PAGE, PAGE, "rw", MAP_SHARED, file)
        a.load(0x10000 + n * PAGE)
    big = a.memfd("big", 0)
    big.pwrite(b"x" * 100 * PAGE, 0)
    return m


def tiny_full():
    """Every page of TINY: 85 tables and 256 pages in one process."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0, TINY.task_size, "rw", ANON)
    a.touch(0, TINY.task_size, write=True)
    a.fork("b")
    return m


def odd_names():
    """Tasks and files with names that mean something to a format."""
    m = Machine(TINY)
    for n, name in enumerate(ODD[:6]):
        task = m.spawn(name)
        file = task.memfd(name[:200], PAGE)
        at = task.mmap(None, PAGE, "rw", MAP_SHARED, file)
        task.store(at, name.encode()[:8])
    return m


def region():
    """msharefs by the rules of 2022: two guests and a child, a part made read-only, the end."""
    m = Machine(TINY)
    m.mount("msharefs", "/ms")
    a = m.spawn("a")
    file = a.open("/ms/r")
    a.mmap(0x40000, 0x40000, "rw", MAP_SHARED, file)
    a.store(0x40000, b"rows"), a.store(0x45000, b"index")
    b = m.spawn("b")
    b.mmap(0x40000, 0x40000, "rw", MAP_SHARED, file)
    b.mmap(0x4000, PAGE, "rw", ANON)
    b.load(0x40000), b.store(0x4000, b"own"), b.store(0x46000, b"new")
    c = b.fork("c")
    c.load(0x40000)
    a.mprotect(0x40000, PAGE, "r")
    with failing():
        c.store(0x40000, b"x")
    a.unlink("/ms/r")
    b.exit(), c.exit()
    return m


def objects_inside():
    """msharefs by the rules of 2025: a file and anonymous memory inside, guests at two addresses,
    an object that goes, an owner that exits; another region of the same name."""
    m = Machine(TINY)
    m.mount("msharefs", "/ms", version=2025)
    a, db = m.spawn("a"), m.memfd("db", 4 * PAGE)
    file = a.open("/ms/r")
    file.truncate(0x40000)
    for offset, prot, inside in ((0, "rw", db), (0x10000, "r", None)):
        file.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(offset, 4 * PAGE, 0, prot,
                                                         MAP_SHARED | MAP_FIXED, inside))
    a.mmap(0x40000, 0x40000, "rw", MAP_SHARED, file)
    a.store(0x40000, b"rows"), a.load(0x50000)
    b = m.spawn("b")
    there = b.mmap(None, 0x40000, "rw", MAP_SHARED, file)
    b.load(there)
    file.ioctl(MSHAREFS_UNMAP, MshareUnmap(0x10000, 4 * PAGE))
    m.unlink("/ms/r")
    m.open("/ms/r").truncate(0x40000)
    a.exit()
    with failing():
        b.load(there)
    b.exit()
    return m


ALL = [nothing, fork, files, cache, hugetlb, threads, execs, reuse, states_of_pages,
       shared_memory, killed, wide, sixty_four_mib, crowd, many_files, tiny_full, odd_names,
       region, objects_inside]
