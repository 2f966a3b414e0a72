"""What is drawn: boxes, edges, and what they are called.

A `Graph` is made once, from every snapshot that will be stepped through (union.py), so that a node
has one place (place.py) and keeps it.
"""

import functools
from dataclasses import dataclass, field

from ..geometry import PS
from ..trace import FrameState, TableState

# Pixels.  Every box has a fixed size, so that no font and no renderer moves anything.
TABLE_W, WIDE_W, HEADER_H, CELL_H = 104, 144, 17, 18     # wide: cells that tell their index
TABLE_H = HEADER_H + CELL_H
FRAME_W, FRAME_H = 54, 32               # a row of pages is as wide as a wide table
PILL_W, PILL_H = 72, 24


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
    row: bool = False                   # a frame that stands for many in a row
    x: float = 0
    y: float = 0

    @property
    def size(self) -> tuple[int, int]:
        if self.kind == "table":
            return TABLE_W if self.all_cells else WIDE_W, TABLE_H
        if self.kind == "frame":
            return WIDE_W if self.row else FRAME_W, FRAME_H
        return PILL_W, PILL_H

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


@functools.lru_cache(1024)
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


def edge_id(start: str, cell: int | None, end: str) -> str:
    """
    >>> edge_id("t2_1", 0, "t3_2"), edge_id("k2_1/a", None, "t2_1")
    ('t2_1.0>t3_2', 'k2_1/a>t2_1')
    """
    return f"{start}>{end}" if cell is None else f"{start}.{cell}>{end}"


def is_link(level: int, entry: int) -> bool:
    """Does the entry of a table of *level* point to a table?"""
    return level > 1 and bool(entry & 1) and not entry & PS
