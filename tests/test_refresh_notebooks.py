"""The refresh: the same bytes twice, and nothing lost when a notebook fails."""
import nbformat
import pytest
import refresh_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from refresh_notebooks import LIVE_VIEW, main, minutes

HEADER = "# Try\n**Time:** about 99 minutes\n\nSome words."
WIDGET = "import ipywidgets\nipywidgets.Button(description='Press')"
RAISES = "raise ValueError('meant')"


@pytest.fixture
def write(tmp_path):
    def write_(*sources, tags=()):
        cells = [new_markdown_cell(HEADER, id="head")]
        cells += [new_code_cell(source, id=f"cell-{i}", metadata={"tags": list(tags)})
                  for i, source in enumerate(sources)]
        path = tmp_path / "try.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        return path
    return write_


def test_two_refreshes_write_the_same_bytes(write):
    """A widget's random names and the time of the run leave no trace."""
    path = write("print(1 + 1)", WIDGET)
    main([str(path)])
    first = path.read_bytes()
    main([str(path)])
    assert path.read_bytes() == first
    *_, printed, shown = nbformat.read(path, as_version=4).cells
    assert (printed.execution_count, printed.outputs[0].text) == (1, "2\n")
    assert list(shown.outputs[0].data) == ["text/plain"]
    assert LIVE_VIEW.encode() not in first


def test_a_failure_leaves_the_file(write):
    """An error that is not meant ends the run in words, and the notebook stays as it was."""
    path = write("1 / 0")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        main([str(path)])
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_cell_that_takes_too_long_ends_the_run(write, monkeypatch):
    """In words, and the notebook stays as it was."""
    monkeypatch.setattr(refresh_notebooks, "CELL_SECONDS", 1)
    path = write("import time; time.sleep(600)")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="left as it was"):
        main([str(path)])
    assert path.read_bytes() == before


def test_the_tests_give_a_cell_as_long(pytestconfig):
    """A notebook's run time is a test: nbval fails a cell that takes longer."""
    assert pytestconfig.getoption("nbval_cell_timeout") == refresh_notebooks.CELL_SECONDS


def test_a_meant_error_is_stored_without_frames(write):
    """Frames would name this machine's folders and the library's line numbers."""
    path = write(RAISES, tags=["raises-exception"])
    main([str(path)])
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].traceback == ["ValueError: meant"]


def test_the_header_gets_its_minutes(write):
    """Two cells of two minutes, and too few words to count."""
    path = write("1", "2")
    main([str(path)])
    assert "**Time:** about 4 minutes" in nbformat.read(path, as_version=4).cells[0].source


def test_a_header_without_time_is_refused(write):
    """A notebook without the line would never get its minutes."""
    path = write("1")
    path.write_text(path.read_text().replace("Time", "Tide"))
    with pytest.raises(SystemExit, match="lacks the line"):
        main([str(path)])


def test_words_and_exercises_take_time():
    """150 words are a minute, an exercise is five on top of its cells."""
    words = new_markdown_cell("## Exercises\n### One\n### Two\n" + "word " * 294 + "\n## Next")
    assert minutes(new_notebook(cells=[words])) == 12
