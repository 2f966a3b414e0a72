"""A process's address space: the list of VMAs, and the top-level table.

What a VMA *allows* stands here; what the page tables *do* stands in tables.  The rules for
splitting and merging are those of mm/vma.c in Linux 6.18.
"""

import errno
from bisect import bisect_left, bisect_right
from operator import attrgetter

from .files import oserror
from .tables import Ptdesc
from .vma import VM_SHARED_PT, VM_STICKY, VMA, check_split, joins, same_anon

START, END = attrgetter("start"), attrgetter("end")


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
        self.region = None              # of which it is the host (mshare.py)

    def count_table(self, table: Ptdesc, change: int) -> None:
        """An entry of this mm links *table*, or does no longer: VmPTE counts PTE, PMD and PUD
        tables, a P4D never (mm_inc_nr_ptes and its kin)."""
        self.nr_tables += change if table.level <= 3 else 0

    def find_vma(self, addr: int) -> VMA | None:
        """The VMA that contains *addr* (the kernel's vma_lookup)."""
        i = bisect_right(self.vmas, addr, key=START)
        return self.vmas[i - 1] if i and addr < self.vmas[i - 1].end else None

    def is_guest(self, addr: int) -> bool:
        """Does *addr* lie in a region of msharefs, whose tables and pages are the host's?"""
        vma = self.find_vma(addr)
        return vma is not None and bool(vma.flags & VM_SHARED_PT)

    def vmas_in(self, start: int, end: int) -> list[VMA]:
        """The VMAs that meet [start, end), in order; none if that is empty."""
        if start >= end:
            return []
        return self.vmas[bisect_right(self.vmas, start, key=END):
                         bisect_left(self.vmas, end, key=START)]

    def mapped(self, start: int, end: int) -> bool:
        """Does a VMA meet [start, end)?"""
        i = bisect_right(self.vmas, start, key=END)
        return start < end and i < len(self.vmas) and self.vmas[i].start < end

    def position(self, vma: VMA) -> int:
        """Where in the list it is."""
        return bisect_left(self.vmas, vma.start, key=START)

    def neighbours(self, start: int, end: int) -> tuple[VMA | None, VMA | None]:
        """The last VMA that begins before *start*, and the first that begins at *end* or after."""
        i = bisect_right(self.vmas, start - 1, key=START)
        j = bisect_right(self.vmas, end - 1, key=START)
        return (self.vmas[i - 1] if i else None), (self.vmas[j] if j < len(self.vmas) else None)

    def insert(self, vma: VMA) -> None:
        self.vmas.insert(bisect_right(self.vmas, vma.start, key=START), vma)
        if vma.file:
            vma.file.map_count += 1
            vma.file.inode.opens += 1
            vma.file.inode.mapping.i_mmap[vma] = None

    def remove(self, vma: VMA) -> None:
        del self.vmas[self.position(vma)]
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
        if not self.mapped(start, end):
            return []
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
        left = before if before and joins(before, new, new) else None
        right = after if after and joins(new, after, new) else None
        if left and right and not same_anon(left.anon_vma, right.anon_vma):
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
        left = before if start == vma.start and before and joins(before, probe, probe) else None
        right = after if end == vma.end and after and joins(probe, after, probe) else None
        if left and right and not same_anon(left.anon_vma, right.anon_vma):
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
        for vma in (left, new, right):
            target.flags |= vma.flags & VM_STICKY if vma else 0
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

    def unmapped_anonymous(self, length: int) -> int:
        """The same for private anonymous memory without a hint: whole spans of a PTE table begin
        at the border of one, so that huge pages could fit (thp_get_unmapped_area)."""
        size = self.geometry.huge_size
        if length % size == 0:
            try:
                wider = self.unmapped_area(length + size, self.geometry.page_size)
                return (wider // size + 1) * size
            except OSError:             # no room for that: anywhere will do
                pass
        return self.unmapped_area(length, self.geometry.page_size)
