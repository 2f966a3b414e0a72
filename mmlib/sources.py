"""Where the pages of a row come from; see bulk.py."""

from .folio import Pages
from .geometry import PS, RW, A, D
from .memory import ZERO_PFN
from .vma import anon_vma_prepare


class Sources:
    """A part of `bulk.Row`: pages for entries that are empty."""

    def source(self):
        """(faults, a function that gives (frame, step), bits of the entries) for the row, which
        may become shorter; None where the pages are to be had one at a time."""
        vma, file, write = self.vma, self.vma.file, self.write
        prot = vma.page_prot() | A
        if file is None:
            if write:
                return self.pages, self.fresh, prot | RW | D
            return self.pages, self.zeros, prot
        mapping = file.inode.mapping
        first = vma.index(self.addr)
        last = min(first + self.pages, mapping.page_count)
        if vma.huge:
            last -= last % mapping.step
        if first >= last:
            return None
        upto, pfn = mapping.alike(first, last)
        if pfn is None:
            upto = next(iter(mapping.carved(first, upto)), upto)
        self.end = self.addr + (upto - first << self.shift)
        faults = (upto - first) // mapping.step
        if not write and not vma.huge and self.machine.fault_around > 1:
            window = self.whole_windows(mapping)
            if window is None:
                return None
            faults = -(-self.pages // window) if pfn is not None else self.pages
        if self.end <= self.addr:
            return None
        if vma.huge:
            return faults, lambda: self.cached(mapping, pfn), prot | PS | (RW | D if write else 0)
        if not write:
            return faults, lambda: self.cached(mapping, pfn), prot
        if vma.shared:
            return faults, lambda: self.cached(mapping, pfn), prot | RW | D
        return faults, lambda: self.copies(mapping, pfn), prot | RW | D

    def whole_windows(self, mapping) -> int | None:
        """Shorten the row to whole windows of fault-around; the pages of one, None if the row
        does not begin with one."""
        entries, window = self.machine.geometry.entries, self.machine.fault_around
        window = min(window, entries)
        if entries % window or (self.addr >> self.shift) % window:
            return None
        limit = min(self.vma.end, self.vma.start + (
            mapping.page_count - self.vma.pgoff << self.shift))
        if self.end < limit:
            self.end = self.addr + (self.pages // window * window << self.shift)
        return window

    # where the pages come from ------------------------------------------------------------------
    def fresh(self) -> tuple[int, int]:
        """do_anonymous_page: a store."""
        anon_vma_prepare(self.vma)
        pfn, birth = self.memory.alloc_extent(self.pages)
        self.memory.extents.add(pfn, pfn + self.pages, Pages(birth, mapcount=1, exclusive=True))
        self.machine.count["zero_fills"] += self.pages
        return pfn, 1

    def zeros(self) -> tuple[int, int]:
        """do_anonymous_page: a load."""
        self.memory.zero.mapcount += self.pages
        return ZERO_PFN, 0

    def cached(self, mapping, pfn: int | None, mapped: int = 1) -> tuple[int, int] | None:
        """The file's own pages, made where there are none."""
        first = self.vma.index(self.addr)
        if pfn is None:
            if mapping.step > 1:
                inode = self.vma.file.inode
                found = inode.pool.alloc_extent(inode.promised, first, first + self.pages)
                if found is None:
                    return None
                pfn, birth = found
                mapping.fill(first, first + self.pages, pfn, birth, inode.pool)
            else:
                pfn, birth = self.memory.alloc_extent(self.pages)
                mapping.fill(first, first + self.pages, pfn, birth)
            self.machine.count["cache_fills"] += self.pages // mapping.step
        if mapped:
            self.memory.get_extent(pfn, self.pages)
        return pfn, mapping.step

    def copies(self, mapping, pfn: int | None) -> tuple[int, int]:
        """do_cow_fault: what the file holds here are zeros, or it would be no row."""
        anon_vma_prepare(self.vma)
        self.cached(mapping, pfn, mapped=0)
        new, birth = self.memory.alloc_extent(self.pages)
        self.memory.extents.add(new, new + self.pages, Pages(birth, mapcount=1, exclusive=True))
        self.machine.count["copies"] += self.pages
        return new, 1
