"""Physical memory: frames, and what is in them.

Frame 0 is never handed out and frame 1 is the shared zero page, as if firmware and kernel had
taken them: both are outside *limit*.  Frames are handed out lowest first, so two runs of a
script number them alike.

>>> m = Memory(TINY, limit=2 * 4096)
>>> a, b = m.alloc_folio(), m.alloc_folio()
>>> a.pfn, b.pfn
(2, 3)
>>> m.free_folio(a); m.alloc_folio().pfn
2
>>> m.alloc_folio()
Traceback (most recent call last):
mmlib.memory.OutOfMemory: all 2 frames are in use
"""

import heapq
from collections.abc import Callable

from .geometry import TINY, ZERO_PFN, Geometry  # noqa: F401  (TINY: the example above)
from .trace import FrameState


class OutOfMemory(Exception):
    """No frame is free.  A fault turns it into the OOM killer, a system call into ENOMEM."""


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


class Memory:
    """The frames of one machine.  *limit* in bytes bounds what may be in use; None is no bound.

    *shortage*, if set, is called before an allocation fails; it returns True when it has freed
    something.
    """

    def __init__(self, geometry: Geometry, limit: int | None = None):
        self.page_size = geometry.page_size
        self.frames = None if limit is None else limit // geometry.page_size
        self.used = 0
        self.births = 0
        self.folios: dict[int, Folio] = {}
        self.zero = Folio(ZERO_PFN, 0, None, -1)
        self.shortage: Callable[[], bool] | None = None
        self._free: list[int] = []
        self._next = ZERO_PFN + 1
        self._block = range(0)          # frames that belong to the huge page pool

    def alloc_frame(self) -> tuple[int, int]:
        """(pfn, birth) of a free frame, the lowest; raises OutOfMemory."""
        while self.frames is not None and self.used >= self.frames:
            if not (self.shortage and self.shortage()):
                raise OutOfMemory(f"all {self.frames} frames are in use")
        self.used += 1
        self.births += 1
        if self._free:
            return heapq.heappop(self._free), self.births
        if self._next in self._block:
            self._next = self._block.stop
        self._next += 1
        return self._next - 1, self.births

    def reserve_block(self, frames: int, count: int) -> list[int]:
        """Take *count* huge pages of *frames* frames each away for ever; their first frames.

        They are aligned to their size, as a huge entry demands."""
        self._block = range(frames, frames + frames * count)
        self.used += frames * count
        return list(self._block[::frames])

    def free_frame(self, pfn: int) -> None:
        self.used -= 1
        heapq.heappush(self._free, pfn)

    def alloc_folio(self, mapping=None, index: int = -1) -> Folio:
        """A zeroed page; raises OutOfMemory."""
        pfn, birth = self.alloc_frame()
        folio = self.folios[pfn] = Folio(pfn, birth, mapping, index)
        return folio

    def free_folio(self, folio: Folio) -> None:
        assert folio.mapcount == 0 and self.folios[folio.pfn] is folio, folio.pfn
        del self.folios[folio.pfn]
        if folio.pool:
            folio.pool.release(folio)
        else:
            self.free_frame(folio.pfn)

    def folio(self, pfn: int) -> Folio:
        """The page in frame *pfn*; the zero page too."""
        return self.zero if pfn == ZERO_PFN else self.folios[pfn]

    def put_folio(self, folio: Folio) -> bool:
        """One entry fewer maps *folio*.  True if that was its last use and it is free now."""
        folio.mapcount -= 1
        if folio.mapcount or folio.mapping is not None or folio.pfn == ZERO_PFN:
            return False
        self.free_folio(folio)
        return True

    def read(self, folio: Folio, offset: int, n: int) -> bytes:
        """*n* bytes at *offset* within the page."""
        return bytes(n) if folio.data is None else bytes(folio.data[offset:offset + n])

    def write(self, folio: Folio, offset: int, data: bytes) -> None:
        if folio.data is None:
            if not any(data):
                return
            folio.data = bytearray(self.page_size * (folio.pool.frames if folio.pool else 1))
        folio.data[offset:offset + len(data)] = data

    def copy(self, old: Folio, new: Folio) -> None:
        new.data = None if old.data is None else bytearray(old.data)
