"""What is drawn, and where: the union of all states that a picture will show.

A `Graph` is made once, from every snapshot that will be stepped through, so that a node has one
place and keeps it.  Lanes stand side by side: the zero page and the files first, then the regions
of msharefs, then one lane a process, its tables in the order of the addresses that they translate,
its pages below.  An edge that leaves its lane is sharing.

A table lies in the lane of what it was made for, which is known when it is born: a file's lane if
the policy published it, else its process's.  Where something stands gives no answer away.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..geometry import PRESENT, PS, entry_pfn
from ..memory import ZERO_PFN
from ..trace import FrameState, Snapshot, TableState
from ..vma import VM_SHARED_PT

# Pixels.  Every box has a fixed size, so that no font and no renderer moves anything.
TABLE_W, WIDE_W, HEADER_H, CELL_H = 104, 144, 17, 18     # wide: cells that tell their index
TABLE_H = HEADER_H + CELL_H
FRAME_W, FRAME_H, FRAME_GAP, FRAMES_A_ROW = 54, 32, 14, 4
PILL_W, PILL_H = 72, 24
GAP, LANE_GAP, ROW, MARGIN = 12, 34, 64, 10
DROP = 18                               # more room above the pages, where sharing is to be seen
TOP = MARGIN + PILL_H + 24              # of the top-level tables

# How much is drawn.  What has no room is told by the text of the picture.
CELLS = 3                               # of a table that has more entries than fit
PROCESSES, FILES = 6, 6                 # lanes
ROOM = {"task": 6, "file": 1, "table": 8, "frame": 20}  # of one lane, tables of each level


@dataclass
class Node:
    """One box: a "task", a "file", a "table" or a "frame".

    *x, y* is its upper left corner.  *cells* are the entries of a table that have a cell; None is
    the cell that counts all others.
    """

    id: str
    kind: str
    label: str
    lane: int
    level: int = 0
    path: tuple = ()                    # order within a lane: indices on the way, page of a file
    cells: tuple[int | None, ...] = ()
    x: float = 0
    y: float = 0

    @property
    def size(self) -> tuple[int, int]:
        if self.kind == "table":
            return TABLE_W if self.all_cells else WIDE_W, TABLE_H
        return (FRAME_W, FRAME_H) if self.kind == "frame" else (PILL_W, PILL_H)

    @property
    def all_cells(self) -> bool:
        """Has every entry of this table a cell?"""
        return self.cells == (0, 1, 2, 3)

    @property
    def cell_width(self) -> float:
        return self.size[0] / len(self.cells)


@dataclass
class Lane:
    """A column: *kind* is "zero", "file", "host" (the mm of a region) or "mm"; *colour* counts the
    mms of processes from 0, -1 is neutral."""

    kind: str
    name: str
    colour: int = -1


@dataclass
class Graph:
    """Nodes and edges of the union, by id, in the order in which they appeared.

    An edge is (from, cell or None, to): its id is "from.cell>to".
    """

    lanes: list[Lane] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[str, tuple[str, int | None, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)    # what has no room, in words
    width: int = 0
    height: int = 0

    def in_lane(self, lane: int, kind: str) -> list[Node]:
        return [n for n in self.nodes.values() if n.lane == lane and n.kind == kind]

    @property
    def note(self) -> str:
        """What is to be written below the picture."""
        return f"Not drawn: {', '.join(self.missing)}." if self.missing else ""


def table_id(table: TableState) -> str:
    return f"t{table.pfn}_{table.birth}"


def frame_id(frame: FrameState) -> str:
    return f"f{frame.pfn}_{frame.birth}"


def task_id(name: str, root: tuple[int, int]) -> str:
    """A task within one mm: exec gives it another box.

    Only letters and digits stand for themselves; "." and ">" mean something in the other ids.

    >>> task_id("a", (2, 1)), task_id("a.1", (2, 1))
    ('k2_1/a', 'k2_1/a_2e_1')
    """
    return f"k{root[0]}_{root[1]}/" + "".join(
        c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in name)


def plain(name: str) -> str:
    """A name on one line: what is not printable is escaped as in Python.

    >>> print(plain("two\\nlines"))
    two\\nlines
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
                   for c in name)


def short(name: str, most: int = 11) -> str:
    """A name that fits into a box.

    >>> short("postgres: writer")
    'postgres:..'
    """
    name = plain(name)
    return name if len(name) <= most else name[:most - 1].rstrip() + ".."


def file_label(name: str) -> str:
    """A file is called by the end of its path.

    >>> file_label("/memfd:db (deleted)"), file_label("/dev/shm/log"), file_label("shm0")
    ('db', 'log', 'shm0')
    """
    name = name.removesuffix(" (deleted)")
    return short(name.removeprefix("/memfd:") if name.startswith("/memfd:")
                 else name.rpartition("/")[2] or name)


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
        mms = {m.root: m.name for s in states for m in s.mms if m.root not in hosts}
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
        for task in state.tasks:
            root = roots[task.mm]
            if root in self.lane_of:
                self.node(task_id(task.name, root), "task", short(task.name), self.lane_of[root])
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
            root = roots[task.mm]
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
            label = "zero" if frame.kind == "zero" else str(frame.pfn)
            self.node(frame_id(frame), "frame", label, lane, 0, (frame.index,))

    def add_cached(self, state: Snapshot) -> None:
        """Pages of the page cache that nobody maps, where there is room."""
        for frame in state.frames:
            if frame.kind == "file":
                self.add_frame(frame)

    def edge(self, start: str, cell: int | None, end: str) -> None:
        if start in self.graph.nodes and end in self.graph.nodes:
            self.graph.edges.setdefault(edge_id(start, cell, end), (start, cell, end))


def edge_id(start: str, cell: int | None, end: str) -> str:
    """
    >>> edge_id("t2_1", 0, "t3_2"), edge_id("k2_1/a", None, "t2_1")
    ('t2_1.0>t3_2', 'k2_1/a>t2_1')
    """
    return f"{start}>{end}" if cell is None else f"{start}.{cell}>{end}"


def is_link(level: int, entry: int) -> bool:
    """Does the entry of a table of *level* point to a table?"""
    return level > 1 and bool(entry & 1) and not entry & PS


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


def place(graph: Graph, levels: int) -> None:
    """Give every node its corner, lane by lane, from the leaves up; and the graph its size."""
    x, depth = MARGIN, 0
    for number in range(len(graph.lanes)):
        rows = [sorted((t for t in graph.in_lane(number, "table") if t.level == level),
                       key=lambda t: t.path) for level in range(1, levels + 1)]
        frames = sorted(graph.in_lane(number, "frame"), key=lambda f: f.path)
        heads = graph.in_lane(number, "task") + graph.in_lane(number, "file")
        right = x + max(width_of(rows, frames, heads), PILL_W)
        for level, row in enumerate(rows, 1):
            right = max(right, place_row(graph, row, x, TOP + (levels - level) * ROW))
        for i, frame in enumerate(frames):
            frame.x = x + i % FRAMES_A_ROW * (FRAME_W + 6)
            frame.y = TOP + levels * ROW + DROP + i // FRAMES_A_ROW * (FRAME_H + FRAME_GAP)
            depth = max(depth, i // FRAMES_A_ROW + 1)
        top = next(filter(None, reversed(rows)), None)      # of the tables, the highest row
        centre = (top[0].x + top[-1].x + top[-1].size[0]) / 2 if top else (x + right) / 2
        start = max(centre - (len(heads) * (PILL_W + 6) - 6) / 2, x)
        for i, head in enumerate(heads):
            head.x, head.y = start + i * (PILL_W + 6), MARGIN
            right = max(right, head.x + PILL_W)
        x = right + LANE_GAP
    graph.width = round(max(x - LANE_GAP, PILL_W) + MARGIN)
    graph.height = (TOP + levels * ROW + DROP + max(depth, 1) * (FRAME_H + FRAME_GAP)
                    + (22 if graph.missing else 0))


def width_of(rows: list[list[Node]], frames: list[Node], heads: list[Node]) -> float:
    """The room that a lane needs at least."""
    tables = max((sum(t.size[0] + GAP for t in row) for row in rows), default=0)
    return max(tables - GAP, min(len(frames), FRAMES_A_ROW) * (FRAME_W + 6) - 6,
               len(heads) * (PILL_W + 6) - 6)


def place_row(graph: Graph, row: list[Node], x: float, y: float) -> float:
    """Tables of one level: each over its own children in the lane; the right end of the row."""
    for table in row:
        below = [graph.nodes[end] for start, _, end in graph.edges.values() if start == table.id]
        own = [n.x for n in below if n.lane == table.lane and n.kind == "table"]
        table.x, table.y = max(sum(own) / len(own), x) if own else x, y
        x = table.x + table.size[0] + GAP
    return x - GAP
