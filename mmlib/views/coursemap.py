"""The map of the course: what builds on what, as a picture and as text."""

import base64
from html import escape

# name: (title, the names it builds on, column, row of the picture)
COURSE = {
    "00": ("Start here", (), 1, 0),
    "playground": ("build your own", ("00",), 2, 1),
    "01": ("Walk an address", ("00",), 1, 1),
    "02": ("Fault in a page", ("01",), 1, 2),
    "04": ("Map a file twice", ("02",), 0.5, 3),
    "03": ("Fork and copy on write", ("02",), 1.5, 3),
    "06": ("Share hugetlb PMD tables", ("04",), 0, 4),
    "05": ("Share an mm with threads", ("03", "04"), 1, 4),
    "11": ("Ask your own kernel", ("03", "04"), 2, 4),
    "08": ("Cache tables with the file", ("06",), 0, 5),
    "07": ("Share a layout with mshare", ("05",), 1, 5),
    "09": ("Count the cost", ("07", "08"), 0.5, 6),
    "10": ("Find the roadblocks", ("09",), 0.5, 7),
    "12": ("Read the mail", ("10",), 0.5, 8),
}
SHORT = ("01", "04", "06", "08")        # the problem and the proposal, for who is in a hurry
WIDE, HIGH, COLUMN, ROW, MARGIN = 218, 34, 240, 62, 8


class CourseMap:
    """Shown in a notebook it is a picture; as text it is a line a notebook.

    >>> print(CourseMap())                              # doctest: +ELLIPSIS
    00 Start here
    01 Walk an address, after 00
    ...
    12 Read the mail, after 10
    playground: build your own, after 00
    """

    def __repr__(self) -> str:
        return "\n".join(
            name + (": " if name == "playground" else " ") + title
            + (f", after {' and '.join(needs)}" if needs else "")
            for name, (title, needs, *_) in sorted(COURSE.items()))

    def _repr_html_(self) -> str:
        data = base64.b64encode(svg().encode()).decode("ascii")
        alt = f"The course as boxes with arrows from each notebook to those that build on it.\n{self}"
        return (f'<figure style="margin:0"><img alt="{escape(alt)}" '
                f'src="data:image/svg+xml;base64,{data}">'
                f"<figcaption>An arrow leads from a notebook to what builds on it. The thick "
                f"boxes are the short way.</figcaption></figure>")


def corner(name: str) -> tuple[float, float]:
    """The upper left corner of a box."""
    column, row = COURSE[name][2:]
    return MARGIN + column * COLUMN, MARGIN + row * ROW


def svg() -> str:
    """The picture, on opaque white: it also has to be seen on a dark page."""
    width = 2 * (MARGIN + COLUMN) + WIDE
    height = 2 * MARGIN + max(row for *_, row in COURSE.values()) * ROW + HIGH
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'font-family="Helvetica, Arial, sans-serif" font-size="13">'
             '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" '
             'orient="auto"><path d="M0,0 L9,4 L0,8 z"/></marker></defs>'
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for name, (title, needs, *_) in COURSE.items():
        x, y = corner(name)
        for need in needs:
            from_x, from_y = corner(need)
            parts.append(f'<line x1="{from_x + WIDE / 2:g}" y1="{from_y + HIGH:g}" '
                         f'x2="{x + WIDE / 2:g}" y2="{y - 1:g}" stroke="black" '
                         'marker-end="url(#tip)"/>')
        thick = 3 if name in SHORT else 1
        parts.append(f'<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="6" '
                     f'fill="white" stroke="#0072B2" stroke-width="{thick}"/>'
                     f'<text x="{x + WIDE / 2:g}" y="{y + 22:g}" text-anchor="middle">'
                     f"<tspan font-weight='bold'>{name}</tspan> {escape(title)}</text>")
    return "".join([*parts, "</svg>"])
