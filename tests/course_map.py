"""The front page of the book: what there is, and what builds on what.

All of it is read from the table in notebook 00, so that there is one map of the course.
"""
import re
from html import escape
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).resolve().parents[1]
WIDE, HIGH, APART, BETWEEN = 168, 44, 196, 58


class Row(NamedTuple):
    """A notebook on the map: its number or name, its title, its one idea, and on what it builds;
    *stem* is that of its file, "" while it is to come."""

    key: str
    title: str
    idea: str
    below: tuple[str, ...]
    stem: str


def rows() -> list[Row]:
    """The rows of the table in notebook 00."""
    nb = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4)
    [table] = [cell.source for cell in nb.cells if "| builds on |" in cell.source]
    out = []
    for name, idea, below in re.findall(r"(?m)^\| (.+?) \| (.+?) \|(.*)\|$", table)[1:]:
        link = re.fullmatch(r"\[(.+)\]\((\w+)\.ipynb\)", name)
        title = link[1] if link else name.removesuffix(" (to come)")
        out.append(Row(title.split()[0], title, idea, numbers(below), link[2] if link else ""))
    return out


def numbers(text: str) -> tuple[str, ...]:
    """
    >>> numbers(" 03, 04 "), numbers("04 to 07"), numbers("")
    (('03', '04'), ('04', '05', '06', '07'), ())
    """
    if found := re.search(r"(\d\d) to (\d\d)", text):
        return tuple(f"{n:02}" for n in range(int(found[1]), int(found[2]) + 1))
    return tuple(re.findall(r"\d\d", text))


def course_map(notebooks: list[Path], titles: dict[Path, str]) -> str:
    """The body of the front page."""
    there = {path.stem for path in notebooks}
    shown = [row if row.stem in there else row._replace(stem="") for row in rows()]
    door = [(path.stem, titles[path]) for path in notebooks
            if path.stem not in {row.stem for row in shown}]
    links = "".join(f'<p><a href="notebooks/{stem}.ipynb">{escape(title)}</a></p>'
                    for stem, title in door)
    items = "".join(f"<li>{named(row)}: {escape(row.idea)}"
                    f"{'. Builds on ' + ', '.join(row.below) if row.below else ''}.</li>"
                    for row in shown)
    return (f"<h1>Who shares the page tables?</h1><p>A course on virtual memory and on every way "
            f"in which Linux shares page tables, run once and printed: the pictures step, and "
            f"nothing has to be installed. To change something, open the notebooks with the "
            f'simulator; <a href="README.md">README</a> says how.</p>{links}'
            f"<h2>The map</h2>{drawing(shown)}<h2>One idea each</h2>"
            f"<ul>{items}</ul>")


def named(row: Row) -> str:
    return f'<a href="notebooks/{row.stem}.ipynb">{escape(row.title)}</a>' if row.stem else \
        f"{escape(row.title)} (to come)"


def depth(row: Row, by_key: dict[str, Row]) -> int:
    """In which column it stands: one further than all that it builds on."""
    return max((depth(by_key[key], by_key) + 1 for key in row.below if key in by_key), default=0)


def drawing(shown: list[Row]) -> str:
    """The map as SVG: a box a notebook, a line from what it builds on."""
    by_key, columns, place = {row.key: row for row in shown}, {}, {}
    for row in shown:
        column = columns.setdefault(depth(row, by_key), [])
        place[row.key] = 2 + depth(row, by_key) * APART, 2 + len(column) * BETWEEN
        column.append(row)
    lines = "".join(
        f'<path d="M{place[key][0] + WIDE} {place[key][1] + HIGH // 2}'
        f'C{place[row.key][0] - 12} {place[key][1] + HIGH // 2} {place[key][0] + WIDE + 12} '
        f'{place[row.key][1] + HIGH // 2} {place[row.key][0]} {place[row.key][1] + HIGH // 2}"/>'
        for row in shown for key in nearest(row, by_key))
    boxes = "".join(box(row, *place[row.key]) for row in shown)
    wide = max(x for x, _ in place.values()) + WIDE + 2
    high = max(y for _, y in place.values()) + HIGH + 2
    return (f'<svg class="map" viewBox="0 0 {wide} {high}" role="group" '
            f'aria-label="What builds on what; the list below says it in words">{lines}{boxes}</svg>')


def nearest(row: Row, by_key: dict[str, Row]) -> list[str]:
    """What it builds on, without what comes along with that anyway."""
    def all_below(key):
        return {k for b in by_key[key].below if b in by_key for k in (b, *all_below(b))}
    direct = [key for key in row.below if key in by_key]
    return [key for key in direct if not any(key in all_below(other) for other in direct)]


def box(row: Row, x: int, y: int) -> str:
    words, lines = row.title.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 21:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    text = "".join(f'<tspan x="{x + 10}" y="{y + (27 if len(lines) == 1 else 18 + 17 * n)}">'
                   f"{escape(line)}</tspan>" for n, line in enumerate(lines[:2]))
    inner = f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="4"/><text>{text}</text>'
    return f'<a href="notebooks/{row.stem}.ipynb">{inner}</a>' if row.stem else \
        f'<g class="later">{inner}</g>'
