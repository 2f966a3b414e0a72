"""mmap, and the calls about what is mapped: mlock, munlock, msync, mincore."""
import pytest
from layout import ANON, PAGE, file_of, machine, mapped, page, picture, present, refused

from mmlib import (
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_DENYWRITE,
    MAP_EXECUTABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_RDONLY,
    O_WRONLY,
    TINY,
    X86_64,
    BusError,
    Segfault,
)

TOP = TINY.task_size
SHARED_ANON = MAP_SHARED | MAP_ANONYMOUS
WORD = 1 << 64


@pytest.fixture
def task():
    return machine().spawn("a")


@pytest.fixture
def file(task):
    """Four pages with their numbers, counted from one."""
    file = task.open("/dev/shm/f")
    file.pwrite(b"".join(bytes([n]) * PAGE for n in (1, 2, 3, 4)), 0)
    return file


# what it makes ---------------------------------------------------------------------------------
def test_mmap_makes_a_vma_and_no_table(task):
    """Tables and pages come with faults."""
    start = task.mmap(page(0), 4 * PAGE, "rw", ANON | MAP_FIXED)
    assert start == page(0) and picture(task.mm) == "Wwww"
    assert (task.tables, task.rss, task.minor_faults) == (0, 0, 0)


def test_a_length_is_rounded_up(task):
    """To whole pages."""
    task.mmap(page(0), PAGE + 1, "r", ANON | MAP_FIXED)
    assert picture(task.mm) == "Rr"


@pytest.mark.parametrize("prot, perms", [
    ("", "---p"), ("r", "r--p"), ("w", "-w-p"), ("rw", "rw-p"), ("x", "--xp"), ("rwx", "rwxp"),
    (3, "rw-p"), (0, "---p")])
def test_protection_by_letters_or_bits(task, prot, perms):
    """Both spell the same."""
    task.mmap(page(0), PAGE, prot, ANON | MAP_FIXED)
    assert task.maps()[0].perms == perms


def test_unknown_protection_bits_are_ignored(task):
    """calc_vm_prot_bits takes what it knows; mprotect is stricter."""
    task.mmap(page(0), PAGE, 0x1000018 | 1, ANON | MAP_FIXED)
    assert picture(task.mm) == "R"


@pytest.mark.parametrize("flag", [MAP_NORESERVE, MAP_NONBLOCK, MAP_STACK, MAP_DENYWRITE,
                                  MAP_EXECUTABLE, MAP_GROWSDOWN, MAP_SYNC, 1 << 25])
def test_flags_that_change_nothing_one_can_see(task, flag):
    """MAP_PRIVATE ignores what it does not know."""
    task.mmap(page(0), PAGE, "rw", ANON | MAP_FIXED | flag)
    assert picture(task.mm) == "W"
    task.store(page(0), b"x")


@pytest.mark.parametrize("more, there", [(MAP_POPULATE, True), (MAP_POPULATE | MAP_NONBLOCK, False),
                                         (MAP_LOCKED | MAP_NONBLOCK, True)])
def test_nonblock_populates_nothing(task, more, there):
    """do_mmap: MAP_NONBLOCK takes MAP_POPULATE back, but no lock."""
    task.mmap(page(0), PAGE, "rw", ANON | MAP_FIXED | more)
    assert task.pagemap(page(0), PAGE)[0].present == there


def test_with_map_anonymous_a_file_is_ignored(task, file):
    """And so is the offset, if it is whole pages."""
    task.mmap(page(0), PAGE, "r", ANON | MAP_FIXED, file, (1 << 63) + PAGE)
    assert task.load(page(0)) == b"\0" and task.maps()[0].backing == "anon"


def test_an_offset_chooses_the_page(task, file):
    """In bytes."""
    task.mmap(page(0), 2 * PAGE, "r", MAP_PRIVATE | MAP_FIXED, file, 2 * PAGE)
    assert task.load(page(0)) + task.load(page(1)) == b"\3\4"


def test_a_read_only_file_can_be_mapped_for_reading(task, file):
    """MM02."""
    task.mmap(page(0), PAGE, "r", MAP_SHARED | MAP_FIXED, task.open("/dev/shm/f", O_RDONLY))
    assert task.load(page(0)) == b"\1"


def test_a_private_mapping_of_a_read_only_file_can_be_written(task, file):
    """The file never learns of it."""
    task.mmap(page(0), PAGE, "rw", MAP_PRIVATE | MAP_FIXED, task.open("/dev/shm/f", O_RDONLY))
    task.store(page(0), b"x")
    assert file.pread(1, 0) == b"\1"


def test_mappings_of_one_offset_show_one_page(task, file):
    """FK05."""
    for n in (0, 2):
        task.mmap(page(n), PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    task.store(page(0), b"x")
    assert task.load(page(2)) == b"x"


def test_shared_anonymous_memory_is_the_childs_too(task):
    """One object, two mappers."""
    task.mmap(page(0), PAGE, "rw", SHARED_ANON | MAP_FIXED)
    child = task.fork()
    child.store(page(0), b"x")
    assert task.load(page(0)) == b"x"


def test_a_private_page_freezes_when_it_is_written(task, file):
    """FK10: before that it follows the file, as on Linux."""
    task.mmap(page(0), 2 * PAGE, "rw", MAP_PRIVATE | MAP_FIXED, file)
    task.mmap(page(4), 2 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    task.load(page(0)), task.store(page(1), b"\7")
    task.store(page(4), b"\x09"), task.store(page(5), b"\x09")
    assert task.load(page(0)) + task.load(page(1)) == b"\x09\7"


# where it goes ---------------------------------------------------------------------------------
@pytest.mark.parametrize("pages, flags, hint, at", [
    (3, ANON, None, -4), (4, ANON, None, -8), (8, ANON, None, -12), (4, SHARED_ANON, None, -5),
    (4, ANON, TOP - PAGE, -5)])
def test_what_a_table_maps_begins_at_its_border(task, pages, flags, hint, at):
    """thp_get_unmapped_area: a whole number of PTE tables of private anonymous memory; not if it
    is shared, or somebody gave a hint."""
    task.mmap(None, PAGE, "r", SHARED_ANON)
    assert task.mmap(hint, pages * PAGE, "rw", flags) == TOP + at * PAGE
    if at % 4 == pages % 4 == 0:        # the next one touches it
        assert task.mmap(None, 4 * PAGE, "r", flags) == TOP + (at - 4) * PAGE


def test_the_kernel_chooses_top_down(task):
    """The highest gap that fits; the same in every run."""
    starts = [task.mmap(None, n * PAGE, "r", SHARED_ANON) for n in (1, 2)]
    assert starts == [TOP - PAGE, TOP - 3 * PAGE]
    task.munmap(starts[0], PAGE)
    assert task.mmap(None, 2 * PAGE, "r", SHARED_ANON) == TOP - 5 * PAGE
    assert task.mmap(None, PAGE, "r", SHARED_ANON) == TOP - PAGE


@pytest.mark.parametrize("hint, at", [
    (page(3), page(3)), (page(3) + 5, page(3)), (page(0), None), (page(1), None), (0, None),
    (5, None), (TOP, None), (TOP - PAGE, TOP - PAGE), (TOP - PAGE // 2, TOP - PAGE), (WORD - PAGE,
                                                                                      None)])
def test_a_hint_is_taken_if_it_is_free(hint, at):
    """Rounded down to a page; 0 is no hint."""
    task = mapped(".W")
    got = task.mmap(hint, PAGE if hint != page(0) else 2 * PAGE, "r", ANON)
    assert got == (at or (TOP - PAGE if hint != page(0) else TOP - 2 * PAGE))


def test_a_hint_must_fit_before_the_end(task):
    """Else the kernel chooses."""
    assert task.mmap(TOP - PAGE, 2 * PAGE, "r", ANON) == TOP - 2 * PAGE


def test_the_kernel_finds_no_gap(task):
    """ENOMEM (vm_unmapped_area)."""
    task.mmap(0x8000, PAGE, "r", ANON | MAP_FIXED)
    assert refused(task.mmap, None, TOP - 0x8000, "r", ANON) == "ENOMEM"
    assert task.mmap(None, TOP - 0x9000, "r", ANON) == 0x9000


@pytest.mark.parametrize("before, first, pages, after", [
    ("Rrrrrrrr", 2, 3, "RrWwwRrr"), ("RrSsRr", 1, 4, "RWwwwR"), ("Rr....Rr", 1, 6, "RWwwwwwR"),
    ("RrrXxx", 0, 6, "Wwwwww"), ("RrWwRr", 2, 2, "RrWwRr")])
def test_map_fixed_replaces(before, first, pages, after):
    """Whatever was there is unmapped."""
    task = mapped(before)
    task.mmap(page(first), pages * PAGE, "rw", ANON | MAP_FIXED)
    assert picture(task.mm) == after


def test_map_fixed_drops_the_pages(task):
    """And makes no table; those that no VMA needs are freed (rule 10)."""
    task.mmap(page(0), PAGE, "rw", ANON | MAP_FIXED)
    task.store(page(0), b"x")
    task.mmap(page(0), PAGE, "rw", ANON | MAP_FIXED)
    assert present(task, 1) == "0" and task.tables == 0
    assert task.load(page(0)) == b"\0"


def test_noreplace_takes_a_free_range(task):
    """It is MAP_FIXED that asks first."""
    at = task.mmap(page(1), PAGE, "r", ANON | MAP_FIXED_NOREPLACE)
    assert at == page(1) and picture(task.mm) == ".R"


@pytest.mark.parametrize("flags", [MAP_FIXED_NOREPLACE, MAP_FIXED_NOREPLACE | MAP_FIXED])
@pytest.mark.parametrize("first, pages", [(0, 2), (1, 1), (2, 9), (0, 9)])
def test_noreplace_leaves_what_is_there(first, pages, flags):
    """EEXIST, also together with MAP_FIXED."""
    task = mapped(".Rr.")
    assert refused(task.mmap, page(first), pages * PAGE, "rw", ANON | flags) == "EEXIST"
    assert picture(task.mm) == ".Rr"


def test_a_closed_file_is_looked_for_after_the_offset(task, file):
    """ksys_mmap_pgoff: EINVAL for the offset, then EBADF, then what is wrong with the rest."""
    file.close()
    assert refused(task.mmap, None, PAGE, "r", MAP_SHARED, file, 1) == "EINVAL"
    assert refused(task.mmap, None, 0, "r", MAP_SHARED, file, 0) == "EBADF"


# errors, in the order of ksys_mmap_pgoff and do_mmap -------------------------------------------
@pytest.mark.parametrize("addr, length, flags, offset, code", [
    (page(0), PAGE, ANON, 1, "EINVAL"),                         # before everything else
    (page(0), PAGE, MAP_PRIVATE, 1, "EINVAL"),
    (page(0), 0, MAP_PRIVATE, 0, "EBADF"),
    (page(0), 0, ANON | MAP_FIXED, 0, "EINVAL"),
    (page(0), PAGE, 0, 0, "EBADF"),
    (page(0), PAGE, MAP_ANONYMOUS, 0, "EINVAL"),                # neither private nor shared
    (page(0), PAGE, MAP_ANONYMOUS | 0xf, 0, "EINVAL"),
    (page(0), PAGE, MAP_ANONYMOUS | MAP_SHARED_VALIDATE, 0, "EINVAL"),
    (page(0), PAGE, MAP_ANONYMOUS | MAP_SHARED | MAP_GROWSDOWN, 0, "EINVAL"),
    (page(0) + 1, PAGE, ANON | MAP_FIXED, 0, "EINVAL"),
    (page(0) + 1, PAGE, ANON | MAP_FIXED_NOREPLACE, 0, "EINVAL"),
    (page(0) + 1, 0, ANON | MAP_FIXED, 0, "EINVAL"),
    (TOP, PAGE, ANON | MAP_FIXED, 0, "ENOMEM"),
    (TOP + 1, PAGE, ANON | MAP_FIXED, 0, "ENOMEM"),             # the range before the alignment
    (TOP - PAGE, 2 * PAGE, ANON | MAP_FIXED, 0, "ENOMEM"),
    (WORD - PAGE, PAGE, ANON | MAP_FIXED_NOREPLACE, 0, "ENOMEM"),
    (None, TOP + PAGE, ANON, 0, "ENOMEM"),
    (None, WORD - 1, ANON, 0, "ENOMEM"),
    (TOP, PAGE, MAP_ANONYMOUS | MAP_FIXED, 0, "ENOMEM"),        # the address before the type
    (page(0), PAGE, ANON | MAP_HUGETLB, 0, "ENOMEM"),           # no huge page in the pool
])
def test_mmap_refuses(task, addr, length, flags, offset, code):
    """Without a file; the first thing that is wrong decides."""
    assert refused(task.mmap, addr, length, "rw", flags, None, offset) == code
    assert task.maps() == ()


@pytest.mark.parametrize("addr, length, flags, offset, code", [
    (page(0), 0, MAP_SHARED, 0, "EINVAL"),
    (page(0), PAGE, MAP_SHARED, 2, "EINVAL"),
    (page(0), PAGE, MAP_SHARED | MAP_HUGETLB, 0, "EINVAL"),     # its pages are small
    (page(0), PAGE, 0, 0, "EINVAL"),
    (page(0), PAGE, MAP_SHARED, 1 << 63, "EOVERFLOW"),
    (page(0), PAGE, MAP_PRIVATE, (1 << 63) - PAGE, "EOVERFLOW"),
    (page(0) + 1, PAGE, MAP_PRIVATE | MAP_FIXED, 1 << 63, "EINVAL"),    # the address comes first
    (page(0), WORD - PAGE, MAP_SHARED, 1 << 63, "ENOMEM"),
    (page(0), PAGE, 0, 1 << 63, "EOVERFLOW"),                   # and the type last
    (page(0), PAGE, MAP_SHARED_VALIDATE | MAP_SYNC, 0, "EOPNOTSUPP"),
    (page(0), PAGE, MAP_SHARED_VALIDATE | 1 << 25, 0, "EOPNOTSUPP"),
    (page(0), PAGE, MAP_SHARED_VALIDATE | 1 << 31, 0, "EOPNOTSUPP"),
    (page(0), PAGE, MAP_SHARED | MAP_GROWSDOWN, 0, "EINVAL"),
    (page(0), PAGE, MAP_PRIVATE | MAP_GROWSDOWN, 0, "EINVAL"),
    (page(0), PAGE, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, 0, "EOPNOTSUPP"),
])
def test_mmap_of_a_file_refuses(task, file, addr, length, flags, offset, code):
    """do_mmap: length, address, offset, type."""
    assert refused(task.mmap, addr, length, "rw", flags, file, offset) == code
    assert task.maps() == ()


def test_the_last_offset_that_can_be_mapped(task, file):
    """file_mmap_ok: the end is still a file offset."""
    task.mmap(page(0), PAGE, "r", MAP_SHARED | MAP_FIXED, file, (1 << 63) - 2 * PAGE)
    with pytest.raises(BusError):
        task.load(page(0))


def test_shared_validate_takes_what_it_knows(task, file):
    """LEGACY_MAP_MASK; ordinary MAP_SHARED ignores unknown bits (MM13)."""
    flags = MAP_FIXED | MAP_POPULATE | MAP_NORESERVE | MAP_STACK | MAP_LOCKED
    task.mmap(page(0), PAGE, "rw", MAP_SHARED_VALIDATE | flags | 0xc0 | 0x1f << 26, file)
    task.mmap(page(1), PAGE, "rw", MAP_SHARED | MAP_FIXED | MAP_SYNC | 1 << 25, file)
    assert picture(task.mm) == "SS"


@pytest.mark.parametrize("prot", ["r", "w", "rw", ""])
@pytest.mark.parametrize("kind", [MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE])
def test_a_write_only_file_cannot_be_mapped(task, file, prot, kind):
    """A page is read before it can be written (MM05)."""
    opened = task.open("/dev/shm/f", O_WRONLY)
    assert refused(task.mmap, None, PAGE, prot, kind, opened) == "EACCES"


def test_a_read_only_file_cannot_be_mapped_for_writing(task, file):
    """Not shared."""
    opened = task.open("/dev/shm/f", O_RDONLY)
    assert refused(task.mmap, None, PAGE, "rw", MAP_SHARED, opened) == "EACCES"


def test_a_refused_mapping_leaves_the_old_one(task, file):
    """Nothing is unmapped before all has been checked."""
    task.mmap(page(0), PAGE, "rw", ANON | MAP_FIXED)
    task.store(page(0), b"x")
    opened = task.open("/dev/shm/f", O_WRONLY)
    assert refused(task.mmap, page(0), PAGE, "r", MAP_SHARED | MAP_FIXED, opened) == "EACCES"
    assert task.load(page(0)) == b"x"


@pytest.mark.parametrize("arguments, error", [
    ((1.0, PAGE, "r", ANON), TypeError), ((None, "1", "r", ANON), TypeError),
    ((None, PAGE, None, ANON), TypeError), ((None, PAGE, "q", ANON), ValueError),
    ((None, PAGE, "r", ANON, "f"), TypeError), ((None, PAGE, "r", None), TypeError),
    ((-PAGE, PAGE, "r", ANON), ValueError), ((None, -1, "r", ANON), ValueError),
    ((None, PAGE, "r", ANON, None, -PAGE), ValueError), ((None, PAGE, "r", ANON | MAP_FIXED),
                                                         ValueError)])
def test_mistakes_of_the_caller(task, arguments, error):
    """The value is named."""
    with pytest.raises(error):
        task.mmap(*arguments)
    assert task.maps() == ()


# MAP_POPULATE ----------------------------------------------------------------------------------
def test_populate_fills_at_once(task):
    """One fault a page is billed, though no exception was taken (MM08)."""
    task.mmap(page(0), 4 * PAGE, "rw", ANON | MAP_FIXED | MAP_POPULATE)
    assert present(task, 4) == "1111"
    assert (task.minor_faults, task.page_faults, task.rss) == (4, 0, 4 * PAGE)


@pytest.mark.parametrize("prot, flags, rss", [
    ("r", ANON, 0),                     # the zero page
    ("rw", MAP_PRIVATE, 4 * PAGE),      # own copies
    ("rw", MAP_SHARED, 4 * PAGE), ("r", MAP_PRIVATE, 4 * PAGE)])
def test_populate_reads_or_writes(task, file, prot, flags, rss):
    """As a store for writable private memory, else as a load."""
    task.mmap(page(0), 4 * PAGE, prot, flags | MAP_FIXED | MAP_POPULATE, file)
    assert present(task, 4) == "1111" and task.rss == rss


def test_populate_of_private_memory_breaks_cow(task, file):
    """FK09: later changes of the file are not seen."""
    task.mmap(page(0), PAGE, "rw", MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, file)
    file.pwrite(b"\x22", 0)
    assert task.load(page(0)) == b"\1"


def test_populate_costs_what_fault_around_leaves():
    """64 cached pages of a shared file: 4 faults."""
    task = machine(X86_64).spawn()
    file = task.memfd("f")
    file.pwrite(b"x" * 64 * PAGE, 0)
    task.mmap(1 << 40, 64 * PAGE, "r", MAP_SHARED | MAP_FIXED | MAP_POPULATE, file)
    assert task.minor_faults == 4 and task.rss == 64 * PAGE


def test_populate_stops_at_the_end_of_the_file(task, file):
    """Quietly: mmap succeeds."""
    task.mmap(page(0), 6 * PAGE, "r", MAP_SHARED | MAP_FIXED | MAP_POPULATE, file)
    assert present(task, 6) == "111100"


def test_populate_of_prot_none_does_nothing(task):
    """mm_populate skips what cannot be accessed."""
    task.mmap(page(0), PAGE, "", ANON | MAP_FIXED | MAP_POPULATE)
    assert present(task, 1) == "0" and task.minor_faults == 0


def test_populate_stops_where_memory_ends():
    """Quietly, and nobody is killed."""
    task = machine(memory=7 * PAGE).spawn()
    task.mmap(page(0), 8 * PAGE, "rw", ANON | MAP_FIXED | MAP_POPULATE)
    assert present(task) == "11100000" and task.machine.tasks == [task]


# mlock -----------------------------------------------------------------------------------------
def test_map_locked(task):
    """MM10: locked, and faulted in."""
    task.mmap(page(0), 4 * PAGE, "rw", ANON | MAP_FIXED | MAP_LOCKED)
    assert (task.locked, present(task, 4)) == (4 * PAGE, "1111")


def test_mlock_takes_the_pages_around_its_range():
    """And faults them in; faults are billed."""
    task = mapped("Wwwwww")
    task.mlock(page(1) + 5, PAGE)
    assert (picture(task.mm), present(task, 6)) == ("WWwWww", "011000")
    assert (task.locked, task.minor_faults) == (2 * PAGE, 2)


def test_munlock_undoes():
    """The parts merge; pages stay."""
    task = mapped("Wwww")
    task.mlock(page(1), PAGE)
    task.munlock(page(1), PAGE)
    assert (picture(task.mm), task.locked, present(task, 4)) == ("Wwww", 0, "0100")


def test_mlock_twice_is_mlock_once():
    """Locks do not nest."""
    task = mapped("Ww")
    task.mlock(page(0), PAGE), task.mlock(page(0), 2 * PAGE)
    assert (picture(task.mm), task.locked) == ("Ww", 2 * PAGE)
    task.munlock(page(0), 2 * PAGE)
    assert task.locked == 0


def test_a_child_inherits_no_locks():
    """dup_mmap clears VM_LOCKED."""
    task = mapped("W")
    task.mlock(page(0), PAGE)
    assert task.fork().locked == 0 and task.locked == PAGE


def test_locks_go_with_the_mapping():
    """munmap takes them."""
    task = mapped("Ww")
    task.mlock(page(0), 2 * PAGE)
    task.munmap(page(0), PAGE)
    assert task.locked == PAGE


@pytest.mark.parametrize("call", ["mlock", "munlock"])
@pytest.mark.parametrize("drawing, locked", [("..Ww", 0), ("Ww..", 2), ("Ww.W", 2), ("....", 0)])
def test_a_hole_is_enomem(call, drawing, locked):
    """After what comes before it has been done (ML01, apply_vma_lock_flags)."""
    task = mapped(drawing)
    if call == "munlock":
        for vma in list(task.mm.vmas):
            task.mlock(vma.start, vma.end - vma.start)
    before = task.locked
    assert refused(getattr(task, call), page(0), 4 * PAGE) == "ENOMEM"
    assert task.locked == (locked * PAGE if call == "mlock" else before - locked * PAGE)


def test_nothing_is_locked_by_nothing():
    """A length of 0 is no error, whatever is there."""
    task = mapped("Wwww")
    task.mlock(page(1), 0), task.munlock(page(1), 0), task.mlock(page(9), 0)
    assert (picture(task.mm), task.locked) == ("Wwww", 0)


def test_a_range_that_wraps_is_einval(task):
    """apply_vma_lock_flags: end < start."""
    assert refused(task.mlock, WORD - PAGE, 2 * PAGE) == "EINVAL"
    assert refused(task.munlock, WORD - PAGE, PAGE) == "EINVAL"


def test_write_only_file_pages_can_be_locked(task, file):
    """ML01: a mapping with PROT_WRITE alone."""
    task.mmap(page(0), PAGE, "w", MAP_SHARED | MAP_FIXED, file)
    task.mlock(page(0), PAGE)
    assert task.locked == PAGE and present(task, 1) == "1"


@pytest.mark.parametrize("prepare", [
    lambda task: task.mprotect(page(0), PAGE, ""), lambda task: file_of(task).truncate(0)])
def test_pages_that_cannot_be_had_are_enomem(prepare):
    """Locked all the same (__mlock_posix_error_return)."""
    task = mapped("S")
    prepare(task)
    assert refused(task.mlock, page(0), PAGE) == "ENOMEM" and task.locked == PAGE


def test_a_guarded_page_cannot_be_locked_in():
    """The marker forbids the access."""
    task = mapped("Ww")
    task.madvise(page(1), PAGE, MADV_GUARD_INSTALL)
    assert refused(task.mlock, page(0), 2 * PAGE) == "ENOMEM"
    assert present(task, 2) == "10"


# msync -----------------------------------------------------------------------------------------
def test_msync_of_tmpfs(task, file):
    """MS02: what was stored is there, with or without it."""
    task.mmap(page(0), PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    task.store(page(0), b"bbb")
    task.msync(page(0), PAGE, MS_SYNC)
    assert file.pread(3, 0) == b"bbb"


def on_disk():
    """A task with two pages of an ext4 file, each stored to once."""
    world = machine()
    world.mount("ext4", "/disk")
    task = world.spawn()
    file = task.open("/disk/f")
    file.truncate(2 * PAGE)
    task.mmap(page(0), 2 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    task.touch(page(0), 2 * PAGE, write=True)
    return task


@pytest.mark.parametrize("flags, length, faults", [
    (MS_SYNC, 2, 2), (MS_SYNC, 1, 1), (MS_SYNC | MS_INVALIDATE, 2, 2), (MS_ASYNC, 2, 0), (0, 2, 0)])
def test_msync_writes_back(flags, length, faults):
    """MS_SYNC alone, and what the range shows: clean pages fault at the next store
    (vfs_fsync_range)."""
    task = on_disk()
    before = task.minor_faults
    task.msync(page(0), length * PAGE, flags)
    task.touch(page(0), 2 * PAGE, write=True)
    assert task.minor_faults - before == faults


@pytest.mark.parametrize("addr, flags, code", [
    (page(0), 8, "EINVAL"), (page(0), MS_ASYNC | MS_SYNC, "EINVAL"),
    (page(0) + 1, MS_SYNC, "EINVAL"), (page(7), MS_SYNC, "ENOMEM"), (page(7), 0, "ENOMEM"),
    (page(7), 8, "EINVAL")])
def test_msync_refuses(addr, flags, code):
    """The flags before what is mapped."""
    assert refused(mapped("S").msync, addr, PAGE, flags) == code


def test_msync_over_a_hole():
    """ENOMEM at the end, but the rest has been written back."""
    task = on_disk()
    before = task.minor_faults
    assert refused(task.msync, page(0), 3 * PAGE, MS_SYNC) == "ENOMEM"
    task.store(page(1), b"x")
    assert task.minor_faults == before + 1


def test_msync_cannot_invalidate_what_is_locked():
    """EBUSY, with MS_INVALIDATE only."""
    task = mapped("S")
    task.mlock(page(0), PAGE)
    task.msync(page(0), PAGE, MS_SYNC)
    assert refused(task.msync, page(0), PAGE, MS_INVALIDATE) == "EBUSY"
    task.msync(page(0), 0, MS_INVALIDATE)


# mincore ---------------------------------------------------------------------------------------
def test_mincore_of_private_memory():
    """A page that was touched."""
    task = mapped("Wwww")
    task.store(page(1), b"x"), task.load(page(2))
    assert task.mincore(page(0), 4 * PAGE) == b"\0\1\1\0"


def test_mincore_of_a_file_sees_the_cache():
    """Mapped here or not (mincore_page)."""
    task = mapped("Ssss")
    file_of(task).pwrite(b"x", PAGE)
    assert task.mincore(page(0), 4 * PAGE) == b"\0\1\0\0" and present(task, 4) == "0000"


@pytest.mark.parametrize("length, pages", [(0, 0), (1, 1), (PAGE, 1), (PAGE + 1, 2)])
def test_mincore_gives_a_byte_a_page(length, pages):
    """A part of a page is a page."""
    assert len(mapped("Wwww").mincore(page(0), length)) == pages


@pytest.mark.parametrize("addr, length, code", [
    (page(0) + 1, PAGE, "EINVAL"), (page(0), 3 * PAGE, "ENOMEM"), (page(8), PAGE, "ENOMEM"),
    (TOP, PAGE, "ENOMEM"), (TOP + PAGE, 0, "ENOMEM"), (page(0), WORD - PAGE, "ENOMEM")])
def test_mincore_refuses(addr, length, code):
    """Alignment, the end of the address space, holes."""
    assert refused(mapped("Ww").mincore, addr, length) == code


# what a mapping allows -------------------------------------------------------------------------
@pytest.mark.parametrize("prot, load, store", [
    ("", False, False), ("r", True, False), ("w", True, True), ("rw", True, True),
    ("x", True, False), ("rx", True, False)])
def test_what_a_protection_allows(task, prot, load, store):
    """Without protection keys PROT_WRITE and PROT_EXEC can be read, too."""
    task.mmap(page(0), PAGE, prot, ANON | MAP_FIXED)
    for allowed, access in ((load, lambda: task.load(page(0))),
                            (store, lambda: task.store(page(0), b"x"))):
        if allowed:
            access()
        else:
            with pytest.raises(Segfault) as caught:
                access()
            assert caught.value.code == "SEGV_ACCERR"
