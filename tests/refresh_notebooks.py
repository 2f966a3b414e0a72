"""Run the notebooks anew and store what a reader sees before running them: `make refresh`.

Two runs write the same bytes. A notebook that fails is left as it was, and the run ends there.
The minutes of each notebook also go into its rows of README.md and TEACHING.md.
"""
import argparse
import importlib.metadata
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "README.md", ROOT / "TEACHING.md"
CELL_SECONDS = 60       # more would be a mistake, even on a busy machine; `make test` takes the same
TIME = re.compile(r"(\*\*Time:\*\* about )(\d+)( minutes)")
LIVE_VIEW = "application/vnd.jupyter.widget-view+json"
# What tools add to a cell and nobody reads; tags and slide types stay.
CELL_NOISE = ("execution", "ExecuteTime", "collapsed", "scrolled", "trusted")


def notebook_metadata():
    """The metadata of every notebook here: no Python version, widget state or editor's notes."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})


def exercises(nb):
    """The titles of the exercises: level 3 headings in the section "Exercises".

    >>> from nbformat.v4 import new_notebook, new_markdown_cell
    >>> exercises(new_notebook(cells=[new_markdown_cell("## Exercises\\n### 1. Fork twice")]))
    ['1. Fork twice']
    """
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    section = re.search(r"^## Exercises$(.*?)(?=^## |\Z)", text, re.M | re.S)
    return re.findall(r"^### (.+)$", section[1], re.M) if section else []


def minutes(nb):
    """How long a notebook takes: 150 words a minute, 2 minutes a code cell, 5 an exercise."""
    words = sum(len(cell.source.split()) for cell in nb.cells if cell.cell_type == "markdown")
    code_cells = sum(cell.cell_type == "code" for cell in nb.cells)
    return round(words / 150 + 2 * code_cells + 5 * len(exercises(nb)))


def normalise(nb):
    """Drop from an executed notebook what differs between two runs or means nothing to a reader."""
    nb.metadata = notebook_metadata()
    for cell in nb.cells:
        for key in CELL_NOISE:
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", ()):
            # Without its kernel a live view shows an error, even beside a still.
            output.get("data", {}).pop(LIVE_VIEW, None)
            if output.output_type == "error":
                # Frames name this machine's paths and the library's line numbers.
                output.traceback = [f"{output.ename}: {output.evalue}"]
    header = nb.cells[0]
    header.source, found = TIME.subn(rf"\g<1>{minutes(nb)}\g<3>", header.source)
    if not found:
        raise ValueError('the first cell lacks the line "**Time:** about N minutes"')


def refresh(path):
    """Execute one notebook and rewrite its file; return True where a byte changed."""
    nb = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(nb, kernel_name="python3", timeout=CELL_SECONDS, store_widget_state=False,
                   record_timing=False, coalesce_streams=True, resources=folder,
                   extra_arguments=["--log-level=ERROR"]).execute()
    normalise(nb)
    nbformat.validate(nb)
    new = (nbformat.writes(nb) + "\n").encode()
    if new == path.read_bytes():
        return False
    scratch = path.with_suffix(".new")  # a full disk must not cost the old file
    scratch.write_bytes(new)
    os.replace(scratch, path)
    return True


def planned(plan, stem, minutes):
    """The text of a file with the minutes of one notebook in the row of its table.

    >>> planned("| [A](notebooks/01_a.ipynb) | 9 | walk |", "01_a", 12)
    '| [A](notebooks/01_a.ipynb) | 12 | walk |'
    >>> planned("| [A](notebooks/01_a.ipynb) | walk | 9 |", "01_a", 12)
    '| [A](notebooks/01_a.ipynb) | walk | 12 |'
    """
    row = rf"(?m)^(\| \[[^]]+\]\(notebooks/{re.escape(stem)}\.ipynb\) \| (?:.+ \| )??)\d+( \|)"
    return re.sub(row, rf"\g<1>{minutes}\g<2>", plan)


def tell_tables(path):
    """Write the minutes of a notebook into the tables that have a row for it."""
    needed = minutes(nbformat.read(path, as_version=4))
    for table in TABLES:
        old = table.read_text(encoding="utf-8")
        new = planned(old, path.stem, needed)
        if new != old:
            table.write_text(new, encoding="utf-8")


def graphviz_pure():
    """The one renderer for stills, as it draws the same bytes on every platform.

    mmlib would take the machine's `dot` first, whose pictures depend on its version and fonts.
    """
    try:
        package = importlib.metadata.distribution("graphviz-pure")
    except importlib.metadata.PackageNotFoundError:
        sys.exit("stills are drawn by graphviz-pure, which is not installed here: make setup")
    return next(path.resolve() for path in map(Path, map(package.locate_file, package.files))
                if path.stem == "graphviz-pure")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in notebooks/")
    paths = parser.parse_args(argv).notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    os.environ["MMLIB_DOT"] = str(graphviz_pure())
    with tempfile.TemporaryDirectory() as profile:
        os.environ["IPYTHONDIR"] = profile  # the user's start-up files stay out of the outputs
        for path in paths:
            start = time.perf_counter()
            try:
                verdict = "changed" if refresh(path.resolve()) else "as before"
            except (CellExecutionError, CellTimeoutError, DeadKernelError, ValueError) as error:
                sys.exit(f"{path}: left as it was, since it failed\n{error}")
            tell_tables(path)
            print(f"{path.name}: {verdict}, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
