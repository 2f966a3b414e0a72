"""msharefs: mounts and names, what a region is, faults and who is billed, little memory, the trace."""
import pytest
from layout import ANON, PAGE, machine, refused
from regions import PATH, SLOT, S, bills, create, guest, mounted, region22, region25, unmap

from mmlib import (
    LA57,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_SHARED,
    MSHAREFS_UNMAP,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    TINY,
    X86_64,
    Killed,
    Machine,
    MshareUnmap,
    Segfault,
    validate,
)
from mmlib.accounts import bill

both = pytest.mark.parametrize("region", [region22, region25])
each_version = pytest.mark.parametrize("version", [2022, 2025])


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
