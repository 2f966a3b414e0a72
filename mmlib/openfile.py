"""An open file (struct file): what open(2) and memfd_create(2) return."""

import errno

from .abi import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
from .files import Inode, check_readable, check_writable, oserror
from .hugetlb import NoHugePage
from .memory import OutOfMemory
from .record import Ref, call
from .rmap import write_back
from .unmap import do_truncate, punch_hole

OFFSET_LIMIT = 1 << 63                  # the first that is no loff_t (MAX_LFS_FILESIZE)


class File:
    """An open file description (struct file): an inode, how it was opened, and a position.

    Made by `Task.open`, `Task.memfd`, `Machine.open` or `Machine.memfd`.  *holders* are the
    processes (lists of open files) that will close it; it closes with the last one.
    """

    def __init__(self, machine, inode: Inode, flags: int, label: str | None = None):
        self.machine, self.inode, self.flags = machine, inode, flags
        self.position = self.holders = self.map_count = 0
        self.closed = False
        self.label = label              # the path that it was opened by, None for a memfd
        inode.opens += 1

    @property
    def name(self) -> str:
        """As /proc/PID/maps shows it."""
        return self.label or self.inode.name

    @property
    def ref(self) -> Ref:
        return Ref("file", self.machine.files.index(self))

    def check(self) -> None:
        if self.closed:
            raise oserror(errno.EBADF, f"{self.name} is closed")

    def __repr__(self) -> str:
        return f"<File {self.name!r}>"

    @property
    def size(self) -> int:
        """Bytes (fstat)."""
        self.check()
        return self.inode.mapping.size

    @call
    def truncate(self, length: int) -> None:
        """ftruncate(2): pages beyond the new end leave every mapping, private copies too."""
        number("length", length)
        check_offset("length", length)
        check_writable(self, errno.EINVAL)
        if self.inode.huge:
            self._whole_pages("length", length)
        do_truncate(self.machine, self.inode, length)

    @call
    def fallocate(self, mode: int, offset: int, length: int) -> None:
        """fallocate(2): mode 0 fills holes; PUNCH_HOLE | KEEP_SIZE takes pages out."""
        number("mode", mode), number("offset", offset), number("length", length)
        mapping, end = self.inode.mapping, offset + length
        punch = mode == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        if offset < 0 or length <= 0:
            raise oserror(errno.EINVAL, f"offset {offset}, length {length}")
        if not punch and mode not in (0, FALLOC_FL_KEEP_SIZE):
            raise oserror(errno.EOPNOTSUPP, f"mode {mode:#x} is not known here")
        check_writable(self)
        if end >= OFFSET_LIMIT:
            raise oserror(errno.EFBIG, f"{end:#x} is no file offset")
        if punch:
            punch_hole(self.machine, mapping, offset, end)
            return
        if not mapping.on_disk:         # a disk gives blocks, which are read when they are used
            self._fill(offset, end)
        if mode == 0:
            mapping.size = max(mapping.size, end)

    def _whole_pages(self, name: str, value: int) -> None:
        if value % self.machine.geometry.huge_size:
            raise oserror(errno.EINVAL, f"{name} {value:#x} is not a multiple of "
                          f"{self.machine.geometry.huge_size:#x}, the size of a huge page")

    def _fill(self, start: int, end: int) -> None:
        """Pages for the holes in bytes [start, end); if memory ends, tmpfs takes them back."""
        mapping, size = self.inode.mapping, self.machine.geometry.page_size
        source, made = self.inode if self.inode.huge else mapping, []
        try:
            for index in range(start // size // mapping.step * mapping.step, -(-end // size),
                               mapping.step):
                known = mapping.find(index)
                folio = source.get(index)       # clears what an earlier call has set aside
                if known is None:
                    made.append(index)
                    folio.uptodate = self.inode.huge
        except NoHugePage:
            raise oserror(errno.ENOSPC, "no huge page is left") from None
        except OutOfMemory:
            for index in made:
                mapping.drop(index)
            raise

    @call
    def pread(self, n: int, offset: int) -> bytes:
        """pread(2): at most *n* bytes; fewer at the end of the file."""
        number("n", n), number("offset", offset)
        check_offset("offset", offset)
        check_readable(self)
        check_offset("n", n)
        return self.inode.mapping.read(offset, n)

    @call
    def pwrite(self, data: bytes, offset: int) -> int:
        """pwrite(2): the bytes written, fewer where memory ends; the file grows as needed."""
        number("offset", offset)
        if not isinstance(data, (bytes, bytearray)):
            raise TypeError(f"data is bytes, not {data!r}")
        check_offset("offset", offset)
        check_writable(self)
        check_offset("offset", offset + len(data))
        if self.inode.huge:
            raise oserror(errno.EINVAL, f"{self.name}: hugetlbfs files are written by mapping them")
        return self.inode.mapping.write(offset, bytes(data))

    @call
    def read(self, n: int) -> bytes:
        """read(2): from the position, which moves on."""
        number("n", n)
        check_readable(self)
        check_offset("n", n)
        data = self.inode.mapping.read(self.position, n)
        self.position += len(data)
        return data

    @call
    def fsync(self) -> None:
        """fsync(2): dirty pages go to disk; they are clean then, and write-protected wherever they
        are mapped, so that the next store is noticed.  Tmpfs has nowhere to write to."""
        write_back(self.machine, self.inode.mapping)

    @call
    def ioctl(self, request: int, arg) -> None:
        """ioctl(2): a file of tmpfs knows none."""
        number("request", request)
        raise oserror(errno.ENOTTY, f"{self.name} knows no request {request:#x}")

    @call
    def close(self) -> None:
        """close(2); mappings of the file stay."""
        self.release()

    def release(self) -> None:
        """The last reference is gone (fput)."""
        if not self.closed:
            self.closed = True
            self.inode.opens -= 1
            self.inode.put()


def check_offset(name: str, value: int) -> None:
    """EINVAL where *value* is no loff_t."""
    if not 0 <= value < OFFSET_LIMIT:
        raise oserror(errno.EINVAL, f"{name} {value} is negative or exceeds 63 bits")


def number(name: str, value) -> int:
    """*value* if it is an int; the caller's mistake otherwise.

    >>> number("addr", 4096.0)
    Traceback (most recent call last):
    TypeError: addr is an int, not 4096.0
    """
    if type(value) is int or isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{name} is an int, not {value!r}")
