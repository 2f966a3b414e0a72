"""mmap: a VMA is made, no table and no page; and the locks that keep pages in."""

import errno

from .abi import (
    LEGACY_MAP_MASK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MAP_TYPE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_ACCMODE,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
)
from .files import oserror
from .geometry import PRESENT
from .hugetlb import reserve
from .populate import faultin
from .rmap import write_back
from .signals import FaultSigsegv, PastEnd
from .unmap import do_munmap
from .unshare import unshare_edges
from .vma import (
    VM_ACCOUNT,
    VM_DONTEXPAND,
    VM_HUGETLB,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_NORESERVE,
    VM_SHARED,
    VM_SHARED_PT,
    VM_SYNC,
    VM_WRITE,
    VMA,
)

# MAP_* flags that the VMA keeps (calc_vm_flag_bits)
FLAGS = {MAP_NORESERVE: VM_NORESERVE, MAP_LOCKED: VM_LOCKED, MAP_STACK: VM_NOHUGEPAGE,
         MAP_SYNC: VM_SYNC}
MAY = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC


def do_mmap(machine, mm, addr: int | None, length: int, prot: int, flags: int, file,
            offset: int) -> int:
    """The address of the new mapping; the checks in the order of do_mmap (mm/mmap.c)."""
    geometry = machine.geometry
    size, anonymous = geometry.page_size, flags & MAP_ANONYMOUS
    if offset % size:
        raise oserror(errno.EINVAL, f"offset {offset:#x} is not a multiple of {size}")
    if not anonymous and file is None:
        raise oserror(errno.EBADF, "there is neither a file nor MAP_ANONYMOUS")
    if not anonymous:
        file.check()
    if length == 0:
        raise oserror(errno.EINVAL, "the length is 0")
    huge = bool(flags & MAP_HUGETLB) if anonymous else file.inode.huge
    if flags & MAP_HUGETLB and not huge:
        raise oserror(errno.EINVAL, f"{file.name} has no huge pages")
    unit = geometry.huge_size if huge else size
    length = -(-length // unit) * unit
    region = None if anonymous else file.inode.region
    start = choose_address(machine, mm, addr, length, flags, region.align if region else unit)
    if not anonymous and offset + length >= 1 << 63:
        raise oserror(errno.EOVERFLOW, f"offset {offset:#x} + length {length:#x} is no file offset")
    vm_flags = prot | map_type(flags, prot, None if anonymous else file)
    if not anonymous and offset % unit:
        raise oserror(errno.EINVAL, f"offset {offset:#x} lies inside a huge page")
    if not anonymous and not file.inode.can_mmap:
        raise oserror(errno.ENODEV, f"{file.name} cannot be mapped")
    if flags & MAP_GROWSDOWN and (vm_flags & VM_MAYSHARE or not anonymous):
        raise oserror(errno.EINVAL, "only private anonymous memory can be a stack that grows down")
    if region:
        region.check_mmap(start, length, bool(vm_flags & VM_MAYSHARE))
    for flag, bit in FLAGS.items():
        vm_flags |= bit if flags & flag else 0
    if region:
        vm_flags = vm_flags & ~VM_LOCKED | region.vm_flags
    if huge:
        vm_flags |= VM_HUGETLB | VM_DONTEXPAND
    elif vm_flags & (VM_NORESERVE | VM_SHARED | VM_WRITE) == VM_WRITE:
        vm_flags |= VM_ACCOUNT
    if huge and anonymous:
        file, offset = machine.anonymous_object(length, True), 0
    elif vm_flags & VM_MAYSHARE and anonymous:
        file, offset = machine.anonymous_object(length, False), 0
    elif anonymous:
        file, offset = None, start
    new = VMA(mm, start, start + length, vm_flags, offset >> geometry.page_shift, file)
    if huge and not flags & MAP_NORESERVE:
        reserve(new)
    do_munmap(machine, mm, start, start + length)
    if huge and vm_flags & VM_WRITE:
        file.inode.mapping.size = max(file.inode.mapping.size, offset + length)
    if region:
        region.attach(new)
    machine.emit("vma", mm.merge_new(new))
    return start


def choose_address(machine, mm, addr: int | None, length: int, flags: int, align: int) -> int:
    """Where the mapping goes: where the caller insists, at its hint, or top-down."""
    geometry = machine.geometry
    fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
    if length > geometry.task_size:
        raise oserror(errno.ENOMEM, f"{length:#x} bytes exceed the address space")
    if not fixed:
        hint = (addr or 0) // geometry.page_size * geometry.page_size
        hint = -(-hint // align) * align
        if hint and hint <= geometry.task_size - length and not mm.mapped(hint, hint + length):
            return hint
        if not hint and flags & (MAP_ANONYMOUS | MAP_SHARED | MAP_HUGETLB) == MAP_ANONYMOUS:
            return mm.unmapped_anonymous(length)
        return mm.unmapped_area(length, align)
    if addr is None:
        raise ValueError("MAP_FIXED needs an addr, not None")
    if addr > geometry.task_size - length:
        raise oserror(errno.ENOMEM, f"[{addr:#x}, {addr + length:#x}) leaves the address space")
    if addr % align:
        raise oserror(errno.EINVAL, f"addr {addr:#x} is not a multiple of {align:#x}")
    if flags & MAP_FIXED_NOREPLACE and mm.mapped(addr, addr + length):
        raise oserror(errno.EEXIST, f"{mm.vmas_in(addr, addr + length)[0]} is in the way")
    return addr


def map_type(flags: int, prot: int, file) -> int:
    """The vm_flags of MAP_SHARED or MAP_PRIVATE, checked against how *file* was opened."""
    kind, mode = flags & MAP_TYPE, O_RDWR if file is None else file.flags & O_ACCMODE
    if kind == MAP_SHARED_VALIDATE and file is not None and flags & ~LEGACY_MAP_MASK:
        raise oserror(errno.EOPNOTSUPP, f"MAP_SHARED_VALIDATE: unknown flags {flags:#x}")
    if kind not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE) or \
            kind == MAP_SHARED_VALIDATE and file is None:
        raise oserror(errno.EINVAL, f"flags {flags:#x} say neither MAP_SHARED nor MAP_PRIVATE")
    shared = kind != MAP_PRIVATE
    if shared and prot & VM_WRITE and mode == O_RDONLY:
        raise oserror(errno.EACCES, f"{file.name} was opened read-only")
    if mode == O_WRONLY:
        raise oserror(errno.EACCES, f"{file.name} was opened write-only")
    if not shared:
        return MAY
    # A shared mapping that can never store is no VM_SHARED, but /proc shows it as shared.
    return MAY & ~VM_MAYWRITE | VM_MAYSHARE if mode == O_RDONLY else MAY | VM_MAYSHARE | VM_SHARED


def set_locked(machine, mm, start: int, end: int, lock: bool) -> None:
    """Set or clear VM_LOCKED; ENOMEM at a hole, after what comes before it
    (apply_vma_lock_flags)."""
    at = start
    for vma in mm.vmas_in(start, end):
        if vma.start > at:
            break
        upto = min(vma.end, end)
        flags = vma.flags | VM_LOCKED if lock else vma.flags & ~VM_LOCKED
        if flags != vma.flags and not vma.flags & VM_SHARED_PT:     # vma_supports_mlock
            unshare_edges(machine, mm, at, upto)
            mm.modify(vma, at, upto, flags)
        at = upto
    if at < end:
        raise oserror(errno.ENOMEM, f"{at:#x} is not mapped")


def do_mlock(machine, task, start: int, end: int) -> None:
    """Lock [start, end) and fault it in; ENOMEM where a page cannot be had, locked all the same."""
    set_locked(machine, task.mm, start, end, True)
    for vma in task.mm.vmas_in(start, end):
        try:
            faultin(machine, task, vma, max(start, vma.start), min(end, vma.end),
                    bool(vma.flags & VM_WRITE) and not vma.shared)
        except (PastEnd, FaultSigsegv):
            raise oserror(errno.ENOMEM, f"{vma} has pages that cannot be had") from None


def do_msync(machine, mm, start: int, end: int, flags: int) -> None:
    """With MS_SYNC write back what shared mappings of disk files in [start, end) have dirtied;
    ENOMEM at the end if there was a hole (mm/msync.c)."""
    if flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) or flags & MS_ASYNC and flags & MS_SYNC:
        raise oserror(errno.EINVAL, f"flags {flags:#x}")
    at = start
    for vma in mm.vmas_in(start, end):
        if flags & MS_INVALIDATE and vma.flags & VM_LOCKED:
            raise oserror(errno.EBUSY, f"{vma} is locked")
        if flags & MS_SYNC and vma.file and vma.shared:
            write_back(machine, vma.file.inode.mapping, vma.index(max(start, vma.start)),
                       vma.index(min(end, vma.end)))
        at = vma.end if vma.start <= at else at
    if at < end:
        raise oserror(errno.ENOMEM, "a part of the range is not mapped")


def do_mincore(machine, mm, start: int, end: int) -> bytes:
    """A byte a page: 1 if an entry is present or the page is in the file's cache, cleared."""
    out = bytearray()
    if end > machine.geometry.task_size:
        raise oserror(errno.ENOMEM, f"[{start:#x}, {end:#x}) leaves the address space")
    for addr in range(start, end, machine.geometry.page_size):
        vma = mm.find_vma(addr)
        if vma is None:
            raise oserror(errno.ENOMEM, f"{addr:#x} is not mapped")
        entry = machine.tables.entry_at(mm.pgd, addr)
        cached = vma.file and vma.file.inode.mapping.ready(vma.index(addr))
        out.append(1 if entry & PRESENT or cached else 0)
    return bytes(out)
