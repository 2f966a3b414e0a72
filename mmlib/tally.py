"""How often each frame is pointed to: counted anew from all entries, for `check.validate`."""

from collections import Counter

from .extents import is_link
from .geometry import GUARD, entry_pfn
from .runs import Runs


class Tally:
    """Ranges of frames, each counted once for every entry (or run of entries) that leads to it."""

    def __init__(self) -> None:
        self._single, self._steps = Counter(), Counter()

    def add(self, lo: int, hi: int, times: int = 1) -> None:
        if hi - lo == 1:
            self._single[lo] += times
        elif hi > lo:
            self._steps[lo] += times
            self._steps[hi] -= times

    def runs(self) -> Runs:
        """The counts, by ranges of frames; frames that nothing leads to are left out."""
        steps = Counter(self._steps)
        for pfn, count in self._single.items():
            steps[pfn] += count
            steps[pfn + 1] -= count
        out, count, before = Runs(), 0, 0
        for pfn in sorted(steps):
            if count:
                out.add(before, pfn, count)
            count, before = count + steps[pfn], pfn
        assert count == 0
        return out


def tally(machine) -> tuple[Runs, Runs]:
    """(how many entries point to each table, how many map each page), by frame.

    An implied table has its one parent by what a run is, and is left out."""
    users, maps = Tally(), Tally()
    for table in machine.tables.by_pfn.values():
        frames = machine.geometry.entries ** (table.level - 1)
        for _, entry in machine.tables.own(table):
            pfn = entry_pfn(entry)
            if is_link(table.level, entry):
                users.add(pfn, pfn + 1)
            elif entry != GUARD:
                maps.add(pfn, pfn + frames)
        for run in machine.tables.runs_of(table):
            add_run(machine, run, users, maps)
    for lo, hi, forest in machine.tables.forests:
        add_run(machine, machine.tables.content(lo, hi, forest), users, maps)
    return users.runs(), maps.runs()


def add_run(machine, run, users: Tally, maps: Tally) -> None:
    unit = machine.geometry.bits * (run.level - 1)
    first, count = run.lo >> unit, (run.hi - 1 >> unit) + 1 - (run.lo >> unit)
    if not run.leaf:
        users.add(run.pfn + first, run.pfn + first + count)
    elif run.step:
        maps.add(run.pfn + first * run.step, run.pfn + (first + count) * run.step)
    elif run.bits:
        maps.add(run.pfn, run.pfn + 1, count)


def table_frames(machine) -> tuple[Counter, list[tuple[int, int]]]:
    """(tables by level, the ranges of frames that they take), counted one run at a time."""
    tables, levels, ranges = machine.tables, Counter(), []
    holders = [run for table in tables.by_pfn.values() for run in tables.runs_of(table)]
    for pfn, table in tables.by_pfn.items():
        levels[table.level] += 1
        ranges.append((pfn, pfn + 1))
    for lo, hi, forest in tables.forests:
        levels[forest.level] += hi - lo
        ranges.append((lo, hi))
        holders.append(tables.content(lo, hi, forest))
    for run in holders:
        for level, first, last in run.tables(machine.geometry.bits):
            levels[level] += last - first
            ranges.append((run.tabs[level - run.level][0] + first,
                           run.tabs[level - run.level][0] + last))
    return levels, ranges
