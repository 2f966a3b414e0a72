"""A task on the kernel of this computer: each call is made by a bare process."""

import errno
import itertools
import struct

from .. import openfile
from ..abi import MADV_HWPOISON, MADV_SOFT_OFFLINE, MAP_ANONYMOUS, MAP_FIXED, prot_bits
from ..files import oserror
from ..rows import Rows
from ..task import positive
from . import code, proc
from .asking import PAGE, Asking, pages_of
from .files import File
from .process import TUNABLES, command

PIECE = 1 << 30                         # bytes that one message touches
ENVIRONMENT = f"GLIBC_TUNABLES={TUNABLES}"
VECTOR = 32768                          # pages that one message asks mincore about


class Task(Asking):
    """A thread of a bare process, with the calls and figures of mmlib.Task.

    What no kernel tells raises NotImplementedError.  `minor_faults` and `major_faults` add up what
    getrusage told of each call.
    """

    # mappings ------------------------------------------------------------------------------
    def mmap(self, addr: int | None, length: int, prot: str | int, flags: int,
             file: File | None = None, offset: int = 0) -> int:
        """mmap(2); the process has the file open for as long as the call takes."""
        for name, value in (("length", length), ("flags", flags), ("offset", offset)):
            positive(name, value)
        at = 0 if addr is None else positive("addr", addr)
        if flags & MAP_FIXED:
            self.spare(at, length)
        if file is None or flags & MAP_ANONYMOUS:
            return self.call("mmap", at, length, prot_bits(prot), flags, -1, offset).result
        if not isinstance(file, File):
            raise TypeError(f"file is a File of this world, not {file!r}")
        if file.closed:
            return self.call("mmap", at, length, prot_bits(prot), flags, -1, offset).result
        fd = self.ask(self.line.take, file.fd)
        try:
            return self.call("mmap", at, length, prot_bits(prot), flags, fd, offset).result
        finally:
            if self.alive:
                self.call("close", fd)

    def munmap(self, addr: int, length: int) -> None:
        self._range("munmap", addr, length)

    def mprotect(self, addr: int, length: int, prot: str | int) -> None:
        self._range("mprotect", addr, length, prot_bits(prot))

    def mremap(self, old: int, old_len: int, new_len: int, flags: int = 0,
               new: int | None = None) -> int:
        for name, value in (("old", old), ("old_len", old_len), ("new_len", new_len),
                            ("flags", flags), ("new", new or 0)):
            positive(name, value)
        self.spare(old, old_len)
        self.spare(new or 0, new_len)
        return self.call("mremap", old, old_len, new_len, flags, new or 0).result

    def madvise(self, addr: int, length: int, advice: int) -> None:
        """madvise(2), but for what takes pages of this computer out of use for good."""
        if openfile.number("advice", advice) in (MADV_HWPOISON, MADV_SOFT_OFFLINE):
            raise NotImplementedError(f"madvise: advice {advice} would harm this computer's memory")
        self._range("madvise", addr, length, advice)

    def msync(self, addr: int, length: int, flags: int) -> None:
        self._range("msync", addr, length, openfile.number("flags", flags))

    def mlock(self, addr: int, length: int) -> None:
        self._range("mlock", addr, length)

    def munlock(self, addr: int, length: int) -> None:
        self._range("munlock", addr, length)

    def _range(self, name: str, addr: int, length: int, *more: int) -> None:
        self.spare(positive("addr", addr), positive("length", length))
        self.call(name, addr, length, *more)

    def mincore(self, addr: int, length: int) -> bytes:
        self.spare(positive("addr", addr), positive("length", length))
        out, step = b"", VECTOR * PAGE
        for at in range(addr, addr + max(length, 1), step):     # the kernel is asked about 0, too
            piece = min(addr + length - at, step)
            pages = -(-piece // PAGE)
            reply = self.call("mincore", at, piece, self.line.payload, back=pages)
            out += bytes(byte & 1 for byte in reply.payload[:pages])
        return out

    # accesses ------------------------------------------------------------------------------
    def load(self, addr: int, n: int = 1) -> bytes:
        """Read *n* bytes, page by page."""
        openfile.number("addr", addr)
        if openfile.number("n", n) < 1:
            raise ValueError(f"n is at least 1, not {n}")
        self.spare(addr, n)
        return b"".join(self.access(code.COPY, self.line.payload, at, size, back=size,
                                    access="load").payload for at, size in pages_of(addr, n))

    def store(self, addr: int, data: bytes | int) -> None:
        """Write bytes, or one byte given as an int, page by page."""
        openfile.number("addr", addr)
        if isinstance(data, int) and 0 <= data <= 255:
            data = bytes([data])
        if not isinstance(data, (bytes, bytearray)) or not data:
            raise ValueError(f"data is at least one byte, or an int 0..255, not {data!r}")
        self.spare(addr, len(data))
        for at, size in pages_of(addr, len(data)):
            self.access(code.COPY, at, self.line.payload, size, access="store",
                        payload=data[at - addr:at - addr + size])

    def touch(self, addr: int, length: int, write: bool = False) -> None:
        """One access to each page, upwards; a store puts back what is there."""
        openfile.number("addr", addr)
        if openfile.number("length", length) < 1:
            raise ValueError(f"length is at least 1, not {length}")
        self.spare(addr, length)
        kind, access = (code.WRITE, "store") if write else (code.READ, "load")
        end = addr + length
        while addr < end:
            stop = addr + PAGE - addr % PAGE if addr % PAGE else addr + PIECE
            self.access(kind, min(stop, end), addr, access=access)
            addr = stop

    # life ----------------------------------------------------------------------------------
    def fork(self, name: str | None = None) -> "Task":
        """fork(2), by the process itself."""
        name = self.world.free_name(name, self.name)
        process = self.ask(self.mm.fork, self.line, self.world.timeout)
        self.world.processes.append(process)
        for file in self.files:
            file.holders += 1
        return self.world.add(Task(self.world, name, process, process.lines[0], process.pid,
                                   self.cpu, list(self.files)))

    def clone(self, name: str | None = None) -> "Task":
        """clone(2) of a thread; it shares all."""
        name = self.world.free_name(name, self.name)
        pid, line = self.ask(self.mm.clone, self.line, self.world.timeout)
        return self.world.add(Task(self.world, name, self.mm, line, pid, self.cpu, self.files))

    def run_on(self, cpu: int) -> None:
        """sched_setaffinity(2) to one CPU."""
        if not 0 <= openfile.number("cpu", cpu) < 8192:
            raise oserror(errno.EINVAL, f"there is no CPU {cpu}")
        self.call("sched_setaffinity", 0, 1024, self.line.payload,
                  payload=(1 << cpu).to_bytes(1024, "little"))
        self.cpu = cpu

    def exec(self) -> None:
        """execve(2) of a Python that makes itself bare; other threads end, files stay open."""
        words = [word.encode() + b"\0" for word in (*command(self.line.far), ENVIRONMENT)]
        ends = list(itertools.accumulate(map(len, words)))
        starts = [self.line.payload + at for at in (0, *ends[:-1])]
        text = b"".join(words) + bytes(-ends[-1] % 8)
        vectors = struct.pack(f"<{len(words) + 2}Q", *starts[:-1], 0, starts[-1], 0)
        argv = self.line.payload + len(text)
        self.ask(self.mm.exec, self.line, starts[0], argv, argv + 8 * len(words), text + vectors)
        for task in [t for t in self.world.tasks if t.mm is self.mm and t is not self]:
            task.gone()
        self.pid = self.mm.pid          # the leader's: the others are no more

    def exit(self) -> None:
        """exit(2): this thread ends, and with the last one the process."""
        self.check()
        self.mm.leave(self.line, self.world.timeout)
        self.gone()

    # what /proc tells ----------------------------------------------------------------------
    def maps(self) -> Rows:
        """/proc/PID/maps."""
        self.check()
        return proc.maps(self.pid, self.world.backing)

    def pagemap(self, addr: int, length: int) -> Rows:
        """/proc/PID/pagemap; frames are 0 where this kernel hides them."""
        self.check()
        if positive("addr", addr) % PAGE:
            raise oserror(errno.EINVAL, f"addr {addr:#x} is not a multiple of {PAGE}")
        return proc.pagemap(self.pid, addr, addr + -(-positive("length", length) // PAGE) * PAGE)

    def present(self) -> list[tuple[int, int]]:
        """(address, frame) of every present page, upwards."""
        huge = self.world.huge.values()
        return [page for row in self.maps() for page in proc.present(
            self.pid, row.start, row.end, proc.HUGE_PAGE if row.backing in huge else PAGE)]

    @property
    def tables(self) -> int:
        """VmPTE / 4096, without what the process itself consists of."""
        self.check()
        return proc.tables(self.pid)

    @property
    def page_table_bytes(self) -> int:
        return self.tables * PAGE

    @property
    def rss(self) -> int:
        self.check()
        return proc.smaps(self.pid, "Rss")

    @property
    def pss(self) -> int:
        self.check()
        return proc.smaps(self.pid, "Pss")

    @property
    def locked(self) -> int:
        self.check()
        return proc.status(self.pid, "VmLck")
