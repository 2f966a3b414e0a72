"""Every committed notebook is executed, small, and free of what strict nbval stumbles over."""
import json
import re
from pathlib import Path

import nbformat
import pytest
from refresh_notebooks import LIVE_VIEW, TIME, minutes, notebook_metadata

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Idioms whose outputs differ under strict nbval from those in JupyterLab, or between two runs.
IDIOMS = {
    "captures output in a widget": r"\bOutput\(|\binteract\w*\b|@capture|%%capture",
    "rewrites what was shown": r"\bclear_output\b|\bdisplay_id\b|\bupdate_display\b",
    "reads the history": r"\b(In|Out)\[|%history|%recall",
    "hides its value with a semicolon": r";\s*\Z",
    "looks for the project around the package, which a wheel is not in": r"__file__",
    "measures time": r"%%?time(it)?\b",
    "steers nbval by a comment, which the refresh does not know": r"#.*\b(NBVAL|PYTEST_VALIDATE)_",
    "defines a class": r"(?m)^\s*class\s",
}
MACHINE = re.compile(r"/home/|/Users/|/root/|site-packages|\bat 0x[0-9a-f]{8,}|"
                     + re.escape(str(ROOT)))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def nb(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture
def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def outputs(code, kind):
    return [output for cell in code for output in cell.outputs if output.output_type == kind]


def test_the_course_has_a_start():
    """Without it the tests below, one run a notebook, would be satisfied by nothing."""
    assert "00_start_here" in [path.stem for path in NOTEBOOKS]


def test_valid(nb):
    """The file is what the format says, of the version that has cell ids."""
    nbformat.validate(nb)
    assert (nb.nbformat, nb.nbformat_minor) >= (4, 5)


def test_cell_ids_are_fixed(path):
    """Read as plain JSON, since nbformat replaces missing and double ids by random ones."""
    ids = [cell.get("id") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert all(ids) and len(set(ids)) == len(ids)


def test_executed_in_order(code):
    """Strict nbval never compares a cell without a count: it would pass whatever it holds."""
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_metadata_is_normal(nb):
    """No widget state, no Python version: what `make refresh` writes."""
    assert nb.metadata == notebook_metadata()
    assert not [cell.id for cell in nb.cells if "execution" in cell.metadata]


def test_no_live_view_is_stored(code):
    """A stored live view shows an error without its kernel, and SVG is drawn by one version."""
    kinds = {kind for cell in code for output in cell.outputs for kind in output.get("data", ())}
    assert not kinds & {LIVE_VIEW, "image/svg+xml"}


def test_pictures_have_words(code):
    """The alternative text of a picture says what is to be seen, in more than a title."""
    shown = "".join(o.data.get("text/html", "") for o in outputs(code, "display_data")
                    + outputs(code, "execute_result"))
    pictures = re.findall(r"<img[^>]*>", shown)
    words = re.findall(r'<img[^>]* alt="([^"]{40,})"', shown)
    assert len(words) == len(pictures)


def test_nothing_on_stderr(code):
    """Warnings are for developers; a course shows none."""
    assert not [output.text for output in outputs(code, "stream") if output.name == "stderr"]


def test_errors_are_meant(code):
    """A cell that raises says so by its tag."""
    raising = {cell.id for cell in code if "raises-exception" in cell.metadata.get("tags", ())}
    assert {cell.id for cell in code if outputs([cell], "error")} == raising


def test_no_trace_of_a_machine(code):
    """No output holds a path or an object's address of the machine that ran it."""
    assert not [cell.id for cell in code if MACHINE.search(str(cell.outputs))]


@pytest.mark.parametrize("idiom", IDIOMS)
def test_no_idiom_that_fails_strict_nbval(code, idiom):
    """The listed idioms fail strict nbval, or pass it without being looked at."""
    assert not [cell.id for cell in code if re.search(IDIOMS[idiom], cell.source)]


def test_cells_are_short(code):
    """At most 8 lines of code, 25 where the reader works."""
    def limit(cell):
        return 25 if "exercise" in cell.metadata.get("tags", ()) else 8

    def lines(cell):
        return sum(map(bool, map(str.strip, cell.source.splitlines())))

    assert not [cell.id for cell in code if lines(cell) > limit(cell)]


def test_small(path):
    """Every clone pays for each version of a notebook."""
    assert path.stat().st_size <= 300_000


def test_minutes_are_counted(nb):
    """The header's minutes are those that `make refresh` counts."""
    assert int(TIME.search(nb.cells[0].source)[2]) == minutes(nb)
