"""What /proc tells of a process, as rows: /proc/PID/maps and /proc/PID/pagemap."""

from typing import NamedTuple

from .events import one_line


class MapsRow(NamedTuple):
    """One VMA.  *backing* is "anon", "shm0", "shm1" ... or the file's path."""

    start: int
    end: int
    perms: str
    offset: int
    backing: str
    inode: int = 0

    def __str__(self) -> str:
        """The line of /proc/PID/maps (show_map_vma): a newline in a name is printed as \\012.

        >>> print(MapsRow(0x1000, 0x3000, "rw-p", 0, "anon"))
        00001000-00003000 rw-p 00000000 00:00 0
        >>> print(MapsRow(0x1000, 0x2000, "r--s", 0x1000, "/dev/shm/a b", 7))
        00001000-00002000 r--s 00001000 00:01 7                                  /dev/shm/a b
        """
        name = "" if self.backing == "anon" else self.backing
        if name.startswith("shm") and name[3:].isdigit():
            name = "/dev/zero (deleted)"
        head = (f"{self.start:08x}-{self.end:08x} {self.perms} {self.offset:08x} "
                f"00:{1 if name else 0:02x} {self.inode}")
        return one_line(f"{head:<72} {name}") if name else head


class PageRow(NamedTuple):
    """One page: *present* (a PROT_NONE page is), its frame, whether a single entry maps it
    (*exclusive*), whether it is a file's or a shared object's (*file*)."""

    addr: int
    present: bool
    pfn: int
    exclusive: bool
    file: bool

    def __str__(self) -> str:
        """The 64 bits of /proc/PID/pagemap, with the bits that are set here.

        >>> print(PageRow(0x1000, True, 5, True, False))
        00001000 8100000000000005
        """
        bits = self.present << 63 | self.file << 61 | self.exclusive << 56 | self.pfn
        # bit 55 (soft-dirty) is off: this kernel is built without it
        return f"{self.addr:08x} {bits:016x}"


class Rows(tuple):
    """Rows that print one line each.

    >>> Rows([PageRow(0, False, 0, False, False)])
    00000000 0000000000000000
    """

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    __repr__ = __str__
