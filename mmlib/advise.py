"""madvise: what a process tells the kernel about a range, and what the kernel does about it."""

import errno

from . import abi
from .files import oserror
from .mm import VM_DONTCOPY, VM_HUGETLB, VM_LOCKED, VM_MAYWRITE, VM_SHARED, VM_WIPEONFORK
from .unmap import put_table, truncate_pages, zap_page_range

# Advice that sets or clears one VMA flag: (bit, set it?)
FLAG_ADVICE = {abi.MADV_DONTFORK: (VM_DONTCOPY, True), abi.MADV_DOFORK: (VM_DONTCOPY, False),
               abi.MADV_WIPEONFORK: (VM_WIPEONFORK, True),
               abi.MADV_KEEPONFORK: (VM_WIPEONFORK, False)}
# Advice that changes nothing that this machine has: reading ahead, swap, huge pages, dumps.
WITHOUT_EFFECT = {abi.MADV_NORMAL, abi.MADV_RANDOM, abi.MADV_SEQUENTIAL, abi.MADV_WILLNEED,
                  abi.MADV_COLD, abi.MADV_PAGEOUT, abi.MADV_DONTDUMP, abi.MADV_DODUMP,
                  abi.MADV_HUGEPAGE, abi.MADV_NOHUGEPAGE, abi.MADV_MERGEABLE,
                  abi.MADV_UNMERGEABLE}


def do_madvise(machine, mm, start: int, end: int, advice: int) -> None:
    """Apply *advice* to every VMA in [start, end); ENOMEM at the end if there was a hole
    (madvise_walk_vmas)."""
    act = {abi.MADV_DONTNEED: dontneed, abi.MADV_REMOVE: remove}.get(advice)
    if act is None and advice not in FLAG_ADVICE and advice not in WITHOUT_EFFECT:
        raise oserror(errno.EINVAL, f"advice {advice} is not known")
    at, hole = start, False
    for vma in mm.vmas_in(start, end):
        hole, low, high = hole or vma.start > at, max(start, vma.start), min(vma.end, end)
        if act:
            act(machine, mm, vma, low, high)
        elif advice in FLAG_ADVICE:
            change_flag(mm, vma, low, high, *FLAG_ADVICE[advice])
        at = high
    if hole or at < end:
        raise oserror(errno.ENOMEM, "a part of the range is not mapped")


def dontneed(machine, mm, vma, start: int, end: int) -> None:
    """Drop the entries; the pages of a file survive, anonymous ones read as zeros afterwards.

    A PTE table that lies wholly inside is freed too (mm/pt_reclaim.c, since Linux 6.14); the
    tables above never are."""
    if vma.flags & VM_LOCKED:
        raise oserror(errno.EINVAL, f"{vma} is locked")
    zap_page_range(machine, mm, start, end)
    span = machine.geometry.span(1)
    for addr, parent, index, table in list(machine.tables.links(mm.pgd, start, end)):
        if table.level == 1 and start <= addr and addr + span <= end:
            put_table(machine, mm, parent, index)


def remove(machine, mm, vma, start: int, end: int) -> None:
    """Punch a hole into the file behind a shared mapping (MADV_REMOVE)."""
    if vma.flags & VM_LOCKED:
        raise oserror(errno.EINVAL, f"{vma} is locked")
    if vma.file is None:
        raise oserror(errno.EINVAL, f"{vma} has no file to punch a hole into")
    if vma.flags & (VM_SHARED | VM_MAYWRITE) != VM_SHARED | VM_MAYWRITE:
        raise oserror(errno.EACCES, f"{vma} is not a writable shared mapping")
    first = vma.index(start)
    last = first + (end - start >> machine.geometry.page_shift)
    truncate_pages(machine, vma.file.inode.mapping, first, last, even_cows=False)


def change_flag(mm, vma, start: int, end: int, bit: int, on: bool) -> None:
    """MADV_DONTFORK and its kin: one VMA flag, splitting and merging as mprotect does."""
    if bit == VM_WIPEONFORK and on and (vma.file or vma.flags & VM_SHARED):
        raise oserror(errno.EINVAL, f"{vma} is not private anonymous memory")
    if bit == VM_DONTCOPY and not on and vma.flags & VM_HUGETLB:
        raise oserror(errno.EINVAL, f"{vma} is hugetlb memory")
    flags = vma.flags | bit if on else vma.flags & ~bit
    if flags != vma.flags:
        mm.modify(vma, start, end, flags)
