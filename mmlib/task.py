"""A task: what runs, and the system calls that it can make (struct task_struct)."""

import errno

from . import advise, fork, mmap, mmu, procfs, protect, remap, unmap
from .abi import (
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_POPULATE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    O_CREAT,
    O_RDWR,
    prot_bits,
)
from .events import one_line
from .files import oserror
from .memory import OutOfMemory
from .openfile import File, number
from .populate import populate
from .record import Ref, call
from .rows import Rows
from .signals import Killed
from .unshare import unshare_range
from .vma import VM_LOCKED


class Task:
    """A thread of execution in an mm (struct task_struct); threads made by `clone` share one.

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
        return f"<Task {one_line(self.name)}>"

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
    def mkdir(self, path: str, mode: int = 0o755) -> None:
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
            if not isinstance(file, File) or file.machine is not self.machine:
                raise TypeError(f"file is a File of this machine, not {file!r}")
        start = mmap.do_mmap(self.machine, self.mm, addr, length, prot_bits(prot) & 7, flags, file,
                             offset)
        if flags & MAP_LOCKED or flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE:
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
            protect.do_mprotect(self.machine, self, addr, end, prot_bits(prot))

    @call
    def mremap(self, old: int, old_len: int, new_len: int, flags: int = 0,
               new: int | None = None) -> int:
        """mremap(2): the address of the mapping afterwards."""
        for name, value in (("old", old), ("old_len", old_len), ("new_len", new_len),
                            ("flags", flags), ("new", new or 0)):
            positive(name, value)
        if new is None and flags & MREMAP_FIXED:
            raise ValueError("MREMAP_FIXED needs new, not None")
        align, word = self.machine.geometry.page_align, 1 << 64
        old_len, new_len = align(old_len) % word, align(new_len) % word     # PAGE_ALIGN wraps
        at = remap.do_mremap(self.machine, self.mm, old, old_len, new_len, flags, new or 0)
        vma = self.mm.find_vma(at)
        if new_len > old_len and vma.flags & VM_LOCKED and not flags & MREMAP_DONTUNMAP:
            populate(self.machine, self, at + old_len, at + new_len)
        return at

    @call
    def madvise(self, addr: int, length: int, advice: int) -> None:
        """madvise(2): over a hole ENOMEM, but all mapped parts are done."""
        end = self._range(addr, length)
        advise.do_madvise(self.machine, self, addr, end, number("advice", advice))

    @call
    def msync(self, addr: int, length: int, flags: int) -> None:
        """msync(2): MS_SYNC writes back to a disk; ENOMEM where something is not mapped."""
        end = self._range(addr, length)
        mmap.do_msync(self.machine, self.mm, addr, end, number("flags", flags))

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
        """The page-aligned end of a range, which begins on a page; else EINVAL."""
        geometry = self.machine.geometry
        if positive("addr", addr) % geometry.page_size:
            raise oserror(errno.EINVAL,
                          f"addr {addr:#x} is not a multiple of {geometry.page_size}")
        return addr + geometry.page_align(positive("length", length))

    def _cover(self, addr: int, length: int) -> tuple[int, int]:
        """The whole pages that cover a range, as mlock takes it; EINVAL where it exceeds 64 bits."""
        geometry = self.machine.geometry
        start = positive("addr", addr) // geometry.page_size * geometry.page_size
        end = geometry.page_align(addr + positive("length", length))
        if end >= 1 << 64:
            raise oserror(errno.EINVAL, f"[{start:#x}, {end:#x}) exceeds 64 bits")
        return start, end

    # accesses ------------------------------------------------------------------------------
    @call
    def load(self, addr: int, n: int = 1) -> bytes:
        """Read *n* bytes, page by page."""
        positive("addr", addr)
        if number("n", n) < 1:
            raise ValueError(f"n is at least 1, not {n}")
        return mmu.load(self.machine, self, addr, n)

    @call
    def store(self, addr: int, data: bytes | int) -> None:
        """Write bytes, or one byte given as an int, page by page: pages before a fault that
        fails keep what was stored."""
        positive("addr", addr)
        if type(data) is int and 0 <= data <= 255:
            data = bytes([data])
        if not isinstance(data, (bytes, bytearray)) or not data:
            raise ValueError(f"data is at least one byte, or an int 0..255, not {data!r}")
        mmu.store(self.machine, self, addr, bytes(data))

    @mmu.at_once
    @call
    def touch(self, addr: int, length: int, write: bool = False) -> None:
        """One access to each page of [addr, addr + length), upwards; one event for all."""
        positive("addr", addr)
        if number("length", length) < 1:
            raise ValueError(f"length is at least 1, not {length}")
        mmu.touch(self.machine, self, addr, addr + length, bool(write))

    def translate(self, addresses):
        """Physical addresses of a numpy array of addresses, -1 where nothing can be reached.

        No fault, no TLB.  An array of int64 of the same shape."""
        from .translate import translate        # numpy is needed for nothing else
        self.check()
        return translate(self.machine, self.mm, addresses)

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
        machine = self.machine
        name = machine.free_name(name, self.name)
        self.mm.users += 1
        return machine.add(Task(machine, name, self.mm, self.cpu, self.files))

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
        return procfs.maps(self.mm)

    def pagemap(self, addr: int, length: int) -> Rows:
        """A row for each page of [addr, addr + length), as /proc/PID/pagemap tells it."""
        self.check()
        return procfs.pagemap(self.machine, self.mm, addr, self._range(addr, length))

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
        return procfs.reachable_tables(self.machine, self.mm)

    @property
    def rss(self) -> int:
        """Bytes of present pages, neither the zero page nor huge pages (VmRSS)."""
        self.check()
        return procfs.rss(self.machine, self.mm)

    @property
    def pss(self) -> int:
        """Bytes of present pages, each divided by the entries that map it (Pss)."""
        self.check()
        return procfs.pss(self.machine, self.mm)

    @property
    def locked(self) -> int:
        """Bytes of VMAs that mlock or MAP_LOCKED marked (VmLck)."""
        self.check()
        return procfs.locked(self.mm)


def positive(name: str, value) -> int:
    """*value* if it is an int that is not negative; the caller's mistake otherwise."""
    if type(value) is int and value >= 0:       # as it should be
        return value
    if number(name, value) < 0:
        raise ValueError(f"{name} is not negative, but {value} was given")
    return value
