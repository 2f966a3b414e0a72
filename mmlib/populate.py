"""Faulting pages in ahead of use: MAP_POPULATE, mlock, MADV_POPULATE."""

from .bulk import advance
from .fault import account
from .geometry import PRESENT, RW
from .hugetlb import NoHugePage
from .memory import OutOfMemory
from .signals import FaultSigsegv, PastEnd
from .vma import VM_ACCESS_FLAGS, VM_SHARED_PT, VM_WRITE, VMA


def populate(machine, task, start: int, end: int) -> None:
    """Fault in [start, end) as MAP_POPULATE and MAP_LOCKED do; where a page cannot be had, go on
    quietly with the next VMA (mm_populate)."""
    for vma in task.mm.vmas_in(start, end):
        try:
            faultin(machine, task, vma, max(start, vma.start), min(end, vma.end),
                    bool(vma.flags & VM_WRITE) and not vma.shared)
        except (PastEnd, FaultSigsegv, OutOfMemory):
            continue


def faultin(machine, task, vma: VMA, start: int, end: int, write: bool) -> None:
    """Make every page of [start, end) fit for a store (*write*) or a load, upwards.

    These faults count as minor faults of *task*, though no exception was taken.  Raises PastEnd,
    FaultSigsegv or OutOfMemory at the first page that cannot be had (populate_vma_page_range).

    Below a region of 2025 nothing is: its pages are asked for where the exception is handled, and
    the kernel takes none here (recorded: ENOMEM from mlock, and a warning)."""
    mm, pages, before = task.mm, 0, task.minor_faults + task.major_faults
    try:
        if not vma.flags & VM_ACCESS_FLAGS:
            raise PastEnd
        size = machine.geometry.huge_size if vma.huge else machine.geometry.page_size
        addr = start
        while addr < end:
            upto = advance(machine, task, vma, addr, end, write, False)
            if upto == addr:
                upto = addr + size
                while not there(machine, mm, addr, write):
                    if vma.flags & VM_SHARED_PT and not vma.file.inode.region.populates:
                        raise FaultSigsegv("SEGV_MAPERR",
                                           f"{vma} is not populated from the kernel")
                    account(machine, task, vma, addr, write)
            addr, pages = upto, pages + (upto - addr) // size
    except NoHugePage:
        raise PastEnd from None         # VM_FAULT_SIGBUS, both
    finally:
        machine.emit("populate", pages, task.minor_faults + task.major_faults - before)


def there(machine, mm, addr: int, write: bool) -> bool:
    """Is a page mapped at *addr* that would do (follow_page_mask)?"""
    entry = machine.tables.entry_at(mm.pgd, addr)
    return bool(entry & PRESENT and (not write or entry & RW))
