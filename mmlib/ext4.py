"""A file system with a disk, ext4-like: what changes when the page cache is not the only copy.

The first access to a page that is not cached is a major fault; the first store to a clean page of
a shared mapping faults, so that the file system learns of it (page_mkwrite); fsync writes back,
cleans and write-protects again.  Block allocation, journal and read-ahead are left out.
"""

from .files import Filesystem, Inode, Mapping
from .memory import Folio


class DiskMapping(Mapping):
    """A page cache in front of *disk*, the pages that were written back."""

    on_disk = True

    def __init__(self, name, memory, step=1):
        super().__init__(name, memory, step)
        self.disk: dict[int, bytes] = {}

    def get(self, index: int) -> Folio:
        """The cached page, read from disk if it was not cached."""
        folio = self.pages.get(index)
        if folio is None:
            folio = super().get(index)
            self.memory.write(folio, 0, self.disk.get(index, b""))
        return folio

    def peek(self, index: int) -> Folio:
        """What read(2) reads is in the cache afterwards."""
        return self.get(index)

    def zero(self, start: int, end: int) -> None:
        """In the cache and on disk, so that nothing needs to be read or written back for it."""
        super().zero(start, end)
        index, within = divmod(start, self.memory.page_size)
        if start < end and index in self.disk:
            old = self.disk[index]
            self.disk[index] = old[:within] + bytes(end - start) + old[within + end - start:]

    def write_back(self, folio: Folio) -> None:
        """*folio* is on disk now."""
        self.disk[folio.index] = self.memory.read(folio, 0, self.memory.page_size)
        folio.dirty = False

    def forget(self, first: int, last: int | None) -> None:
        """Blocks that a truncation or a hole gives back."""
        for index in [i for i in self.disk if i >= first and (last is None or i < last)]:
            del self.disk[index]


class Ext4(Filesystem):
    """A mounted file system on a disk; "ext4" to mount(2)."""

    fstype = "ext4"
    inode_type, mapping_type = Inode, DiskMapping
