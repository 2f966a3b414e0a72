"""munmap: what goes, what stays, and which tables are freed."""
import pytest
from layout import ANON, PAGE, file_of, machine, mapped, page, picture, present, refused

from mmlib import LA57, MAP_FIXED, MAP_HUGETLB, MAP_SHARED, TINY, X86_64, Segfault
from mmlib.unmap import truncate_pages, unmap_mapping_range

MIB, GIB = 1 << 20, 1 << 30
FAR = 0x200000000000                    # a border between tables of every level
WORD = 1 << 64


# layouts ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("before, first, pages, after", [
    ("Wwwwwwww", 0, 8, ""), ("Wwwwwwww", 0, 2, "..Wwwwww"), ("Wwwwwwww", 6, 2, "Wwwwww"),
    ("Wwwwwwww", 2, 3, "Ww...Www"), ("Ww..Rr..", 1, 4, "W....R"), ("WwRrXxNn", 1, 6, "W......N"),
    ("Ww..", 2, 2, "Ww"), ("..Ww", 0, 3, "...W"), ("SsssFfff", 2, 4, "Ss....Ff"),
    ("W.W.W.W", 0, 8, "")])
def test_what_lies_in_the_range_goes(before, first, pages, after):
    """do_vmi_munmap: VMAs are cut at its ends."""
    task = mapped(before)
    task.munmap(page(first), pages * PAGE)
    assert picture(task.mm) == after


@pytest.mark.parametrize("length, after", [(1, ".Www"), (PAGE, ".Www"), (PAGE + 1, "..Ww")])
def test_a_length_is_rounded_up(length, after):
    """To whole pages."""
    task = mapped("Wwww")
    task.munmap(page(0), length)
    assert picture(task.mm) == after


def test_nothing_is_no_error():
    """A range without a mapping answers 0."""
    task = mapped("Ww")
    task.munmap(page(4), 2 * PAGE)
    task.munmap(0, TINY.task_size)
    task.munmap(0, TINY.task_size)
    assert task.maps() == ()


@pytest.mark.parametrize("addr, length", [
    (page(0) + 1, PAGE), (page(0), 0), (TINY.task_size, PAGE), (TINY.task_size, 0),
    (0, TINY.task_size + PAGE), (TINY.task_size - PAGE, PAGE + 1), (WORD - PAGE, PAGE),
    (page(0), WORD - 1)])
def test_munmap_refuses(addr, length):
    """EINVAL for whatever is no range of user space."""
    task = mapped("Ww")
    assert refused(task.munmap, addr, length) == "EINVAL"
    assert picture(task.mm) == "Ww"


def test_a_huge_page_is_not_cut():
    """EINVAL before anything else is cut, or is gone (hugetlb_vm_op_split)."""
    task = machine(huge_pages=2).spawn()
    task.mmap(page(0), 4 * PAGE, "rw", ANON | MAP_FIXED)
    task.mmap(page(4), 2 * TINY.huge_size, "rw", ANON | MAP_HUGETLB | MAP_FIXED)
    rows = task.maps()
    for first, pages in ((2, 3), (0, 6), (5, 3), (6, 9)):
        assert refused(task.munmap, page(first), pages * PAGE) == "EINVAL"
        assert task.maps() == rows
    task.munmap(page(2), 6 * PAGE)
    assert [(row.start, row.end) for row in task.maps()] == [(page(0), page(2)),
                                                             (page(8), page(12))]


def test_an_access_to_what_was_unmapped():
    """MU01: SEGV_MAPERR, also through a TLB entry of before."""
    task = mapped("Ss")
    task.store(page(0), b"x")
    task.munmap(page(0), 2 * PAGE)
    with pytest.raises(Segfault) as caught:
        task.store(page(0), b"y")
    assert caught.value.code == "SEGV_MAPERR"


# pages -----------------------------------------------------------------------------------------
def test_anonymous_pages_are_freed():
    """zap_pte_range; what is mapped anew there is zero."""
    task = mapped("Wwww")
    task.touch(page(0), 4 * PAGE, write=True)
    used = task.machine.memory.used
    task.munmap(page(1), 2 * PAGE)
    assert task.machine.memory.used == used - 2 and present(task, 4) == "1001"
    assert task.rss == 2 * PAGE


def test_pages_of_a_file_stay_in_its_cache():
    """And can be mapped again."""
    task = mapped("S")
    task.store(page(0), b"x")
    task.munmap(page(0), PAGE)
    assert file_of(task).pread(1, 0) == b"x"


def test_a_page_that_a_child_shares_stays():
    """mapcount goes from 2 to 1."""
    task = mapped("W")
    task.store(page(0), b"x")
    child = task.fork()
    task.munmap(page(0), PAGE)
    assert child.load(page(0)) == b"x"


# tables ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("size, tables", [(2 * MIB, 3), (4 * MIB, 4), (64 * MIB, 34)])
def test_munmap_frees_all_tables(size, tables):
    """PT05: and as many as the formula says were there before."""
    task = machine(X86_64, trace=False).spawn()
    task.mmap(FAR, size, "rw", ANON | MAP_FIXED)
    task.touch(FAR, size, write=True)
    assert task.tables == tables
    task.munmap(FAR, size)
    assert task.tables == task.machine.table_count == 0


def test_untouched_memory_has_no_tables():
    """Rule 1: neither mmap nor mprotect nor munmap makes one."""
    task = machine(X86_64).spawn()
    task.mmap(FAR, 64 * MIB, "rw", ANON | MAP_FIXED)
    task.mprotect(FAR, 32 * MIB, "r")
    task.munmap(FAR, 16 * MIB)
    assert task.tables == 0 and task.machine.counters["tables_allocated"] == 1


@pytest.mark.parametrize("geometry, at, tables", [
    (X86_64, [0, 2 * MIB], (4, 3)), (X86_64, [0, GIB], (5, 3)), (X86_64, [0, 512 * GIB], (6, 3)),
    (LA57, [0, 512 * GIB], (6, 3)), (TINY, [0x0, 0x4000], (4, 3)), (TINY, [0x0, 0x10000], (5, 3)),
    (TINY, [0x0, 0x40000], (6, 3)), (TINY, [0x0, 0x1000], (3, 3))])
def test_a_table_goes_when_its_span_is_empty(geometry, at, tables):
    """free_pgtables: no VMA is left in the whole 2 MiB (1 GiB, 512 GiB)."""
    task = machine(geometry).spawn()
    base = FAR if geometry is not TINY else page(0)
    counts = []
    for offset in at:
        task.mmap(base + offset, PAGE, "rw", ANON | MAP_FIXED)
        task.store(base + offset, b"x")
    counts.append(task.tables)
    task.munmap(base + at[1], PAGE)
    counts.append(task.tables)
    assert tuple(counts) == tables


def test_an_untouched_neighbour_keeps_a_table():
    """It is the VMA that counts, not the entries."""
    task = mapped("WwRr")               # one PTE table
    task.store(page(0), b"x")
    task.munmap(page(0), 2 * PAGE)
    assert task.tables == 3 and present(task, 4) == "0000"
    task.munmap(page(2), 2 * PAGE)
    assert task.tables == 0


def test_ranges_of_one_call_free_what_lies_above_both():
    """A table above several VMAs goes when the last of them does."""
    task = mapped("W...W...W")
    for n in (0, 4, 8):
        task.store(page(n), b"x")
    assert task.tables == 5
    task.munmap(page(0), 9 * PAGE)
    assert task.tables == 0


def test_exit_frees_everything():
    """exit_mmap: pages, tables, and the top-level table."""
    task = mapped("WwSsFfRr")
    task.touch(page(0), 6 * PAGE, write=True)
    world = task.machine
    task.exit()
    assert (world.memory.used, world.table_count, world.memory.zero.mapcount) == (0, 0, 0)


# what leaves a file leaves its mappings --------------------------------------------------------
@pytest.mark.parametrize("even_cows, left", [(True, "01000100"), (False, "01001100")])
def test_unmap_mapping_range(even_cows, left):
    """Every mapper loses the page; private copies only for truncate."""
    task = mapped("SsssFfff")
    file_of(task).pwrite(b"x" * 8 * PAGE, 0)
    task.load(page(0)), task.load(page(1)), task.store(page(4), b"c"), task.load(page(5))
    mapping = file_of(task).inode.mapping
    for first in (0, 4):
        unmap_mapping_range(task.machine, mapping, first, first + 1, even_cows)
    assert present(task) == left


def test_truncation_reaches_every_process():
    """Through i_mmap."""
    task = mapped("Ss")
    task.touch(page(0), 2 * PAGE, write=True)
    other = task.machine.spawn()
    other.mmap(page(5), PAGE, "r", MAP_SHARED | MAP_FIXED, file_of(task), PAGE)
    other.load(page(5))
    mapping = file_of(task).inode.mapping
    mapping.size = PAGE
    truncate_pages(task.machine, mapping, 1, None, even_cows=True)
    assert (present(task, 2), present(other), sorted(mapping.pages)) == ("10", "00000000", [0])
