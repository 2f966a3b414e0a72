"""Every notebook has the same skeleton, so that a reader always knows where things stand."""
import re
from pathlib import Path

import nbformat
import pytest
from refresh_notebooks import TIME, exercises

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
# A door, a reading and a workbench: they teach no new idea of their own.
NOT_LESSONS = {"00_start_here", "12_read_the_mail", "playground"}
LESSONS = [path for path in NOTEBOOKS if path.stem not in NOT_LESSONS]

HEADER = ["**You will do:**", "**You will learn:**", "**You need:**", "**Time:**"]
LESSON_END = ["What we left out", "Common misconceptions", "Exercises", "In the real kernel",
              "Further reading", "Next"]
OTHER_END = [title for title in LESSON_END if title not in ("Common misconceptions", "Exercises")]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def cells(path, kind):
    """The sources of a notebook's cells of one kind."""
    return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def headings(path):
    """Rows (level, text) of the headings, without those in fenced blocks."""
    text = re.sub(r"(?ms)^```.*?^```", "", "\n".join(cells(path, "markdown")))
    return [(len(hashes), title.strip()) for hashes, title in re.findall(r"(?m)^(#+) (.+)$", text)]


@each_notebook
def test_the_title_is_the_file_name(path):
    """The one level 1 heading opens the notebook and is its file name in words."""
    first, *rest = headings(path)
    words = re.sub(r"[^a-z0-9]+", "_", first[1].lower()).strip("_")
    assert first[0] == 1
    assert re.sub(r"^\d+_", "", words) == re.sub(r"^\d+_", "", path.stem)
    assert 1 not in [level for level, _ in rest]


@each_notebook
def test_headings_skip_no_level(path):
    """A screen reader's table of contents has no holes."""
    levels = [level for level, _ in headings(path)]
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:]))


@each_notebook
def test_header(path):
    """The first cell says what the reader will do and learn, needs, and how long it takes."""
    header = nbformat.read(path, as_version=4).cells[0].source
    places = [header.find(label) for label in HEADER]
    assert -1 not in places and places == sorted(places)
    assert TIME.search(header)


@each_notebook
def test_end(path):
    """The last sections are the same everywhere."""
    end = LESSON_END if path in LESSONS else OTHER_END
    assert [title for level, title in headings(path) if level == 2][-len(end):] == end


@each_lesson
def test_predict_then_see(path):
    """A lesson asks before it shows, asserts what it claims, and invites changes."""
    prose = "\n".join(cells(path, "markdown"))
    assert "**Predict" in prose and "**Try changing" in prose
    assert re.search(r"(?m)^assert ", "\n".join(cells(path, "code")))


@each_lesson
def test_every_exercise_has_hint_solution_and_check(path):
    """An exercise comes with a folded hint, a folded solution, and a cell that checks."""
    nb = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in nb.cells)
    section = text[text.index("## Exercises"):text.index("## In the real kernel")]
    parts = re.split(r"(?m)^### ", section)[1:]
    assert len(parts) == len(exercises(nb)) > 0
    for part in parts:
        folded = re.findall(r"<details>\s*<summary>(\w+)", part)
        assert {"Hint", "Solution"} <= set(folded), part.splitlines()[0]
        assert "check(" in part, part.splitlines()[0]
