"""What the kernel tells of an mm: maps, pagemap, resident pages, tables."""

from .geometry import PRESENT, PS, entry_pfn
from .memory import ZERO_PFN
from .rows import MapsRow, PageRow, Rows
from .vma import VM_LOCKED, VM_SHARED_PT


def maps(mm) -> Rows:
    """/proc/PID/maps"""
    return Rows(MapsRow(v.start, v.end, v.perms, v.offset, v.backing,
                        v.file.inode.ino if v.file else 0) for v in mm.vmas)


def pagemap(machine, mm, start: int, end: int) -> Rows:
    """/proc/PID/pagemap: a row for each page of [start, end), also within huge pages."""
    size, out = machine.geometry.page_size, []
    for at in range(start, min(end, machine.geometry.task_size), size):
        entry = machine.tables.entry_at(mm.pgd, at)
        if entry & PRESENT:
            pfn, folio = entry_pfn(entry), machine.memory.peek(entry_pfn(entry))
            alone = folio.mapcount == 1 and pfn != ZERO_PFN
            out.append(PageRow(at, True, pfn + into(machine, entry, at) // size, alone,
                               folio.mapping is not None))
        else:
            out.append(PageRow(at, False, 0, False, False))
    return Rows(out)


def into(machine, entry: int, addr: int) -> int:
    """How many bytes *addr* lies into the page, huge or not, that *entry* maps."""
    geometry = machine.geometry
    return addr % (geometry.huge_size if entry & PS else geometry.page_size)


def resident(machine, mm, regions: bool = False):
    """(count, first frame) of the rows of entries that VmRSS counts: neither the zero page nor
    huge pages; those of a region of msharefs, which are the host's, only with *regions*."""
    regions = regions or not any(vma.flags & VM_SHARED_PT for vma in mm.vmas)
    for addr, count, entry, _, _ in machine.tables.spans(mm.pgd, 0, machine.geometry.task_size):
        if entry & PRESENT and not entry & PS and entry_pfn(entry) != ZERO_PFN \
                and (regions or not mm.is_guest(addr)):
            yield count, entry_pfn(entry)


def rss(machine, mm) -> int:
    """VmRSS in bytes; below a shared table every sharer counts the pages."""
    return sum(count for count, _ in resident(machine, mm)) * machine.geometry.page_size


def pss(machine, mm) -> int:
    """Pss in bytes: each page divided by its mapcount (PSS_SHIFT is 12 in fs/proc/task_mmu.c).

    smaps walks a guest's tables into the host's, so pages of a region count, in full in every
    guest: one entry maps them (recorded)."""
    size = machine.geometry.page_size << 12
    return sum((hi - lo) * (size // pages.mapcount)
               for count, pfn in resident(machine, mm, True)
               for lo, hi, pages in machine.memory.kinds(pfn, count)) >> 12


def reachable_tables(machine, mm) -> int:
    """Different tables below the top one, by walking (ours)."""
    return len(machine.tables.frames_below(mm.pgd))


def locked(mm) -> int:
    """VmLck in bytes."""
    return sum(v.end - v.start for v in mm.vmas if v.flags & VM_LOCKED)
