"""Two traces side by side: what differs is found by place, marked, and told."""
import json
import re

import pytest
import scenes
from scenes import ANON, PAGE

from mmlib import MAP_SHARED, TINY, X86_64, FileTableCache, Machine, Private
from mmlib.views.beside import SideBySide
from mmlib.views.differ import differences

NAMES = ("private", "cached")


def mapped(sharing, machine=None):
    """Two processes that read one file."""
    m = machine or Machine(TINY, sharing=sharing)
    file = m.memfd("db", 4 * PAGE)
    for name in "ab":
        m.spawn(name).mmap(0x40000, 4 * PAGE, "rw", MAP_SHARED, file)
    for task in m.tasks:
        task.load(0x40000)
    return m


@pytest.fixture
def pair():
    return mapped(Private()), mapped(FileTableCache())


def texts(one, other):
    return [d.text for d in differences(one.snapshot(), other.snapshot(), NAMES)]


def shown(pair, side, k):
    """The elements that carry a mark at step *k*."""
    track, now = pair.data["tracks"][side], {}
    for step in track["steps"][:k + 1]:
        now = {n: v for n, v in (now | step["delta"]).items() if v != ""}
    return {name for name, value in now.items() if "diff" in value.partition("|")[0].split()}


# what differs ----------------------------------------------------------------------------------
@pytest.mark.parametrize("scene", scenes.ALL, ids=lambda scene: scene.__name__)
def test_a_machine_does_not_differ_from_itself(scene):
    """Nor from one that made the same calls."""
    for one, other in zip(scene().trace, scene().trace):
        assert differences(one.after, other.after, NAMES) == []


def test_frame_numbers_are_no_difference():
    """The same tables in other frames are alike."""
    plain, moved = (Machine(TINY) for _ in range(2))
    other = moved.spawn("other")
    for m in (plain, moved):
        a = m.spawn("a")
        a.mmap(0x4000, PAGE, "rw", ANON)
        a.store(0x4000, b"x")
    other.exit()
    frames = [m.snapshot().tables[0].pfn for m in (plain, moved)]
    assert frames[0] != frames[1] and texts(plain, moved) == []


def test_who_shares_a_table(pair):
    """Told for each who does."""
    assert texts(*pair) == [
        f"{who}, PTE table of 0x40000: its own (private), shared by 2 (cached)." for who in "ab"]


def test_what_a_branch_did_otherwise():
    """A missing table, an entry, and the bytes of a page."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, 3 * PAGE, "rw", ANON)
    a.store(0x4000, b"one")
    other = m.branch(2)
    [b] = other.tasks
    b.store(0x4000, b"two")
    b.load(0x5000)
    assert texts(m, other) == [
        "a, page at 0x4000: one (private), two (cached).",
        "a, entry of 0x5000 in the PTE table: empty (private), r- (cached)."]
    a.exit()
    assert texts(m, other) == ["The mm of a is there in cached only."]


def test_a_table_that_one_lacks():
    """Each level is told."""
    one, other = Machine(TINY), Machine(TINY)
    for m in (one, other):
        m.spawn("a").mmap(0x4000, PAGE, "rw", ANON)
    one.tasks[0].load(0x4000)
    assert texts(one, other) == [
        "a, entry of 0x0 in the PGD table: a table (private), empty (cached).",
        "a, PUD table of 0x0: only in private.", "a, PMD table of 0x0: only in private.",
        "a, PTE table of 0x4000: only in private."]


# the widget ------------------------------------------------------------------------------------
def test_marks_are_where_the_differences_are(pair):
    """In both pictures, on the tables named; at steps without a difference on nothing."""
    beside = SideBySide(*pair, names=NAMES)
    last = len(pair[0].trace) - 1
    for side, m in enumerate(pair):
        leaves = {f"t{t.pfn}_{t.birth}" for t in m.snapshot().tables if t.level == 1}
        assert shown(beside, side, last) == leaves
        assert not any(shown(beside, side, k) for k in range(last))
    assert [len(numbers) for numbers in beside.data["differences"]] == [0] * last + [2]


def test_the_shorter_trace_stays_at_its_end(pair):
    """A branch may go on for longer."""
    one, _ = pair
    other = one.branch(len(one.trace) - 1)
    other.tasks[0].store(0x41000, b"more")
    beside = SideBySide(one, other)
    assert [len(track["steps"]) for track in beside.data["tracks"]] == [7, 8]
    assert "first: b.load(0x40000)" in repr(beside) and "second: a.store(0x41000" in repr(beside)
    assert len(beside.data["differences"]) == 8


def test_text_and_figure_are_of_one_step(pair):
    """For where it cannot live: both pictures, and what differs in words."""
    beside = SideBySide(*pair, names=NAMES, still=6)
    data, _ = beside._repr_mimebundle_()
    assert data["text/plain"].splitlines() == [
        "Side by side, step 7 of 7", "private: b.load(0x40000) -> b'\\x00'",
        "cached: b.load(0x40000) -> b'\\x00'", *texts(*pair)]
    assert len(re.findall("<figure", data["text/html"])) == 2
    assert "<code>private: b.load" in data["text/html"]
    assert data["text/html"].endswith(f"<p>Step 7 of 7. {' '.join(texts(*pair))}</p>")
    json.dumps(beside.data)


@pytest.mark.parametrize("make, says", [
    (lambda one, other: SideBySide(one, other, names=("x", "x")), "names are two that differ"),
    (lambda one, other: SideBySide(one, other, still=7), "still is a step from 0 to 6, not 7"),
    (lambda one, other: SideBySide(one, Machine(TINY)), "the trace is empty"),
    (lambda one, other: SideBySide(one, mapped(None, Machine(X86_64))),
     "TINY and X86_64 cannot be compared")])
def test_a_mistake_is_named(pair, make, says):
    """ValueError with what is wrong."""
    with pytest.raises(ValueError, match=says):
        make(*pair)
