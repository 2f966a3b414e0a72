"""msharefs: a file that is an address space, by the rules of 2022 and of August 2025."""
import itertools

import pytest
from layout import ANON, PAGE, machine, refused
from regions import (
    INSIDE,
    PATH,
    SLOT,
    S,
    bills,
    create,
    guest,
    region22,
    region25,
    signal,
    unmap,
)

from mmlib import (
    LA57,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_HUGEPAGE,
    MADV_NOSHARE_TABLES,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MSHAREFS_CREATE_MAPPING,
    MSHAREFS_UNMAP,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    TINY,
    X86_64,
    FileTableCache,
    Killed,
    Machine,
    MshareCreate,
    MshareUnmap,
    Private,
    Segfault,
    validate,
)
from mmlib.accounts import bill

MAPERR, ACCERR = "SIGSEGV/SEGV_MAPERR", "SIGSEGV/SEGV_ACCERR"
both = pytest.mark.parametrize("region", [region22, region25])
each_version = pytest.mark.parametrize("version", [2022, 2025])


def mounted(version, *args, **options):
    m = machine(*args, **options)
    m.mount("msharefs", "/ms", version=version)
    return m


# mounts and names ------------------------------------------------------------------------------
@pytest.mark.parametrize("geometry, version, slot", [
    (TINY, 2022, SLOT), (TINY, 2025, SLOT), (X86_64, 2022, 1 << 39), (X86_64, 2025, 1 << 39),
    (LA57, 2022, 1 << 48), (LA57, 2025, 1 << 39)])
def test_mshare_info_tells_the_slot(geometry, version, slot):
    """What one top-level entry maps in 2022, what a PUD table maps in 2025."""
    m = mounted(version, geometry)
    assert m.open("/ms/mshare_info", O_RDONLY).read(100) == b"%d\n" % slot


def test_mshare_info_is_read_to_its_end():
    """Like any text file: a program that reads until nothing comes ends."""
    info = mounted(2022).open("/ms/mshare_info", O_RDONLY)
    assert [info.read(4), info.read(4), info.read(4), info.pread(3, 0)] == [
        b"2621", b"44\n", b"", b"262"]


@each_version
def test_mshare_info_stays(version):
    """Neither unlinked nor renamed, nor replaced, nor mapped, nor written."""
    m = mounted(version)
    m.open("/ms/x")
    for call, *args in ((m.unlink, "/ms/mshare_info"), (m.rename, "/ms/mshare_info", "/ms/y"),
                        (m.rename, "/ms/x", "/ms/mshare_info")):
        assert refused(call, *args) == "EPERM"
    info = m.open("/ms/mshare_info")
    assert refused(m.spawn().mmap, S, SLOT, "r", MAP_SHARED, info) == "ENODEV"
    assert refused(info.pwrite, b"1", 0) == "EINVAL"


def test_versions_are_2022_and_2025():
    """2022 unless said; another is EINVAL, and so is a version of another file system."""
    m = machine()
    assert refused(m.mount, "msharefs", "/x", version=2023) == "EINVAL"
    assert refused(m.mount, "tmpfs", "/x", version=2022) == "EINVAL"
    m.mount("msharefs", "/x")
    assert m.open("/x/r").read(16) == bytes(16)


@each_version
def test_directories_hold_regions(version):
    """mkdir, create in it, unlink."""
    m = mounted(version)
    m.mkdir("/ms/d")
    m.open("/ms/d/r")
    m.unlink("/ms/d/r")
    assert refused(m.open, "/ms/d/r", O_RDWR) == "ENOENT"


@each_version
def test_a_name_is_taken_once(version):
    """O_EXCL finds it."""
    m = mounted(version)
    m.open(PATH, O_RDWR | O_CREAT | O_EXCL)
    assert refused(m.open, PATH, O_RDWR | O_CREAT | O_EXCL) == "EEXIST"


def test_two_mounts_have_regions_of_their_own():
    """The same name in each, both versions on one machine: two hosts with different names."""
    m, a, _ = region22()
    m.mount("msharefs", "/other", version=2025)
    file = a.open("/other/r")
    file.truncate(SLOT)
    create(file, 0, 1)
    a.mmap(2 * SLOT, SLOT, "rw", MAP_SHARED, file)
    a.store(S, b"one"), a.store(2 * SLOT, b"two")
    assert (a.load(S, 3), a.load(2 * SLOT, 3)) == (b"one", b"two")
    assert [mm.name for mm in m.mms()] == ["a", PATH, "/other/r"]


def test_hosts_of_one_path_have_different_names():
    """The old region is unlinked and still mapped, a new one has its path."""
    m, a, _ = region22()
    b = guest(m)
    a.unlink(PATH)
    guest(m, "c")
    assert len({mm.name for mm in m.mms()}) == len(m.mms()) == 5
    b.store(S, b"x")


# 2022: what a region is ------------------------------------------------------------------------
def test_the_first_mmap_fixes_the_region():
    """read(2) gives zeros before it, start and size after it, each time anew."""
    m = mounted(2022)
    a = m.spawn("a")
    file = a.open(PATH)
    assert file.read(16) == bytes(16)
    a.mmap(S, 2 * SLOT, "rw", MAP_SHARED, file)
    want = S.to_bytes(8, "little") + (2 * SLOT).to_bytes(8, "little")
    assert [file.read(16), file.read(16), file.read(8), file.pread(16, 7)] == [
        want, want, want[:8], want]
    assert file.size == 0


@pytest.mark.parametrize("addr, length", [(S + PAGE, SLOT), (S, PAGE), (S, SLOT + PAGE)])
def test_a_region_of_2022_is_whole_slots(addr, length):
    """EINVAL; and the next mmap is served, as the posted code's is not."""
    m = mounted(2022)
    a = m.spawn("a")
    file = a.open(PATH)
    assert refused(a.mmap, addr, length, "rw", MAP_SHARED, file) == "EINVAL"
    assert not a.maps() and file.read(16) == bytes(16)
    a.mmap(S, SLOT, "rw", MAP_SHARED, file)


def test_the_kernel_chooses_no_address_for_2022():
    """With four levels and real sizes its choice is not aligned."""
    m = mounted(2022, X86_64)
    assert refused(m.spawn().mmap, None, 1 << 39, "rw", MAP_SHARED, m.open(PATH)) == "EINVAL"


def test_five_levels_make_larger_slots_in_2022():
    """512 GiB are no slot there, 256 TiB are."""
    m = mounted(2022, LA57)
    b = m.spawn("b")
    assert refused(b.mmap, 1 << 39, 1 << 39, "rw", MAP_SHARED, b.open(PATH)) == "EINVAL"
    b.mmap(1 << 48, 1 << 48, "rw", MAP_SHARED, b.open(PATH))
    b.store(1 << 48, b"x")
    c = b.fork("c")
    assert (c.load(1 << 48), c.tables) == (b"x", 0)


@pytest.mark.parametrize("addr, length", [(2 * SLOT, SLOT), (S, 2 * SLOT)])
def test_everybody_maps_a_region_of_2022_alike(addr, length):
    """Another address or another length is EINVAL."""
    m, _, _ = region22()
    b = m.spawn("b")
    assert refused(b.mmap, addr, length, "rw", MAP_SHARED, b.open(PATH)) == "EINVAL"


def test_a_file_of_2022_is_no_data():
    """write EINVAL, ftruncate EFBIG, fallocate EOPNOTSUPP, no ioctl, and no second name."""
    m, _, file = region22()
    assert refused(file.pwrite, b"x", 0) == "EINVAL"
    assert refused(file.truncate, SLOT) == "EFBIG"
    assert refused(file.fallocate, 0, 0, SLOT) == "EOPNOTSUPP"
    assert refused(file.ioctl, MSHAREFS_UNMAP, MshareUnmap(0, PAGE)) == "ENOTTY"
    assert refused(m.link, PATH, "/ms/second") == "EPERM"


@each_version
def test_an_open_for_one_thing_forbids_the_other(version):
    """EBADF for a read of a write-only file and a write of a read-only one; EACCES for a mapping
    that asks for more."""
    m = mounted(version)
    m.open(PATH)
    reader, writer = m.open(PATH, O_RDONLY), m.open(PATH, O_WRONLY)
    assert refused(reader.pwrite, b"x", 0) == refused(writer.read, 16) == "EBADF"
    assert refused(m.spawn().mmap, S, SLOT, "rw", MAP_SHARED, reader) == "EACCES"


@both
def test_o_trunc_leaves_a_region_alone(region):
    """There are no bytes of the file to take away."""
    m, a, _ = region()
    a.store(S, b"x")
    m.open(PATH, O_RDWR | O_TRUNC)
    assert a.load(S) == b"x"


# faults, and who is billed ---------------------------------------------------------------------
@both
def test_the_first_page_of_an_empty_slot_costs_two_exceptions(region):
    """One fills the host's tables, one links them; the second is billed to nobody."""
    _, a, _ = region()
    assert bills(a, a.store, S, b"x") == (2, 1)


@both
def test_a_further_page_of_a_linked_slot_costs_one(region):
    """Billed as anywhere."""
    _, a, _ = region()
    a.store(S, b"x")
    assert bills(a, a.store, S + PAGE, b"x") == (1, 1)


@both
def test_linking_a_populated_slot_costs_one_exception(region):
    """Billed to nobody; then every populated page is free."""
    m, a, _ = region()
    a.store(S, b"abc"), a.store(S + PAGE, b"x")
    b = guest(m)
    assert b.pagemap(S, 2 * PAGE)[0].present is False
    assert bills(b, b.load, S) == (1, 0)
    assert [row.present for row in b.pagemap(S, 2 * PAGE)] == [True, True]
    assert bills(b, b.load, S + PAGE) == bills(b, b.store, S, b"y") == (0, 0)
    assert a.load(S, 3) == b"ybc"


@both
def test_each_slot_is_linked_by_itself(region):
    """A second slot costs what the first one did."""
    m, a, _ = {region22: two_slots_22, region25: two_slots_25}[region]()
    assert bills(a, a.store, S, b"x") == bills(a, a.store, S + SLOT, b"x") == (2, 1)
    b = guest(m, size=2 * SLOT)
    assert bills(b, b.load, S) == bills(b, b.load, S + SLOT) == (1, 0)


def two_slots_22():
    m = mounted(2022)
    a = m.spawn("a")
    file = a.open(PATH)
    a.mmap(S, 2 * SLOT, "rw", MAP_SHARED, file)
    return m, a, file


def two_slots_25():
    m, a, file = region25(size=2 * SLOT)
    create(file, SLOT // PAGE, 2)
    return m, a, file


@both
def test_pages_and_tables_are_the_hosts(region):
    """A guest has neither resident pages nor tables; Pss shows the pages in full in each."""
    m, a, _ = region()
    b = guest(m)
    for task in (a, b):
        task.touch(S, 3 * PAGE, write=True)
        assert (task.rss, task.tables, task.pss, task.reachable_tables) == (0, 0, 3 * PAGE, 3)
    host = m.mms()[-1]
    assert (host.nr_tables, m.table_count) == (3, 3)
    row = [row for row in bill(m) if row.mm == host.name]
    assert row[0].rss == 3 * PAGE and row[0].tables == 3 * PAGE


@pytest.mark.parametrize("version, own", [(2022, 0), (2025, 1)])
def test_five_levels_cost_a_guest_of_2025_a_p4d_of_its_own(version, own):
    """Which VmPTE does not count; in 2022 the P4D table itself is what is linked."""
    m, a, _ = la57(version)
    a.store(a.maps()[0].start, b"x")
    before = m.table_count
    b = a.fork("b")
    assert b.load(a.maps()[0].start) == b"x"
    assert (m.table_count - before, b.tables) == (own, 0)
    b.exit()
    assert m.table_count == before


def la57(version):
    m = mounted(version, LA57)
    a = m.spawn("a")
    file = a.open(PATH)
    if version == 2022:
        a.mmap(1 << 48, 1 << 48, "rw", MAP_SHARED, file)
    else:
        file.truncate(1 << 39)
        create(file, 0, 4)
        a.mmap(None, 1 << 39, "rw", MAP_SHARED, file)
    return m, a, file


def test_a_read_and_then_a_write_get_a_page_of_their_own():
    """Not the system's zero page, which the posted code of 2022 writes to."""
    m, a, _ = region22()
    assert a.load(S) == b"\0"
    a.store(S, b"{")
    a.mmap(0, PAGE, "rw", ANON)
    assert (a.load(S), a.load(S + PAGE), a.load(a.maps()[-1].start)) == (b"{", b"\0", b"\0")


@both
def test_populated_by_the_kernel(region):
    """MAP_POPULATE of a region of 2022 fills and links it; one of 2025 is left as it was."""
    m, a, _ = region()
    b = m.spawn("b")
    b.mmap(S, SLOT, "rw", MAP_SHARED | MAP_POPULATE, b.open(PATH))
    assert (b.page_faults, all(row.present for row in b.pagemap(S, SLOT))) == (
        0, region is region22)


def test_mlock_locks_no_guest():
    """A VMA that must not grow is none that can be locked; in 2025 the pages cannot be had either
    (recorded: ENOMEM)."""
    for (m, a, _), want in ((region22(), None), (region25(), "ENOMEM")):
        call = (a.mlock, S, PAGE)
        assert (refused(*call) if want else call[0](*call[1:])) == want
        assert a.locked == 0
        b = m.spawn("b")
        b.mmap(S, SLOT, "rw", MAP_SHARED | MAP_LOCKED, b.open(PATH))
        assert b.locked == 0


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


# 2025: size, objects, owner --------------------------------------------------------------------
@pytest.mark.parametrize("how", ["truncate", "fallocate"])
def test_a_size_is_given_once(how):
    """Whole slots; before it neither mmap nor ioctl is served, and a second one is EINVAL."""
    m = mounted(2025)
    a = m.spawn("a")
    file = a.open(PATH)
    size = file.truncate if how == "truncate" else lambda n: file.fallocate(0, 0, n)
    assert refused(a.mmap, S, SLOT, "rw", MAP_SHARED, file) == "EINVAL"
    assert refused(create, file, 0, 1) == refused(unmap, file, 0, 1) == "EINVAL"
    assert refused(size, SLOT + PAGE) == "EINVAL" and file.size == 0
    size(SLOT)
    assert file.size == SLOT
    assert refused(size, SLOT) == refused(size, 2 * SLOT) == "EINVAL"


def test_fallocate_takes_neither_mode_nor_offset():
    """EOPNOTSUPP and EINVAL; a read-only file EBADF, and EINVAL from ftruncate."""
    m = mounted(2025)
    file = m.open(PATH)
    assert refused(file.fallocate, 1, 0, SLOT) == "EOPNOTSUPP"
    assert refused(file.fallocate, 0, SLOT, SLOT) == refused(file.fallocate, 0, 0, 0) == "EINVAL"
    reader = m.open(PATH, O_RDONLY)
    assert refused(reader.fallocate, 0, 0, SLOT) == "EBADF"
    assert refused(reader.truncate, SLOT) == refused(file.truncate, -1) == "EINVAL"


def test_the_size_0_is_one_too():
    """It cannot be mapped, and is not changed any more."""
    m = mounted(2025)
    file = m.open(PATH)
    file.truncate(0)
    assert refused(file.truncate, SLOT) == "EINVAL"
    assert refused(m.spawn().mmap, S, SLOT, "rw", MAP_SHARED, file) == "EINVAL"


@pytest.mark.parametrize("args", [
    (S, SLOT, "rw", MAP_PRIVATE), (S, PAGE, "rw", MAP_SHARED), (S, 2 * SLOT, "rw", MAP_SHARED),
    (S + PAGE, SLOT, "rw", MAP_SHARED | MAP_FIXED)])
def test_a_region_of_2025_is_mapped_whole_and_shared(args):
    """Else EINVAL."""
    m, _, file = region25()
    assert refused(m.spawn().mmap, *args, file) == "EINVAL"


def test_a_region_of_2025_is_mapped_at_any_slot():
    """The kernel chooses an aligned one, a hint is rounded up; the data are the same."""
    m, a, file = region25()
    a.store(S, b"x")
    b = m.spawn("b")
    at = [b.mmap(None, SLOT, "rw", MAP_SHARED, file),
          b.mmap(PAGE, SLOT, "rw", MAP_SHARED, file, PAGE)]
    assert at == [3 * SLOT, SLOT] and [b.load(addr) for addr in at] == [b"x", b"x"]
    b.store(at[0], b"y")
    assert (a.load(S), b.load(at[1])) == (b"y", b"y")


def test_a_hole_is_not_mapped():
    """SIGSEGV, beside an object in the same table and far from it."""
    m, a, file = region25()
    assert signal(a.load, S + 4 * PAGE) == signal(a.store, S + 0x20000, b"x") == MAPERR
    unmap(file, 0, SLOT // PAGE)
    assert signal(a.load, S) == MAPERR
    create(file, 0, 1)
    assert a.load(S) == b"\0"


@pytest.mark.parametrize("inside", ["anon", "memfd", "ext4", "huge"])
def test_an_object_is_seen_by_all_until_it_is_unmapped(inside):
    """Guests that had linked it get SIGSEGV then; what is created there later is new."""
    m, a, file = region25(huge_pages=2)
    m.mount("ext4", "/disk")
    what = {"memfd": lambda: m.memfd("db", 4 * PAGE), "ext4": lambda: m.open("/disk/f")}
    obj = what.get(inside, lambda: None)()
    if inside == "ext4":
        obj.truncate(4 * PAGE)
    create(file, 16, 4, "rw", obj, flags=INSIDE | (MAP_HUGETLB if inside == "huge" else 0))
    b = guest(m, addr=2 * SLOT)
    at = 16 * PAGE
    a.store(S + at, b"hello")
    assert b.load(2 * SLOT + at, 5) == b"hello"
    if obj:
        assert obj.pread(5, 0) == b"hello"
    unmap(file, 16, 4)
    validate(m)
    assert signal(b.store, 2 * SLOT + at, b"x") == signal(a.load, S + at) == MAPERR
    create(file, 16, 4)
    assert b.load(2 * SLOT + at, 5) == bytes(5)


def test_a_mapping_replaces_what_was_there():
    """Inside the region as anywhere with MAP_FIXED; guests see the new protection at once."""
    m, a, file = region25()
    a.store(S, b"x")
    create(file, 0, 4, "r")
    assert a.load(S) == b"\0" and signal(a.store, S, b"y") == ACCERR


def test_an_access_beyond_the_end_of_an_object_is_a_bus_error():
    """The object is longer than its file."""
    m, a, file = region25()
    create(file, 8, 2, "rw", m.memfd("db", PAGE))
    a.store(S + 8 * PAGE, b"x")
    assert signal(a.load, S + 9 * PAGE) == "SIGBUS/BUS_ADRERR"


@pytest.mark.parametrize("args, error", [
    ((SLOT, PAGE, 0, "rw", INSIDE), "EINVAL"), ((0, SLOT + PAGE, 0, "rw", INSIDE), "EINVAL"),
    ((0, PAGE, 0, "rw", MAP_FIXED | MAP_PRIVATE), "EINVAL"), ((0, PAGE, 0, "rw", MAP_SHARED), "EINVAL"),
    ((0, 0, 0, "rw", INSIDE), "EINVAL"), ((1, PAGE, 0, "rw", INSIDE), "EINVAL"),
    ((0, 1, 0, "rw", INSIDE), None)])
def test_create_mapping_wants_a_range_inside(args, error):
    """Shared, fixed, whole pages within the region."""
    _, _, file = region25()
    call = (file.ioctl, MSHAREFS_CREATE_MAPPING, MshareCreate(*args))
    assert (refused(*call) if error else call[0](*call[1:])) == error


def test_what_cannot_be_inside():
    """A closed file EBADF, a region EINVAL, huge pages of an ordinary file EINVAL; MAP_ANONYMOUS
    ignores the file."""
    m, _, file = region25()
    closed = m.memfd("gone", PAGE)
    closed.close()
    assert refused(create, file, 0, 1, "rw", closed) == "EBADF"
    assert refused(create, file, 0, 1, "rw", file) == "EINVAL"
    memfd = m.memfd("db", PAGE)
    assert refused(create, file, 0, 1, "rw", memfd, flags=INSIDE | MAP_HUGETLB) == "EINVAL"
    create(file, 0, 1, "rw", closed, flags=INSIDE | MAP_ANONYMOUS)


def test_other_requests():
    """ENOTTY; without an argument EFAULT; an UNMAP outside EINVAL, of a hole nothing."""
    _, _, file = region25()
    assert refused(file.ioctl, 1, None) == "ENOTTY"
    assert refused(file.ioctl, MSHAREFS_CREATE_MAPPING, None) == "EFAULT"
    assert refused(unmap, file, 0, SLOT // PAGE + 1) == refused(unmap, file, SLOT // PAGE, 1) \
        == "EINVAL"
    unmap(file, 20, 2)


@pytest.mark.parametrize("arg", [
    None.__class__, (0, PAGE), MshareUnmap(0, PAGE), MshareCreate(0, PAGE, 0, "rw", INSIDE, "db"),
    MshareCreate(0.0, PAGE, 0, "rw", INSIDE), MshareCreate(0, PAGE, 0, 1.5, INSIDE)])
def test_a_wrong_argument_is_the_callers_mistake(arg):
    """TypeError or ValueError, and nothing has happened."""
    m, _, file = region25()
    with pytest.raises((TypeError, ValueError)):
        file.ioctl(MSHAREFS_CREATE_MAPPING, arg)
    assert refused(file.ioctl, 1, None) == "ENOTTY"


def test_a_number_below_zero_is_the_callers_mistake():
    """The structure has unsigned fields."""
    _, _, file = region25()
    with pytest.raises(ValueError, match="offset is not negative"):
        file.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(0, PAGE, -PAGE, "rw", INSIDE))


def test_a_read_only_file_changes_nothing():
    """EACCES; the posted code lets it."""
    m, _, _ = region25()
    reader = m.open(PATH, O_RDONLY)
    assert refused(create, reader, 0, 1) == refused(unmap, reader, 0, 1) == "EACCES"


def test_the_exit_of_the_owner_empties_the_region():
    """Others keep their VMA and get SIGSEGV; a new mmap, and a new object, is EINVAL."""
    m, a, _ = region25()
    a.store(S, b"x")
    b, file = guest(m), m.open(PATH)
    b.load(S)
    child = a.fork("child")
    a.exit()
    assert signal(b.load, S) == signal(child.store, S, b"y") == MAPERR and len(b.maps()) == 1
    assert refused(m.spawn().mmap, S, SLOT, "rw", MAP_SHARED, file) == "EINVAL"
    assert refused(create, file, 0, 1) == "EINVAL"
    assert (m.memory.folios, m.table_count) == ({}, 0)


def test_an_owner_that_exits_first():
    """Also before the region had a size."""
    m = mounted(2025)
    a = m.spawn("a")
    a.open(PATH)
    a.exit()
    file = m.open(PATH)
    file.truncate(SLOT)
    assert refused(create, file, 0, 1) == "EINVAL"


def test_exec_keeps_the_owner():
    """The same task goes on."""
    m, a, file = region25()
    b = guest(m)
    a.store(S, b"x")
    a.exec()
    assert b.load(S) == b"x" and not a.maps()
    a.mmap(S, SLOT, "rw", MAP_SHARED, file)
    assert a.load(S) == b"x"


# the host beneath other machinery --------------------------------------------------------------
def objects_on_two_cpus(sharing=None, **options):
    """A region with a file of a disk inside, two guests on two CPUs that have linked it, and a
    process that maps the file itself."""
    m, a, file = region25(sharing=sharing, cpus=2, **options)
    m.mount("ext4", "/disk")
    disk = m.open("/disk/f")
    disk.truncate(16 * PAGE)
    create(file, 16, 16, "rw", disk)
    b = guest(m, addr=2 * SLOT)
    b.run_on(1)
    c = m.spawn("c")
    c.mmap(S, 16 * PAGE, "rw", MAP_SHARED, disk)
    for task, at in ((a, S + 16 * PAGE), (b, 2 * SLOT + 16 * PAGE), (c, S)):
        task.load(at), task.load(at + PAGE)
    return m, a, b, c, disk


policies = pytest.mark.parametrize("sharing", [None, Private(), FileTableCache(),
                                               FileTableCache(("pte",), keep_unused=False)])


@policies
def test_a_hole_in_an_object_reaches_every_guest(sharing):
    """Their CPUs forget the page, and the next load reads zeros."""
    m, a, b, c, disk = objects_on_two_cpus(sharing)
    b.store(2 * SLOT + 16 * PAGE, b"x")
    assert (a.load(S + 16 * PAGE), c.load(S)) == (b"x", b"x")
    disk.fallocate(3, 0, PAGE)
    validate(m)
    assert a.load(S + 16 * PAGE) == b.load(2 * SLOT + 16 * PAGE) == c.load(S) == b"\0"
    disk.truncate(0)
    validate(m)
    assert signal(b.load, 2 * SLOT + 16 * PAGE) == "SIGBUS/BUS_ADRERR"


@policies
def test_reclaim_reaches_every_guest(sharing):
    """A page of a disk file is taken out of the host, and out of every TLB."""
    m, a, b, c, _ = objects_on_two_cpus(sharing)
    assert m.reclaim(8) == 2
    validate(m)
    assert m.memory.folios == {}
    assert b.load(2 * SLOT + 16 * PAGE) == b"\0"


@policies
def test_rmap_finds_the_host(sharing):
    """One entry, whoever links it."""
    m, a, _, _, _ = objects_on_two_cpus(sharing)
    rows, _ = m.rmap(a.pagemap(S + 16 * PAGE, PAGE)[0].pfn)
    assert {PATH, "c"} == {row.mm for row in rows}


@policies
def test_fsync_write_protects_beneath_every_guest(sharing):
    """The next store of any guest faults."""
    m, a, b, c, disk = objects_on_two_cpus(sharing)
    b.store(2 * SLOT + 16 * PAGE, b"x"), a.store(S + 16 * PAGE, b"y")
    disk.fsync()
    validate(m)
    assert bills(a, a.store, S + 16 * PAGE, b"z") == (1, 1)


def test_the_host_uses_tables_that_the_file_keeps():
    """A cached table hangs below the host's: one table for the file's mapper and all guests."""
    m, a, b, c, _ = objects_on_two_cpus(FileTableCache())
    at = [(a, S + 16 * PAGE), (b, 2 * SLOT + 16 * PAGE), (c, S)]
    assert len({m.tables.table_at(task.mm.pgd, addr, 1) for task, addr in at}) == 1


def test_a_guest_that_opts_out_leaves_the_hosts_tables():
    """Its own links are its own affair; those of the region belong to all."""
    m, a, b, _, _ = objects_on_two_cpus(FileTableCache())
    tables = a.tables, m.table_count
    b.share_tables = False
    validate(m)
    assert (a.tables, m.table_count) == tables
    assert b.load(2 * SLOT + 16 * PAGE) == b"\0"


def test_hugetlb_tables_are_shared_into_a_region():
    """The host borrows the PMD table of another mapper, as any process would."""
    m, a, file = region25(huge_pages=4)
    m.mount("hugetlbfs", "/huge")
    huge = m.open("/huge/f")
    c = m.spawn("c")
    c.mmap(S, 16 * PAGE, "rw", MAP_SHARED, huge)
    c.store(S, b"huge")
    create(file, 16, 16, "rw", huge)
    b = guest(m, addr=2 * SLOT)
    assert b.load(2 * SLOT + 16 * PAGE, 4) == b"huge"
    assert m.tables.table_at(b.mm.pgd, 2 * SLOT + 16 * PAGE, 2) is \
        m.tables.table_at(c.mm.pgd, S, 2)
    huge.truncate(0)
    validate(m)
    assert signal(b.load, 2 * SLOT + 16 * PAGE) == "SIGBUS/BUS_ADRERR"


@both
def test_without_flush_sharers_others_store_on(region):
    """A change made through the region is told to the caller alone: validate complains."""
    m = Machine(TINY, cpus=2)
    m.mount("msharefs", "/ms", version=2022 if region is region22 else 2025)
    a = m.spawn("a")
    file = a.open(PATH)
    if region is region25:
        file.truncate(SLOT)
        create(file, 0, 4)
    a.mmap(S, SLOT, "rw", MAP_SHARED, file)
    b = a.fork("b")
    b.run_on(1)
    a.store(S, b"x"), b.store(S, b"x")
    m.flush_sharers = False
    if region is region22:
        a.mprotect(S, PAGE, "r")
        assert signal(a.store, S, b"y") == ACCERR
    else:
        unmap(file, 0, 4)
    with pytest.raises(AssertionError):
        validate(m)


def test_a_change_of_2025_flushes_every_cpu():
    """flush_tlb_all, whether or not a CPU has run a guest."""
    m, a, file = region25(cpus=4)
    a.store(S, b"x")
    before = m.counters["flush_targets"]
    unmap(file, 0, 1)
    assert m.counters["flush_targets"] - before == 4


def test_a_table_that_the_host_gave_up_goes():
    """The links to it are taken out; what is created later is linked anew."""
    m, a, file = region25()
    b = guest(m)
    a.store(S, b"x"), b.load(S)
    unmap(file, 0, 4)
    assert (m.table_count, a.reachable_tables, b.reachable_tables) == (0, 0, 0)
    create(file, 2, 1)
    assert bills(b, b.store, S + 2 * PAGE, b"z") == (2, 1)
    assert a.load(S + 2 * PAGE) == b"z"


# little memory ---------------------------------------------------------------------------------
def life(m, version):
    """A region's life: guests, objects, faults, fork, unmapping; yields after each call."""
    m.mount("msharefs", "/ms", version=version)
    yield
    a = m.spawn("a")
    yield
    file = a.open(PATH)
    if version == 2025:
        db = m.memfd("db", 8 * PAGE)
        yield file.truncate(2 * m.geometry.span(3))
        yield create(file, 0, 4)
        yield create(file, 8, 8, "rw", db)
        yield a.mmap(None, file.size, "rw", MAP_SHARED, file)
    else:
        slot = int(m.open("/ms/mshare_info").read(99))
        yield a.mmap(slot, slot, "rw", MAP_SHARED, file)
    start = a.maps()[0].start
    yield a.touch(start, 3 * PAGE, write=True)
    b = a.fork("b")
    yield
    yield b.touch(start, 3 * PAGE)
    yield b.touch(start + 8 * PAGE, 3 * PAGE, write=True)
    yield a.load(start + 9 * PAGE)
    if version == 2025:
        yield unmap(file, 8, 4)
    else:
        yield a.mprotect(start, 2 * PAGE, "r")
    yield b.exit()
    yield a.unlink(PATH)


@each_version
@pytest.mark.parametrize("geometry", [TINY, LA57], ids=str)
@pytest.mark.parametrize("frames", range(1, 34))
def test_memory_ends_anywhere(frames, geometry, version):
    """In the middle of a link, of a host, of an ioctl: ENOMEM or a victim, a valid machine, and
    nothing is left at the end."""
    m = Machine(geometry, memory=frames * geometry.page_size)
    try:
        for _ in life(m, version):
            validate(m)
    except OSError as failed:
        assert failed.errno == 12
    except Killed:
        pass
    validate(m)
    for task in list(m.tasks):
        task.exit()
    for file in m.files:
        if not file.closed:
            file.close()
    for inode in [path for path in ("/ms/r",) if path[4:] in m.mounts["/ms"].names]:
        m.unlink(inode)
    validate(m)
    assert (m.hosts, m.memory.used, m.table_count) == ({}, 0, 0)


def test_a_victim_frees_nothing_that_is_shared():
    """2022: one guest is killed, then the next, and the region stays (recorded)."""
    m, a, _ = region22(memory=40 * PAGE)
    b = guest(m)
    for task in (b, a):
        with pytest.raises(Killed):
            task.touch(S, SLOT, write=True)
    assert m.tasks == [] and len(m.memory.folios) > 20
    m.unlink(PATH)
    assert m.memory.used == 0


def test_the_death_of_the_owner_frees_the_region():
    """2025: whose turn it is only by the memory of its own; the others get SIGSEGV."""
    m, a, file = region25(memory=40 * PAGE)
    create(file, 0, SLOT // PAGE)
    a.mmap(0, 8 * PAGE, "rw", ANON | MAP_FIXED)
    a.touch(0, 8 * PAGE, write=True)
    b = guest(m)
    with pytest.raises(Segfault):
        b.touch(S, SLOT, write=True)
    assert m.tasks == [b] and m.memory.folios == {}


# the trace -------------------------------------------------------------------------------------
def test_a_link_and_the_host_are_told():
    """Which mm answers, and that a table was linked; events name both."""
    m, a, _ = region22()
    a.store(S, b"x")
    kinds = [event.kind for event in m.trace[-1].events if event.kind in ("fault", "host", "link")]
    assert kinds == ["fault", "host", "fault", "link"]
    [link] = [event for event in m.trace[-1].events if event.kind == "link"]
    assert (link.level, link.mm, link.function) == ("PUD", "a", "find_shared_vma")


def test_an_ioctl_is_told_as_a_script_would_write_it():
    """The request by name, the argument with its file and flags."""
    m, _, file = region25()
    create(file, 8, 4, "rw", m.memfd("db", PAGE))
    assert m.trace[-1].action == (
        "/ms/r.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(0x8000, 0x4000, 0, 'rw', "
        "MAP_SHARED|MAP_FIXED, /memfd:db (deleted)))")


@each_version
def test_a_branch_has_the_region_too(version):
    """Every call is made again, also ioctls with a file in their argument."""
    m = machine()
    for _ in life(m, version):
        pass
    for n in range(len(m.trace)):
        other = m.branch(n)
        validate(other)
        assert other.snapshot() == m.trace[n].after


@both
def test_a_snapshot_lists_the_host(region):
    """After the mms of tasks, with its VMAs; no task runs in it."""
    m, a, _ = region()
    now = m.snapshot()
    assert [mm.name for mm in now.mms] == ["a", PATH]
    assert [task.mm for task in now.tasks] == ["a"] and len(now.mms[1].vmas) == 1


@both
def test_regions_work_without_a_trace(region):
    """The same figures."""
    m, a, _ = region(trace=False)
    assert bills(a, a.store, S, b"x") == (2, 1) and len(m.trace) == 0


def test_noreserve_and_other_flags_of_a_guest():
    """Are taken."""
    m, _, _ = region22()
    guest(m, flags=MAP_SHARED | MAP_NORESERVE).store(S, b"x")
