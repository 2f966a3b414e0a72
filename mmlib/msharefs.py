"""msharefs: the file system whose files are address spaces (mshare.py).

Two sets of rules, by `Machine.mount("msharefs", path, version=2022 or 2025)`.
"""

import errno

from .files import Filesystem, Inode, oserror
from .mshare import Region
from .mshare2025 import Region2025
from .msharefile import InfoFile, RegionFile, RegionFile2025

INFO = "mshare_info"                    # a file in every mount, which tells the size of a slot


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
