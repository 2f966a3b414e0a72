"""What the hardware does with tables: it walks them, marks entries, and remembers the way."""

from ..geometry import PFN_SHIFT, RW, A, D, P
from .entries import Entries
from .ptdesc import Ptdesc

LOADED, STORED = P | A, P | RW | A | D      # what an access leaves in the leaf entry


class Hardware(Entries):
    """The MMU's half of the operations."""

    def walk(self, root: Ptdesc, addr: int) -> list[tuple[Ptdesc, int, int]]:
        """(table, index, entry) from the top down to the leaf or the first empty entry."""
        geometry, table, path = self.geometry, root, []
        while table is not None:
            index = geometry.index(addr, table.level)
            path.append((table, index, self.get(table, index)))
            table = self.child(table, index)
        return path

    def mark(self, path: list[tuple[Ptdesc, int, int]], write: bool) -> int:
        """Set Accessed on every entry of *path*, Dirty on the leaf of a store; the leaf entry.

        The PTE table that the path ends in is kept in *ways*, by root and number of the table,
        until an entry above a PTE table changes (the hardware's paging-structure caches)."""
        number = 0
        for table, index, entry in path:
            marked = entry | A
            if write and table is path[-1][0]:
                marked |= D
            if marked != entry:
                self.set(table, index, marked)
            number = number << self.geometry.bits | index
        if table.level == 1:
            self.ways.setdefault(path[0][0], {})[number >> self.geometry.bits] = table
        return marked

    def known(self, root: Ptdesc, page: int, write: bool) -> int | None:
        """What `walk` and `mark` would come to for a page number, sooner: the leaf entry, 0 if
        the walk fails, None where the way is not known or an entry is to be marked."""
        try:
            table = self.ways[root][page >> self._bits]
        except KeyError:
            return None
        index, needs = page & self._mask, STORED if write else LOADED
        entry = table._entries.get(index, 0)
        if not entry:
            for lo, hi, _, pfn, step, bits, _, _, _, _ in table._runs:
                if lo <= index < hi:
                    entry = pfn + index * step << PFN_SHIFT | bits
        if entry & needs == needs:
            return entry
        return 0 if not entry & P or write and not entry & RW else None
