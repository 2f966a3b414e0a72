"""Tables in a row that others than their parents may reach."""

from bisect import bisect_left

from ..extents import Forest, Run, is_link
from ..geometry import entry_pfn
from .ptdesc import Ptdesc
from .spans import Spans


class Forests(Spans):
    """Forests are planted by a policy, or made of tables that a run implied."""

    def plant(self, level: int, count: int, run: Run, published: bool) -> int:
        """*count* full tables of *level* that nothing points to yet, mapping what *run*, whose
        ``tabs`` is empty, says; the frame of the first.  The caller has asked for room."""
        bits = self.geometry.bits
        holder = Ptdesc(0, 0, level + 1, run.owner)     # as if they hung below one table
        self.grow(holder, run._replace(lo=0, hi=count << bits * level))
        grown = holder._runs[0]
        pfn, birth = grown.tabs[-1]
        self.forests.add(pfn, pfn + count, Forest(level, birth, 0, published, grown._replace(
            lo=0, hi=0, tabs=grown.tabs[:-1]), bits))
        return pfn

    def expose(self, table: Ptdesc, run: Run, level: int) -> Run:
        """Make the full tables of *level* that *run* implies a forest, which others may link too;
        the run that points to them, which takes its place."""
        bits = self.geometry.bits
        first, last = run.lo >> bits * level, run.hi >> bits * level
        assert run.lo == first << bits * level and run.hi == last << bits * level, run
        tabs, low = run.tabs, level - run.level
        inner = run.moved(run.lo, level, bits)
        pfn, birth = tabs[low]
        self.forests.add(pfn + first, pfn + last, Forest(level, birth + first, 1, False,
                         inner._replace(lo=0, hi=0), bits))
        outer = run._replace(level=level + 1, pfn=pfn, step=1, bits=run.link, tabs=tabs[low + 1:])
        self.replace(table, run, outer)
        return outer

    def share(self, pfn: int, count: int, change: int) -> None:
        """*change* more entries point to each of *count* shared tables in a row."""
        self.forests.alter(pfn, pfn + count,
                           lambda forest: forest._replace(users=forest.users + change))
        for table in self.objects(pfn, count):
            table.users += change
            table._state = None

    def objects(self, pfn: int, count: int) -> list[Ptdesc]:
        """The tables in a range of frames that are objects."""
        first, last = bisect_left(self.pfns, pfn), bisect_left(self.pfns, pfn + count)
        return [self.by_pfn[n] for n in self.pfns[first:last]]

    def fell(self, lo: int, hi: int) -> Forest:
        """Take tables of one forest that nothing points to any more out, and free them."""
        (_, _, forest), = self.forests.take(lo, hi)
        assert not forest.users, (lo, hi, forest)
        self._free_implied(self.content(lo, hi, forest))
        self.memory.free_extent(lo, hi - lo)
        self.counts[forest.level] -= hi - lo
        self.freed += hi - lo
        return forest

    def settle(self, root: Ptdesc, start: int, end: int) -> None:
        """Take out of the runs that lead to tables of a forest those tables that meet [start, end)
        and are objects by now, or that nobody else uses any more."""
        for base, table, run in self.runs(root, start, end, cut=False):
            if run.leaf:
                continue
            unit = self.geometry.bits * (run.level - 1)
            low = max(run.lo, start - base >> self.shift)
            high = min(run.hi, -(-(end - base) >> self.shift))
            first, last = low >> unit, (high - 1 >> unit) + 1
            for target in self.objects(run.pfn + first, last - first):
                self.cut_out(table, (target.pfn - run.pfn) << unit)
            for lo, hi, forest in self.forests.within(run.pfn + first, run.pfn + last):
                if forest.users == 1 and not forest.home:
                    self.absorb(table, run, lo - run.pfn << unit, hi - run.pfn << unit)

    def cut_out(self, table: Ptdesc, page: int) -> None:
        """Make objects of all tables on the way from *table* to *page*, and an entry of it."""
        while table is not None:
            index = page >> self.geometry.bits * (table.level - 1)
            page -= index << self.geometry.bits * (table.level - 1)
            run = self.run_at(table, index)
            if run is None:
                table = self.child(table, index)
            elif run.level == table.level:
                self._carve(table, index)
                return
            else:
                table = self.child(table, index)

    def absorb(self, table: Ptdesc, run: Run, low: int, high: int) -> None:
        """The tables for pages [low, high) of *run* are of a forest, but nobody else's: imply
        them again."""
        bits, at = self.geometry.bits, [(table, low, high, run.pfn)]
        while at:
            table, low, high, root = at.pop()
            for run in [r for r in table._runs if not r.leaf and r.lo < high and r.hi > low]:
                lo, hi = max(run.lo, low), min(run.hi, high)
                unit = bits * (table.level - 1)
                if (lo > run.lo and lo % (1 << unit)) or (hi < run.hi and hi % (1 << unit)):
                    for page in (lo, hi - 1):
                        self.child(table, page >> unit)
                    at.append((table, low, high, root))
                    continue
                first = lo >> bits * (run.level - 1)
                count = (hi - lo) >> bits * (run.level - 1)
                (_, _, forest), = self.forests.take(run.pfn + first, run.pfn + first + count)
                inner = forest.run.moved(-lo, run.level - 1, bits)
                tab = run.pfn, forest.birth - first
                self.replace(table, run, *[part for part in (
                    run.cut(0, lo), run._replace(
                        lo=lo, hi=hi, level=inner.level, pfn=inner.pfn, step=inner.step,
                        bits=inner.bits, link=run.bits, tabs=(*inner.tabs, tab, *run.tabs)),
                    run.cut(hi, run.hi)) if part.lo < part.hi])
            at += [(child, low - (i << bits * (table.level - 1)),
                    high - (i << bits * (table.level - 1)), root)
                   for i, entry in table._entries.items() if is_link(table.level, entry)
                   and (i << bits * (table.level - 1)) < high
                   and (i + 1 << bits * (table.level - 1)) > low
                   and (child := self.by_pfn[entry_pfn(entry)]).level > 1]
