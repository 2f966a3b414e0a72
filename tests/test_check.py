"""validate complains of a machine that was broken by hand, and says where."""
import pytest
from layout import ANON, PAGE

from mmlib import MAP_FIXED, MAP_SHARED, TINY, FileTableCache, Machine, validate
from mmlib.geometry import GUARD, NX, PROTNONE, RW, US, D, P

AT, PMD = 0x40000, TINY.span(2)


@pytest.fixture
def here():
    """Two processes: private memory shared by fork, a file with shared tables, huge pages."""
    here = Machine(TINY, sharing=FileTableCache(), memory=256 * PAGE, huge_pages=2, cpus=2)
    a = here.spawn("a")
    a.mmap(0x4000, 4 * PAGE, "rw", ANON | MAP_FIXED)
    a.mmap(0x10000, 2 * PAGE, "r", ANON | MAP_FIXED)
    a.touch(0x4000, 3 * PAGE, write=True), a.load(0x10000)
    file = here.memfd("f", PMD)
    a.mmap(AT, PMD, "rw", MAP_SHARED | MAP_FIXED, file)
    b = a.fork("b")
    for task in (a, b):
        task.touch(AT, PMD, write=True)
    b.store(0x4000, 1)
    validate(here)
    return here


def task(here):
    return here.tasks[0]


def leaf(here, addr, who=0):
    """(table, index, entry) of an address."""
    return here.tables.lookup(here.tasks[who].mm.pgd, addr)


def change(here, addr, clear=0, add=0, who=0):
    table, index, entry = leaf(here, addr, who)
    here.tables.set(table, index, entry & ~clear | add)


def forget_tlbs(here):
    for tlb in here.tlbs:
        tlb.entries.clear()


def overlapping(here):
    task(here).mm.vmas[0].end = 0x11000


def unaligned(here):
    task(here).mm.vmas[0].end -= 1


def out_of_order(here):
    task(here).mm.vmas.reverse()


def beyond_the_address_space(here):
    task(here).mm.vmas[-1].end = TINY.task_size + PAGE


def somebody_elses_vma(here):
    task(here).mm.vmas[0].mm = here.tasks[1].mm


def wrong_number_of_threads(here):
    task(here).mm.users += 1


def wrong_number_of_tables(here):
    task(here).mm.nr_tables -= 1


def an_entry_without_a_vma(here):
    mm = task(here).mm
    mm.vmas.remove(mm.find_vma(0x10000))


def a_table_without_a_vma(here):
    task(here).mm.vmas.clear()


def writable_against_the_vma(here):
    forget_tlbs(here)
    change(here, 0x10000, add=RW)


def writable_though_shared_by_fork(here):
    change(here, 0x5000, add=RW)


def executable_against_the_vma(here):
    change(here, 0x4000, clear=NX)


def accessible_without_rights(here):
    task(here).mm.find_vma(0x10000).flags &= ~7


def inaccessible_with_rights(here):
    forget_tlbs(here)
    change(here, 0x4000, clear=P, add=PROTNONE)


def another_page_of_the_file(here):
    one, two = leaf(here, AT), leaf(here, AT + PAGE)
    forget_tlbs(here)
    here.tables.set(*one[:2], two[2]), here.tables.set(*two[:2], one[2])


def an_interior_entry_with_fewer_rights(here):
    path = here.tables.walk(task(here).mm.pgd, 0x4000)
    table, index, entry = path[1]
    here.tables.set(table, index, entry & ~US)


def a_lost_entry(here):
    forget_tlbs(here)
    here.tables.set(*leaf(here, 0x5000)[:2], 0)


def an_entry_of_a_page_that_is_gone(here):
    forget_tlbs(here)
    change(here, 0x5000, add=0xff000)


def a_pointer_to_a_table_that_is_gone(here):
    table, index, entry = here.tables.walk(task(here).mm.pgd, 0x4000)[1]
    here.tables.set(table, index, entry | 0xff000)


def a_guard_over_a_page(here):
    forget_tlbs(here)
    here.tables.set(*leaf(here, 0x5000)[:2], GUARD)


def a_wrong_mapcount(here):
    here.memory.folio(task(here).pagemap(0x5000, PAGE)[0].pfn).mapcount += 1


def a_wrong_mapcount_of_the_zero_page(here):
    here.memory.zero.mapcount += 1


def data_in_the_zero_page(here):
    here.memory.zero.data = bytearray(PAGE)


def exclusive_though_two_map_it(here):
    here.memory.folio(task(here).pagemap(0x5000, PAGE)[0].pfn).exclusive = True


def a_page_that_is_used_again(here):
    here.memory.folios.pop(task(here).pagemap(AT, PAGE)[0].pfn)


def a_lost_page(here):
    here.memory.alloc_folio()


def a_lost_frame(here):
    here.memory.alloc_frame()


def a_lost_table(here):
    here.tables.alloc(1, "nobody")


def a_wrong_user_count(here):
    leaf(here, AT)[0].users += 1


def a_table_that_the_cache_has_forgotten(here):
    here.files[0].inode.mapping.tables.clear()


def a_cached_table_of_other_rights(here):
    vma = task(here).mm.find_vma(AT)
    vma.flags &= ~2


def a_shared_table_under_a_part_of_its_span(here):
    task(here).mm.find_vma(AT).end -= PAGE


def a_mapping_that_the_file_does_not_know(here):
    here.files[0].inode.mapping.i_mmap.popitem()


def a_wrong_number_of_openings(here):
    here.files[0].inode.opens += 1


def a_cached_page_at_another_place(here):
    cache = here.files[0].inode.mapping
    cache.pages[99] = cache.pages.pop(15)


def a_page_beyond_the_end_that_is_mapped(here):
    here.files[0].inode.mapping.size = PAGE


def a_stale_translation(here):
    here.tlbs[0].insert(task(here).mm, 0x7, 0x9000 | P)


def a_translation_with_more_rights(here):
    entry = leaf(here, 0x5000)[2]
    here.tlbs[0].insert(task(here).mm, 0x5, entry | RW)


def a_dirty_translation_of_a_clean_entry(here):
    entry = leaf(here, 0x10000)[2]
    here.tlbs[0].insert(task(here).mm, 0x10, entry | D)


def a_translation_of_the_dead(here):
    here.tlbs[0].insert(object(), 0, P)
    here.tlbs[0].entries.clear()
    mm = here.spawn("c").mm
    here.tlbs[0].insert(mm, 4, P)
    here.tasks[-1].exit()
    here.tlbs[0].insert(mm, 4, P)


def a_translation_where_the_mm_never_ran(here):
    here.tlbs[1].insert(task(here).mm, 0x4, leaf(here, 0x4000)[2])


def a_huge_page_too_many(here):
    here.huge_pages.total += 1


def more_promised_than_there_is(here):
    here.huge_pages.reserved += 9


def more_in_use_than_there_is(here):
    here.memory.frames = 3


BROKEN = [broken for name, broken in list(globals().items())
          if getattr(broken, "__module__", "") == __name__ and callable(broken)
          and name not in ("here", "task", "leaf", "change", "forget_tlbs")]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda broken: broken.__name__)
def test_validate_finds(here, break_it):
    """A state that must not be is an AssertionError with a place in it."""
    break_it(here)
    with pytest.raises(AssertionError) as caught:
        validate(here)
    assert str(caught.value).strip() != ""


def test_validate_repairs_and_changes_nothing(here):
    """Two looks see the same, at a whole machine and at a broken one."""
    before = here.snapshot()
    assert validate(here) is None and here.snapshot() == before
    a_wrong_mapcount(here)
    for _ in range(2):
        with pytest.raises(AssertionError):
            validate(here)


def test_the_place_is_named(here):
    """The mm and the address; the frame; the CPU."""
    a_stale_translation(here)
    with pytest.raises(AssertionError, match="CPU 0.*a.*0x7000"):
        validate(here)
    forget_tlbs(here)
    writable_against_the_vma(here)
    with pytest.raises(AssertionError, match="a.*0x10000"):
        validate(here)
