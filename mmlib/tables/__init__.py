"""Page tables, and the only ways to reach their entries.

Everything else in mmlib (faults, fork, unmap, sharing, the MMU) reads and writes entries through
the operations of `Tables`; a test looks for it.  So the storage can change without a line of the
fault path changing.  A table holds the entries that were made one at a time, and runs of entries
that were made in bulk (extents.py); a table below a run becomes an object when somebody asks for
it (`child`).

>>> from mmlib.geometry import TINY, P, US
>>> from mmlib.memory import Memory
>>> t = Tables(TINY, Memory(TINY))
>>> top, low = t.alloc(4, "a"), t.alloc(3, "a")
>>> t.link(top, 1, low); low.users
1
>>> [(table.pfn, index) for table, index, entry in t.walk(top, 0x40000)]
[(2, 1), (3, 0)]
"""

from ..geometry import RW, P
from .forest import Forests
from .ptdesc import Ptdesc

__all__ = ["Ptdesc", "Tables", "writable"]


class Tables(Forests):
    """All page tables of one machine.

    Read entries.py and hardware.py first: they have the operations; rows.py, spans.py and
    forest.py say how much is kept in few words.
    """


def writable(entry: int) -> bool:
    """May user mode store through this leaf entry now?"""
    return entry & (P | RW) == P | RW
