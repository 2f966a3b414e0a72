"""Curves of sizes against a number: a figure, and the same as a table in words.

Nothing here touches `matplotlib.pyplot` or keeps a setting, so a chart looks the same whatever a
reader has done with matplotlib before, and leaves no trace in what is drawn afterwards.
"""

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .dot import COLOURS, NEUTRAL

INCHES, DPI = (6.4, 3.2), 120        # shown 640 pixels wide, sharp on a fine screen
# Colour is never alone: each curve has its own marker and its own dashes, too.
MARKERS = ("o", "s", "^", "D")
DASHES = ("-", "--", ":", "-.")
UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def size(count: float) -> str:
    """A number of bytes as a person says it.

    >>> size(0), size(4096), size(136 * 1024), size(600 * 2**20), size(943718400000)
    ('0', '4 KiB', '136 KiB', '600 MiB', '878.9 GiB')
    """
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return "0"


class Chart:
    """Sizes in bytes as curves over *x*, and optionally a *level* to compare them with.

    *curves* is a mapping, name -> one size for each x.  *level* is (name, size): a line across,
    and every curve is marked at the first number of *x_name* at which it is larger, if it comes to
    that; the curves are straight between two x.

    >>> Chart("processes", [0, 4, 8], {"tables": [0, 4096, 8192]}, level=("data", 5000))
    processes  tables     data
            0       0  4.9 KiB
            4   4 KiB  4.9 KiB
            8   8 KiB  4.9 KiB
    The tables are larger than the data from 5 processes on.
    """

    def __init__(self, x_name: str, x: Iterable[int], curves: Mapping[str, Iterable[int]], *,
                 level: tuple[str, int] | None = None):
        self.x_name, self.x = x_name, list(x)
        self.curves = {name: list(sizes) for name, sizes in curves.items()}
        self.level = level
        if not self.x or not 0 < len(self.curves) <= len(MARKERS):
            raise ValueError(f"a chart has from 1 to {len(MARKERS)} curves over at least one x")
        for name, sizes in self.curves.items():
            if len(sizes) != len(self.x):
                raise ValueError(f"{name!r} has {len(sizes)} sizes for {len(self.x)} x")

    def crossings(self) -> dict[str, int]:
        """The first whole x at which a curve is above the level, for those that come to that."""
        found = {}
        for name, sizes in self.curves.items():
            points = list(zip(self.x, sizes))
            for (x0, y0), (x1, y1) in zip(points, points[1:]):
                if self.level and y0 <= self.level[1] < y1:
                    found[name] = int(x0 + (self.level[1] - y0) * (x1 - x0) // (y1 - y0)) + 1
                    break
        return found

    def sentences(self) -> list[str]:
        """What the crossings mean, one sentence each."""
        return [f"The {name} are larger than the {self.level[0]} from {x} {self.x_name} on."
                for name, x in self.crossings().items()]

    def seen(self) -> str:
        """What a look at the chart says: where each curve goes, and which lie upon each other.

        >>> Chart("processes", [1, 9], {"a": [4096, 8192], "b": [4096, 8192], "c": [0, 0]},
        ...       level=("data", 5000)).seen()
        'Over processes from 1 to 9: a and b, one upon the other, up from 4 KiB to 8 KiB; c level \
at 0; data, a line across at 4.9 KiB.'
        """
        alike: dict[tuple[int, ...], list[str]] = {}
        for name, sizes in self.curves.items():
            alike.setdefault(tuple(sizes), []).append(name)
        told = []
        for sizes, names in alike.items():
            first, last = sizes[0], sizes[-1]
            way = f"level at {size(first)}" if len(set(sizes)) == 1 else \
                f"{'up' if last > first else 'down'} from {size(first)} to {size(last)}"
            told.append(" and ".join(names) + ", one upon the other," * (len(names) > 1) + f" {way}")
        if self.level:
            told.append(f"{self.level[0]}, a line across at {size(self.level[1])}")
        return f"Over {self.x_name} from {self.x[0]} to {self.x[-1]}: {'; '.join(told)}."

    def __repr__(self) -> str:
        columns = [[self.x_name, *map(str, self.x)],
                   *([name, *map(size, sizes)] for name, sizes in self.curves.items())]
        if self.level:
            columns.append([self.level[0], *[size(self.level[1])] * len(self.x)])
        widths = [max(map(len, column)) for column in columns]
        rows = ["  ".join(text.rjust(width) for text, width in zip(row, widths))
                for row in zip(*columns)]
        return "\n".join(rows + self.sentences())

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        """The table; and an HTML figure, which keeps its alternative text where PNG loses it."""
        data = base64.b64encode(self.png()).decode("ascii")
        caption = " ".join(self.sentences())
        alt = f"{' '.join([self.seen(), *self.sentences()])}\n{self!r}"
        return {"text/plain": repr(self), "text/html": (
            f'<figure style="margin:0"><img width="640" alt="{escape(alt)}" '
            f'src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>")}

    def png(self) -> bytes:
        """The picture: the same bytes each time, from one version of matplotlib."""
        out = io.BytesIO()
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            figure = self.drawn()
            FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
        return out.getvalue()

    def drawn(self) -> Figure:
        figure = Figure(figsize=INCHES, dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        top = max([*(max(sizes) for sizes in self.curves.values()), self.level[1] if self.level
                   else 0, 1])
        unit, unit_name = next((u for u in UNITS if top >= 2 * u[0]), UNITS[-1])
        for name, sizes, colour, marker, dash in zip(self.curves, self.curves.values(), COLOURS,
                                                     MARKERS, DASHES):
            axes.plot(self.x, [s / unit for s in sizes], color=colour, marker=marker,
                      linestyle=dash, label=name)
        if self.level:
            axes.axhline(self.level[1] / unit, color=NEUTRAL, linewidth=2.5, label=self.level[0])
            for x in self.crossings().values():
                axes.plot([x], [self.level[1] / unit], "o", markersize=13, markerfacecolor="none",
                          markeredgecolor=NEUTRAL, markeredgewidth=2)
                axes.annotate(f"{x}", (x, self.level[1] / unit), xytext=(0, 12),
                              textcoords="offset points", ha="right", fontweight="bold")
        axes.set_xlabel(self.x_name)
        axes.set_ylabel(unit_name)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
        return figure
