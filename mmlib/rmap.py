"""Reverse mapping: who maps this page, and telling all of them.

A file's mappers are found through its i_mmap, as in mm/rmap.c, and through the tables that are
cached with the file, which may outlive their last VMA.  One entry of a shared table stands for N
processes: there is one entry to change, one accessed bit, and N TLBs to flush.
"""

from typing import NamedTuple

from .geometry import PRESENT, RW, A, D, entry_pfn
from .memory import Folio
from .tables import Ptdesc
from .tlb import flush_range, is_told
from .vma import VM_LOCKED


class RmapRow(NamedTuple):
    """One way to reach the page: *mm* "" is a cached table that no process uses."""

    mm: str
    addr: int
    table: int                          # the frame of the table that holds the entry
    index: int
    accessed: bool

    def __str__(self) -> str:
        who = f"{self.mm} at {self.addr:#x}" if self.mm else "the file's cache, used by nobody"
        return f"{who}: entry {self.index} of table {self.table}"


class Mappers(NamedTuple):
    """*entries*: (table, index) -> the (mm, address) that reach it; *visited*: what was seen."""

    entries: dict[tuple[Ptdesc, int], list]
    visited: tuple[str, ...]


def find_mappers(machine, folio: Folio) -> Mappers:
    """Every entry that maps *folio*, and who uses it (rmap_walk)."""
    tables, entries, visited = machine.tables, {}, []
    for vma, addr in candidates(machine, folio):
        visited.append(f"{vma.mm.name}: {vma}")
        table, index, entry = tables.lookup(vma.mm.pgd, addr)
        if entry & PRESENT and entry_pfn(entry) == folio.pfn:
            entries.setdefault((table, index), []).append((vma.mm, addr))
    kept = folio.mapping.tables if folio.mapping else {}
    for (kind, level, base), table in kept.items():
        if level == 1 and base <= folio.index < base + machine.geometry.entries:
            visited.append(f"cached {kind} table in frame {table.pfn}")
            if entry_pfn(tables.get(table, folio.index - base)) == folio.pfn:
                entries.setdefault((table, folio.index - base), [])
    return Mappers(entries, tuple(visited))


def candidates(machine, folio: Folio):
    """(vma, address) where *folio* may be mapped.

    For anonymous pages Linux keeps a tree of VMAs for each anon_vma; here every VMA that has an
    anon_vma is looked at, page by page."""
    size = machine.geometry.page_size
    if folio.mapping is not None:
        for vma in folio.mapping.i_mmap:
            addr = vma.start + (folio.index - vma.pgoff) * size
            if vma.start <= addr < vma.end:
                yield vma, addr
        return
    for mm in machine.mms():
        for vma in mm.vmas:
            if vma.anon_vma is not None:
                for addr, _, _, entry in list(machine.tables.leaves(mm.pgd, vma.start, vma.end)):
                    if entry_pfn(entry) == folio.pfn:
                        yield vma, addr


def rows(machine, folio: Folio) -> tuple[tuple[RmapRow, ...], tuple[str, ...]]:
    """(rows, what the walk visited), for `Machine.rmap`."""
    found, out = find_mappers(machine, folio), []
    for (table, index), users in found.entries.items():
        accessed = bool(machine.tables.get(table, index) & A)
        out += [RmapRow(mm.name, addr, table.pfn, index, accessed) for mm, addr in users] or \
            [RmapRow("", -1, table.pfn, index, accessed)]
    return tuple(out), found.visited


def tell(machine, users) -> None:
    """Everybody who reaches a changed entry forgets it (unless Machine.flush_sharers is off)."""
    size = machine.geometry.page_size
    for mm, addr in users:
        if is_told(machine, mm):
            flush_range(machine, mm, addr, addr + size)


def folio_mkclean(machine, folio: Folio) -> None:
    """Write-protect *folio* wherever it is mapped, so that the next store is noticed."""
    for (table, index), users in find_mappers(machine, folio).entries.items():
        entry = machine.tables.get(table, index)
        if entry & (RW | D):
            machine.tables.set(table, index, entry & ~(RW | D))
            tell(machine, users)


def write_back(machine, mapping, first: int = 0, last: int | None = None) -> None:
    """The dirty pages first <= index < last of a file go to its disk, if it has one; they are
    clean then, and write-protected wherever they are mapped (file_write_and_wait_range)."""
    for index, folio in sorted(mapping.pages.items()):
        if mapping.on_disk and folio.dirty and first <= index and (last is None or index < last):
            folio_mkclean(machine, folio)
            mapping.write_back(folio)


def folio_referenced(machine, folio: Folio) -> bool:
    """Has anybody used *folio* since the last time this was asked?  The bits are cleared; a TLB
    that still holds the entry will not set them again (as on x86)."""
    seen = False
    for table, index in find_mappers(machine, folio).entries:
        entry = machine.tables.get(table, index)
        seen = seen or bool(entry & A)
        machine.tables.set(table, index, entry & ~A)
    return seen


def mlocked(machine, folio: Folio) -> bool:
    """Does a VM_LOCKED mapping hold *folio* in memory?"""
    users = [user for found in find_mappers(machine, folio).entries.values() for user in found]
    return any(mm.find_vma(addr).flags & VM_LOCKED for mm, addr in users)


def try_to_unmap(machine, folio: Folio) -> None:
    """Clear every entry that maps *folio*, and tell everybody who could reach it."""
    for (table, index), users in find_mappers(machine, folio).entries.items():
        machine.tables.set(table, index, 0)
        machine.memory.put_folio(folio)
        tell(machine, users)


def reclaim(machine, wanted: int) -> int:
    """Give back up to *wanted* clean pages of disk files, unused ones first; how many.

    There is no swap: anonymous pages and those of tmpfs stay.  A page that was used since the
    last look gets a second chance (folio_check_references); mlock keeps a page for good."""
    freed = 0
    for _ in range(2):
        clean = [f for _, f in sorted(machine.memory.folios.items())
                 if f.mapping is not None and f.mapping.on_disk and not f.dirty]
        for folio in clean:
            if freed == wanted:
                return freed
            if folio is not machine.locked_folio and not mlocked(machine, folio) \
                    and not folio_referenced(machine, folio):
                try_to_unmap(machine, folio)
                folio.mapping.drop(folio.index)
                freed += 1
    return freed
