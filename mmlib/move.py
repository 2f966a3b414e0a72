"""Moving page-table entries from one address to another: the other half of mremap."""

from .fault import next_table
from .memory import OutOfMemory
from .sharing import is_shared
from .tlb import flush_range
from .unmap import zap_page_range
from .unshare import unshare_range
from .vma import VMA


def move_page_tables(machine, mm, vma: VMA, old: int, new: int, length: int) -> None:
    """Move the entries of [old, old + length) to *new*; pages keep their frames, no fault.

    Where source and target are alike down to a whole 2 MiB (1 GiB), the table itself moves.
    Target tables are made wherever the source has one, even an empty one.  On OutOfMemory what
    has moved goes back."""
    tables, geometry = machine.tables, machine.geometry
    end, done = old + length, []
    unshare_range(machine, mm, old, end)
    if vma.huge:
        _move_huge(machine, mm, vma, old, new, length)
        return
    old, new = _realign(mm, vma, old, new, end)

    def extent(level: int) -> int:
        span = geometry.span(level)
        return min(end - old, span - old % span, span - new % span)

    try:
        while old < end:
            step, source = extent(2), _tables_of(tables, mm, old)
            if 2 in source:
                above = _table_above(machine, mm, vma, new, 3)
                if step < geometry.span(2) or not _move_table(tables, source[3], above, old, new,
                                                              done):
                    step = extent(1)
                    if 1 in source:
                        _move_extent(machine, mm, vma, source, old, new, step, done)
            old, new = old + step, new + step
    except OutOfMemory:
        for source, i, target, j in reversed(done):
            _move_one(tables, target, j, source, i)
        raise
    if done:
        whole = sum(source.level > 1 for source, *_ in done)
        machine.emit("move_entries", len(done) - whole, whole)
        flush_range(machine, mm, end - length, end)


def _move_huge(machine, mm, vma: VMA, old: int, new: int, length: int) -> None:
    """Move PMD entries that map huge pages (move_hugetlb_page_tables)."""
    tables = machine.tables
    targets = {at: _table_above(machine, mm, vma, new + at - old, 2)
               for at, *_ in tables.leaves(mm.pgd, old, old + length)}
    for at, source, index, _ in list(tables.leaves(mm.pgd, old, old + length)):
        slot = tables.geometry.index(new + at - old, 2)
        if is_shared(targets[at]):
            zap_page_range(machine, mm, at, at + tables.geometry.huge_size)
        else:
            tables.set(targets[at], slot, tables.get(source, index))
            tables.set(source, index, 0)
    if targets:
        machine.emit("move_entries", len(targets), 0)
        flush_range(machine, mm, old, old + length)


def _realign(mm, vma: VMA, old: int, new: int, end: int) -> tuple[int, int]:
    """Begin at the PTE table's border below, where both sides have nothing else in that table, so
    that the table can move whole (try_realign_addr)."""
    span = mm.geometry.span(1)
    into, source = old % span, mm.find_vma(old)
    if (into and into == new % span and end >= old - into + span
            and source.start == old and vma.start == new
            and not mm.mapped(old - into, old) and not mm.mapped(new - into, new)):
        return old - into, new - into
    return old, new


def _tables_of(tables, mm, addr: int) -> dict:
    """The tables on the way to *addr*, by level."""
    return {table.level: table for table, _, _ in tables.walk(mm.pgd, addr)}


def _table_above(machine, mm, vma: VMA, addr: int, level: int):
    """The table of *level* on the way to *addr*, made with all above it."""
    table = mm.pgd
    for n in range(machine.geometry.levels - 1, level - 1, -1):
        table = next_table(machine, mm, vma, addr, table, n)
    return table


def _move_extent(machine, mm, vma: VMA, source: dict, old: int, new: int, step: int,
                 done: list) -> None:
    """Move what one PTE table holds of the range: the table itself, or its entries.

    Where the target is a table that others share, nothing is moved into it: it has the file's
    pages already, or gets them by faults."""
    tables, span = machine.tables, machine.geometry.span(1)
    above = _table_above(machine, mm, vma, new, 2)
    if above.home is None and step == span and \
            _move_table(tables, source[2], above, old, new, done):
        return
    target = _table_above(machine, mm, vma, new, 1)
    if target.home is None:
        _move_entries(tables, source[1], target, old, new, step, done)
    else:
        zap_page_range(machine, mm, old, old + step)


def _move_table(tables, parent, target, old: int, new: int, done: list) -> bool:
    """Hang the table below *parent* on the way to *old* below *target*, if that slot is empty."""
    i = tables.geometry.index(old, parent.level)
    j = tables.geometry.index(new, target.level)
    if tables.get(target, j):
        return False
    _move_one(tables, parent, i, target, j)
    done.append((parent, i, target, j))
    return True


def _move_entries(tables, source, target, old: int, new: int, length: int, done: list) -> None:
    """Move the entries of *length* bytes from one PTE table to another."""
    first, base = tables.geometry.index(old, 1), tables.geometry.index(new, 1)
    last = first + (length >> tables.geometry.page_shift)
    for index, _ in tables.present(source, first, last):
        _move_one(tables, source, index, target, base + index - first)
        done.append((source, index, target, base + index - first))


def _move_one(tables, source, i: int, target, j: int) -> None:
    if source.level > 1:
        tables.link(target, j, tables.unlink(source, i))
    else:
        tables.set(target, j, tables.get(source, i))
        tables.set(source, i, 0)
