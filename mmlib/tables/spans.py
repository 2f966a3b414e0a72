"""Reading entries without making objects of the tables that hold them."""

from collections.abc import Iterator

from ..extents import Run, is_link
from ..geometry import entry_pfn
from ..runs import PageSet
from .ptdesc import Ptdesc
from .rows import Rows


class Spans(Rows):
    """What the entries say, by the row."""

    def entry_at(self, root: Ptdesc, addr: int) -> int:
        """The leaf entry of *addr*, 0 where there is none; nothing becomes an object."""
        table, base = root, 0
        while table is not None:
            index, page = self.geometry.index(addr, table.level), addr - base >> self.shift
            entry, run = table._entries.get(index, 0), None
            if not entry and table._runs and (run := self.run_at(table, index)):
                return self._entry_in(run, page)
            if not is_link(table.level, entry):
                return entry
            base += index * self.geometry.entry_span(table.level)
            pfn = entry_pfn(entry)
            table = self.by_pfn.get(pfn)
        forest = self.forests.at(pfn)
        return self._entry_in(forest.run._replace(hi=1 << 64), addr - base >> self.shift)

    def _entry_in(self, run: Run, page: int) -> int:
        """The leaf entry that *run* leads to for one of its pages."""
        if not run.lo <= page < run.hi:
            return 0
        bits = self.geometry.bits
        entry = run.entry(page >> bits * (run.level - 1), run.level, bits)
        if run.leaf:
            return entry
        pfn, page = entry_pfn(entry), page % (1 << bits * (run.level - 1))
        if table := self.by_pfn.get(pfn):
            return self.entry_at(table, page << self.shift)
        return self._entry_in(self.forests.at(pfn).run._replace(hi=1 << 64), page)

    def spans(self, root: Ptdesc, start: int, end: int,
              ) -> Iterator[tuple[int, int, int, int, int]]:
        """(address, count, entry, step, level): *count* leaf entries of *level* in a row that meet
        [start, end), not empty; each holds a frame *step* higher than the one before.  In no
        order of addresses; nothing becomes an object."""
        for base, part in self.parts(root, start, end):
            if isinstance(part, Run):
                unit = self.geometry.bits * (part.level - 1)
                first, last = part.lo >> unit, (part.hi - 1 >> unit) + 1
                yield (base + (first << unit + self.shift), last - first,
                       part.entry(first, part.level, self.geometry.bits), part.step, part.level)
            else:
                for addr, _, _, entry in self.below(part, base, start, end, False):
                    if not is_link(part.level, entry):
                        yield addr, 1, entry, 0, part.level

    def parts(self, table: Ptdesc, start: int, end: int, base: int = 0,
              ) -> Iterator[tuple[int, Ptdesc | Run]]:
        """(address of its page 0, part) of what holds the leaf entries that meet [start, end): the
        tables that are objects, and runs, cut to that range, that map pages.  Nothing becomes an
        object."""
        yield base, table
        if table.level > 1:
            for addr, _, _, entry in self.below(table, base, start, end, False):
                if is_link(table.level, entry):
                    yield from self._parts_at(entry_pfn(entry), 1, addr, start, end)
        for run in table._runs:
            yield from self._run_parts(run, base, start, end)

    def _run_parts(self, run: Run, base: int, start: int, end: int):
        run = run.cut(start - base >> self.shift, -(-(end - base) >> self.shift))
        if run.lo >= run.hi or not run.bits:
            return
        if run.leaf:
            yield base, run
            return
        unit = self.geometry.bits * (run.level - 1)
        first, last = run.lo >> unit, (run.hi - 1 >> unit) + 1
        yield from self._parts_at(run.pfn + first, last - first,
                                  base + (first << unit + self.shift), start, end)

    def _parts_at(self, pfn: int, count: int, addr: int, start: int, end: int):
        """The parts of *count* tables in a row, the first of which maps *addr*."""
        if count == 1 and (table := self.by_pfn.get(pfn)):
            yield from self.parts(table, start, end, addr)
            return
        for lo, hi, forest in self.forests.within(pfn, pfn + count):
            yield from self._run_parts(self.content(lo, hi, forest),
                                       addr + (lo - pfn) * self.geometry.span(forest.level),
                                       start, end)
        for table in self.objects(pfn, count):
            yield from self.parts(table, start, end,
                                  addr + (table.pfn - pfn) * self.geometry.span(table.level))

    def frames_below(self, root: Ptdesc) -> PageSet:
        """The frames of all tables below *root*."""
        found, stack = PageSet(), [root]

        def forest(pfn: int, count: int) -> None:
            for lo, hi, each in self.forests.within(pfn, pfn + count):
                found.update(lo, hi)
                run = self.content(lo, hi, each)
                for level, first, last in run.tables(self.geometry.bits):
                    found.update(*(run.tabs[level - run.level][0] + n for n in (first, last)))
            stack.extend(self.objects(pfn, count))

        while stack:
            table = stack.pop()
            if table is not root:
                found.add(table.pfn)
            for _, entry in table._entries.items():
                if is_link(table.level, entry):
                    forest(entry_pfn(entry), 1)
            for run in table._runs:
                for level, first, last in run.tables(self.geometry.bits):
                    found.update(*(run.tabs[level - run.level][0] + n for n in (first, last)))
                if not run.leaf:
                    unit = self.geometry.bits * (run.level - 1)
                    first = run.lo >> unit
                    forest(run.pfn + first, (run.hi - 1 >> unit) + 1 - first)
        return found
