"""Rows of entries that are alike, for the verbs: the tables' runs and the pages behind them."""

from .memory import ZERO_PFN


def rows(machine, mm, start: int, end: int):
    """(table, run, pages) of the runs in [start, end) that map pages, or nothing (pages None), by
    tables that are no shared ones; *pages* is what the pages of one row have in common, a `Folio`
    or a `Pages`.  Runs are cut so that it is so.

    What is not in a run is not here: `Tables.leaves` with ``runs=False`` has it."""
    tables, memory, todo, out = machine.tables, machine.memory, [(start, end)], []
    while todo:
        start, end = todo.pop()
        for base, table, run in tables.runs(mm.pgd, start, end):
            if not run.leaf:
                continue
            if not run.bits or not run.step:
                out.append((table, run, memory.zero if run.bits else None))
                continue
            pfn, frames = extent(machine, run)
            kinds = memory.kinds(pfn, frames)
            if len(kinds) == 1:
                out.append((table, run, kinds[0][2]))
                continue
            first = base + (run.lo << tables.shift)
            todo += [(first + (lo - pfn << tables.shift), first + (hi - pfn << tables.shift))
                     for lo, hi, _ in kinds]
    return out


def extent(machine, run) -> tuple[int, int]:
    """(first, how many) of the frames of the pages that *run* maps."""
    unit = machine.geometry.bits * (run.level - 1)
    return run.pfn + (run.lo >> unit) * run.step, run.hi - run.lo


def get_pages(machine, run, **changes) -> int:
    """One entry more maps each page of *run*; how many they are."""
    pages = run.hi - run.lo >> machine.geometry.bits * (run.level - 1)
    if not run.bits:
        return 0
    if run.step:
        machine.memory.get_extent(*extent(machine, run), **changes)
    else:
        machine.memory.folio(ZERO_PFN).mapcount += pages
    return pages


def put_pages(machine, run) -> int:
    """One entry fewer maps each page of *run*; how many they are."""
    pages = run.hi - run.lo >> machine.geometry.bits * (run.level - 1)
    if not run.bits:
        return 0
    if run.step:
        machine.memory.put_extent(*extent(machine, run))
    else:
        machine.memory.folio(ZERO_PFN).mapcount -= pages
    return pages
