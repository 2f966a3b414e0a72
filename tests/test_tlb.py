"""What a CPU remembers, and who must be told to forget."""
import pytest
from layout import ANON, PAGE, machine

from mmlib import (
    MADV_DONTNEED,
    MAP_FIXED,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    FileTableCache,
    Segfault,
    validate,
)
from mmlib.geometry import RW, D, P
from mmlib.tlb import SIZE, TLB

WRITABLE = 0x5000 | P | RW | D


def started(cpus=2):
    """A machine, a task on CPU 0 and its thread on CPU 1; four pages, all stored to by both."""
    here = machine(cpus=cpus)
    task = here.spawn("a")
    thread = task.clone("t")
    thread.run_on(1)
    task.mmap(0x4000, 4 * PAGE, "rw", ANON | MAP_FIXED)
    for one in (task, thread):
        one.touch(0x4000, 4 * PAGE, write=True)
    return here, task, thread


# the TLB by itself -------------------------------------------------------------------------------
def test_an_entry_serves_what_it_permits():
    """A load needs the entry, a store RW and D."""
    tlb = TLB()
    for entry, store in ((0x5000 | P, False), (0x5000 | P | RW, False), (WRITABLE, True)):
        tlb.insert("mm", 1, entry)
        assert tlb.find("mm", 1, False) == entry
        assert bool(tlb.find("mm", 1, True)) == store
    assert not tlb.find("mm", 2, False) and not tlb.find("other", 1, False)


def test_sixty_four_entries_least_recently_used_first_out():
    """The 65th pushes out the one whose last use is oldest."""
    tlb = TLB()
    for page in range(SIZE):
        tlb.insert("mm", page, WRITABLE)
    tlb.find("mm", 0, False)
    tlb.insert("mm", SIZE, WRITABLE)
    assert len(tlb.entries) == SIZE == 64
    assert tlb.find("mm", 0, False) and not tlb.find("mm", 1, False)


@pytest.mark.parametrize("first, last", [(2, 3), (2, 40), (0, SIZE), (0, 1 << 40)])
def test_drop_forgets_a_range_of_one_mm(first, last):
    """A few pages one by one, many by looking at all entries: the same."""
    tlb = TLB()
    for page in range(30):
        tlb.insert("a", page, WRITABLE), tlb.insert("b", page, WRITABLE)
    tlb.drop("a", first, last)
    gone = [n for n in range(30) if not tlb.find("a", n, False)]
    assert gone == list(range(first, min(last, 30)))
    assert all(tlb.find("b", n, False) for n in range(30))


# who is told -------------------------------------------------------------------------------------
def unmap(task):
    task.munmap(0x4000, 4 * PAGE)


def protect(task):
    task.mprotect(0x4000, 4 * PAGE, "r")


def drop(task):
    task.madvise(0x4000, 4 * PAGE, MADV_DONTNEED)


def move(task):
    task.mremap(0x4000, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x20000)


def replace(task):
    task.mmap(0x4000, 4 * PAGE, "r", ANON | MAP_FIXED)


def fork(task):
    task.fork()


@pytest.mark.parametrize("change", [unmap, protect, drop, move, replace, fork])
def test_every_cpu_of_the_mm_forgets(change):
    """flush_tlb_mm_range: one flush, with both CPUs as targets."""
    here, task, thread = started()
    before = here.counters
    change(task)
    assert here.counters["flushes"] == before["flushes"] + 1
    assert here.counters["flush_targets"] == before["flush_targets"] + 2
    writable = [entry for tlb in here.tlbs for entry in tlb.entries.values() if entry & RW]
    assert writable == []


def test_a_cpu_that_never_ran_the_mm_is_not_a_target():
    """mm_cpumask: only where it has been."""
    here = machine(cpus=4)
    task = here.spawn("a")
    task.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    task.store(0x4000, 1)
    task.munmap(0x4000, PAGE)
    assert (here.counters["flushes"], here.counters["flush_targets"]) == (1, 1)


def test_a_cpu_that_ran_the_mm_earlier_is_a_target():
    """It may hold translations although nobody runs there now."""
    here = machine(cpus=2)
    task = here.spawn("a")
    task.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    task.store(0x4000, 1)
    task.run_on(1)
    task.load(0x4000)
    task.munmap(0x4000, PAGE)
    assert here.counters["flush_targets"] == 2
    task.run_on(0)
    with pytest.raises(Segfault):
        task.load(0x4000)


@pytest.mark.parametrize("call", ["mprotect", "munmap"])
def test_what_was_never_present_is_not_flushed(call):
    """No entry was changed: no CPU is disturbed."""
    here = machine()
    task = here.spawn("a")
    task.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    task.mmap(0x8000, PAGE, "rw", ANON | MAP_FIXED)
    task.load(0x8000)
    getattr(task, call)(0x4000, PAGE, *(["r"] if call == "mprotect" else []))
    assert here.counters["flushes"] == 0


def test_a_switch_of_the_task_flushes_nothing():
    """PCID: entries are keyed by mm; two processes on one CPU keep their own."""
    here = machine()
    for name in "ab":
        task = here.spawn(name)
        task.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
        task.store(0x4000, name.encode())
    assert [task.load(0x4000) for task in here.tasks] == [b"a", b"b"]
    assert here.trace[-1].events[0].kind == "tlb_hit" and here.counters["flushes"] == 0


def test_an_mm_that_is_gone_is_in_no_tlb():
    """exit and exec: nothing of the old mm stays, and nobody needs to be told."""
    here, task, thread = started()
    flushes = here.counters["flushes"]
    thread.exit(), task.exec()
    assert all(not tlb.entries for tlb in here.tlbs) and here.counters["flushes"] == flushes


def test_a_copied_page_is_found_by_the_other_thread():
    """wp_page_copy: the old translation goes everywhere."""
    here, task, thread = started()
    child = task.fork()
    task.load(0x4000), thread.load(0x4000)
    task.store(0x4000, 9)
    assert thread.load(0x4000) == b"\x09" and child.load(0x4000) == b"\0"


# one table, many TLBs ----------------------------------------------------------------------------
def sharers(count=3):
    """Processes on a CPU each that share their tables of one file."""
    here = machine(cpus=count, sharing=FileTableCache())
    file = here.memfd("f", 0x10000)
    for n in range(count):
        task = here.spawn(f"p{n}")
        task.run_on(n)
        task.mmap(0x40000, 0x10000, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(0x40000, 0x10000, write=True)
    return here, file


def test_a_change_to_a_shared_table_is_told_to_all_who_reach_it():
    """FB11: the entry is cleared once, N TLBs are flushed."""
    here, file = sharers()
    before = here.counters["flush_targets"]
    file.truncate(0x4000)
    assert here.counters["flush_targets"] - before == 3 * 3     # three PTE tables, three CPUs
    assert all(page < 0x44 for tlb in here.tlbs for _, page in tlb.entries)


def test_letting_go_of_a_shared_table_is_told_to_the_caller_alone():
    """munmap of a part: the others keep table and translations."""
    here, _ = sharers()
    before, kept = here.counters["flush_targets"], list(here.tlbs[1].entries)
    here.tasks[0].munmap(0x40000, PAGE)
    assert here.counters["flush_targets"] - before == 1 and list(here.tlbs[1].entries) == kept


def test_without_flush_sharers_a_stale_translation_shows():
    """Only the caller's mm is told; validate complains, and the old page can still be read."""
    here, _ = sharers()
    a, b, _ = here.tasks
    here.flush_sharers = False
    b.store(0x40000, b"old")
    from mmlib import MADV_REMOVE
    a.madvise(0x40000, PAGE, MADV_REMOVE)
    with pytest.raises(AssertionError, match="CPU 1"):
        validate(here)
    assert [kind for kind, *_ in (e for e in here.trace[-1].events) if kind == "flush"] == ["flush"]
    here.tlbs[1].entries.clear(), here.tlbs[2].entries.clear()
    assert b.load(0x40000, 3) == bytes(3)


def test_the_state_in_a_snapshot_is_in_order_of_use():
    """(mm, page, pfn, writable), least recently used first."""
    here = machine()
    task = here.spawn("a")
    task.mmap(0x4000, 2 * PAGE, "rw", ANON | MAP_FIXED)
    task.store(0x4000, 1), task.load(0x5000), task.load(0x4000)
    frame = task.pagemap(0x4000, PAGE)[0].pfn
    assert here.snapshot().tlbs == ((("a", 5, 1, False), ("a", 4, frame, True)),)
