"""The picture within a call: what each event shows, and that nothing is shown too early."""
import pytest
import scenes
from scenes import ANON, PAGE

from mmlib import TINY, Machine
from mmlib.views.graph import table_id
from mmlib.views.micro import MOST, micro
from mmlib.views.state import encode, present
from mmlib.views.union import union


@pytest.fixture(params=scenes.ALL, ids=lambda scene: scene.__name__)
def calls(request):
    """(graph, the step before, the step, the pictures after its events) of each step."""
    trace = request.param().trace
    graph = union([step.after for step in trace])
    return [(graph, before, step, pictures(graph, before.after, step))
            for before, step in zip(trace, trace[1:])]


def pictures(graph, before, step):
    """What stepper.js makes of the differences."""
    now, out = encode(present(graph, before)), []
    for change in micro(graph, before, step):
        now = {name: value for name, value in (now | change).items() if value != ""}
        out.append(now)
    return out


def words(shown, name):
    return shown[name].partition("|")[0].split()


def test_every_event_is_a_stop(calls):
    """Up to a number of them."""
    for _, _, step, shown in calls:
        assert len(shown) == min(len(step.events), MOST)


def test_nothing_is_shown_that_neither_side_has(calls):
    """Every element is there before the call or after it."""
    for graph, before, step, shown in calls:
        ends = present(graph, before.after).keys() | present(graph, step.after).keys()
        assert all(one.keys() <= ends for one in shown)


def test_no_arrow_without_its_ends_and_no_cell_without_its_table(calls):
    """In every picture."""
    for graph, _, _, shown in calls:
        for one in shown:
            for name in one:
                if name in graph.edges:
                    start, _, end = graph.edges[name]
                    assert start in one and end in one
                elif "." in name:
                    assert name.partition(".")[0] in one


def test_a_walk_changes_nothing_and_marks_the_entry_that_is_read(calls):
    """As far as the table is drawn."""
    seen = 0
    for graph, before, step, shown in calls:
        last = encode(present(graph, before.after))
        for event, one in zip(step.events, shown):
            if event.kind == "walk":
                plain = [{n: v.partition("|")[2] for n, v in s.items()} for s in (last, one)]
                assert plain[0] == plain[1]
                marked = [n for n in one if "now" in words(one, n)]
                assert len(marked) <= 1
                seen += len(marked)
            last = one
    assert seen or not any(e.kind == "walk" for _, _, step, _ in calls for e in step.events)


def test_tables_of_a_fault_come_one_by_one():
    """PUD, PMD, PTE, then the page, then the entry that maps it; the bytes come last."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, b"x")
    graph, step = union([s.after for s in m.trace]), m.trace[2]
    shown = pictures(graph, m.trace[1].after, step)
    kinds = [event.kind for event in step.events]
    boxes = [sum("." not in name and ">" not in name and name[0] == "t" for name in one)
             for one in shown]
    first = kinds.index("table")
    assert boxes[first - 1:first + 3] == [1, 2, 3, 4]
    [pte] = [table_id(t) for t in step.after.tables if t.level == 1]
    fill = kinds.index("fill")
    assert shown[fill - 1][f"{pte}.0"].endswith("|") and shown[fill][f"{pte}.0"].endswith("|rw")
    [page] = [name for name in shown[-1] if name.startswith("f") and name.endswith(".0")]
    assert shown[-1][page].endswith("|0")


def test_copy_on_write_copies_before_the_store():
    """The new page holds what the old one holds, until the call is over."""
    m = scenes.fork()
    graph, step = union([s.after for s in m.trace]), m.trace[5]
    shown = pictures(graph, m.trace[4].after, step)
    copy = [event.kind for event in step.events].index("copy")
    texts = [sorted(v.partition("|")[2] for n, v in one.items() if n[0] == "f" and n.endswith(".0"))
             for one in shown]
    assert texts[copy - 1].count("rows") == 1 and texts[copy].count("rows") == 2
    assert "mine" not in str(texts)


def test_what_is_unmapped_goes_event_by_event():
    """munmap: pages, then entries, then tables, from the leaves up."""
    m = scenes.fork()
    graph, step = union([s.after for s in m.trace]), m.trace[13]
    shown = pictures(graph, m.trace[12].after, step)
    freed = [event for event in step.events if event.kind == "free_table"]
    boxes = [sum("." not in n and n[0] == "t" and ">" not in n for n in one) for one in shown]
    assert len(freed) == 3 and [boxes[-4] - n for n in boxes[-3:]] == [1, 2, 3]
