"""msharefs: the file system whose files are address spaces (mshare.py).

A file there is a control file: what a process stores through a mapping of it is never in the file.
Two sets of rules, by `Machine.mount("msharefs", path, version=2022 or 2025)`.
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
from .files import Filesystem, Inode, oserror
from .mmap import do_mmap
from .mshare import Region, Region2025
from .openfile import File, number
from .record import call
from .unmap import do_munmap

INFO = "mshare_info"                    # a file in every mount, which tells the size of a slot


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
        """The contents, whatever the offset."""
        number("n", n), number("offset", offset)
        return self.contents()[:n]

    @call
    def read(self, n: int) -> bytes:
        """The contents, anew each time."""
        number("n", n)
        return self.contents()[:n]

    def contents(self) -> bytes:
        raise NotImplementedError


class InfoFile(ControlFile):
    """mshare_info: alignment and size unit of a region, in decimal text."""

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
        if number("length", length) < 0:
            raise oserror(errno.EINVAL, f"length {length} is negative")
        self.inode.region.set_size(length)

    @call
    def fallocate(self, mode: int, offset: int, length: int) -> None:
        """fallocate(2) does the same; EOPNOTSUPP for a mode, EINVAL for an offset."""
        if number("mode", mode):
            raise oserror(errno.EOPNOTSUPP, f"mode {mode:#x} is not known here")
        if number("offset", offset) or number("length", length) <= 0:
            raise oserror(errno.EINVAL, f"offset {offset}, length {length}")
        self.inode.region.set_size(length)

    @call
    def ioctl(self, request: int, arg) -> None:
        """MSHAREFS_CREATE_MAPPING with an MshareCreate, MSHAREFS_UNMAP with an MshareUnmap;
        ENOTTY for any other request, EFAULT for no argument."""
        wanted = {MSHAREFS_CREATE_MAPPING: MshareCreate, MSHAREFS_UNMAP: MshareUnmap}
        if number("request", request) not in wanted:
            raise oserror(errno.ENOTTY, f"{self.name} knows no request {request:#x}")
        if arg is None:
            raise oserror(errno.EFAULT, "there is no argument")
        if type(arg) is not wanted[request]:
            raise TypeError(f"arg is an {wanted[request].__name__}, not {arg!r}")
        self.inode.region.check_usable()
        (self._create if request == MSHAREFS_CREATE_MAPPING else self._unmap)(arg)

    def _range(self, arg) -> tuple[int, int]:
        """The range of the host that *arg* names; EINVAL where it is none."""
        size, region = self.machine.geometry.page_size, self.inode.region
        start, length = number("region_offset", arg.region_offset), number("size", arg.size)
        if start % size or start < 0 or length <= 0 or start + length > region.size:
            raise oserror(errno.EINVAL, f"[{start:#x}, {start + length:#x}) is no range of pages "
                          f"within the {region.size:#x} bytes of {self.name}")
        return start, start + self.machine.geometry.page_align(length)

    def _create(self, arg: MshareCreate) -> None:
        start, end = self._range(arg)
        if arg.flags & MAP_TYPE != MAP_SHARED or not arg.flags & MAP_FIXED:
            raise oserror(errno.EINVAL, "only MAP_SHARED | MAP_FIXED can be asked for")
        if arg.file is not None:
            arg.file.check()
            if arg.file.inode.region is not None:
                raise oserror(errno.EINVAL, f"{arg.file.name} is a region itself")
        flags = arg.flags if arg.file else arg.flags | MAP_ANONYMOUS
        region = self.inode.region
        do_mmap(self.machine, region.host, start, end - start, prot_bits(arg.prot) & 7, flags,
                arg.file, arg.offset)
        region.drop_stale()

    def _unmap(self, arg: MshareUnmap) -> None:
        start, end = self._range(arg)
        do_munmap(self.machine, self.inode.region.host, start, end)
        self.inode.region.drop_stale()


class InfoInode(Inode):
    """mshare_info of one mount; it is not mapped."""

    file_type, can_mmap = InfoFile, False

    def __init__(self, machine, ino: int, mapping, evict):
        super().__init__(machine, ino, mapping, evict)
        self.slot, self.links = 0, 1


class RegionInode(Inode):
    """A file that is an address space."""

    file_type, region_type = RegionFile, Region

    def __init__(self, machine, ino: int, mapping, evict):
        super().__init__(machine, ino, mapping, evict)
        self.region = self.region_type(machine, self)

    def put(self) -> None:
        """The region goes with the last name and the last mapping (the count of 2022: open files
        hold nothing)."""
        if self.links == 0 and not self.mapping.i_mmap:
            self.region.release()


class RegionInode2025(RegionInode):
    file_type, region_type = RegionFile2025, Region2025

    def put(self) -> None:
        """The region lives as long as the inode, which open files hold as well."""
        if self.links == 0 and self.opens == 0:
            self.region.release()


class Msharefs(Filesystem):
    """A mounted msharefs, by the rules of 2022."""

    fstype = "msharefs"
    inode_type = RegionInode
    linkable = False                    # ours: the posted code frees a region too early

    def prepare(self, machine, new_inode) -> None:
        """The file that tells the size of a slot is there from the start."""
        info = new_inode(self.full(INFO), InfoInode)
        info.slot = self.inode_type.region_type(machine, info).slot
        self.names[INFO] = info

    def check_name(self, rel: str) -> None:
        """EPERM where *rel* must keep its name."""
        if rel == INFO:
            raise oserror(errno.EPERM, f"{self.full(INFO)} stays where it is")


class Msharefs2025(Msharefs):
    """The same by the rules of August 2025."""

    inode_type = RegionInode2025
    linkable = True
