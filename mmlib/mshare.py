"""mshare: a file that is an address space, shared by whoever maps it.

A region has an mm of its own, the *host*, with VMAs, pages and page tables.  A process that maps
the file is a *guest*: one VMA (VM_SHARED_PT) that stands for all of the host's.  A guest's fault is
answered by the host, and what the guest gets is one link: its entry for a whole slot (512 GiB with
four levels) points to the host's table.  From then on the hardware walks the host's tables.

`Region` follows the series of 29 June 2022 (PATCH v2 0/9, Khalid Aziz), `Region2025`
(mshare2025.py) that of August 2025.  Both were posted, neither was merged.  What the posted code
gets wrong is mended here; docs/mshare.md lists each defect with its recording.
"""

import errno
from collections.abc import Iterator

from .files import oserror
from .mm import MM
from .tables import Ptdesc
from .tlb import flush_range, flush_rows, is_told
from .unmap import do_munmap, exit_mmap
from .vma import (
    VM_ACCESS_FLAGS,
    VM_DONTEXPAND,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_SHARED_PT,
    VMA,
)


class Region:
    """The address space behind one file (struct mshare_data), by the rules of 2022.

    *host* is its mm, None until the first mmap; [start, start + size) is the range that it
    covers, in the host and in every guest.
    """

    vm_flags = VM_SHARED_PT | VM_DONTEXPAND         # of a guest's VMA
    guest_decides = True                            # the guest's protection is asked at a fault
    populates = True                                # mlock and its kin reach the host's pages
    owner = None                                    # whose exit ends it: nobody

    def __init__(self, machine, inode):
        self.machine, self.inode = machine, inode
        self.host: MM | None = None
        self.start = self.size = 0

    @property
    def level(self) -> int:
        """The level of the tables that guests link: those below the top one."""
        return self.machine.geometry.levels - 1

    @property
    def slot(self) -> int:
        """What one link maps; start and size are multiples of it (PGDIR_SIZE)."""
        return self.machine.geometry.span(self.level)

    @property
    def align(self) -> int:
        """Of an address that the kernel chooses."""
        return self.machine.geometry.page_size

    @property
    def guests(self) -> Iterator[VMA]:
        """The VMAs that map the file."""
        return iter(self.inode.mapping.i_mmap)

    # mmap and munmap -------------------------------------------------------------------------
    def check_mmap(self, start: int, length: int, shared: bool) -> None:
        """EINVAL unless the range is whole slots and, after the first time, the same again."""
        if start % self.slot or length % self.slot:
            raise oserror(errno.EINVAL, f"[{start:#x}, {start + length:#x}) is not made of whole "
                          f"slots of {self.slot:#x} bytes")
        if not self.host and not self.inode.links:
            raise oserror(errno.EINVAL, f"{self.inode.name} is unlinked, and its region gone")
        if self.host and (start, length) != (self.start, self.size):
            raise oserror(errno.EINVAL, f"this region is [{self.start:#x}, "
                          f"{self.start + self.size:#x}) for everybody")

    def attach(self, vma: VMA) -> None:
        """*vma* will map the file: the first one fixes the region for ever.  Raises OutOfMemory."""
        if self.host is None:
            self.make_host(vma.start, vma.end - vma.start)
            pages = VMA(self.host, vma.start, vma.end, vma.flags & VM_ACCESS_FLAGS | VM_MAYREAD
                        | VM_MAYWRITE | VM_MAYEXEC | VM_NOHUGEPAGE,
                        vma.start >> self.machine.geometry.page_shift)
            self.host.insert(pages)

    def make_host(self, start: int, size: int) -> None:
        self.host = self.machine.new_mm(self.inode.name)
        self.start, self.size, self.host.region = start, size, self
        self.machine.hosts[self.host] = None

    def detach(self, vma: VMA) -> None:
        """*vma* goes: its links are taken out, and its CPUs told.  The region stays."""
        self.unlink(vma, vma.start, vma.end)

    def release(self) -> None:
        """Nobody can reach the region any more: its pages and tables go."""
        if self.host is not None:
            exit_mmap(self.machine, self.host)
            del self.machine.hosts[self.host]
            self.host, self.start, self.size = None, 0, 0

    # the links -------------------------------------------------------------------------------
    def host_addr(self, vma: VMA, addr: int) -> int:
        """Where *addr* of a guest lies in the host."""
        return addr - vma.start + self.start

    def link(self, vma: VMA, addr: int) -> bool:
        """Point the guest's entry for the slot of *addr* to the host's table (find_shared_vma).

        False if there is nothing to do.  Raises OutOfMemory, for a table above it."""
        tables, mm, index = self.machine.tables, vma.mm, self.index(addr)
        there = tables.table_at(self.host.pgd, self.host_addr(vma, addr), self.level)
        above = self.parent(mm, addr)
        if there is None or above and tables.child(above, index) is there:
            return False
        if above is None:                               # five levels: the P4D is the guest's own
            above = tables.alloc(self.level + 1, mm.name)
            tables.link(mm.pgd, self.machine.geometry.index(addr, self.level + 2), above)
            self.machine.emit("table", self.machine.geometry.level_name(above.level), above.pfn,
                              mm.name)
        if tables.child(above, index) is not None:
            self.drop(above, index)
        tables.link(above, index, there)
        there.lent = True
        self.machine.emit("link", self.machine.geometry.level_name(self.level), there.pfn, mm.name)
        return True

    def linked(self, vma: VMA, addr: int) -> bool:
        """Has the guest its link for the slot of *addr*?"""
        if self.host is None or (above := self.parent(vma.mm, addr)) is None:
            return False
        tables = self.machine.tables
        there = tables.table_at(self.host.pgd, self.host_addr(vma, addr), self.level)
        return there is not None and tables.child(above, self.index(addr)) is there

    def index(self, addr: int) -> int:
        """The entry of that table."""
        return self.machine.geometry.index(addr, self.level + 1)

    def parent(self, mm: MM, addr: int) -> Ptdesc | None:
        """The table of *mm* that has, or would have, the link for *addr*."""
        return self.machine.tables.table_at(mm.pgd, addr, self.level + 1)

    def slots(self, vma: VMA) -> Iterator[tuple[int, Ptdesc, int, Ptdesc]]:
        """(address, table, index, host's table) for every link of a guest."""
        for addr in range(vma.start, vma.end, self.slot):
            above, index = self.parent(vma.mm, addr), self.index(addr)
            if above is not None and (child := self.machine.tables.child(above, index)):
                yield addr, above, index, child

    def unlink(self, vma: VMA, start: int, end: int) -> None:
        """Take out the guest's links whose slots meet [start, end); its CPUs forget these slots."""
        gone = [(addr, above, index) for addr, above, index, _ in self.slots(vma)
                if addr < end and addr + self.slot > start]
        for _, above, index in gone:
            self.drop(above, index)
        if gone:
            flush_range(self.machine, vma.mm, gone[0][0], gone[-1][0] + self.slot)

    def drop(self, above: Ptdesc, index: int) -> None:
        """Take out one link; a table that the host has given up lives as long as its links."""
        table = self.machine.tables.unlink(above, index)
        if not table.users:
            name = self.machine.geometry.level_name(table.level)
            self.machine.emit("free_table", name, table.pfn)
            self.machine.tables.free(table)

    def drop_stale(self) -> None:
        """The host has given tables up: the links to them go."""
        for vma in self.guests:
            for addr, above, index, child in list(self.slots(vma)):
                host = self.machine.tables.table_at(self.host.pgd, self.host_addr(vma, addr),
                                                    self.level)
                if host is not child:
                    self.drop(above, index)

    # what a guest's calls come to ------------------------------------------------------------
    def protect(self, vma: VMA, start: int, end: int) -> tuple[MM, int, int]:
        """The mm and the range that an mprotect by a guest is about: it acts on the host, and is
        seen by all (the aim that was stated; ours, since the posted code does not keep it)."""
        return self.host, self.host_addr(vma, start), self.host_addr(vma, end)

    def dontneed(self, vma: VMA, start: int, end: int) -> None:
        """MADV_DONTNEED by a guest has no effect (recorded)."""

    def unlinked_by(self, task) -> None:
        """unlink(2) takes the region out of the caller as well."""
        for vma in [v for v in self.guests if v.mm is task.mm]:
            do_munmap(self.machine, task.mm, vma.start, vma.end)

    def flush(self, start: int, end: int, count: int = 1) -> None:
        """The host's entries in *count* parts of [start, end) have changed: every guest may hold
        translations."""
        for vma in list(self.guests):
            if is_told(self.machine, vma.mm):
                shift = vma.start - self.start
                flush_rows(self.machine, vma.mm, max(start + shift, vma.start),
                           min(end + shift, vma.end), count)
