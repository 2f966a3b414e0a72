"""A state as DOT, for Graphviz, with every box pinned to its place: `neato -n2` draws it.

Cells have fixed sizes and no text sets one, so that two renderers give the same picture.
"""

from html import escape
from pathlib import Path

from ..renderer import find_renderer
from ..trace import Snapshot
from .graph import (
    CELL_H,
    FRAME_H,
    HEADER_H,
    PILL_H,
    PILL_W,
    Graph,
    Node,
    short,
)
from .state import State, state
from .svg import ends
from .union import union

NEUTRAL, HOT, WALK = "#222222", "#A8005C", "#F5E642"
COLOURS = ("#0072B2", "#B84A00", "#00795A", "#7A3E9D", NEUTRAL, NEUTRAL)   # of the mms
DASHES = ("solid", "dashed", "dotted", "dashed", "dashed", "dotted")
DPI = 144                               # of a PNG: twice a pixel of the graph, for sharp text
POINTS = 0.75                           # of a pixel


def dot(now: Snapshot) -> str:
    """The DOT source of the picture of *now*.

    >>> from mmlib import Machine, TINY
    >>> m = Machine(TINY); a = m.spawn("a"); print(dot(m.snapshot())[:9])
    digraph {
    """
    graph = union([now])
    return state_dot(graph, state(graph, now))


def state_dot(graph: Graph, shown: State) -> str:
    """The DOT source of one state of a graph; y grows upwards there."""
    size = graph.width * POINTS, graph.height * POINTS
    lines = ["digraph {",
             f'  graph [bgcolor=white dpi={DPI} splines=true outputorder=edgesfirst bb="0,0,{size[0]:g},{size[1]:g}"]',
             "  node [shape=plain fontname=Helvetica fontsize=8]",
             "  edge [arrowsize=0.45]",
             # Without corners a renderer crops to what this state shows, and pictures slide.
             "  bb0 [pos=\"0,0\" shape=point width=0.01 style=invis]",
             f'  bb1 [pos="{size[0]:g},{size[1]:g}" shape=point width=0.01 style=invis]']
    lines += [f"  {quote(n.id)} [{pin(graph, n)} label=<{label(graph, n, shown)}>]"
              for n in graph.nodes.values() if n.id in shown]
    lines += [f"  {arrow(graph, name, shown)}" for name in graph.edges if name in shown]
    if graph.missing:
        lines.append(f'  note [pos="{(10 + 3 * len(graph.note)) * POINTS:g},9" shape=plaintext '
                     f'label={quote(graph.note)}]')
    return "\n".join([*lines, "}"])


def quote(name: str) -> str:
    """A DOT string.

    >>> print(quote('say "hi"'))
    "say \\"hi\\""
    """
    return '"' + ascii_only(name).replace("\\", "\\\\").replace('"', '\\"') + '"'


def ascii_only(text: str) -> str:
    """Renderers differ in the fonts that they bring: other characters are spelled out."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def html(text: str) -> str:
    """Text within an HTML-like label, where a backslash before some letters means something."""
    return escape(ascii_only(text).replace("\\", "\\\\"))


def pin(graph: Graph, node: Node) -> str:
    w, h = node.size
    x, y = node.x + w / 2, graph.height - node.y - h / 2
    return f'pos="{x * POINTS:g},{y * POINTS:g}"'


def paint(graph: Graph, node: Node) -> tuple[str, str]:
    """(colour, dashes) of a node's lane."""
    number = graph.lanes[node.lane].colour
    if number < 0:
        return NEUTRAL, "solid"
    return COLOURS[number], DASHES[number]


def label(graph: Graph, node: Node, shown: State) -> str:
    """An HTML-like table of fixed size."""
    classes, many = shown[node.id]
    colour = HOT if "hot" in classes else paint(graph, node)[0]
    border = 2 if "hot" in classes else 1
    if node.kind in ("task", "file"):
        name = html(short(ascii_only(node.label)))
        return (f'<table border="{border}" cellborder="0" cellspacing="0" cellpadding="0" style="rounded" '
                f'color="{colour}">'
                f'<tr>{cell(PILL_W, PILL_H, f"<b>{name}</b>")}</tr></table>')
    head = f"{html(node.label)}{f' {many}' if many else ''}"
    if node.kind == "frame":
        text = html(shown[f"{node.id}.0"][1])
        return (f'<table border="{border}" cellborder="0" cellspacing="0" cellpadding="0" bgcolor="white" '
                f'color="{colour}"><tr>{cell(node.size[0], FRAME_H / 2, f"<b>{head}</b>")}</tr>'
                f'<tr>{cell(node.size[0], FRAME_H / 2, text)}</tr></table>')
    inner = (f'<table border="{border if border > 1 else 0}" cellborder="1" cellspacing="0" cellpadding="0" '
             f'bgcolor="white" color="{colour}"><tr>'
             f'{cell(node.size[0], HEADER_H, f"<b>{head}</b>", len(node.cells))}</tr>'
             f"<tr>{''.join(entry(node, i, shown) for i in node.cells)}</tr></table>")
    if "shared" in classes:             # a double border
        return (f'<table border="1" cellborder="0" cellspacing="1" cellpadding="0" '
                f'color="{NEUTRAL}"><tr><td>{inner}</td></tr></table>')
    return inner


def entry(node: Node, index: int | None, shown: State) -> str:
    classes, text = shown[f"{node.id}.{index}"]
    text = html(text)
    more = f' bgcolor="{WALK}"' if "walk" in classes else ""
    if "hot" in classes:
        more += f' color="{HOT}" border="2"'
    return cell(node.cell_width, CELL_H, f"<b>{text}</b>" if "hot" in classes and text else text,
                more=more)


def cell(width: float, height: float, text: str, span: int = 1, more: str = "") -> str:
    """One cell; an empty text is a space, or renderers leave the cell out."""
    colspan = f' colspan="{span}"' if span > 1 else ""
    return (f'<td fixedsize="TRUE" width="{width * POINTS:g}" height="{height * POINTS:g}"'
            f'{colspan}{more}>{text or " "}</td>')


def arrow(graph: Graph, name: str, shown: State) -> str:
    """An edge with its own curve: renderers route edges differently."""
    start, _, end = graph.edges[name]
    (x0, y0), (x1, y1) = ends(graph, name)
    y0, y1 = graph.height - y0, graph.height - y1
    bend = max(min((y0 - y1) / 2, 26), 10)
    points = [(x0, y0), (x0, y0 - bend), (x1, y1 + bend), (x1, y1 + 6)]
    spline = " ".join(f"{x * POINTS:g},{y * POINTS:g}" for x, y in points)
    colour, dashes = paint(graph, graph.nodes[start])
    if graph.nodes[start].kind == "file":
        dashes = "dotted"
    width = 2.2 if "walk" in shown[name][0] else 0.9
    return (f'{quote(start)} -> {quote(end)} [pos="e,{x1 * POINTS:g},{y1 * POINTS:g} {spline}" '
            f'color="{colour}" style={dashes} penwidth={width}]')


def render(source: str) -> bytes | None:
    """A PNG of pinned DOT, or None where there is no Graphviz, or none that draws."""
    path = find_renderer()
    if path is None:
        return None
    try:
        import graphviz
        from graphviz.backend import dot_command
    except ImportError:
        return None
    before, dot_command.DOT_BINARY = dot_command.DOT_BINARY, Path(path)
    try:
        png = graphviz.Source(source, engine="neato").pipe(format="png", neato_no_op=2, quiet=True)
    except (OSError, graphviz.ExecutableNotFound, graphviz.CalledProcessError):
        return None                     # what is named does not draw: `doctor` says so
    finally:
        dot_command.DOT_BINARY = before
    return png if png.startswith(b"\x89PNG") else None
