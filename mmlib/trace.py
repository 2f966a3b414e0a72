"""What happened: frozen snapshots, steps, and the trace that views read.

The machine writes, views read; nothing here knows that it is drawn.  A *Step* is one call: its
events in the order in which they happened, its result, and the whole state after it.  Stepping
back is therefore looking at an earlier element of a list.

A node of a picture is named by ``(pfn, birth)``: frames are handed out lowest first and are
reused, so a frame number alone is no identity.  *birth* counts allocations of the machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .events import Event, one_line
from .geometry import Geometry, entry_pfn


class TaskState(NamedTuple):
    name: str
    mm: str                         # the name of its MMState
    cpu: int


class VMAState(NamedTuple):
    start: int
    end: int
    perms: str                      # "rw-p", as in /proc/PID/maps
    offset: int                     # bytes into the file
    backing: str                    # "anon", a path, "/memfd:NAME (deleted)", "shm0"
    flags: int                      # VM_* bits
    inode: int                      # the file's number; 0 without a file


class MMState(NamedTuple):
    name: str
    root: tuple[int, int]           # node of the top-level table: (pfn, birth)
    vmas: tuple[VMAState, ...]
    tables: int                     # as VmPTE counts
    rss: int = -1                   # bytes, in a folded snapshot; else the entries tell


class TableState(NamedTuple):
    pfn: int
    birth: int
    level: int
    users: int                      # entries that point to it
    owner: str                      # the mm it was made for, or the file that keeps it
    published: bool                 # from its birth on it is the file's (a policy published it)
    entries: tuple[tuple[int, int], ...]    # (index, entry) of every entry that is not empty
    count: int = 1                  # in a folded snapshot: so many alike, and this is the first

    @property
    def node(self) -> tuple[int, int]:
        return self.pfn, self.birth


class FrameState(NamedTuple):
    pfn: int
    birth: int
    kind: str                       # "anon", "file" or "zero"
    file: str                       # the file's backing name, "" for anonymous pages
    index: int                      # page number within the file, or -1
    mapcount: int                   # entries that map it
    head: bytes                     # its first eight bytes
    count: int = 1                  # in a folded snapshot: so many alike, and this is the first

    @property
    def node(self) -> tuple[int, int]:
        return self.pfn, self.birth


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a machine at one moment; tables and frames by frame number.

    That of a machine too large to be told is *folded*: of tables and pages that are alike and in
    a row it has the first, with their count, and of entries in a row the first.
    """

    geometry: Geometry
    tasks: tuple[TaskState, ...]
    mms: tuple[MMState, ...]
    tables: tuple[TableState, ...]
    frames: tuple[FrameState, ...]
    tlbs: tuple[tuple[tuple[str, int, int, bool], ...], ...]   # a CPU: (mm, page, pfn, writable)
    counters: tuple[tuple[str, int], ...]
    folded: bool = False

    @property
    def hosts(self) -> tuple[MMState, ...]:
        """The mms in which no task runs: they are behind the files of msharefs."""
        run = {task.mm for task in self.tasks}
        return tuple(mm for mm in self.mms if mm.name not in run)

    def table_at(self, pfn: int) -> TableState | None:
        return next((t for t in self.tables if t.pfn == pfn), None)

    def walk(self, mm: str, addr: int) -> list[tuple[TableState, int, int]]:
        """(table, index, entry) from the top down to the leaf or the first empty entry."""
        root = {m.name: m.root for m in self.mms}.get(mm)
        if root is None:
            raise ValueError(f"there is no mm {mm!r} now")
        table, path = self.table_at(root[0]), []
        while table is not None:
            index = self.geometry.index(addr, table.level)
            entry = dict(table.entries).get(index, 0)
            path.append((table, index, entry))
            leaf = table.level == 1 or entry & 1 << 7 or not entry & 1
            table = None if leaf else self.table_at(entry_pfn(entry))
        return path


@dataclass(frozen=True, slots=True)
class Step:
    """One call: what was asked, what came of it, what happened, and the state after it.

    *result* is what the call returned, or its exception if it failed, which *error* is too.
    """

    number: int
    actor: str                      # a task's name, or "machine"
    action: str                     # "a.store(0x1000, b'x')"
    result: Any
    error: Exception | None
    events: tuple[Event, ...]
    after: Snapshot
    addr: int | None                # the address that the call is about, if it has one
    mm: str | None                  # the mm that it acted in

    def __repr__(self) -> str:
        lines = [f"{self.number}  {self.action}{self.outcome}"]
        lines += [f"   {e.text}" for e in self.events]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include=None, exclude=None):
        """Narration and picture (views are imported only here)."""
        from .views.still import bundle
        return bundle(self)

    @property
    def call(self) -> str:
        """The name of the method that was called: "store"."""
        return self.action.removeprefix(one_line(self.actor) + ".").partition("(")[0]

    @property
    def outcome(self) -> str:
        """" -> value" or ": the error", in one line; empty when there is nothing to say."""
        if self.error is not None:
            return one_line(f": {self.error}")
        if self.result is None:
            return ""
        shown = hex(self.result) if type(self.result) is int else str(self.result)
        return one_line(f" -> {shown}")


class Trace(Sequence):
    """The steps so far, oldest first; ``trace[-1]`` is the last call."""

    def __init__(self, steps: Sequence[Step] = ()):
        self._steps = list(steps)

    def append(self, step: Step) -> None:
        self._steps.append(step)

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, i):
        return Trace(self._steps[i]) if isinstance(i, slice) else self._steps[i]

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def __repr__(self) -> str:
        return "\n".join(f"{s.number}  {s.action}{s.outcome}" for s in self._steps)
