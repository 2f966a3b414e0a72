"""One mapping of a range of addresses, and when two of them are one (mm/vma.c, Linux 6.18)."""

import errno

from .abi import prot_letters
from .files import oserror
from .geometry import NX, PROTNONE, RW, US, P

# vm_flags, with the kernel's values (include/linux/mm.h)
VM_READ, VM_WRITE, VM_EXEC, VM_SHARED = 1, 2, 4, 8
VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC, VM_MAYSHARE = 0x10, 0x20, 0x40, 0x80
VM_MAYBE_GUARD = 0x800                  # set where a guard region was ever made; it stays
VM_LOCKED, VM_SEQ_READ, VM_RAND_READ = 0x2000, 0x8000, 0x10000
VM_DONTCOPY, VM_DONTEXPAND = 0x20000, 0x40000
VM_ACCOUNT, VM_NORESERVE, VM_HUGETLB = 0x100000, 0x200000, 0x400000
VM_SYNC, VM_WIPEONFORK, VM_DONTDUMP = 0x800000, 0x2000000, 0x4000000
VM_HUGEPAGE, VM_NOHUGEPAGE, VM_MERGEABLE = 0x20000000, 0x40000000, 0x80000000
VM_SHARED_PT = 1 << 50          # of a guest of msharefs, as the series of 2022 calls it
VM_NOSHARE, VM_TRACKED = 1 << 48, 1 << 49       # ours: opted out; its entries carry private bits
VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC
VM_STICKY = VM_MAYBE_GUARD              # no hindrance to a merge; what results has it


class AnonVma:
    """What relates the anonymous pages of a VMA to its copies in children (struct anon_vma).

    Only its identity matters here: VMAs with different ones do not merge, and a VMA that has one
    has its entries copied by fork.
    """

    __slots__ = ()


class VMA:
    """[start, end) in bytes with one set of flags and one backing (struct vm_area_struct).

    *pgoff* is the page of the file (or of the address space, when there is no file) that *start*
    shows.  *chain* is the anon_vma_chain: more than one element means that a parent's pages may
    be in here (the kernel's vma_is_fork_child).  *promised* is the set of huge pages reserved for
    a private hugetlb mapping, which the parts of a split share.
    """

    __slots__ = ("mm", "start", "end", "flags", "pgoff", "file", "anon_vma", "chain", "promised")

    def __init__(self, mm, start, end, flags, pgoff, file=None, anon_vma=None, chain=(),
                 promised=None):
        self.mm, self.start, self.end, self.flags = mm, start, end, flags
        self.pgoff, self.file, self.anon_vma, self.chain = pgoff, file, anon_vma, chain
        self.promised = promised

    def copy(self, **changes) -> "VMA":
        """A VMA like this one that is in no list yet."""
        values = {n: getattr(self, n) for n in self.__slots__} | changes
        return VMA(**values)

    @property
    def huge(self) -> bool:
        """Its leaves are huge pages (is_vm_hugetlb_page)."""
        return bool(self.flags & VM_HUGETLB)

    @property
    def shared(self) -> bool:
        """Stores reach the file (VM_SHARED; off for a shared mapping of a read-only file)."""
        return bool(self.flags & VM_SHARED)

    @property
    def perms(self) -> str:
        """As in /proc/PID/maps.

        >>> VMA(None, 0, 4096, VM_READ | VM_MAYSHARE, 0).perms
        'r--s'
        """
        return prot_letters(self.flags & 7) + ("s" if self.flags & VM_MAYSHARE else "p")

    @property
    def backing(self) -> str:
        return self.file.name if self.file else "anon"

    @property
    def offset(self) -> int:
        """Bytes into the file of the first byte; 0 without a file."""
        return self.pgoff << self.mm.geometry.page_shift if self.file else 0

    def index(self, addr: int) -> int:
        """The page of the file that *addr* shows (linear_page_index)."""
        return self.pgoff + (addr - self.start >> self.mm.geometry.page_shift)

    def page_prot(self) -> int:
        """The bits of a fresh entry (vm_page_prot): RW only where a store needs no fault."""
        if not self.flags & VM_ACCESS_FLAGS:
            return PROTNONE | NX
        bits = P | US | (0 if self.flags & VM_EXEC else NX)
        return bits | RW if self.shared and self.flags & VM_WRITE and not self.notify else bits

    @property
    def notify(self) -> bool:
        """Must the first store to a clean page fault, so that its file learns of it
        (vma_wants_writenotify)?"""
        return self.file is not None and self.file.inode.mapping.on_disk

    def __str__(self) -> str:
        return f"[{self.start:#x}, {self.end:#x}) {self.perms} {self.backing}"


def check_split(vma: VMA, addr: int) -> None:
    """EINVAL where a VMA must not be cut: a hugetlb one between huge pages alone
    (hugetlb_vm_op_split), a guest's of msharefs nowhere."""
    if vma.flags & VM_SHARED_PT and vma.start < addr < vma.end:
        raise oserror(errno.EINVAL, f"{vma} can only be taken as a whole")
    if vma.huge and addr % vma.mm.geometry.huge_size:
        raise oserror(errno.EINVAL, f"{addr:#x} lies inside a huge page of {vma}")


def joins(low: VMA, high: VMA, new: VMA) -> bool:
    """May *new*, which is one of the two, merge with the other? (can_vma_merge_before, _after)"""
    old = low if high is new else high
    if low.end != high.start or (old.flags ^ new.flags) & ~VM_STICKY or \
            old.file is not new.file:
        return False
    if new.flags & VM_DONTEXPAND:       # one of VM_SPECIAL: never merged
        return False
    if low.pgoff + (low.end - low.start >> low.mm.geometry.page_shift) != high.pgoff:
        return False
    if old.anon_vma is None or new.anon_vma is None:
        has = old if old.anon_vma else new
        return len(has.chain) <= 1      # is_mergeable_anon_vma: never with a fork child's
    return old.anon_vma is new.anon_vma


def same_anon(a: AnonVma | None, b: AnonVma | None) -> bool:
    return a is None or b is None or a is b


def anon_vma_prepare(vma: VMA) -> None:
    """Give *vma* an anon_vma before its first private page, a neighbour's if they could merge
    but for their protection (find_mergeable_anon_vma)."""
    if vma.anon_vma is not None:
        return
    i = vma.mm.position(vma)
    pairs = [(vma, v) for v in vma.mm.vmas[i + 1:i + 2]]
    pairs += [(v, vma) for v in vma.mm.vmas[max(i - 1, 0):i]]
    for low, high in pairs:
        other = high if low is vma else low
        if (other.anon_vma and len(other.chain) == 1 and low.end == high.start
                and low.file is high.file
                and not (low.flags ^ high.flags) & ~(VM_ACCESS_FLAGS | VM_STICKY)
                and high.pgoff == low.index(low.end)):
            vma.anon_vma, vma.chain = other.anon_vma, other.chain
            return
    vma.anon_vma = AnonVma()
    vma.chain = (vma.anon_vma,)
