"""Where every box of a graph stands: lane by lane, level by level, decided once for all states."""

from .graph import FRAME_H, PILL_H, PILL_W, Graph, Node

# Pixels.
GAP, LANE_GAP, ROW, MARGIN = 12, 34, 64, 10
FRAME_GAP, FRAMES_A_ROW = 14, 4
DROP = 18                               # more room above the pages, where sharing is to be seen
TOP = MARGIN + PILL_H + 24              # of the top-level tables


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
            if i % FRAMES_A_ROW == 0:
                left = x
            frame.x, left = left, left + frame.size[0] + 6
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
    pages = max((sum(f.size[0] + 6 for f in frames[i:i + FRAMES_A_ROW])
                 for i in range(0, len(frames), FRAMES_A_ROW)), default=0)
    return max(tables - GAP, pages - 6, len(heads) * (PILL_W + 6) - 6)


def place_row(graph: Graph, row: list[Node], x: float, y: float) -> float:
    """Tables of one level: each over its own children in the lane; the right end of the row."""
    for table in row:
        below = [graph.nodes[end] for start, _, end in graph.edges.values() if start == table.id]
        own = [n.x for n in below if n.lane == table.lane and n.kind == "table"]
        table.x, table.y = max(sum(own) / len(own), x) if own else x, y
        x = table.x + table.size[0] + GAP
    return x - GAP
