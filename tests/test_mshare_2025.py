"""msharefs of August 2025: a size, objects inside, an owner; and what lies beneath a region."""
import pytest
from layout import PAGE, refused
from regions import (
    INSIDE,
    PATH,
    SLOT,
    S,
    bills,
    create,
    guest,
    mounted,
    region22,
    region25,
    signal,
    unmap,
)

from mmlib import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MSHAREFS_CREATE_MAPPING,
    O_RDONLY,
    TINY,
    FileTableCache,
    Machine,
    MshareCreate,
    MshareUnmap,
    Private,
    validate,
)

MAPERR, ACCERR = "SIGSEGV/SEGV_MAPERR", "SIGSEGV/SEGV_ACCERR"
both = pytest.mark.parametrize("region", [region22, region25])


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
