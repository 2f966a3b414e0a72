"""Page tables, and the only ways to reach their entries.

Everything else in mmlib (faults, fork, unmap, sharing, the MMU) reads and writes entries through
the operations of `Tables`; a test looks for it.  So the storage can change without a line of the
fault path changing.  This store is the simple one: a table is a dict of its non-empty entries.

>>> from mmlib.geometry import TINY, P, US
>>> from mmlib.memory import Memory
>>> t = Tables(TINY, Memory(TINY))
>>> top, low = t.alloc(4, "a"), t.alloc(3, "a")
>>> t.link(top, 1, low); low.users
1
>>> [(table.pfn, index) for table, index, entry in t.walk(top, 0x40000)]
[(2, 1), (3, 0)]
"""

from collections.abc import Iterator

from .geometry import PFN_SHIFT, PS, RW, TABLE, A, D, Geometry, P, entry_pfn
from .memory import Memory
from .trace import TableState


class Ptdesc:
    """One page-table page (struct ptdesc).

    *users* counts the entries that point to it (a top-level table has none); the kernel's
    pt_share_count is users - 1.  *home* is where a policy keeps it, so that the cache can be told
    when the table goes; None for a table that is private to one mm.  *lent* is set on those of a
    host that a guest of msharefs has linked.
    """

    __slots__ = ("pfn", "birth", "level", "users", "owner", "home", "published", "lent",
                 "_entries", "_state")

    def __init__(self, pfn: int, birth: int, level: int, owner: str):
        self.pfn, self.birth, self.level, self.owner = pfn, birth, level, owner
        self.users, self.home, self.published, self.lent = 0, None, False, False
        self._entries: dict[int, int] = {}
        self._state: TableState | None = None

    @property
    def pt_share_count(self) -> int:
        return max(self.users - 1, 0)

    def __repr__(self) -> str:
        return f"<level-{self.level} table in frame {self.pfn}>"


class Tables:
    """All page tables of one machine."""

    def __init__(self, geometry: Geometry, memory: Memory):
        self.geometry, self.memory = geometry, memory
        self.by_pfn: dict[int, Ptdesc] = {}
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

    def below(self, table: Ptdesc, base: int, start: int, end: int,
              ) -> Iterator[tuple[int, Ptdesc, int, int]]:
        """(address, table, index, entry) of the non-empty entries of *table*, which maps *base*
        upwards, whose span meets [start, end)."""
        size = self.geometry.entry_span(table.level)
        first = max(start - base, 0) // size
        last = min(-(-(end - base) // size), self.geometry.entries)
        for index, entry in self.present(table, first, last):
            yield base + index * size, table, index, entry

    def leaves(self, root: Ptdesc, start: int, end: int) -> Iterator[tuple[int, Ptdesc, int, int]]:
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

    def links(self, root: Ptdesc, start: int, end: int,
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


def writable(entry: int) -> bool:
    """May user mode store through this leaf entry now?"""
    return entry & (P | RW) == P | RW
