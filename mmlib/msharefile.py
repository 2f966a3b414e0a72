"""What can be done with an open file of msharefs: reading, a size, and the ioctls of 2025.

It is a control file: what a process stores through a mapping of it is never in the file.
"""

import errno
from typing import NamedTuple

from .abi import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_SHARED,
    MAP_TYPE,
    MSHAREFS_CREATE_MAPPING,
    MSHAREFS_UNMAP,
    prot_bits,
)
from .files import check_readable, check_writable, oserror
from .mmap import do_mmap
from .openfile import File, check_offset, number
from .record import call
from .unmap import do_munmap


class MshareCreate(NamedTuple):
    """The argument of MSHAREFS_CREATE_MAPPING (struct mshare_create): what to map where in the
    region.  *file* None is anonymous memory; *prot* is letters or PROT_* bits."""

    region_offset: int
    size: int
    offset: int
    prot: str | int
    flags: int
    file: File | None = None


class MshareUnmap(NamedTuple):
    """The argument of MSHAREFS_UNMAP (struct mshare_unmap)."""

    region_offset: int
    size: int


class ControlFile(File):
    """What the files of msharefs have in common: they hold no data."""

    @call
    def pwrite(self, data: bytes, offset: int) -> int:
        """EINVAL: there is nothing to write to."""
        check_writable(self)
        raise oserror(errno.EINVAL, f"{self.name} cannot be written")

    @call
    def truncate(self, length: int) -> None:
        """EFBIG (recorded)."""
        raise oserror(errno.EFBIG, f"{self.name} has no size of its own")

    @call
    def fallocate(self, mode: int, offset: int, length: int) -> None:
        """EOPNOTSUPP."""
        raise oserror(errno.EOPNOTSUPP, f"{self.name} has nothing to allocate")

    @call
    def pread(self, n: int, offset: int) -> bytes:
        """The contents, anew each time, whatever the offset (recorded)."""
        check_offset("n", number("n", n)), check_offset("offset", number("offset", offset))
        check_readable(self)
        return self.contents()[:n]

    @call
    def read(self, n: int) -> bytes:
        """As pread."""
        return self.pread(n, 0)

    def contents(self) -> bytes:
        raise NotImplementedError


class InfoFile(ControlFile):
    """mshare_info: alignment and size unit of a region, in decimal text."""

    @call
    def read(self, n: int) -> bytes:
        """From the position, which moves on, as in any text file."""
        check_offset("n", number("n", n))
        data = self.pread(self.position + n, 0)[self.position:]
        self.position += len(data)
        return data

    def contents(self) -> bytes:
        return b"%d\n" % self.inode.slot


class RegionFile(ControlFile):
    """A region, by the rules of 2022."""

    def contents(self) -> bytes:
        """struct mshare_info {u64 start, u64 size}; zeros before the first mmap."""
        region = self.inode.region
        return b"".join(value.to_bytes(8, "little") for value in (region.start, region.size))


class RegionFile2025(ControlFile):
    """A region, by the rules of 2025: it has a size, and calls put objects into it."""

    def contents(self) -> bytes:
        raise oserror(errno.EINVAL, f"{self.name} cannot be read")

    @property
    def size(self) -> int:
        """The size of the region (fstat)."""
        self.check()
        return self.inode.region.size

    @call
    def truncate(self, length: int) -> None:
        """ftruncate(2) gives the region its size, once: whole slots."""
        check_offset("length", number("length", length))
        check_writable(self, errno.EINVAL)
        self.inode.region.set_size(length)

    @call
    def fallocate(self, mode: int, offset: int, length: int) -> None:
        """fallocate(2) does the same; EOPNOTSUPP for a mode, EINVAL for an offset."""
        number("mode", mode), number("offset", offset), number("length", length)
        if offset < 0 or length <= 0:
            raise oserror(errno.EINVAL, f"offset {offset}, length {length}")
        check_writable(self)
        if mode:
            raise oserror(errno.EOPNOTSUPP, f"mode {mode:#x} is not known here")
        if offset:
            raise oserror(errno.EINVAL, f"the size begins at 0, not at {offset:#x}")
        self.inode.region.set_size(length)

    @call
    def ioctl(self, request: int, arg) -> None:
        """MSHAREFS_CREATE_MAPPING with an MshareCreate, MSHAREFS_UNMAP with an MshareUnmap;
        ENOTTY for any other request, EFAULT for no argument.  EACCES for a file that was opened
        read-only (ours: the posted code asks nobody)."""
        wanted = {MSHAREFS_CREATE_MAPPING: MshareCreate, MSHAREFS_UNMAP: MshareUnmap}
        if number("request", request) not in wanted:
            raise oserror(errno.ENOTTY, f"{self.name} knows no request {request:#x}")
        if arg is None:
            raise oserror(errno.EFAULT, "there is no argument")
        if type(arg) is not wanted[request]:
            raise TypeError(f"arg is an {wanted[request].__name__}, not {arg!r}")
        check_writable(self, errno.EACCES)
        self.inode.region.check_usable()
        (self._create if request == MSHAREFS_CREATE_MAPPING else self._unmap)(arg)

    def _range(self, arg) -> tuple[int, int]:
        """The range of the host that *arg* names; EINVAL where it is none."""
        size, region = self.machine.geometry.page_size, self.inode.region
        for name, value in arg._asdict().items():
            if name not in ("prot", "file") and number(name, value) < 0:
                raise ValueError(f"{name} is not negative, but {value} was given")
        start, length = arg.region_offset, arg.size
        if start % size or length == 0 or start + length > region.size:
            raise oserror(errno.EINVAL, f"[{start:#x}, {start + length:#x}) is no range of pages "
                          f"within the {region.size:#x} bytes of {self.name}")
        return start, start + self.machine.geometry.page_align(length)

    def _create(self, arg: MshareCreate) -> None:
        start, end = self._range(arg)
        if arg.flags & MAP_TYPE != MAP_SHARED or not arg.flags & MAP_FIXED:
            raise oserror(errno.EINVAL, "only MAP_SHARED | MAP_FIXED can be asked for")
        flags, region = arg.flags, self.inode.region
        if arg.file is None:
            flags |= MAP_ANONYMOUS
        elif not isinstance(arg.file, File) or arg.file.machine is not self.machine:
            raise TypeError(f"file is a File of this machine, not {arg.file!r}")
        elif not flags & MAP_ANONYMOUS:
            arg.file.check()
            if arg.file.inode.region is not None:
                raise oserror(errno.EINVAL, f"{arg.file.name} is a region itself")
        do_mmap(self.machine, region.host, start, end - start, prot_bits(arg.prot) & 7, flags,
                arg.file, arg.offset)
        region.drop_stale()

    def _unmap(self, arg: MshareUnmap) -> None:
        start, end = self._range(arg)
        do_munmap(self.machine, self.inode.region.host, start, end)
        self.inode.region.drop_stale()
