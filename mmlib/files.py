"""Files: an inode, open file descriptions, and tmpfs.  Their contents are in pagecache.py."""

import errno
import functools
import os

from .abi import O_ACCMODE, O_RDONLY, O_WRONLY
from .pagecache import Mapping

NAME_MAX = 255                          # bytes of a name in a directory


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
            self.mapping.drop_range(0, None)


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
