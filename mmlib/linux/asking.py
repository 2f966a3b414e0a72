"""How a task asks its bare process, what becomes of the answer, and the files that it opens."""

import errno

from ..abi import O_CREAT, O_RDWR
from ..files import oserror
from ..signals import BusError, Segfault
from .code import DATA, END
from .files import File
from .line import Line, Lost, Reply, checked
from .proc import PAGE
from .process import Process

CODES = {(11, 1): "SEGV_MAPERR", (11, 2): "SEGV_ACCERR", (11, 4): "SEGV_PKUERR",
         (11, 128): "SI_KERNEL", (7, 2): "BUS_ADRERR", (7, 4): "BUS_MCEERR_AR"}


class Asking:
    """A thread of a bare process, *mm*, which is reached by *line*."""

    def __init__(self, world, name: str, mm: Process, line: Line, pid: int, cpu: int,
                 files: list[File]):
        self.world, self.name, self.mm, self.line = world, name, mm, line
        self.pid, self.cpu, self.files = pid, cpu, files
        self.minor_faults = self.major_faults = 0
        self.alive = True

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def __getattr__(self, name: str):
        if name in ("page_faults", "reachable_tables", "translate", "share_tables"):
            raise NotImplementedError(f"{name}: no kernel tells this; ask a Task of a Machine")
        raise AttributeError(name)

    def __setattr__(self, name: str, value) -> None:
        if name == "share_tables":
            raise NotImplementedError("share_tables: no kernel knows it")
        super().__setattr__(name, value)

    def check(self) -> None:
        if not self.alive:
            raise oserror(errno.ESRCH, f"task {self.name} has exited")

    # asking --------------------------------------------------------------------------------
    def ask(self, asking, *args, **more) -> Reply:
        """Let *asking*, a call of this task's line or process, happen, and count its faults; if the
        process is lost, all of its tasks are gone."""
        self.check()
        try:
            reply = asking(*args, **more)
        except Lost as why:
            self.mm.kill()
            for task in [t for t in self.world.tasks if t.mm is self.mm]:
                task.gone()
            raise Lost(f"{self.name}: {why}") from None
        if isinstance(reply, Reply):
            self.minor_faults += reply.minor
            self.major_faults += reply.major
        return reply

    def gone(self) -> None:
        """Nobody will hear of this task again; its files close with the last that has them."""
        self.alive = False
        self.world.tasks.remove(self)
        if not self.mm.lines and self.mm in self.world.processes:
            self.mm.wait()
            self.world.processes.remove(self.mm)
        if not any(other.files is self.files for other in self.world.tasks):
            for file in self.files:
                file.holders -= 1
                if not file.holders:
                    file.release()

    def call(self, name: str, *args: int, **more) -> Reply:
        """A system call; raises OSError, and counts faults of one that failed too."""
        return checked(name, self.ask(self.line.attempt, name, *args, **more))

    def access(self, kind: int, *args: int, access: str, **more) -> Reply:
        """A load or store; raises Segfault or BusError."""
        reply = self.ask(self.line.ask, kind, 0, *args, **more)
        if reply.result:
            signo, si_code = divmod(-reply.result, 256)
            name = CODES.get((signo, si_code), "SI_UNKNOWN")
            kind = BusError if signo == 7 else Segfault
            raise kind(self, reply.addr, access, name, f"the {access} of {reply.addr:#x} failed")
        return reply

    @staticmethod
    def spare(addr: int, length: int) -> None:
        """Keep the process's own code and data out of a call."""
        if addr < END and addr + length > DATA:
            raise ValueError(f"[{DATA:#x}, {END:#x}) is where the process under test itself lies")

    # files ---------------------------------------------------------------------------------
    def open(self, path: str, flags: int = O_RDWR | O_CREAT, mode: int = 0o600) -> File:
        return self._keep(self.world.open, path, flags, mode)

    def memfd(self, name: str, size: int = 0) -> File:
        return self._keep(self.world.memfd, name, size)

    def _keep(self, opening, *args) -> File:
        self.check()
        file = opening(*args)
        file.holders += 1
        self.files.append(file)
        return file

    def unlink(self, path: str) -> None:
        self.check()
        self.world.unlink(path)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        self.check()
        self.world.mkdir(path, mode)

    def rename(self, old: str, new: str) -> None:
        self.check()
        self.world.rename(old, new)

    def link(self, old: str, new: str) -> None:
        self.check()
        self.world.link(old, new)


def pages_of(addr: int, n: int):
    """(address, bytes) of the parts of a range that lie in one page each.

    >>> list(pages_of(0x1FFE, 5))
    [(8190, 2), (8192, 3)]
    """
    end = addr + n
    while addr < end:
        size = min(PAGE - addr % PAGE, end - addr)
        yield addr, size
        addr += size
