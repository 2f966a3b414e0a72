"""A graph as SVG: drawn once, for all states; a state then changes classes and texts only.

The live picture is `union_svg`; what is to be seen of it is a matter of stepper.css.  `still_svg`
is one state by itself, for where there is no Graphviz.
"""

from html import escape

from .graph import CELL_H, FRAME_H, HEADER_H, PILL_H, PILL_W, Graph, Node
from .state import State

# For stills: the light colours of stepper.css, on white.
STILL_STYLE = """
.mm-graph{background:#fff;font:11px Helvetica,Arial,sans-serif}
.mm-graph text{fill:#222;text-anchor:middle}.mm-graph .head{font-weight:bold;text-anchor:start}
.mm-graph .many{font-weight:bold;text-anchor:end}.mm-graph rect{fill:#fff;stroke:#222}
.mm-graph path{fill:none;stroke:#222}.mm-graph .again,.mm-graph .table>.box{fill:none}
.mm-graph .paper{stroke:none}.mm-graph .cell rect{stroke:#888}
.c0 .box,path.c0{stroke:#0072B2}.c1 .box,path.c1{stroke:#B84A00}.c2 .box,path.c2{stroke:#00795A}
.c3 .box,path.c3{stroke:#7A3E9D}path.c1{stroke-dasharray:6 2}path.c2{stroke-dasharray:2 2}
path.c3{stroke-dasharray:8 2 2 2}path.c4{stroke-dasharray:12 3}path.c5{stroke-dasharray:4 4}
.mm-graph .walk rect{fill:#f5e642}.mm-graph path.walk{stroke-width:3}
.mm-graph .hot .box{stroke:#A8005C;stroke-width:3}
.mm-graph .cell.hot rect{stroke:#A8005C;stroke-width:5;clip-path:inset(0) fill-box}
"""


DIFFERS = '<text class="differs" x="-7" y="2">&#8800;</text>'


def union_svg(graph: Graph, differs: bool = False) -> str:
    """The whole union, nothing of it "on"; every element that can change has a data-id.  With
    *differs* every box has a mark, to be seen where it differs from another picture's."""
    mark = DIFFERS if differs else ""
    return wrap(graph, [*(edge(graph, name) for name in graph.edges),
                        *(draw(graph, node, {}, mark) for node in graph.nodes.values())])


def still_svg(graph: Graph, shown: State) -> str:
    """What *shown* has, and nothing else.

    >>> from mmlib import Machine, TINY
    >>> from mmlib.views.union import union
    >>> from mmlib.views.state import state
    >>> m = Machine(TINY); a = m.spawn("<a>"); now = m.snapshot(); graph = union([now])
    >>> "&lt;a&gt;" in still_svg(graph, state(graph, now))
    True
    """
    return wrap(graph, [
        f"<style>{STILL_STYLE}</style>",
        *(edge(graph, name, shown) for name in graph.edges if name in shown),
        *(draw(graph, node, shown) for node in graph.nodes.values() if node.id in shown)])


def wrap(graph: Graph, parts: list[str]) -> str:
    note = graph.note and f'<text class="head" x="10" y="{graph.height - 8}">{graph.note}</text>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="mm-graph" width="{graph.width}" '
            f'height="{graph.height}" viewBox="0 0 {graph.width} {graph.height}">'
            f'{"".join(parts)}{note}</svg>')


def colour(graph: Graph, node: Node) -> str:
    """The class of the colour and dashes of a node's lane; files and the zero page are neutral."""
    number = graph.lanes[node.lane].colour
    return "cn" if number < 0 else f"c{number}"


def tag(name: str, classes: str, shown: State) -> str:
    more = " ".join(sorted(shown[name][0])) if name in shown else ""
    return f'data-id="{escape(name)}" class="{classes}{" " if more else ""}{more}"'


def draw(graph: Graph, node: Node, shown: State, mark: str = "") -> str:
    """A box with its texts; "many" is how many entries point to it, where that is more than one."""
    (w, h), many = node.size, shown.get(node.id, ("", ""))[1]
    again = shown and "shared" in shown.get(node.id, ((), ""))[0]
    body = {"table": table, "frame": frame}.get(node.kind, pill)(node, many, shown)
    double = f'<rect class="again" x="-3" y="-3" width="{w + 6}" height="{h + 6}" rx="4"/>'
    if node.kind != "table" or shown and not again:
        double = ""
    return (f'<g {tag(node.id, f"n {node.kind} {colour(graph, node)}", shown)} '
            f'transform="translate({node.x:g} {node.y:g})">{double}{body}{mark}</g>')


def table(node: Node, many: str, shown: State) -> str:
    (whole, height), width, cells = node.size, node.cell_width, []
    for i, index in enumerate(node.cells):
        name = f"{node.id}.{index}"
        text = escape(shown.get(name, ("", ""))[1])
        cells.append(f'<g {tag(name, "cell", shown)}><rect x="{i * width:g}" y="{HEADER_H}" '
                     f'width="{width:g}" height="{CELL_H}"/><text x="{(i + .5) * width:g}" '
                     f'y="{HEADER_H + 13}">{text}</text></g>')
    box = f'width="{whole}" height="{height}" rx="2"/>'
    return (f'<rect class="paper" {box}{"".join(cells)}<rect class="box" {box}'    # over its cells
            f'<text class="head" x="4" y="13">{escape(node.label)}</text>'
            f'<text class="many" x="{whole - 5}" y="13">{escape(many)}</text>')


def frame(node: Node, many: str, shown: State) -> str:
    name = f"{node.id}.0"
    text, width = escape(shown.get(name, ("", ""))[1]), node.size[0]
    return (f'<rect class="box" width="{width}" height="{FRAME_H}" rx="2"/>'
            f'<text class="head" x="4" y="12">{escape(node.label)}</text>'
            f'<text class="many" x="{width - 4}" y="12">{escape(many)}</text>'
            f'<g {tag(name, "data", shown)}><text x="{width / 2:g}" y="26">{text}</text></g>')


def pill(node: Node, many: str, shown: State) -> str:
    return (f'<rect class="box" width="{PILL_W}" height="{PILL_H}" rx="{PILL_H / 2:g}"/>'
            f'<text class="name" x="{PILL_W / 2:g}" y="16">{escape(node.label)}</text>')


def edge(graph: Graph, name: str, shown: State | None = None) -> str:
    """A curve from a cell down to the box that its entry points to, with a head."""
    (x0, y0), (x1, y1) = ends(graph, name)
    source = graph.nodes[graph.edges[name][0]]
    bend = max(min((y1 - y0) / 2, 26), 10)
    path = (f"M{x0:g} {y0:g}C{x0:g} {y0 + bend:g} {x1:g} {y1 - bend:g} {x1:g} {y1:g}"
            "m-3 -5l3 5l3 -5")
    kind = " keeps" if source.kind == "file" else ""
    return f'<path {tag(name, f"e {colour(graph, source)}{kind}", shown or {})} d="{path}"/>'


def ends(graph: Graph, name: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an edge begins and where it ends."""
    start, cell, end = graph.edges[name]
    source, target = graph.nodes[start], graph.nodes[end]
    across = source.size[0] / 2 if cell is None else \
        (source.cells.index(cell) + .5) * source.cell_width
    return ((source.x + across, source.y + source.size[1]),
            (target.x + target.size[0] / 2, target.y))
