"""madvise: what a process tells the kernel about its memory."""
import pytest
from layout import ANON, PAGE, file_of, machine, mapped, page, picture, present, refused

import mmlib
from mmlib import (
    MADV_COLD,
    MADV_COLLAPSE,
    MADV_DODUMP,
    MADV_DOFORK,
    MADV_DONTDUMP,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_HUGEPAGE,
    MADV_HWPOISON,
    MADV_KEEPONFORK,
    MADV_MERGEABLE,
    MADV_NOHUGEPAGE,
    MADV_NORMAL,
    MADV_NOSHARE_TABLES,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_SHARE_TABLES,
    MADV_SOFT_OFFLINE,
    MADV_UNMERGEABLE,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_RDONLY,
    TINY,
    X86_64,
    BusError,
    FileTableCache,
    Segfault,
)
from mmlib.geometry import A, D

FAR, MIB = 0x200000000000, 1 << 20
WORD = 1 << 64
LEAVE = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP
PAIRS = [(MADV_RANDOM, MADV_NORMAL), (MADV_SEQUENTIAL, MADV_NORMAL), (MADV_DONTFORK, MADV_DOFORK),
         (MADV_WIPEONFORK, MADV_KEEPONFORK), (MADV_DONTDUMP, MADV_DODUMP),
         (MADV_NOSHARE_TABLES, MADV_SHARE_TABLES), (MADV_MERGEABLE, MADV_UNMERGEABLE)]
ADVICE = sorted(value for name, value in vars(mmlib).items()
                if name.startswith("MADV_")
                and value not in (MADV_COLLAPSE, MADV_HWPOISON, MADV_SOFT_OFFLINE))


def advise(task, first, pages, advice):
    task.madvise(page(first), pages * PAGE, advice)


def faults(task, call, *arguments) -> int:
    before = task.minor_faults
    call(*arguments)
    return task.minor_faults - before


def filled(drawing):
    """`mapped`, with every page that allows it stored to; the file is full of "f"."""
    task = mapped(drawing)
    file_of(task).pwrite(b"f" * PAGE * len(drawing), 0)
    for n, letter in enumerate(drawing):
        if letter.upper() in "WSF":
            task.store(page(n), b"x")
    return task


# checks common to all --------------------------------------------------------------------------
@pytest.mark.parametrize("advice", ADVICE)
def test_the_order_of_checks(advice):
    """is_valid_madvise, then an empty range, then what is mapped."""
    task = mapped("Ww")
    assert refused(task.madvise, page(0) + 1, PAGE, advice) == "EINVAL"
    assert refused(task.madvise, page(9) + 1, 0, advice) == "EINVAL"
    assert refused(task.madvise, page(0), WORD - 1, advice) == "EINVAL"
    assert refused(task.madvise, WORD - PAGE, PAGE, advice) == "EINVAL"
    task.madvise(page(9), 0, advice)
    assert refused(advise, task, 9, 1, advice) == "ENOMEM"
    assert refused(task.madvise, TINY.task_size, PAGE, advice) == "ENOMEM"


@pytest.mark.parametrize("advice", [5, 6, 7, 26, 99, 104, -1, 1 << 40, MADV_COLLAPSE,
                                    MADV_HWPOISON, MADV_SOFT_OFFLINE])
@pytest.mark.parametrize("first, pages", [(0, 1), (0, 0), (9, 1)])
def test_unknown_advice(advice, first, pages):
    """EINVAL, whatever the range is: even an empty one."""
    assert refused(advise, mapped("Ww"), first, pages, advice) == "EINVAL"


def test_mistakes_of_the_caller():
    """A wrong type."""
    with pytest.raises(TypeError):
        mapped("W").madvise(page(0), PAGE, "MADV_DONTNEED")


@pytest.mark.parametrize("before", ["Ww..Ww", "..WwWw", "WwWw.."])
def test_over_a_hole_all_that_is_mapped_is_done(before):
    """ENOMEM at the end (rule 12, madvise_walk_vmas)."""
    task = mapped(before.replace("WwWw", "Wwww"))
    for vma in task.mm.vmas:
        task.touch(vma.start, vma.end - vma.start, write=True)
    assert refused(advise, task, 0, 6, MADV_DONTNEED) == "ENOMEM"
    assert present(task) == "00000000"


# MADV_DONTNEED ---------------------------------------------------------------------------------
def test_private_pages_are_gone():
    """MA01: they read as zeros, and their frames are free."""
    task = filled("Ww")
    used = task.machine.memory.used
    advise(task, 0, 2, MADV_DONTNEED)
    assert task.machine.memory.used == used - 2 and task.rss == 0
    assert task.load(page(0)) + task.load(page(1)) == bytes(2)


def test_shared_pages_survive_in_their_file():
    """MA02: the entries are dropped, the data is there."""
    task = filled("S")
    advise(task, 0, 1, MADV_DONTNEED)
    assert present(task, 1) == "0" and task.load(page(0)) == b"x"


def test_a_private_copy_is_lost():
    """The file's page shows again."""
    task = filled("F")
    advise(task, 0, 1, MADV_DONTNEED)
    assert task.load(page(0)) == b"f"


def test_no_vma_is_cut():
    """It is about pages, not about what is mapped."""
    task = filled("Wwww")
    advise(task, 1, 2, MADV_DONTNEED)
    assert picture(task.mm) == "Wwww" and present(task, 4) == "1001"


def test_no_translation_of_before_is_left():
    """The TLB is flushed."""
    task = filled("W")
    advise(task, 0, 1, MADV_DONTNEED)
    assert faults(task, task.load, page(0)) == 1


def test_a_child_keeps_its_pages():
    """Each process drops its own entries."""
    task = filled("W")
    child = task.fork()
    advise(task, 0, 1, MADV_DONTNEED)
    assert (task.load(page(0)), child.load(page(0))) == (b"\0", b"x")


@pytest.mark.parametrize("letter", ["W", "S"])
def test_prot_none_pages_can_be_dropped(letter):
    """PT08: present under PROT_NONE, absent after."""
    task = filled(letter)
    task.mprotect(page(0), PAGE, "")
    assert present(task, 1) == "1"
    advise(task, 0, 1, MADV_DONTNEED)
    assert present(task, 1) == "0"


@pytest.mark.parametrize("pieces, tables", [
    ([(0, 2 * MIB)], 3), ([(0, 4 * MIB)], 2), ([(PAGE, 4 * MIB - PAGE)], 3),
    ([(0, MIB), (MIB, MIB)], 4), ([(MIB, 2 * MIB)], 4)])
def test_a_whole_pte_table_is_freed(pieces, tables):
    """Where one call covers its 2 MiB; PMD and PUD tables stay (mm/pt_reclaim.c)."""
    task = machine(X86_64, trace=False).spawn()
    task.mmap(FAR, 4 * MIB, "rw", ANON | MAP_FIXED)
    task.touch(FAR, 4 * MIB, write=True)
    for start, size in pieces:
        task.madvise(FAR + start, size, MADV_DONTNEED)
    assert task.tables == tables


def test_a_pte_table_over_two_vmas_stays():
    """reclaim_pt_is_enabled looks at one VMA's part of the range at a time."""
    task = filled("WwSs")
    before = task.tables
    advise(task, 0, 4, MADV_DONTNEED)
    assert task.tables == before


@pytest.mark.parametrize("advice, code", [
    (MADV_DONTNEED, "EINVAL"), (MADV_FREE, "EINVAL"), (MADV_COLD, "EINVAL"),
    (MADV_PAGEOUT, "EINVAL"), (MADV_GUARD_INSTALL, "EINVAL")])
def test_locked_memory_is_not_given_away(advice, code):
    """can_madv_lru_vma, madvise_dontneed_free_valid_vma."""
    task = filled("Ww")
    task.mlock(page(0), 2 * PAGE)
    assert refused(advise, task, 0, 2, advice) == code
    assert present(task, 2) == "11"


def test_unless_one_insists():
    """MADV_DONTNEED_LOCKED."""
    task = filled("Ww")
    task.mlock(page(0), 2 * PAGE)
    advise(task, 0, 1, MADV_DONTNEED_LOCKED)
    assert present(task, 2) == "01" and task.locked == 2 * PAGE


# MADV_FREE -------------------------------------------------------------------------------------
def test_free_keeps_the_pages_until_memory_is_short():
    """They are clean now; this machine never takes them."""
    task = filled("W")
    advise(task, 0, 1, MADV_FREE)
    entry = task.machine.tables.lookup(task.mm.pgd, page(0))[2]
    assert not entry & (A | D) and task.load(page(0)) == b"x"
    task.store(page(0), b"y")
    assert task.machine.tables.lookup(task.mm.pgd, page(0))[2] & D


@pytest.mark.parametrize("letter", ["S", "F", "T", "G"])
def test_free_is_for_anonymous_memory(letter):
    """vma_is_anonymous."""
    assert refused(advise, mapped(letter), 0, 1, MADV_FREE) == "EINVAL"


# MADV_REMOVE -----------------------------------------------------------------------------------
def test_remove_punches_a_hole():
    """Into the file, so that every mapper sees zeros."""
    task = filled("Ssss")
    other = task.machine.spawn()
    other.mmap(page(0), 4 * PAGE, "r", MAP_SHARED | MAP_FIXED, file_of(task))
    other.touch(page(0), 4 * PAGE)
    advise(task, 1, 2, MADV_REMOVE)
    assert present(task, 4) == present(other, 4) == "1001"
    assert [other.load(page(n)) for n in range(4)] == [b"x", b"\0", b"\0", b"x"]
    assert file_of(task).size == 4 * PAGE


@pytest.mark.parametrize("letter, code", [("W", "EINVAL"), ("F", "EACCES"), ("G", "EACCES")])
def test_remove_is_for_shared_memory(letter, code):
    """madvise_remove: a file, and a mapping that may store to it."""
    assert refused(advise, mapped(letter), 0, 1, MADV_REMOVE) == code


def test_remove_needs_a_writable_file():
    """VM_MAYWRITE; the protection of the moment does not matter."""
    task = filled("T")
    advise(task, 0, 1, MADV_REMOVE)
    assert file_of(task).pread(1, 0) == b"\0"
    task.open("/dev/shm/f").truncate(PAGE)
    task.mmap(page(4), PAGE, "r", MAP_SHARED | MAP_FIXED, task.open("/dev/shm/f", O_RDONLY))
    assert refused(advise, task, 4, 1, MADV_REMOVE) == "EACCES"


def test_remove_refuses_locked_memory():
    """MA04."""
    task = filled("Ss")
    task.mlock(page(0), 2 * PAGE)
    assert refused(advise, task, 0, 2, MADV_REMOVE) == "EINVAL"


# flags of a mapping ----------------------------------------------------------------------------
@pytest.mark.parametrize("on, off", PAIRS)
def test_a_flag_cuts_and_its_opposite_merges(on, off):
    """madvise_update_vma."""
    task = mapped("Wwwwww")
    advise(task, 2, 2, on)
    assert picture(task.mm) == "WwWwWw"
    advise(task, 2, 2, on)
    advise(task, 0, 6, off)
    assert picture(task.mm) == "Wwwwww"


def test_what_is_so_already_costs_nothing():
    """No table that others share is given up for it."""
    world = machine(sharing=FileTableCache())
    task = world.spawn()
    task.mmap(page(0), 64 * 1024, "rw", MAP_SHARED | MAP_FIXED, world.memfd("f", 64 * 1024))
    task.touch(page(0), 64 * 1024, write=True)
    advise(task, 1, 1, MADV_NORMAL)
    assert task.rss == 64 * 1024
    advise(task, 1, 1, MADV_RANDOM)
    assert task.rss < 64 * 1024


@pytest.mark.parametrize("first, second", [(MADV_RANDOM, MADV_SEQUENTIAL),
                                           (MADV_HUGEPAGE, MADV_NOHUGEPAGE)])
def test_one_flag_replaces_the_other(first, second):
    """They exclude each other."""
    task = mapped("Ww")
    advise(task, 0, 2, first), advise(task, 0, 1, second), advise(task, 1, 1, second)
    assert picture(task.mm) == "Ww"


def test_dontfork():
    """The child has no such mapping; DOFORK takes it back."""
    task = filled("Wwww")
    advise(task, 1, 2, MADV_DONTFORK)
    child = task.fork()
    assert picture(child.mm) == "W..W"
    with pytest.raises(Segfault):
        child.load(page(1))
    advise(task, 0, 4, MADV_DOFORK)
    assert picture(task.fork().mm) == "Wwww"


def test_wipeonfork():
    """The child has the mapping, without its pages and without its tables."""
    task = filled("Wwww")
    advise(task, 0, 4, MADV_WIPEONFORK)
    child = task.fork()
    assert picture(child.mm) == "Wwww" and child.tables == 0
    assert child.load(page(0)) == b"\0" and task.load(page(0)) == b"x"


@pytest.mark.parametrize("letter", ["S", "F", "T"])
def test_wipeonfork_is_for_private_anonymous_memory(letter):
    """EINVAL; its opposite is taken."""
    task = mapped(letter)
    assert refused(advise, task, 0, 1, MADV_WIPEONFORK) == "EINVAL"
    advise(task, 0, 1, MADV_KEEPONFORK)


@pytest.mark.parametrize("letter, after", [("W", "WWw"), ("F", "FFf"), ("S", "Sss")])
def test_mergeable_passes_shared_memory_over(letter, after):
    """vma_ksm_compatible: no error, and no flag."""
    task = mapped(letter + 2 * letter.lower())
    advise(task, 0, 1, MADV_MERGEABLE)
    assert picture(task.mm) == after


@pytest.mark.parametrize("advice", [MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT])
def test_advice_without_effect(advice):
    """There is no swap, no LRU, and nothing to read ahead."""
    task = filled("WwSs")
    advise(task, 0, 4, advice)
    assert (picture(task.mm), present(task, 4)) == ("WwSs", "1111")


# MADV_POPULATE_READ and _WRITE -----------------------------------------------------------------
@pytest.mark.parametrize("drawing, advice, rss", [
    ("Wwww", MADV_POPULATE_READ, 0), ("Wwww", MADV_POPULATE_WRITE, 4),
    ("Rrrr", MADV_POPULATE_READ, 0), ("Ssss", MADV_POPULATE_READ, 4),
    ("Ssss", MADV_POPULATE_WRITE, 4), ("Ffff", MADV_POPULATE_WRITE, 4),
    ("WwRr", MADV_POPULATE_READ, 0)])
def test_populate(drawing, advice, rss):
    """MA07: every page is there; faults are billed, exceptions were none."""
    task = mapped(drawing)
    assert faults(task, advise, task, 0, 4, advice) == 4
    assert (present(task, 4), task.rss, task.page_faults) == ("1111", rss * PAGE, 0)


def test_populate_write_over_zero_pages_counts_again():
    """Each gets a page of its own."""
    task = mapped("Wwww")
    advise(task, 0, 4, MADV_POPULATE_READ)
    assert faults(task, advise, task, 0, 4, MADV_POPULATE_WRITE) == 4
    assert faults(task, advise, task, 0, 4, MADV_POPULATE_WRITE) == 0


@pytest.mark.parametrize("drawing, advice", [
    ("R", MADV_POPULATE_WRITE), ("N", MADV_POPULATE_WRITE), ("N", MADV_POPULATE_READ),
    ("T", MADV_POPULATE_WRITE)])
def test_populate_obeys_the_protection(drawing, advice):
    """MA05: EINVAL (faultin_page_range, check_vma_flags)."""
    assert refused(advise, mapped(drawing), 0, 1, advice) == "EINVAL"


@pytest.mark.parametrize("advice", [MADV_POPULATE_READ, MADV_POPULATE_WRITE])
@pytest.mark.parametrize("drawing, done", [("Ww.W", "1100"), (".Www", "0000"), ("Www.", "1110")])
def test_populate_stops_at_a_hole(drawing, done, advice):
    """MA06: ENOMEM; what comes before it is done."""
    task = mapped(drawing)
    assert refused(advise, task, 0, 4, advice) == "ENOMEM"
    assert present(task, 4) == done


@pytest.mark.parametrize("spoil", [lambda task: file_of(task).truncate(PAGE),
                                   lambda task: advise(task, 1, 1, MADV_GUARD_INSTALL)])
def test_populate_of_what_cannot_be_had(spoil):
    """EFAULT: beyond the end of the file, or guarded."""
    task = mapped("Ss")
    spoil(task)
    assert refused(advise, task, 0, 2, MADV_POPULATE_WRITE) == "EFAULT"
    assert present(task, 2) == "10"


# guard regions ---------------------------------------------------------------------------------
@pytest.mark.parametrize("letter", ["W", "S", "F", "T"])
def test_guards_forbid_every_access(letter):
    """MA08: SIGSEGV, and no VMA was cut; once removed, the memory is fresh."""
    task = filled(letter + 3 * letter.lower())
    advise(task, 1, 2, MADV_GUARD_INSTALL)
    assert picture(task.mm) == letter + 3 * letter.lower()
    for access in (task.load, lambda addr: task.store(addr, b"y")):
        with pytest.raises(Segfault) as caught:
            access(page(1))
        assert not isinstance(caught.value, BusError)
    advise(task, 0, 4, MADV_GUARD_REMOVE)
    fresh = {"W": b"\0", "S": b"x", "F": b"f", "T": b"f"}[letter]
    assert task.load(page(1)) == fresh


def test_guards_are_no_pages():
    """What was there is gone, and pagemap shows nothing."""
    task = filled("Wwww")
    advise(task, 1, 2, MADV_GUARD_INSTALL)
    assert present(task, 4) == "1001" and task.rss == 2 * PAGE


def test_guards_make_tables():
    """The markers are entries."""
    task = mapped("Wwww")
    advise(task, 0, 1, MADV_GUARD_INSTALL)
    assert task.tables == 3


def test_a_child_inherits_guards():
    """The VMA gets an anon_vma, so that fork copies its entries."""
    task = mapped("Ww")
    advise(task, 1, 1, MADV_GUARD_INSTALL)
    child = task.fork()
    with pytest.raises(Segfault):
        child.load(page(1))


def test_guards_survive_dontneed_and_go_with_munmap():
    """zap_skip_check_mapping; ZAP_FLAG_DROP_MARKER."""
    task = mapped("Ww")
    advise(task, 0, 2, MADV_GUARD_INSTALL)
    advise(task, 0, 2, MADV_DONTNEED)
    with pytest.raises(Segfault):
        task.load(page(0))
    task.mmap(page(0), 2 * PAGE, "rw", ANON | MAP_FIXED)
    assert task.load(page(0)) == b"\0"


def test_guards_survive_mprotect():
    """They are in the entries, not in the VMA."""
    task = mapped("Ww")
    advise(task, 1, 1, MADV_GUARD_INSTALL)
    task.mprotect(page(0), 2 * PAGE, ""), task.mprotect(page(0), 2 * PAGE, "rw")
    task.store(page(0), b"x")
    with pytest.raises(Segfault):
        task.store(page(1), b"x")


def test_removing_guards_leaves_pages():
    """Only markers are taken out."""
    task = filled("Wwww")
    advise(task, 2, 1, MADV_GUARD_INSTALL)
    advise(task, 0, 4, MADV_GUARD_REMOVE)
    assert present(task, 4) == "1101" and task.load(page(0)) == b"x"


def test_a_private_mapping_of_a_file_can_be_guarded():
    """Since Linux 6.15 any mapping that is not locked, huge or special."""
    task = machine().spawn()
    file = task.memfd("f", 2 * PAGE)
    task.mmap(page(0), 2 * PAGE, "r", MAP_PRIVATE | MAP_FIXED, file)
    advise(task, 0, 1, MADV_GUARD_INSTALL)
    with pytest.raises(Segfault):
        task.load(page(0))
    assert task.load(page(1)) == b"\0"


def test_memory_that_ever_had_a_guard_is_copied_by_fork():
    """VM_MAYBE_GUARD stays where the markers were taken away, and in what is split off."""
    task = machine().spawn()
    task.mmap(page(0), 4 * PAGE, "rw", ANON | MAP_FIXED)
    advise(task, 0, 1, MADV_GUARD_INSTALL), advise(task, 0, 1, MADV_GUARD_REMOVE)
    task.mremap(page(0), 4 * PAGE, 4 * PAGE, LEAVE, page(16))
    task.munmap(page(16), 4 * PAGE)
    task.munmap(page(0), 2 * PAGE)
    assert task.mm.vmas[0].anon_vma is None
    assert task.fork().tables == task.tables > 0


def test_a_guarded_mapping_merges_with_one_that_never_was():
    """VM_STICKY: the flag is no hindrance, and holds for all of it."""
    task = machine().spawn()
    task.mmap(page(0), 2 * PAGE, "rw", ANON | MAP_FIXED)
    advise(task, 0, 1, MADV_GUARD_INSTALL)
    task.mmap(page(2), 2 * PAGE, "rw", ANON | MAP_FIXED)
    assert len(task.mm.vmas) == 1


def test_guards_give_a_mapping_of_a_file_no_private_pages():
    """madvise_guard_install: an anon_vma for anonymous memory alone; fork copies all the same."""
    task = machine().spawn()
    task.mmap(page(0), 2 * PAGE, "r", MAP_PRIVATE | MAP_FIXED, task.memfd("f", 2 * PAGE))
    advise(task, 0, 1, MADV_GUARD_INSTALL)
    assert task.mm.vmas[0].anon_vma is None and task.fork().tables == 3
