"""The map of the course agrees with the notebooks, and its picture with itself."""
import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import nbformat

from mmlib.views.coursemap import COURSE, HIGH, SHORT, WIDE, CourseMap, corner, svg

NOTEBOOKS = {path.stem[:2] if path.stem[:2].isdigit() else path.stem: path for path in sorted(
    (Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))}


def first_cell(name):
    return nbformat.read(NOTEBOOKS[name], as_version=4).cells[0].source


def ancestors(name):
    """Everything that a notebook builds on, however far."""
    return {name for need in COURSE[name][1] for name in {need} | ancestors(need)}


def test_every_notebook_is_on_the_map_under_its_title():
    for name in NOTEBOOKS:
        title = re.match(r"# (.+)", first_cell(name))[1]
        assert name == "playground" or COURSE[name][0] == title


def test_what_a_notebook_needs_comes_before_it():
    """"You need" links to earlier notebooks alone, to one at least that it builds on by the map."""
    for name in NOTEBOOKS:
        line = re.search(r"(?m)^\*\*You need:\*\* (.+)$", first_cell(name))[1]
        linked = set(re.findall(r"\((\d\d)_\w+\.ipynb\)", line))
        assert all(need < name for need in linked), name
        assert not ancestors(name) or linked & ancestors(name), name


def listed(text):
    """The names in a list such as "03, 05 to 07".

    >>> sorted(listed("03, 05 to 07"))
    ['03', '05', '06', '07']
    """
    for first, last in re.findall(r"(\d\d) to (\d\d)", text):
        text += " ".join(f"{n:02}" for n in range(int(first), int(last)))
    return set(re.findall(r"\d\d", text))


def test_the_table_of_the_first_notebook_says_the_same():
    """What stands in its column "builds on", where it names single notebooks."""
    text = "\n".join(cell.source for cell in nbformat.read(NOTEBOOKS["00"], as_version=4).cells)
    rows = re.findall(r"(?m)^\| \[?(\d\d) [^|]+\| [^|]+\| ([^|]*?) ?\|$", text)
    assert len(rows) == 12
    for name, needs in rows:
        assert set(COURSE[name][1]) - {"00"} <= listed(needs) <= ancestors(name), name


def test_boxes_stand_apart_and_arrows_lead_down():
    places = {name: corner(name) for name in COURSE}
    for name, (x, y) in places.items():
        others = [place for other, place in places.items() if other != name]
        assert not [1 for ox, oy in others if abs(ox - x) < WIDE and abs(oy - y) < HIGH]
        assert all(places[need][1] < y for need in COURSE[name][1])


def test_the_picture_says_what_the_text_says():
    """Every title is in the SVG and in the alternative text; the short way is a way."""
    words = " ".join(ElementTree.fromstring(svg()).itertext())
    alt = unescape(re.search(r'alt="([^"]+)"', CourseMap()._repr_html_())[1])
    assert all(title in words and title in alt for title, *_ in COURSE.values())
    assert repr(CourseMap()) in alt
    assert all(a in ancestors(b) for a, b in zip(SHORT, SHORT[1:]))
