"""Letting go of shared tables, and taking cached ones apart.

A shared table is never edited on behalf of one mm.  Before munmap, mprotect, MADV_DONTNEED or
mremap touches a part of its range, the mm drops its link to the whole table (huge_pmd_unshare);
what it still maps there faults in again.
"""

from .geometry import PRESENT, entry_pfn
from .sharing import is_shared
from .tables import Ptdesc
from .tlb import flush_range, is_told
from .unsharerows import clear_cached_rows, free_forest, put_runs, unshare_rows


def unshare_range(machine, mm, start: int, end: int, which=is_shared) -> None:
    """Drop every shared table of *mm* whose span meets [start, end), whole.

    What lies below a link to a region of msharefs is the host's, and stays."""
    unshare_rows(machine, mm, start, end, which)
    own, gone = {mm.pgd}, []
    for addr, parent, index, table in machine.tables.links(mm.pgd, start, end, runs=False):
        if parent in own:
            if which(table):
                gone.append((addr, parent, index, table))
            elif mm.region or not table.lent:
                own.add(table)
    for addr, parent, index, table in gone:
        span = machine.geometry.span(table.level)
        machine.emit("unshare", machine.geometry.level_name(table.level), table.pfn, mm.name)
        flush_range(machine, mm, addr, addr + span)
        put_table(machine, mm, parent, index)


def unshare_edges(machine, mm, start: int, end: int) -> None:
    """A VMA is about to be cut at *start* and *end*: no shared table may straddle a cut
    (hugetlb_split)."""
    for edge in (start, end):
        unshare_range(machine, mm, edge - 1, edge + 1, lambda t: is_shared(t) and (
            edge % machine.geometry.span(t.level)))


def put_table(machine, mm, parent: Ptdesc, index: int) -> None:
    """Take a table out of *mm*; free it if that was its last use and nobody keeps it."""
    table = machine.tables.unlink(parent, index)
    if parent.home is None:
        mm.count_table(table, -1)
    if not table.users and not (table.home and machine.sharing.keep_unused):
        free_table(machine, table)


def free_table(machine, table: Ptdesc) -> None:
    """Free a table that nothing points to; a cached one with all that only it reaches."""
    tables, memory = machine.tables, machine.memory
    if table.home is not None:
        mapping, key = table.home
        del mapping.tables[key]
    put_runs(machine, table, 0, machine.geometry.entries)
    for index, entry in tables.present(table):
        child = tables.child(table, index)
        if child is None:
            tables.set(table, index, 0)
            if entry & PRESENT:
                memory.put_folio(memory.folio(entry_pfn(entry)))
        else:
            assert child.home is not None, (table, child)
            tables.unlink(table, index)
            if not child.users and not (child.home and machine.sharing.keep_unused):
                free_table(machine, child)
    machine.emit("free_table", machine.geometry.level_name(table.level), table.pfn)
    tables.free(table)


def shrink_tables(machine) -> int:
    """Free the cached tables that nobody uses; how many (the proposal's shrinker)."""
    freed = 0
    while True:
        unused = [t for _, t in sorted(machine.tables.by_pfn.items()) if t.home and not t.users]
        rows = [(lo, hi) for lo, hi, forest in machine.tables.forests
                if forest.home and not forest.users]
        if not unused and not rows:
            return freed
        freed += sum(free_forest(machine, lo, hi) for lo, hi in rows)
        for table in unused:
            free_table(machine, table)
        freed += len(unused)


def clear_cached_tables(machine, mapping, first: int, last: int | None) -> None:
    """Clear the entries of pages first <= index < last in every cached table of a file, in use
    or not, for all its users at once; all of them must then be told."""
    tables, memory, pages = machine.tables, machine.memory, machine.geometry.entries
    clear_cached_rows(machine, mapping, first, 1 << 52 if last is None else last)
    for (_, level, base), table in list(mapping.tables.items()):
        if level != 1:
            continue
        start, end = max(first - base, 0), pages if last is None else min(max(last - base, 0), pages)
        changed = put_runs(machine, table, start, end)
        for index, entry in tables.own(table, start, end):
            tables.set(table, index, 0)
            memory.put_folio(memory.folio(entry_pfn(entry)))
            changed = True
        if changed:
            flush_sharers(machine, mapping, table, base)


def flush_sharers(machine, mapping, table: Ptdesc, base: int) -> None:
    """Every mm that reaches *table*, which maps the file from page *base* on, forgets its span
    (unless Machine.flush_sharers is off).

    The mms are found through the VMAs that map the file: one table, but N TLBs to tell."""
    span = machine.geometry.span(1)
    for vma in mapping.i_mmap:
        addr = vma.start + (base - vma.pgoff) * machine.geometry.page_size
        if not is_told(machine, vma.mm):
            continue
        if vma.start <= addr < vma.end and machine.tables.table_at(vma.mm.pgd, addr, 1) is table:
            flush_range(machine, vma.mm, addr, addr + span)


def drop_cached_tables(machine, mapping) -> None:
    """The file is gone, and with it every table that was kept for it."""
    for numbers in mapping.forests.values():
        for _, _, pfn, count in [(lo, hi, pfn, hi - lo) for lo, hi, pfn in numbers]:
            for lo, hi, _ in machine.tables.forests.within(pfn, pfn + count):
                free_forest(machine, lo, hi)
    for level in (2, 1):
        for key in [k for k in mapping.tables if k[1] == level]:
            if key in mapping.tables:
                free_table(machine, mapping.tables[key])
