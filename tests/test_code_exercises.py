"""Exercises that are answered by code: typical mistakes are refused, each with its own reason, and
an open exercise takes more than the answer that its notebook shows."""
import re

import nbformat
import pytest

from mmlib import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, TINY
from mmlib.exercises import EXERCISES, check
from mmlib.exercises.exercise import Exercise
from mmlib.geometry import PFN_MASK, PS, RW, P, entry_pfn
from test_exercises import NOTEBOOKS, solutions

ANON = MAP_PRIVATE | MAP_ANONYMOUS


# walk ----------------------------------------------------------------------------------------
def walk(read, pfn, addr, stop=True, present=True, offset=True, order=(4, 3, 2, 1)):
    """The right walk, or one with a mistake."""
    for level in order:
        entry = read(pfn, TINY.index(addr, level))
        if not (entry & P if present else entry):
            return None
        pfn = entry_pfn(entry)
        if stop and entry & PS:
            break
    return pfn * 4096 + addr % (TINY.entry_span(level) if offset else 4096)


# copy on write -------------------------------------------------------------------------------
def copied(entry, old, copy, set_entry, flush):
    set_entry(entry & ~PFN_MASK | copy() << 12 | RW)
    flush()


def kept(entry, old, copy, set_entry, flush):
    set_entry(entry | RW)


def without_flush(entry, old, copy, set_entry, flush):
    if old.anon and old.mapcount == 1:
        kept(entry, old, copy, set_entry, flush)
    else:
        copied(entry, old, copy, set_entry, lambda: None)


def by_count_alone(entry, old, copy, set_entry, flush):
    (kept if old.mapcount == 1 else copied)(entry, old, copy, set_entry, flush)


def by_kind_alone(entry, old, copy, set_entry, flush):
    (kept if old.anon else copied)(entry, old, copy, set_entry, flush)


def still_read_only(entry, old, copy, set_entry, flush):
    def forbidding(value):
        set_entry(value & ~RW)
    (kept if old.anon and old.mapcount == 1 else copied)(entry, old, copy, forbidding, flush)


def other_bits_lost(entry, old, copy, set_entry, flush):
    def bare(value):
        set_entry(value & PFN_MASK | P | RW)
    (kept if old.anon and old.mapcount == 1 else copied)(entry, old, copy, bare, flush)


def copied_twice(entry, old, copy, set_entry, flush):
    copy()
    copied(entry, old, copy, set_entry, flush)


def forgot_the_entry(entry, old, copy, set_entry, flush):
    if not old.anon or old.mapcount > 1:
        copy()
        flush()


def cleared(entry, old, copy, set_entry, flush):
    set_entry(0)


# unshare -------------------------------------------------------------------------------------
def unshare(table, start, end, links, drop, flush, meets=lambda link, start, end: link.start < end
            and start < link.end, first=lambda *a: None, told=None):
    """The right unshare, or one with a mistake."""
    for link in links(table):
        if meets(link, start, end):
            if link.shared:
                first(link, start, end, links, drop, flush)
                drop(link)
                (told or (lambda link, start, end: flush(link.start, link.end)))(link, start, end)
            else:
                unshare(link.table, start, end, links, drop, flush, meets, first, told)


def from_below(link, start, end, links, drop, flush):
    for child in links(link.table):
        if child.start < end and start < child.end:
            drop(child)


def top_level_alone(table, start, end, links, drop, flush):
    for link in links(table):
        if link.shared:
            drop(link)


def everything(table, start, end, links, drop, flush):
    for link in links(table):
        drop(link)


# scripts -------------------------------------------------------------------------------------
def threads_again(machine):
    task = machine.spawn("a")
    task.mmap(0x4000, 0x1000, "rw", ANON)
    thread = task.clone("b")
    task.store(0x4000, b"x"), thread.munmap(0x4000, 0x1000), task.store(0x4000, b"x")


def own_fault(machine):
    task = machine.spawn("a")
    task.mmap(0x4000, 0x1000, "rw", ANON)
    task.store(0x4000, b"x"), task.munmap(0x4000, 0x1000), task.store(0x4000, b"x")


def unmapped_load(machine):
    machine.spawn("a").load(0x4000)


def hugetlb(*places, length=0x10000, prot="rw", flags=MAP_SHARED):
    """A script: a process for each of *places* maps the file there and stores to its first page."""
    def script(machine):
        file = machine.open("/huge/db")
        for number, start in enumerate(places):
            task = machine.spawn("abcd"[number])
            task.mmap(start, length, prot, flags, file)
            task.store(start, b"x")
    return script


def one_process_twice(machine):
    task, file = machine.spawn(), machine.open("/huge/db")
    for start in (0x40000, 0x80000):
        task.mmap(start, 0x10000, "rw", MAP_SHARED, file)
        task.store(start, b"x")


def truncated_away(machine):
    task = machine.spawn()
    file = task.memfd("f", 0x1000)
    task.mmap(0x4000, 0x1000, "r", MAP_SHARED, file)
    task.load(0x4000), file.truncate(0), task.load(0x4000)


def child_stores_first(machine):
    task = machine.spawn()
    task.mmap(0x4000, 0x1000, "rw", ANON)
    task.store(0x4000, b"x")
    task.fork("b").store(0x4000, b"y")
    task.store(0x4000, b"z")


def protected_by_a_thread(machine):
    task = machine.spawn("a")
    task.mmap(0x4000, 0x1000, "rw", ANON)
    thread = task.clone("b")
    task.store(0x4000, b"x"), thread.mprotect(0x4000, 0x1000, "r"), task.store(0x4000, b"x")


def region_taken(machine):
    """By a child, which inherits the mapping."""
    a = machine.spawn("a")
    a.mmap(0x40000, 0x40000, "rw", MAP_SHARED, a.open("/sys/fs/mshare/pool"))
    b = a.fork("b")
    a.load(0x47000), b.mprotect(0x40000, 0x40000, ""), a.load(0x47000)


def region_lent(machine):
    """Nothing is taken: the mapping of an ordinary file is everybody's own."""
    file = machine.memfd("f", 0x1000)
    a, b = machine.spawn("a"), machine.spawn("b")
    for task in (a, b):
        task.mmap(0x4000, 0x1000, "rw", MAP_SHARED, file)
    a.store(0x4000, b"x"), b.mprotect(0x4000, 0x1000, "r"), a.store(0x4000, b"x")


def unmapped_and_kept(machine):
    task, file = machine.spawn(), machine.open("/dev/shm/db")
    file.truncate(0x4000)
    task.mmap(0x40000, 0x4000, "rw", MAP_SHARED, file)
    task.store(0x40000, b"x"), task.munmap(0x40000, 0x4000)


def two_mappers(machine):
    file = machine.memfd("db", 0x10000)
    for name in ("a", "b"):
        task = machine.spawn(name)
        task.mmap(0x40000, 0x10000, "rw", MAP_SHARED, file)
        task.touch(0x40000, 0x10000, write=True)


def emptied_file(machine):
    task = machine.spawn()
    file = task.memfd("f", 0x1000)
    task.mmap(1 << 40, 0x1000, "r", MAP_SHARED, file)
    task.load(1 << 40), file.truncate(0)
    return task


# (exercise, answer, a part of what is said)
WRONG = [
    ("01.4", lambda *a: walk(*a, stop=False), "PS bit"),
    ("01.4", lambda *a: walk(*a, present=False), "not present"),
    ("01.4", lambda *a: walk(*a, offset=False), "huge page"),
    ("01.4", lambda *a: walk(*a, order=(1, 2, 3, 4)), "0x"),
    ("01.4", lambda *a: walk(*a) or 0, "your function returned 0."),
    ("01.5", (0, 1 << 12), "top-level index is the same"),
    ("01.5", (0, 3 << 39), "differ in 2 bits"),
    ("01.5", (0, 1 << 47), "user-space"),
    ("01.5", [0, 1 << 39], "tuple"),
    ("02.4", lambda prot, write: "ok", "no mapping"),
    ("02.4", lambda prot, write: "SEGV_MAPERR" if prot is None else
     "ok" if ("w" if write else "r") in prot else "SEGV_ACCERR", "load with prot 'w'"),
    ("02.5", own_fault, "ended with Segfault"),
    ("02.5", lambda machine: None, "without a signal"),
    ("03.4", lambda vma: True, "only read"),
    ("03.4", lambda vma: not vma.shared, "only read"),
    ("03.4", lambda vma: vma.file is None, "only read"),
    ("03.4", lambda vma: vma.anon_vma is not None and vma.file is None, "private file mapping"),
    ("03.5", own_fault, "ended with Segfault"),
    ("03.5", lambda machine: None, "called nothing"),
    ("03.5", lambda machine: machine.spawn(), "no fault"),
    ("03.6", copied, "Who would miss the old page?"),
    ("03.6", kept, "who else would see the store?"),
    ("03.6", by_count_alone, "zero page: if it stays there"),
    ("03.6", by_kind_alone, "who else would see"),
    ("03.6", without_flush, "still remembers frame"),
    ("03.6", still_read_only, "fault again, for ever"),
    ("03.6", other_bits_lost, "bits have changed"),
    ("03.6", copied_twice, "more than once"),
    ("03.6", forgot_the_entry, "who else would see the store?"),
    ("03.6", cleared, "neither the old page nor a copy"),
    ("03.6", lambda: None, "TypeError"),
    ("04.5", lambda start, length: -(-length >> 21) + 2, "too few"),
    ("04.5", lambda start, length: length // 4096, "too few"),
    ("04.5", lambda start, length: 512.0, "returned 512.0"),
    ("04.6", [n << 30 for n in range(1, 9)], "in common"),
    ("04.6", [1 << 39], "eight different pages"),
    ("04.6", [-4096] * 8, "user space"),
    ("04.6", 3, "list"),
    ("05.5", own_fault, "same access"),
    ("05.5", unmapped_load, "same access"),
    ("05.5", lambda machine: None, "without SIGSEGV"),
    ("06.5", lambda vma, base, level: True, "not mapped"),
    ("06.5", lambda vma, base, level: vma.perms[-1] == "s", "not mapped"),
    ("06.5", lambda vma, base, level: vma.start <= base, "0x"),
    ("06.6", hugetlb(0x40000, 0x40000), "at the same address"),
    ("06.6", hugetlb(0x40000, 0x84000), "no PMD table has two users"),
    ("06.6", hugetlb(0x40000, 0x80000, length=0xC000), "no PMD table has two users"),
    ("06.6", hugetlb(0x40000, 0x80000, flags=MAP_PRIVATE), "no PMD table has two users"),
    ("06.6", lambda machine: machine.spawn(), "nobody has a PMD table"),
    ("07.4", lambda addr, start, host, guest, there: "link", "?"),
    ("07.4", lambda addr, start, host, guest, there: addr if there(addr) is None else "link", "?"),
    ("07.5", threads_again, "threads"),
    ("07.5", own_fault, "same access"),
    ("07.5", region_lent, "without SIGSEGV"),
    ("08.4", lambda *a: unshare(*a, meets=lambda *b: True), "map anything of the range?"),
    ("08.4", lambda *a: unshare(*a, meets=lambda link, start, end: start <= link.start
                                and link.end <= end), "still uses a shared table"),
    ("08.4", lambda *a: unshare(*a, first=from_below), "Whose entry is it?"),
    ("08.4", lambda *a: unshare(*a, told=lambda link, start, end: None), "still remembers"),
    ("08.4", lambda *a: unshare(*a, told=lambda link, start, end: a[5](start, end)),
     "not in the range, but in the table"),
    ("08.4", top_level_alone, "still uses a shared table"),
    ("08.4", everything, "which nobody else uses"),
    ("08.4", lambda *a: None, "still uses a shared table"),
    ("08.5", two_mappers, "for the cache's sake"),
    ("08.5", lambda machine: None, "no page table so far"),
    ("09.5", lambda size, processes, shift: ..., "three dots"),
    ("09.5", lambda size, processes, shift: 7, "four whole numbers"),
    ("09.5", 7, "the function itself"),
    ("09.5", lambda size, processes, shift: (1, 1, 1, 1), "PGD tables, which is too few"),
    ("09.5", lambda size, processes, shift: (processes, 1, 1, 1), "PUD tables, which is too few"),
    ("10.5", lambda machine, task: task.pss, "divides by entries"),
    ("10.5", lambda machine, task: task.rss, "that is RSS"),
    ("11.4", lambda world: 16, "maps 1 page in a fault"),
    ("11.4", lambda world: "16", "returned '16'"),
    ("11.5", lambda world: world.spawn(), "spawned a task so far"),
    ("11.5", lambda world: 3, "Return the task"),
]

# Other answers than those in the notebooks.
RIGHT = [
    ("01.4", walk), ("01.5", (1 << 46, 0)), ("02.5", truncated_away),
    ("03.5", child_stores_first), ("04.6", [n * 3 << 40 for n in range(1, 12)]),
    ("05.5", protected_by_a_thread), ("06.6", one_process_twice),
    ("06.6", hugetlb(0x40000, 0x80000, 0xC0000)), ("07.5", region_taken), ("08.4", unshare),
    ("08.5", unmapped_and_kept), ("11.5", emptied_file),
]


@pytest.mark.parametrize("name, answer, said", WRONG)
def test_a_typical_mistake_is_refused(name, answer, said):
    """And it is said where it shows."""
    verdict = check(name, answer)
    assert not verdict and said.lower() in verdict.why.lower(), verdict


@pytest.mark.parametrize("name, answer", RIGHT)
def test_another_right_answer_is_taken(name, answer):
    """Where there is more than one."""
    verdict = check(name, answer)
    assert verdict, verdict


def test_every_exercise_that_is_code_has_its_mistakes_here():
    """None is added without a thought about what goes wrong."""
    assert {name for name, exercise in EXERCISES.items() if not isinstance(exercise, Exercise)} \
        == {name for name, _, _ in WRONG}


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem[:2] not in ("00", "12")], ids=lambda path: path.stem)
def test_the_stored_answer_of_a_stub_says_what_to_do(path):
    """Nobody's answer is stored as right, and a function that is not written yet is no error."""
    nb = nbformat.read(path, as_version=4)
    cells = [cell for cell in nb.cells if 'check("' in cell.source and cell.cell_type == "code"]
    assert len(cells) == len(solutions(path)) >= 5
    for cell in cells:
        [output] = cell.outputs
        assert output.data["text/plain"].startswith("Not yet. ")
        if re.search(r"answer = \.\.\.|return \.\.\.", cell.source):
            assert "three dots" in output.data["text/plain"], cell.source
