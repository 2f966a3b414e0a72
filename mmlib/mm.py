"""A process's address space: the list of VMAs, and the top-level table.

What a VMA *allows* stands here; what the page tables *do* stands in tables.py.  The rules for
splitting and merging are those of mm/vma.c in Linux 6.18.
"""

import errno
from bisect import bisect_right

from .abi import prot_letters
from .files import oserror
from .geometry import NX, PROTNONE, RW, US, P
from .tables import Ptdesc

# vm_flags, with the kernel's values (include/linux/mm.h)
VM_READ, VM_WRITE, VM_EXEC, VM_SHARED = 1, 2, 4, 8
VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC, VM_MAYSHARE = 0x10, 0x20, 0x40, 0x80
VM_LOCKED, VM_SEQ_READ, VM_RAND_READ = 0x2000, 0x8000, 0x10000
VM_DONTCOPY, VM_DONTEXPAND = 0x20000, 0x40000
VM_ACCOUNT, VM_NORESERVE, VM_HUGETLB = 0x100000, 0x200000, 0x400000
VM_WIPEONFORK, VM_DONTDUMP = 0x2000000, 0x4000000
VM_HUGEPAGE, VM_NOHUGEPAGE = 0x20000000, 0x40000000
VM_NOSHARE, VM_TRACKED = 1 << 48, 1 << 49       # ours: opted out; its entries carry private bits
VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC


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


class MM:
    """An address space (struct mm_struct): VMAs in address order, and the top-level table.

    *nr_tables* counts PTE, PMD and PUD tables that its own entries link, as VmPTE does.  *cpus*
    are those that may hold its translations (mm_cpumask), in the order in which they ran it.
    """

    def __init__(self, name: str, tables, pgd: Ptdesc):
        self.name, self.tables, self.pgd = name, tables, pgd
        self.geometry = tables.geometry
        self.vmas: list[VMA] = []
        self.nr_tables = 0
        self.users = 1                  # tasks that run in it (mm_users)
        self.share_tables = True        # False: opted out of table sharing
        self.cpus: dict[int, None] = {}

    def find_vma(self, addr: int) -> VMA | None:
        """The VMA that contains *addr* (the kernel's vma_lookup)."""
        i = bisect_right(self.vmas, addr, key=lambda v: v.start)
        return self.vmas[i - 1] if i and addr < self.vmas[i - 1].end else None

    def vmas_in(self, start: int, end: int) -> list[VMA]:
        """The VMAs that meet [start, end), in order."""
        i = bisect_right(self.vmas, start, key=lambda v: v.end)
        j = i
        while j < len(self.vmas) and self.vmas[j].start < end:
            j += 1
        return self.vmas[i:j]

    def neighbours(self, start: int, end: int) -> tuple[VMA | None, VMA | None]:
        """The last VMA that begins before *start*, and the first that begins at *end* or after."""
        i = bisect_right(self.vmas, start - 1, key=lambda v: v.start)
        j = bisect_right(self.vmas, end - 1, key=lambda v: v.start)
        return (self.vmas[i - 1] if i else None), (self.vmas[j] if j < len(self.vmas) else None)

    def insert(self, vma: VMA) -> None:
        self.vmas.insert(bisect_right(self.vmas, vma.start, key=lambda v: v.start), vma)
        if vma.file:
            vma.file.map_count += 1
            vma.file.inode.opens += 1
            vma.file.inode.mapping.i_mmap[vma] = None

    def remove(self, vma: VMA) -> None:
        self.vmas.remove(vma)
        if vma.file:
            vma.file.map_count -= 1
            del vma.file.inode.mapping.i_mmap[vma]
            vma.file.inode.opens -= 1
            vma.file.inode.put()

    # splitting and merging ------------------------------------------------------------------
    def split(self, vma: VMA, addr: int) -> VMA:
        """Cut *vma* at *addr*; the upper part is returned (__split_vma)."""
        check_split(vma, addr)
        upper = vma.copy(start=addr, pgoff=vma.index(addr))
        vma.end = addr
        self.insert(upper)
        return upper

    def isolate(self, start: int, end: int) -> list[VMA]:
        """Cut VMAs so that each lies inside [start, end) or outside; those inside."""
        edges = [(v, e) for e in (start, end) if (v := self.find_vma(e)) and v.start < e]
        for vma, edge in edges:
            check_split(vma, edge)
        for edge in (start, end):
            vma = self.find_vma(edge)
            if vma and vma.start < edge:
                self.split(vma, edge)
        return self.vmas_in(start, end)

    def merge_new(self, new: VMA) -> VMA:
        """Insert *new* into a gap, as part of a neighbour where the two are alike.

        Returns the VMA that holds the range now (vma_merge_new_range)."""
        before, after = self.neighbours(new.start, new.end)
        left = before if before and _joins(before, new, new) else None
        right = after if after and _joins(new, after, new) else None
        if left and right and not _same_anon(left.anon_vma, right.anon_vma):
            right = None
        if not left and not right:
            self.insert(new)
            return new
        return self._join(left, new, right)

    def modify(self, vma: VMA, start: int, end: int, flags: int) -> VMA:
        """Give [start, end) of *vma* new *flags*; merge with neighbours or split.

        Returns the VMA that holds the range now (vma_modify, vma_merge_existing_range)."""
        check_split(vma, start), check_split(vma, end)
        before, after = self.neighbours(vma.start, vma.end)
        probe = vma.copy(start=start, end=end, flags=flags, pgoff=vma.index(start))
        left = before if start == vma.start and before and _joins(before, probe, probe) else None
        right = after if end == vma.end and after and _joins(probe, after, probe) else None
        if left and right and not _same_anon(left.anon_vma, right.anon_vma):
            right = None
        if start > vma.start:
            vma = self.split(vma, start)
        if end < vma.end:
            self.split(vma, end)
        if not left and not right:
            vma.flags = flags
            return vma
        self.remove_quietly(vma)
        return self._join(left, probe, right)

    def remove_quietly(self, vma: VMA) -> None:
        """Remove *vma*, whose range another VMA takes over at once: the file stays."""
        if vma.file:
            vma.file.inode.opens += 1
        self.remove(vma)
        if vma.file:
            vma.file.inode.opens -= 1

    def _join(self, left: VMA | None, new: VMA, right: VMA | None) -> VMA:
        """One VMA over left, new and right; at least one neighbour is there."""
        target = left or right
        donor = next((v for v in (right, new) if v and v.anon_vma), None)
        if target.anon_vma is None and donor:
            target.anon_vma, target.chain = donor.anon_vma, donor.chain
        if left and right:
            self.remove_quietly(right)
            left.end = right.end
        elif left:
            left.end = new.end
        else:
            right.start, right.pgoff = new.start, new.pgoff
        return target

    def unmapped_area(self, length: int, align: int) -> int:
        """The highest free address below mmap_base where *length* bytes fit, top-down.

        Raises ENOMEM (vm_unmapped_area)."""
        end = self.geometry.mmap_base
        for vma in reversed(self.vmas):
            if vma.start >= end:
                continue
            start = (end - length) // align * align
            if start >= vma.end:
                return start
            end = vma.start
        start = (end - length) // align * align
        if start < 0:
            raise oserror(errno.ENOMEM, f"no gap of {length:#x} bytes is left")
        return start


def _joins(low: VMA, high: VMA, new: VMA) -> bool:
    """May *new*, which is one of the two, merge with the other? (can_vma_merge_before, _after)"""
    old = low if high is new else high
    if low.end != high.start or old.flags != new.flags or old.file is not new.file:
        return False
    if new.flags & VM_DONTEXPAND:       # one of VM_SPECIAL: never merged
        return False
    if low.pgoff + (low.end - low.start >> low.mm.geometry.page_shift) != high.pgoff:
        return False
    if old.anon_vma is None or new.anon_vma is None:
        has = old if old.anon_vma else new
        return len(has.chain) <= 1      # is_mergeable_anon_vma: never with a fork child's
    return old.anon_vma is new.anon_vma


def check_split(vma: VMA, addr: int) -> None:
    """A hugetlb VMA is cut only between huge pages; EINVAL (hugetlb_vm_op_split)."""
    if vma.huge and addr % vma.mm.geometry.huge_size:
        raise oserror(errno.EINVAL, f"{addr:#x} lies inside a huge page of {vma}")


def _same_anon(a: AnonVma | None, b: AnonVma | None) -> bool:
    return a is None or b is None or a is b


def anon_vma_prepare(vma: VMA) -> None:
    """Give *vma* an anon_vma before its first private page, a neighbour's if they could merge
    but for their protection (find_mergeable_anon_vma)."""
    if vma.anon_vma is not None:
        return
    i = vma.mm.vmas.index(vma)
    pairs = [(vma, v) for v in vma.mm.vmas[i + 1:i + 2]]
    pairs += [(v, vma) for v in vma.mm.vmas[max(i - 1, 0):i]]
    for low, high in pairs:
        other = high if low is vma else low
        if (other.anon_vma and len(other.chain) == 1 and low.end == high.start
                and low.file is high.file
                and not (low.flags ^ high.flags) & ~VM_ACCESS_FLAGS
                and high.pgoff == low.index(low.end)):
            vma.anon_vma, vma.chain = other.anon_vma, other.chain
            return
    vma.anon_vma = AnonVma()
    vma.chain = (vma.anon_vma,)
