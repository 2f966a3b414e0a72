"""The frozen picture of all tables and pages: each of them, or, where they are too many, one for
each row of alike ones.
"""

from itertools import repeat

from .extents import is_link
from .geometry import PFN_MASK, PFN_SHIFT, ZERO_PFN, entry_pfn
from .tables import Ptdesc
from .trace import FrameState, TableState

MANY = 4096                         # tables; more are told by the row
MANY_PAGES = 1 << 17


def folds(machine) -> bool:
    """Is *machine* too large to tell every table and page?"""
    extents = sum((hi - lo) // pages.frames for lo, hi, pages in machine.memory.extents)
    return sum(machine.tables.counts) > MANY or extents + len(machine.memory.folios) > MANY_PAGES


def frames(machine) -> tuple[FrameState, ...]:
    """Every page, or one for each extent, by frame; the zero page if it is in use."""
    memory, folded = machine.memory, folds(machine)
    out = [folio.state() for folio in memory.folios.values()]
    for lo, hi, pages in memory.extents:
        unit = pages.frames
        step, count = (hi - lo, (hi - lo) // unit) if folded else (unit, 1)
        kind, file, zeros = "anon", "", bytes(8)
        indices = repeat(-1)
        if pages.mapping is not None:
            kind, file, indices = "file", pages.mapping.name, range(pages.index, 1 << 64, step)
        out += [FrameState(pfn, birth, kind, file, index, pages.mapcount, zeros, count)
                for pfn, birth, index in zip(range(lo, hi, step), range(
                    pages.birth, 1 << 64, step // unit), indices)]
    out.sort(key=lambda frame: frame.pfn)
    return ((memory.zero.state(),) if memory.zero.mapcount else ()) + tuple(out)


def tables(machine, folded: bool) -> tuple[TableState, ...]:
    """Every table, or, if *folded*, one for each row, by frame."""
    known, out = machine.tables, []
    for table in known.by_pfn.values():
        if not known.runs_of(table):
            out.append(known.state(table))
            continue
        out.append(_state(machine, table, table.pfn, table.birth, 1, folded))
        for run in known.runs_of(table):
            _implied(machine, run, out, folded)
    for lo, hi, forest in known.forests:
        run = known.content(lo, hi, forest)
        for pfn in range(lo, hi, hi - lo if folded else 1):
            each = forest.after(pfn - lo)
            top = _seen(machine, run, forest.level, pfn - lo)
            top.users, top.published = forest.users, forest.published
            out.append(_state(machine, top, pfn, each.birth, hi - lo if folded else 1, folded))
        _implied(machine, run, out, folded)
    out.sort(key=lambda table: table.pfn)
    return tuple(out)


def _implied(machine, run, out: list, folded: bool) -> None:
    """The tables that *run* implies."""
    for level, first, last in run.tables(machine.geometry.bits):
        pfn, birth = run.tabs[level - run.level]
        if folded:
            out.append(TableState(
                pfn + first, birth + first, level, 1, run.owner, run.home is not None,
                _row(machine, run, level, first), last - first))
            continue
        for n in range(first, last):
            table = _seen(machine, run, level, n)
            table.users, table.published = 1, run.home is not None
            out.append(_state(machine, table, pfn + n, birth + n, 1, False))


def _row(machine, run, level: int, number: int) -> tuple[tuple[int, int], ...]:
    """The first entry of the *number*-th table of *level* that *run* goes through: all that a
    folded snapshot tells of it."""
    bits = machine.geometry.bits
    n = max(run.lo >> bits * (level - 1), number << bits)
    entry = run.entry(n, level, bits)
    return ((n - (number << bits), _first(machine, level, entry)),) if entry else ()


def _seen(machine, run, level: int, number: int) -> Ptdesc:
    """The *number*-th table of *level* that *run* goes through, as if it were an object."""
    bits, table = machine.geometry.bits, Ptdesc(0, 0, level, run.owner)
    low = number << bits * level
    table._runs = [run.cut(low, low + (1 << bits * level)).moved(low, level, bits)]
    return table


def _state(machine, table: Ptdesc, pfn: int, birth: int, count: int, folded: bool) -> TableState:
    known, owner = machine.tables, table.owner
    entries = known.own(table) if folded else known.present(table)
    if folded:
        for run in known.runs_of(table):
            index = known.indices(table, run)[0]
            entries.append((index, known.get(table, index)))
        entries = [(index, _first(machine, table.level, entry)) for index, entry
                   in sorted(entries) if entry]
    return TableState(pfn, birth, table.level, table.users, owner, table.published,
                      tuple(entries), count)


def _first(machine, level: int, entry: int) -> int:
    """*entry*, but it leads to the first of the row of tables or pages that it leads into."""
    pfn, known = entry_pfn(entry), machine.tables
    row = known.forests.find(pfn) if is_link(level, entry) else machine.memory.extents.find(pfn)
    return entry if row is None or pfn == ZERO_PFN else entry & ~PFN_MASK | row[0] << PFN_SHIFT
