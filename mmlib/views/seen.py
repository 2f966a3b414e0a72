"""What to see in a picture, in a sentence or two: where arrows meet.  Computed from the state.

A text equivalent begins with it: a list of all boxes does not say what a look at them does.
"""

from collections.abc import Iterator, Sequence

from ..geometry import entry_pfn
from ..trace import MMState, Snapshot, TableState
from .fold import groups
from .graph import file_label, is_link, plain
from .outline import describe

NAMED = 4                               # who is called by name; more are a number
PARTIES = 2                             # of those who share tables, each with a sentence
Alike = list[MMState]                   # a group of fold.py


def alternative(now: Snapshot) -> str:
    """The text equivalent of a picture: what to see, then everything that is there."""
    boxes = now.mms or now.tables or now.frames
    return f"{seen(now)}\n{describe(now)}" if boxes else seen(now)


def seen(now: Snapshot) -> str:
    """What a look at the picture of *now* says.

    >>> from mmlib import Machine, TINY, MAP_SHARED, FileTableCache
    >>> m = Machine(TINY, sharing=FileTableCache()); a = m.spawn("a"); b = m.spawn("b")
    >>> print(seen(m.snapshot()))
    a and b each have a top-level table, and nothing in it.
    >>> file = m.memfd("data", 0x4000)
    >>> for task in (a, b):
    ...     task.store(task.mmap(0x40000, 0x4000, "rw", MAP_SHARED, file), b"hi")
    >>> print(seen(m.snapshot()))
    a and b share one PTE table of data: both arrows end at the same box.
    """
    spaces, tables = groups(now), {table.pfn: table for table in now.tables}
    met: dict[tuple[int, int], list[Alike]] = {}        # a shared table -> who comes to it
    for alike in spaces:
        for table in reached(tables[alike[0].root[0]], tables):
            if table.users > 1:
                met.setdefault(table.node, []).append(alike)
    told = [*threads(now, spaces), *shared(now, met)] or apart(now, spaces)
    return " ".join([*told, *kept(now), *pages(now)]) or (
        "There is no process: no arrow leads to the pages." if now.frames else "Nothing is there.")


def reached(top: TableState, tables: dict[int, TableState]) -> Iterator[TableState]:
    """Every table below *top*, once."""
    todo, known = [top], {top.pfn}
    while todo:
        table = todo.pop()
        for _, entry in table.entries:
            if is_link(table.level, entry) and (pfn := entry_pfn(entry)) not in known:
                known.add(pfn)
                todo.append(tables[pfn])
                yield tables[pfn]


def threads(now: Snapshot, spaces: Sequence[Alike]) -> Iterator[str]:
    for alike in spaces:
        names = [plain(task.name) for task in now.tasks if task.mm == alike[0].name]
        if len(names) > 1:
            arrows = f"{'both' if len(names) == 2 else 'their'} arrows"
            yield (f"{series(names, 'threads')} run in one address space: {arrows} end at the same "
                   "top-level table.")


def shared(now: Snapshot, met: dict[tuple[int, int], list[Alike]]) -> Iterator[str]:
    """A sentence for those who share most, and one for the next."""
    parties: dict[tuple, tuple[list[Alike], list[TableState]]] = {}
    for table in now.tables:
        if table.node in met:
            who = met[table.node]
            parties.setdefault(tuple(id_ for alike in who for id_ in alike[0].root),
                               (who, []))[1].append(table)
    told = sorted(parties.values(), key=lambda party: -sum(map(len, party[0])))
    for who, tables in told[:PARTIES]:
        yield party(now, who, tables)
    left = sum(table.count for _, tables in told[PARTIES:] for table in tables)
    if left:
        yield f"{many(left, 'more page table')} {'are' if left > 1 else 'is'} shared by others."


def party(now: Snapshot, who: list[Alike], tables: list[TableState]) -> str:
    """Who shares which tables."""
    levels = {table.level for table in tables}
    level = f"{now.geometry.level_name(tables[0].level)} " if len(levels) == 1 else "page "
    owners = {table.owner for table in tables if table.published}
    what = many(sum(table.count for table in tables), f"{level}table")
    what += f" of {file_label(*owners)}" if len(owners) == 1 else ""
    boxes = "box" if len(tables) == 1 else "boxes"
    total = sum(map(len, who))
    if total == 1:
        return f"Several entries of {names(now, who)} lead to {what}: to the same {boxes}."
    return (f"{names(now, who)} share {what}: {'both' if total == 2 else 'their'} arrows end at "
            f"the same {boxes}.")


def apart(now: Snapshot, spaces: Sequence[Alike]) -> Iterator[str]:
    """No table is shared."""
    if not spaces:
        return
    alone, who = sum(map(len, spaces)) == 1, names(now, spaces)
    if not any(alike[0].tables for alike in spaces):
        yield f"{who} {'has' if alone else 'each have'} a top-level table, and nothing in it."
    elif alone:
        data = sum(f.count for f in now.frames if f.mapcount and f.kind != "zero")
        ends = [many(data, "page")] * bool(data) + ["the zero page"] * any(
            f.kind == "zero" for f in now.frames)
        ends = " and ".join(ends) or "no page"
        yield f"{who}: arrows lead from its top-level table down to {ends}."
    else:
        yield f"{who} each have tables of their own: no two arrows end at the same table."


def kept(now: Snapshot) -> Iterator[str]:
    count = sum(table.count for table in now.tables if table.published and not table.users)
    if count:
        yield f"No arrow of a process leads to {many(count, 'page table')} kept with a file."


def pages(now: Snapshot) -> Iterator[str]:
    """Pages at which arrows meet."""
    frames = [frame for frame in now.frames if frame.mapcount > 1 and frame.kind != "zero"]
    count = sum(frame.count for frame in frames)
    if count == 1:
        yield f"{frames[0].mapcount:,} arrows end at page {frames[0].pfn}."
    elif count:
        yield f"More than one arrow ends at each of {count:,} pages."


def names(now: Snapshot, who: Sequence[Alike]) -> str:
    """Those address spaces by name, or how many they are."""
    found = []
    for alike in who:
        tasks = [plain(task.name) for task in now.tasks if task.mm == alike[0].name]
        name = tasks[0] if tasks else f"region {file_label(alike[0].name)}"
        found += [name] * len(alike)
    return series(found, "address spaces" if now.hosts else "processes")


def series(found: list[str], kind: str) -> str:
    """
    >>> [series(["a", "b", "c"][:n], "threads") for n in (1, 2, 3)], series(["a"] * 1500, "threads")
    (['a', 'a and b', 'a, b and c'], '1,500 threads')
    """
    if len(found) > NAMED:
        return f"{len(found):,} {kind}"
    *others, last = found
    return f"{', '.join(others)} and {last}" if others else last


def many(count: int, what: str) -> str:
    """
    >>> many(1, "PMD table"), many(300, "page")
    ('one PMD table', '300 pages')
    """
    return f"one {what}" if count == 1 else f"{count:,} {what}s"
