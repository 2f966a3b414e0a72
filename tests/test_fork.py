"""fork: what the child gets, what it faults in again, and copy on write."""
import pytest
from layout import ANON, PAGE, machine, refused

from mmlib import (
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_KEEPONFORK,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    X86_64,
    FileTableCache,
    Private,
    Segfault,
)
from mmlib.geometry import RW, A, D

SHARED, PRIVATE = MAP_SHARED | MAP_FIXED, MAP_PRIVATE | MAP_FIXED
FAR, MIB = 0x2000_0000_0000, 1 << 20
FULL = 34                               # tables of 64 MiB: 32 PTE, a PMD, a PUD


@pytest.fixture
def task():
    return machine().spawn("a")


def stored(task, pages=1, start=0x4000):
    """Private memory with a byte in each page."""
    task.mmap(start, pages * PAGE, "rw", ANON | MAP_FIXED)
    for n in range(pages):
        task.store(start + n * PAGE, n + 1)
    return start


def frames(task, start, pages=1):
    return [row.pfn for row in task.pagemap(start, pages * PAGE)]


# copy on write -----------------------------------------------------------------------------------
@pytest.mark.parametrize("writer", ["parent", "child"])
def test_neither_sees_what_the_other_stores(task, writer):
    """FK01, FK02: the page is copied by whoever stores first (wp_page_copy)."""
    start = stored(task)
    child = task.fork("b")
    assert child.load(start) == b"\1"
    one, other = (task, child) if writer == "parent" else (child, task)
    one.store(start, 2)
    assert (one.load(start), other.load(start)) == (b"\2", b"\1")
    assert task.machine.counters["copies"] == 1


def test_a_page_is_shared_until_somebody_stores(task):
    """copy_present_ptes: one frame, read-only in both."""
    start = stored(task)
    child = task.fork()
    assert frames(task, start) == frames(child, start)
    for one in (task, child):
        assert not task.machine.tables.lookup(one.mm.pgd, start)[2] & RW
        assert [row.exclusive for row in one.pagemap(start, PAGE)] == [False]
    assert task.load(start) == child.load(start) == b"\1"
    assert frames(task, start) == frames(child, start)


def test_the_last_owner_takes_the_page_back_with_one_fault(task):
    """wp_can_reuse_anon_folio: no copy, the frame stays."""
    start = stored(task)
    child = task.fork()
    child.store(start, 2)
    before, frame = task.minor_faults, frames(task, start)
    task.store(start, 3)
    assert task.minor_faults == before + 1 and frames(task, start) == frame
    assert "reuse" in [event.kind for event in task.machine.trace[-1].events]


def test_mprotect_gives_no_page_back_that_was_shared(task):
    """FK03, can_change_private_pte_writable: R and RW again, and the child still reads 1."""
    start = stored(task)
    child = task.fork()
    child.load(start)
    task.mprotect(start, PAGE, "r"), task.mprotect(start, PAGE, "rw")
    task.store(start, 2)
    assert child.load(start) == b"\1"


def test_after_the_child_is_gone_a_store_still_faults_once(task):
    """PageAnonExclusive is off, also for mprotect, until the fault sets it again."""
    start = stored(task)
    task.fork().exit()
    task.mprotect(start, PAGE, "r"), task.mprotect(start, PAGE, "rw")
    before, frame = task.minor_faults, frames(task, start)
    task.store(start, 2), task.store(start, 3)
    assert task.minor_faults == before + 1 and frames(task, start) == frame


def test_three_generations_have_three_values(task):
    """A page with three mappers is copied twice and then reused."""
    start = stored(task)
    child = task.fork()
    grandchild = child.fork()
    for value, one in enumerate((grandchild, child, task), 5):
        one.store(start, value)
    assert [one.load(start)[0] for one in (grandchild, child, task)] == [5, 6, 7]
    assert task.machine.counters["copies"] == 2


def test_the_child_counts_its_own_faults(task):
    """A child starts at 0; the parent keeps its figures."""
    start = stored(task)
    child = task.fork()
    assert (child.minor_faults, child.page_faults, task.minor_faults) == (0, 0, 1)
    child.store(start, 1)
    assert (child.minor_faults, task.minor_faults) == (1, 1)


def test_a_tlb_forgets_what_was_writable(task):
    """dup_mmap: flush_tlb_mm after the entries became read-only, on every CPU of the parent."""
    here = machine(cpus=2)
    a = here.spawn("a")
    start = stored(a)
    thread = a.clone()
    thread.run_on(1)
    thread.store(start, 2)
    child = a.fork()
    for one in (thread, a):
        one.store(start, 9)
    assert child.load(start) == b"\2"


# the list of VMAs --------------------------------------------------------------------------------
def test_the_layout_and_the_protections_are_inherited(task):
    """FK11: RW, R and a hole: a store is ok, is refused, is refused."""
    task.mmap(0x4000, 2 * PAGE, "rw", ANON | MAP_FIXED)
    task.mprotect(0x5000, PAGE, "r")
    child = task.fork()
    assert str(child.maps()) == str(task.maps())
    child.store(0x4000, 1)
    for addr in (0x5000, 0x6000):
        with pytest.raises(Segfault):
            child.store(addr, 1)


def test_locks_are_not_inherited(task):
    """dup_mmap: VM_LOCKED is cleared in the child."""
    task.mlock(stored(task), PAGE)
    assert (task.locked, task.fork().locked) == (PAGE, 0)


def test_dontfork_leaves_a_hole(task):
    """MADV_DONTFORK: the VMA is absent; MADV_DOFORK brings it back."""
    start = stored(task)
    task.madvise(start, PAGE, MADV_DONTFORK)
    child = task.fork()
    with pytest.raises(Segfault, match="MAPERR"):
        child.load(start)
    task.madvise(start, PAGE, MADV_DOFORK)
    assert task.fork().load(start) == b"\1"


def test_wipeonfork_gives_zeros(task):
    """MADV_WIPEONFORK: no entry and no anon_vma; inherited, until MADV_KEEPONFORK."""
    start = stored(task)
    task.madvise(start, PAGE, MADV_WIPEONFORK)
    child = task.fork()
    assert (child.tables, child.load(start), task.load(start)) == (0, b"\0", b"\1")
    child.store(start, 5)
    assert child.fork().load(start) == b"\0"
    task.madvise(start, PAGE, MADV_KEEPONFORK)
    assert task.fork().load(start) == b"\1"


def test_guard_regions_are_inherited(task):
    """vma_needs_copy: their VMA has an anon_vma, so the markers are copied."""
    start = stored(task, 2)
    task.madvise(start, PAGE, MADV_GUARD_INSTALL)
    with pytest.raises(Segfault, match="guard"):
        task.fork().load(start)


def test_a_shared_page_is_clean_in_the_child(task):
    """copy_present_ptes: where entries of a shared mapping are copied, without D and A."""
    file = task.memfd("f", 2 * PAGE)
    task.mmap(0x4000, 2 * PAGE, "rw", SHARED, file)
    task.madvise(0x5000, PAGE, MADV_GUARD_INSTALL)
    task.store(0x4000, 1)
    child = task.fork()
    entries = [task.machine.tables.lookup(one.mm.pgd, 0x4000)[2] for one in (task, child)]
    assert entries[0] & (A | D | RW) == A | D | RW and entries[1] & (A | D | RW) == RW


def test_the_child_runs_where_its_parent_does_and_shares_what_it_may():
    """copy_process: the CPU; ours: the switch of table sharing."""
    here = machine(cpus=2, sharing=FileTableCache())
    a = here.spawn("a")
    a.run_on(1)
    a.share_tables = False
    child = a.fork()
    assert (child.cpu, child.share_tables) == (1, False)


# what is copied: the measured rows of 64 MiB -----------------------------------------------------
def anon(task):
    return task.mmap(FAR, 64 * MIB, "rw", ANON | MAP_FIXED)


def read(task):
    anon(task)
    task.touch(FAR, 64 * MIB)


def written(task):
    anon(task)
    task.touch(FAR, 64 * MIB, write=True)


def read_and_one_written(task):
    read(task)
    task.store(FAR + MIB, 1)


def one_written_and_dropped(task):
    anon(task)
    task.store(FAR + MIB, 1)
    task.madvise(FAR + MIB, PAGE, MADV_DONTNEED)


def shared_anon(task):
    task.mmap(FAR, 64 * MIB, "rw", SHARED | MAP_ANONYMOUS)
    task.touch(FAR, 64 * MIB, write=True)


def shared_file(task, flags=SHARED):
    file = task.memfd("f", 64 * MIB)
    for n in range(0, 64 * MIB, PAGE):
        file.pwrite(b"\0", n)
    task.mmap(FAR, 64 * MIB, "rw", flags, file)
    task.touch(FAR, 64 * MIB, write=flags == SHARED)


def private_file_read(task):
    shared_file(task, PRIVATE)


def private_file_one_written(task):
    shared_file(task, PRIVATE)
    task.store(FAR, 1)


def private_file_written(task):
    shared_file(task, PRIVATE | MAP_POPULATE)


@pytest.mark.parametrize("prepare, tables, faults", [
    (anon, 0, 16384), (read, 0, 16384), (written, FULL, 0), (read_and_one_written, FULL, 0),
    (one_written_and_dropped, 3, 16384), (shared_anon, 0, 1024), (shared_file, 0, 1024),
    (private_file_read, 0, 1024), (private_file_one_written, FULL, 0),
    (private_file_written, FULL, 0)])
def test_what_the_child_has_and_what_it_faults_in(prepare, tables, faults):
    """vma_needs_copy: entries are copied only of a VMA that has an anon_vma, then all of them."""
    task = machine(X86_64, trace=False).spawn("a")
    prepare(task)
    child = task.fork()
    assert child.tables == tables
    child.touch(FAR, 64 * MIB)
    assert (child.minor_faults, child.tables) == (faults, FULL)


def test_shared_pages_are_the_same_frames(task):
    """PT04: eight pages of a file, present in the child once it has touched them."""
    task.mmap(0x4000, 8 * PAGE, "rw", SHARED, task.memfd("f", 8 * PAGE))
    task.touch(0x4000, 8 * PAGE, write=True)
    child = task.fork()
    assert not any(frames(child, 0x4000, 8))
    child.touch(0x4000, 8 * PAGE)
    assert frames(child, 0x4000, 8) == frames(task, 0x4000, 8)


def test_protection_of_a_shared_mapping_is_each_processs_own(task):
    """MP07: the parent may not store any more, the child may."""
    start = task.mmap(0x4000, PAGE, "rw", SHARED | MAP_ANONYMOUS)
    task.store(start, 1)
    child = task.fork()
    task.mprotect(start, PAGE, "r")
    with pytest.raises(Segfault):
        task.store(start, 2)
    child.store(start, 3)
    assert task.load(start) == b"\3"


def test_populate_of_a_private_mapping_breaks_its_ties(task):
    """FK09: a populated copy keeps what the file was."""
    file = task.memfd("f", PAGE)
    file.pwrite(b"\xde", 0)
    mine = task.mmap(0x4000, PAGE, "rw", SHARED, file)
    child = task.fork()
    copy = child.mmap(0x8000, PAGE, "rw", PRIVATE | MAP_POPULATE, file)
    task.store(mine, 0x22)
    assert child.load(copy) == b"\xde"


def test_only_stored_pages_of_a_private_mapping_are_frozen(task):
    """FK10: the other ones show what the file becomes."""
    file = task.memfd("f", 2 * PAGE)
    private = task.mmap(0x4000, 2 * PAGE, "rw", PRIVATE, file)
    shared = task.mmap(0x8000, 2 * PAGE, "rw", SHARED, file)
    task.load(private), task.store(private + PAGE, 1)
    task.store(shared, 9), task.store(shared + PAGE, 9)
    assert (task.load(private), task.load(private + PAGE)) == (b"\x09", b"\1")


# threads -----------------------------------------------------------------------------------------
def test_a_child_of_a_thread_is_a_process_of_its_own(task):
    """clone shares the mm; fork of either thread does not."""
    start = stored(task)
    thread = task.clone()
    child = thread.fork()
    thread.store(start, 5)
    assert (task.load(start), child.load(start)) == (b"\5", b"\1")
    assert task.mm is thread.mm is not child.mm


# failure -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("room", range(4))
@pytest.mark.parametrize("sharing", [None, Private(), FileTableCache()])
def test_a_fork_without_memory_leaves_no_child(sharing, room):
    """copy_process: a root and three tables are wanted; with less ENOMEM, and nothing is lost."""
    here = machine(memory=(5 + room) * PAGE, sharing=sharing)
    a = here.spawn("a")
    start = stored(a)
    assert here.memory.used == 5 and refused(a.fork) == "ENOMEM"
    assert here.tasks == [a] and here.memory.used == 5 and a.load(start) == b"\1"
    a.store(start, 2)


def test_a_fork_with_just_enough_memory_succeeds():
    """The same with four frames."""
    here = machine(memory=9 * PAGE)
    a = here.spawn("a")
    start = stored(a)
    assert a.fork().load(start) == b"\1" and here.memory.used == 9


def test_the_name_of_a_failed_fork_is_free_again():
    """Nothing was made: the same call succeeds when there is memory."""
    here = machine(memory=6 * PAGE)
    a = here.spawn("a")
    stored(a)
    file = here.memfd("f")
    file.pwrite(b"x", 0)
    assert refused(a.fork, "b") == "ENOMEM"
    a.munmap(0x4000, PAGE)
    assert a.fork("b").name == "b"
