"""The kernel of this computer, with the calls of a Machine."""

import errno
import os
import weakref

from .. import abilities
from ..abi import MAP_ANONYMOUS, MAP_PRIVATE, O_CREAT, O_RDWR
from ..files import oserror
from ..geometry import X86_64
from ..machine import Machine
from ..openfile import number
from . import proc
from .files import MFD_HUGE_2MB, MFD_HUGETLB, File, Folder, memfd
from .process import Process
from .task import Task

# What Machine tells or does and a kernel does not.
UNTOLD = ("trace", "snapshot", "branch", "table_count", "counters", "drop_caches", "shrink",
          "reclaim", "rmap", "flush_sharers", "tables", "memory", "sharing")


class Linux:
    """The kernel of this computer; `with Linux() as world:` ends all processes at the end.

    A process that does not answer within *timeout* seconds is killed, and its call raises `Lost`.
    Raises OSError (ENOSYS) where no kernel can be asked, and says in one line why.
    """

    geometry = X86_64
    free_name = Machine.free_name

    def __init__(self, *, timeout: float = 60):
        if why := abilities.refusal():
            raise oserror(errno.ENOSYS, why)
        self.timeout = timeout
        self.tasks: list[Task] = []             # the living, oldest first
        self.processes: list[Process] = []
        self.mounts: list[str] = []             # of hugetlbfs
        self.huge: dict[str, str] = {}          # name of a memfd: path of a hugetlb file
        self.objects: dict[int, str] = {}       # inode: shm0, shm1 ...
        self.folders: list[Folder] = []         # none until a file has a name
        self.files: list[File] = []             # every file ever opened
        self._zero_frame: int | None = None
        self.close = weakref.finalize(self, end, self.processes, self.files, self.folders)

    def __enter__(self) -> "Linux":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getattr__(self, name: str):
        if name in UNTOLD:
            raise NotImplementedError(f"{name}: no kernel tells or does this; ask a Machine")
        raise AttributeError(name)

    # tasks ---------------------------------------------------------------------------------
    def spawn(self, name: str | None = None) -> Task:
        """A process with an empty address space, on the first CPU that it may use."""
        name = self.free_name(name, "task")
        process = Process.start(self.timeout)
        self.processes.append(process)
        cpu = min(os.sched_getaffinity(0))
        return self.add(Task(self, name, process, process.lines[0], process.pid, cpu, []))

    def add(self, task: Task) -> Task:
        self.tasks.append(task)
        return task

    # files ---------------------------------------------------------------------------------
    def mount(self, fstype: str, path: str, **options) -> None:
        """Only "hugetlbfs" can be had without an administrator; its files are memfds of huge
        pages."""
        if fstype != "hugetlbfs" or options:
            raise oserror(errno.EPERM, f"{fstype} is not mounted here, only hugetlbfs is")
        self.mounts.append(path)

    @property
    def folder(self) -> Folder:
        if not self.folders:
            self.folders.append(Folder())
        return self.folders[0]

    def open(self, path: str, flags: int = O_RDWR | O_CREAT, mode: int = 0o600) -> File:
        """open(2), below /dev/shm or a mounted hugetlbfs."""
        if any(str(path).startswith(at + "/") for at in self.mounts):
            name = f"huge{len(self.huge)}"
            self.huge[f"/memfd:{name} (deleted)"] = path
            return self.keep(memfd(name, 0, MFD_HUGETLB | MFD_HUGE_2MB, path))
        real = self.folder.real(path)
        fd = os.open(real, number("flags", flags) | os.O_CLOEXEC, number("mode", mode))
        if os.path.isdir(real):
            os.close(fd)
            raise oserror(errno.EISDIR, f"{path} is a directory")
        return self.keep(File(fd, path))

    def memfd(self, name: str, size: int = 0) -> File:
        """memfd_create(2) and ftruncate to *size* bytes."""
        if not isinstance(name, str):
            raise ValueError(f"a name is a str, not {name!r}")
        return self.keep(memfd(name, number("size", size)))

    def keep(self, file: File) -> File:
        self.files.append(file)
        return file

    def unlink(self, path: str) -> None:
        os.unlink(self.folder.real(path))

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        os.mkdir(self.folder.real(path), mode)

    def rename(self, old: str, new: str) -> None:
        os.rename(self.folder.real(old), self.folder.real(new))

    def link(self, old: str, new: str) -> None:
        os.link(self.folder.real(old), self.folder.real(new))

    # what /proc tells ----------------------------------------------------------------------
    def backing(self, name: str, inode: int) -> str:
        """What is behind a line of /proc/PID/maps, as a Machine says it."""
        if not name:
            return "anon"
        if name == "/dev/zero (deleted)":
            return self.objects.setdefault(inode, f"shm{len(self.objects)}")
        return self.huge.get(name) or (self.folder.shown(name) if self.folders else name)

    @property
    def zero_frame(self) -> int:
        """The frame of the zero page: a page that was only read has it."""
        if self._zero_frame is None:
            task = self.spawn("the zero page")
            start = task.mmap(None, proc.PAGE, "r", MAP_PRIVATE | MAP_ANONYMOUS)
            task.load(start)
            self._zero_frame = task.pagemap(start, proc.PAGE)[0].pfn
            task.exit()
        return self._zero_frame

    def mapcount(self, frame: int) -> int:
        """How many entries map the page in *frame*; 0 where this kernel hides that."""
        try:
            return proc.mapcount(frame)
        except OSError:
            return 0


def end(processes: list[Process], files: list[File], folders: list[Folder]) -> None:
    """End all processes, close and remove all files; also called when Python ends."""
    for process in processes:
        process.kill()
        process.wait()
    for file in files:
        file.release()
    for folder in folders:
        folder.remove()
    processes.clear(), files.clear(), folders.clear()
