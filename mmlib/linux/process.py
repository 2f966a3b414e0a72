"""Bare processes: started, asked, forked and ended."""

import ctypes
import errno
import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from ..files import oserror
from . import code
from .code import DATA, DATA_BYTES, PAYLOAD
from .line import SYS, Line, Lost, checked

# What a fresh Python does before it is bare: once it has called entry, it is Python no longer.
# No rseq and no shadow stack: the kernel would write to memory that is about to go.
TUNABLES = "glibc.pthread.rseq=0:glibc.cpu.x86_shstk=off"
BOOT = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
sock, code, data, bytes_, text, head = [int(word, 16) for word in sys.argv[1:]]
def check(done, what):
    if not done:
        sys.exit(what + ": " + os.strerror(ctypes.get_errno()))
def place(addr, length):                # MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
    check(libc.mmap(addr, length, 3, 0x100022, -1, 0) == addr, "no memory to be had")
place(data, bytes_)
place(code, 4096)
machine = bytes.fromhex("%x" % text)
ctypes.memmove(code, machine, len(machine))
check(libc.mprotect(code, 4096, 5) == 0, "executable memory is forbidden")
ctypes.c_uint64.from_address(data + 0x60).value = head
libc.prctl(41, 1, 0, 0, 0)              # PR_SET_THP_DISABLE; children inherit it
signal.signal(signal.SIGCHLD, signal.SIG_IGN)   # the dead need nobody who waits for them
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)(code)(data, sock)
"""


ADDR_NO_RANDOMIZE = 0x40000             # personality(2): the same layout for each process


@contextmanager
def without_randomness():
    """What this thread starts meanwhile has mmap_base where the simulator has it; where a container
    forbids that, the kernel goes on choosing addresses at random."""
    personality = ctypes.CDLL(None).personality
    before = personality(0xFFFFFFFF)
    if before >= 0:
        personality(before | ADDR_NO_RANDOMIZE)
    try:
        yield
    finally:
        if before >= 0:
            personality(before)


def command(fd: int) -> list[str]:
    """How a bare process is made of a Python that has the socket *fd*."""
    numbers = (fd, code.CODE, DATA, DATA_BYTES, int.from_bytes(code.ASSEMBLED, "big"), PAYLOAD)
    return [sys.executable, "-I", "-S", "-c", BOOT, *(f"{number:x}" for number in numbers)]


@contextmanager
def new_line(timeout: float, data: int):
    """A line whose other end is here until it is given away; if that fails nothing stays open."""
    made = Line(timeout, data)
    try:
        yield made
    except BaseException:
        made.socket.close()
        raise
    finally:
        made.end.close()


class Process:
    """A bare process: *pid*, its threads' *lines*, and a handle by which it can be killed."""

    def __init__(self, pid: int, line: Line, popen: subprocess.Popen | None = None):
        self.pid, self.lines, self.popen = pid, [line], popen
        try:
            self.handle = os.pidfd_open(pid)
        except OSError as why:          # without its line it ends by itself
            raise Lost(f"no handle of process {pid}: {why.strerror}") from None

    @classmethod
    def start(cls, timeout: float) -> "Process":
        """A fresh process; raises OSError, with the reason, where none can be made."""
        with new_line(timeout, DATA) as line, without_randomness():
            popen = subprocess.Popen(
                command(line.far), pass_fds=[line.far], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env=os.environ | {"GLIBC_TUNABLES": TUNABLES})
            line.end.close()
            process = cls(popen.pid, line, popen)
            try:
                line.receive()
                process.become_bare(line)
            except (Lost, OSError) as why:
                process.kill()
                told = popen.stderr.read().decode(errors="replace").strip().splitlines() or [why]
                process.wait()
                raise oserror(errno.EPERM, "no process can be made that asks this kernel: "
                              f"{told[-1]}") from None
        return process

    def become_bare(self, line: Line) -> None:
        """Take away what Python has left behind."""
        line.listen()
        for row in Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            start, end = (int(word, 16) for word in row.split()[0].split("-"))
            if not DATA <= start < code.END and start < 1 << 47:
                line.call("munmap", start, end - start)

    def fork(self, line: Line, timeout: float) -> "Process":
        """fork(2) by the thread at *line*; the child has that thread alone."""
        with new_line(timeout, line.data) as made:
            made.far = line.take(made.end.fileno())
            reply = line.ask(code.FORK, SYS["fork"], child=(made.far, made.data))
            line.call("close", made.far)
            child = Process(checked("fork", reply).result, made)
            made.end.close()
            made.receive()
        for other in self.lines:
            made.call("close", other.far)
        return child

    def clone(self, line: Line, timeout: float) -> tuple[int, Line]:
        """clone(2) of a thread: its number, and the line to it."""
        taken = {other.data for other in self.lines}
        free = [DATA + n * DATA_BYTES for n in range(code.THREADS)]
        data = next((at for at in free if at not in taken), None)
        if data is None:
            raise oserror(errno.EAGAIN, f"at most {code.THREADS} threads here")
        line.call("mmap", data, DATA_BYTES, 3, 0x32, -1, 0)     # PRIVATE | ANONYMOUS | FIXED
        head = code.HEAD.pack(*[0] * 12, PAYLOAD)               # to be its first answer
        line.ask(code.COPY, 0, data, line.payload, len(head), payload=head)
        flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000   # VM FS FILES SIGHAND THREAD SEM
        with new_line(timeout, data) as made:
            made.far = line.take(made.end.fileno())
            reply = checked("clone", line.ask(code.FORK, SYS["clone"], flags, 0, 0, 0, 0,
                                              child=(made.far, data)))
            made.end.close()
            made.receive()
            made.listen()
        self.lines.append(made)
        return reply.result, made

    def exec(self, line: Line, path: int, argv: int, envp: int, payload: bytes) -> None:
        """execve(2) by the thread at *line*, which is the only one then."""
        line.send(code.CALL, SYS["execve"], path, argv, envp, payload=payload)
        checked("execve", line.receive())
        for other in self.lines:
            if other is not line:
                other.socket.close()
        self.lines, line.data = [line], DATA
        self.become_bare(line)

    def leave(self, line: Line, timeout: float) -> None:
        """The thread at *line* ends; with the last one the process, which is waited for."""
        self.lines.remove(line)
        line.socket.close()
        if not self.lines:
            if not self.ended(timeout):
                self.kill()
            self.wait()

    def ended(self, timeout: float) -> bool:
        """Wait for the end."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.handle >= 0:
            try:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.ended(5)
        for line in self.lines:
            line.socket.close()
        self.lines = []

    def wait(self) -> None:
        if self.popen:
            self.popen.wait()
            self.popen.stderr.close()
            self.popen = None
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
