"""What a text equivalent says first: what there is to see."""
import pytest
import scenes
from scenes import ANON, MIB, PAGE

from mmlib import MAP_SHARED, TINY, X86_64, FileTableCache, Machine
from mmlib.views.beside import SideBySide
from mmlib.views.outline import describe
from mmlib.views.seen import alternative, seen
from mmlib.views.still import bundle


def said(scene, k=-1):
    return seen(scene().trace[k].after)


def test_processes_that_share_a_table_are_named_with_it():
    """Its level and its file; two have both arrows, three have theirs."""
    assert said(scenes.cache, 8) == \
        "a and b share one PMD table of db: both arrows end at the same box."
    assert said(scenes.cache, 9) == \
        "a, b and c share one PMD table of db: their arrows end at the same box."
    assert said(scenes.hugetlb, 7) == "a and b share one PMD table: both arrows end at the same box."


def test_a_table_below_a_shared_one_has_more_sharers():
    """c let go of the PMD table, and links the PTE tables below it that it can."""
    m = Machine(TINY, sharing=FileTableCache())
    tasks, file = [m.spawn(name) for name in "abc"], m.memfd("db", 16 * PAGE)
    for task in tasks:
        task.touch(task.mmap(0x40000, 16 * PAGE, "rw", MAP_SHARED, file), 16 * PAGE)
    tasks[2].mprotect(0x40000, PAGE, "r")
    tasks[2].touch(0x40000, 16 * PAGE)
    assert seen(m.snapshot()).startswith(
        "a, b and c share 3 PTE tables of db: their arrows end at the same boxes. "
        "a and b share one PMD table of db: both arrows end at the same box.")


def test_a_region_shares_with_its_guests():
    """The mm behind the file has an arrow, too."""
    assert said(scenes.region, 9) == \
        "region r, a and b share one PUD table: their arrows end at the same box."


def test_threads_have_one_top_level_table():
    """Both arrows end there."""
    assert said(scenes.threads, 1) == \
        "a and t run in one address space: both arrows end at the same top-level table."


def test_pages_are_shared_where_tables_are_not():
    """fork copies tables; copy on write then parts the pages, too."""
    apart = "a and b each have tables of their own: no two arrows end at the same table."
    assert said(scenes.fork, 4) == f"{apart} More than one arrow ends at each of 2 pages."
    assert said(scenes.fork, 5) == f"{apart} 2 arrows end at page 7."


def test_one_process_leads_to_its_pages():
    """Or to none; the zero page is no page of its own."""
    assert said(scenes.nothing) == "a has a top-level table, and nothing in it."
    assert said(scenes.states_of_pages, 3) == \
        "a: arrows lead from its top-level table down to one page and the zero page."


def test_what_is_left_without_a_process():
    """Tables that a file keeps, or nothing at all."""
    assert said(scenes.cache, -2).startswith(
        "No arrow of a process leads to 3 page tables kept with a file.")
    assert seen(Machine(TINY).snapshot()) == "Nothing is there."


def test_two_mappings_of_one_process_meet():
    """The cache serves both with one table."""
    m = Machine(TINY, sharing=FileTableCache(levels=("pte",)))
    a, file = m.spawn("a"), m.memfd("db", 4 * PAGE)
    for at in (0x40000, 0x80000):
        a.mmap(at, 4 * PAGE, "rw", MAP_SHARED, file)
        a.load(at)
    assert seen(m.snapshot()) == "Several entries of a lead to one PTE table of db: to the same box."


def test_a_crowd_is_a_number():
    """More than four are not named; those who share less come after."""
    m = Machine(X86_64, sharing=FileTableCache(levels=("pte",)))
    file, other = m.memfd("db", 2 * MIB), m.memfd("log", 2 * MIB)
    for n in range(6):
        task = m.spawn(f"client {n}")
        task.mmap(0x40000000, 2 * MIB, "rw", MAP_SHARED, file)
        task.load(0x40000000)
        if n < 2:
            task.mmap(0x80000000, 2 * MIB, "rw", MAP_SHARED, other)
            task.load(0x80000000)
    assert seen(m.snapshot()) == (
        "6 processes share one PTE table of db: their arrows end at the same box. client 0 and "
        "client 1 share one PTE table of log: both arrows end at the same box.")


@pytest.mark.parametrize("scene", scenes.ALL, ids=lambda scene: scene.__name__)
def test_who_shares_is_who_has_an_entry_there(scene):
    """An arrow ends at one box with another's exactly where a table or a page has two users."""
    for step in scene().trace:
        now, text = step.after, seen(step.after)
        assert (" share " in text or "Several entries" in text) == \
            any(table.users > 1 for table in now.tables), step
        assert (" at page " in text or "at each of" in text) == \
            any(frame.mapcount > 1 and frame.kind != "zero" for frame in now.frames), step


def test_every_text_equivalent_begins_with_it():
    """That of a machine, and of each of two side by side; then come all the boxes."""
    m = Machine(TINY)
    m.spawn("a").mmap(0x4000, PAGE, "rw", ANON)
    told = alternative(m.snapshot())
    assert told == f"{seen(m.snapshot())}\n{describe(m.snapshot())}"
    assert f'alt="{told}"' in bundle(m)["text/html"]
    assert SideBySide(m, m.branch(1)).figure().count(f'alt="{told}"') == 2
