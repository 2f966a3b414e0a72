"""Letting go of shared tables that are in a row: what unshare.py does, by the row."""

from .rowwise import put_pages
from .tlb import flush_rows, is_told
from .vma import VM_SHARED_PT


def unshare_rows(machine, mm, start: int, end: int, which) -> None:
    """The same of tables that are in a row, by the row."""
    for vma in mm.vmas_in(start, end) if mm.region is None else ():
        if vma.flags & VM_SHARED_PT:        # the host's
            unshare_rows(machine, mm, start, vma.start, which)
            start = vma.end
    if start >= end:
        return
    tables, geometry = machine.tables, machine.geometry
    tables.settle(mm.pgd, start, end)
    if all(run.leaf for *_, run in tables.runs(mm.pgd, start, end, cut=False)):
        return
    for lo, hi, level in shared_rows(machine, mm, start, end, which):
        for base, table, run in tables.runs(mm.pgd, lo, hi):
            unit, span = geometry.bits * level, geometry.span(level)
            pfn, count = run.pfn + (run.lo >> unit), run.hi - run.lo >> unit
            at = base + (run.lo << tables.shift)
            machine.emit("unshare", geometry.level_name(level), pfn, mm.name)
            flush_rows(machine, mm, at, at + count * span, count)
            tables.clear(table, run)
            mm.nr_tables -= count
            tables.share(pfn, count, -1)
            free_unused(machine, pfn, count)


def shared_rows(machine, mm, start: int, end: int, which) -> list[tuple[int, int, int]]:
    """(start, end, level) of the rows of tables that *which* is true of and that meet
    [start, end), whole tables."""
    tables, found = machine.tables, []
    for base, _, run in tables.runs(mm.pgd, start, end, cut=False):
        if run.leaf:
            continue
        level = run.level - 1
        unit, span = machine.geometry.bits * level, machine.geometry.span(level)
        first = max(run.lo >> unit, (start - base) // span)
        last = min(run.hi >> unit, -(-(end - base) // span))
        found += [(base + (lo - run.pfn) * span, base + (hi - run.pfn) * span, level)
                  for lo, hi, forest in tables.forests.within(run.pfn + first, run.pfn + last)
                  if which(forest)]
    return found


def free_unused(machine, pfn: int, count: int) -> int:
    """Free those of *count* tables in a row that nothing points to and nobody keeps."""
    freed = 0
    for lo, hi, forest in machine.tables.forests.within(pfn, pfn + count):
        if not forest.users and not (forest.home and machine.sharing.keep_unused):
            freed += free_forest(machine, lo, hi)
    return freed


def free_forest(machine, lo: int, hi: int) -> int:
    """Free tables in a row that nothing points to, with all that they map; how many tables."""
    tables, before = machine.tables, machine.tables.freed
    forest = tables.fell(lo, hi)
    run = tables.content(lo, hi, forest)
    put_pages(machine, run)
    if run.home:
        mapping, kind, page = run.home
        number = page >> machine.geometry.bits * forest.level
        mapping.forests[kind, forest.level].take(number, number + hi - lo)
    machine.emit("free_table", machine.geometry.level_name(forest.level), lo)
    return tables.freed - before


def clear_cached_rows(machine, mapping, first: int, last: int) -> None:
    """The same of tables in a row, by the row; a table that is cleared in part leaves it."""
    tables, bits = machine.tables, machine.geometry.bits
    for (kind, level), numbers in list(mapping.forests.items()):
        for edge in (first, last):
            pfn = edge % (1 << bits * level) and numbers.at(edge >> bits * level)
            if pfn:
                tables.object(pfn)
        whole = numbers.within(-(-first >> bits * level), last >> bits * level)
        for number, _, pfn, count in [(lo, hi, pfn, hi - lo) for lo, hi, pfn in whole]:
            for lo, hi, forest in tables.forests.take(pfn, pfn + count):
                run = tables.content(lo, hi, forest)
                put_pages(machine, run)
                tables.forests.add(lo, hi, forest._replace(run=forest.run._replace(
                    bits=0, pfn=0, step=0)))
                if run.bits:
                    page = number + lo - pfn << bits * level
                    flush_row_sharers(machine, mapping, lo, hi, page, level)
    for (_, level, base), table in list(mapping.tables.items()):
        if level == 2 and base < last and first < base + (1 << bits * 2):
            for index, _ in tables.present(table):
                tables.child(table, index)      # it is in mapping.tables then


def put_runs(machine, table, first: int, last: int) -> bool:
    """Empty entries first <= index < last of a PTE table as far as they are in runs; were any?"""
    found = machine.tables.cut_table(table, first, last) if table.level == 1 else []
    for run in found:
        put_pages(machine, run)
        machine.tables.clear(table, run)
    return bool(found)


def flush_row_sharers(machine, mapping, lo: int, hi: int, page: int, level: int) -> None:
    """As `flush_sharers` for each PTE table of a row of tables of *level*, which are in frames
    [lo, hi) and map the file from *page* on."""
    tables, geometry = machine.tables, machine.geometry
    span, below = geometry.span(level), geometry.entries ** (level - 1)
    for vma in mapping.i_mmap:
        start = vma.start + (page - vma.pgoff << tables.shift)
        start, end = max(start, vma.start), min(start + (hi - lo) * span, vma.end)
        if start >= end or not is_told(machine, vma.mm):
            continue
        for base, _, run in tables.runs(vma.mm.pgd, start, end, cut=False):
            if not run.leaf and run.level == level + 1:
                unit = geometry.bits * level        # a run may go on in the next VMA
                low = max(run.lo, start - base >> tables.shift)
                high = min(run.hi, end - base >> tables.shift)
                first = max(run.pfn + (low >> unit), lo)
                last = min(run.pfn + (high >> unit), hi)
                if first < last:
                    at = base + (first - run.pfn) * span
                    flush_rows(machine, vma.mm, at, at + (last - first) * span,
                               (last - first) * below)
