"""The machine: physical memory, page tables, CPUs, files and tasks, and the trace of it all."""

from types import MappingProxyType

from . import namespace
from .abi import O_CREAT, O_RDWR
from .events import Event
from .files import Filesystem
from .geometry import X86_64, ZERO_PFN, Geometry
from .hugetlb import HugePool
from .memory import Folio, Memory
from .mm import MM
from .openfile import File, number
from .record import Call, Ref, call, replay, snapshot
from .rmap import RmapRow, reclaim, rows
from .sharing import HugetlbPmdSharing, Private
from .tables import Tables
from .task import Task
from .tlb import TLB
from .trace import Snapshot, Trace
from .unmap import exit_mmap
from .unshare import shrink_tables

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
                 huge_pages: int = 0, cpus: int = 1, fault_around: int | None = None,
                 trace: bool = True):
        if not isinstance(geometry, Geometry):
            raise ValueError(f"geometry is TINY, X86_64 or LA57, not {geometry!r}")
        if sharing is not None and (isinstance(sharing, type) or not hasattr(sharing, "publish")):
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
                         "huge_pages": huge_pages, "cpus": cpus, "fault_around": fault_around,
                         "trace": trace}
        self.geometry, self.sharing = geometry, sharing or HugetlbPmdSharing()
        self.page_shift = geometry.page_shift       # at hand: each touch asks for it
        self.memory = Memory(geometry, memory)
        self.huge_pages = HugePool(self.memory, geometry.entries, huge_pages)
        self.tables = Tables(geometry, self.memory)
        self.fault_around = fault_around or geometry.fault_around
        self.tlbs = [TLB() for _ in range(cpus)]
        self.memory.shortage = self._shortage
        self._flush_sharers = True
        self.major = False                      # did the fault under way read a disk?
        self.locked_folio: Folio | None = None  # of a fault that is under way: not to be reclaimed
        self.current_task: Task | None = None   # whose call this is
        self.hosts: dict[MM, None] = {}         # the mms behind files of msharefs
        self.count = dict.fromkeys(COUNTERS, 0)
        self.tasks: list[Task] = []             # the living, oldest first
        self._names, self.mm_names = set(), set()   # theirs, and those of their mms
        self.files: list[File] = []             # every file ever opened
        self.mounts = {"/dev/shm": Filesystem("/dev/shm")}
        self.inodes = self.objects = 0          # numbers given so far
        self.trace = Trace()
        self.tracing, self.busy = bool(trace), False
        self.events: list[Event] | None = None
        self.registered: list[Task] = []        # every task ever made
        self.calls: list[Call] = []             # what was called, for branch

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

    def snapshot(self) -> Snapshot:
        """The whole state, frozen."""
        return snapshot(self)

    def branch(self, n: int) -> "Machine":
        """A fresh machine in the state after ``trace[n]``, to go on differently from there."""
        if not 0 <= number("n", n) < len(self.trace):
            steps = f"0 to {len(self.trace) - 1}" if self.trace else "which has none"
            raise ValueError(f"n is a step of the trace, {steps}, not {n}")
        other = Machine(**self._options)
        replay(other, self.calls[:n + 1], self.trace)
        return other

    # tasks ---------------------------------------------------------------------------------
    @call
    def spawn(self, name: str | None = None) -> Task:
        """A process with an empty address space."""
        name = self.free_name(name, "task")
        return self.add(Task(self, name, self.new_mm(name), 0, []))

    def free_name(self, name: str | None, stem: str) -> str:
        """*name* if no living task has it, or the next free *stem*.N; ValueError."""
        taken = self.names()
        if name is None:
            return next(f"{stem}.{n}" for n in range(1, len(taken) + 2)
                        if f"{stem}.{n}" not in taken)
        if not isinstance(name, str) or not name:
            raise ValueError(f"a name is a non-empty str, not {name!r}")
        if name in taken:
            raise ValueError(f"a living task is already called {name!r}")
        return name

    def new_mm(self, name: str) -> MM:
        while name in self.mm_names:
            name += "'"                 # another mm kept the name, after exec or from a thread
        mm = MM(name, self.tables, self.tables.alloc(self.geometry.levels, name))
        self.mm_names.add(name)
        return mm

    def names(self) -> set[str]:
        """Of the living tasks."""
        return self._names

    def mms(self) -> list[MM]:
        """The address spaces of the living tasks, each once, then the hosts of msharefs."""
        return list({task.mm: None for task in self.tasks} | self.hosts)

    def put_mm(self, mm: MM) -> None:
        """One user of *mm* fewer (mmput)."""
        mm.users -= 1
        if not mm.users:
            exit_mmap(self, mm)

    def anonymous_object(self, length: int, huge: bool) -> File:
        """For mmap: what is behind a mapping that is shared, or huge, but of no file."""
        return namespace.anonymous_object(self, length, huge)

    def register(self, task: Task) -> int:
        self.registered.append(task)
        return len(self.registered) - 1

    def add(self, task: Task) -> Task:
        self.tasks.append(task)
        self._names.add(task.name)
        return task

    def end(self, task: Task) -> None:
        """*task* is gone; its mm and its files with the last thread (do_exit)."""
        self.tasks.remove(task)
        self._names.remove(task.name)
        task.alive = False
        if not any(other.files is task.files for other in self.tasks):
            for file in task.files:
                file.holders -= 1
                if not file.holders:
                    file.release()
        for region in [host.region for host in self.hosts if host.region.owner is task]:
            region.owner_exits()
        self.put_mm(task.mm)

    def oom_kill(self, reason: str) -> None:
        """End the task with most memory, the youngest of equals, and its threads
        (out_of_memory)."""
        def badness(task):
            return task.rss + task.mm.nr_tables * self.geometry.page_size
        victim = max(reversed(self.tasks), key=badness)
        self.emit("oom", victim.name, reason)
        for task in [t for t in self.tasks if t.mm is victim.mm]:
            task.killed = reason
            self.end(task)

    # files ---------------------------------------------------------------------------------
    @call
    def mount(self, fstype: str, path: str, **options) -> None:
        """mount(2) of "tmpfs", "ext4", "hugetlbfs" or "msharefs" (version=2022 or 2025); ENODEV for
        what this kernel does not have."""
        namespace.mount(self, fstype, path, options)

    @call
    def open(self, path: str, flags: int = O_RDWR | O_CREAT, mode: int = 0o600) -> File:
        """open(2) by the machine: closed only by File.close()."""
        return namespace.open_file(self, path, number("flags", flags))

    @call
    def memfd(self, name: str, size: int = 0) -> File:
        """memfd_create(2) and ftruncate to *size* bytes."""
        if not isinstance(name, str) or "\0" in name:
            raise ValueError(f"a name is a str without NUL, not {name!r}")
        if number("size", size) < 0:
            raise ValueError(f"size is not negative, but {size} was given")
        return namespace.memfd(self, name, size)

    @call
    def unlink(self, path: str) -> None:
        """unlink(2): the name goes; the file with its last user."""
        namespace.unlink(self, path)

    @call
    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """mkdir(2)"""
        namespace.mkdir(self, path)

    @call
    def rename(self, old: str, new: str) -> None:
        """rename(2) of a file; what had the new name is unlinked."""
        namespace.name_again(self, old, new, keep=False)

    @call
    def link(self, old: str, new: str) -> None:
        """link(2): a second name; EEXIST if it is taken."""
        namespace.name_again(self, old, new, keep=True)

    @call
    def drop_caches(self) -> None:
        """Forget the clean pages of disk files that nobody maps (/proc/sys/vm/drop_caches)."""
        for inode in [i for fs in self.mounts.values() for i in fs.files()]:
            for index, folio in sorted(inode.mapping.pages.items()):
                if inode.mapping.on_disk and not folio.dirty and not folio.mapcount:
                    inode.mapping.drop(index)

    # memory --------------------------------------------------------------------------------
    @property
    def flush_sharers(self) -> bool:
        """False: a change to a shared table flushes the TLBs of the caller's mm alone."""
        return self._flush_sharers

    @flush_sharers.setter
    def flush_sharers(self, all_of_them: bool) -> None:
        self._set_flush_sharers(bool(all_of_them))

    @call
    def _set_flush_sharers(self, all_of_them: bool) -> None:
        self._flush_sharers = all_of_them
        if not all_of_them:             # what a CPU was not told may hit in a row: never by the row
            self.tables.bulk = False

    @call
    def shrink(self) -> int:
        """Free the cached page tables that nobody uses; how many were freed."""
        return shrink_tables(self)

    @call
    def reclaim(self, pages: int) -> int:
        """Take up to *pages* clean pages of disk files from whoever maps them; how many."""
        if number("pages", pages) < 0:
            raise ValueError(f"pages is not negative, but {pages} was given")
        return reclaim(self, pages)

    def _shortage(self) -> bool:
        """Memory is short: give back what can be had again later."""
        return bool(shrink_tables(self) or reclaim(self, 1))

    def rmap(self, pfn: int) -> tuple[tuple[RmapRow, ...], tuple[str, ...]]:
        """(the mappings that reach frame *pfn*, what the walk had to visit)."""
        if number("pfn", pfn) == ZERO_PFN or not self.memory.holds(pfn):
            raise ValueError(f"frame {pfn} holds no page")
        return rows(self, self.memory.folio(pfn))

    # for a notebook ------------------------------------------------------------------------
    def _repr_mimebundle_(self, include=None, exclude=None):
        """Narration and picture of the last step (views are imported only here)."""
        from .views.still import bundle
        return bundle(self)

    def __repr__(self) -> str:
        names = ", ".join(t.name for t in self.tasks) or "nobody"
        return f"<Machine {self.geometry}: {names}; {self.table_count} tables>"

    # figures -------------------------------------------------------------------------------
    @property
    def table_count(self) -> int:
        """Page tables, each once, top-level ones left out."""
        return sum(self.tables.counts[:self.geometry.levels])

    @property
    def counters(self) -> MappingProxyType:
        """What has happened so far; table_bytes is the bytes of `table_count` tables now."""
        return MappingProxyType(self.count | {
            "tables_allocated": self.tables.allocated, "tables_freed": self.tables.freed,
            "table_bytes": self.table_count * self.geometry.page_size})
