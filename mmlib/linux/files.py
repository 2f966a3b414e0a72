"""Open files, and the folder where those with a name lie."""

import ctypes
import errno
import os
import posixpath
import subprocess
import sys
import tempfile
from pathlib import Path

from ..files import oserror
from ..openfile import number

SHM = "/dev/shm"
# Whatever becomes of us: our end of this one's standard input closes, and it removes the folder.
CARETAKER = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"
MFD_HUGETLB, MFD_HUGE_2MB = 4, 21 << 26


class File:
    """An open file description.  The calls are made here; the pages belong to no process."""

    def __init__(self, fd: int, name: str):
        self.fd, self._name, self.closed = fd, name, False
        self.holders = 0                # processes that will close it; it closes with the last

    @property
    def name(self) -> str:
        """As /proc/PID/maps shows it."""
        return self._name

    def check(self) -> None:
        if self.closed:
            raise oserror(errno.EBADF, f"{self.name} is closed")

    def __repr__(self) -> str:
        return f"<File {self.name!r}>"

    @property
    def size(self) -> int:
        self.check()
        return os.fstat(self.fd).st_size

    def truncate(self, length: int) -> None:
        self.check()
        os.ftruncate(self.fd, number("length", length))

    def fallocate(self, mode: int, offset: int, length: int) -> None:
        self.check()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.fallocate(self.fd, number("mode", mode), ctypes.c_long(number("offset", offset)),
                          ctypes.c_long(number("length", length))):
            raise oserror(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def pread(self, n: int, offset: int) -> bytes:
        self.check()
        return os.pread(self.fd, number("n", n), number("offset", offset))

    def pwrite(self, data: bytes, offset: int) -> int:
        self.check()
        if not isinstance(data, (bytes, bytearray)):
            raise TypeError(f"data is bytes, not {data!r}")
        return os.pwrite(self.fd, data, number("offset", offset))

    def read(self, n: int) -> bytes:
        self.check()
        return os.read(self.fd, number("n", n))

    def fsync(self) -> None:
        self.check()
        os.fsync(self.fd)

    def ioctl(self, request: int, arg) -> None:
        import fcntl                    # only here: not every system has it
        self.check()
        fcntl.ioctl(self.fd, number("request", request), arg)

    def close(self) -> None:
        self.check()
        self.release()

    def release(self) -> None:
        """The last process that held it is gone."""
        if not self.closed:
            self.closed = True
            os.close(self.fd)


class Folder:
    """/dev/shm as the processes under test see it: a folder of their own in the real one.

    No path leads out of it, so a scenario of a stranger cannot touch anybody's files."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="mmlib-", dir=SHM))
        self.caretaker = subprocess.Popen([sys.executable, "-I", "-S", "-c", CARETAKER, self.path],
                                          stdin=subprocess.PIPE, process_group=0)

    def real(self, path: str) -> str:
        """Where *path* really lies; ENOENT if that is not below /dev/shm."""
        if not isinstance(path, str) or "\0" in path:
            raise ValueError(f"a path is a str without NUL, not {path!r}")
        plain = posixpath.normpath(path)
        if plain != SHM and not plain.startswith(SHM + "/"):
            raise oserror(errno.ENOENT, f"{path!r} does not lie below {SHM}, where the files of "
                          "processes under test are")
        return str(self.path) + plain[len(SHM):]

    def shown(self, name: str) -> str:
        """A name of /proc/PID/maps as the processes know it."""
        return SHM + name[len(str(self.path)):] if name.startswith(f"{self.path}/") else name

    def remove(self) -> None:
        self.caretaker.stdin.close()
        self.caretaker.wait()


def memfd(name: str, size: int, flags: int = 0, shown: str = "") -> File:
    """memfd_create(2), and *size* bytes of holes."""
    file = File(os.memfd_create(name, os.MFD_CLOEXEC | flags), shown or f"/memfd:{name} (deleted)")
    try:
        file.truncate(size)
    except OSError:
        file.release()
        raise
    return file
