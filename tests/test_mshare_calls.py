"""Calls of the guests of a region: who may do what, mprotect, munmap, advice, fork, the end."""
import itertools

import pytest
from layout import ANON, PAGE, refused
from regions import PATH, SLOT, S, bills, create, guest, mounted, region22, region25, signal

from mmlib import (
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_HUGEPAGE,
    MADV_NOSHARE_TABLES,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_REMOVE,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_RDWR,
    validate,
)

MAPERR, ACCERR = "SIGSEGV/SEGV_MAPERR", "SIGSEGV/SEGV_ACCERR"
both = pytest.mark.parametrize("region", [region22, region25])


# who may do what -------------------------------------------------------------------------------
def test_a_guest_of_2022_is_asked_at_a_fault_alone():
    """PROT_READ: no store before it has linked; then a populated page is as writable as the host's
    entry says, an unpopulated one is not."""
    m, a, _ = region22()
    a.store(S, b"E")
    b = guest(m, prot="r")
    assert signal(b.store, S, b"F") == ACCERR
    assert b.load(S) == b"E"
    assert signal(b.store, S, b"G") is None and a.load(S) == b"G"
    assert signal(b.store, S + PAGE, b"x") == ACCERR


@pytest.mark.parametrize("prot", ["r", ""])
def test_a_guest_of_2025_is_not_asked(prot):
    """The protection of the object inside decides, also where the guest has PROT_NONE."""
    m, a, file = region25()
    create(file, 8, 1, "r")
    b = guest(m, prot=prot)
    b.store(S, b"x")
    assert a.load(S) == b"x"
    assert signal(a.store, S + 8 * PAGE, b"x") == ACCERR and a.load(S + 8 * PAGE) == b"\0"


def test_map_private_of_a_region_of_2022_is_shared_all_the_same():
    """Shown as private, as recorded; no copy on write."""
    m, a, _ = region22()
    b = guest(m, flags=MAP_PRIVATE)
    a.store(S, b"n")
    assert (b.load(S), b.maps()[0].perms) == (b"n", "rw-p")
    b.store(S, b"o")
    assert a.load(S) == b"o"
    c = b.fork("c")
    c.store(S, b"p")
    assert a.load(S) == b"p"


# calls of a guest ------------------------------------------------------------------------------
def test_one_mprotect_is_for_all_in_2022():
    """It acts on the host, so that every guest sees it: what mshare was wanted for."""
    m, a, _ = region22()
    b = guest(m)
    b.store(S, b"x"), b.store(S + PAGE, b"x")
    a.mprotect(S, PAGE, "r")
    assert signal(b.store, S, b"y") == signal(a.store, S, b"y") == ACCERR
    assert signal(b.store, S + PAGE, b"y") is None
    b.mprotect(S, PAGE, "rw")
    assert signal(a.store, S, b"z") is None


def test_prot_none_is_for_all_in_2022():
    """The posted code lets the others loop in the fault handler."""
    m, a, _ = region22()
    b = guest(m)
    b.store(S, b"x")
    a.mprotect(S, SLOT, "")
    assert signal(a.load, S) == signal(b.load, S) == signal(b.store, S, b"y") == ACCERR


def test_mprotect_flushes_every_guest():
    """A translation that another CPU remembers would let it store on."""
    m, a, _ = region22(cpus=2)
    b = guest(m)
    b.run_on(1)
    b.store(S, b"x"), a.load(S)
    flushed = m.counters["flush_targets"]
    a.mprotect(S, PAGE, "r")
    assert m.counters["flush_targets"] == flushed + 2
    assert signal(b.store, S, b"y") == ACCERR


def test_mprotect_of_a_guest_of_2025_is_refused():
    """EINVAL for the whole, for a part, for what it is already."""
    _, a, _ = region25()
    for args in ((S, SLOT, "r"), (S, PAGE, "r"), (S, SLOT, "rw")):
        assert refused(a.mprotect, *args) == "EINVAL"


@both
def test_a_part_of_a_guest_is_not_unmapped(region):
    """EINVAL, by munmap, by a mapping over it, by mremap; the whole goes."""
    _, a, file = region()
    a.store(S, b"x")
    assert refused(a.munmap, S, PAGE) == "EINVAL"
    assert refused(a.munmap, S + PAGE, SLOT) == "EINVAL"
    assert refused(a.mmap, S + PAGE, PAGE, "rw", ANON | MAP_FIXED) == "EINVAL"
    assert refused(a.mremap, S, SLOT, PAGE) == "EINVAL"
    assert a.load(S) == b"x"
    a.mmap(S, SLOT, "rw", ANON | MAP_FIXED)
    assert a.load(S) == b"\0"


@both
def test_a_guest_neither_moves_nor_grows(region):
    """EINVAL and EFAULT."""
    _, a, _ = region()
    for size in (SLOT, PAGE):
        assert refused(a.mremap, S, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, 2 * S) == "EINVAL"
    assert refused(a.mremap, S, SLOT, 2 * SLOT, MREMAP_MAYMOVE) == "EFAULT"
    assert refused(a.mremap, S, 0, SLOT, MREMAP_MAYMOVE) == "EFAULT"


@both
def test_advice_about_a_guest(region):
    """Flags of the whole are taken, those of a part would split it; guards and holes it has none."""
    _, a, _ = region()
    a.store(S, b"x")
    a.madvise(S, SLOT, MADV_HUGEPAGE), a.madvise(S, SLOT, MADV_PAGEOUT)
    assert refused(a.madvise, S, PAGE, MADV_DONTFORK) == "EINVAL"
    assert refused(a.madvise, S, PAGE, MADV_NOSHARE_TABLES) == "EINVAL"
    assert refused(a.madvise, S, PAGE, MADV_GUARD_INSTALL) == "EINVAL"
    assert refused(a.madvise, S, PAGE, MADV_REMOVE) == "EOPNOTSUPP"
    a.madvise(S, SLOT, MADV_DONTFORK)
    assert not a.fork("b").maps() and a.load(S) == b"x"


def test_populate_of_a_guest_of_2025_fails():
    """The kernel takes no fault there on its own."""
    _, a, _ = region25()
    assert refused(a.madvise, S, PAGE, MADV_POPULATE_READ) == "EFAULT"


def test_dontneed_has_no_effect_in_2022():
    """Recorded: the page stays present, and the data."""
    _, a, _ = region22()
    a.store(S, b"x")
    a.madvise(S, SLOT, MADV_DONTNEED)
    assert bills(a, a.load, S) == (0, 0) and a.load(S) == b"x"


def test_dontneed_drops_the_link_in_2025():
    """The next touch links anew; also of a page of the slot that was not named."""
    m, a, _ = region25()
    b = guest(m)
    a.store(S, b"x"), a.store(S + PAGE, b"y"), b.load(S)
    a.madvise(S, PAGE, MADV_DONTNEED)
    validate(m)
    assert [row.present for row in a.pagemap(S, 2 * PAGE)] == [False, False]
    assert bills(a, a.load, S + PAGE) == (1, 0)
    assert bills(b, b.load, S) == (0, 0)


@both
def test_munmap_takes_the_link_and_the_translations(region):
    """The posted code of 2022 leaves the link, that of 2025 the translations."""
    m, a, _ = region()
    a.store(S, b"x"), a.store(S + PAGE, b"x")
    b = guest(m)
    b.load(S), b.load(S + PAGE)
    b.munmap(S, SLOT)
    assert signal(b.load, S) == signal(b.store, S + PAGE, b"y") == MAPERR
    assert (b.reachable_tables, a.load(S)) == (0, b"x")
    b.mmap(S, SLOT, "rw", ANON | MAP_FIXED)
    assert b.load(S) == b"\0"


@both
def test_the_kernel_tells_a_guest_as_one_vma(region):
    """With the file's path, however many objects are inside."""
    m, a, _ = region()
    [row] = a.maps()
    assert (row.start, row.end, row.perms, row.backing) == (S, S + SLOT, "rw-s", PATH)
    a.unlink(PATH)
    assert [row.backing for row in a.maps()] == [PATH + " (deleted)"] * (region is region25)


# fork ------------------------------------------------------------------------------------------
@both
def test_a_child_is_a_guest(region):
    """It has the VMA and no entry; one touch links all; stores are seen both ways."""
    m, a, _ = region()
    a.touch(S, 3 * PAGE, write=True)
    b = a.fork("b")
    assert not any(row.present for row in b.pagemap(S, 3 * PAGE))
    assert bills(b, b.load, S) == (1, 0)
    b.store(S, b"child"), a.store(S + PAGE, b"parent")
    assert (a.load(S, 5), b.load(S + PAGE, 6), b.tables, b.rss) == (b"child", b"parent", 0, 0)


@both
def test_a_child_counts(region):
    """A region that is unlinked lives until parent and child are gone, in either order."""
    m, a, file = region()
    a.store(S, b"x")
    others = [a.fork(name) for name in "bcd"]
    for task in others[:2]:
        task.exit()
    m.unlink(PATH)
    assert a.load(S) == b"x" and len(m.hosts) == 1


# the end of a region ---------------------------------------------------------------------------
def test_a_region_of_2022_outlives_its_creator():
    """And everybody: pages and tables wait for the next guest."""
    m, a, _ = region22()
    a.store(S, b"21")
    b = guest(m)
    a.exit()
    b.store(S + PAGE, b"22")
    b.exit()
    c = guest(m, "c")
    assert (c.load(S, 2), c.load(S + PAGE, 2)) == (b"21", b"22")


@pytest.mark.parametrize("order", [*itertools.permutations(["unlink", "unmap", "exit"])])
def test_a_region_of_2022_goes_with_its_last_name_and_its_last_mapping(order):
    """Whichever is last; an open file holds nothing."""
    m, a, file = region22()
    held = m.open(PATH)
    b = guest(m)
    a.store(S, b"x")
    calls = {"unlink": lambda: m.unlink(PATH), "unmap": lambda: b.munmap(S, SLOT), "exit": a.exit}
    for i, name in enumerate(order):
        assert len(m.hosts) == 1
        calls[name]()
        validate(m)
    assert (m.hosts, m.table_count, m.memory.folios) == ({}, 0, {})
    assert held.read(16) == bytes(16)
    assert refused(m.spawn().mmap, S, SLOT, "rw", MAP_SHARED, held) == "EINVAL"


def test_unlink_takes_a_region_of_2022_out_of_the_caller():
    """And out of nobody else; nor does it touch what a stranger has at that place."""
    m, a, _ = region22()
    b, c = guest(m), m.spawn("c")
    a.store(S, b"3")
    c.mmap(S, PAGE, "rw", ANON | MAP_FIXED)
    c.store(S, b"M")
    other = guest(m, "d")
    a.unlink(PATH)
    assert not a.maps() and signal(a.load, S) == MAPERR
    assert (b.load(S), other.load(S), c.load(S)) == (b"3", b"3", b"M")
    assert refused(b.open, PATH, O_RDWR) == "ENOENT"


def test_unlink_by_a_stranger_leaves_its_memory_alone():
    """The posted code unmaps whatever the caller has at the region's addresses."""
    m, a, _ = region22()
    c = m.spawn("c")
    c.mmap(S, PAGE, "rw", ANON | MAP_FIXED)
    c.store(S, b"M")
    c.unlink(PATH)
    assert c.load(S) == b"M" and len(a.maps()) == 1


def test_unlink_leaves_the_guests_of_2025():
    """The caller's mapping works on; the region goes with the last file and mapping."""
    m, a, file = region25()
    b = guest(m)
    a.store(S, b"3")
    a.unlink(PATH)
    assert (a.load(S), b.load(S)) == (b"3", b"3")
    b.munmap(S, SLOT), b.exit()
    a.munmap(S, SLOT)
    assert len(m.hosts) == 1
    file.close()
    assert (m.hosts, m.memory.folios, m.table_count) == ({}, {}, 0)


def test_a_region_that_no_task_owns_ends_with_its_file():
    """The machine created it: no exit empties it, the last close does."""
    m = mounted(2025)
    file = m.open(PATH)
    file.truncate(SLOT)
    create(file, 0, 1)
    a = guest(m, "a")
    a.store(S, b"x")
    b = a.fork("b")
    a.exit()
    assert b.load(S) == b"x"
    m.unlink(PATH), file.close(), b.exit()
    assert (m.hosts, m.memory.folios, m.table_count) == ({}, {}, 0)


def test_a_second_name_holds_a_region_of_2025():
    """Either opens it."""
    m, a, _ = region25()
    a.store(S, b"D")
    m.link(PATH, "/ms/second")
    m.unlink(PATH)
    b = m.spawn("b")
    b.mmap(2 * SLOT, SLOT, "r", MAP_SHARED, b.open("/ms/second"))
    assert b.load(2 * SLOT) == b"D"


@both
def test_rename_over_a_region_unlinks_it(region):
    """What had the name ends as by unlink."""
    m, a, _ = region()
    b = guest(m)
    b.store(S, b"x")
    a.open("/ms/new")
    a.rename("/ms/new", PATH)
    assert b.load(S) == b"x" and m.open(PATH).inode.region.host is None
