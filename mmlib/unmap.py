"""Taking mappings away: munmap, the end of a process, and pages that leave their file."""

import errno

from .files import oserror
from .geometry import PRESENT, entry_pfn
from .rowwise import put_pages, rows
from .tlb import flush_range
from .unshare import clear_cached_tables, put_table, unshare_range
from .vma import VM_SHARED_PT

NO_PAGE = 1 << 52                   # beyond every page of a file


def do_munmap(machine, mm, start: int, end: int) -> None:
    """Unmap [start, end), page-aligned, whatever is in it (do_vmi_munmap).

    A table goes when no VMA is left in its whole span (free_pgtables)."""
    gone = mm.isolate(start, end)
    if not gone:
        return
    for vma in gone:
        if vma.flags & VM_SHARED_PT:
            vma.file.inode.region.detach(vma)
        unshare_range(machine, mm, vma.start, vma.end)
        zap_page_range(machine, mm, vma.start, vma.end, guards=True)
        machine.emit("vma_gone", str(vma))
    for vma in gone:
        mm.remove(vma)
        if vma.promised is not None:
            break_promise(mm, vma)
    free_pgtables(machine, mm, [(vma.start, vma.end) for vma in gone])


def break_promise(mm, vma) -> None:
    """A private hugetlb mapping is gone: so are the reservations that it did not use."""
    vma.promised.remove_range(vma.pgoff, vma.index(vma.end))
    if not any(other.promised is vma.promised for other in mm.vmas):
        vma.promised.clear()


def check_range(machine, start: int, length: int) -> int:
    """The page-aligned end of a range that a system call names; EINVAL if there is none."""
    geometry = machine.geometry
    if start % geometry.page_size:
        raise oserror(errno.EINVAL, f"addr {start:#x} is not a multiple of {geometry.page_size}")
    end = start + geometry.page_align(length)
    if length == 0 or end > geometry.task_size:
        raise oserror(errno.EINVAL, "the length is 0" if length == 0 else
                      f"[{start:#x}, {end:#x}) leaves the address space")
    return end


def zap_page_range(machine, mm, start: int, end: int, keep=None, guards: bool = False) -> int:
    """Clear every leaf entry in [start, end) and give back what it held; the entries cleared.

    *keep*, a function of the page, says which stay.  Guard markers stay unless *guards*; tables
    stay too."""
    tables, memory, cleared = machine.tables, machine.memory, 0
    for table, run, pages in rows(machine, mm, start, end):
        if pages is not None and not (keep and keep(pages)):
            cleared += put_pages(machine, run)
            tables.clear(table, run)
    for addr, table, index, entry in list(tables.leaves(mm.pgd, start, end, runs=False)):
        if not entry & PRESENT:
            if guards:
                tables.set(table, index, 0)
            continue
        folio = memory.folio(entry_pfn(entry))
        if keep and keep(folio):
            continue
        tables.set(table, index, 0)
        cleared += 1
        if memory.put_folio(folio):
            machine.emit("free_page", folio.pfn)
            if folio.pool and (vma := mm.find_vma(addr)) and vma.promised is not None:
                vma.promised.add(vma.index(addr))       # its owner may have it again
    if cleared:
        machine.emit("zap", start, end, cleared)
        flush_range(machine, mm, start, end)
    return cleared


def free_pgtables(machine, mm, ranges: list[tuple[int, int]]) -> None:
    """Free the tables that meet one of *ranges* and have no VMA in their span any more, lower
    levels first: a table may lie above several ranges."""
    found = {}
    for start, end in ranges:
        free_rows(machine, mm, start, end)
        for addr, parent, index, table in machine.tables.links(mm.pgd, start, end, runs=False):
            if not mm.mapped(addr, addr + machine.geometry.span(table.level)):
                found[table] = (parent, index)
    for table in sorted(found, key=lambda table: table.level):
        put_table(machine, mm, *found[table])


def free_rows(machine, mm, start: int, end: int) -> None:
    """The same of the tables that runs in [start, end) imply; those at the edges of a run, where
    a VMA is left, become objects and are looked at alone."""
    tables, size = machine.tables, machine.geometry.page_size
    todo = tables.runs(mm.pgd, start, end)
    while todo:
        base, table, run = todo.pop()
        if run.level == table.level or not run.leaf:
            continue
        first, last = tables.indices(table, run)
        unit = machine.geometry.entry_span(table.level)
        if not mm.mapped(base + first * unit, base + last * unit):
            mm.nr_tables -= run.billed(table.level, machine.geometry.bits)
            tables.uproot(table, run)
            continue
        tables.child(table, first), tables.child(table, last - 1)
        todo += tables.runs(mm.pgd, max(base + run.lo * size, start),
                            min(base + run.hi * size, end))


def exit_mmap(machine, mm) -> None:
    """The last task of *mm* is gone: so are its VMAs, pages, tables and translations."""
    for tlb in machine.tlbs:
        tlb.drop(mm, 0, machine.geometry.task_size >> machine.geometry.page_shift)
    mm.cpus.clear()                     # nobody runs it any more: nobody needs to be told
    if mm.vmas:
        do_munmap(machine, mm, 0, machine.geometry.task_size)
    for _, parent, index, _ in reversed(list(
            machine.tables.links(mm.pgd, 0, machine.geometry.task_size))):
        put_table(machine, mm, parent, index)
    machine.tables.free(mm.pgd)
    machine.mm_names.remove(mm.name)


def unmap_mapping_range(machine, mapping, first: int, last: int | None, even_cows: bool) -> None:
    """Take the pages first <= index < last of a file out of every mm that maps them.

    *even_cows*: copies that private mappings made go too, as for truncate; hole punching leaves
    them (unmap_mapping_pages)."""
    size = machine.geometry.page_size
    clear_cached_tables(machine, mapping, first, last)
    for vma in list(mapping.i_mmap):
        start = vma.start + max(first - vma.pgoff, 0) * size
        end = vma.end if last is None else min(vma.end, vma.start + (last - vma.pgoff) * size)
        if start < end:
            if vma.huge:
                unshare_range(machine, vma.mm, start, end)
            keep = None if even_cows else (lambda folio: folio.mapping is not mapping)
            zap_page_range(machine, vma.mm, start, end, keep)


def do_truncate(machine, inode, length: int) -> None:
    """The file ends at *length* now; beyond it no page, no private copy and no reservation stays
    (simple_setattr, hugetlb_vmtruncate)."""
    mapping, size = inode.mapping, machine.geometry.page_size
    if inode.huge:
        inode.promised.remove_range(length // size, NO_PAGE)
    old, mapping.size = mapping.size, length
    if length <= old:                   # also to the same size: zeros behind the end
        mapping.zero(length, -(-length // size) * size)
        truncate_pages(machine, mapping, -(-length // size), None, even_cows=True)


def punch_hole(machine, mapping, start: int, end: int) -> None:
    """Whole pages within bytes [start, end) of a file leave; the rest of the range is zeroed
    (shmem_fallocate, hugetlbfs_punch_hole)."""
    size = machine.geometry.page_size * mapping.step
    first, last = -(-start // size), end // size
    mapping.zero(start, min(end, first * size))
    if last >= first:
        mapping.zero(last * size, end)
    if first < last:
        truncate_pages(machine, mapping, first * mapping.step, last * mapping.step,
                       even_cows=False)


def truncate_pages(machine, mapping, first: int, last: int | None, even_cows: bool) -> None:
    """The pages first <= index < last leave every mapping and the page cache."""
    unmap_mapping_range(machine, mapping, first, last, even_cows)
    if mapping.on_disk:
        mapping.forget(first, last)
    gone = mapping.drop_range(first, last)
    if gone:
        machine.emit("truncate", mapping.name, first, gone)
