"""mshare by the rules of August 2025 (PATCH v3 00/22, A. Yznaga): a size, objects inside, an owner.

Only what differs from mshare.py stands here.
"""

import errno

from .files import oserror
from .mm import MM
from .mshare import Region
from .tlb import flush_cpus, is_told
from .unmap import do_munmap
from .vma import VMA


class Region2025(Region):
    """The rules of August 2025: a size, objects inside, any aligned address, an owner.

    *owner* is the task that created the file, None if the machine did; once it has exited the
    region is empty for ever."""

    guest_decides = False               # the protection of the object inside decides
    populates = False                   # only an exception of the guest itself does

    def __init__(self, machine, inode):
        super().__init__(machine, inode)
        self.owner = machine.current_task

    @property
    def level(self) -> int:
        """PUD tables, also with five levels: a slot is 512 GiB (P4D_SIZE)."""
        return 3

    @property
    def align(self) -> int:
        return self.slot

    def set_size(self, size: int) -> None:
        """EINVAL unless it is the first size, and whole slots.  Raises OutOfMemory."""
        if self.host is not None or size % self.slot:
            raise oserror(errno.EINVAL, f"{self.inode.name} has a size already" if self.host else
                          f"{size:#x} is not made of whole slots of {self.slot:#x} bytes")
        self.make_host(0, size)

    def check_mmap(self, start: int, length: int, shared: bool) -> None:
        """EINVAL unless it is a shared mapping of the whole region, which has an owner."""
        self.check_usable()
        if not shared or length != self.size:
            raise oserror(errno.EINVAL, f"only all {self.size:#x} bytes of {self.inode.name} can "
                          "be mapped, and shared")

    def check_usable(self) -> None:
        """EINVAL for a region without a size, or without the owner that it had."""
        if not self.size:
            raise oserror(errno.EINVAL, f"{self.inode.name} has no size yet")
        if self.owner and not self.owner.alive:
            raise oserror(errno.EINVAL, f"the owner of {self.inode.name} has exited")

    def attach(self, vma: VMA) -> None:
        """The size was given before."""

    def protect(self, vma: VMA, start: int, end: int) -> tuple[MM, int, int]:
        raise oserror(errno.EINVAL, f"{vma} takes the protection of what is inside")

    def dontneed(self, vma: VMA, start: int, end: int) -> None:
        """The links go; the pages stay with the host."""
        self.unlink(vma, start, end)

    def unlinked_by(self, task) -> None:
        """Only the name goes."""

    def flush(self, start: int, end: int, count: int = 1) -> None:
        """Every CPU forgets everything of the region (flush_tlb_all)."""
        told = [vma.mm for vma in self.guests if is_told(self.machine, vma.mm)]
        flush_cpus(self.machine, told, self.host.name, start, end, count)

    def owner_exits(self) -> None:
        """All that is inside is unmapped; guests keep their VMA and get SIGSEGV."""
        do_munmap(self.machine, self.host, 0, self.size)
        self.drop_stale()
