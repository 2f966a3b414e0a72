"""Many accesses at once, as far as they are alike: what `touch` and populate do with a long range.

Each function here does what the fault path would do page by page, for a row of pages that are all
in the same state; a test compares the two.  Where pages differ, or a row is short, the answer is
"one at a time", and the fault path does it.
"""

from .bulkrow import Row
from .fault import asks_guest, next_table, permits
from .geometry import RW, A, D, P
from .tables import Ptdesc
from .tlb import SIZE
from .vma import VM_ACCESS_FLAGS, VM_SHARED_PT, VM_WRITE, VMA

SHORT = 128                         # pages; what is not longer is done one at a time


def advance(machine, task, vma: VMA | None, addr: int, end: int, write: bool, walk: bool) -> int:
    """Access the pages from *addr* on that are alike, at most up to *end*: up to where that was
    possible, *addr* if not at all.

    With *walk* the MMU does it, and marks entries, else the kernel, ahead of use."""
    least = SHORT << machine.page_shift
    if not machine.tables.bulk or vma is None or end - addr < least \
            or addr % machine.geometry.page_size:
        return addr
    if vma.flags & VM_SHARED_PT:
        return within_region(machine, task, vma, addr, end, write, walk)
    return advance_in(machine, task, vma, addr, end, write, walk, 0)


def within_region(machine, task, guest: VMA, addr: int, end: int, write: bool, walk: bool) -> int:
    """The same where *guest* maps a region of msharefs: the host answers, and what the guest lacks
    is a link, which costs it one fault more (mshare.Region.link)."""
    region = guest.file.inode.region
    if asks_guest(guest) and not permits(guest, write) or not walk or region.host is None:
        return addr
    end, above = min(end, guest.end), region.parent(guest.mm, addr)
    if above is None:                   # five levels: the P4D is to come
        return addr
    upto = link_slots(machine, task, guest, addr, end, write, above)
    if upto > addr:
        return upto
    slot_end = (addr - guest.start) // region.slot * region.slot + region.slot + guest.start
    shift, linked = region.host_addr(guest, addr) - addr, region.linked(guest, addr)
    vma, end = region.host.find_vma(addr + shift), min(end, slot_end)
    table = None
    if not linked:                      # a link that is out of date is the fault path's to mend
        if machine.tables.get(above, region.index(addr)):
            return addr
        table = slot_table(machine, vma, addr + shift, write)
        if table is None:
            return addr
    upto = advance_in(machine, task, vma, addr + shift, end + shift, write, walk, shift) - shift
    if table and upto > addr:
        link(machine, task, above, region.index(addr), [table])
    return upto


def slot_table(machine, vma: VMA | None, addr: int, write: bool) -> Ptdesc | None:
    """The host's table for the slot of *addr*, made if a fault there would."""
    if vma is None or not permits(vma, write) or not machine.memory.room(vma.mm.region.level):
        return None
    table = vma.mm.pgd
    for level in range(machine.geometry.levels - 1, vma.mm.region.level - 1, -1):
        table = next_table(machine, vma.mm, vma, addr, table, level)
    return table


def link(machine, task, above: Ptdesc, index: int, slots: list[Ptdesc]) -> None:
    """Let entries of *above*, from *index* on, point to tables of a host."""
    machine.tables.link_row(above, index, slots)
    task.page_faults += len(slots)
    machine.count["faults"] += len(slots)


def link_slots(machine, task, guest: VMA, addr: int, end: int, write: bool, above: Ptdesc) -> int:
    """Link the slots of [addr, end) where a row of the host's pages can be used as it is; up to
    where."""
    tables, region, shift = machine.tables, guest.file.inode.region, machine.geometry.page_shift
    there = region.host_addr(guest, addr)
    whole, index, other = region.parent(region.host, there), region.index(addr), region.index(there)
    needs, pages = P | A | (RW | D if write else 0), region.slot >> shift
    slots, rows, page, rest = [], [], there % region.slot >> shift, end - addr >> shift
    while whole and rest and max(index, other) + len(slots) < machine.geometry.entries:
        part = min(pages - page, rest)
        table = tables.child(whole, other + len(slots))
        run = table and tables.spanning(table, page, page + part)
        if not run or run.bits & needs != needs or not run.link & A or part < SHORT \
                or tables.get(above, index + len(slots)):
            break
        slots.append(table)
        if part >= 2 * SIZE:            # of what came before no TLB entry is left
            rows.clear()
        rows.append((end - (rest << shift), part, run, page))
        rest, page = rest - part, 0
    link(machine, task, above, index, slots)
    for start, part, run, page in rows:
        row = Row(machine, task, guest, start, start + (part << shift), write, True, 0)
        first = page >> row.bits * (run.level - 1)
        row.finish(0, run.pfn + first * run.step, run.step, run.bits)
    return end - (rest << shift)


def advance_in(machine, task, vma: VMA | None, addr: int, end: int, write: bool, walk: bool,
               shift: int) -> int:
    """The same in the mm of *vma*, where *task* has it at addresses lower by *shift*."""
    least = SHORT << machine.page_shift
    if vma is None or end - addr < least:
        return addr
    huge = vma.huge
    if not vma.flags & (VM_WRITE if write else VM_ACCESS_FLAGS) or vma.notify or \
            huge and (not vma.shared or addr % machine.geometry.huge_size):
        return addr
    upto, table, base, run = machine.tables.stretch(vma.mm.pgd, addr, min(end, vma.end))
    if huge:
        upto -= upto % machine.geometry.huge_size
    if upto - addr < least:
        return addr
    row = Row(machine, task, vma, addr, upto, write, walk, shift)
    if run is None or not run.bits:
        row.absent(table, base, run)
    elif run.leaf:
        row.present(table, base, run)
    else:
        row.shared(base, run)
    return row.done
