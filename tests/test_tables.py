"""Page tables: the operations that are the only way to an entry."""
import random

import pytest

from mmlib import LA57, TINY, X86_64
from mmlib.geometry import NX, PFN_SHIFT, PROTNONE, PS, RW, TABLE, US, A, D, P
from mmlib.memory import Memory, OutOfMemory
from mmlib.tables import Tables, writable

PAGE = P | US


def leaf(pfn: int, bits: int = PAGE) -> int:
    return pfn << PFN_SHIFT | bits


def path(tables: Tables, root, addr: int, level: int = 1):
    """The table of *level* on the way to *addr*, made with all above it."""
    table = root
    while table.level > level:
        index = tables.geometry.index(addr, table.level)
        below = tables.child(table, index)
        if below is None:
            below = tables.alloc(table.level - 1, "a")
            tables.link(table, index, below)
        table = below
    return table


@pytest.fixture
def tables():
    return Tables(TINY, Memory(TINY))


@pytest.fixture
def root(tables):
    return tables.alloc(TINY.levels, "a")


# life ------------------------------------------------------------------------------------------
def test_a_table_takes_a_frame(tables):
    """It competes with pages for memory, and gives the frame back."""
    table = tables.alloc(1, "a")
    assert (tables.memory.used, tables.by_pfn) == (1, {table.pfn: table})
    tables.free(table)
    assert (tables.memory.used, tables.by_pfn) == (0, {})
    assert (tables.allocated, tables.freed) == (1, 1)


def test_no_table_without_memory():
    """pte_alloc fails; nothing was counted."""
    tables = Tables(TINY, Memory(TINY, 4096))
    tables.alloc(1, "a")
    with pytest.raises(OutOfMemory):
        tables.alloc(1, "a")
    assert (tables.allocated, len(tables.by_pfn)) == (1, 1)


def test_a_linked_table_cannot_be_freed(tables, root):
    """An entry would lead into a frame of somebody else."""
    child = path(tables, root, 0, level=3)
    with pytest.raises(AssertionError):
        tables.free(child)


def test_a_table_with_entries_cannot_be_freed(tables):
    """Its pages would be lost."""
    table = tables.alloc(1, "a")
    tables.set(table, 0, leaf(9))
    with pytest.raises(AssertionError):
        tables.free(table)
    tables.set(table, 0, 0)
    tables.free(table)


def test_a_table_is_printed_by_its_frame(tables):
    """The same in every run."""
    assert repr(tables.alloc(2, "a")) == "<level-2 table in frame 2>"


# one entry -------------------------------------------------------------------------------------
def test_a_fresh_table_is_empty(tables):
    """Every entry is 0."""
    table = tables.alloc(1, "a")
    assert [tables.get(table, i) for i in range(TINY.entries)] == [0] * TINY.entries
    assert tables.present(table) == []


def test_an_entry_is_what_was_set(tables):
    """set_pte_at; 0 clears (pte_clear)."""
    table = tables.alloc(1, "a")
    tables.set(table, 2, leaf(9))
    assert tables.get(table, 2) == leaf(9)
    tables.set(table, 2, 0)
    tables.set(table, 3, 0)
    assert tables.present(table) == []


@pytest.mark.parametrize("entry", [leaf(4, PAGE | PS), leaf(9, PROTNONE | PS), 0])
def test_a_leaf_leads_to_no_table(tables, root, entry):
    """A huge page at level 2, a page that nobody may touch, or nothing."""
    table = path(tables, root, 0, level=2)
    tables.set(table, 0, entry)
    assert tables.child(table, 0) is None


def test_entries_of_a_pte_table_are_pages(tables, root):
    """Whatever the frame number is: even that of a table."""
    table = path(tables, root, 0)
    tables.set(table, 0, leaf(root.pfn))
    assert tables.child(table, 0) is None


def test_link_counts_users(tables, root):
    """Each entry that points to a table is a user; the kernel counts the others besides the
    first (pt_share_count)."""
    child = tables.alloc(3, "a")
    counts = []
    for index in range(3):
        tables.link(root, index, child)
        counts.append((child.users, child.pt_share_count))
    assert counts == [(1, 0), (2, 1), (3, 2)]
    assert [tables.unlink(root, i) for i in range(3)] == [child] * 3
    assert (child.users, child.pt_share_count) == (0, 0)


def test_an_unlinked_table_lives_on(tables, root):
    """Its entries too: it can be linked elsewhere, as mremap does."""
    child = path(tables, root, 0)
    tables.set(child, 1, leaf(9))
    above = path(tables, root, 0, level=2)
    tables.link(above, 3, tables.unlink(above, 0))
    assert tables.lookup(root, 3 * TINY.span(1) + 0x1000) == (child, 1, leaf(9))


def test_a_link_allows_everything(tables, root):
    """_PAGE_TABLE: permission is left to the leaf."""
    child = tables.alloc(3, "a")
    tables.link(root, 1, child)
    assert tables.get(root, 1) == leaf(child.pfn, TABLE)


def test_a_link_needs_an_empty_entry(tables, root):
    """What is there would be lost."""
    tables.link(root, 0, tables.alloc(3, "a"))
    with pytest.raises(AssertionError):
        tables.link(root, 0, tables.alloc(3, "a"))


@pytest.mark.parametrize("level", [1, 2, 4])
def test_a_link_leads_one_level_down(tables, root, level):
    """A walk that skips a level would read the wrong bits."""
    with pytest.raises(AssertionError):
        tables.link(root, 0, tables.alloc(level, "a"))


def test_only_a_link_can_be_unlinked(tables, root):
    """Not an empty entry."""
    with pytest.raises(AssertionError):
        tables.unlink(root, 0)


def test_a_published_table_is_the_files(tables):
    """From its birth on; its owner is the file."""
    class File:
        name = "f"
    table, home = tables.alloc(1, "a"), (File, ("rw", 1, 0))
    tables.publish(table, home)
    assert (table.home, table.published, table.owner) == (home, True, "f")


# many entries ----------------------------------------------------------------------------------
def test_present_entries_are_in_order(tables):
    """Whatever the order in which they were set."""
    table = tables.alloc(1, "a")
    for index in (3, 0, 2):
        tables.set(table, index, leaf(index + 5))
    assert [i for i, _ in tables.present(table)] == [0, 2, 3]


@pytest.mark.parametrize("start, end", [(0, None), (0, 512), (100, 101), (100, 104), (7, 500),
                                        (500, None), (200, 200)])
def test_present_keeps_to_its_range(start, end):
    """A narrow range of a full table and a wide one give the same."""
    tables = Tables(X86_64, Memory(X86_64))
    table = tables.alloc(1, "a")
    for index in range(0, 512, 3):
        tables.set(table, index, leaf(index))
    assert tables.present(table, start, end) == [
        (i, leaf(i)) for i in range(start, 512 if end is None else end) if i % 3 == 0]


@pytest.mark.parametrize("geometry", (TINY, X86_64, LA57), ids=repr)
def test_leaves_and_links_are_those_of_a_plain_map(geometry):
    """Against a dictionary: what was set in random places, and no more, is found by every
    operation that visits a range, upwards."""
    rng = random.Random(geometry.levels)
    tables = Tables(geometry, Memory(geometry))
    root, plain, made = tables.alloc(geometry.levels, "a"), {}, set()
    size, pages = geometry.page_size, geometry.task_size // geometry.page_size
    for _ in range(60):
        addr = rng.choice([rng.randrange(pages), rng.randrange(min(pages, 4000))]) * size
        table = path(tables, root, addr)
        made |= {(level, addr // geometry.span(level)) for level in range(1, geometry.levels)}
        if rng.random() < .3:
            tables.set(table, geometry.index(addr, 1), 0)
            plain.pop(addr, None)
        else:
            plain[addr] = leaf(rng.randrange(1, 99), rng.choice([PAGE, PAGE | RW, PROTNONE]))
            tables.set(table, geometry.index(addr, 1), plain[addr])
    for _ in range(100):
        start, end = sorted(rng.choice([rng.randrange(pages), rng.randrange(min(pages, 4000))])
                            * size for _ in range(2))
        assert [(addr, entry) for addr, _, _, entry in tables.leaves(root, start, end)] == sorted(
            (addr, entry) for addr, entry in plain.items() if start <= addr < end)
        found = {(table.level, addr // geometry.span(table.level))
                 for addr, _, _, table in tables.links(root, start, end)}
        assert found == {(level, n) for level, n in made
                         if n * geometry.span(level) < end and start < (n + 1)
                         * geometry.span(level) and start < end}
    for addr, entry in plain.items():
        assert tables.lookup(root, addr)[2] == entry


def test_links_come_parents_first(tables, root):
    """So that fork can copy from the top; reversed they can be freed."""
    for addr in (0, TINY.span(1), TINY.span(3)):
        path(tables, root, addr)
    seen = {root}
    for _, parent, index, table in tables.links(root, 0, TINY.task_size):
        assert parent in seen and tables.child(parent, index) is table
        seen.add(table)
    assert len(seen) == len(tables.by_pfn)


def test_a_huge_page_is_a_leaf(tables, root):
    """It is found at its first address, from anywhere inside it."""
    table = path(tables, root, 0x4000, level=2)
    tables.set(table, 1, leaf(8, PAGE | PS))
    assert list(tables.leaves(root, 0x5000, 0x6000)) == [(0x4000, table, 1, leaf(8, PAGE | PS))]
    assert tables.lookup(root, 0x7fff) == (table, 1, leaf(8, PAGE | PS))


def test_below_gives_what_meets_the_range(tables, root):
    """Also an entry whose span begins before it."""
    table = path(tables, root, 0, level=2)
    for index in range(4):
        tables.set(table, index, leaf(4 * index + 4, PAGE | PS))
    span = TINY.entry_span(2)
    assert [at for at, *_ in tables.below(table, 0, span - 1, 2 * span + 1)] == [0, span, 2 * span]


# walks -----------------------------------------------------------------------------------------
def test_a_walk_ends_where_nothing_is(tables, root):
    """The last row holds the empty entry, or the leaf."""
    assert tables.walk(root, 0x56000) == [(root, 1, 0)]
    table = path(tables, root, 0x56000)
    assert [(t.level, i) for t, i, _ in tables.walk(root, 0x56000)] == [(4, 1), (3, 1), (2, 1),
                                                                        (1, 2)]
    tables.set(table, 2, leaf(9))
    assert tables.walk(root, 0x56000)[-1] == (table, 2, leaf(9))


def test_lookup_without_a_table(tables, root):
    """No table, entry 0: the caller need not ask twice."""
    assert tables.lookup(root, 0)[::2] == (None, 0)
    path(tables, root, 0, level=2)
    assert tables.lookup(root, 0)[::2] == (None, 0)
    table = path(tables, root, 0)
    assert tables.lookup(root, 0) == (table, 0, 0)


def test_table_at(tables, root):
    """The table of a level, where there is one (hugetlb_walk)."""
    table = path(tables, root, 0, level=2)
    assert tables.table_at(root, 0, 2) is table
    assert tables.table_at(root, 0, 1) is None
    assert tables.table_at(root, TINY.span(3), 2) is None


@pytest.mark.parametrize("write, dirty", [(False, 0), (True, D)])
def test_hardware_marks_what_it_used(tables, root, write, dirty):
    """Accessed on every level, Dirty on the leaf of a store (Intel SDM vol. 3A, 4.8)."""
    table = path(tables, root, 0)
    tables.set(table, 0, leaf(9, PAGE | RW | NX))
    assert tables.mark(tables.walk(root, 0), write) == leaf(9, PAGE | RW | NX | A | dirty)
    entries = [entry for _, _, entry in tables.walk(root, 0)]
    assert all(entry & A for entry in entries)
    assert [entry & D for entry in entries] == [0, 0, 0, dirty]


@pytest.mark.parametrize("bits, may", [(PAGE | RW, True), (PAGE, False), (PROTNONE | RW, False),
                                       (0, False)])
def test_writable(bits, may):
    """Present and RW; a PROT_NONE entry is not, whatever it remembers."""
    assert writable(leaf(9, bits)) is may


# pictures --------------------------------------------------------------------------------------
def test_a_state_is_made_anew_only_when_something_changed(tables, root):
    """Snapshots of a long trace share what is the same."""
    table = path(tables, root, 0)
    tables.set(table, 0, leaf(9))
    before, above = tables.state(table), tables.state(root)
    assert tables.state(table) is before and before.entries == ((0, leaf(9)),)
    tables.set(table, 1, leaf(8))
    assert tables.state(table).entries == ((0, leaf(9)), (1, leaf(8)))
    assert tables.state(root) is above and len(before.entries) == 1


@pytest.mark.parametrize("change", [
    lambda tables, root, table: tables.link(root, 3, table),
    lambda tables, root, table: tables.unlink(root, 0),
    lambda tables, root, table: tables.mark(tables.walk(root, 0), False),
    lambda tables, root, table: tables.publish(table, (type("File", (), {"name": "f"}), ())),
])
def test_every_operation_shows_in_the_state(tables, root, change):
    """A picture that lags behind would lie."""
    table = path(tables, root, 0, level=3)
    tables.set(table, 0, leaf(8, PAGE | PS))
    before = tables.state(table)
    change(tables, root, table)
    assert tables.state(table) != before
