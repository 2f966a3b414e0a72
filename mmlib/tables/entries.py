"""Entries one at a time."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Any

from ..extents import forests
from ..geometry import PFN_MASK, PFN_SHIFT, PS, TABLE, A, Geometry, P
from ..memory import Memory
from ..trace import TableState
from .ptdesc import Ptdesc


class Entries:
    """All page tables of one machine: *by_pfn* those that are objects, *counts* all, by level."""

    bulk = True                         # rows of entries may be made at once

    def __init__(self, geometry: Geometry, memory: Memory):
        self.geometry, self.memory, self.shift = geometry, memory, geometry.page_shift
        self._bits, self._mask = geometry.bits, geometry.entries - 1
        self.by_pfn: dict[int, Ptdesc] = {}
        self.pfns: list[int] = []           # the same frames, in order
        self.forests = forests()
        self.ways: dict[Ptdesc, dict[int, Ptdesc]] = {}     # Hardware.mark
        self.counts = [0] * (geometry.levels + 1)
        self.allocated = self.freed = 0      # ever

    def alloc(self, level: int, owner: str) -> Ptdesc:
        """An empty table of *level* that nothing points to; raises OutOfMemory."""
        pfn, birth = self.memory.alloc_frame()
        table = self._new(pfn, birth, level, owner)
        self.allocated += 1
        self.counts[level] += 1
        return table

    def _new(self, pfn: int, birth: int, level: int, owner: str) -> Ptdesc:
        table = self.by_pfn[pfn] = Ptdesc(pfn, birth, level, owner)
        insort(self.pfns, pfn)
        return table

    def free(self, table: Ptdesc) -> None:
        """Give the frame back.  Nothing may point to *table*, and it must be empty."""
        assert not table.users and not self.occupied(table), table
        del self.by_pfn[table.pfn], self.pfns[bisect_left(self.pfns, table.pfn)]
        self.memory.free_frame(table.pfn)
        self.freed += 1
        self.counts[table.level] -= 1

    # one entry -------------------------------------------------------------------------------
    def get(self, table: Ptdesc, index: int) -> int:
        """The entry; 0 when it is empty."""
        entry = table._entries.get(index, 0)
        return entry if entry or not table._runs else self._implied(table, index)

    def set(self, table: Ptdesc, index: int, entry: int) -> None:
        """Write a leaf entry; 0 clears it (set_pte_at, pte_clear)."""
        if table._runs:
            self._carve(table, index)
        if table.level > 1:
            self.ways.clear()
        if entry:
            table._entries[index] = entry
        else:
            table._entries.pop(index, None)
        table._state = table._digest = None

    def child(self, table: Ptdesc, index: int) -> Ptdesc | None:
        """The table that this entry points to, if it points to one."""
        entry = table._entries.get(index, 0)
        if not entry and table._runs:
            entry = self._implied(table, index)
            run = self.run_at(table, index)
            if run and run.level < table.level:
                self._carve(table, index)
        if table.level == 1 or not entry & P or entry & PS:
            return None
        pfn = (entry & PFN_MASK) >> PFN_SHIFT
        return self.by_pfn.get(pfn) or self.object(pfn)

    def link(self, table: Ptdesc, index: int, child: Ptdesc) -> None:
        """Point an empty entry to *child* (pmd_populate and its kin)."""
        assert not self.get(table, index) and child.level == table.level - 1, (table, child)
        self.set(table, index, child.pfn << PFN_SHIFT | TABLE)
        child.users += 1
        child._state = None

    def link_row(self, table: Ptdesc, index: int, children: list[Ptdesc]) -> None:
        """The same for entries from *index* on, and a region's tables that the MMU uses at once."""
        for at, child in enumerate(children, index):
            self.link(table, at, child)
            table._entries[at] |= A
            child.lent = True

    def publish(self, table: Ptdesc, home) -> None:
        """From now on *table* is the file's: *home* is (mapping, key of its cache)."""
        table.home, table.published, table.owner = home, True, home[0].name
        table._state = None

    def unlink(self, table: Ptdesc, index: int) -> Ptdesc:
        """Clear an entry that points to a table, which is returned; it lives on."""
        child = self.child(table, index)
        assert child is not None, (table, index)
        self.set(table, index, 0)
        child.users -= 1
        child._state = None
        return child

    # many entries ----------------------------------------------------------------------------
    def present(self, table: Ptdesc, start: int = 0, end: int | None = None,
                ) -> list[tuple[int, int]]:
        """(index, entry) of the non-empty entries with start <= index < end, in order."""
        end = self.geometry.entries if end is None else end
        found = self.own(table, start, end)
        if table._runs:
            for run in table._runs:
                first, last = self.indices(table, run)
                first, last = max(first, start), min(last, end)
                if first < last:
                    found += zip(range(first, last), run.entries(
                        first, last, table.level, self.geometry.bits))
            found.sort()
        return found

    def own(self, table: Ptdesc, start: int = 0, end: int = 1 << 9) -> list[tuple[int, int]]:
        """The same of the entries that are in no run."""
        entries = table._entries
        if (end - start) * 8 < len(entries):
            return [(i, entries[i]) for i in range(start, end) if i in entries]
        return sorted((i, e) for i, e in entries.items() if start <= i < end)

    def digest(self, table: Ptdesc, make: Callable) -> Any:
        """What *make* says of the indices and the entries, in no order, that are in no run; it is
        kept until one of them changes."""
        if table._digest is None:
            table._digest = make(table._entries.keys(), table._entries.values())
        return table._digest

    def below(self, table: Ptdesc, base: int, start: int, end: int, runs: bool = True,
              ) -> Iterator[tuple[int, Ptdesc, int, int]]:
        """(address, table, index, entry) of the non-empty entries of *table*, which maps *base*
        upwards, whose span meets [start, end); without *runs* those only that are in no run."""
        size = self.geometry.entry_span(table.level)
        first = max(start - base, 0) // size
        last = min(-(-(end - base) // size), self.geometry.entries)
        for index, entry in (self.present if runs else self.own)(table, first, last):
            yield base + index * size, table, index, entry

    def leaves(self, root: Ptdesc, start: int, end: int, runs: bool = True,
               ) -> Iterator[tuple[int, Ptdesc, int, int]]:
        """(address, table, index, entry) of every leaf entry in [start, end), upwards."""
        stack = [(0, root)]
        while stack:
            base, table = stack.pop()
            children = []
            for addr, table, index, entry in self.below(table, base, start, end, runs):
                child = self.child(table, index)
                if child is None:
                    yield addr, table, index, entry
                else:
                    children.append((addr, child))
            stack += reversed(children)

    def links(self, root: Ptdesc, start: int, end: int, runs: bool = True,
              ) -> Iterator[tuple[int, Ptdesc, int, Ptdesc]]:
        """(address, parent, index, table) of every table below *root* that meets [start, end),
        parents before children."""
        stack = [(0, root)]
        while stack:
            base, parent = stack.pop()
            for addr, parent, index, _ in list(self.below(parent, base, start, end, runs)):
                child = self.child(parent, index)
                if child is not None:
                    yield addr, parent, index, child
                    stack.append((addr, child))

    def table_at(self, root: Ptdesc, addr: int, level: int) -> Ptdesc | None:
        """The table of *level* on the way to *addr*, if there is one (hugetlb_walk)."""
        table = root
        while table is not None and table.level > level:    # no further: looking makes objects
            table = self.child(table, self.geometry.index(addr, table.level))
        return table

    def lookup(self, root: Ptdesc, addr: int) -> tuple[Ptdesc | None, int, int]:
        """(table, index, entry) of the leaf entry of *addr*; table None where no table is."""
        path = self.walk(root, addr)
        table, index, entry = path[-1]
        if table.level == 1 or entry & PS:
            return table, index, entry
        return None, index, 0

    # for views and checks --------------------------------------------------------------------
    def state(self, table: Ptdesc) -> TableState:
        """The frozen picture of *table*; made anew only when it has changed."""
        if table._state is None:
            table._state = TableState(table.pfn, table.birth, table.level, table.users,
                                      table.owner, table.published,
                                      tuple(self.own(table)))
        return table._state
