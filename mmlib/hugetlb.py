"""Huge pages: the pool, reservations, and hugetlbfs.

A huge page is what one PMD entry maps (2 MiB; 16 KiB in TINY).  The pool is taken from memory
when the machine is made, like nr_hugepages at boot.  A mapping reserves its pages in advance, so
that mmap fails with ENOMEM where a later fault could not be served.
"""

import errno

from .files import Filesystem, Inode, Mapping, oserror
from .memory import Folio, Memory
from .runs import PageSet


class NoHugePage(Exception):
    """The pool has no page that is not reserved (VM_FAULT_SIGBUS)."""


class HugePool:
    """The huge pages of one machine (struct hstate): *total* of *frames* frames each, *reserved* of
    which are promised and not yet taken (resv_huge_pages)."""

    def __init__(self, memory: Memory, frames: int, total: int):
        self.memory, self.frames, self.total = memory, frames, total
        self._free = memory.reserve_block(frames, total)
        self.reserved = 0

    @property
    def free(self) -> int:
        return len(self._free)

    def reserve(self, into: "Promises", ranges: list[tuple[int, int]]) -> None:
        """Promise the pages of *ranges* to the holder of *into*; ENOMEM if there are not enough
        left."""
        if not ranges:
            return
        wanted = sum(hi - lo for lo, hi in ranges) // self.frames
        if wanted > self.free - self.reserved:
            raise oserror(errno.ENOMEM, f"huge pages to reserve: {wanted}; "
                          f"left: {self.free - self.reserved} of {self.total}")
        for lo, hi in ranges:
            into.update(lo, hi)

    def alloc(self, promised: "Promises | None", index: int, mapping=None) -> Folio:
        """A zeroed huge page, from the promise for page *index* if there is one.

        Raises NoHugePage."""
        if promised is not None and index in promised:
            promised.discard(index)
        elif self.free - self.reserved < 1:
            raise NoHugePage
        pfn = self._free.pop()
        self.memory.births += 1
        folio = Folio(pfn, self.memory.births, mapping, index if mapping else -1, self)
        self.memory.folios[pfn] = folio
        return folio

    def alloc_extent(self, promised: "Promises", first: int, last: int) -> tuple[int, int] | None:
        """(pfn, birth) of huge pages in a row for pages first <= index < last, all promised; None
        if there is no such row."""
        if promised.within(first, last) != [(first, last)]:
            return None
        pfn = self._free.pop_range(last - first)
        if pfn is not None:
            promised.remove_range(first, last)
            birth = self.memory.births + 1
            self.memory.births += (last - first) // self.frames
            return pfn, birth
        return None

    def release_extent(self, lo: int, hi: int) -> None:
        """Huge pages in a row go back."""
        self._free.push(lo, hi)

    def release(self, folio: Folio) -> None:
        """A huge page goes back."""
        self.release_extent(folio.pfn, folio.pfn + self.frames)


class Promises(PageSet):
    """The huge pages that are promised to one holder; the pool knows how many."""

    def __init__(self, pool: HugePool):
        super().__init__(pool.frames)
        self.pool = pool

    def update(self, lo: int, hi: int) -> int:
        new = super().update(lo, hi)
        self.pool.reserved += new
        return new

    def remove_range(self, lo: int, hi: int) -> int:
        gone = super().remove_range(lo, hi)
        self.pool.reserved -= gone
        return gone


class HugeInode(Inode):
    """A file of hugetlbfs: *promised* are the pages that its shared mappings reserved."""

    huge = True

    def __init__(self, machine, ino: int, mapping: Mapping, evict):
        super().__init__(machine, ino, mapping, evict)
        self.pool = machine.huge_pages
        self.promised = Promises(self.pool)

    def put(self) -> None:
        super().put()
        if self.links == 0 and self.opens == 0:
            self.promised.clear()

    def get(self, index: int) -> Folio:
        """The cached huge page, made if it was a hole; raises NoHugePage."""
        folio = self.mapping.find(index)
        if folio is None:
            folio = self.mapping.pages[index] = self.pool.alloc(self.promised, index, self.mapping)
        return folio


class Hugetlbfs(Filesystem):
    """A mounted hugetlbfs."""

    fstype = "hugetlbfs"
    inode_type = HugeInode


def reserve(vma) -> None:
    """Promise the pages of a fresh hugetlb mapping (hugetlb_reserve_pages); raises ENOMEM.

    The pages of a shared mapping are promised to the file, those of a private one to the VMA."""
    inode, first, last = vma.file.inode, vma.pgoff, vma.index(vma.end)
    if vma.shared:
        inode.pool.reserve(inode.promised, unpromised(inode, first, last))
    else:
        vma.promised = Promises(inode.pool)
        inode.pool.reserve(vma.promised, [(first, last)])


def unpromised(inode: HugeInode, first: int, last: int) -> list[tuple[int, int]]:
    """The pages of a range that are neither promised nor there."""
    left, mapping = PageSet(inode.pool.frames), inode.mapping
    upto, pfn = mapping.extents.stretch(first, last)
    if pfn is not None and upto == last:
        return []
    left.update(first, last)
    for lo, hi in inode.promised.within(first, last):
        left.remove_range(lo, hi)
    for lo, hi, _ in mapping.extents.within(first, last):
        left.remove_range(lo, hi)
    for index in mapping.carved(first, last):
        left.discard(index)
    return left.ranges()
