"""mprotect: new permissions for VMAs, and for the entries that are there."""

import errno

from .files import oserror
from .geometry import NX, PRESENT, PROTNONE, RW, US, D, P, entry_pfn
from .populate import populate
from .rowwise import rows
from .tlb import flush_range
from .unshare import unshare_range
from .vma import (
    VM_ACCESS_FLAGS,
    VM_ACCOUNT,
    VM_HUGETLB,
    VM_LOCKED,
    VM_NORESERVE,
    VM_SHARED,
    VM_SHARED_PT,
    VM_WRITE,
    VMA,
)

PROT_SEM = 8                        # some architectures' atomic operations; x86 ignores it
PROT_BITS = P | RW | US | NX | PROTNONE


def do_mprotect(machine, task, start: int, end: int, prot: int) -> None:
    """Give [start, end) the protection *prot*; at a hole ENOMEM, after what comes before it.

    EACCES where the VMA may never have it (do_mprotect_pkey)."""
    if prot & ~(VM_ACCESS_FLAGS | PROT_SEM):
        raise oserror(errno.EINVAL, f"prot {prot:#x} has unknown bits")
    mm, at, prot = task.mm, start, prot & VM_ACCESS_FLAGS
    for vma in mm.vmas_in(start, end):
        if vma.start > at:
            break
        if prot & ~(vma.flags >> 4) & VM_ACCESS_FLAGS:
            raise oserror(errno.EACCES, f"{vma} comes from a file that was not opened for that")
        upto = min(vma.end, end)
        old = vma.flags
        if old & VM_SHARED_PT:
            protect_host(machine, vma, at, upto, prot)
        else:
            mprotect_fixup(machine, mm, vma, at, upto, old & ~VM_ACCESS_FLAGS | prot)
        if prot & VM_WRITE and old & (VM_WRITE | VM_SHARED | VM_LOCKED) == VM_LOCKED:
            populate(machine, task, at, upto)   # locked pages are copied now, not at a store
        at = upto
    if at < end:
        raise oserror(errno.ENOMEM, f"{at:#x} is not mapped")


def protect_host(machine, guest: VMA, start: int, end: int, prot: int) -> None:
    """mprotect by a guest of msharefs: what the host has there changes, for all guests."""
    host, start, end = guest.file.inode.region.protect(guest, start, end)
    for vma in host.vmas_in(start, end):
        mprotect_fixup(machine, host, vma, max(start, vma.start), min(end, vma.end),
                       vma.flags & ~VM_ACCESS_FLAGS | prot)


def mprotect_fixup(machine, mm, vma: VMA, start: int, end: int, flags: int) -> None:
    """Change one VMA, or a part of it, with the accounting that decides what merges later."""
    if flags == vma.flags:
        return
    if flags & VM_WRITE:
        if not vma.flags & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE):
            flags |= VM_ACCOUNT
    elif vma.flags & VM_ACCOUNT and vma.file is None and vma.anon_vma is None:
        flags &= ~VM_ACCOUNT
    vma = mm.modify(vma, start, end, flags)
    machine.emit("vma", vma)
    unshare_range(machine, mm, start, end)
    change_protection(machine, mm, vma, start, end)


def change_protection(machine, mm, vma: VMA, start: int, end: int) -> None:
    """Give the present entries in [start, end) the VMA's protection (change_pte_range).

    An anonymous page that only this mm can reach becomes writable at once; a page shared by fork,
    a file's page and the zero page of a private mapping wait for the fault."""
    tables, prot, changed = machine.tables, vma.page_prot(), 0

    def changed_bits(entry: int, folio) -> int:
        new = entry & ~PROT_BITS | prot
        if vma.flags & VM_WRITE and not vma.shared and not vma.huge:
            if folio.anon and folio.exclusive:
                new |= RW
        elif vma.flags & VM_WRITE and vma.shared and entry & D:
            new |= RW                   # its file knows already that it is dirty
        return new

    for table, run, pages in rows(machine, mm, start, end):
        if pages is not None and (bits := changed_bits(run.bits, pages)) != run.bits:
            tables.replace(table, run, run._replace(bits=bits))
            changed += run.hi - run.lo >> machine.geometry.bits * (run.level - 1)
    for _, table, index, entry in list(tables.leaves(mm.pgd, start, end, runs=False)):
        if not entry & PRESENT:
            continue
        new = changed_bits(entry, machine.memory.folio(entry_pfn(entry)))
        if new != entry:
            tables.set(table, index, new)
            changed += 1
    if changed:
        machine.emit("protect", start, end, changed)
        flush_range(machine, mm, start, end)
