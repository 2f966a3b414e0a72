"""The union of all states that a picture will show, and in which column everything belongs.

Lanes stand side by side: the zero page and the files first, then the regions of msharefs, then one
lane a process, its tables in the order of the addresses that they translate, its pages below.  An
edge that leaves its lane is sharing.

A table lies in the lane of what it was made for, which is known when it is born: a file's lane if
the policy published it, else its process's.  Where something stands gives no answer away.
"""

from collections import Counter
from collections.abc import Sequence

from ..geometry import PRESENT, entry_pfn
from ..memory import ZERO_PFN
from ..trace import FrameState, Snapshot, TableState
from ..vma import VM_SHARED_PT
from .fold import groups, times
from .graph import (
    Graph,
    Lane,
    Node,
    edge_id,
    file_label,
    frame_id,
    is_link,
    short,
    table_id,
    task_id,
)
from .place import place

# How much is drawn.  What has no room is told by the text of the picture.
CELLS = 3                               # of a table that has more entries than fit
PROCESSES, FILES = 6, 6                 # lanes
ROOM = {"task": 6, "file": 1, "table": 8, "frame": 20}  # of one lane, tables of each level


def union(states: Sequence[Snapshot]) -> Graph:
    """The graph that has a place for everything in *states*, which share one geometry.

    >>> from mmlib import Machine, TINY
    >>> m = Machine(TINY); a = m.spawn("a")
    >>> list(union([s.after for s in m.trace]).nodes)
    ['k2_1/a', 't2_1']
    """
    builder = Builder(states)
    for state in states:
        builder.add(state)
    for state in states:                # every lane and table is known now
        builder.connect(state)
    for state in states:                # every page that is mapped has had its chance
        builder.add_cached(state)
    graph = builder.graph
    graph.missing += [f"some {what}" for kind, what in
                      (("task", "threads"), ("table", "tables"), ("frame", "pages"))
                      if kind in builder.full]
    place(graph, states[-1].geometry.levels if states else 4)
    return graph


class Builder:
    """Reads the states one by one, and remembers what it has seen."""

    def __init__(self, states: Sequence[Snapshot]):
        self.graph = Graph()
        self.lane_of: dict = {}         # "zero", a file's name, or the root of an mm -> lane
        self.cells = used_cells(states)
        self.full: set[str] = set()     # kinds of nodes for which there was no room
        self.count = Counter()          # nodes by lane, kind and level
        frames = [f for s in states for f in s.frames]
        if any(f.pfn == ZERO_PFN for f in frames):
            self.add_lane("zero", "zero", "")
        files = {v.backing: None for s in states for m in s.mms for v in m.vmas
                 if v.backing != "anon" and not v.flags & VM_SHARED_PT}
        files |= {f.file: None for f in frames if f.kind == "file"}
        files |= {t.owner: None for s in states for t in s.tables if t.published}
        hosts = {m.root: m.name for s in states for m in s.hosts}
        mms = {}
        for each in (group for s in states for group in groups(s)):
            if each[0].root not in hosts:
                mms.setdefault(each[0].root, each[0].name + times(len(each)))
        for name in list(files)[:FILES]:
            self.add_lane(name, "file", name)
        for root, name in list(hosts.items())[:FILES]:
            self.add_lane(root, "host", name)
        for number, (root, name) in enumerate(list(mms.items())[:PROCESSES]):
            self.add_lane(root, "mm", name, number)
        for left, what in ((len(mms) - PROCESSES, "address space"), (len(files) - FILES, "file"),
                           (len(hosts) - FILES, "region")):
            if left > 0:
                self.graph.missing.append(f"{left} {what}{'s' * (left > 1)}")

    def add_lane(self, key, kind: str, name: str, colour: int = -1) -> None:
        self.lane_of[key] = len(self.graph.lanes)
        self.graph.lanes.append(Lane(kind, name, colour))

    def add(self, state: Snapshot) -> None:
        """Tasks, files and tables of *state*."""
        roots = {m.name: m.root for m in state.mms}
        by_pfn = {t.pfn: t for t in state.tables}
        like = {each[0].root: len(each) for each in groups(state)}
        threads = Counter(task.mm for task in state.tasks)
        for task in state.tasks:
            root, many = roots[task.mm], 1
            if state.folded:            # one stands for the threads of all mms that are alike
                many = like.get(root, 1) * threads.pop(task.mm, 0)
            if root in self.lane_of and many:
                self.node(task_id(task.name, root), "task",
                          short(task.name, 11 if many == 1 else 5) + times(many),
                          self.lane_of[root])
        for lane, it in enumerate(self.graph.lanes):
            if it.kind in ("file", "host"):
                self.node(f"m{lane}", "file", file_label(it.name), lane)
        for root in [m.root for m in (*state.hosts, *state.mms)]:
            if root in self.lane_of:
                self.add_tables(state, by_pfn, by_pfn[root[0]], self.lane_of[root])
        for table in state.tables:
            if table.published and not table.users and table.owner in self.lane_of:
                self.add_tables(state, by_pfn, table, self.lane_of[table.owner])

    def node(self, name: str, kind: str, label: str, lane: int, level: int = 0, *more) -> bool:
        """Give it a place, unless its row is full; is it there?"""
        if name not in self.graph.nodes:
            if self.count[lane, kind, level] == ROOM[kind]:
                self.full.add(kind)
                return False
            self.count[lane, kind, level] += 1
            self.graph.nodes[name] = Node(name, kind, label, lane, level, *more)
        return True

    def add_tables(self, state: Snapshot, by_pfn: dict[int, TableState], top: TableState,
                   lane: int) -> None:
        """*top* and what it leads to by cells that are drawn, in the order of addresses.

        A table lies in *lane* if what it was made for has none (any more)."""
        roots, stack = {m.name: m.root for m in state.mms}, [(top, ())]
        while stack:
            table, path = stack.pop()
            own = self.lane_of.get(table.owner if table.published else roots.get(table.owner))
            name, cells = table_id(table), self.cells[table_id(table)]
            label = f"{state.geometry.level_name(table.level)} {table.pfn}"
            if table.count > 1:         # the row says more than the number of its first frame
                label = f"{table.count:,} {state.geometry.level_name(table.level)}"
            if self.node(name, "table", label, lane if own is None else own, table.level, path,
                         cells):
                below = [(index, by_pfn[entry_pfn(entry)]) for index, entry in table.entries
                         if index in cells and is_link(table.level, entry)]
                # Of two sets for one range, all of the older stands first.
                stack += [(child, (*path, index, *[child.birth] * (child.published
                                                                   and not table.published)))
                          for index, child in reversed(below)]

    def connect(self, state: Snapshot) -> None:
        """Pages of *state*, and every edge whose ends are drawn."""
        tables, frames = {t.pfn: t for t in state.tables}, {f.pfn: f for f in state.frames}
        roots = {m.name: m.root for m in state.mms}
        for task in state.tasks:
            if (root := roots[task.mm]) in self.lane_of:
                self.edge(task_id(task.name, root), None, table_id(tables[root[0]]))
        for host in state.hosts:
            if host.root in self.lane_of:
                self.edge(f"m{self.lane_of[host.root]}", None, table_id(tables[host.root[0]]))
        for table in state.tables:
            if table_id(table) not in self.graph.nodes:
                continue
            if table.published and table.owner in self.lane_of:
                self.edge(f"m{self.lane_of[table.owner]}", None, table_id(table))
            for index, entry in table.entries:
                if index not in self.cells[table_id(table)]:
                    continue
                if is_link(table.level, entry):
                    self.edge(table_id(table), index, table_id(tables[entry_pfn(entry)]))
                elif entry & PRESENT:
                    frame = frames[entry_pfn(entry)]
                    self.add_frame(frame, self.graph.nodes[table_id(table)])
                    self.edge(table_id(table), index, frame_id(frame))

    def add_frame(self, frame: FrameState, table: Node | None = None) -> None:
        """A page: a file's in the file's lane, any other where it was first seen."""
        lane = table.lane if frame.kind == "anon" else \
            self.lane_of.get(frame.file if frame.kind == "file" else "zero")
        if lane is not None:
            label = "zero" if frame.kind == "zero" else \
                f"{frame.count:,} pages" if frame.count > 1 else str(frame.pfn)
            self.node(frame_id(frame), "frame", label, lane, 0, (frame.index,), (),
                      frame.count > 1)

    def add_cached(self, state: Snapshot) -> None:
        """Pages of the page cache that nobody maps, where there is room."""
        for frame in state.frames:
            if frame.kind == "file":
                self.add_frame(frame)

    def edge(self, start: str, cell: int | None, end: str) -> None:
        if start in self.graph.nodes and end in self.graph.nodes:
            self.graph.edges.setdefault(edge_id(start, cell, end), (start, cell, end))


def used_cells(states: Sequence[Snapshot]) -> dict[str, tuple[int | None, ...]]:
    """For each table the entries that get a cell: all four of a small one; of a large one those
    that are ever used, and one cell that counts the others where there are too many."""
    used: dict[str, dict[int, None]] = {}
    for state in states:
        for table in state.tables:
            used.setdefault(table_id(table), {}).update(
                dict.fromkeys(i for i, _ in table.entries[:CELLS + 1]))    # more say no more
    entries = states[-1].geometry.entries if states else 4
    if entries <= 4:
        return {name: tuple(range(entries)) for name in used}
    out = {}
    for name, indices in used.items():
        shown = sorted(indices)
        out[name] = tuple(shown or [0]) if len(shown) <= CELLS else (*shown[:CELLS - 1], None)
    return out
