"""In what two states differ, place by place: frame numbers and order do not matter.

A table is at the same place in both if the same address space reaches it at the same address.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ..geometry import PRESENT, Geometry, entry_letters, entry_pfn
from ..trace import FrameState, Snapshot, TableState
from .graph import frame_id, is_link, plain, table_id
from .state import content

MOST = 40                               # sentences


class Difference(NamedTuple):
    """One sentence, and the elements of either picture that it is about."""

    text: str
    one: str | None
    other: str | None


Place = tuple[str, int, int]            # of a table: the mm, the level, the first address


def differences(one: Snapshot, other: Snapshot, names: tuple[str, str]) -> list[Difference]:
    """Address spaces, tables, entries and pages that differ, in the order of addresses.

    >>> from mmlib import MAP_ANONYMOUS, MAP_PRIVATE, TINY, Machine
    >>> m = Machine(TINY); a = m.spawn("a")
    >>> start = a.mmap(0x4000, 0x1000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    >>> n = m.branch(1); n.tasks[0].load(start); a.store(start, b"hi")
    b'\\x00'
    >>> [d.text for d in differences(m.snapshot(), n.snapshot(), ("stored", "loaded"))]
    ['a, entry of 0x4000 in the PTE table: rw (stored), r- (loaded).', \
'a, page at 0x4000: hi (stored), the zero page (loaded).']
    """
    spaces = [{mm.name for mm in now.mms} for now in (one, other)]
    out = [Difference(f"The mm of {plain(name)} is there in {names[name in spaces[1]]} only.",
                      None, None) for name in sorted(spaces[0] ^ spaces[1])]
    here, there = dict(places(one)), dict(places(other))
    frames = [{frame.pfn: frame for frame in now.frames} for now in (one, other)]
    for place in sorted(here.keys() | there.keys(), key=lambda p: (p[0], p[2], -p[1])):
        if place[0] in spaces[0] & spaces[1]:
            out += compared(place, here.get(place), there.get(place), one.geometry, frames, names)
    return out


def places(now: Snapshot) -> Iterator[tuple[Place, TableState]]:
    """Every table at every place where it is reached."""
    tables = {table.pfn: table for table in now.tables}
    todo = [(mm.name, 0, tables[mm.root[0]]) for mm in now.mms]
    while todo:
        mm, base, table = todo.pop()
        yield (mm, table.level, base), table
        todo += [(mm, base + index * now.geometry.entry_span(table.level), tables[entry_pfn(entry)])
                 for index, entry in table.entries if is_link(table.level, entry)]


def compared(place: Place, mine: TableState | None, yours: TableState | None,
             geometry: Geometry, frames: list[dict[int, FrameState]],
             names: tuple[str, str]) -> Iterator[Difference]:
    """In what the tables at one place differ: that one is missing, its users, its entries."""
    mm, level, base = place
    who, kind = plain(mm), geometry.level_name(level)
    ids = mine and table_id(mine), yours and table_id(yours)
    if mine is None or yours is None:
        yield Difference(f"{who}, {kind} table of {base:#x}: only in {names[mine is None]}.", *ids)
        return
    if mine.users != yours.users:
        told = [f"shared by {t.users}" if t.users > 1 else "its own" for t in (mine, yours)]
        yield Difference(f"{who}, {kind} table of {base:#x}: {told[0]} ({names[0]}), "
                         f"{told[1]} ({names[1]}).", *ids)
    entries = dict(mine.entries), dict(yours.entries)
    for index in sorted(entries[0].keys() | entries[1].keys()):
        pair = entries[0].get(index, 0), entries[1].get(index, 0)
        at = base + index * geometry.entry_span(level)
        told = [kind_of(level, entry) for entry in pair]
        if told[0] != told[1]:
            yield Difference(f"{who}, entry of {at:#x} in the {kind} table: {told[0]} ({names[0]}), "
                             f"{told[1]} ({names[1]}).", f"{ids[0]}.{index}", f"{ids[1]}.{index}")
        if all(entry & PRESENT and not is_link(level, entry) for entry in pair):
            pages = [known[entry_pfn(entry)] for known, entry in zip(frames, pair)]
            held = [content(f) if f.kind != "zero" else "the zero page" for f in pages]
            if held[0] != held[1]:
                yield Difference(f"{who}, page at {at:#x}: {held[0]} ({names[0]}), {held[1]} "
                                 f"({names[1]}).", *map(frame_id, pages))


def kind_of(level: int, entry: int) -> str:
    return "a table" if is_link(level, entry) else entry_letters(entry) or "empty"
