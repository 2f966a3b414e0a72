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

from collections.abc import Callable

from .folio import Folio, Pages
from .geometry import TINY, ZERO_PFN, Geometry  # noqa: F401  (TINY: the example above)
from .runs import Free, Runs


class OutOfMemory(Exception):
    """No frame is free.  A fault turns it into the OOM killer, a system call into ENOMEM."""


class Memory:
    """The frames of one machine.  *limit* in bytes bounds what may be in use; None is no bound.

    *shortage*, if set, is called before an allocation fails; it returns True when it has freed
    something.  Pages are in *folios*, by frame, or in *extents* as long as they are all alike.
    """

    def __init__(self, geometry: Geometry, limit: int | None = None):
        self.page_size, self.bits = geometry.page_size, geometry.bits
        self.frames = None if limit is None else limit // geometry.page_size
        self.used = 0
        self.births = 0
        self.folios: dict[int, Folio] = {}
        self.extents = Runs(Pages.after)
        self.zero = Folio(ZERO_PFN, 0, None, -1)
        self.shortage: Callable[[], bool] | None = None
        self._free = Free()
        self._next = ZERO_PFN + 1
        self._block = range(0)          # frames that belong to the huge page pool

    def alloc_frame(self) -> tuple[int, int]:
        """(pfn, birth) of a free frame, the lowest; raises OutOfMemory."""
        while self.frames is not None and self.used >= self.frames:
            if not (self.shortage and self.shortage()):
                raise OutOfMemory(f"all {self.frames} frames are in use")
        self.used += 1
        self.births += 1
        if self._free.ranges:
            return self._free.pop(), self.births
        if self._next in self._block:
            self._next = self._block.stop
        self._next += 1
        return self._next - 1, self.births

    def room(self, frames: int) -> bool:
        """Are so many frames free, without taking anything back?"""
        return self.frames is None or self.used + frames <= self.frames

    def alloc_extent(self, count: int) -> tuple[int, int]:
        """(pfn, birth) of the first of *count* frames in a row; the caller has asked for room."""
        assert self.frames is None or self.room(count), (self.used, count)
        block = self._block
        if block and self._next < block.stop and self._next + count > block.start:
            self._free.push(self._next, block.start)
            self._next = block.stop
        pfn, birth = self._next, self.births + 1
        self._next += count
        self.used += count
        self.births += count
        return pfn, birth

    def free_extent(self, pfn: int, count: int) -> None:
        """Give *count* frames in a row back."""
        self.used -= count
        self._free.push(pfn, pfn + count)

    def reserve_block(self, frames: int, count: int) -> Free:
        """Take *count* huge pages of *frames* frames each away for ever.

        They are aligned to their size, as a huge entry demands."""
        self._block, free = range(frames, frames + frames * count), Free(frames)
        self.used += frames * count
        free.push(self._block.start, self._block.stop)
        return free

    def free_frame(self, pfn: int) -> None:
        self.free_extent(pfn, 1)

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
        """The page in frame *pfn*; the zero page too.  It leaves its extent, if it was in one."""
        if pfn == ZERO_PFN:
            return self.zero
        return self.folios.get(pfn) or self._carve(pfn)

    def peek(self, pfn: int) -> "Folio | Pages":
        """What is known of the page in frame *pfn*, which stays in its extent."""
        return self.zero if pfn == ZERO_PFN else self.folios.get(pfn) or self.extents.at(pfn)

    def holds(self, pfn: int) -> bool:
        """Is there a page in frame *pfn*?"""
        return pfn == ZERO_PFN or pfn in self.folios or self.extents.find(pfn) is not None

    def _carve(self, pfn: int) -> Folio:
        """A page of its own for a frame of an extent."""
        pages = self.extents.at(pfn)
        if pages is None:
            raise KeyError(pfn)
        self.extents.take(pfn, pfn + pages.frames)
        folio = Folio(pfn, pages.birth, pages.mapping, pages.index, pages.pool)
        folio.mapcount, folio.exclusive = pages.mapcount, pages.exclusive
        self.folios[pfn] = folio
        if pages.mapping is not None:
            pages.mapping.adopt(folio)
        return folio

    # many pages at once ----------------------------------------------------------------------
    def carved(self, pfn: int, frames: int) -> list[Folio]:
        """The pages in a range of frames that are in no extent, in order."""
        if not self.folios:
            return []
        step = 1 << self.bits if pfn in self._block else 1
        if frames // step < len(self.folios):
            found = [self.folios.get(n) for n in range(pfn, pfn + frames, step)]
            return [folio for folio in found if folio is not None]
        return [self.folios[n] for n in sorted(self.folios) if pfn <= n < pfn + frames]

    def alike(self, pfn: int, frames: int) -> tuple[int, Pages | None]:
        """(how many frames from *pfn* on are of one extent, what they have in common)."""
        upto, pages = self.extents.stretch(pfn, pfn + frames)
        return upto - pfn, pages

    def kinds(self, pfn: int, frames: int) -> list[tuple[int, int, "Folio | Pages"]]:
        """(first, end, what they have in common) of the pages in a range of frames, in order."""
        found = self.extents.within(pfn, pfn + frames)
        found += [(folio.pfn, folio.pfn + (folio.pool.frames if folio.pool else 1), folio)
                  for folio in self.carved(pfn, frames)]
        return sorted(found, key=lambda row: row[0])

    def get_extent(self, pfn: int, frames: int, **changes) -> None:
        """One entry more maps each page of a range; *changes* as `exclusive=False`."""
        self.extents.alter(pfn, pfn + frames, lambda pages: pages._replace(
            mapcount=pages.mapcount + 1, **changes))
        for folio in self.carved(pfn, frames):
            folio.mapcount += 1
            for name, value in changes.items():
                setattr(folio, name, value)

    def put_extent(self, pfn: int, frames: int) -> None:
        """One entry fewer maps each page of a range; what nobody uses any more is free."""
        for lo, hi, pages in self.extents.take(pfn, pfn + frames):
            pages = pages._replace(mapcount=pages.mapcount - 1)
            if pages.mapcount or pages.mapping is not None:
                self.extents.add(lo, hi, pages)
            else:
                self._release(lo, hi, pages)
        for folio in self.carved(pfn, frames):
            self.put_folio(folio)

    def drop_extent(self, pfn: int, frames: int) -> None:
        """A file forgets a range of pages, all in extents, that nobody maps."""
        for lo, hi, pages in self.extents.take(pfn, pfn + frames):
            assert pages.mapcount == 0, (lo, pages)
            self._release(lo, hi, pages)

    def _release(self, lo: int, hi: int, pages: Pages) -> None:
        if pages.pool:
            pages.pool.release_extent(lo, hi)
        else:
            self.free_extent(lo, hi - lo)

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
