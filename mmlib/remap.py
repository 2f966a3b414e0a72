"""mremap: growing, shrinking and moving, in the order of checks of mm/mremap.c (Linux 6.18)."""

import errno

from .abi import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from .files import oserror
from .memory import OutOfMemory
from .move import move_page_tables
from .unmap import check_range, do_munmap
from .vma import VM_DONTEXPAND, VM_LOCKED, VM_MAYSHARE, VM_SHARED_PT, VMA


def do_mremap(machine, mm, old: int, old_len: int, new_len: int, flags: int, new: int) -> int:
    """The new address of the mapping; lengths are page-aligned already."""
    implied = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)
    check_params(machine, old, old_len, new_len, flags, new if implied else None)
    if flags & MREMAP_FIXED and old_len == new_len:
        return remap_move(machine, mm, old, old_len, flags, new)
    vma = mm.find_vma(old)
    if vma and vma.huge:
        huge = machine.geometry.huge_size
        old_len, new_len = -(-old_len // huge) * huge, -(-new_len // huge) * huge
        if old % huge or new % huge or new_len > old_len:       # align_hugetlb
            raise oserror(errno.EINVAL, f"{vma} must not grow, nor be cut inside a huge page")
    check_vma(mm, vma, old, old_len, new_len, flags)
    if implied:
        return mremap_to(machine, mm, old, old_len, new_len, flags, new)
    if new_len <= old_len:
        if new_len < old_len:
            shrink(machine, mm, old, old_len, new_len)
        return old
    if old + old_len == vma.end and expand_in_place(machine, mm, vma, new_len - old_len):
        return old
    if not flags & MREMAP_MAYMOVE:
        raise oserror(errno.ENOMEM, f"{vma} cannot grow in place and MREMAP_MAYMOVE is not given")
    return move_vma(machine, mm, vma, old, old_len, new_len, flags, place(mm, vma, new_len))


def place(mm, vma: VMA, length: int) -> int:
    """Where the kernel moves *vma* if nobody says where."""
    return mm.unmapped_area(length, mm.geometry.page_size) if vma.file \
        else mm.unmapped_anonymous(length)


def check_params(machine, old: int, old_len: int, new_len: int, flags: int, new) -> None:
    """What is wrong whatever is mapped (check_mremap_params)."""
    size, limit = machine.geometry.page_size, machine.geometry.task_size
    wrong = (
        "unknown flags" if flags & ~7 else
        f"addr {old:#x} is not a multiple of {size}" if old % size else
        "the new length is 0" if not new_len else
        "the new length exceeds the address space" if new_len > limit else
        None if new is None else
        "the new range leaves the address space" if new > limit - new_len else
        f"the new address {new:#x} is not a multiple of {size}" if new % size else
        "a new address implies MREMAP_MAYMOVE" if not flags & MREMAP_MAYMOVE else
        "MREMAP_DONTUNMAP does not resize" if flags & MREMAP_DONTUNMAP and old_len != new_len else
        "old and new range overlap" if new < old + old_len and old < new + new_len else None)
    if wrong:
        raise oserror(errno.EINVAL, wrong)


def check_vma(mm, vma: VMA | None, old: int, old_len: int, new_len: int, flags: int) -> VMA:
    """What is wrong with this source (check_prep_vma)."""
    if vma is None:
        raise oserror(errno.EFAULT, f"{old:#x} is not mapped")
    if vma.flags & VM_SHARED_PT and flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        raise oserror(errno.EINVAL, f"{vma} must not move")
    if new_len <= old_len and not flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
        return vma
    if not old_len and not vma.flags & VM_MAYSHARE:
        raise oserror(errno.EINVAL, "only a shared mapping can be duplicated by old length 0")
    if flags & MREMAP_DONTUNMAP and vma.flags & VM_DONTEXPAND:
        raise oserror(errno.EINVAL, f"{vma} cannot be left behind")
    if min(old_len, new_len) > vma.end - old:       # what a shrink unmaps may lie elsewhere
        raise oserror(errno.EFAULT, f"the old range leaves {vma}")
    if new_len > old_len and vma.flags & VM_DONTEXPAND:
        raise oserror(errno.EFAULT, f"{vma} must not grow")
    return vma


def remap_move(machine, mm, old: int, length: int, flags: int, new: int) -> int:
    """Move every VMA of the range, gaps between them kept (remap_move, since Linux 6.17)."""
    vmas, last_end, end = mm.vmas_in(old, old + length), None, old + length
    if not vmas or vmas[0].start > old:
        raise oserror(errno.EFAULT, f"{old:#x} is not mapped")
    at, first, spans = new, None, [(v.start, v.end) for v in vmas]
    for start, stop in spans:
        addr, upto = max(start, old), min(stop, end)
        if last_end is not None:
            at += start - last_end
        last_end = stop
        vma = check_vma(mm, mm.find_vma(addr), addr, upto - addr, upto - addr, flags)
        if vma.huge and (addr | upto | at) % machine.geometry.huge_size:
            raise oserror(errno.EINVAL, f"{addr:#x} or {at:#x} lies inside a huge page")
        got = mremap_to(machine, mm, addr, upto - addr, upto - addr, flags, at)
        first = got if first is None else first
        at = got + upto - addr
    return first


def mremap_to(machine, mm, old: int, old_len: int, new_len: int, flags: int, new: int) -> int:
    """Move to an address that the caller names (or, for DONTUNMAP alone, suggests)."""
    if flags & MREMAP_FIXED:
        do_munmap(machine, mm, new, new + new_len)
    if new_len < old_len:
        shrink(machine, mm, old, old_len, new_len)
        old_len = new_len
    vma = mm.find_vma(old)
    if vma is None:
        raise oserror(errno.EFAULT, f"{old:#x} is not mapped any more")
    if not flags & MREMAP_FIXED and not new:
        new = place(mm, vma, new_len)
    elif not flags & MREMAP_FIXED and mm.mapped(new, new + new_len):
        new = mm.unmapped_area(new_len, machine.geometry.page_size)
    return move_vma(machine, mm, vma, old, old_len, new_len, flags, new)


def shrink(machine, mm, old: int, old_len: int, new_len: int) -> None:
    """Unmap what is too much, whatever is mapped there; EINVAL (shrink_vma)."""
    start = old + new_len
    do_munmap(machine, mm, start, check_range(machine, start, old_len - new_len))


def expand_in_place(machine, mm, vma: VMA, delta: int) -> bool:
    """Grow *vma* upwards if the space is free; merge with what then touches it."""
    end = vma.end + delta
    if end > machine.geometry.task_size or mm.mapped(vma.end, end):
        return False
    probe = vma.copy(start=vma.end, end=end, pgoff=vma.index(vma.end))
    machine.emit("vma", str(mm.merge_new(probe)))
    return True


def move_vma(machine, mm, vma: VMA, old: int, old_len: int, new_len: int, flags: int,
             new: int) -> int:
    """Make the VMA at *new*, move the entries there, unmap the source (move_vma, copy_vma)."""
    pgoff = vma.index(old)
    if vma.file is None and vma.anon_vma is None:
        pgoff = new >> machine.geometry.page_shift      # never faulted: as if mapped there
    copy = vma.copy(start=new, end=new + new_len, pgoff=pgoff)
    moved = mm.merge_new(copy)
    machine.emit("vma_moved", old, new)
    try:
        move_page_tables(machine, mm, moved, old, new, old_len)
    except OutOfMemory:
        do_munmap(machine, mm, new, new + new_len)
        raise
    if flags & MREMAP_DONTUNMAP:
        source = mm.find_vma(old)
        source.flags &= ~VM_LOCKED
        if (source.start, source.end) == (old, old + old_len) and source is not moved:
            source.anon_vma, source.chain = None, ()
    elif old_len:
        source = mm.find_vma(old)
        if source.huge:
            source.promised = None      # the reservations have moved, too
        do_munmap(machine, mm, old, old + old_len)
    return new
