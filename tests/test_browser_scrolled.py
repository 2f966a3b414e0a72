"""A stepper that is scrolled out of sight and back: JupyterLab 4.4, which Binder has, hides the
cells that are not in sight, or takes them out of the document."""
import pytest
from conftest import settings_file

LONG = "notebooks/03_fork_and_copy_on_write.ipynb"
# Go to the cell whose source begins so; JupyterLab leaves the active cell alone.
GO = """async (source) => { const content = window.jupyterapp.shell.currentWidget.content;
  const all = content.widgets.map((cell) => cell.model.sharedModel.getSource());
  content.activeCellIndex = all.findIndex((text) => text.startsWith(source));
  await content.scrollToItem(content.activeCellIndex, "start"); }"""


@pytest.fixture
def stepper(jupyterlab, open_notebook):
    """The stepper of a notebook that was run in this mode, in sight."""
    settings = settings_file(jupyterlab.home, "notebook-extension/tracker")
    usual = settings.read_text()
    settings.write_text('{"windowingMode": "full"}')
    notebook = open_notebook(LONG, viewport={"width": 1280, "height": 900})
    settings.write_text(usual)
    assert notebook.run_all() is True
    notebook.page.evaluate(GO, "Stepper(")
    found = notebook.page.locator(".mm-stepper")
    found.wait_for()
    yield found
    assert notebook.errors == []


def test_it_is_where_it_was(stepper):
    """At the same step, with the same picture, and its keys still step."""
    page, picture = stepper.page, stepper.locator(".mm-pic").first
    picture.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    before = picture.get_attribute("aria-label"), picture.inner_html()
    page.evaluate(GO, "# Fork")
    stepper.wait_for(state="hidden")
    page.evaluate(GO, "Stepper(")
    stepper.wait_for()
    assert (picture.get_attribute("aria-label"), picture.inner_html()) == before
    picture.focus()
    page.keyboard.press("End")
    last = stepper.get_by_role("spinbutton", name="Step", exact=True).get_attribute("max")
    assert picture.get_attribute("aria-label").startswith(f"Step {last} of {last}: ")
