"""The site of `make lite` in a real browser: Python runs there, and no other host is asked.

`make test-lite` builds it first; where it has not been built, these tests are skipped.
"""
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from conftest import IDLE, OpenNotebook
from lite import notebooks

SITE = Path(__file__).resolve().parents[1] / "build" / "lite"
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not SITE.exists(), reason="make lite builds the site")]
# The text of every output, a string a code cell; an exception is told here with its class's module.
OUTPUTS = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((cell) => cell.model.type === "code").map((cell) => cell.model.outputs.toJSON()
    .map((output) => output.text ?? output.data?.["text/plain"] ??
      output.ename.replace(/^<class '(?:.*\\.)?(\\w+)'>$/, "$1"))
    .map((text) => Array.isArray(text) ? text.join("") : text).join(""))"""
# Run what has not been run: here, unlike with a server, a cell that is meant to fail ends "run all".
GO_ON = """async () => { const content = window.jupyterapp.shell.currentWidget.content;
  const left = content.widgets.findIndex((cell) => cell.model.type === "code"
                                                   && !cell.model.executionCount);
  if (left < 0) return false;
  content.activeCellIndex = left;
  await window.jupyterapp.commands.execute("notebook:run-all-below");
  return true; }"""


class Handler(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_message(self, *args):
        """Nothing: a test that fails shows what the page threw."""


@pytest.fixture(scope="module")
def site():
    """The address of the site, served on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def context(chromium):
    """One browser window: what it has fetched once it keeps, as a reader's does."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    context.hosts = set()
    context.on("request", lambda request: context.hosts.add(request.url.split("/")[2]))
    yield context
    context.close()


def recorded(path):
    """The text of the outputs in the project's own notebook, a string a code cell."""
    def text(output):
        return output.get("text") or output.get("data", {}).get("text/plain") or output.ename
    return ["".join(map(text, cell.outputs)) for cell in nbformat.read(path, 4).cells
            if cell.cell_type == "code"]


def test_the_course_begins_there():
    """At least the first four notebooks need nothing that a browser's Python lacks."""
    assert [path.name[:2] for path in notebooks()][:4] == ["00", "01", "02", "03"]


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_runs_as_it_is(path, site, context):
    """Every cell has the output that the project's notebook has; every stepper steps."""
    page = context.new_page()
    page.set_default_timeout(120_000)
    notebook = OpenNotebook(page)
    page.goto(f"{site}/notebooks/index.html?path=notebooks/{path.name}")
    page.wait_for_function(IDLE)
    meant = any("raises-exception" in cell.metadata.get("tags", ())
                for cell in nbformat.read(path, 4).cells)
    assert notebook.run_all() is not meant
    while page.evaluate(GO_ON):
        notebook.wait_idle()
    came, wanted = page.evaluate(OUTPUTS), recorded(path)
    unlike = [n for n, pair in enumerate(zip(came, wanted, strict=True)) if pair[0] != pair[1]]
    assert not unlike, [came[n] for n in unlike]
    for stepper in page.locator(".mm-stepper").all():
        picture = stepper.locator(".mm-pic").first
        picture.scroll_into_view_if_needed()
        last = stepper.get_by_role("spinbutton", name="Step", exact=True).get_attribute("max")
        picture.focus()
        page.keyboard.press("End")
        assert picture.get_attribute("aria-label").startswith(f"Step {last} of {last}: ")
    assert notebook.errors == []
    assert context.hosts == {site.removeprefix("http://")}
    page.close()
