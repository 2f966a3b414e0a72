"""madvise: what a process tells the kernel about a range, and what the kernel does about it."""

import errno

from . import abi
from .fault import next_table
from .files import oserror
from .geometry import GUARD, PRESENT, A, D, entry_pfn
from .populate import faultin
from .signals import FaultSigsegv, PastEnd
from .tlb import flush_range
from .unmap import punch_hole, zap_page_range
from .unshare import put_table, unshare_edges, unshare_range
from .vma import (
    VM_DONTCOPY,
    VM_DONTDUMP,
    VM_HUGEPAGE,
    VM_HUGETLB,
    VM_LOCKED,
    VM_MAYBE_GUARD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_MERGEABLE,
    VM_NOHUGEPAGE,
    VM_NOSHARE,
    VM_RAND_READ,
    VM_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_SHARED_PT,
    VM_WIPEONFORK,
    VM_WRITE,
    anon_vma_prepare,
)

# Advice that only changes VMA flags: (the bits it clears, the bits it sets)
FLAGS = {
    abi.MADV_NORMAL: (VM_RAND_READ | VM_SEQ_READ, 0),
    abi.MADV_RANDOM: (VM_SEQ_READ, VM_RAND_READ),
    abi.MADV_SEQUENTIAL: (VM_RAND_READ, VM_SEQ_READ),
    abi.MADV_DONTFORK: (0, VM_DONTCOPY), abi.MADV_DOFORK: (VM_DONTCOPY, 0),
    abi.MADV_WIPEONFORK: (0, VM_WIPEONFORK), abi.MADV_KEEPONFORK: (VM_WIPEONFORK, 0),
    abi.MADV_DONTDUMP: (0, VM_DONTDUMP), abi.MADV_DODUMP: (VM_DONTDUMP, 0),
    abi.MADV_NOSHARE_TABLES: (0, VM_NOSHARE), abi.MADV_SHARE_TABLES: (VM_NOSHARE, 0),
    abi.MADV_MERGEABLE: (0, VM_MERGEABLE), abi.MADV_UNMERGEABLE: (VM_MERGEABLE, 0),
    abi.MADV_HUGEPAGE: (VM_NOHUGEPAGE, VM_HUGEPAGE),
    abi.MADV_NOHUGEPAGE: (VM_HUGEPAGE, VM_NOHUGEPAGE),
}
# Advice about what this machine does not have: reading ahead, an LRU, swap.
WITHOUT_EFFECT = (abi.MADV_WILLNEED, abi.MADV_COLD, abi.MADV_PAGEOUT)
POPULATE = (abi.MADV_POPULATE_READ, abi.MADV_POPULATE_WRITE)


def do_madvise(machine, task, start: int, end: int, advice: int) -> None:
    """Apply *advice* to every VMA in [start, end); ENOMEM at the end if there was a hole
    (madvise_walk_vmas)."""
    mm = task.mm
    if advice not in {*FLAGS, *WITHOUT_EFFECT, *ACTIONS, *POPULATE}:
        raise oserror(errno.EINVAL, f"advice {advice} is not known here")
    if end >= 1 << 64:
        raise oserror(errno.EINVAL, f"[{start:#x}, {end:#x}) exceeds 64 bits")
    if advice in POPULATE:
        populate_range(machine, task, start, end, advice == abi.MADV_POPULATE_WRITE)
        return
    at, hole = start, False
    for vma in mm.vmas_in(start, end):
        hole, low, high = hole or vma.start > at, max(start, vma.start), min(vma.end, end)
        if advice in ACTIONS:
            ACTIONS[advice](machine, mm, vma, low, high)
        elif advice in FLAGS:
            change_flags(machine, mm, vma, low, high, advice)
        elif advice != abi.MADV_WILLNEED and vma.flags & (VM_LOCKED | VM_HUGETLB):
            raise oserror(errno.EINVAL, f"{vma} is not on the LRU lists")
        at = high
    if hole or at < end:
        raise oserror(errno.ENOMEM, "a part of the range is not mapped")


def change_flags(machine, mm, vma, start: int, end: int, advice: int) -> None:
    """MADV_DONTFORK and its kin: VMA flags, splitting and merging as mprotect does."""
    if advice == abi.MADV_WIPEONFORK and (vma.file or vma.flags & VM_SHARED):
        raise oserror(errno.EINVAL, f"{vma} is not private anonymous memory")
    if advice == abi.MADV_MERGEABLE and vma.flags & (VM_MAYSHARE | VM_HUGETLB):
        return                          # vma_ksm_compatible; nothing else of KSM is here
    clear, add = FLAGS[advice]
    flags = vma.flags & ~clear | add
    if flags == vma.flags:
        return
    if advice == abi.MADV_NOSHARE_TABLES:
        unshare_range(machine, mm, start, end)
    unshare_edges(machine, mm, start, end)
    mm.modify(vma, start, end, flags)


def populate_range(machine, task, start: int, end: int, write: bool) -> None:
    """MADV_POPULATE_READ and _WRITE: EINVAL where the VMA forbids it, ENOMEM at a hole, EFAULT
    where the page cannot be had; what comes before it stays (faultin_page_range)."""
    at = start
    while at < end:
        vma = task.mm.find_vma(at)
        if vma is None:
            raise oserror(errno.ENOMEM, f"{at:#x} is not mapped")
        if not vma.flags & (VM_WRITE if write else VM_READ):
            raise oserror(errno.EINVAL, f"{vma} forbids it")
        try:
            faultin(machine, task, vma, at, min(end, vma.end), write)
        except (PastEnd, FaultSigsegv):
            raise oserror(errno.EFAULT, f"{vma} has a page that cannot be had") from None
        at = vma.end


def dontneed(machine, mm, vma, start: int, end: int) -> None:
    """Drop the entries; the pages of a file survive, anonymous ones read as zeros afterwards.

    A PTE table that lies wholly inside is freed too, if it is empty now (mm/pt_reclaim.c, since
    Linux 6.14); the tables above never are."""
    if vma.flags & VM_LOCKED:
        raise oserror(errno.EINVAL, f"{vma} is locked")
    dontneed_locked(machine, mm, vma, start, end)


def dontneed_locked(machine, mm, vma, start: int, end: int) -> None:
    """MADV_DONTNEED that does not mind mlock."""
    if vma.flags & VM_SHARED_PT:
        vma.file.inode.region.dontneed(vma, start, end)
        return
    if vma.huge:                        # whole huge pages only, no more than was asked for
        huge = machine.geometry.huge_size
        if start % huge:
            raise oserror(errno.EINVAL, f"{start:#x} lies inside a huge page of {vma}")
        end -= end % huge
    unshare_range(machine, mm, start, end)
    zap_page_range(machine, mm, start, end)
    span = machine.geometry.span(1)
    for addr, parent, index, table in list(machine.tables.links(mm.pgd, start, end)):
        inside = table.level == 1 and start <= addr and addr + span <= end
        if inside and not machine.tables.present(table):
            put_table(machine, mm, parent, index)


def free(machine, mm, vma, start: int, end: int) -> None:
    """MADV_FREE: the pages are clean now, so pressure could take them; this machine, without
    swap or an LRU, never does."""
    if vma.file or vma.flags & VM_LOCKED:
        raise oserror(errno.EINVAL, f"{vma} is locked, or not anonymous memory")
    for _, table, index, entry in list(machine.tables.leaves(mm.pgd, start, end)):
        if entry & PRESENT and machine.memory.folio(entry_pfn(entry)).mapcount == 1:
            machine.tables.set(table, index, entry & ~(A | D))
    flush_range(machine, mm, start, end)


def remove(machine, mm, vma, start: int, end: int) -> None:
    """Punch a hole into the file behind a shared mapping (MADV_REMOVE)."""
    if vma.flags & VM_LOCKED:
        raise oserror(errno.EINVAL, f"{vma} is locked")
    if vma.file is None:
        raise oserror(errno.EINVAL, f"{vma} has no file to punch a hole into")
    if vma.flags & (VM_SHARED | VM_MAYWRITE) != VM_SHARED | VM_MAYWRITE:
        raise oserror(errno.EACCES, f"{vma} is not a writable shared mapping")
    if vma.flags & VM_SHARED_PT:
        raise oserror(errno.EOPNOTSUPP, f"{vma} holds no data of its file")
    offset = vma.index(start) << machine.geometry.page_shift
    punch_hole(machine, vma.file.inode.mapping, offset, offset + end - start)


def guard_install(machine, mm, vma, start: int, end: int) -> None:
    """Put a marker into every entry: an access is a SIGSEGV, and no VMA was split.

    The VMA is marked, so that fork copies them (madvise_guard_install)."""
    if vma.flags & (VM_LOCKED | VM_HUGETLB | VM_SHARED_PT):
        raise oserror(errno.EINVAL, f"{vma} cannot hold guard regions")
    unshare_range(machine, mm, vma.start, vma.end)
    vma.flags |= VM_MAYBE_GUARD
    if vma.file is None:
        anon_vma_prepare(vma)
    zap_page_range(machine, mm, start, end)
    for addr in range(start, end, machine.geometry.page_size):
        table = mm.pgd
        for level in range(machine.geometry.levels - 1, 0, -1):
            table = next_table(machine, mm, vma, addr, table, level)
        machine.tables.set(table, machine.geometry.index(addr, 1), GUARD)


def guard_remove(machine, mm, vma, start: int, end: int) -> None:
    """Take the markers out again; tables stay."""
    if vma.flags & (VM_HUGETLB | VM_SHARED_PT):
        raise oserror(errno.EINVAL, f"{vma} cannot hold guard regions")
    for _, table, index, entry in list(machine.tables.leaves(mm.pgd, start, end)):
        if entry == GUARD:
            machine.tables.set(table, index, 0)


ACTIONS = {abi.MADV_DONTNEED: dontneed, abi.MADV_DONTNEED_LOCKED: dontneed_locked,
           abi.MADV_FREE: free, abi.MADV_REMOVE: remove,
           abi.MADV_GUARD_INSTALL: guard_install, abi.MADV_GUARD_REMOVE: guard_remove}
