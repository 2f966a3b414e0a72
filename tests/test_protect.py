"""mprotect: what VMAs allow afterwards, and what their entries do."""
import pytest
from layout import ANON, PAGE, file_of, machine, mapped, page, picture, present, refused

from mmlib import MAP_FIXED, MAP_LOCKED, MAP_PRIVATE, MAP_SHARED, O_RDONLY, TINY, X86_64, Segfault
from mmlib.geometry import NX, PROTNONE, RW, P

WORD = 1 << 64


def entry(task, n: int) -> int:
    return task.machine.tables.lookup(task.mm.pgd, page(n))[2]


def faults(task, call, *arguments) -> int:
    before = task.minor_faults
    call(*arguments)
    return task.minor_faults - before


# layouts ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("before, first, pages, prot, after", [
    ("Wwwwwwww", 2, 3, "r", "WwRrrWww"), ("Wwwwwwww", 0, 8, "", "Nnnnnnnn"),
    ("WwRrNnXx", 0, 8, "r", "Rrrrrrrr"), ("WwRrWw", 1, 4, "r", "WRrrrW"),
    ("WwRrWw", 2, 2, "rw", "Wwwwww"), ("WwSsWw", 0, 6, "r", "RrTtRr"),
    ("FfSs", 1, 2, "", "FHUS"), ("Wwww", 1, 2, "rw", "Wwww")])
def test_layout(before, first, pages, prot, after):
    """VMAs are cut at the ends of the range, and merge with what is alike now."""
    task = mapped(before)
    task.mprotect(page(first), pages * PAGE, prot)
    assert picture(task.mm) == after


def test_a_shared_mapping_is_cut_and_merged():
    """MP05: 3, 5 and 1 VMAs."""
    task = mapped("Ttttt")
    counts = []
    for n, pages, prot in ((1, 1, "x"), (3, 1, "w"), (1, 4, "r")):
        task.mprotect(page(n), pages * PAGE, prot)
        counts.append(len(task.maps()))
    assert counts == [3, 5, 1]


def test_no_table_is_made():
    """Rule 1."""
    task = mapped("Wwww")
    task.mprotect(page(1), PAGE, "r")
    assert task.tables == 0


# errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("addr, length, prot, code", [
    (page(0) + 1, PAGE, "r", "EINVAL"), (page(0) + 1, 0, "r", "EINVAL"),
    (page(0), PAGE, 0x10, "EINVAL"), (page(0), PAGE, 0x1000003, "EINVAL"),
    (page(9), PAGE, 0x10, "EINVAL"), (page(9), PAGE, "r", "ENOMEM"),
    (TINY.task_size, PAGE, "r", "ENOMEM"), (WORD - PAGE, PAGE, "r", "ENOMEM")])
def test_mprotect_refuses(addr, length, prot, code):
    """do_mprotect_pkey: alignment, unknown bits, then what is mapped (MP01)."""
    task = mapped("Ww")
    assert refused(task.mprotect, addr, length, prot) == code
    assert picture(task.mm) == "Ww"


@pytest.mark.parametrize("addr, prot", [(page(0), "r"), (page(9), "r"), (page(0), 0x10)])
def test_nothing_is_no_error(addr, prot):
    """A length of 0 answers 0, before anything is looked at."""
    task = mapped("Ww")
    task.mprotect(addr, 0, prot)
    assert picture(task.mm) == "Ww"


def test_prot_sem_is_ignored():
    """arch_validate_prot takes it; it means nothing on x86."""
    task = mapped("Ww")
    task.mprotect(page(0), 2 * PAGE, 8 | 1)
    assert picture(task.mm) == "Rr"


@pytest.mark.parametrize("before, first, after", [
    ("Ww.W", 0, "Rr.W"), ("..Ww", 0, "..Ww"), ("Ww..", 1, "WR"), ("W.W.", 0, "R.W")])
def test_a_hole_is_enomem(before, first, after):
    """But what comes before it has changed (rule 12)."""
    task = mapped(before)
    assert refused(task.mprotect, page(first), 4 * PAGE, "r") == "ENOMEM"
    assert picture(task.mm) == after


@pytest.mark.parametrize("kind, allowed", [(MAP_SHARED, False), (MAP_PRIVATE, True)])
def test_a_read_only_file_never_becomes_writable(kind, allowed):
    """VM_MAYWRITE; a private copy of it may be written."""
    task = machine().spawn()
    task.open("/dev/shm/f").truncate(PAGE)
    task.mmap(page(0), PAGE, "r", kind | MAP_FIXED, task.open("/dev/shm/f", O_RDONLY))
    if allowed:
        task.mprotect(page(0), PAGE, "rw")
        task.store(page(0), b"x")
    else:
        assert refused(task.mprotect, page(0), PAGE, "rw") == "EACCES"
        task.mprotect(page(0), PAGE, "rx")


def test_what_comes_before_a_refusal_has_changed():
    """EACCES in the middle of the range."""
    task = machine().spawn()
    task.mmap(page(0), PAGE, "r", ANON | MAP_FIXED)
    task.open("/dev/shm/f").truncate(PAGE)
    task.mmap(page(1), PAGE, "r", MAP_SHARED | MAP_FIXED, task.open("/dev/shm/f", O_RDONLY))
    assert refused(task.mprotect, page(0), 2 * PAGE, "rw") == "EACCES"
    assert picture(task.mm) == "WT"


# accesses --------------------------------------------------------------------------------------
@pytest.mark.parametrize("letter", ["W", "S", "F"])
def test_prot_none_forbids_and_keeps(letter):
    """MP04, PT08: pages stay, present in pagemap; allowed again they have their bytes."""
    task = mapped(letter)
    task.store(page(0), b"x")
    task.mprotect(page(0), PAGE, "")
    for access in (lambda: task.load(page(0)), lambda: task.store(page(0), b"y")):
        with pytest.raises(Segfault) as caught:
            access()
        assert caught.value.code == "SEGV_ACCERR"
    assert present(task, 1) == "1"
    task.mprotect(page(0), PAGE, "r")
    assert task.load(page(0)) == b"x"


def test_none_read_write_read():
    """MP06: SIGSEGV, ok, SIGSEGV."""
    task = mapped("S")
    task.mprotect(page(0), PAGE, "")
    with pytest.raises(Segfault):
        task.load(page(0))
    task.mprotect(page(0), PAGE, "rw")
    task.store(page(0), b"x")
    task.mprotect(page(0), PAGE, "r")
    with pytest.raises(Segfault):
        task.store(page(0), b"y")
    assert task.load(page(0)) == b"x"


@pytest.mark.parametrize("letter", ["W", "S"])
def test_protection_is_per_process(letter):
    """MP07: the child may go on; mshare is what changes that."""
    task = mapped(letter)
    task.store(page(0), b"x")
    child = task.fork()
    task.mprotect(page(0), PAGE, "r")
    with pytest.raises(Segfault):
        task.store(page(0), b"y")
    child.store(page(0), b"z")


def test_no_translation_of_before_is_left():
    """The TLB is flushed: what it remembered would allow the store."""
    task = mapped("W")
    task.store(page(0), b"x")
    flushes = task.machine.counters["flushes"]
    task.mprotect(page(0), PAGE, "r")
    assert task.machine.counters["flushes"] == flushes + 1
    with pytest.raises(Segfault):
        task.store(page(0), b"y")


def test_nothing_changed_nothing_flushed():
    """No entry is there."""
    task = mapped("W")
    task.mprotect(page(0), PAGE, "r")
    assert task.machine.counters["flushes"] == 0


# entries ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("prot, bits", [
    ("", PROTNONE | NX), ("r", P | NX), ("rx", P), ("rw", P | RW | NX), ("rwx", P | RW)])
def test_entries_follow(prot, bits):
    """change_pte_range: of a page that is this process's alone."""
    task = mapped("W")
    task.store(page(0), b"x")
    task.mprotect(page(0), PAGE, prot)
    assert entry(task, 0) & (P | RW | NX | PROTNONE) == bits


@pytest.mark.parametrize("between", ["r", ""])
def test_an_own_page_is_writable_at_once(between):
    """Rule 8: no fault on the next store (can_change_pte_writable)."""
    task = mapped("W")
    task.store(page(0), b"x")
    task.mprotect(page(0), PAGE, between), task.mprotect(page(0), PAGE, "rw")
    assert faults(task, task.store, page(0), b"y") == 0


def test_a_page_shared_by_fork_is_not():
    """FK03: the child still reads what was there."""
    task = mapped("W")
    task.store(page(0), b"1")
    child = task.fork()
    child.load(page(0))
    task.mprotect(page(0), PAGE, "r"), task.mprotect(page(0), PAGE, "rw")
    assert faults(task, task.store, page(0), b"2") == 1
    assert child.load(page(0)) == b"1"


def test_nor_one_that_was():
    """The child has gone: one fault, and the frame is kept."""
    task = mapped("W")
    task.store(page(0), b"1")
    task.fork().exit()
    frame = task.pagemap(page(0), PAGE)[0].pfn
    task.mprotect(page(0), PAGE, "r"), task.mprotect(page(0), PAGE, "rw")
    assert faults(task, task.store, page(0), b"2") == 1
    assert task.pagemap(page(0), PAGE)[0].pfn == frame


def test_the_zero_page_is_never_writable():
    """Read first, then allowed to write: the store gets a page of its own."""
    task = mapped("R")
    task.load(page(0))
    task.mprotect(page(0), PAGE, "rw")
    assert not entry(task, 0) & RW
    assert faults(task, task.store, page(0), b"x") == 1
    assert task.machine.memory.read(task.machine.memory.zero, 0, 1) == b"\0"


def test_a_private_page_of_a_file_is_never_writable():
    """The store copies it."""
    task = mapped("G")
    file_of(task).pwrite(b"f", 0)
    task.load(page(0))
    task.mprotect(page(0), PAGE, "rw")
    assert faults(task, task.store, page(0), b"x") == 1
    assert file_of(task).pread(1, 0) == b"f"


def test_a_shared_page_is_writable_at_once():
    """Rule 8: no fault, whether it was ever written or not."""
    task = mapped("T")
    task.load(page(0))
    task.mprotect(page(0), PAGE, "rw")
    assert entry(task, 0) & RW
    assert faults(task, task.store, page(0), b"x") == 0
    assert file_of(task).pread(1, 0) == b"x"


def test_accessed_and_dirty_survive():
    """pte_modify keeps them."""
    task = mapped("Ww")
    task.store(page(0), b"x"), task.load(page(1))
    marks = [entry(task, n) & 0x60 for n in (0, 1)]
    task.mprotect(page(0), 2 * PAGE, "r")
    assert [entry(task, n) & 0x60 for n in (0, 1)] == marks == [0x60, 0x20]


def test_many_tables():
    """Over 6 MiB every entry follows, and none beyond."""
    task = machine(X86_64, trace=False).spawn()
    base, size = 1 << 40, 6 << 20
    task.mmap(base, size, "rw", ANON | MAP_FIXED)
    task.touch(base, size, write=True)
    task.mprotect(base + PAGE, size - 2 * PAGE, "r")
    leaves = task.machine.tables.leaves(task.mm.pgd, 0, X86_64.task_size)
    writable = [addr for addr, _, _, found in leaves if found & RW]
    assert writable == [base, base + size - PAGE]


@pytest.mark.parametrize("locked, flags, counted", [
    (True, MAP_PRIVATE, 2), (False, MAP_PRIVATE, 0), (True, MAP_SHARED, 0)])
def test_locked_private_pages_are_copied_when_they_become_writable(locked, flags, counted):
    """So that no store has to wait later; counted as the caller's faults (mprotect_fixup)."""
    task = machine().spawn()
    flags |= ANON & ~MAP_PRIVATE | MAP_FIXED | (MAP_LOCKED if locked else 0)
    task.mmap(page(0), 4 * PAGE, "r", flags)
    task.touch(page(0), 4 * PAGE)
    assert faults(task, task.mprotect, page(1), 2 * PAGE, "rw") == counted
    task.mprotect(page(1), 2 * PAGE, "rw")
    assert faults(task, task.store, page(1), b"x") == (flags & MAP_PRIVATE and not locked)
