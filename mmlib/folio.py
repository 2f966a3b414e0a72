"""One frame of data, or many that are alike."""

from typing import Any, NamedTuple

from .geometry import ZERO_PFN
from .trace import FrameState


class Folio:
    """One frame of data (struct folio of order 0).

    *mapping* and *index* say which page of which file it is; an anonymous page has none.
    *mapcount* is the number of page-table entries that map it.  *exclusive* is the kernel's
    PageAnonExclusive: only one mm can reach this anonymous page, so it may be made writable
    without asking.  *data* is None for a page full of zeros.  A huge page belongs to a *pool*;
    *dirty* means that a disk has an older version; not *uptodate*, that fallocate(2) has set it
    aside and nobody has used it yet.
    """

    __slots__ = ("pfn", "birth", "mapping", "index", "mapcount", "exclusive", "data", "pool",
                 "dirty", "uptodate", "_state")

    def __init__(self, pfn: int, birth: int, mapping, index: int, pool=None):
        self.pfn, self.birth, self.pool, self.dirty = pfn, birth, pool, False
        self.uptodate = True
        self.mapping, self.index = mapping, index
        self.mapcount, self.exclusive = 0, False
        self.data: bytearray | None = None
        self._state: FrameState | None = None

    @property
    def anon(self) -> bool:
        return self.mapping is None and self.pfn != ZERO_PFN

    def state(self) -> FrameState:
        """The frozen picture of this frame; made anew only when it has changed."""
        kind = "zero" if self.pfn == ZERO_PFN else "file" if self.mapping else "anon"
        head = bytes(self.data[:8]) if self.data else bytes(8)
        file = self.mapping.name if self.mapping else ""
        new = FrameState(self.pfn, self.birth, kind, file, self.index, self.mapcount, head)
        if new != self._state:
            self._state = new
        return self._state


class Pages(NamedTuple):
    """What a row of untouched pages has in common: the fields of a `Folio` full of zeros.

    *birth* and *index* are those of the first; *frames* is 1, or that of a huge page."""

    birth: int
    mapping: Any = None
    index: int = -1
    mapcount: int = 0
    exclusive: bool = False
    pool: Any = None
    frames: int = 1

    def after(self, n: int) -> "Pages":
        """The same, for pages that begin *n* frames further on."""
        return self._replace(birth=self.birth + n // self.frames,
                             index=self.index + n if self.mapping is not None else -1)

    @property
    def anon(self) -> bool:
        return self.mapping is None
