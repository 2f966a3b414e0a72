"""Asking one thread of a bare process."""

import errno
import os
import signal
import socket
import struct
from typing import NamedTuple

from . import code
from .code import DATA, PAYLOAD

SA_FLAGS = 0x4 | 0x40000000 | 0x08000000 | 0x04000000   # SIGINFO, NODEFER, ONSTACK, RESTORER
SYS = {"mmap": 9, "mprotect": 10, "munmap": 11, "rt_sigaction": 13, "mremap": 25, "msync": 26,
       "mincore": 27, "madvise": 28, "close": 3, "recvmsg": 47, "clone": 56, "fork": 57,
       "execve": 59, "sigaltstack": 131, "mlock": 149, "munlock": 150, "sched_setaffinity": 203}


class Lost(Exception):
    """A process under test is gone or does not answer."""


class Reply(NamedTuple):
    result: int                         # what the call returned, -errno, or -(signo << 8 | code)
    addr: int                           # si_addr of the last signal
    minor: int
    major: int
    payload: bytes


def checked(name: str, reply: Reply) -> Reply:
    """*reply* if the system call *name* was carried out; OSError if not."""
    if reply.result < 0:
        number = -reply.result
        raise OSError(number, f"{errno.errorcode.get(number, '')}: {name}: {os.strerror(number)}")
    return reply


class Line:
    """One thread of a bare process, at the other end of a socket."""

    def __init__(self, timeout: float, data: int = DATA):
        try:
            self.socket, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as why:          # ours, and no answer of the process
            raise Lost(f"no line to a process: {why.strerror}") from None
        self.socket.settimeout(timeout)
        self.data, self.far = data, self.end.fileno()   # where its data lies, its socket's number

    @property
    def payload(self) -> int:
        return self.data + PAYLOAD

    def send(self, kind: int, number: int, *args: int, payload: bytes = b"", back: int = 0,
             child=(0, 0)) -> None:
        for arg in args:
            if not -1 << 63 <= arg < 1 << 64:
                raise ValueError(f"an argument of a system call has 64 bits, unlike {arg}")
        args = [arg & (1 << 64) - 1 for arg in args]
        head = code.HEAD.pack(kind, number, *args, *[0] * (6 - len(args)), 0, 0, *child,
                              PAYLOAD + back)
        self.socket.send(head.ljust(PAYLOAD, b"\0") + payload)

    def receive(self) -> Reply:
        """The answer; Lost if there is none."""
        try:
            message = self.socket.recv(code.MESSAGE)
        except TimeoutError:
            raise Lost(f"no answer within {self.socket.gettimeout():g} seconds") from None
        except OSError:
            message = b""
        if not message:
            raise Lost("the process is gone")
        before = struct.unpack_from("<2Q", message, code.FAULTS_BEFORE)
        after = struct.unpack_from("<2Q", message, code.FAULTS_AFTER)
        result, addr = code.HEAD.unpack_from(message)[8:10]
        return Reply(result, addr, after[0] - before[0], after[1] - before[1], message[PAYLOAD:])

    def ask(self, kind: int, number: int, *args: int, **more) -> Reply:
        try:
            self.send(kind, number, *args, **more)
        except OSError:
            raise Lost("the process is gone") from None
        return self.receive()

    def attempt(self, name: str, *args: int, **more) -> Reply:
        """A system call, whatever it answers."""
        return self.ask(code.CALL, SYS[name], *args, **more)

    def call(self, name: str, *args: int, **more) -> Reply:
        """A system call that raises OSError where it fails."""
        return checked(name, self.attempt(name, *args, **more))

    def take(self, fd: int) -> int:
        """Give the process a file that is open here; its number there."""
        at = self.payload                       # struct msghdr, iovec, a byte, cmsghdr and number
        asked = struct.pack("<QQQQQQQ", 0, 0, at + 0x38, 1, at + 0x60, 24, 0) + struct.pack(
            "<QQQ", at + 0x50, 1, 0)
        self.send(code.CALL, SYS["recvmsg"], self.far, at, 0, payload=asked, back=0x80)
        socket.send_fds(self.socket, [b"f"], [fd])
        reply = checked("recvmsg", self.receive())
        return struct.unpack_from("<i", reply.payload, 0x60 + 16)[0]

    def listen(self) -> None:
        """Handle SIGSEGV and SIGBUS on a stack of this thread's own."""
        stack = struct.pack("<QQQ", self.data + code.STACK, 0, code.STACK_BYTES)
        self.call("sigaltstack", self.payload, 0, payload=stack)
        action = struct.pack("<QQQQ", code.label("handler"), SA_FLAGS, code.label("restorer"), 0)
        for signo in (signal.SIGSEGV, signal.SIGBUS):
            self.call("rt_sigaction", signo, self.payload, 0, 8, payload=action)
