"""What a reader sees before anything was run: a picture with its alternative text, and words.

A notebook that was not run is not trusted: JupyterLab then shows neither SVG nor widgets.  An
image within HTML is shown, and keeps its alternative text, which `image/png` loses.
"""

import base64
from html import escape

from ..trace import Step
from .dot import render, state_dot
from .graph import Graph
from .seen import alternative
from .state import State, state
from .svg import still_svg
from .text import describe, summary
from .union import union


def bundle(shown) -> dict[str, str]:
    """The MIME bundle of a machine or a step: narration, picture, and the picture as text.

    >>> from mmlib import Machine, TINY
    >>> m = Machine(TINY); a = m.spawn("a"); print(bundle(m)["text/plain"])
    spawn('a') -> <Task a>
    A process with an empty address space: a top-level table, and nothing in it.
    a: 0 page tables below the top one
      PGD 2
    """
    if isinstance(shown, Step):
        step, now = shown, shown.after
    else:
        step, now = shown.trace[-1] if shown.trace else None, shown.snapshot()
    graph = union([now])
    head = "" if step is None else step.action + step.outcome
    what = "" if step is None else summary(step)
    told = describe(now)
    return {"text/plain": "\n".join(filter(None, [head, what, told])),
            "text/html": figure(graph, state(graph, now, step=step), alternative(now), head, what)}


def figure(graph: Graph, shown: State, alt: str, head: str, what: str) -> str:
    """An HTML figure: the image, drawn by Graphviz or else by us, and a caption."""
    kind, data = image(graph, shown)
    caption = f"<code>{escape(head)}</code> {escape(what)}" if head else escape(what)
    return (f'<figure style="margin:0"><img width="{graph.width}" alt="{escape(alt)}" '
            f'src="data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}">'
            f"<figcaption>{caption}</figcaption></figure>")


def image(graph: Graph, shown: State) -> tuple[str, bytes]:
    png = render(state_dot(graph, shown))
    if png is not None:
        return "png", png
    return "svg+xml", still_svg(graph, shown).encode("utf-8", "backslashreplace")


