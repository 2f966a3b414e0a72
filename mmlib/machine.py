"""The machine: physical memory, page tables, CPUs, files and tasks, and the trace of it all."""

import errno
from types import MappingProxyType

from .abi import O_CREAT, O_EXCL, O_RDWR, O_TRUNC
from .files import Filesystem, Inode, oserror
from .geometry import X86_64, Geometry
from .ext4 import Ext4
from .hugetlb import HugePool, Hugetlbfs
from .memory import Folio, Memory
from .mm import MM
from .openfile import File, number
from .record import Call, Ref, call
from .rmap import RmapRow, reclaim, rows
from .sharing import HugetlbPmdSharing, Private
from .tables import Tables
from .task import Task
from .tlb import TLB
from .trace import Event, MMState, Snapshot, Step, TaskState, Trace, VMAState
from .unmap import exit_mmap, truncate_pages
from .unshare import drop_cached_tables, shrink_tables

COUNTERS = ("faults", "flushes", "flush_targets", "copies", "zero_fills", "cache_fills")


class Machine:
    """A machine with one kernel.

    *geometry* is TINY, X86_64 or LA57.  *sharing* is a policy; None is what Linux does.  *memory*
    in bytes bounds all frames (None: no bound).  *fault_around* in pages; None is 16, in TINY 1.
    With *trace* each call becomes a Step, with its events and the state after it.

    >>> from mmlib import TINY
    >>> m = Machine(TINY)
    >>> a = m.spawn("a"); m.trace[-1].action, m.table_count
    ("spawn('a')", 0)
    """

    ref = Ref("machine", 0)
    name = "machine"

    def __init__(self, geometry: Geometry = X86_64, *, sharing=None, memory: int | None = None,
                 huge_pages: int = 0, cpus: int = 1, fault_around: int | None = None, trace: bool = True):
        if not isinstance(geometry, Geometry):
            raise ValueError(f"geometry is TINY, X86_64 or LA57, not {geometry!r}")
        if not hasattr(Private() if sharing is None else sharing, "publish"):
            raise ValueError(f"sharing is a policy such as Private(), not {sharing!r}")
        if memory is not None and number("memory", memory) < geometry.page_size:
            raise ValueError(f"memory is at least {geometry.page_size} bytes, not {memory}")
        if number("huge_pages", huge_pages) < 0 or memory is not None and \
                huge_pages * geometry.huge_size > memory:
            raise ValueError(f"huge_pages is a number of {geometry.huge_size}-byte pages that fit "
                             f"into memory, not {huge_pages}")
        if number("cpus", cpus) < 1:
            raise ValueError(f"cpus is at least 1, not {cpus}")
        if fault_around is not None and number("fault_around", fault_around) < 1:
            raise ValueError(f"fault_around is at least 1 page, not {fault_around}")
        self._options = {"geometry": geometry, "sharing": sharing, "memory": memory,
                         "huge_pages": huge_pages, "cpus": cpus, "fault_around": fault_around, "trace": trace}
        self.geometry, self.sharing = geometry, sharing or HugetlbPmdSharing()
        self.memory = Memory(geometry, memory)
        self.huge_pages = HugePool(self.memory, geometry.entries, huge_pages)
        self.tables = Tables(geometry, self.memory)
        self.fault_around = fault_around or geometry.fault_around
        self.tlbs = [TLB() for _ in range(cpus)]
        self.memory.shortage = self._shortage
        self.flush_sharers = True               # False: only the caller's TLB entries go
        self.major = False                      # did the fault under way read a disk?
        self.locked_folio: Folio | None = None  # of a fault that is under way: not to be reclaimed
        self.current_mm: MM | None = None       # of the task whose call this is
        self.count = dict.fromkeys(COUNTERS, 0)
        self.tasks: list[Task] = []             # the living, oldest first
        self.files: list[File] = []             # every file ever opened
        self.mounts = {"/dev/shm": Filesystem("/dev/shm")}
        self.inodes = self.objects = 0          # numbers given so far
        self.trace = Trace()
        self.tracing, self.busy = bool(trace), False
        self.events: list[Event] | None = None
        self._registered: list[Task] = []
        self._calls: list[Call] = []

    # the trace -----------------------------------------------------------------------------
    def check(self) -> None:
        """A machine is always there to be called."""

    @property
    def machine(self) -> "Machine":
        return self

    def emit(self, kind: str, *data) -> None:
        """Something happened (trace.KINDS); kept while a call is being recorded."""
        if self.events is not None:
            self.events.append(Event(kind, tuple(
                d if type(d) in (int, str) else str(d) for d in data)))

    def finish(self, actor, made: Call, action: str, result, error) -> None:
        """Freeze the Step of a call that is over."""
        self._calls.append(made)
        task = actor if isinstance(actor, Task) else result if isinstance(result, Task) else None
        addr = made.args[0] if made.args and type(made.args[0]) is int else None
        shown = action if actor is self else f"{actor.name}.{action}"
        events, self.events = tuple(self.events), None
        self.trace.append(Step(
            len(self.trace), actor.name, shown, result, error, events, self.snapshot(),
            addr if isinstance(actor, Task) else None, task.mm.name if task else None))

    def snapshot(self) -> Snapshot:
        """The whole state, frozen."""
        mms = {task.mm: None for task in self.tasks}
        frames = self.memory.folios
        states = [frames[pfn].state() for pfn in sorted(frames)]
        if self.memory.zero.mapcount:
            states.insert(0, self.memory.zero.state())
        return Snapshot(
            self.geometry,
            tuple(TaskState(t.name, t.mm.name, t.cpu) for t in self.tasks),
            tuple(MMState(mm.name, (mm.pgd.pfn, mm.pgd.birth), tuple(
                VMAState(v.start, v.end, v.perms, v.offset, v.backing, v.flags)
                for v in mm.vmas), mm.nr_tables) for mm in mms),
            tuple(self.tables.state(t) for _, t in sorted(self.tables.by_pfn.items())),
            tuple(states), tuple(tlb.state() for tlb in self.tlbs),
            tuple(sorted(self.counters.items())))

    def branch(self, n: int) -> "Machine":
        """A fresh machine in the state after ``trace[n]``, to go on differently from there."""
        if not 0 <= number("n", n) < len(self.trace):
            raise ValueError(f"n is a step of the trace, 0 to {len(self.trace) - 1}, not {n}")
        other = Machine(**self._options)
        for made in self._calls[:n + 1]:
            try:
                getattr(other._find(made.target), made.method)(
                    *map(other._find, made.args), **{k: other._find(v) for k, v in made.kwargs})
            except Exception as failed:
                if type(failed) is not type(self.trace[len(other.trace) - 1].error):
                    raise
        return other

    def _find(self, ref):
        if not isinstance(ref, Ref):
            return ref
        return {"machine": [self], "task": self._registered, "file": self.files}[ref.kind][ref.number]

    # tasks ---------------------------------------------------------------------------------
    @call
    def spawn(self, name: str | None = None) -> Task:
        """A process with an empty address space."""
        name = self.free_name(name, "task")
        return self.add(Task(self, name, self.new_mm(name), 0, []))

    def free_name(self, name: str | None, stem: str) -> str:
        """*name* if no living task has it, or the next free *stem*.N; ValueError."""
        taken = {task.name for task in self.tasks}
        if name is None:
            return next(f"{stem}.{n}" for n in range(1, len(taken) + 2)
                        if f"{stem}.{n}" not in taken)
        if not isinstance(name, str) or not name:
            raise ValueError(f"a name is a non-empty str, not {name!r}")
        if name in taken:
            raise ValueError(f"a living task is already called {name!r}")
        return name

    def new_mm(self, name: str) -> MM:
        taken = {task.mm.name for task in self.tasks}
        while name in taken:
            name += "'"                 # another mm kept the name, after exec or from a thread
        return MM(name, self.tables, self.tables.alloc(self.geometry.levels, name))

    def put_mm(self, mm: MM) -> None:
        """One user of *mm* fewer (mmput)."""
        mm.users -= 1
        if not mm.users:
            exit_mmap(self, mm)

    def register(self, task: Task) -> int:
        self._registered.append(task)
        return len(self._registered) - 1

    def add(self, task: Task) -> Task:
        self.tasks.append(task)
        return task

    def end(self, task: Task) -> None:
        """*task* is gone; its mm and its files with the last thread (do_exit)."""
        self.tasks.remove(task)
        task.alive = False
        if not any(other.files is task.files for other in self.tasks):
            for file in task.files:
                file.holders -= 1
                if not file.holders:
                    file.release()
        self.put_mm(task.mm)

    def oom_kill(self, reason: str) -> None:
        """End the task with most memory, the youngest of equals, with its threads (out_of_memory)."""
        def badness(task):
            return task.rss + task.mm.nr_tables * self.geometry.page_size
        victim = max(reversed(self.tasks), key=badness)
        self.emit("oom", victim.name, reason)
        for task in [t for t in self.tasks if t.mm is victim.mm]:
            task.killed = reason
            self.end(task)

    # files ---------------------------------------------------------------------------------
    def _resolve(self, path: str) -> tuple[Filesystem, str]:
        """The filesystem that *path* lies in, and the path within it; ENOENT."""
        if not isinstance(path, str) or "\0" in path:
            raise ValueError(f"a path is a str without NUL, not {path!r}")
        for at in sorted(self.mounts, key=len, reverse=True):
            if path == at or path.startswith(at + "/"):
                return self.mounts[at], path[len(at):].strip("/")
        raise oserror(errno.ENOENT, f"{path!r} lies in no mounted filesystem; "
                      f"there is {', '.join(self.mounts)}")

    def _new_inode(self, name: str, kind: type[Filesystem] = Filesystem) -> Inode:
        self.inodes += 1
        mapping = kind.mapping_type(name, self.memory,
                                    self.geometry.entries if kind.inode_type.huge else 1)
        return kind.inode_type(self.inodes, mapping,
                               lambda gone: drop_cached_tables(self, gone), self.huge_pages)

    def _opened(self, file: File) -> File:
        self.files.append(file)
        return file

    def anonymous_object(self, length: int, huge: bool = False) -> File:
        """The object behind a MAP_SHARED | MAP_ANONYMOUS mapping (shmem_zero_setup), or behind
        MAP_HUGETLB (hugetlb_file_setup)."""
        self.objects += not huge
        inode = self._new_inode("/anon_hugepage (deleted)", Hugetlbfs) if huge else \
            self._new_inode(f"shm{self.objects - 1}")
        inode.mapping.size = length
        file = File(self, inode, O_RDWR)
        inode.opens -= 1                # only its mappings keep it
        return file

    @call
    def mount(self, fstype: str, path: str, **options) -> None:
        """mount(2) of "tmpfs", "ext4" or "hugetlbfs"; ENODEV for what this kernel does not have."""
        kinds = {kind.fstype: kind for kind in (Filesystem, Ext4, Hugetlbfs)}
        if fstype not in kinds:
            raise oserror(errno.ENODEV, f"there is no filesystem {fstype!r}; "
                          f"there is {', '.join(kinds)}")
        if options:
            raise oserror(errno.EINVAL, f"{fstype} takes no {', '.join(options)} here")
        if not path.startswith("/") or path != "/" and path.endswith("/"):
            raise ValueError(f"a mount point is an absolute path, not {path!r}")
        if path in self.mounts:
            raise oserror(errno.EBUSY, f"{path} is a mount point already")
        self.mounts[path] = kinds[fstype](path)

    @call
    def open(self, path: str, flags: int = O_RDWR | O_CREAT, mode: int = 0o600) -> File:
        """open(2) by the machine: closed only by File.close()."""
        fs, rel = self._resolve(path)
        number("flags", flags)
        fs.parent(rel)
        if flags & O_CREAT and rel not in fs.names:
            inode = fs.names[rel] = self._new_inode(path, type(fs))
            inode.links = 1
        elif flags & O_CREAT and flags & O_EXCL:
            raise oserror(errno.EEXIST, f"{path} is there already")
        inode = fs.lookup(rel)
        if inode is None:
            raise oserror(errno.EISDIR, f"{path} is a directory")
        file = self._opened(File(self, inode, flags, path))
        if flags & O_TRUNC:
            inode.mapping.size = 0
            truncate_pages(self, inode.mapping, 0, None, even_cows=True)
        return file

    @call
    def memfd(self, name: str, size: int = 0) -> File:
        """memfd_create(2) and ftruncate to *size* bytes."""
        if not isinstance(name, str):
            raise ValueError(f"a name is a str, not {name!r}")
        if number("size", size) < 0:
            raise ValueError(f"size is not negative, but {size} was given")
        inode = self._new_inode(f"/memfd:{name} (deleted)")
        inode.mapping.size = size
        return self._opened(File(self, inode, O_RDWR))

    @call
    def unlink(self, path: str) -> None:
        """unlink(2): the name goes; the file with its last user."""
        fs, rel = self._resolve(path)
        inode = fs.lookup(rel)
        if inode is None:
            raise oserror(errno.EISDIR, f"{path} is a directory")
        del fs.names[rel]
        inode.links -= 1
        inode.put()

    @call
    def mkdir(self, path: str, mode: int = 0o700) -> None:
        """mkdir(2)"""
        fs, rel = self._resolve(path)
        fs.parent(rel)
        if rel in fs.names:
            raise oserror(errno.EEXIST, f"{path} is there already")
        fs.names[rel] = None

    @call
    def rename(self, old: str, new: str) -> None:
        """rename(2) of a file; what had the new name is unlinked."""
        self._name_again(old, new, keep=False)

    @call
    def link(self, old: str, new: str) -> None:
        """link(2): a second name; EEXIST if it is taken."""
        self._name_again(old, new, keep=True)

    def _name_again(self, old: str, new: str, keep: bool) -> None:
        fs, rel = self._resolve(old)
        to, new_rel = self._resolve(new)
        if fs is not to:
            raise oserror(errno.EXDEV, f"{old} and {new} are on different filesystems")
        inode = fs.lookup(rel)
        fs.parent(new_rel)
        if inode is None:
            raise oserror(errno.EPERM if keep else errno.EINVAL, f"{old} is a directory")
        if new_rel in fs.names:
            if keep:
                raise oserror(errno.EEXIST, f"{new} is there already")
            if rel == new_rel:
                return
            self.unlink(new)
        fs.names[new_rel] = inode
        inode.links += 1
        if not keep:
            del fs.names[rel]
            inode.links -= 1
            inode.mapping.name = new

    # for a notebook ------------------------------------------------------------------------
    def _repr_mimebundle_(self, include=None, exclude=None):
        """Narration and picture of the last step (views are imported only here)."""
        from .views import bundle
        return bundle(self)

    def __repr__(self) -> str:
        names = ", ".join(t.name for t in self.tasks) or "nobody"
        return f"<Machine {self.geometry}: {names}; {self.table_count} tables>"

    @call
    def shrink(self) -> int:
        """Free the cached page tables that nobody uses; how many were freed."""
        return shrink_tables(self)

    def _shortage(self) -> bool:
        """Memory is short: give back what can be had again later."""
        return bool(shrink_tables(self) or reclaim(self, 1))

    @call
    def drop_caches(self) -> None:
        """Forget the clean pages of disk files that nobody maps (/proc/sys/vm/drop_caches)."""
        for inode in [i for fs in self.mounts.values() for i in fs.files()]:
            for index, folio in sorted(inode.mapping.pages.items()):
                if inode.mapping.on_disk and not folio.dirty and not folio.mapcount:
                    inode.mapping.drop(index)

    @call
    def reclaim(self, pages: int) -> int:
        """Take up to *pages* clean pages of disk files from whoever maps them; how many."""
        if number("pages", pages) < 0:
            raise ValueError(f"pages is not negative, but {pages} was given")
        return reclaim(self, pages)

    def rmap(self, pfn: int) -> tuple[tuple[RmapRow, ...], tuple[str, ...]]:
        """(the mappings that reach frame *pfn*, what the walk had to visit)."""
        if number("pfn", pfn) not in self.memory.folios:
            raise ValueError(f"frame {pfn} holds no page")
        return rows(self, self.memory.folios[pfn])

    # figures -------------------------------------------------------------------------------
    @property
    def table_count(self) -> int:
        """Page tables, each once, top-level ones left out."""
        return sum(t.level < self.geometry.levels for t in self.tables.by_pfn.values())

    @property
    def counters(self) -> MappingProxyType:
        """What has happened so far; table_bytes is the bytes of `table_count` tables now."""
        return MappingProxyType(self.count | {
            "tables_allocated": self.tables.allocated, "tables_freed": self.tables.freed,
            "table_bytes": self.table_count * self.geometry.page_size})
