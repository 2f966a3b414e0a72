"""A task: what runs, and the system calls that it can make (struct task_struct)."""

import errno

from . import advise, fork, mmap, protect, remap, unmap
from .abi import MAP_LOCKED, MAP_POPULATE, MREMAP_DONTUNMAP, MREMAP_FIXED, O_CREAT, O_RDWR, prot_bits
from .fault import Killed, populate
from .files import oserror
from .geometry import PRESENT, PS, P, entry_pfn
from .memory import ZERO_PFN, OutOfMemory
from .mm import VM_LOCKED
from .mmu import access
from .openfile import File, number
from .record import Ref, call
from .rows import MapsRow, PageRow, Rows
from .unshare import unshare_range


class Task:
    """A thread of execution in an mm; threads made by `clone` share one.

    Addresses, lengths and offsets are bytes.  A call that fails raises OSError with the kernel's
    errno; a bad access raises Segfault or BusError; a task that is gone raises OSError(ESRCH), or
    Killed if the OOM killer chose it.

    >>> from mmlib import Machine, TINY, MAP_PRIVATE, MAP_ANONYMOUS
    >>> a = Machine(TINY).spawn("a")
    >>> addr = a.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    >>> a.store(addr, b"hi"); a.load(addr, 2), a.minor_faults, a.tables
    (b'hi', 1, 3)
    """

    def __init__(self, machine, name: str, mm, cpu: int, files: list[File]):
        self.machine, self.name, self.mm, self.cpu = machine, name, mm, cpu
        self.files = files              # opened by this process or inherited; threads share it
        self.minor_faults = self.major_faults = self.page_faults = 0
        self.alive, self.killed = True, ""
        self.ref = Ref("task", machine.register(self))

    def check(self) -> None:
        if self.killed:
            raise Killed(self, self.killed)
        if not self.alive:
            raise oserror(errno.ESRCH, f"task {self.name} has exited")

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def share_tables(self) -> bool:
        """May this process use shared tables of ordinary files?  Inherited by fork.

        Set to False, it lets go of all it has at once; True takes effect at the next empty
        slot (ours: the proposal asks for a switch and names none)."""
        return self.mm.share_tables

    @share_tables.setter
    def share_tables(self, allowed: bool) -> None:
        self._set_share_tables(bool(allowed))

    @call
    def _set_share_tables(self, allowed: bool) -> None:
        self.mm.share_tables = allowed
        if not allowed:
            unshare_range(self.machine, self.mm, 0, self.machine.geometry.task_size,
                          lambda table: table.home is not None)

    # files ---------------------------------------------------------------------------------
    @call
    def open(self, path: str, flags: int = O_RDWR | O_CREAT, mode: int = 0o600) -> File:
        """open(2); the file closes with the last process that has it."""
        return self._keep(self.machine.open(path, flags, mode))

    @call
    def memfd(self, name: str, size: int = 0) -> File:
        """memfd_create(2): a file of tmpfs without a path."""
        return self._keep(self.machine.memfd(name, size))

    def _keep(self, file: File) -> File:
        self.files.append(file)
        file.holders += 1
        return file

    @call
    def unlink(self, path: str) -> None:
        """unlink(2)"""
        self.machine.unlink(path)

    @call
    def mkdir(self, path: str, mode: int = 0o700) -> None:
        """mkdir(2)"""
        self.machine.mkdir(path, mode)

    @call
    def rename(self, old: str, new: str) -> None:
        """rename(2)"""
        self.machine.rename(old, new)

    @call
    def link(self, old: str, new: str) -> None:
        """link(2)"""
        self.machine.link(old, new)

    # mappings ------------------------------------------------------------------------------
    @call
    def mmap(self, addr: int | None, length: int, prot: str | int, flags: int,
             file: File | None = None, offset: int = 0) -> int:
        """mmap(2).  *addr* None lets the kernel choose: the highest gap that fits.  *prot* is
        letters of "rwx" or PROT_* bits."""
        for name, value in (("length", length), ("flags", flags), ("offset", offset)):
            positive(name, value)
        if addr is not None:
            positive("addr", addr)
        if file is not None:
            if not isinstance(file, File):
                raise TypeError(f"file is a File of this machine, not {file!r}")
            file.check()
        start = mmap.do_mmap(self.machine, self.mm, addr, length, prot_bits(prot) & 7, flags, file,
                             offset)
        if flags & (MAP_POPULATE | MAP_LOCKED):
            populate(self.machine, self, start, start + self.machine.geometry.page_align(length))
        return start

    @call
    def munmap(self, addr: int, length: int) -> None:
        """munmap(2); a range without any mapping is no error."""
        end = unmap.check_range(self.machine, positive("addr", addr), positive("length", length))
        unmap.do_munmap(self.machine, self.mm, addr, end)

    @call
    def mprotect(self, addr: int, length: int, prot: str | int) -> None:
        """mprotect(2): at a hole ENOMEM, but what comes before it has changed."""
        end = self._range(addr, length)
        if end > addr:
            protect.do_mprotect(self.machine, self.mm, addr, end, prot_bits(prot))

    @call
    def mremap(self, old: int, old_len: int, new_len: int, flags: int = 0,
               new: int | None = None) -> int:
        """mremap(2): the address of the mapping afterwards."""
        for name, value in (("old", old), ("old_len", old_len), ("new_len", new_len),
                            ("flags", flags), ("new", new or 0)):
            positive(name, value)
        if new is None and flags & MREMAP_FIXED:
            raise ValueError("MREMAP_FIXED needs new, not None")
        align = self.machine.geometry.page_align
        old_len, new_len = align(old_len), align(new_len)
        at = remap.do_mremap(self.machine, self.mm, old, old_len, new_len, flags, new or 0)
        vma = self.mm.find_vma(at)
        if new_len > old_len and vma.flags & VM_LOCKED and not flags & MREMAP_DONTUNMAP:
            populate(self.machine, self, at + old_len, at + new_len)
        return at

    @call
    def madvise(self, addr: int, length: int, advice: int) -> None:
        """madvise(2): over a hole ENOMEM, but all mapped parts are done."""
        end = self._range(addr, length)
        if end > addr:
            advise.do_madvise(self.machine, self, addr, end, number("advice", advice))

    @call
    def msync(self, addr: int, length: int, flags: int) -> None:
        """msync(2): tmpfs has nowhere to write to; ENOMEM where something is not mapped."""
        end = self._range(addr, length)
        mmap.do_msync(self.mm, addr, end, number("flags", flags))

    @call
    def mincore(self, addr: int, length: int) -> bytes:
        """mincore(2): a byte a page, 1 where it is in memory, mapped or in the page cache."""
        return mmap.do_mincore(self.machine, self.mm, addr, self._range(addr, length))

    @call
    def mlock(self, addr: int, length: int) -> None:
        """mlock(2): the pages are faulted in and stay; ENOMEM where one cannot be had."""
        addr, end = self._cover(addr, length)
        mmap.do_mlock(self.machine, self, addr, end)

    @call
    def munlock(self, addr: int, length: int) -> None:
        """munlock(2)"""
        mmap.set_locked(self.machine, self.mm, *self._cover(addr, length), False)

    def _range(self, addr: int, length: int) -> int:
        """The end of a range that begins on a page; ENOMEM where it leaves the address space."""
        geometry = self.machine.geometry
        if positive("addr", addr) % geometry.page_size:
            raise oserror(errno.EINVAL,
                          f"addr {addr:#x} is not a multiple of {geometry.page_size}")
        return addr + geometry.page_align(positive("length", length))

    def _cover(self, addr: int, length: int) -> tuple[int, int]:
        """The whole pages that cover a range, as mlock takes it."""
        geometry = self.machine.geometry
        start = positive("addr", addr) // geometry.page_size * geometry.page_size
        return start, geometry.page_align(addr + positive("length", length))

    # accesses ------------------------------------------------------------------------------
    @call
    def load(self, addr: int, n: int = 1) -> bytes:
        """Read *n* bytes, page by page."""
        number("addr", addr)
        if number("n", n) < 1:
            raise ValueError(f"n is at least 1, not {n}")
        memory, out, size = self.machine.memory, [], self.machine.geometry.page_size
        while n:
            within = addr % size
            take = min(n, size - within)
            entry = access(self.machine, self, addr, False)
            out.append(memory.read(memory.folio(entry_pfn(entry)), self._into(entry, addr), take))
            addr, n = addr + take, n - take
        return b"".join(out)

    @call
    def store(self, addr: int, data: bytes | int) -> None:
        """Write bytes, or one byte given as an int, page by page: pages before a fault that
        fails keep what was stored."""
        number("addr", addr)
        if isinstance(data, int) and 0 <= data <= 255:
            data = bytes([data])
        if not isinstance(data, (bytes, bytearray)) or not data:
            raise ValueError(f"data is at least one byte, or an int 0..255, not {data!r}")
        memory, size, done = self.machine.memory, self.machine.geometry.page_size, 0
        while done < len(data):
            within = (addr + done) % size
            part = bytes(data[done:done + size - within])
            entry = access(self.machine, self, addr + done, True)
            memory.write(memory.folio(entry_pfn(entry)), self._into(entry, addr + done), part)
            done += len(part)

    def _into(self, entry: int, addr: int) -> int:
        """How far *addr* lies into the page, huge or not, that its entry maps."""
        geometry = self.machine.geometry
        return addr % (geometry.huge_size if entry & PS else geometry.page_size)

    @call
    def touch(self, addr: int, length: int, write: bool = False) -> None:
        """One access to each page of [addr, addr + length), upwards; one event for all."""
        number("addr", addr)
        if number("length", length) < 1:
            raise ValueError(f"length is at least 1, not {length}")
        size, before, pages = self.machine.geometry.page_size, self.page_faults, 0
        events, self.machine.events = self.machine.events, None
        try:
            at = addr
            while at < addr + length:
                access(self.machine, self, at, bool(write))
                at, pages = (at // size + 1) * size, pages + 1
        finally:
            self.machine.events = events
            self.machine.emit("touch", pages, self.page_faults - before)

    def translate(self, addresses):
        """Physical addresses of a numpy array of addresses, -1 where nothing can be reached.

        No fault, no TLB.  An array of int64 of the same shape."""
        import numpy
        virtual = numpy.asarray(addresses)
        if virtual.dtype.kind not in "iu":
            raise TypeError(f"addresses are integers, not {virtual.dtype}")
        shift = self.machine.geometry.page_shift
        pages, inverse = numpy.unique(virtual.ravel() >> shift, return_inverse=True)
        frames = numpy.array([self._frame(int(p) << shift) for p in pages], dtype=numpy.int64)
        base = frames[inverse].reshape(virtual.shape) if pages.size else virtual.astype("int64")
        return numpy.where(base < 0, -1, (base << shift) + (virtual & (1 << shift) - 1))

    def _frame(self, addr: int) -> int:
        if not 0 <= addr < self.machine.geometry.task_size:
            return -1
        entry = self.machine.tables.lookup(self.mm.pgd, addr)[2]
        return entry_pfn(entry) + (self._into(entry, addr) >> self.machine.geometry.page_shift) \
            if entry & P else -1

    # life ----------------------------------------------------------------------------------
    @call
    def fork(self, name: str | None = None) -> "Task":
        """fork(2): a child with a copy of the VMA list.

        Entries are copied only where the child could not fault them in again."""
        machine = self.machine
        name = machine.free_name(name, self.name)
        mm = machine.new_mm(name)
        try:
            fork.dup_mmap(machine, self.mm, mm)
        except OutOfMemory:
            machine.put_mm(mm)
            raise
        for file in self.files:
            file.holders += 1
        return machine.add(Task(machine, name, mm, self.cpu, list(self.files)))

    @call
    def clone(self, name: str | None = None) -> "Task":
        """clone(2) with CLONE_VM: a thread; it shares the mm, and so the tables."""
        self.mm.users += 1
        machine = self.machine
        return machine.add(Task(machine, machine.free_name(name, self.name), self.mm, self.cpu,
                                self.files))

    @call
    def run_on(self, cpu: int) -> None:
        """sched_setaffinity(2) to one CPU; EINVAL if there is none of that number."""
        if not 0 <= number("cpu", cpu) < len(self.machine.tlbs):
            raise oserror(errno.EINVAL, f"there is no CPU {cpu}")
        self.cpu = cpu

    @call
    def exec(self) -> None:
        """execve(2): an empty mm; open files stay, other threads end."""
        machine, old = self.machine, self.mm
        mm = machine.new_mm(self.name)
        for other in [t for t in machine.tasks if t.mm is old and t is not self]:
            machine.end(other)
        self.mm = mm
        machine.put_mm(old)

    @call
    def exit(self) -> None:
        """exit(2): this thread ends; with the last one the mm goes, and files close."""
        self.machine.end(self)

    # what /proc tells ----------------------------------------------------------------------
    def maps(self) -> Rows:
        """The VMAs; str() of it is /proc/PID/maps."""
        self.check()
        return Rows(MapsRow(v.start, v.end, v.perms, v.offset, v.backing,
                            v.file.inode.ino if v.file else 0) for v in self.mm.vmas)

    def pagemap(self, addr: int, length: int) -> Rows:
        """A row for each page of [addr, addr + length), as /proc/PID/pagemap tells it."""
        self.check()
        end, geometry, rows = self._range(addr, length), self.machine.geometry, []
        for at in range(addr, end, geometry.page_size):
            entry = self.machine.tables.lookup(self.mm.pgd, at)[2] if at < geometry.task_size else 0
            if not entry & PRESENT:
                rows.append(PageRow(at, False, 0, False, False))
                continue
            folio = self.machine.memory.folio(entry_pfn(entry))
            alone = folio.mapcount == 1 and folio.pfn != ZERO_PFN
            pfn = folio.pfn + (self._into(entry, at) >> geometry.page_shift)
            rows.append(PageRow(at, True, pfn, alone, folio.mapping is not None))
        return Rows(rows)

    @property
    def tables(self) -> int:
        """PTE, PMD and PUD tables that this mm's entries link: VmPTE / 4096."""
        self.check()
        return self.mm.nr_tables

    @property
    def page_table_bytes(self) -> int:
        return self.tables * self.machine.geometry.page_size

    @property
    def reachable_tables(self) -> int:
        """The same by walking (ours): different tables below the top one."""
        self.check()
        links = self.machine.tables.links(self.mm.pgd, 0, self.machine.geometry.task_size)
        return len({table.pfn for *_, table in links})

    def _resident(self):
        folio = self.machine.memory.folio
        for _, _, _, entry in self.machine.tables.leaves(self.mm.pgd, 0,
                                                         self.machine.geometry.task_size):
            if entry & PRESENT and not entry & PS and entry_pfn(entry) != ZERO_PFN:
                yield folio(entry_pfn(entry))

    @property
    def rss(self) -> int:
        """Bytes of present pages, the zero page left out (VmRSS)."""
        self.check()
        return sum(1 for _ in self._resident()) * self.machine.geometry.page_size

    @property
    def pss(self) -> int:
        """Bytes of present pages, each divided by the entries that map it (Pss)."""
        self.check()
        size = self.machine.geometry.page_size << 12        # PSS_SHIFT, as in fs/proc/task_mmu.c
        return sum(size // folio.mapcount for folio in self._resident()) >> 12

    @property
    def locked(self) -> int:
        """Bytes of VMAs that mlock or MAP_LOCKED marked (VmLck)."""
        self.check()
        return sum(v.end - v.start for v in self.mm.vmas if v.flags & VM_LOCKED)


def positive(name: str, value) -> int:
    """*value* if it is an int that is not negative; the caller's mistake otherwise."""
    if number(name, value) < 0:
        raise ValueError(f"{name} is not negative, but {value} was given")
    return value
