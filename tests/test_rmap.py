"""Reverse mapping: who maps a page, and what a change of its entries reaches."""
import pytest
from layout import ANON, PAGE, machine

from mmlib import (
    MADV_WIPEONFORK,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    TINY,
    FileTableCache,
)
from mmlib.geometry import A
from mmlib.rmap import folio_referenced

AT, PMD = 0x40000, TINY.span(2)
SHARED, PRIVATE = MAP_SHARED | MAP_FIXED, MAP_PRIVATE | MAP_FIXED


def frame(task, addr) -> int:
    return task.pagemap(addr, PAGE)[0].pfn


def who(here, pfn) -> list[tuple[str, int]]:
    return [(row.mm, row.addr) for row in here.rmap(pfn)[0]]


def on_disk(here, pages):
    here.mount("ext4", "/disk")
    file = here.open("/disk/f")
    file.pwrite(bytes(pages * PAGE), 0), file.fsync()
    return file


def test_a_files_page_is_found_in_every_mapping():
    """rmap_walk_file: through i_mmap, at any address, also privately."""
    here = machine()
    file = here.memfd("f", 4 * PAGE)
    a, b, c = (here.spawn(name) for name in "abc")
    a.mmap(0x4000, 4 * PAGE, "rw", SHARED, file), b.mmap(0x8000, PAGE, "r", SHARED, file, PAGE)
    c.mmap(0xc000, 4 * PAGE, "rw", PRIVATE, file)
    a.store(0x5000, 1), b.load(0x8000), c.load(0xd000)
    assert who(here, frame(a, 0x5000)) == [("a", 0x5000), ("b", 0x8000), ("c", 0xd000)]
    c.store(0xd000, 2)
    assert who(here, frame(a, 0x5000)) == [("a", 0x5000), ("b", 0x8000)]
    assert who(here, frame(c, 0xd000)) == [("c", 0xd000)]


def test_mappings_that_have_not_touched_it_are_visited_and_not_told():
    """The search looks at every VMA that could have it."""
    here = machine()
    file = here.memfd("f", PAGE)
    tasks = [here.spawn(name) for name in "ab"]
    for task in tasks:
        task.mmap(0x4000, PAGE, "rw", SHARED, file)
    tasks[0].store(0x4000, 1)
    rows, visited = here.rmap(frame(tasks[0], 0x4000))
    assert len(rows) == 1 and [line[:2] for line in visited] == ["a:", "b:"]


def test_an_anonymous_page_is_found_in_parent_and_children():
    """rmap_walk_anon: those that share it since fork."""
    here = machine()
    a = here.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    a.store(0x4000, 1)
    b, c = a.fork("b"), a.fork("c")
    assert who(here, frame(a, 0x4000)) == [("a", 0x4000), ("b", 0x4000), ("c", 0x4000)]
    b.store(0x4000, 2)
    assert who(here, frame(a, 0x4000)) == [("a", 0x4000), ("c", 0x4000)]
    assert who(here, frame(b, 0x4000)) == [("b", 0x4000)]


def test_a_page_that_moved_is_found_at_its_new_place():
    """mremap: in one process only."""
    here = machine()
    a = here.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    a.store(0x4000, 1)
    b = a.fork("b")
    b.mremap(0x4000, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x20000)
    assert who(here, frame(a, 0x4000)) == [("a", 0x4000), ("b", 0x20000)]


def test_a_wiped_child_is_not_among_them():
    """MADV_WIPEONFORK: it has no anon_vma and is not visited."""
    here = machine()
    a = here.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    a.store(0x4000, 1), a.madvise(0x4000, PAGE, MADV_WIPEONFORK), a.fork()
    assert [row.mm for row in here.rmap(frame(a, 0x4000))[0]] == ["a"]


def test_the_rows_are_as_many_as_the_mapcount_with_private_tables():
    """One entry each: table, index and accessed bit."""
    here = machine()
    file = here.memfd("f", PAGE)
    a = here.spawn("a")
    for n in range(3):
        a.store(a.mmap(None, PAGE, "rw", MAP_SHARED, file), n)
    pfn = here.snapshot().frames[0].pfn
    rows, _ = here.rmap(pfn)
    assert len(rows) == here.memory.folio(pfn).mapcount == 3
    for row in rows:
        table = here.snapshot().table_at(row.table)
        assert dict(table.entries)[row.index] >> 12 & 0xff == pfn and row.accessed
        assert str(row) == f"a at {row.addr:#x}: entry {row.index} of table {row.table}"


# one entry, many users ---------------------------------------------------------------------------
@pytest.fixture
def here():
    return machine(sharing=FileTableCache(), cpus=3)


def sharers(here, file, names="abc"):
    for cpu, name in enumerate(names):
        task = here.spawn(name)
        task.run_on(cpu)
        task.mmap(AT, PMD, "rw", SHARED, file)
        task.touch(AT, PMD)
    return here.tasks


def test_one_entry_of_a_shared_table_has_many_users(here):
    """Three rows with one table and index; a mapcount of 1."""
    a, *_ = sharers(here, on_disk(here, 16))
    rows, _ = here.rmap(frame(a, AT))
    assert [row.mm for row in rows] == ["a", "b", "c"]
    assert len({(row.table, row.index) for row in rows}) == 1
    assert here.memory.folio(frame(a, AT)).mapcount == 1


def test_reclaim_reaches_every_sharers_tlb(here):
    """FB11: one entry is cleared, all sharers are flushed, not only the first that was found."""
    a, b, c = sharers(here, on_disk(here, 16))
    before = here.counters["flush_targets"]
    assert here.reclaim(1) == 1
    assert here.counters["flush_targets"] - before == 3
    for task in (a, b, c):
        assert not task.pagemap(AT, PAGE)[0].present
        assert (task.mm, AT >> 12) not in here.tlbs[task.cpu].entries


def test_reclaim_without_telling_the_sharers_is_what_validate_finds(here):
    """flush_sharers off: nobody but the caller's mm is told, and the machine has none."""
    sharers(here, on_disk(here, 16))
    here.flush_sharers = False
    here.reclaim(1)
    from mmlib import validate
    with pytest.raises(AssertionError, match="CPU 0"):
        validate(here)
    for tlb in here.tlbs:
        tlb.entries.clear()


def test_one_accessed_bit_answers_for_all(here):
    """FB12: whoever used it, it was used; asked again, it was not."""
    a, b, c = sharers(here, on_disk(here, 16))
    folio = here.memory.folio(frame(a, AT))
    assert folio_referenced(here, folio) and not folio_referenced(here, folio)
    for tlb in here.tlbs:
        tlb.entries.clear()
    c.load(AT)
    assert here.rmap(folio.pfn)[0][0].accessed and folio_referenced(here, folio)
    assert not here.tables.lookup(a.mm.pgd, AT)[2] & A


def test_a_page_in_an_unused_table_is_found_through_the_cache(here):
    """FB14: it has no mm; the entry goes first, then the page."""
    file = on_disk(here, 16)
    (task,) = sharers(here, file, "a")
    pfn = frame(task, AT)
    task.exit()
    rows, visited = here.rmap(pfn)
    assert [(row.mm, row.addr) for row in rows] == [("", -1)]
    assert "the file's cache, used by nobody" in str(rows[0]) and "cached rw table" in visited[-1]
    assert here.reclaim(16) == 16 and file.inode.mapping.pages == {}
    assert not any(table.level == 1 and here.tables.present(table)
                   for table in here.tables.by_pfn.values())
    (task,) = sharers(here, file, "b")
    assert task.major_faults == 16
    assert task.load(AT) == b"\0"


def test_huge_pages_are_found_by_their_first_frame():
    """A shared PMD table: one entry, two users."""
    here = machine(huge_pages=4)
    here.mount("hugetlbfs", "/huge")
    file = here.open("/huge/f")
    for name in "ab":
        task = here.spawn(name)
        task.mmap(AT, PMD, "rw", SHARED, file)
        task.store(AT, 1)
    assert who(here, frame(task, AT)) == [("a", AT), ("b", AT)]
    with pytest.raises(ValueError, match="holds no page"):
        here.rmap(frame(task, AT) + 1)
