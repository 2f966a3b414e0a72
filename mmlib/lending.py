"""Tables in a row that come from others, or that others may use; see bulk.py."""

from .extents import Run
from .geometry import RW, TABLE, A, D, P
from .sharing import cache_kind, is_shared


class Lending:
    """A part of `bulk.Row`: what a sharing policy has a say in."""

    def shared_level(self, table) -> int | None:
        """The highest level whose tables may be shared from *addr* on, 0 for none; the row ends
        where that changes.  None: one at a time."""
        vma, span_of = self.vma, self.machine.geometry.span
        may_share = self.machine.sharing.may_share
        if is_shared(table):
            return None
        for level in range(table.level - 1, 1 if vma.huge else 0, -1):
            span = span_of(level)
            low = self.addr // span * span
            if may_share(vma, low, level):
                self.end = self.addr + (min(self.end, vma.end) - self.addr) // span * span
                return level if low == self.addr < self.end else None
            if low + span < self.end and may_share(vma, low + span, level):
                self.end = low + span
        return 0

    def link(self, table, base: int, level: int) -> bool:
        """Link tables that are there already; False if none is, so that the row is to be filled.
        True also where the tables are to be had one at a time."""
        pfn = self.borrowed(level) if self.vma.huge else self.kept(level)
        if pfn is None or pfn < 0:
            return pfn is None
        lo, hi, forest = self.tables.forests.find(pfn)
        span = self.machine.geometry.span(level)
        self.end = min(self.end, self.addr + (hi - pfn) * span)
        if not self.allowed(forest.run.bits) or not self.memory.room(2 * self.pages + 9):
            return True
        count = (self.end - self.addr) // span
        new = self.run(table, base, level + 1, pfn, 1, TABLE | self.used)
        self.mm.nr_tables += self.tables.grow(table, new) + count
        self.tables.share(pfn, count, +1)
        if self.marked(forest.run) is not forest.run:
            self.mark(pfn, count)
        self.finish(count, *self.frames(pfn))
        return True

    def kept(self, level: int) -> int | None:
        """The frame of the first table in the file's cache, the row cut to those after it; -1 if
        there is none, None where they differ."""
        mapping, kind = self.vma.file.inode.mapping, cache_kind(self.vma)
        first, pages = self.vma.index(self.addr), 1 << self.bits * level
        last = first + self.pages
        for known, other, page in list(mapping.tables):
            if known == kind and page < last and first < page + (1 << self.bits * other):
                if other != level or page == first:
                    return None
                last = min(last, page)
        for (known, other), numbers in mapping.forests.items():
            width = self.bits * other
            if known == kind and other != level and numbers.within(
                    first >> width, (last - 1 >> width) + 1):
                return None
        numbers = mapping.forests.get((kind, level))
        upto, pfn = numbers.stretch(first // pages, last // pages) if numbers else (
            last // pages, None)
        self.end = self.addr + (upto * pages - first << self.shift)
        return -1 if pfn is None else pfn

    def borrowed(self, level: int) -> int | None:
        """The same of the file's other mappers (huge_pmd_share)."""
        vma, geometry = self.vma, self.machine.geometry
        span = geometry.span(level)
        for other in self.machine.sharing.lenders(vma, self.addr, level):
            there = other.start + (vma.index(self.addr) - other.pgoff << self.shift)
            limit = min(there + self.end - self.addr, other.end)
            upto, table, base, run = self.tables.stretch(other.mm.pgd, there, limit)
            if run is None:
                if table.level <= level or upto == there:
                    return None
                self.end = self.addr + (upto - there) // span * span
                if self.end == self.addr:
                    return None
                continue
            upto = there + (upto - there) // span * span
            if upto == there or not run.bits or table.level <= level:   # or it is an object
                return None
            self.end = self.addr + upto - there
            if run.level == level:
                self.tables.cut(other.mm.pgd, there), self.tables.cut(other.mm.pgd, upto)
                base, table, run = min(self.tables.runs(other.mm.pgd, there, upto),
                                       key=lambda found: found[0] + (found[2].lo << self.shift))
                self.end = self.addr + base + (run.hi << self.shift) - there
                run = self.tables.expose(table, run, level)
            pfn = run.pfn + (self.page(there, base) >> self.bits * level)
            return pfn if self.tables.forests.find(pfn) else None
        return -1

    def publish(self, table, base: int, level: int, pfn: int, step: int, bits: int) -> None:
        """Fresh tables for the row, which the file keeps."""
        vma, mapping = self.vma, self.vma.file.inode.mapping
        kind, first = cache_kind(vma), vma.index(self.addr)
        count = self.pages >> self.bits * level
        content = Run(0, 0, 1, pfn, step, bits, TABLE | self.used, (), mapping.name,
                      (mapping, kind, first))
        root = self.tables.plant(level, count, content, True)
        number = first >> self.bits * level
        mapping.forests.setdefault((kind, level), mapping.row()).add(number, number + count, root)
        new = self.run(table, base, level + 1, root, 1, TABLE | self.used)
        self.mm.nr_tables += self.tables.grow(table, new) + count
        self.tables.share(root, count, +1)

    def shared(self, base: int, run: Run) -> None:
        """Access what tables that others share map."""
        pfn = run.pfn + (self.page(self.addr, base) >> self.bits * (run.level - 1))
        found = self.tables.forests.find(pfn)
        if found is None or not self.allowed(found[2].run.bits):
            return
        span = self.machine.geometry.span(run.level - 1)
        self.end = min(self.end, self.addr // span * span + (found[1] - pfn) * span)
        forest = self.tables.forests.at(pfn)
        if self.marked(forest.run) is not forest.run:
            if self.addr % span or self.end - self.addr < span:
                return
            self.end -= self.end % span
            self.mark(pfn, (self.end - self.addr) // span)
        if run.bits | self.used != run.bits or run.link | self.used != run.link:
            return
        frame, step, bits = self.frames(pfn)
        into = self.page(self.addr % span, 0) >> self.bits * (forest.run.level - 1)
        self.finish(0, frame + into * step, step, bits)

    def allowed(self, bits: int) -> bool:
        """May the MMU use such an entry for this access?"""
        return bool(bits & P) and (not self.write or bool(bits & RW))

    def marked(self, run: Run) -> Run:
        """*run* after the MMU has used it."""
        bits = run.bits | A | (D if self.write else 0)
        if not self.walk or bits == run.bits and run.link & A:
            return run
        return run._replace(bits=bits, link=run.link | A)

    def mark(self, pfn: int, count: int) -> None:
        self.tables.forests.alter(
            pfn, pfn + count, lambda forest: forest._replace(run=self.marked(forest.run)))

    def frames(self, pfn: int) -> tuple[int, int, int]:
        """(frame, step, bits) of the first leaf entry of a table of a forest."""
        run = self.tables.forests.at(pfn).run
        return run.pfn, run.step, run.bits
