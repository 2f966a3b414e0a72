"""Charts: the figure, the table that says the same, and no trace left in matplotlib."""
import base64
import re
import subprocess
import sys
from html import unescape

import matplotlib
import pytest

from mmlib.views.plot import DASHES, MARKERS, Chart, size

PROCESSES = range(0, 1001, 500)
TABLES = [n * 34 * 4096 for n in PROCESSES]


@pytest.fixture
def chart():
    return Chart("processes", PROCESSES, {"tables": TABLES}, level=("data", 64 << 20))


def test_the_text_has_every_number(chart):
    """A row for each x, and a sentence about the crossing."""
    assert repr(chart).splitlines() == [
        "processes     tables    data",
        "        0          0  64 MiB",
        "      500   66.4 MiB  64 MiB",
        "     1000  132.8 MiB  64 MiB",
        "The tables are larger than the data from 482 processes on."]


@pytest.mark.parametrize("limit", [34 * 4096 * 482 - 1, 34 * 4096 * 482, 64 << 20])
def test_the_crossing_is_the_first_number_above_the_level(limit):
    """Exactly at the level is not above it."""
    [first] = Chart("n", PROCESSES, {"t": TABLES}, level=("d", limit)).crossings().values()
    assert (first - 1) * 34 * 4096 <= limit < first * 34 * 4096


def test_no_crossing_is_claimed_where_there_is_none():
    """A curve that stays below the level, and a chart without one."""
    assert Chart("n", PROCESSES, {"t": TABLES}, level=("d", 1 << 40)).crossings() == {}
    assert Chart("n", PROCESSES, {"t": TABLES}).sentences() == []


def test_the_bundle_is_a_figure_with_its_text(chart):
    """The alternative text is what to see, and the table; the picture is a PNG."""
    data = chart._repr_mimebundle_()
    assert data["text/plain"] == repr(chart)
    alt = unescape(re.search(r'alt="([^"]+)"', data["text/html"])[1])
    assert alt.startswith(chart.seen()) and alt.endswith(repr(chart))
    picture = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", data["text/html"])[1]
    assert base64.b64decode(picture).startswith(b"\x89PNG")


def test_a_name_cannot_break_the_html():
    """Names are escaped."""
    html = Chart("a<b", [1], {'"x"<i>': [1]})._repr_mimebundle_()["text/html"]
    assert "<i>" not in html and "a<b" not in html


def test_two_pictures_have_the_same_bytes(chart):
    """Also after somebody has changed matplotlib's settings."""
    first = chart.png()
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "savefig.dpi": 20}):
        assert chart.png() == first


def test_the_settings_of_matplotlib_stay(chart):
    """A reader's own plots look as before."""
    with matplotlib.rc_context({"lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        chart.png()
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_imported():
    """It holds global state, and chooses a backend when it is imported."""
    code = ("import sys; from mmlib.views.plot import Chart\n"
            "Chart('n', [1], {'t': [1]}).png(); assert 'matplotlib.pyplot' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_curves_differ_by_more_than_colour():
    """Each of the four has its own marker and dashes."""
    assert len(set(MARKERS)) == len(set(DASHES)) == 4
    lines = Chart("n", [0, 1], {name: [0, 1] for name in "abcd"}).drawn().axes[0].lines
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 4


@pytest.mark.parametrize("x, curves", [
    ([], {"a": []}), ([1], {}), ([1], {"a": [1, 2]}), ([1], {name: [1] for name in "abcde"})])
def test_what_cannot_be_drawn(x, curves):
    """A ValueError says why."""
    with pytest.raises(ValueError):
        Chart("n", x, curves)


def test_sizes_are_rounded_to_a_tenth():
    """And a whole number has no point."""
    assert [size(n) for n in (1, 1023, 1024, 1536, 10 * 2**20, 2**31)] == [
        "1 B", "1023 B", "1 KiB", "1.5 KiB", "10 MiB", "2 GiB"]
