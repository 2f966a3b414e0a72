"""Processes that are alike: told and drawn once, with their number."""

from ..extents import is_link
from ..geometry import PFN_MASK, entry_pfn
from ..trace import MMState, Snapshot


last: list = []                         # a folded state, and its groups: a picture asks four times


def groups(now: Snapshot) -> list[list[MMState]]:
    """The mms of a folded state, those that differ in their private frames alone in one group;
    of any other state each for itself."""
    if not now.folded:
        hosts = now.hosts
        return [[mm] for mm in (*hosts, *(mm for mm in now.mms if mm not in hosts))]
    if not last or last[0] is not now:
        last[:] = now, grouped(now)
    return last[1]


def grouped(now: Snapshot) -> list[list[MMState]]:
    tables, frames = {t.pfn: t for t in now.tables}, {f.pfn: f for f in now.frames}
    threads: dict[str, int] = {}
    for task in now.tasks:
        threads[task.mm] = threads.get(task.mm, 0) + 1

    def shape(table) -> tuple:
        if table.published or table.users > 1:
            return table.node
        return table.level, table.count, tuple(
            (index, entry & ~PFN_MASK, shape(tables[entry_pfn(entry)]))
            if is_link(table.level, entry) else
            (index, entry & ~PFN_MASK, leaf(frames.get(entry_pfn(entry))))
            for index, entry in table.entries)

    def leaf(frame) -> tuple:
        return (frame.node if frame and frame.kind != "anon" else
                frame and (frame.count, frame.mapcount, frame.head))

    found: dict[tuple, list[MMState]] = {}
    for mm in now.mms:
        key = (mm.vmas, mm.tables, mm.rss, threads.get(mm.name), shape(tables[mm.root[0]]))
        found.setdefault(key, []).append(mm)
    return list(found.values())


def times(count: int) -> str:
    """
    >>> times(1), times(153600)
    ('', ' x153,600')
    """
    return f" x{count:,}" if count > 1 else ""
