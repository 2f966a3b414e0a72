"""The simple store of page tables: a table is a dict of its non-empty entries, and nothing else.

A judge for mmlib/tables: a `Machine` runs on it as well (`dense_machine`), one access at a
time, and must come to the same entries and counters.
"""

from collections.abc import Iterator
from unittest import mock

from mmlib import Machine
from mmlib.geometry import PFN_SHIFT, PS, TABLE, A, D, Geometry, P, entry_pfn
from mmlib.memory import Memory
from mmlib.tables import Ptdesc
from mmlib.trace import TableState


class Dense:
    """All page tables of one machine."""

    bulk = False                        # every entry is made alone

    def __init__(self, geometry: Geometry, memory: Memory):
        self.geometry, self.memory = geometry, memory
        self.by_pfn: dict[int, Ptdesc] = {}
        self.forests, self.shift = (), geometry.page_shift
        self.allocated = self.freed = 0      # ever

    def alloc(self, level: int, owner: str) -> Ptdesc:
        """An empty table of *level* that nothing points to; raises OutOfMemory."""
        pfn, birth = self.memory.alloc_frame()
        table = self.by_pfn[pfn] = Ptdesc(pfn, birth, level, owner)
        self.allocated += 1
        return table

    def free(self, table: Ptdesc) -> None:
        """Give the frame back.  Nothing may point to *table*, and it must be empty."""
        assert not table.users and not table._entries, table
        del self.by_pfn[table.pfn]
        self.memory.free_frame(table.pfn)
        self.freed += 1

    # one entry -------------------------------------------------------------------------------
    def get(self, table: Ptdesc, index: int) -> int:
        """The entry; 0 when it is empty."""
        return table._entries.get(index, 0)

    def set(self, table: Ptdesc, index: int, entry: int) -> None:
        """Write a leaf entry; 0 clears it (set_pte_at, pte_clear)."""
        if entry:
            table._entries[index] = entry
        else:
            table._entries.pop(index, None)
        table._state = None

    def child(self, table: Ptdesc, index: int) -> Ptdesc | None:
        """The table that this entry points to, if it points to one."""
        entry = table._entries.get(index, 0)
        if table.level == 1 or not entry & P or entry & PS:
            return None
        return self.by_pfn[entry_pfn(entry)]

    def link(self, table: Ptdesc, index: int, child: Ptdesc) -> None:
        """Point an empty entry to *child* (pmd_populate and its kin)."""
        assert not self.get(table, index) and child.level == table.level - 1, (table, child)
        self.set(table, index, child.pfn << PFN_SHIFT | TABLE)
        child.users += 1
        child._state = None

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
        entries = table._entries
        if end is not None and (end - start) * 8 < len(entries):
            return [(i, entries[i]) for i in range(start, end) if i in entries]
        return sorted((i, e) for i, e in entries.items()
                      if i >= start and (end is None or i < end))

    def below(self, table: Ptdesc, base: int, start: int, end: int, runs: bool = True,
              ) -> Iterator[tuple[int, Ptdesc, int, int]]:
        """(address, table, index, entry) of the non-empty entries of *table*, which maps *base*
        upwards, whose span meets [start, end)."""
        size = self.geometry.entry_span(table.level)
        first = max(start - base, 0) // size
        last = min(-(-(end - base) // size), self.geometry.entries)
        for index, entry in self.present(table, first, last):
            yield base + index * size, table, index, entry

    def leaves(self, root: Ptdesc, start: int, end: int, runs: bool = True,
               ) -> Iterator[tuple[int, Ptdesc, int, int]]:
        """(address, table, index, entry) of every leaf entry in [start, end), upwards."""
        stack = [(0, root)]
        while stack:
            base, table = stack.pop()
            children = []
            for addr, table, index, entry in self.below(table, base, start, end):
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
            for addr, parent, index, _ in list(self.below(parent, base, start, end)):
                child = self.child(parent, index)
                if child is not None:
                    yield addr, parent, index, child
                    stack.append((addr, child))

    def table_at(self, root: Ptdesc, addr: int, level: int) -> Ptdesc | None:
        """The table of *level* on the way to *addr*, if there is one (hugetlb_walk)."""
        return next((t for t, _, _ in self.walk(root, addr) if t.level == level), None)

    def lookup(self, root: Ptdesc, addr: int) -> tuple[Ptdesc | None, int, int]:
        """(table, index, entry) of the leaf entry of *addr*; table None where no table is."""
        path = self.walk(root, addr)
        table, index, entry = path[-1]
        if table.level == 1 or entry & PS:
            return table, index, entry
        return None, index, 0

    # what the hardware does ------------------------------------------------------------------
    def walk(self, root: Ptdesc, addr: int) -> list[tuple[Ptdesc, int, int]]:
        """(table, index, entry) from the top down to the leaf or the first empty entry."""
        geometry, table, path = self.geometry, root, []
        while table is not None:
            index = geometry.index(addr, table.level)
            path.append((table, index, table._entries.get(index, 0)))
            table = self.child(table, index)
        return path

    def mark(self, path: list[tuple[Ptdesc, int, int]], write: bool) -> int:
        """Set Accessed on every entry of *path*, Dirty on the leaf of a store; the leaf entry."""
        for table, index, entry in path:
            marked = entry | A
            if write and table is path[-1][0]:
                marked |= D
            if marked != entry:
                table._entries[index] = marked
                table._state = None
        return marked

    # for views and checks --------------------------------------------------------------------
    def state(self, table: Ptdesc) -> TableState:
        """The frozen picture of *table*; made anew only when it has changed."""
        if table._state is None:
            table._state = TableState(table.pfn, table.birth, table.level, table.users,
                                      table.owner, table.published,
                                      tuple(self.present(table)))
        return table._state

    # what the store with runs tells besides -----------------------------------------------------
    @property
    def counts(self) -> list[int]:
        levels = [table.level for table in self.by_pfn.values()]
        return [levels.count(level) for level in range(self.geometry.levels + 1)]

    def entry_at(self, root: Ptdesc, addr: int) -> int:
        return self.lookup(root, addr)[2]

    def object(self, pfn: int) -> Ptdesc:
        return self.by_pfn[pfn]

    def own(self, table: Ptdesc, start: int = 0, end: int = 512) -> list[tuple[int, int]]:
        return self.present(table, start, end)

    def spans(self, table: Ptdesc, start: int, end: int, base: int = 0):
        for addr, holder, _, entry in self.leaves(table, start, end):
            yield addr, 1, entry, 0, holder.level

    def parts(self, table: Ptdesc, start: int, end: int, base: int = 0):
        yield base, table
        for addr, _, _, child in self.links(table, start, end):
            yield addr, child

    def known(self, root: Ptdesc, page: int, write: bool) -> None:
        """No short cut: every access is a walk."""

    def digest(self, table: Ptdesc, make):
        return make(table._entries.keys(), table._entries.values())

    def frames_below(self, root: Ptdesc) -> "set[int]":
        return {table.pfn for *_, table in self.links(root, 0, self.geometry.task_size)}

    def settle(self, root: Ptdesc, start: int, end: int) -> None:
        pass

    def runs(self, root, start, end, cut=True) -> "list":
        return []

    def cut_table(self, table: Ptdesc, first: int, last: int) -> "list":
        return []

    def runs_of(self, table: Ptdesc) -> list:
        return []


def dense_machine(*args, **kwargs) -> Machine:
    """A machine whose tables are `Dense`."""
    with mock.patch("mmlib.machine.Tables", Dense):
        return Machine(*args, **kwargs)
