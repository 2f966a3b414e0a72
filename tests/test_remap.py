"""mremap: growing, shrinking, moving, and whose frames they are afterwards."""
import pytest
from layout import ANON, PAGE, file_of, machine, mapped, page, picture, present, refused

from mmlib import (
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    TINY,
    X86_64,
    Segfault,
)

MOVE = MREMAP_MAYMOVE | MREMAP_FIXED
STAY = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
TOP, WORD = TINY.task_size, 1 << 64
FAR, MIB, GIB = 0x200000000000, 1 << 20, 1 << 30


def remap(task, first, pages, new_pages, flags=0, to=None):
    return task.mremap(page(first), pages * PAGE, new_pages * PAGE, flags,
                       None if to is None else page(to))


def letters(task, first, pages) -> str:
    """What the pages hold: a letter each, "." for zero, "!" where nothing is mapped."""
    out = ""
    for n in range(first, first + pages):
        try:
            out += task.load(page(n)).decode().replace("\0", ".")
        except Segfault:
            out += "!"
    return out


def written(drawing, text):
    """`mapped`, with a letter of *text* stored to each page that is not "."."""
    task = mapped(drawing)
    for n, letter in enumerate(text):
        if letter != ".":
            task.store(page(n), letter.encode())
    return task


def frames(task, first, pages) -> list[int]:
    return [row.pfn for row in task.pagemap(page(first), pages * PAGE)]


# without moving --------------------------------------------------------------------------------
@pytest.mark.parametrize("before, first, pages, new_pages, after", [
    ("Wwww", 0, 4, 4, "Wwww"), ("WwwwRr", 1, 2, 2, "WwwwRr"), ("Wwww", 0, 4, 2, "Ww"), ("Wwww", 1, 2, 1, "Ww.W"),
    ("Wwww..", 0, 4, 6, "Wwwwww"), ("Wwww..", 2, 2, 3, "Wwwww"), ("Ww.Ww", 0, 2, 3, "Wwwww"),
    ("Ww.Rr", 0, 2, 3, "WwwRr"), ("Ss.Ss", 0, 2, 3, "Sssss"), ("Ss.Ff", 0, 2, 3, "SssFf"),
    ("WwRrWw", 0, 6, 1, "W"),           # what a shrink unmaps may belong to others
    ("Ww....", 0, 6, 1, "W"),           # or to nobody
])
@pytest.mark.parametrize("flags", [0, MREMAP_MAYMOVE])
def test_in_place(before, first, pages, new_pages, after, flags):
    """A mapping shrinks anywhere, and grows at its end into free space; it then merges (MR08)."""
    task = mapped(before)
    assert remap(task, first, pages, new_pages, flags) == page(first)
    assert picture(task.mm) == after


def test_growth_shows_more_of_the_file():
    """MR01: a file twice as long as its mapping."""
    task = machine().spawn()
    file = task.memfd("f", 4 * PAGE)
    task.mmap(page(0), 2 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    remap(task, 0, 2, 4, MREMAP_MAYMOVE)
    task.touch(page(0), 4 * PAGE, write=True)
    task.msync(page(0), 4 * PAGE, MS_SYNC)
    task.store(page(3), b"x")
    assert file.pread(1, 3 * PAGE) == b"x"


@pytest.mark.parametrize("before, first, pages", [("WwRr", 0, 2), ("Wwww", 0, 2), ("WwWw", 0, 2)])
def test_no_room_to_grow(before, first, pages):
    """ENOMEM without MREMAP_MAYMOVE; with it the mapping moves."""
    if before == "WwWw":
        task = written("Ww.W", "a..b")
        task.mmap(page(2), PAGE, "rw", ANON | MAP_FIXED)
        first, pages = 0, 3
    else:
        task = mapped(before)
    drawn = picture(task.mm)
    assert refused(remap, task, first, pages, pages + 1) == "ENOMEM"
    assert picture(task.mm) == drawn
    at = remap(task, first, pages, pages + 1, MREMAP_MAYMOVE)
    assert at == TOP - (pages + 1) * PAGE


def test_no_room_at_the_end_of_the_address_space():
    """As if something were there."""
    task = machine().spawn()
    task.mmap(TOP - PAGE, PAGE, "rw", ANON | MAP_FIXED)
    assert refused(task.mremap, TOP - PAGE, PAGE, 2 * PAGE) == "ENOMEM"
    assert task.mremap(TOP - PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == TOP - 3 * PAGE


def test_the_whole_address_space_is_no_silly_length():
    """It is only too much: ENOMEM, where one page more would be EINVAL."""
    assert refused(mapped("W").mremap, page(0), PAGE, TOP, MREMAP_MAYMOVE) == "ENOMEM"


def test_a_part_grows_by_moving():
    """The end of the range is not the end of the VMA."""
    task = written("Wwww", "abcd")
    at = remap(task, 1, 2, 3, MREMAP_MAYMOVE)
    assert picture(task.mm).startswith("W..W")
    assert [task.load(at + n * PAGE) for n in range(3)] == [b"b", b"c", b"\0"]


# moving ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("before, first, pages, new_pages, to, after", [
    ("Ww......", 0, 2, 2, 4, "....Ww"), ("Ww......", 0, 2, 4, 4, "....Wwww"),
    ("Wwww....", 0, 4, 2, 4, "....Ww"), ("Wwww....", 1, 2, 2, 5, "W..W.Ww"),
    ("Ww..Rrrr", 0, 2, 2, 5, "....RWwR"), ("Ww..SsRr", 0, 2, 2, 5, "....SWwR"),
    ("Wwww....", 2, 2, 2, 0, "Ww"), ("WwRr....", 0, 4, 4, 4, "....WwRr"),
    ("W.R.....", 0, 3, 3, 4, "....W.R"), ("W.R.....", 0, 4, 4, 4, "....W.R"),
    ("WwRr....", 1, 2, 2, 4, "W..RWR"), ("WwRr....", 0, 8, 8, 8, "........WwRr"),
    ("Ss..Ff..", 0, 6, 6, 8, "........Ss..Ff"),
    ("Wwww....", 2, 7, 1, 9, "Ww.......W"),     # shrinks first, across the end
])
def test_move(before, first, pages, new_pages, to, after):
    """To the address that the caller names; what was there goes (MR05).  Several mappings move
    with the gaps between them, unless they change size."""
    task = mapped(before)
    assert remap(task, first, pages, new_pages, MOVE, to) == page(to)
    assert picture(task.mm) == after


def test_pages_move_along():
    """The same frames, no fault, and nothing is left behind (rule 11)."""
    task = written("Wwww....", "ab.d")
    before, faults = frames(task, 0, 4), task.minor_faults
    remap(task, 0, 4, 4, MOVE, 4)
    assert frames(task, 4, 4) == before and present(task) == "00001101"
    assert task.minor_faults == faults and letters(task, 0, 8) == "!!!!ab.d"


@pytest.mark.parametrize("flags", [MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP])
def test_large_private_memory_moves_to_the_border_of_a_table(flags):
    """thp_get_unmapped_area: whole 2 MiB of anonymous memory, if nobody says where."""
    task = machine(X86_64).spawn()
    start = task.mmap(FAR, 2 * MIB, "rw", ANON | MAP_FIXED)
    task.mmap(None, PAGE, "rw", ANON)
    if not flags & MREMAP_DONTUNMAP:
        task.mmap(FAR + 2 * MIB, PAGE, "r", ANON | MAP_FIXED)
    new = 2 * MIB if flags & MREMAP_DONTUNMAP else 4 * MIB
    assert task.mremap(start, 2 * MIB, new, flags) % (2 * MIB) == 0


def test_what_was_there_is_gone():
    """MR05: the target is replaced."""
    task = written("Ww..Ww", "ab..xy")
    remap(task, 0, 2, 2, MOVE, 4)
    assert letters(task, 4, 2) == "ab"


def test_a_larger_target_ends_in_zeros():
    """Only what was there moves."""
    task = written("Ww", "ab")
    remap(task, 0, 2, 4, MOVE, 4)
    assert letters(task, 4, 4) == "ab.."


def test_a_smaller_target_cuts_off():
    """The pages beyond are freed."""
    task = written("Wwww", "abcd")
    used = task.machine.memory.used
    remap(task, 0, 4, 2, MOVE, 4)
    assert letters(task, 4, 2) == "ab" and task.machine.memory.used == used - 2


def test_no_translation_of_the_old_place_is_left():
    """The TLB is flushed: the new owner of the address must not see the page."""
    task = written("W", "a")
    remap(task, 0, 1, 1, MOVE, 4)
    task.mmap(page(0), PAGE, "rw", ANON | MAP_FIXED)
    assert letters(task, 0, 1) == "."


def test_other_processes_do_not_move():
    """Each has its own list of VMAs."""
    task = written("W", "a")
    child = task.fork()
    remap(task, 0, 1, 1, MOVE, 4)
    assert letters(child, 0, 5) == "a!!!!" and letters(task, 0, 5) == "!!!!a"


def test_a_moved_mapping_of_a_file_shows_the_same_part():
    """And truncate finds it at its new place (i_mmap)."""
    task = mapped("..Ss")
    file_of(task).pwrite(b"c", 2 * PAGE)
    task.load(page(2))
    remap(task, 2, 2, 2, MOVE, 6)
    assert task.maps()[0].offset == 2 * PAGE and task.load(page(6)) == b"c"
    file_of(task).truncate(2 * PAGE)
    assert present(task) == "00000000"


def test_guards_move_along():
    """As every entry does."""
    task = mapped("Ww")
    task.madvise(page(1), PAGE, MADV_GUARD_INSTALL)
    remap(task, 0, 2, 2, MOVE, 4)
    assert letters(task, 4, 2) == ".!"


def test_locked_memory_stays_locked():
    """And what it grows by is faulted in."""
    task = mapped("Ww")
    task.mlock(page(0), 2 * PAGE)
    remap(task, 0, 2, 4, MREMAP_MAYMOVE)
    assert task.locked == 4 * PAGE and present(task, 4) == "1111"


# tables ----------------------------------------------------------------------------------------
@pytest.fixture
def big():
    return machine(X86_64, trace=False).spawn()


def test_a_move_of_a_part_makes_tables(big):
    """Entries move; the source's table goes when nothing is left in its span."""
    big.mmap(FAR, PAGE, "rw", ANON | MAP_FIXED)
    big.store(FAR, b"x")
    made = big.machine.counters["tables_allocated"]
    big.mremap(FAR, PAGE, PAGE, MOVE, FAR + GIB)
    assert big.tables == 3 and big.machine.counters["tables_allocated"] == made + 2


def test_target_tables_are_made_for_an_empty_source(big):
    """Wherever the source has a table, even one without entries (rule 11)."""
    big.mmap(FAR, 2 * PAGE, "rw", ANON | MAP_FIXED)
    big.store(FAR, b"x")
    big.mremap(FAR + PAGE, PAGE, PAGE, MOVE, FAR + 2 * GIB)
    assert big.tables == 5


def test_untouched_memory_moves_without_tables(big):
    """The source has none."""
    big.mmap(FAR, 4 * MIB, "rw", ANON | MAP_FIXED)
    big.mremap(FAR, 4 * MIB, 4 * MIB, MOVE, FAR + GIB)
    assert big.tables == 0


@pytest.mark.parametrize("size, to, level", [(2 * MIB, GIB, 1), (GIB, 512 * GIB, 2)])
def test_a_whole_table_moves(big, size, to, level):
    """Source and target are aligned alike: not one entry is touched (move_normal_pmd, _pud)."""
    big.mmap(FAR, size, "rw", ANON | MAP_FIXED)
    big.store(FAR, b"x"), big.store(FAR + size - PAGE, b"y")
    tables = big.machine.tables
    before = tables.table_at(big.mm.pgd, FAR, level)
    big.mremap(FAR, size, size, MOVE, FAR + to)
    assert tables.table_at(big.mm.pgd, FAR + to, level) is before
    assert big.load(FAR + to) + big.load(FAR + to + size - PAGE) == b"xy"


def test_where_tables_cannot_move_entries_do(big):
    """A page off."""
    big.mmap(FAR, 2 * MIB, "rw", ANON | MAP_FIXED)
    big.touch(FAR, 2 * MIB, write=True)
    frames = [row.pfn for row in big.pagemap(FAR, 2 * MIB)]
    big.mremap(FAR, 2 * MIB, 2 * MIB, MOVE, FAR + GIB + PAGE)
    assert [row.pfn for row in big.pagemap(FAR + GIB + PAGE, 2 * MIB)] == frames
    assert big.tables == 4              # two PTE tables now


@pytest.mark.parametrize("spare", range(3))
def test_out_of_memory_puts_everything_back(spare):
    """The move needs tables that cannot be had: ENOMEM, and the source is as it was."""
    task = machine(memory=(9 + spare) * PAGE).spawn()
    task.mmap(page(-2), 4 * PAGE, "rw", ANON | MAP_FIXED)       # 6 tables: 3 levels, each cut
    for n in (-1, 0):
        task.store(page(n), b"x")
    maps, pages, tables = task.maps(), task.pagemap(page(-2), 4 * PAGE), task.tables
    assert refused(task.mremap, page(-2), 4 * PAGE, 4 * PAGE, MOVE, 0x1000) == "ENOMEM"
    assert (task.maps(), task.pagemap(page(-2), 4 * PAGE), task.tables) == (maps, pages, tables)


# DONTUNMAP -------------------------------------------------------------------------------------
def test_dontunmap_leaves_an_empty_mapping():
    """MR10: the target reads what was there, the source zeros."""
    task = written("Wwwww", "aaaaa")
    assert remap(task, 0, 5, 5, STAY, 8) == page(8)
    assert picture(task.mm) == "Wwwww...Wwwww"
    assert letters(task, 0, 5) == "....." and letters(task, 8, 5) == "aaaaa"


def test_dontunmap_of_a_part():
    """MR13."""
    task = written("Wwwwwwwwww", "aaaaaaaaaa")
    remap(task, 5, 5, 5, STAY, 16)
    assert letters(task, 0, 10) == "aaaaa....." and letters(task, 16, 5) == "aaaaa"


@pytest.mark.parametrize("hint, at", [(8, page(8)), (0, TOP - 2 * PAGE), (None, TOP - 2 * PAGE)])
def test_without_fixed_the_address_is_a_hint(hint, at):
    """Taken if it is free; the source is in its own way."""
    task = written("Ww..", "ab")
    if hint == 0:
        task.mmap(page(4), 2 * PAGE, "r", ANON | MAP_FIXED)
        hint = 4
    got = remap(task, 0, 2, 2, STAY, hint)
    assert got == at and task.load(at) == b"a"


def test_dontunmap_with_fixed_replaces():
    """Both flags together."""
    task = written("Ww..Rr", "ab")
    remap(task, 0, 2, 2, STAY | MREMAP_FIXED, 4)
    assert picture(task.mm) == "Ww..Ww" and letters(task, 0, 6) == "..!!ab"


def test_dontunmap_of_a_shared_mapping():
    """Both show the file; the source faults again."""
    task = mapped("S")
    task.store(page(0), b"x")
    remap(task, 0, 1, 1, STAY, 4)
    assert present(task, 5) == "00001" and letters(task, 0, 1) == "x"


def test_the_lock_moves_with_dontunmap():
    """dontunmap_complete clears it at the source."""
    task = mapped("Ww")
    task.mlock(page(0), 2 * PAGE)
    remap(task, 0, 2, 2, STAY, 4)
    assert task.locked == 2 * PAGE and task.mm.find_vma(page(4)).flags & 0x2000


def test_the_source_forgets_that_it_was_written():
    """Its anon_vma is unlinked, so that fork copies nothing of it."""
    task = written("Ww", "ab")
    remap(task, 0, 2, 2, STAY, 4)
    source, target = task.mm.find_vma(page(0)), task.mm.find_vma(page(4))
    assert source.anon_vma is None and target.anon_vma is not None


# a length of 0: another mapping of the same pages ----------------------------------------------
def test_a_shared_mapping_can_be_doubled():
    """old_len 0 copies the mapping, without its entries."""
    task = mapped("Ss")
    task.store(page(0), b"x")
    assert remap(task, 0, 0, 2, MOVE, 4) == page(4)
    assert picture(task.mm) == "Ss..Ss" and present(task, 6) == "100000"
    assert letters(task, 4, 1) == "x"


def test_it_has_to_move():
    """ENOMEM without MREMAP_MAYMOVE: it cannot grow where it is."""
    assert refused(remap, mapped("Ss"), 0, 0, 2) == "ENOMEM"


@pytest.mark.parametrize("letter", ["W", "F"])
def test_a_private_mapping_cannot_be_doubled(letter):
    """It would be an unrelated one."""
    task = mapped(letter)
    assert refused(remap, task, 0, 0, 1, MREMAP_MAYMOVE) == "EINVAL"
    assert refused(remap, task, 0, 0, 1, MOVE, 4) == "EINVAL"


# errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("old, old_len, new_len, flags, new", [
    (page(0), PAGE, PAGE, 8, None), (page(0), PAGE, PAGE, 9, None), (page(9), PAGE, PAGE, 8, None),
    (page(0) + 1, PAGE, PAGE, 0, None), (page(9) + 1, PAGE, PAGE, 0, None),
    (page(0), PAGE, 0, 0, None), (page(0), PAGE, WORD - 1, 0, None),
    (page(0), PAGE, TOP + PAGE, MREMAP_MAYMOVE, None),
    (page(0), PAGE, PAGE, MREMAP_FIXED, page(8)),               # not MAYMOVE (MR05)
    (page(0), PAGE, PAGE, MREMAP_DONTUNMAP, page(8)),
    (page(0), PAGE, PAGE, MOVE, page(8) + 1),
    (page(0), PAGE, PAGE, MOVE, TOP), (page(0), PAGE, 2 * PAGE, MOVE, TOP - PAGE),
    (page(0), PAGE, 2 * PAGE, STAY, page(8)),                   # a new size
    (page(0), 2 * PAGE, 2 * PAGE, MOVE, page(1)), (page(2), 2 * PAGE, 2 * PAGE, MOVE, page(1)),
    (page(0), PAGE, PAGE, MOVE, page(0)), (page(9), 2 * PAGE, 2 * PAGE, MOVE, page(9)),
    (page(0), WORD >> 2, PAGE, 0, None),                        # the rest cannot be unmapped
])
def test_einval(old, old_len, new_len, flags, new):
    """check_mremap_params: before it is known what is mapped."""
    task = mapped("Wwww")
    assert refused(task.mremap, old, old_len, new_len, flags, new) == "EINVAL"
    assert picture(task.mm) == "Wwww"


@pytest.mark.parametrize("before, first, pages, new_pages, flags, to", [
    ("....Ww", 0, 1, 1, 0, None), ("....Ww", 0, 1, 2, MREMAP_MAYMOVE, None),   # MR03
    ("....Ww", 0, 1, 1, MOVE, 8), ("....Ww", 2, 4, 4, MOVE, 8),     # no gap at the start
    ("WwRr", 0, 4, 5, MREMAP_MAYMOVE, None), ("WwRr", 0, 4, 5, MOVE, 8),
    ("Ww....", 0, 3, 4, MREMAP_MAYMOVE, None), ("WwRr", 0, 4, 3, MOVE, 8)])
def test_efault(before, first, pages, new_pages, flags, to):
    """The source is not mapped, or is more than one mapping and changes its size."""
    task = mapped(before)
    assert refused(remap, task, first, pages, new_pages, flags, to) == "EFAULT"
    assert picture(task.mm) == before.rstrip(".")


def test_the_target_may_not_swallow_the_source():
    """It overlaps."""
    task = mapped("..Ww..")
    assert refused(remap, task, 2, 2, 6, MOVE, 0) == "EINVAL"


def test_an_old_length_wraps():
    """PAGE_ALIGN of the largest length is 0, which doubles a shared mapping."""
    task = mapped("Ss")
    assert task.mremap(page(0), WORD - 1, PAGE, MOVE, page(4)) == page(4)
    assert picture(task.mm) == "Ss..S"


def test_mistakes_of_the_caller():
    """MREMAP_FIXED without an address, and wrong types."""
    task = mapped("W")
    with pytest.raises(ValueError):
        remap(task, 0, 1, 1, MOVE)
    with pytest.raises(TypeError):
        task.mremap(page(0), 1.0, PAGE)
    with pytest.raises(ValueError):
        task.mremap(page(0), -PAGE, PAGE)


# hugetlb ---------------------------------------------------------------------------------------
HUGE = TINY.huge_size


@pytest.fixture
def huge():
    """Two huge pages at page(0), the first holds "a"."""
    task = machine(huge_pages=4).spawn()
    task.mmap(page(0), 2 * HUGE, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED)
    task.store(page(0), b"a")
    return task


@pytest.mark.parametrize("old, old_len, new_len, flags, new", [
    (0, 2 * HUGE, 3 * HUGE, 0, None), (0, 2 * HUGE, 3 * HUGE, MREMAP_MAYMOVE, None),
    (PAGE, HUGE, HUGE, 0, None), (0, 2 * HUGE, 2 * HUGE, MOVE, 4 * HUGE + PAGE),
    (0, HUGE, HUGE, STAY, 4 * HUGE)])
def test_a_hugetlb_mapping_refuses(huge, old, old_len, new_len, flags, new):
    """align_hugetlb: it never grows, and is cut between huge pages only; it cannot be left
    behind either (VM_DONTEXPAND)."""
    target = None if new is None else page(0) + new
    assert refused(huge.mremap, page(0) + old, old_len, new_len, flags, target) == "EINVAL"
    assert huge.load(page(0)) == b"a"


def test_a_hugetlb_mapping_moves_and_shrinks(huge):
    """In whole huge pages."""
    huge.mremap(page(0), 2 * HUGE, 2 * HUGE, MOVE, page(0) + 4 * HUGE)
    assert huge.load(page(0) + 4 * HUGE) == b"a"
    huge.mremap(page(0) + 4 * HUGE, 2 * HUGE, 1)
    row, = huge.maps()
    assert row.end - row.start == HUGE
