"""The page cache of one file.

Trap: Linux's ``struct address_space`` is *not* a process's address space.  It is the page cache
of one file together with the list of its mappers; here it is called `Mapping`.  A process's
address space is an mm (mm.py).
"""

from .folio import Folio, Pages
from .memory import Memory, OutOfMemory
from .runs import Runs


class Mapping:
    """The page cache of one file (struct address_space): pages by page number.

    *i_mmap* holds every VMA that maps the file (a dict without values keeps their order).  A page
    is in *pages*, or in *extents* (page number -> frame) as long as nobody looked at it alone.
    """

    on_disk = False                     # a disk holds the pages as well

    def __init__(self, name: str, memory: Memory, step: int = 1):
        self.name, self.memory = name, memory
        self.step = step                    # frames a page: more than 1 for huge pages
        self.pages: dict[int, Folio] = {}
        self.extents = self.row()
        self.i_mmap: dict = {}
        self.tables: dict = {}              # cached page tables (sharing.cache_key)
        self.forests: dict = {}             # (kind, level) -> Runs of number -> frame of a table
        self.size = 0                       # bytes (i_size)

    @property
    def page_count(self) -> int:
        """Pages up to the end of the file, the last perhaps in part."""
        return -(-self.size // self.memory.page_size)

    def find(self, index: int) -> Folio | None:
        """The cached page, if there is one (filemap_get_folio)."""
        index -= index % self.step
        folio = self.pages.get(index)
        if folio is None and self.extents and (pfn := self.extents.at(index)) is not None:
            folio = self.memory.folio(pfn)
        return folio

    def frame(self, index: int) -> int | None:
        """The frame of a cached page; it stays in its extent."""
        folio = self.pages.get(index)
        return folio.pfn if folio else self.extents.at(index)

    def ready(self, index: int) -> Folio | None:
        """The same if its content is there: what fallocate has set aside is to be cleared yet."""
        folio = self.find(index)
        return folio if folio and folio.uptodate else None

    def get(self, index: int) -> Folio:
        """The cached page, made and zeroed if it was a hole (shmem_get_folio).

        The caller has checked that it lies before the end of the file.  Raises OutOfMemory.
        """
        folio = self.find(index)
        if folio is None:
            folio = self.pages[index] = self.memory.alloc_folio(self, index)
        folio.uptodate = True
        return folio

    def drop(self, index: int) -> None:
        """Forget a cached page that nobody maps any more."""
        folio = self.pages.pop(index)
        folio.mapping, folio.index = None, -1
        self.memory.free_folio(folio)

    # many pages at once ---------------------------------------------------------------------
    def adopt(self, folio: Folio) -> None:
        """A page has left its extent (`Memory.folio`)."""
        self.extents.take(folio.index, folio.index + self.step)
        self.pages[folio.index] = folio

    def alike(self, first: int, last: int) -> tuple[int, int | None]:
        """(upto, pfn): pages first <= index < upto are in frames from *pfn* on and alike; or,
        without a pfn, in no extent."""
        upto, pfn = self.extents.stretch(first, last)
        if pfn is not None:
            upto = first + self.memory.alike(pfn, upto - first)[0]
        return upto, pfn

    def carved(self, first: int, last: int) -> list[int]:
        """The page numbers in a range that are in no extent, in order."""
        if last - first < len(self.pages):
            return [n for n in range(first, last, self.step) if n in self.pages]
        return sorted(n for n in self.pages if first <= n < last)

    def fill(self, first: int, last: int, pfn: int, birth: int, pool=None) -> None:
        """New pages full of zeros, in frames from *pfn* on, where there were none."""
        self.memory.extents.add(pfn, pfn + last - first,
                                Pages(birth, self, first, pool=pool, frames=self.step))
        self.extents.add(first, last, pfn)

    def drop_range(self, first: int, last: int | None) -> int:
        """Forget the pages first <= index < last; how many they were."""
        last, count = self._end() if last is None else last, 0
        for lo, hi, pfn in self.extents.take(first, last):
            self.memory.drop_extent(pfn, hi - lo)
            count += (hi - lo) // self.step
        gone = self.carved(first, last)
        for index in gone:
            self.drop(index)
        return count + len(gone)

    def _end(self) -> int:
        """Beyond every page that is cached."""
        return max([0, *(n + 1 for n in self.pages), *(hi for _, hi, _ in self.extents)])

    @staticmethod
    def row() -> Runs:
        """Numbers to frames, both in a row."""
        return Runs(lambda pfn, n: pfn + n)

    def keep(self, key: tuple, table) -> None:
        """A cached table has left its forest, or the run that implied it."""
        kind, level, page = key
        self.tables[key] = table
        if (kind, level) in self.forests:
            number = page >> table.level * self.memory.bits
            self.forests[kind, level].take(number, number + 1)

    def count(self) -> int:
        """Pages in the cache."""
        return len(self.pages) + self.extents.total() // self.step

    def peek(self, index: int) -> Folio | None:
        """The page that read(2) copies from; None reads as zeros."""
        return self.find(index)

    # contents by byte, as read(2) and write(2) see them -------------------------------------
    def read(self, offset: int, n: int) -> bytes:
        size, out = self.memory.page_size * self.step, []
        end = min(offset + n, self.size)
        while offset < end:
            index, within = offset // size * self.step, offset % size
            take, folio = min(size - within, end - offset), self.peek(index)
            out.append(self.memory.read(folio, within, take) if folio else bytes(take))
            offset += take
        return b"".join(out)

    def write(self, offset: int, data: bytes) -> int:
        """The bytes written: fewer than *data* where memory ends; OutOfMemory if it is none."""
        size, done = self.memory.page_size, 0
        while done < len(data):
            index, within = divmod(offset + done, size)
            part = data[done:done + size - within]
            try:
                folio = self.get(index)
            except OutOfMemory:
                if not done:
                    raise
                break
            self.memory.write(folio, within, part)
            folio.dirty = self.on_disk
            done += len(part)
            self.size = max(self.size, offset + done)
        return done

    def zero(self, start: int, end: int) -> None:
        """Zero the bytes [start, end) of one page that is in the cache, if it is."""
        folio = self.find(start // self.memory.page_size)
        if folio is not None and start < end:
            within = start % (self.memory.page_size * self.step)
            self.memory.write(folio, within, bytes(end - start))
