"""Huge pages: the pool, reservations, faults, and PMD tables that Linux itself shares."""
import pytest
from layout import ANON, PAGE, machine, refused

from mmlib import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDWR,
    O_TRUNC,
    TINY,
    X86_64,
    BusError,
    FileTableCache,
    HugetlbPmdSharing,
    Private,
    Segfault,
)

HUGE, SPAN = TINY.huge_size, TINY.span(2)       # 16 KiB, and what a PMD table maps: 64 KiB
SHARED, PRIVATE = MAP_SHARED | MAP_FIXED, MAP_PRIVATE | MAP_FIXED
AT = 4 * SPAN


@pytest.fixture
def here():
    here = machine(huge_pages=8)
    here.mount("hugetlbfs", "/huge")
    return here


def mapper(here, name, start=AT, length=SPAN, prot="rw", flags=SHARED, offset=0):
    task = here.spawn(name)
    task.mmap(start, length, prot, flags, here.open("/huge/f"), offset)
    return task


def present(task, start=AT, pages=4) -> int:
    """Huge pages that are in the page table."""
    return sum(row.present for row in task.pagemap(start, pages * HUGE)) // (HUGE // PAGE)


def mapcount(task, addr=AT) -> int:
    return task.machine.memory.folio(task.pagemap(addr, PAGE)[0].pfn).mapcount


# the pool ----------------------------------------------------------------------------------------
def test_the_pool_is_taken_out_of_memory_at_the_start(here):
    """nr_hugepages at boot: aligned, and never used for anything else."""
    assert here.memory.used == 8 * 4 and here.huge_pages.free == 8
    task = here.spawn("a")
    task.mmap(0x4000, 8 * PAGE, "rw", ANON | MAP_FIXED)
    task.touch(0x4000, 8 * PAGE, write=True)
    assert here.huge_pages.free == 8
    start = task.mmap(None, HUGE, "rw", ANON | MAP_HUGETLB)
    task.store(start, 1)
    assert task.pagemap(start, PAGE)[0].pfn * PAGE % HUGE == 0 and here.huge_pages.free == 7


def test_mmap_reserves_and_refuses_what_is_not_there(here):
    """hugetlb_reserve_pages: ENOMEM at mmap instead of SIGBUS later."""
    task = mapper(here, "a", length=4 * HUGE)
    assert here.huge_pages.reserved == 4
    assert refused(task.mmap, None, 5 * HUGE, "rw", ANON | MAP_HUGETLB) == "ENOMEM"
    task.mmap(None, 4 * HUGE, "rw", ANON | MAP_HUGETLB)
    assert (here.huge_pages.free, here.huge_pages.reserved) == (8, 8)


def test_a_page_of_a_file_is_reserved_once(here):
    """Whoever maps it; the file keeps its promise until it goes."""
    a, b = mapper(here, "a"), mapper(here, "b")
    assert here.huge_pages.reserved == 4
    a.touch(AT, SPAN), b.touch(AT, SPAN)
    assert (here.huge_pages.reserved, here.huge_pages.free) == (0, 4)
    here.unlink("/huge/f"), a.exit(), b.exit()
    for file in here.files:
        file.close()
    assert here.huge_pages.free == 8


def test_noreserve_takes_its_chance(here):
    """MAP_NORESERVE: SIGBUS where the pool has none left."""
    full = here.spawn("full")
    full.mmap(None, 7 * HUGE, "rw", ANON | MAP_HUGETLB)
    task = mapper(here, "a", flags=SHARED | MAP_NORESERVE)
    task.store(AT, 1)
    with pytest.raises(BusError, match="no huge page is left"):
        task.store(AT + HUGE, 1)
    assert (task.minor_faults, task.page_faults) == (1, 2)


@pytest.mark.parametrize("call", ["mlock", "MADV_POPULATE_READ", "MAP_POPULATE"])
def test_faulting_in_answers_an_empty_pool_without_a_signal(call):
    """VM_FAULT_SIGBUS: ENOMEM for mlock, EFAULT for madvise; MAP_POPULATE stops quietly."""
    here = machine(huge_pages=1)
    here.mount("hugetlbfs", "/huge")
    task = mapper(here, "a", flags=SHARED | MAP_NORESERVE | (call == "MAP_POPULATE") * 0x8000)
    if call == "mlock":
        assert refused(task.mlock, AT, SPAN) == "ENOMEM"
    elif call != "MAP_POPULATE":
        assert refused(task.madvise, AT, SPAN, 22) == "EFAULT"
    assert present(task) == 1


def test_a_private_reservation_comes_back_with_its_mapping(here):
    """hugetlb_vm_op_close: what was not used is free again."""
    task = here.spawn("a")
    start = task.mmap(None, 4 * HUGE, "rw", ANON | MAP_HUGETLB)
    task.store(start, 1)
    task.munmap(start + 2 * HUGE, 2 * HUGE)
    assert (here.huge_pages.reserved, here.huge_pages.free) == (1, 7)
    task.exit()
    assert (here.huge_pages.reserved, here.huge_pages.free) == (0, 8)


@pytest.mark.parametrize("how", ["truncate", "O_TRUNC"])
def test_a_truncation_gives_back_pages_and_promises(here, how):
    """hugetlb_unreserve_pages: beyond the new end nothing is promised any more."""
    task = mapper(here, "a")
    task.store(AT, 1)
    file = here.files[-1]
    file.truncate(0) if how == "truncate" else here.open("/huge/f", O_RDWR | O_TRUNC)
    assert (here.huge_pages.reserved, here.huge_pages.free) == (0, 8)
    with pytest.raises(BusError):
        task.load(AT)


def test_truncation_to_one_page(here):
    """HG03: the page beyond the end is SIGBUS, the other is ok."""
    task = mapper(here, "a")
    task.touch(AT, 2 * HUGE, write=True)
    here.files[-1].truncate(HUGE)
    with pytest.raises(BusError):
        task.load(AT + HUGE)
    assert task.load(AT) == b"\0"


@pytest.mark.parametrize("call", [lambda f: f.truncate(HUGE + PAGE), lambda f: f.pwrite(b"x", 0)])
def test_what_a_file_of_huge_pages_refuses(here, call):
    """hugetlbfs: a size within a huge page, and write(2)."""
    assert refused(call, here.open("/huge/f")) == "EINVAL"


def test_fallocate_fills_until_the_pool_is_empty(here):
    """hugetlbfs_fallocate: ENOSPC, with the pages before it; a hole gives pages back."""
    file = here.open("/huge/f")
    file.fallocate(0, 0, 4 * HUGE)
    assert here.huge_pages.free == 4 and file.size == 4 * HUGE
    assert refused(file.fallocate, 0, 0, 9 * HUGE) == "ENOSPC" and here.huge_pages.free == 0
    file.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 9 * HUGE)
    assert here.huge_pages.free == 8


# faults ------------------------------------------------------------------------------------------
def test_a_fault_maps_a_whole_huge_page(here):
    """hugetlb_no_page: one fault, two tables, and rss does not count it."""
    task = mapper(here, "a")
    task.store(AT + HUGE - 1, 5)
    assert (task.minor_faults, task.tables, task.rss, present(task)) == (1, 2, 0, 1)
    assert task.load(AT, HUGE) == bytes(HUGE - 1) + b"\5" and task.page_faults == 1
    assert here.files[-1].pread(1, HUGE - 1) == b"\5"


def test_a_protection_holds(here):
    """HG04: R forbids, RW allows again."""
    task = mapper(here, "a")
    task.store(AT, 1)
    task.mprotect(AT, SPAN, "r")
    with pytest.raises(Segfault):
        task.store(AT, 2)
    task.mprotect(AT, SPAN, "rw")
    task.store(AT, 3)
    assert task.load(AT) == b"\3"


def test_a_private_page_is_copied_by_a_store(here):
    """hugetlb_wp: the file stays as it is."""
    shared, private = mapper(here, "a"), mapper(here, "b", flags=PRIVATE)
    shared.store(AT, 1)
    assert private.load(AT) == b"\1"
    private.store(AT, 2)
    assert (shared.load(AT), private.load(AT)) == (b"\1", b"\2")
    assert here.counters["copies"] == 1


def test_fork_copies_no_table_where_there_is_no_pmd_table(here):
    """Unlike with small pages: a PUD table of the parent that leads nowhere stays its own
    (copy_hugetlb_page_range)."""
    task = mapper(here, "a", length=2 * SPAN, flags=PRIVATE)
    task.store(AT, b"x")
    task.munmap(AT, SPAN)
    assert (task.tables, task.fork("b").tables) == (1, 0)
    task.store(AT + SPAN, b"x")
    assert (task.tables, task.fork("c").tables) == (2, 2)


@pytest.mark.parametrize("writer", [0, 1])
def test_copy_on_write_after_fork(here, writer):
    """hugetlb_wp: neither sees the other's store."""
    task = here.spawn("a")
    start = task.mmap(None, HUGE, "rw", ANON | MAP_HUGETLB)
    task.store(start, 1)
    both = task, task.fork()
    both[writer].store(start, 2)
    assert (both[writer].load(start), both[1 - writer].load(start)) == (b"\2", b"\1")


def test_the_owner_of_a_reservation_wins_where_the_pool_is_empty():
    """unmap_ref_private: the child loses the page, the parent keeps its own."""
    here = machine(huge_pages=1)
    task = here.spawn("a")
    start = task.mmap(None, HUGE, "rw", ANON | MAP_HUGETLB)
    task.store(start, 1)
    child = task.fork()
    with pytest.raises(BusError):
        child.store(start, 3)
    task.store(start, 2)
    with pytest.raises(BusError):
        child.load(start)
    assert task.load(start) == b"\2"


def test_shared_anonymous_huge_pages(here):
    """hugetlb_file_setup: an object without a name that a child shares."""
    task = here.spawn("a")
    start = task.mmap(None, HUGE, "rw", MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB)
    child = task.fork()
    child.store(start, 9)
    assert task.load(start) == b"\x09"
    assert task.maps()[0].backing == "/anon_hugepage (deleted)"


@pytest.mark.parametrize("call", [
    lambda t: t.munmap(AT, PAGE), lambda t: t.munmap(AT + PAGE, HUGE),
    lambda t: t.mprotect(AT, PAGE, "r"), lambda t: t.mremap(AT, PAGE, PAGE, 3, AT + PAGE),
    lambda t: t.mmap(AT + PAGE, HUGE, "rw", ANON | MAP_HUGETLB | MAP_FIXED),
    lambda t: t.madvise(AT + PAGE, HUGE, MADV_DONTNEED)])
def test_a_huge_page_is_not_cut(here, call):
    """hugetlb_vm_op_split and its kin: EINVAL, and nothing changed."""
    task = mapper(here, "a")
    task.store(AT, 1)
    before = here.snapshot().mms
    assert refused(call, task) == "EINVAL"
    assert here.snapshot().mms == before and task.load(AT) == b"\1"


# sharing PMD tables ------------------------------------------------------------------------------
@pytest.mark.parametrize("sharing", [None, HugetlbPmdSharing(), FileTableCache(), Private()])
def test_the_second_mapper_links_the_firsts_table(sharing):
    """huge_pmd_share: one fault, then all is present, and a page has one entry; not if private."""
    here = machine(sharing=sharing, huge_pages=8)
    here.mount("hugetlbfs", "/huge")
    a, b = mapper(here, "a"), mapper(here, "b")
    a.touch(AT, SPAN, write=True)
    b.touch(AT, SPAN, write=True)
    shares = not (type(sharing) is Private)
    assert b.minor_faults == (1 if shares else 4) and mapcount(a) == (1 if shares else 2)
    assert (a.tables, b.tables) == (2, 2) and here.table_count == (3 if shares else 4)


@pytest.mark.parametrize("how", [
    {"start": AT + HUGE, "length": SPAN}, {"length": SPAN - HUGE}, {"flags": PRIVATE},
    {"prot": "r"}, {"offset": HUGE, "length": SPAN}])
def test_what_is_not_alike_is_not_shared(how):
    """HQ02, page_table_shareable: another place in the span, a part of it, private, read-only."""
    here = machine(huge_pages=16)
    here.mount("hugetlbfs", "/huge")
    a, b = mapper(here, "a"), mapper(here, "b", **how)
    a.touch(AT, SPAN, write=True)
    b.load(how.get("start", AT))
    assert present(b, how.get("start", AT), 3) == 1
    assert all(table.users <= 1 for table in here.tables.by_pfn.values())


@pytest.mark.parametrize("start", [AT, 2 * SPAN, 8 * SPAN])
def test_the_address_may_differ(here, start):
    """Only the place within the span counts."""
    a, b = mapper(here, "a"), mapper(here, "b", start=start)
    a.touch(AT, SPAN, write=True)
    b.load(start)
    assert present(b, start) == 4


def test_two_read_only_mappers_share(here):
    """Equal flags."""
    here.open("/huge/f").truncate(SPAN)
    a, b = mapper(here, "a", prot="r"), mapper(here, "b", prot="r")
    a.touch(AT, SPAN)
    b.load(AT)
    assert present(b) == 4 and b.minor_faults == 1


def test_two_mappings_of_one_process_share(here):
    """The file's other mappers, whoever they are."""
    task = mapper(here, "a")
    task.mmap(2 * SPAN, SPAN, "rw", SHARED, here.files[-1])
    task.touch(AT, SPAN, write=True)
    task.load(2 * SPAN)
    assert present(task, 2 * SPAN) == 4 and (task.tables, task.reachable_tables) == (4, 3)


def test_a_mapping_that_is_locked_still_shares(here):
    """page_table_shareable ignores VM_LOCKED."""
    a, b = mapper(here, "a"), mapper(here, "b")
    a.touch(AT, SPAN, write=True)
    b.mlock(AT, SPAN)
    assert b.minor_faults == 1 and mapcount(a) == 1


def test_a_fault_of_either_fills_the_table_of_both(here):
    """One table."""
    a, b = mapper(here, "a"), mapper(here, "b")
    a.store(AT, 1)
    b.load(AT)
    b.store(AT + HUGE, 2), a.store(AT + 2 * HUGE, 3)
    assert (present(a), present(b)) == (3, 3)
    before = a.page_faults
    assert a.load(AT + HUGE) == b"\2" and a.page_faults == before


@pytest.mark.parametrize("call", [
    lambda t: t.munmap(AT, HUGE), lambda t: t.mprotect(AT, HUGE, "r"),
    lambda t: t.madvise(AT, HUGE, MADV_DONTNEED)])
def test_touching_one_page_drops_the_whole_table(here, call):
    """huge_pmd_unshare: the caller's span is empty, the others keep theirs."""
    a, b = mapper(here, "a"), mapper(here, "b")
    a.touch(AT, SPAN, write=True), b.touch(AT, SPAN)
    call(b)
    assert (present(a), present(b)) == (4, 0)


def test_a_split_ends_the_sharing_and_a_whole_mapping_begins_it_again(here):
    """HQ06: 8, 0, 8 there (4, 0, 4 here), and P1 keeps its own."""
    a, b = mapper(here, "a"), mapper(here, "b")
    a.touch(AT, SPAN, write=True), b.load(AT)
    counts = [present(b)]
    b.munmap(AT, HUGE)
    counts.append(present(b))
    b.munmap(AT, SPAN)
    b.mmap(AT, SPAN, "rw", SHARED, here.files[-1])
    b.load(AT)
    assert counts + [present(b)] == [4, 0, 4] and present(a) == 4


@pytest.mark.parametrize("length, counts", [(SPAN, [0, 4]), (SPAN - HUGE, [0, 1])])
def test_a_child_shares_at_its_first_fault(here, length, counts):
    """HQ08: fork copies nothing of a shared mapping."""
    a = mapper(here, "a", length=length)
    a.touch(AT, length, write=True)
    child = a.fork()
    found = [present(child)]
    child.load(AT)
    assert found + [present(child)] == counts


def test_the_table_outlives_its_creator(here):
    """HQ11: the sharer keeps what it has."""
    a, b = mapper(here, "a"), mapper(here, "b")
    a.touch(AT, SPAN, write=True), b.load(AT)
    a.exit()
    assert present(b) == 4 and b.tables == 2
    b.exit()
    assert here.table_count == 0


def test_truncation_reaches_every_sharer(here):
    """__unmap_hugepage_range: nobody keeps a page that left the file."""
    a, b = mapper(here, "a"), mapper(here, "b")
    a.touch(AT, SPAN, write=True), b.load(AT)
    here.files[-1].truncate(HUGE)
    for task in (a, b):
        with pytest.raises(BusError):
            task.load(AT + HUGE)
        assert task.load(AT) == b"\0"


def test_a_gibibyte_as_measured():
    """512 huge pages: one fault for the second process, VmPTE 2 in both."""
    here = machine(X86_64, huge_pages=512, trace=False)
    here.mount("hugetlbfs", "/huge")
    a, b = (mapper(here, name, start=1 << 40, length=1 << 30) for name in "ab")
    for n in range(512):
        a.store((1 << 40) + (n << 21), 1)
    b.load(1 << 40)
    assert (a.minor_faults, b.minor_faults, a.tables, b.tables) == (512, 1, 2, 2)
    assert b.load((1 << 40) + (511 << 21)) == b"\1" and b.page_faults == 1
