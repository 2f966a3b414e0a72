"""Entries in a row: kept as runs, cut where one of them becomes different."""

from bisect import insort

from ..extents import Forest, Run, is_link
from ..geometry import entry_pfn
from .hardware import Hardware
from .ptdesc import Ptdesc


class Rows(Hardware):
    """The runs of a table, and the tables that they imply."""

    def occupied(self, table: Ptdesc) -> bool:
        """Has it an entry that is not empty, or a table below?"""
        return bool(table._entries) or any(
            run.bits or run.level < table.level for run in table._runs)

    def runs_of(self, table: Ptdesc) -> list[Run]:
        """The runs of *table*, in order."""
        return list(table._runs)

    def content(self, lo: int, hi: int, forest: Forest) -> Run:
        """What the tables of *forest* in frames [lo, hi) map, as one run."""
        return forest.run._replace(hi=hi - lo << self.geometry.bits * forest.level)

    def indices(self, table: Ptdesc, run: Run) -> tuple[int, int]:
        """The entries of *table* that *run* stands in: the first, and beyond the last."""
        shift = self.geometry.bits * (table.level - 1)
        return run.lo >> shift, (run.hi - 1 >> shift) + 1

    def run_at(self, table: Ptdesc, index: int) -> Run | None:
        """The run that entry *index* belongs to."""
        for run in table._runs:
            first, last = self.indices(table, run)
            if first <= index < last:
                return run
        return None

    def spanning(self, table: Ptdesc, lo: int, hi: int) -> Run | None:
        """The run that pages lo <= page < hi of *table* are in, if they are all in one."""
        return next((run for run in table._runs if run.lo <= lo and hi <= run.hi), None)

    def _implied(self, table: Ptdesc, index: int) -> int:
        run = self.run_at(table, index)
        return run.entry(index, table.level, self.geometry.bits) if run else 0

    def _carve(self, table: Ptdesc, index: int) -> None:
        """Make an entry that is in a run, and the table below, things of their own."""
        run = self.run_at(table, index)
        if run is None:
            return
        bits, level = self.geometry.bits, table.level
        low = index << bits * (level - 1)
        high = low + (1 << bits * (level - 1))
        rest = [part for part in (run.cut(0, low), run.cut(high, run.hi)) if part.lo < part.hi]
        self.replace(table, run, *rest)
        entry = run.entry(index, level, bits)
        if entry:
            table._entries[index] = entry
        if run.level < level:
            pfn, birth = run.tabs[level - 1 - run.level]
            child = self._object(pfn + index, birth + index, level - 1, run, low)
            child.users = 1
            child._runs = self._worth(child, run.cut(low, high).moved(low, level - 1, bits))
        elif is_link(level, entry):
            self.object(entry_pfn(entry))

    def _object(self, pfn: int, birth: int, level: int, run: Run, low: int) -> Ptdesc:
        """An implied table, whose first page is page *low* of *run*, becomes an object."""
        table = self._new(pfn, birth, level, run.owner)
        if run.home:
            mapping, kind, page = run.home
            table.home, table.published = (mapping, (kind, level, page + low)), True
            mapping.keep(table.home[1], table)
        return table

    def object(self, pfn: int) -> Ptdesc:
        """The table in frame *pfn*, which is one that others may link."""
        return self.by_pfn.get(pfn) or self._fell(pfn)

    def _fell(self, pfn: int) -> Ptdesc:
        """A table of a forest becomes an object."""
        (_, _, forest), = self.forests.take(pfn, pfn + 1)
        table = self._object(pfn, forest.birth, forest.level, forest.run, 0)
        table.users = forest.users
        table._runs = self._worth(
            table, forest.run._replace(hi=1 << self.geometry.bits * forest.level))
        return table

    @staticmethod
    def _worth(table: Ptdesc, run: Run) -> list[Run]:
        """*run*, unless it says nothing: empty entries, and no table below."""
        return [run] if run.bits or run.level < table.level else []

    def replace(self, table: Ptdesc, run: Run, *others: Run) -> None:
        """Put *others* where *run* is; they stand in no other entries than it did."""
        at = table._runs.index(run)
        table._runs[at:at + 1] = others
        table._state = table._digest = None
        if table.level > 1:
            self.ways.clear()

    def clear(self, table: Ptdesc, run: Run) -> None:
        """Empty the entries that *run* fills; the tables that it implies stay."""
        self.replace(table, run, *self._worth(table, run._replace(bits=0, pfn=0, step=0)))

    def grow(self, table: Ptdesc, run: Run) -> int:
        """Put *run*, whose ``tabs`` is empty, into empty entries; the tables below are made, in
        one extent of frames.  How many of them VmPTE counts.  The caller has asked for room."""
        spans, frames, billed = run.spans(table.level, self.geometry.bits), 0, 0
        for level, first, last in spans:
            frames += last - first
            billed += last - first if level <= 3 else 0
            self.counts[level] += last - first
        pfn, birth = self.memory.alloc_extent(frames)
        tabs, at = [], frames
        for level, first, last in spans:        # the highest tables come first
            at -= last - first
            tabs.append((pfn + at - first, birth + at - first))
        self.allocated += frames
        insort(table._runs, Run(*run[:7], tuple(tabs), *run[8:]))
        table._state = None
        return billed

    def uproot(self, table: Ptdesc, run: Run) -> None:
        """Take *run*, which maps nothing any more, out of *table*, and free the tables below."""
        self.replace(table, run)
        self._free_implied(run)

    def _free_implied(self, run: Run) -> None:
        for level, first, last in run.tables(self.geometry.bits):
            self.memory.free_extent(run.tabs[level - run.level][0] + first, last - first)
            self.counts[level] -= last - first
            self.freed += last - first

    def cut(self, root: Ptdesc, addr: int) -> None:
        """See to it that no run of *root* begins before *addr* and ends after it, and that the
        tables that have addresses on both sides of it are objects."""
        table, base = root, 0
        while table is not None:
            index, page = self.geometry.index(addr, table.level), addr - base >> self.shift
            run = self.run_at(table, index) if table._runs else None
            if page % (1 << self.geometry.bits * (table.level - 1)) == 0:
                if run and run.lo < page < run.hi:
                    self.replace(table, run, run.cut(0, page), run.cut(page, run.hi))
                return
            if run and run.level == table.level:    # inside a huge page, or a shared table
                return
            if not run and index not in table._entries:
                return
            base += index * self.geometry.entry_span(table.level)
            table = self.child(table, index)

    def cut_table(self, table: Ptdesc, first: int, last: int) -> list[Run]:
        """The runs in entries first <= index < last of a PTE table, cut out."""
        for run in self.runs_of(table):
            parts = [run.cut(0, first), run.cut(first, last), run.cut(last, run.hi)]
            self.replace(table, run, *[part for part in parts if part.lo < part.hi])
        return [run for run in table._runs if first <= run.lo < last]

    def runs(self, root: Ptdesc, start: int, end: int, cut: bool = True,
             ) -> list[tuple[int, Ptdesc, Run]]:
        """(address of page 0, table, run) of the runs in the tables of *root* that are objects and
        meet [start, end); cut there first, so that they lie within."""
        if cut:
            self.settle(root, start, end)
            self.cut(root, start), self.cut(root, end)
        found, stack = [], [(0, root)]
        while stack:
            base, table = stack.pop()
            low, high = start - base >> self.shift, -(-(end - base) >> self.shift)
            found += [(base, table, run) for run in table._runs
                      if run.lo < high and run.hi > low]
            if table.level > 1:
                stack += [(addr, self.child(table, index)) for addr, _, index, entry
                          in self.below(table, base, start, end, False)
                          if is_link(table.level, entry)]
        return found

    def stretch(self, root: Ptdesc, addr: int, end: int) -> tuple[int, Ptdesc, int, Run | None]:
        """(upto, table, address of its page 0, run): the lowest table on the way to *addr* that is
        an object; the run in it that has the page; up to where, at most *end*, all is in that run
        or (run None) in empty entries; *upto* is *addr* where there is an entry of its own."""
        table, base = root, 0
        while True:
            if not table._entries and not table._runs:
                return min(end, base + self.geometry.span(table.level)), table, base, None
            size, index = self.geometry.entry_span(table.level), self.geometry.index(
                addr, table.level)
            page, run = addr - base >> self.shift, None
            if table._runs and (run := self.run_at(table, index)) and run.lo <= page < run.hi:
                return min(end, base + (run.hi << self.shift)), table, base, run
            if run is None and index not in table._entries:
                used = [i for i in table._entries if i > index]
                used += [i for r in table._runs if (i := self.indices(table, r)[0]) > index]
                last = min(used, default=self.geometry.entries)
                return min(end, base + last * size), table, base, None
            child = self.child(table, index)
            if child is None:
                return addr, table, base, None
            table, base = child, base + index * size
