"""One access as the hardware does it: TLB, walk, exception; and lookups of many addresses."""
import pytest
from layout import ANON, PAGE, machine

from mmlib import MADV_DONTNEED, MAP_FIXED, MAP_SHARED, TINY, X86_64, BusError, FileTableCache
from mmlib import Machine, Segfault
from mmlib.geometry import A, D


@pytest.fixture
def task():
    task = machine(huge_pages=2).spawn("a")
    task.mmap(0x4000, 4 * PAGE, "rw", ANON | MAP_FIXED)
    return task


def events(task) -> list[str]:
    return [event.kind for event in task.machine.trace[-1].events]


def path(task, addr):
    return task.machine.tables.walk(task.mm.pgd, addr)


def test_a_tlb_hit_runs_no_kernel_and_no_walk(task):
    """The second access of a page: one event."""
    task.store(0x4000, 1)
    task.load(0x4fff)
    assert events(task) == ["tlb_hit"]


def test_a_tlb_miss_walks_four_levels(task):
    """Root first; each step tells table, index and entry."""
    task.store(0x4000, 1)
    task.store(0x5000, 1)                           # another page of the same tables
    walked = [e for e in task.machine.trace[-1].events if e.kind == "walk"][-4:]
    assert [event.level for event in walked] == ["PGD", "PUD", "PMD", "PTE"]
    assert tuple(event.index for event in walked) == TINY.indices(0x5000)


def test_a_walk_ends_at_the_first_empty_entry(task):
    """Nothing is there yet: the root is read, then the exception is raised."""
    task.load(0x4000)
    first = events(task)[:4]
    assert first == ["tlb_miss", "walk", "fault", "find_vma"]


def test_the_hardware_sets_accessed_on_all_levels_and_dirty_on_the_leaf(task):
    """Intel SDM 3A, 4.8: A wherever the walk came by, D at the end of a store."""
    file = task.memfd("f", PAGE)
    task.mmap(0x10000, PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    task.load(0x10000)
    assert all(entry & A for *_, entry in path(task, 0x10000))
    assert not any(entry & D for *_, entry in path(task, 0x10000))
    task.store(0x10000, 1)
    assert [bool(entry & D) for *_, entry in path(task, 0x10000)] == [False] * 3 + [True]


def test_the_first_store_after_loads_walks_again_to_set_dirty(task):
    """A TLB entry without D does not serve a store; no fault is needed."""
    task.mmap(0x10000, PAGE, "rw", MAP_SHARED | MAP_FIXED, task.memfd("f", PAGE))
    task.load(0x10000)
    task.store(0x10000, 1)
    assert events(task) == ["tlb_miss"] + ["walk"] * 4 and task.page_faults == 1
    task.store(0x10000, 2)
    assert events(task) == ["tlb_hit"]


def test_a_fault_forgets_the_translation(task):
    """Intel SDM 3A, 4.10.4.1: also one that was good for loads."""
    task.mprotect(0x4000, PAGE, "r")
    task.load(0x4000)
    with pytest.raises(Segfault):
        task.store(0x4000, 1)
    task.load(0x4000)
    assert events(task)[0] == "tlb_miss" and task.page_faults == 2


def test_the_dirty_bit_of_a_cleared_entry_is_not_set(task):
    """MADV_DONTNEED takes the TLB's entry as well: a load sees zeros."""
    task.store(0x4000, 1)
    task.madvise(0x4000, PAGE, MADV_DONTNEED)
    assert task.load(0x4000) == b"\0"


def test_bytes_cross_borders_of_pages(task):
    """Page by page, with as many faults as pages."""
    data = bytes(range(256)) * 40
    task.store(0x4003, data)
    assert task.load(0x4003, len(data)) == data and task.minor_faults == 3


def test_a_store_changes_only_its_bytes(task):
    """Whole pages are zeroed before."""
    task.store(0x4004, b"ab"), task.store(0x4005, 0x63)
    assert task.load(0x4000, 8) == b"\0\0\0\0ac\0\0"


def test_a_store_takes_one_int_or_bytes(task):
    """bytes, a bytearray, or an int from 0 to 255."""
    for data in (7, b"\7", bytearray(b"\7")):
        task.store(0x4000, data)
        assert task.load(0x4000) == b"\7"


def test_touch_makes_one_access_a_page(task):
    """Also for a range that begins and ends within pages; one event for all."""
    task.touch(0x4fff, 2)
    assert task.minor_faults == 2 and events(task) == ["touch"]
    event = task.machine.trace[-1].events[0]
    assert (event.pages, event.faults) == (2, 2)


def test_a_touch_that_fails_tells_how_far_it_came(task):
    """The pages before the failure stay; the step has the count."""
    with pytest.raises(Segfault):
        task.touch(0x6000, 4 * PAGE, write=True)
    event = task.machine.trace[-1].events[-1]
    assert (event.kind, event.pages, event.faults, task.rss) == ("touch", 2, 3, 2 * PAGE)


def test_a_huge_page_is_translated_to_its_part(task):
    """PS: the rest of the address is the offset into 16 KiB."""
    from mmlib import MAP_HUGETLB
    start = task.mmap(None, TINY.huge_size, "rw", ANON | MAP_HUGETLB)
    task.store(start + 0x3123, b"x")
    here = task.translate([start, start + 0x3123])
    assert here[1] - here[0] == 0x3123 and task.load(start + 0x3123) == b"x"
    assert task.load(start + 0x2123) == b"\0" and task.minor_faults == 1


# translate ---------------------------------------------------------------------------------------
def test_translate_gives_physical_addresses_and_takes_no_fault(task):
    """-1 where nothing can be reached: not touched, no VMA, no user address, PROT_NONE."""
    numpy = pytest.importorskip("numpy")
    task.store(0x4000, 1), task.store(0x5000, 1)
    task.mprotect(0x5000, PAGE, "")
    frame = task.pagemap(0x4000, PAGE)[0].pfn
    asked = numpy.array([0x4000, 0x4abc, 0x5000, 0x6000, 0, TINY.task_size, 1 << 60, -1])
    assert task.translate(asked).tolist() == [frame * PAGE, frame * PAGE + 0xabc] + [-1] * 6
    assert task.page_faults == 2


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_translate_answers_in_int64(task, dtype):
    """Whatever the kind of integers that were given, and in their shape."""
    numpy = pytest.importorskip("numpy")
    task.store(0x4000, 1)
    answer = task.translate(numpy.array([[0x4001], [0x9000]], dtype))
    assert answer.dtype == numpy.int64 and answer.shape == (2, 1)
    assert answer.tolist() == [[task.pagemap(0x4000, PAGE)[0].pfn * PAGE + 1], [-1]]


def test_translate_of_a_scalar_and_of_nothing(task):
    """Shapes without and with no elements."""
    numpy = pytest.importorskip("numpy")
    task.store(0x4000, 1)
    assert task.translate(0x4000).shape == ()
    for nothing in (numpy.array([], int), numpy.array([]), [], numpy.empty((2, 0))):
        answer = task.translate(nothing)
        assert answer.dtype == numpy.int64 and answer.shape == numpy.shape(nothing)


@pytest.mark.parametrize("wrong", [[4096.0], ["a"], [None], [True]])
def test_translate_refuses_what_are_no_integers(task, wrong):
    """The caller's mistake."""
    pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="addresses are integers"):
        task.translate(wrong)


def test_the_top_page_of_user_space_can_be_used():
    """TASK_SIZE_MAX: the last page below the guard page."""
    task = machine(X86_64).spawn("a")
    last = X86_64.task_size - PAGE
    task.mmap(last, PAGE, "rw", ANON | MAP_FIXED)
    task.store(last + PAGE - 1, 5)
    assert task.load(last + PAGE - 1) == b"\5"
    with pytest.raises(Segfault):
        task.load(last + PAGE - 1, 2)


# the short way -----------------------------------------------------------------------------------
def test_a_touch_that_hits_asks_what_the_long_way_asks():
    """Wrong arguments are refused, and a dead task, also where the page is known."""
    task = Machine(TINY, trace=False).spawn()
    task.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    task.touch(0x4000, 1, write=True)
    for wrong in ((0x4000, 0), (0x4000, 1.0), (0x4000, True), (-1, 1), ("4", 1)):
        with pytest.raises((TypeError, ValueError)):
            task.touch(*wrong)
    for args, named in (((0x4000, 1), {"wrong": 1}), ((0x4000, 1, True, 2), {}),
                        ((0x4000, 1, True), {"write": True})):
        with pytest.raises(TypeError):
            task.touch(*args, **named)
    assert task.minor_faults == 1
    task.exit()
    with pytest.raises(OSError, match="ESRCH"):
        task.touch(0x4000, 1)


def test_a_translation_that_is_out_of_date_counts():
    """Without a flush of the sharers a TLB goes on with what it knows, by either way."""
    machine = Machine(X86_64, sharing=FileTableCache(), trace=False, cpus=2)
    file, size = machine.memfd("f", 4 << 20), 4 << 20
    a, b = machine.spawn("a"), machine.spawn("b")
    for task in (a, b):
        task.mmap(1 << 30, size, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(1 << 30, size, write=True)
        task.touch(1 << 30, 1, True)
    machine.flush_sharers = False
    file.truncate(0)
    b.touch(1 << 30, 1, True)                  # the TLB of b still has the page
    machine.flush_sharers = True
    for tlb in machine.tlbs:
        tlb.entries.clear()
    with pytest.raises(BusError):
        b.touch(1 << 30, 1, True)
