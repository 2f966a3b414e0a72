"""What a step shows: total states, what is new, what was walked, what is shared."""
import json
import random
import re

import pytest
import scenes
from scenes import ANON, PAGE

from mmlib import MAP_SHARED, TINY, X86_64, FileTableCache, Machine
from mmlib.geometry import PRESENT, entry_pfn
from mmlib.views.graph import edge_id, frame_id, is_link, table_id
from mmlib.views.state import content, delta, encode, state, walked
from mmlib.views.svg import union_svg
from mmlib.views.union import union


@pytest.fixture(params=scenes.ALL, ids=lambda scene: scene.__name__)
def machine(request):
    return request.param()


def states(machine):
    """(graph, the state of each step)."""
    trace = machine.trace
    graph = union([step.after for step in trace])
    return graph, [state(graph, step.after, before and before.after, step)
                   for before, step in zip([None, *trace], trace)]


def fold(deltas):
    """What stepper.js does with deltas."""
    now, out = {}, []
    for one in deltas:
        now = {name: value for name, value in (now | one).items() if value != ""}
        out.append(now)
    return out


def marked(shown, what):
    return {name for name, (classes, _) in shown.items() if what in classes}


# totality --------------------------------------------------------------------------------------
def test_deltas_fold_to_the_full_states(machine):
    """Back, forward and jump then end in the same picture."""
    _, shown = states(machine)
    full = [encode(one) for one in shown]
    deltas = [delta(old, new) for old, new in zip([{}, *full], full)]
    assert fold(json.loads(json.dumps(deltas))) == full


def test_a_state_does_not_depend_on_what_was_drawn_before(machine):
    """Steps in any order give the states of a forward pass."""
    graph, shown = states(machine)
    trace, order = machine.trace, list(range(len(machine.trace)))
    random.Random(1).shuffle(order)
    for k in order:
        before = trace[k - 1].after if k else None
        assert state(graph, trace[k].after, before, trace[k]) == shown[k]


def test_every_element_of_a_state_is_in_the_drawing_and_the_other_way(machine):
    """No id is shown that the SVG lacks, and nothing is drawn that no step ever shows."""
    graph, shown = states(machine)
    drawn = re.findall(r'data-id="([^"]+)"', union_svg(graph))
    assert len(drawn) == len(set(drawn))
    unescaped = {name.replace("&gt;", ">") for name in drawn}
    assert set().union(*shown) == unescaped


def test_an_empty_text_means_that_it_is_there_and_empty():
    """ "" is no state of an element: it is no longer there."""
    _, shown = states(scenes.fork())
    assert all("|" in value and value for one in shown for value in encode(one).values())
    assert all("on" in classes for one in shown for classes, _ in one.values())


# what is there ---------------------------------------------------------------------------------
def test_the_elements_are_those_of_the_snapshot(machine):
    """As far as a table has a cell for them: entries, and the arrows to what they point to."""
    graph, shown = states(machine)
    for step, one in zip(machine.trace, shown):
        now = step.after
        tables, frames = {t.pfn: t for t in now.tables}, {f.pfn: f for f in now.frames}
        arrows = set()
        for table in now.tables:
            for index, entry in table.entries:
                if is_link(table.level, entry):
                    end = table_id(tables[entry_pfn(entry)])
                elif entry & PRESENT:
                    end = frame_id(frames[entry_pfn(entry)])
                else:
                    continue
                arrows.add(edge_id(table_id(table), index, end))
        seen = {name for name in one if re.match(r"t\d+_\d+\.\d+>", name)}
        assert seen == arrows & graph.edges.keys()
        boxes = {table_id(t) for t in now.tables} | {frame_id(f) for f in now.frames}
        assert {n for n in one if re.fullmatch(r"[tf]\d+_\d+", n)} == boxes & graph.nodes.keys()


def test_a_pill_and_its_arrow_are_there_as_long_as_the_task():
    """Default names have a dot: a.1 is a child of a, and a task of its own."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.fork()
    a.clone()
    _, shown = states(m)
    assert [sum(name.startswith("k") and ">" not in name for name in one) for one in shown] == \
        [1, 2, 3]


def test_a_shared_table_says_by_how_many():
    """x2 as long as two entries point to it; x1 is not said."""
    m = Machine(TINY, sharing=FileTableCache(levels=("pte",)))
    file = m.memfd("db", 4 * PAGE)
    tasks = [m.spawn(name) for name in "abc"]
    for task in tasks:
        task.mmap(0x40000, 4 * PAGE, "rw", MAP_SHARED, file)
    for task in tasks:
        task.load(0x40000)
    tasks[0].exit()
    tasks[1].exit()
    _, shown = states(m)
    [name] = {n for one in shown for n in marked(one, "shared") if n.startswith("t")}
    assert [one[name][1] for one in shown if name in one] == ["", "x2", "x3", "x2", ""]
    assert ["shared" in one[name][0] for one in shown if name in one] == \
        [False, True, True, True, False]


def test_shared_means_more_than_one_entry(machine):
    """Class and number are the snapshot's count of users; a page's number is its mapcount."""
    _, shown = states(machine)
    for step, one in zip(machine.trace, shown):
        for table in step.after.tables:
            if table_id(table) in one:
                classes, text = one[table_id(table)]
                assert ("shared" in classes, text) == \
                    ((True, f"x{table.users}") if table.users > 1 else (False, ""))
        for frame in step.after.frames:
            if frame_id(frame) in one:
                assert one[frame_id(frame)][1] == \
                    (f"x{frame.mapcount}" if frame.mapcount > 1 else "")


# what is new -----------------------------------------------------------------------------------
def test_hot_is_exactly_what_differs(machine):
    """New, or reads differently; of a new table only the cells that hold something."""
    graph, shown = states(machine)
    bare = [state(graph, step.after) for step in machine.trace]
    assert not marked(shown[0], "hot")
    for k in range(1, len(shown)):
        differs = {n for n in bare[k] if bare[k - 1].get(n) != bare[k][n]}
        new_tables = {n for n in bare[k] if n.startswith("t") and "." not in n
                      and n not in bare[k - 1]}
        empty = {n for n in differs if ">" not in n and n.partition(".")[0] in new_tables
                 and "." in n and bare[k][n][1] == ""}
        assert marked(shown[k], "hot") == differs - empty


def test_a_step_that_changes_nothing_has_nothing_hot():
    """A second load of the same page."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, b"x")
    a.load(0x4000)
    _, shown = states(m)
    assert not marked(shown[-1], "hot") and marked(shown[-1], "walk")


def test_write_protection_by_fork_is_hot():
    """The entry of the parent reads r- where it read rw."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, b"x")
    a.fork("b")
    graph, shown = states(m)
    [pte] = [t for t in m.trace[2].after.tables if t.level == 1]
    cell = f"{table_id(pte)}.0"
    assert (shown[2][cell][1], shown[3][cell][1]) == ("rw", "r-")
    assert "hot" in shown[3][cell][0]


# the walk --------------------------------------------------------------------------------------
def test_the_walk_is_that_of_the_snapshot(machine):
    """Every entry on the way that `Snapshot.walk` takes, and the arrows between."""
    graph, shown = states(machine)
    for step, one in zip(machine.trace, shown):
        way = set()
        if step.addr is not None and step.addr < step.after.geometry.task_size and \
                step.mm in {m.name for m in step.after.mms}:
            path = step.after.walk(step.mm, step.addr)
            for table, index, _ in path:
                name = table_id(table)
                if name in graph.nodes:
                    cells = graph.nodes[name].cells
                    way.add(f"{name}.{index if index in cells else None}")
        assert {n for n in marked(one, "walk") if ">" not in n} == way & one.keys()


def test_a_walk_ends_at_the_page():
    """Four cells, three arrows to tables, and one to the page."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, b"x")
    step = m.trace[-1]
    names = walked(step.after, step)
    assert [(">" in name) for name in names] == [False, True] * 4
    assert names[-1].endswith(frame_id(step.after.frames[0]))


def test_a_walk_through_a_large_table_shows_at_the_cell_that_counts():
    """The entry has no cell of its own."""
    m = Machine(X86_64)
    a = m.spawn("a")
    a.mmap(0x40_0000, 8 * PAGE, "rw", ANON)
    for page in range(8):
        a.store(0x40_0000 + page * PAGE, b"x")
    graph, shown = states(m)
    [pte] = [n.id for n in graph.nodes.values() if n.label.startswith("PTE")]
    assert {n for n in marked(shown[-1], "walk") if n.startswith(pte)} == {f"{pte}.None"}


@pytest.mark.parametrize("call", [lambda a: a.load(1 << 40), lambda a: a.exit(),
                                  lambda a: a.munmap(1 << 60, PAGE)])
def test_an_address_that_no_table_translates_is_no_walk(call):
    """Beyond the address space, or in an mm that is gone."""
    m = Machine(TINY)
    a = m.spawn("a")
    m.spawn("b")
    try:
        call(a)
    except Exception:
        pass
    assert len(m.trace) == 3
    assert walked(m.trace[-1].after, m.trace[-1]) == []


# texts -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("head, text", [
    (bytes(8), "0"), (b"hi" + bytes(6), "hi"), (b"12345678", "12345678"), (b"\x00\x01" + bytes(6),
                                                                           "0001"),
    (b"\xff" * 8, "fffffff.."), (b"<a>&" + bytes(4), "<a>&")])
def test_content_of_a_page(head, text):
    """Text if it is text, else hexadecimal; never more than fits."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, head)
    assert content(m.snapshot().frames[0]) == text


def test_a_cell_tells_what_its_entry_allows():
    """rw, r-, -- of PROT_NONE, gd of a guard; nothing where nothing is."""
    m = scenes.states_of_pages()
    _, shown = states(m)
    texts = {text for one in shown for name, (_, text) in one.items()
             if re.fullmatch(r"t\d+_\d+\.\d", name)}
    assert {"rw", "r-", "--", "gd", ""} <= texts
    assert all(re.fullmatch(r"rw|r-|--|gd|\d*", text) for text in texts)
