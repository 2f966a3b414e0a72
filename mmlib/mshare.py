"""mshare: a file that is an address space, shared by whoever maps it.

A region has an mm of its own, the *host*, with VMAs, pages and page tables.  A process that maps
the file is a *guest*: one VMA (VM_SHARED_PT) that stands for all of the host's.  A guest's fault is
answered by the host, and what the guest gets is one link: its entry for a whole slot (512 GiB with
four levels) points to the host's table.  From then on the hardware walks the host's tables.

`Region` follows the series of 29 June 2022 (PATCH v2 0/9, Khalid Aziz), `Region2025` that of
August 2025 (PATCH v3, A. Yznaga).  Both were posted, neither was merged.  What the posted code gets
wrong is mended here; docs/mshare.md lists each defect with its recording.
"""

import errno
from collections.abc import Iterator

from .files import oserror
from .mm import MM
from .tables import Ptdesc
from .tlb import flush_cpus, flush_range
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
        if self.host and (start, length) != (self.start, self.size):
            raise oserror(errno.EINVAL, f"this region is [{self.start:#x}, "
                          f"{self.start + self.size:#x}) for everybody")

    def attach(self, vma: VMA) -> None:
        """*vma* maps the file: the first one fixes the region for ever.  Raises OutOfMemory."""
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
        if self.unlink(vma, vma.start, vma.end):
            flush_range(self.machine, vma.mm, vma.start, vma.end)

    def release(self) -> None:
        """Nobody can reach the region any more: its pages and tables go."""
        if self.host is not None:
            host, self.host = self.host, None
            del self.machine.hosts[host]
            exit_mmap(self.machine, host)

    # the links -------------------------------------------------------------------------------
    def host_addr(self, vma: VMA, addr: int) -> int:
        """Where *addr* of a guest lies in the host."""
        return addr - vma.start + self.start

    def link(self, vma: VMA, addr: int) -> bool:
        """Point the guest's entry for the slot of *addr* to the host's table (find_shared_vma).

        False if there is nothing to do.  Raises OutOfMemory, for a table above it."""
        tables, mm, index = self.machine.tables, vma.mm, self._index(addr)
        there = tables.table_at(self.host.pgd, self.host_addr(vma, addr), self.level)
        above = self.parent(mm, addr)
        if there is None or above and tables.child(above, index) is there:
            return False
        if above is None:                               # five levels: the P4D is the guest's own
            above = tables.alloc(self.level + 1, mm.name)
            tables.link(mm.pgd, self.machine.geometry.index(addr, self.level + 2), above)
        if tables.child(above, index) is not None:
            self.drop(above, index)
        tables.link(above, index, there)
        self.machine.emit("link", self.machine.geometry.level_name(self.level), there.pfn, mm.name)
        return True

    def _index(self, addr: int) -> int:
        return self.machine.geometry.index(addr, self.level + 1)

    def parent(self, mm: MM, addr: int) -> Ptdesc | None:
        """The table of *mm* that has, or would have, the link for *addr*."""
        return self.machine.tables.table_at(mm.pgd, addr, self.level + 1)

    def slots(self, vma: VMA) -> Iterator[tuple[int, Ptdesc, int, Ptdesc]]:
        """(address, table, index, host's table) for every link of a guest."""
        for addr in range(vma.start, vma.end, self.slot):
            above, index = self.parent(vma.mm, addr), self._index(addr)
            if above is not None and (child := self.machine.tables.child(above, index)):
                yield addr, above, index, child

    def unlink(self, vma: VMA, start: int, end: int) -> int:
        """Take out the guest's links whose slots meet [start, end); how many."""
        gone = [(above, index) for addr, above, index, _ in list(self.slots(vma))
                if addr < end and addr + self.slot > start]
        for above, index in gone:
            self.drop(above, index)
        return len(gone)

    def drop(self, above: Ptdesc, index: int) -> None:
        """Take out one link; a table that the host has given up lives as long as its links."""
        table = self.machine.tables.unlink(above, index)
        if not table.users:
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

    def flush(self, start: int, end: int) -> None:
        """The host's entries in [start, end) have changed: every guest may hold translations."""
        machine = self.machine
        for vma in list(self.guests):
            if machine.flush_sharers or vma.mm is machine.current_mm:
                shift = vma.start - self.start
                flush_range(machine, vma.mm, max(start + shift, vma.start),
                            min(end + shift, vma.end))


class Region2025(Region):
    """The rules of August 2025: a size, objects inside, any aligned address, an owner.

    *owner* is the task that created the file, None if the machine did; once it has exited the
    region is empty for ever (*orphaned*)."""

    guest_decides = False               # the protection of the object inside decides

    def __init__(self, machine, inode):
        super().__init__(machine, inode)
        self.owner, self.orphaned = machine.current_task, False

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
        if self.orphaned:
            raise oserror(errno.EINVAL, f"the owner of {self.inode.name} has exited")

    def attach(self, vma: VMA) -> None:
        pass

    def protect(self, vma: VMA, start: int, end: int) -> tuple[MM, int, int]:
        raise oserror(errno.EINVAL, f"{vma} takes the protection of what is inside")

    def dontneed(self, vma: VMA, start: int, end: int) -> None:
        """The links go; the pages stay with the host."""
        if self.unlink(vma, start, end):
            flush_range(self.machine, vma.mm, start, end)

    def unlinked_by(self, task) -> None:
        """Only the name goes."""

    def flush(self, start: int, end: int) -> None:
        """Every CPU forgets everything of the region (flush_tlb_all)."""
        flush_cpus(self.machine, [vma.mm for vma in self.guests], self.host.name, start, end)

    def owner_exits(self) -> None:
        """All that is inside is unmapped; guests keep their VMA and get SIGSEGV."""
        self.owner, self.orphaned = None, True
        if self.host is not None:
            do_munmap(self.machine, self.host, 0, self.size)
            self.drop_stale()
