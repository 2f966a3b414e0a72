"""When VMAs are cut, and when two of them become one (mm/vma.c)."""
import pytest
from layout import ANON, PAGE, machine, mapped, page, picture

from mmlib import (
    MADV_DONTFORK,
    MADV_SEQUENTIAL,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_STACK,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_RDONLY,
    TINY,
)
from mmlib.mm import MM
from mmlib.vma import VM_EXEC, VM_READ, VM_SHARED, VM_WRITE, VMA

MOVE = MREMAP_MAYMOVE | MREMAP_FIXED


# one VMA ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("letter, perms", [
    ("N", "---p"), ("R", "r--p"), ("W", "rw-p"), ("X", "r-xp"), ("S", "rw-s"), ("T", "r--s"),
    ("G", "r--p")])
def test_perms_are_those_of_proc(letter, perms):
    """show_vma_header_prefix."""
    assert mapped(letter).maps()[0].perms == perms


def test_a_shared_mapping_of_a_read_only_file_is_shown_as_shared():
    """VM_MAYSHARE, though without VM_SHARED (do_mmap)."""
    task = machine().spawn()
    task.memfd("x")
    task.open("/dev/shm/f").truncate(PAGE)
    file = task.open("/dev/shm/f", O_RDONLY)
    task.mmap(page(0), PAGE, "r", MAP_SHARED | MAP_FIXED, file)
    vma = task.mm.vmas[0]
    assert (vma.perms, vma.shared) == ("r--s", False)


def test_index_is_the_page_of_the_file():
    """linear_page_index; without a file the page of the address space."""
    task = mapped("..SssWww")
    shared, private = task.mm.vmas
    assert shared.index(page(4)) == 4 and shared.offset == 2 * PAGE
    assert private.index(page(6)) == page(6) // PAGE and private.offset == 0


# the list --------------------------------------------------------------------------------------
@pytest.fixture
def mm():
    """An mm with the VMAs [2, 4) and [4, 6) and [8, 9)."""
    return mapped("..WwRr..W").mm


@pytest.mark.parametrize("n, found", [(0, None), (1, None), (2, 2), (3, 2), (4, 4), (5, 4),
                                      (6, None), (8, 8), (9, None)])
def test_find_vma(mm, n, found):
    """vma_lookup: the VMA that contains an address, or none."""
    vma = mm.find_vma(page(n) + 5)
    assert (vma and vma.start) == (found and page(found))


@pytest.mark.parametrize("start, end, found", [
    (0, 2, []), (0, 3, [2]), (3, 5, [2, 4]), (4, 5, [4]), (5, 9, [4, 8]), (6, 8, []),
    (0, 20, [2, 4, 8]), (3, 3, []), (9, 20, [])])
def test_vmas_in(mm, start, end, found):
    """Those that meet a range; an empty range meets none."""
    assert [vma.start for vma in mm.vmas_in(page(start), page(end))] == [page(n) for n in found]


@pytest.mark.parametrize("start, end, before, after", [
    (0, 2, None, 2), (6, 8, 4, 8), (7, 8, 4, 8), (9, 10, 8, None), (6, 7, 4, 8)])
def test_neighbours(mm, start, end, before, after):
    """What a new VMA could merge with, near or far."""
    low, high = mm.neighbours(page(start), page(end))
    assert (low and low.start) == (before and page(before))
    assert (high and high.start) == (after and page(after))


def test_the_highest_gap_is_taken():
    """vm_unmapped_area, top-down; the result is aligned to what was asked for."""
    task = mapped("W")
    mm, top = task.mm, TINY.mmap_base
    assert mm.unmapped_area(PAGE, PAGE) == top - PAGE
    task.mmap(top - 2 * PAGE, PAGE, "r", ANON | MAP_FIXED)
    assert mm.unmapped_area(PAGE, PAGE) == top - PAGE
    assert mm.unmapped_area(2 * PAGE, PAGE) == top - 4 * PAGE
    assert mm.unmapped_area(PAGE, 8 * PAGE) == top - 8 * PAGE


# cutting ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("first, pages, after", [
    (0, 2, "RrWwwwww"), (2, 3, "WwRrrWww"), (6, 2, "WwwwwwRr"), (0, 8, "Rrrrrrrr"),
    (3, 1, "WwwRWwww")])
def test_a_change_of_a_part_splits(first, pages, after):
    """vma_modify: two borders at most."""
    task = mapped("Wwwwwwww")
    task.mprotect(page(first), pages * PAGE, "r")
    assert picture(task.mm) == after


def test_the_parts_of_a_file_mapping_keep_their_places():
    """__split_vma moves pgoff on."""
    task = mapped("Ssssssss")
    task.mprotect(page(2), 3 * PAGE, "r")
    assert [row.offset // PAGE for row in task.maps()] == [0, 2, 5]


def test_every_part_is_a_mapper_of_the_file():
    """i_mmap: so that truncate finds it."""
    task = mapped("Ssssssss")
    mapping = task.mm.vmas[0].file.inode.mapping
    task.mprotect(page(2), 3 * PAGE, "r")
    assert set(mapping.i_mmap) == set(task.mm.vmas) and len(mapping.i_mmap) == 3
    task.munmap(page(0), 8 * PAGE)
    assert not mapping.i_mmap


# merging ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("before, prot, after", [
    ("WwRrWw", "rw", "Wwwwww"),         # both sides
    ("WwRrNn", "rw", "WwwwNn"),         # the lower
    ("NnRrWw", "rw", "NnWwww"),         # the upper
    ("NnRrNn", "rw", "NnWwNn"),         # neither
    ("..RrWw", "rw", "..Wwww"),
    ("WwRr..", "rw", "Wwww"),
])
def test_what_is_alike_again_merges(before, prot, after):
    """vma_merge_existing_range, with one neighbour or both."""
    task = mapped(before)
    task.mprotect(page(2), 2 * PAGE, prot)
    assert picture(task.mm) == after


@pytest.mark.parametrize("first, pages, after", [(2, 1, "WwwR"), (3, 1, "WwRW"), (2, 2, "Wwww")])
def test_a_part_goes_over_to_the_neighbour(first, pages, after):
    """The border moves; a part that touches no neighbour stands alone."""
    task = mapped("WwRr")
    task.mprotect(page(first), pages * PAGE, "rw")
    assert picture(task.mm) == after


@pytest.mark.parametrize("before, after", [
    ("Ww.Ww", "Wwwww"), ("Ww.Rr", "WwwRr"), ("Rr.Ww", "RrWww"), ("Rr.Rr", "RrWRr"), ("..", "..W")])
def test_a_new_mapping_joins_its_neighbours(before, after):
    """vma_merge_new_range."""
    task = mapped(before)
    task.mmap(page(2), PAGE, "rw", ANON | MAP_FIXED)
    assert picture(task.mm) == after


def test_a_filled_hole_of_a_file_mapping_merges():
    """Where the offsets go on."""
    task = mapped("Ss.Ss")
    task.mmap(page(2), PAGE, "rw", MAP_SHARED | MAP_FIXED, task.files[0], 2 * PAGE)
    assert picture(task.mm) == "Sssss" and task.maps()[0].offset == 0


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_other_places_of_the_file_do_not_merge(offset):
    """Neighbours in memory only."""
    task = mapped("Ss")
    task.mmap(page(2), PAGE, "rw", MAP_SHARED | MAP_FIXED, task.files[0], offset * PAGE)
    assert picture(task.mm) == "SsS"


def test_two_open_files_do_not_merge():
    """vm_file must be the same struct file, not only the same inode."""
    task = machine().spawn()
    for n in (0, 1):
        file = task.open("/dev/shm/f")
        task.mmap(page(n), PAGE, "rw", MAP_SHARED | MAP_FIXED, file, n * PAGE)
    assert picture(task.mm) == "SS"


def test_each_shared_anonymous_mapping_is_an_object():
    """shmem_zero_setup makes a file each time: they look alike and stay apart."""
    task = machine().spawn()
    for n in (0, 1):
        task.mmap(page(n), PAGE, "rw", ANON ^ MAP_PRIVATE ^ MAP_SHARED | MAP_FIXED)
    assert picture(task.mm) == "SS"
    assert [row.backing for row in task.maps()] == ["shm0", "shm1"]


@pytest.mark.parametrize("flag", [MAP_NORESERVE, MAP_STACK])
def test_other_flags_do_not_merge(flag):
    """MAP_NORESERVE next to ordinary memory; MAP_STACK is VM_NOHUGEPAGE (calc_vm_flag_bits)."""
    task = mapped("Ww")
    task.mmap(page(2), PAGE, "rw", ANON | MAP_FIXED | flag)
    assert picture(task.mm) == "WwW"
    task.mmap(page(3), PAGE, "rw", ANON | MAP_FIXED | flag)
    assert picture(task.mm) == "WwWw"


@pytest.mark.parametrize("advice", [MADV_DONTFORK, MADV_SEQUENTIAL])
def test_advice_that_is_a_flag_splits(advice):
    """vm_flags differ, though /proc does not show it."""
    task = mapped("Wwww")
    task.madvise(page(1), PAGE, advice)
    assert picture(task.mm) == "WWWw"


# anon_vma: what private pages have to do with it -----------------------------------------------
def test_neighbours_that_faulted_apart_do_not_merge():
    """Each has its anon_vma; what is put between them joins one side only."""
    task = mapped("W.W")
    task.store(page(0), b"a")
    task.store(page(2), b"b")
    task.mmap(page(1), PAGE, "rw", ANON | MAP_FIXED)
    assert picture(task.mm) == "WwW"


def test_written_memory_merges_with_unwritten():
    """One anon_vma is enough: the other has none yet, and takes it over."""
    task = mapped("WR")
    task.store(page(0), b"a")
    task.mprotect(page(1), PAGE, "rw")
    task.store(page(1), b"b")
    assert picture(task.mm) == "Ww"
    task = mapped("NW")
    task.store(page(1), b"b")
    task.mprotect(page(0), PAGE, "rw")
    task.store(page(0), b"a")
    assert picture(task.mm) == "Ww"


def test_protections_that_differ_share_an_anon_vma():
    """Both are written to before they are alike (find_mergeable_anon_vma)."""
    task = mapped("W")
    task.mmap(page(1), PAGE, "rwx", ANON | MAP_FIXED)
    task.store(page(0), b"a"), task.store(page(1), b"b")
    task.mprotect(page(1), PAGE, "rw")
    assert picture(task.mm) == "Ww"


def test_an_anon_vma_is_kept():
    """A second page of the VMA brings no other (anon_vma_prepare)."""
    task = mapped("Wwwww")
    task.store(page(0), b"a")
    task.munmap(page(2), PAGE)
    task.store(page(1), b"b")
    task.mmap(page(2), PAGE, "rw", ANON | MAP_FIXED)
    assert picture(task.mm) == "Wwwww"


@pytest.mark.parametrize("first, second", [(0, 2), (2, 0)])
def test_made_alike_between_two_that_faulted_apart(first, second):
    """It goes to the lower one: the two have an anon_vma each."""
    task = mapped("WRW")
    task.store(page(first), b"a"), task.store(page(second), b"b")
    task.mprotect(page(1), PAGE, "rw")
    assert picture(task.mm) == "WwW"


def test_a_refilled_hole_merges():
    """The new VMA has no anon_vma, so it takes the neighbours'."""
    task = mapped("Www")
    task.touch(page(0), 3 * PAGE, write=True)
    task.munmap(page(1), PAGE)
    task.mmap(page(1), PAGE, "rw", ANON | MAP_FIXED)
    assert picture(task.mm) == "Www"


def test_a_refilled_hole_in_a_child_stays_apart():
    """is_mergeable_anon_vma: pages of the parent may be in the neighbours; in the parent the
    same hole closes."""
    task = mapped("Www")
    task.touch(page(0), 3 * PAGE, write=True)
    child = task.fork()
    for each in (task, child):
        each.munmap(page(1), PAGE)
        each.mmap(page(1), PAGE, "rw", ANON | MAP_FIXED)
    assert (picture(task.mm), picture(child.mm)) == ("Www", "WWW")


def test_written_memory_made_readable_stays_apart_from_fresh():
    """It keeps VM_ACCOUNT (mprotect_fixup)."""
    task = mapped("WR")
    task.store(page(0), b"a")
    task.mprotect(page(0), PAGE, "r")
    assert picture(task.mm) == "RR"


def test_unwritten_memory_made_readable_merges_with_fresh():
    """Without an anon_vma VM_ACCOUNT is taken back."""
    task = mapped("WR")
    task.mprotect(page(0), PAGE, "r")
    assert picture(task.mm) == "Rr"


def test_written_memory_that_moved_stays_apart():
    """Its pgoff is that of the place where it was first written (copy_vma)."""
    task = mapped("W..W")
    task.store(page(3), b"a")
    task.mremap(page(3), PAGE, PAGE, MOVE, page(1))
    assert picture(task.mm) == "WW"


def test_unwritten_memory_that_moved_merges():
    """Its pgoff follows the address."""
    task = mapped("W..W")
    task.mremap(page(3), PAGE, PAGE, MOVE, page(1))
    assert picture(task.mm) == "Ww"


def test_the_merged_vma_keeps_an_anon_vma():
    """dup_anon_vma: else fork would not copy the pages."""
    task = mapped("W.W")
    task.store(page(2), b"b")
    task.mmap(page(1), PAGE, "rw", ANON | MAP_FIXED)
    task.mprotect(page(0), 3 * PAGE, "rw")
    assert picture(task.mm) == "Www" and task.mm.vmas[0].anon_vma is not None
    assert task.fork().load(page(2)) == b"b"


# page_prot -------------------------------------------------------------------------------------
@pytest.mark.parametrize("flags, rw, nx", [
    (VM_READ | VM_WRITE | VM_SHARED, True, True), (VM_READ | VM_WRITE, False, True),
    (VM_READ | VM_SHARED, False, True), (VM_READ | VM_EXEC, False, False)])
def test_a_fresh_entry_is_writable_only_if_shared(flags, rw, nx):
    """vm_get_page_prot: a private mapping waits for the fault that copies."""
    bits = VMA(None, 0, PAGE, flags, 0).page_prot()
    assert (bool(bits & 2), bool(bits >> 63)) == (rw, nx)


def test_a_list_is_of_one_process():
    """Two mms share nothing."""
    world = machine()
    a, b = world.spawn(), world.spawn()
    a.mmap(page(0), PAGE, "rw", ANON | MAP_FIXED)
    assert isinstance(b.mm, MM) and b.mm.vmas == [] and b.maps() == ()
