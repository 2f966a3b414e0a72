"""A file system with a disk: major faults, dirty pages, fsync, reclaim."""
import pytest
from layout import ANON, PAGE, machine, refused

from mmlib import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    X86_64,
    BusError,
    FileTableCache,
)
from mmlib.geometry import RW, D

AT, SHARED = 0x40000, MAP_SHARED | MAP_FIXED
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


@pytest.fixture
def here():
    here = machine()
    here.mount("ext4", "/disk")
    return here


@pytest.fixture
def task(here):
    return here.spawn("a")


@pytest.fixture
def file(here):
    """Four pages with their numbers, counted from one, on disk and cached."""
    file = here.open("/disk/f")
    file.pwrite(b"".join(bytes([n]) * PAGE for n in (1, 2, 3, 4)), 0), file.fsync()
    return file


def cached(file) -> list[int]:
    return sorted(file.inode.mapping.pages)


def entry(task, addr=AT):
    return task.machine.tables.lookup(task.mm.pgd, addr)[2]


# major and minor ---------------------------------------------------------------------------------
def test_the_first_access_to_a_page_that_is_not_cached_is_a_major_fault(here, task, file):
    """filemap_fault: VM_FAULT_MAJOR; what was written comes back from the disk."""
    here.drop_caches()
    task.mmap(AT, 4 * PAGE, "r", SHARED, file)
    assert [task.load(AT + n * PAGE)[0] for n in range(4)] == [1, 2, 3, 4]
    assert (task.minor_faults, task.major_faults, task.page_faults) == (0, 4, 4)


def test_a_cached_page_is_a_minor_fault(task, file):
    """What pwrite wrote is in the cache."""
    task.mmap(AT, PAGE, "r", SHARED, file)
    task.load(AT)
    assert (task.minor_faults, task.major_faults) == (1, 0)


@pytest.mark.parametrize("flags, write", [(SHARED, True), (MAP_PRIVATE | MAP_FIXED, True),
                                          (MAP_PRIVATE | MAP_FIXED, False)])
def test_any_way_to_need_the_page_is_major(here, task, file, flags, write):
    """A store to a shared or a private mapping, and a load."""
    here.drop_caches()
    task.mmap(AT, PAGE, "rw", flags, file)
    task.touch(AT, PAGE, write)
    assert (task.minor_faults, task.major_faults) == (0, 1) and task.load(AT) == b"\1"


def test_the_second_mapper_has_a_minor_fault(here, task, file):
    """The first one brought the page in."""
    here.drop_caches()
    for one in (task, here.spawn("b")):
        one.mmap(AT, PAGE, "r", SHARED, file)
        one.load(AT)
    assert (one.minor_faults, one.major_faults) == (1, 0)


def test_pread_fills_the_cache_and_takes_no_fault(here, file):
    """filemap_read."""
    here.drop_caches()
    assert file.pread(2, PAGE - 1) == b"\1\2" and cached(file) == [0, 1]
    assert here.counters["faults"] == 0


# dirty pages -------------------------------------------------------------------------------------
def test_the_first_store_to_a_clean_page_faults(here, task, file):
    """page_mkwrite: a load maps it read-only although the mapping may store."""
    task.mmap(AT, PAGE, "rw", SHARED, file)
    task.load(AT)
    assert not entry(task) & RW
    task.store(AT, 9), task.store(AT, 8)
    assert task.minor_faults == 2 and entry(task) & (RW | D) == RW | D
    assert "make_writable" not in [e.kind for e in here.trace[-1].events]


def test_fsync_writes_back_cleans_and_protects(here, task, file):
    """folio_mkclean: wherever it is mapped; the next store is noticed."""
    b = here.spawn("b")
    for one in (task, b):
        one.mmap(AT, PAGE, "rw", SHARED, file)
        one.store(AT, 9)
    file.fsync()
    assert not (entry(task) | entry(b)) & (RW | D) and not file.inode.mapping.pages[0].dirty
    assert file.inode.mapping.disk[0][:1] == b"\x09"
    before = task.minor_faults
    task.store(AT, 5)
    assert task.minor_faults == before + 1 and file.inode.mapping.pages[0].dirty


def test_a_dirty_page_is_neither_dropped_nor_reclaimed(here, task, file):
    """Only what the disk has as well may go."""
    file.pwrite(b"x", 0)
    here.drop_caches()
    assert cached(file) == [0] and here.reclaim(9) == 0
    file.fsync(), here.drop_caches()
    assert cached(file) == [] and file.pread(1, 0) == b"x"


def test_msync_writes_back_what_it_names(task, file):
    """MS_SYNC: the pages of the range."""
    task.mmap(AT, 2 * PAGE, "rw", SHARED, file)
    task.touch(AT, 2 * PAGE, write=True)
    task.msync(AT, PAGE, MS_SYNC)
    assert [file.inode.mapping.pages[n].dirty for n in (0, 1)] == [False, True]


def test_a_private_store_leaves_the_file_clean(task, file):
    """The copy is anonymous."""
    task.mmap(AT, PAGE, "rw", MAP_PRIVATE | MAP_FIXED, file)
    task.store(AT, 9)
    assert not file.inode.mapping.pages[0].dirty and file.pread(1, 0) == b"\1"


def test_a_protection_that_allows_stores_again_waits_for_the_fault(task, file):
    """vma_wants_writenotify: a clean page stays read-only after mprotect."""
    task.mmap(AT, PAGE, "r", SHARED, file)
    task.load(AT)
    task.mprotect(AT, PAGE, "rw")
    assert not entry(task) & RW
    task.store(AT, 5)
    assert file.inode.mapping.pages[0].dirty


def test_a_shared_table_is_cleaned_once_and_told_to_all():
    """One entry, N TLBs: nobody stores unnoticed after fsync."""
    here = machine(sharing=FileTableCache(), cpus=2)
    here.mount("ext4", "/disk")
    file = here.open("/disk/f")
    file.truncate(0x10000)
    for cpu, name in enumerate("ab"):
        task = here.spawn(name)
        task.run_on(cpu)
        task.mmap(AT, 0x10000, "rw", SHARED, file)
        task.store(AT, 1)
    file.fsync()
    for n, task in enumerate(here.tasks):
        faults = task.page_faults
        task.store(AT, n)
        assert task.page_faults == faults + (n == 0)    # one entry: made writable for both


# the disk ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("cut", [lambda f: f.truncate(PAGE),
                                 lambda f: f.fallocate(PUNCH, PAGE, 3 * PAGE)])
def test_what_leaves_the_file_leaves_the_disk(here, file, cut):
    """Blocks that were given back read as zeros."""
    here.drop_caches()
    cut(file)
    file.truncate(4 * PAGE)
    assert file.pread(4 * PAGE, 0) == b"\1" * PAGE + bytes(3 * PAGE)


def test_a_part_of_a_page_is_zeroed_on_disk(here, file):
    """A truncation within a page that is not cached."""
    here.drop_caches()
    file.truncate(PAGE + 1), file.truncate(2 * PAGE)
    assert file.pread(3, PAGE - 1) == b"\1\2\0"


def test_a_part_of_a_page_is_written_over_what_is_there(here, file):
    """It is read from disk first."""
    here.drop_caches()
    file.pwrite(b"x", PAGE + 1)
    assert file.pread(3, PAGE) == b"\2x\2"


def test_a_file_without_users_keeps_its_bytes(here):
    """On disk: another opening finds them, whatever was cached."""
    file = here.open("/disk/g")
    file.pwrite(b"x", 0), file.fsync(), file.close()
    here.drop_caches()
    assert here.open("/disk/g").pread(1, 0) == b"x"
    here.unlink("/disk/g")
    assert refused(here.open, "/disk/g", 0) == "ENOENT"


# reclaim -----------------------------------------------------------------------------------------
def test_pages_that_are_mapped_can_be_reclaimed(here, task, file):
    """try_to_unmap: the entry goes, the next access is a major fault."""
    task.mmap(AT, 4 * PAGE, "r", SHARED, file)
    task.touch(AT, 4 * PAGE)
    assert here.reclaim(4) == 4 and cached(file) == [] and task.rss == 0
    assert task.load(AT + PAGE) == b"\2" and task.major_faults == 1


def test_unused_pages_go_first(here, task, file):
    """folio_check_references: what was accessed since the last look has a second chance."""
    task.mmap(AT, 2 * PAGE, "r", SHARED, file)
    task.touch(AT, 2 * PAGE)
    assert here.reclaim(2) == 2 and cached(file) == [0, 1]
    assert here.reclaim(1) == 1 and cached(file) == [1]


def test_locked_pages_stay(here, task, file):
    """mlock: folio_referenced and try_to_unmap leave pages of VM_LOCKED mappings alone."""
    task.mmap(AT, 2 * PAGE, "r", SHARED, file)
    task.mlock(AT, PAGE)
    task.load(AT + PAGE)
    assert here.reclaim(9) == 3 and cached(file) == [0] and task.rss == PAGE
    task.munlock(AT, PAGE)
    assert here.reclaim(9) == 1


def test_one_who_locks_a_page_keeps_it_for_all(here, task, file):
    """Any of its mappings is enough, also below a shared table."""
    b = here.spawn("b")
    for one in (task, b):
        one.mmap(AT, PAGE, "r", SHARED, file)
        one.load(AT)
    b.mlock(AT, PAGE)
    assert here.reclaim(9) == 3 and task.rss == PAGE


def test_anonymous_and_tmpfs_pages_stay(here, task):
    """There is no swap."""
    task.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    task.store(AT, 1), here.memfd("f").pwrite(b"x", 0)
    assert here.reclaim(9) == 0


@pytest.mark.parametrize("pages", [5, 6, 9])
def test_a_file_larger_than_memory_can_be_read(pages):
    """pread, through a cache that is too small: every page is right, none is zeros."""
    here = machine(memory=16 * PAGE)
    here.mount("ext4", "/disk")
    file = here.open("/disk/f")
    data = b"".join(bytes([n + 1]) * PAGE for n in range(12))
    file.pwrite(data, 0), file.fsync()
    full = here.memfd("full")
    full.pwrite(b"x" * (pages * PAGE), 0)
    assert len(cached(file)) < 12 and file.pread(12 * PAGE, 0) == data


def test_a_mapping_larger_than_memory_can_be_walked():
    """Faults reclaim what other faults brought."""
    here = machine(X86_64, memory=12 * PAGE, fault_around=4)
    here.mount("ext4", "/disk")
    file, task = here.open("/disk/f"), here.spawn("a")
    for n in range(40):
        file.pwrite(bytes([n + 1]), n * PAGE), file.fsync()
    task.mmap(AT, 40 * PAGE, "r", SHARED, file)
    for _ in range(2):
        assert [task.load(AT + n * PAGE)[0] for n in range(40)] == list(range(1, 41))


def test_beyond_the_end_is_a_signal_here_too(task, file):
    """And no disk is read for it."""
    task.mmap(AT, 5 * PAGE, "r", SHARED, file)
    with pytest.raises(BusError):
        task.load(AT + 4 * PAGE)
    assert task.major_faults == 0
