"""Files: an inode and its page cache, open file descriptions, and tmpfs.

Trap: Linux's ``struct address_space`` is *not* a process's address space.  It is the page cache
of one file together with the list of its mappers; here it is called `Mapping`.  A process's
address space is an mm (mm.py).
"""

import errno
import functools
import os

from .abi import O_ACCMODE, O_RDONLY, O_WRONLY
from .memory import Folio, Memory, OutOfMemory

NAME_MAX = 255                          # bytes of a name in a directory


class Mapping:
    """The page cache of one file (struct address_space): pages by page number.

    *i_mmap* holds every VMA that maps the file (a dict without values keeps their order).
    """

    on_disk = False                     # a disk holds the pages as well

    def __init__(self, name: str, memory: Memory, step: int = 1):
        self.name, self.memory = name, memory
        self.step = step                    # frames a page: more than 1 for huge pages
        self.pages: dict[int, Folio] = {}
        self.i_mmap: dict = {}
        self.tables: dict = {}              # cached page tables (sharing.cache_key)
        self.size = 0                       # bytes (i_size)

    @property
    def page_count(self) -> int:
        """Pages up to the end of the file, the last perhaps in part."""
        return -(-self.size // self.memory.page_size)

    def find(self, index: int) -> Folio | None:
        """The cached page, if there is one (filemap_get_folio)."""
        return self.pages.get(index - index % self.step)

    def ready(self, index: int) -> Folio | None:
        """The same if its content is there: what fallocate has set aside is to be cleared yet."""
        folio = self.find(index)
        return folio if folio and folio.uptodate else None

    def get(self, index: int) -> Folio:
        """The cached page, made and zeroed if it was a hole (shmem_get_folio).

        The caller has checked that it lies before the end of the file.  Raises OutOfMemory.
        """
        folio = self.pages.get(index)
        if folio is None:
            folio = self.pages[index] = self.memory.alloc_folio(self, index)
        folio.uptodate = True
        return folio

    def drop(self, index: int) -> None:
        """Forget a cached page that nobody maps any more."""
        folio = self.pages.pop(index)
        folio.mapping, folio.index = None, -1
        self.memory.free_folio(folio)

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


class Inode:
    """A file of tmpfs: its pages are its only copy, so they stay until the last user is gone.

    *links* counts names, *opens* open file descriptions and mappings, *ino* is its number.
    *evict* is called with the mapping when nobody can reach the file any more.
    """

    huge = False                        # its pages are huge pages
    region = None                       # of msharefs: the address space that the file is
    can_mmap = True
    file_type = None                    # how it is opened; None is an ordinary File

    def __init__(self, machine, ino: int, mapping: Mapping, evict):
        self.ino, self.links, self.opens = ino, 0, 0
        self.mapping, self._evict = mapping, evict

    @property
    def name(self) -> str:
        return self.mapping.name

    def put(self) -> None:
        """When no name, no open file and no mapping is left, the pages go (shmem_evict_inode)."""
        if self.links == 0 and self.opens == 0:
            self._evict(self.mapping)           # page tables that are kept with the file go first
            for index in list(self.mapping.pages):
                self.mapping.drop(index)


class Filesystem:
    """A mounted tmpfs: a tree of names.  Paths here are relative to the mount, without "/"."""

    fstype = "tmpfs"
    inode_type, mapping_type = Inode, Mapping
    linkable = True                     # a file may have a second name

    def __init__(self, path: str):
        self.path = path
        self.names: dict[str, Inode | None] = {"": None}       # None is a directory

    def prepare(self, machine, new_inode) -> None:
        """The files that are there from the start: none."""

    def check_name(self, rel: str) -> None:
        """EPERM where *rel* must keep its name."""

    def full(self, rel: str) -> str:
        return f"{self.path}/{rel}"

    def below(self, rel: str) -> list[str]:
        """The names in a directory, and in those in it."""
        return [name for name in self.names if name.startswith(rel + "/")]

    def lookup(self, rel: str) -> Inode | None:
        """The inode of a name; raises the errno of path resolution."""
        self.parent(rel)
        if rel not in self.names:
            raise oserror(errno.ENOENT, f"there is no {self.path}/{rel}")
        return self.names[rel]

    def parent(self, rel: str) -> None:
        """The directory of *rel* must exist, and its last name be short enough."""
        head, _, name = rel.rpartition("/")
        if head and self.lookup(head) is not None:
            raise oserror(errno.ENOTDIR, f"{self.path}/{head} is not a directory")
        if len(os.fsencode(name)) > NAME_MAX:
            raise oserror(errno.ENAMETOOLONG, f"{name} has more than {NAME_MAX} bytes")

    def files(self):
        return [inode for inode in self.names.values() if inode is not None]


def oserror(code: int, why: str) -> OSError:
    """The error of a system call: the kernel's errno, and why in words.

    >>> oserror(errno.EINVAL, "addr is not a multiple of 4096")
    OSError(22, 'EINVAL: addr is not a multiple of 4096')
    """
    name = "EOPNOTSUPP" if code == errno.EOPNOTSUPP else errno.errorcode[code]   # not ENOTSUP
    error = OSError(code, f"{name}: {why}")
    # What a notebook shows, as for a signal: the program failed, not mmlib.
    error._render_traceback_ = functools.partial(list, [f"{type(error).__name__}: {error}"])
    return error


def check_readable(file) -> None:
    if file.flags & O_ACCMODE == O_WRONLY:
        raise oserror(errno.EBADF, f"{file.name} was opened write-only")


def check_writable(file, code: int = errno.EBADF) -> None:
    if file.flags & O_ACCMODE == O_RDONLY:
        raise oserror(code, f"{file.name} was opened read-only")
