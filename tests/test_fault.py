"""Page faults: what the entry is filled with, who is billed, what a failed fault leaves behind."""
import pytest
from layout import ANON, PAGE, machine

from mmlib import (
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_NOSHARE_TABLES,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    X86_64,
    BusError,
    FileTableCache,
    Killed,
    Segfault,
)
from mmlib.geometry import NX, PROTNONE, RW, A, D, P

SHARED, PRIVATE = MAP_SHARED | MAP_FIXED, MAP_PRIVATE | MAP_FIXED
FAR = 0x2000_0000_0000                  # a border between tables of every level


@pytest.fixture
def task():
    """A task with the geometry of a real machine."""
    return machine(X86_64).spawn("a")


def entry(task, addr) -> int:
    return task.machine.tables.lookup(task.mm.pgd, addr)[2]


def events(task) -> list[str]:
    return [event.kind for event in task.machine.trace[-1].events]


def filled(task, pages: int, holes=()):
    """A memfd with its page numbers, counted from one, but for *holes*."""
    file = task.memfd("f", pages * PAGE)
    for n in range(pages):
        if n not in holes:
            file.pwrite(bytes([n % 255 + 1]), n * PAGE)
    return file


# anonymous memory --------------------------------------------------------------------------------
def test_a_load_of_untouched_memory_maps_the_zero_page(task):
    """do_anonymous_page: no frame of its own before the first store."""
    start = task.mmap(FAR, PAGE, "rw", ANON)
    assert task.load(start) == b"\0"
    assert (task.minor_faults, task.rss, task.tables) == (1, 0, 3)
    assert "zero_page" in events(task) and not entry(task, start) & RW


def test_a_store_after_a_load_is_a_second_fault(task):
    """do_wp_page: the zero page is copied."""
    start = task.mmap(FAR, PAGE, "rw", ANON)
    task.load(start), task.store(start, 7)
    assert (task.minor_faults, task.rss, task.load(start)) == (2, PAGE, b"\x07")
    assert task.machine.counters["copies"] == 1


def test_a_store_to_untouched_memory_is_one_fault(task):
    """do_anonymous_page: a zeroed page, writable and dirty."""
    start = task.mmap(FAR, PAGE, "rw", ANON)
    task.store(start + 5, 7)
    assert task.load(start, 7) == bytes(5) + b"\x07\0" and task.minor_faults == 1
    assert entry(task, start) & (P | RW | A | D) == P | RW | A | D
    assert task.machine.counters["zero_fills"] == 1


def test_pages_are_filled_one_by_one(task):
    """No fault-around for memory without a file."""
    start = task.mmap(FAR, 4 * PAGE, "rw", ANON)
    task.touch(start, 4 * PAGE)
    assert task.minor_faults == 4


def test_what_is_not_executable_says_so_in_the_entry(task):
    """vm_page_prot: NX unless PROT_EXEC."""
    for prot, nx in (("rw", NX), ("rwx", 0)):
        start = task.mmap(None, PAGE, prot, ANON)
        task.store(start, 1)
        assert entry(task, start) & NX == nx


@pytest.mark.parametrize("prot", ["r", "w", "x", "rw", "rwx"])
def test_whatever_can_be_accessed_can_be_read(task, prot):
    """access_error: on x86 w and x alone are readable too."""
    assert task.load(task.mmap(FAR, PAGE, prot, ANON)) == b"\0"


# signals -----------------------------------------------------------------------------------------
def test_no_vma_is_maperr_and_costs_nothing(task):
    """bad_area_nosemaphore: no table, no minor fault; an exception was taken all the same."""
    with pytest.raises(Segfault) as caught:
        task.store(FAR + 5, b"x")
    signal = caught.value
    assert (signal.code, signal.addr, signal.access, signal.task) == (
        "SEGV_MAPERR", FAR + 5, "store", task)
    assert (task.minor_faults, task.page_faults, task.tables) == (0, 1, 0)
    assert events(task)[-1] == "signal"


@pytest.mark.parametrize("prot, write", [("r", True), ("", False), ("", True), ("rx", True)])
def test_a_forbidden_access_is_accerr_and_costs_nothing(task, prot, write):
    """access_error: looked up before anything is allocated."""
    start = task.mmap(FAR, PAGE, prot, ANON)
    with pytest.raises(Segfault) as caught:
        task.store(start, 1) if write else task.load(start)
    assert caught.value.code == "SEGV_ACCERR"
    assert (task.minor_faults, task.tables, task.rss) == (0, 0, 0)


@pytest.mark.parametrize("addr", [X86_64.task_size, 1 << 47, 1 << 63, (1 << 64) - 1])
def test_the_kernels_half_and_beyond_is_maperr(task, addr):
    """Not canonical, or not the user's: no VMA is there."""
    with pytest.raises(Segfault) as caught:
        task.load(addr)
    assert (caught.value.code, caught.value.addr) == ("SEGV_MAPERR", addr)


def test_beyond_the_file_is_sigbus_with_upper_tables_made(task):
    """filemap_fault: PUD and PMD are there by then, no PTE table, nothing is billed."""
    start = task.mmap(FAR, 2 * PAGE, "rw", SHARED, task.memfd("f", 0))
    for access in (task.load, lambda addr: task.store(addr, 1)):
        with pytest.raises(BusError) as caught:
            access(start)
        assert caught.value.code == "BUS_ADRERR"
    assert (task.minor_faults, task.page_faults, task.tables) == (0, 2, 2)


def test_a_load_beyond_the_file_has_faulted_around_already(task):
    """do_read_fault: the cached pages of the window are mapped first, with a PTE table."""
    start = task.mmap(FAR, 6 * PAGE, "r", SHARED, filled(task, 4))
    with pytest.raises(BusError):
        task.load(start + 5 * PAGE)
    assert [row.present for row in task.pagemap(start, 6 * PAGE)] == [True] * 4 + [False] * 2
    assert (task.minor_faults, task.tables) == (0, 3)


def test_the_last_page_of_a_file_can_be_used_to_its_end(task):
    """What lies after the end of the file within its last page is zeros, and can be stored to."""
    file = task.memfd("f", 10)
    start = task.mmap(FAR, PAGE, "rw", SHARED, file)
    task.store(start + 100, 5)
    assert (task.load(start + 99, 2), file.size, file.pread(200, 0)) == (b"\0\5", 10, bytes(10))


def test_a_guard_region_is_maperr(task):
    """do_swap_page of a guard marker: VM_FAULT_SIGSEGV."""
    start = task.mmap(FAR, 2 * PAGE, "rw", ANON)
    task.madvise(start, PAGE, MADV_GUARD_INSTALL)
    for access in (task.load, lambda addr: task.store(addr, 1)):
        with pytest.raises(Segfault, match="guard region") as caught:
            access(start)
        assert caught.value.code == "SEGV_MAPERR"
    assert task.load(start + PAGE) == b"\0"


def test_an_access_over_a_border_keeps_what_came_before(task):
    """Page by page, as memcpy: the signal names the address that failed."""
    start = task.mmap(FAR, PAGE, "rw", ANON)
    with pytest.raises(Segfault) as caught:
        task.store(start + PAGE - 2, b"abcd")
    assert caught.value.addr == start + PAGE and task.load(start + PAGE - 2, 2) == b"ab"
    with pytest.raises(Segfault) as caught:
        task.touch(start - PAGE, 3 * PAGE)
    assert caught.value.addr == start - PAGE


def test_a_signal_does_not_end_the_task(task):
    """As if a handler had caught it."""
    with pytest.raises(Segfault):
        task.load(0)
    assert task.load(task.mmap(FAR, PAGE, "r", ANON)) == b"\0"


# files -------------------------------------------------------------------------------------------
def test_a_load_of_a_shared_mapping_maps_the_page_writable(task):
    """do_read_fault: no second fault for the store."""
    start = task.mmap(FAR, PAGE, "rw", SHARED, filled(task, 1))
    assert task.load(start) == b"\1"
    task.store(start, 9)
    assert task.minor_faults == 1 and task.rss == PAGE


def test_a_private_mapping_copies_when_it_is_stored_to(task):
    """do_cow_fault: one fault, and what the file becomes later is not seen any more."""
    file = filled(task, 2)
    start = task.mmap(FAR, 2 * PAGE, "rw", PRIVATE, file)
    task.store(start + 1, 7)
    file.pwrite(b"X", 0), file.pwrite(b"Y", PAGE)
    assert (task.load(start, 2), task.load(start + PAGE)) == (b"\1\7", b"Y")
    assert file.pread(2, 0) == b"X\0"


def test_a_private_page_that_was_read_is_copied_by_the_store(task):
    """do_wp_page: a fault for the load, one for the store, the file stays as it is."""
    file = filled(task, 1)
    start = task.mmap(FAR, PAGE, "rw", PRIVATE, file)
    task.load(start), task.store(start, 7)
    assert (task.minor_faults, file.pread(1, 0), task.load(start)) == (2, b"\1", b"\7")


def test_a_load_of_a_hole_makes_the_files_page(task):
    """shmem_get_folio: it enters the cache, and a later load elsewhere finds it."""
    file = task.memfd("f", PAGE)
    for prot, flags in (("r", PRIVATE), ("rw", SHARED)):
        task.load(task.mmap(None, PAGE, prot, flags & ~MAP_FIXED, file))
    assert task.machine.counters["cache_fills"] == 1 and "cache_hit" in events(task)


def test_a_shared_mapping_of_a_read_only_file_shows_what_others_store(task):
    """No VM_SHARED, yet the file's own pages."""
    file = task.open("/dev/shm/f")
    file.truncate(PAGE)
    reader = task.mmap(FAR, PAGE, "r", SHARED, task.open("/dev/shm/f", O_RDONLY))
    writer = task.mmap(None, PAGE, "rw", MAP_SHARED, file)
    assert task.load(reader) == b"\0"
    task.store(writer, 5)
    assert task.load(reader) == b"\5"


# fault-around ------------------------------------------------------------------------------------
def test_a_load_maps_the_cached_pages_around_it(task):
    """do_fault_around: 64 cached pages cost four faults."""
    start = task.mmap(FAR, 64 * PAGE, "r", SHARED, filled(task, 64))
    task.touch(start, 64 * PAGE)
    assert task.minor_faults == 4
    task.load(start + 63 * PAGE)
    assert task.page_faults == 4


def test_a_store_maps_one_page(task):
    """do_shared_fault: never around."""
    start = task.mmap(FAR, 16 * PAGE, "rw", SHARED, filled(task, 16))
    task.touch(start, 16 * PAGE, write=True)
    assert task.minor_faults == 16


def test_holes_are_not_filled_around(task):
    """next_uptodate_folio: only what is in the cache, and the page itself."""
    start = task.mmap(FAR, 8 * PAGE, "r", SHARED, filled(task, 8, holes=(2, 5)))
    task.load(start + 2 * PAGE)
    assert [row.present for row in task.pagemap(start, 8 * PAGE)] == [n != 5 for n in range(8)]


def test_the_window_is_aligned_by_the_entrys_index_and_slides_at_the_start(task):
    """do_fault_around: a VMA from entry 5, a load of entry 7: entries 5 to 20."""
    at = FAR + 5 * PAGE
    start = task.mmap(at, 40 * PAGE, "r", SHARED, filled(task, 40))
    task.load(start + 2 * PAGE)
    shown = [row.addr for row in task.pagemap(start, 40 * PAGE) if row.present]
    assert shown == [FAR + n * PAGE for n in range(5, 21)]


def test_the_window_ends_with_the_pte_table(task):
    """do_fault_around: never into the next 2 MiB."""
    start = task.mmap(FAR + 508 * PAGE, 10 * PAGE, "r", SHARED, filled(task, 10))
    task.load(start)
    assert [row.present for row in task.pagemap(start, 10 * PAGE)] == [True] * 4 + [False] * 6


def test_pages_that_are_mapped_already_stay(task):
    """filemap_map_pages: an entry that is there is left alone, also a private copy."""
    start = task.mmap(FAR, 8 * PAGE, "rw", PRIVATE, filled(task, 8))
    task.store(start + PAGE, 99)
    task.load(start)
    assert task.load(start + PAGE) == b"\x63" and task.page_faults == 2


def test_the_width_of_the_window_can_be_chosen():
    """fault_around=1: every page its own fault."""
    task = machine(X86_64, fault_around=1).spawn("a")
    start = task.mmap(FAR, 16 * PAGE, "r", SHARED, filled(task, 16))
    task.touch(start, 16 * PAGE)
    assert task.minor_faults == 16


def test_pages_beyond_the_end_that_fallocate_made_are_not_mapped_around(task):
    """filemap_map_pages: up to i_size, whatever is cached."""
    file = filled(task, 2)
    file.fallocate(1, 2 * PAGE, 4 * PAGE)       # FALLOC_FL_KEEP_SIZE
    start = task.mmap(FAR, 6 * PAGE, "r", SHARED, file)
    task.load(start)
    assert [row.present for row in task.pagemap(start, 6 * PAGE)] == [True] * 2 + [False] * 4


def test_what_fallocate_set_aside_is_mapped_around_once_it_was_used(task):
    """shmem_get_folio: a fault clears the page and marks it uptodate."""
    file = task.memfd("f", 4 * PAGE)
    file.fallocate(0, 0, 4 * PAGE)
    for n, shown in ((2, [2]), (1, [1, 2])):
        start = task.mmap(FAR, 4 * PAGE, "r", SHARED, file)
        task.load(start + n * PAGE)
        assert [i for i, row in enumerate(task.pagemap(start, 4 * PAGE)) if row.present] == shown


def test_shared_anonymous_memory_is_a_file(task):
    """shmem_zero_setup: a load fills holes one by one, and faults around what is there."""
    start = task.mmap(FAR, 16 * PAGE, "rw", SHARED | MAP_ANONYMOUS)
    task.touch(start, 16 * PAGE)
    assert task.minor_faults == 16
    task.madvise(start, 16 * PAGE, MADV_DONTNEED)
    task.touch(start, 16 * PAGE)
    assert task.minor_faults == 17


# tables ------------------------------------------------------------------------------------------
def test_the_tables_of_a_sparse_file():
    """PT06: one page in each 2 MiB of 1 GiB is 512 PTE tables, a PMD and a PUD."""
    task = machine(X86_64, trace=False).spawn("a")
    task.mmap(FAR, 1 << 30, "rw", SHARED, task.memfd("f", 1 << 30))
    for n in range(512):
        task.store(FAR + (n << 21), 1)
    assert (task.tables, task.reachable_tables, task.page_table_bytes) == (514, 514, 514 * PAGE)
    task.munmap(FAR, 1 << 30)
    assert task.tables == 0


def test_five_levels_need_one_more_table_that_nobody_is_billed_for():
    """LA57: the P4D table is walked, but VmPTE has no counter for it."""
    from mmlib import LA57
    task = machine(LA57).spawn("a")
    task.store(task.mmap(FAR, PAGE, "rw", ANON), 1)
    assert (task.tables, task.reachable_tables, task.machine.table_count) == (3, 4, 4)


def test_populate_counts_faults_without_exceptions(task):
    """MM08, faultin_page: 16 cached pages of a private read-only mapping are one fault."""
    task.mmap(FAR, 16 * PAGE, "r", PRIVATE | MAP_POPULATE, filled(task, 16))
    assert all(row.present for row in task.pagemap(FAR, 16 * PAGE))
    assert (task.minor_faults, task.page_faults) == (1, 0)


def test_a_failed_fault_counts_as_exception_alone(task):
    """mm_account_fault: VM_FAULT_ERROR is not billed, perf's page-faults has it."""
    start = task.mmap(FAR, 2 * PAGE, "r", SHARED, filled(task, 1))
    task.load(start)
    with pytest.raises(BusError):
        task.load(start + PAGE)
    assert (task.minor_faults, task.page_faults) == (1, 2)
    assert task.machine.counters["faults"] == 2


def test_prot_none_pages_stay_and_are_present(task):
    """PT08: PROT_NONE keeps its pages; RW and DONTNEED drop them."""
    start = task.mmap(FAR, 2 * PAGE, "rw", SHARED, filled(task, 2))
    task.touch(start, 2 * PAGE)
    task.mprotect(start, 2 * PAGE, "")
    assert entry(task, start) & (P | PROTNONE) == PROTNONE
    assert all(row.present for row in task.pagemap(start, 2 * PAGE))
    task.mprotect(start, 2 * PAGE, "rw")
    assert task.load(start) == b"\1"
    task.madvise(start, 2 * PAGE, MADV_DONTNEED)
    assert not any(row.present for row in task.pagemap(start, 2 * PAGE))


# what a sharer put in ----------------------------------------------------------------------------
def test_an_entry_that_a_sharer_filled_needs_no_fault_at_all(task):
    """The table is linked by the first fault; what is in it is found by the walk."""
    here = machine(sharing=FileTableCache())
    file = here.memfd("f", 0x10000)
    for name in "ab":
        other = here.spawn(name)
        other.mmap(0x40000, 0x10000, "rw", MAP_SHARED | MAP_FIXED, file)
        other.touch(0x40000, 0x10000, write=True)
    assert other.minor_faults == 1 and "share" not in events(other)


def test_a_fault_on_an_entry_that_is_there_is_spurious():
    """handle_pte_fault: the link brought the entry; nothing else is to be done."""
    here = machine(sharing=FileTableCache())
    file = here.memfd("f", 0x10000)
    a, b = here.spawn("a"), here.spawn("b")
    for task in (a, b):
        task.mmap(0x40000, 0x10000, "rw", MAP_SHARED | MAP_FIXED, file)
        task.store(0x40000, 1)
    assert [kind for kind in events(b) if kind in ("share", "spurious")] == ["share", "spurious"]
    assert b.minor_faults == 1


def test_an_advice_keeps_a_range_out_of_the_cache():
    """MADV_NOSHARE_TABLES: its tables are private from the first fault on."""
    here = machine(sharing=FileTableCache())
    task = here.spawn("a")
    task.mmap(0x40000, 0x10000, "rw", MAP_SHARED | MAP_FIXED, here.memfd("f", 0x10000))
    task.madvise(0x40000, 0x10000, MADV_NOSHARE_TABLES)
    task.touch(0x40000, 0x10000, write=True)
    assert not any(table.home for table in here.tables.by_pfn.values()) and task.tables == 6


# memory ------------------------------------------------------------------------------------------
def test_a_fault_without_memory_leaves_the_tables_that_it_made():
    """__handle_mm_fault: they are there for the next try; here the killer takes them all."""
    here = machine(memory=4 * PAGE)
    task = here.spawn("a")
    task.mmap(0x4000, PAGE, "rw", ANON)
    with pytest.raises(Killed, match="all 4 frames are in use"):
        task.store(0x4000, 1)
    assert here.tasks == [] and here.table_count == 0


def test_fault_around_maps_nothing_that_making_the_table_reclaimed():
    """do_fault_around: the table is made first, then the cache is asked."""
    here = machine(memory=11 * PAGE, fault_around=4)
    here.mount("ext4", "/disk")
    file, task = here.open("/disk/f"), here.spawn("a")
    file.pwrite(bytes(range(1, 5)) * PAGE, 0), file.fsync()
    full = here.memfd("full")
    task.mmap(0x40000, 4 * PAGE, "r", MAP_SHARED | MAP_FIXED, file)
    while here.memory.used < 9:
        full.pwrite(b"x", full.size)
    for n in range(4):
        assert task.load(0x40000 + n * PAGE) == b"\1"
