"""Names that try to be HTML, in a real browser: they are shown as text and run nothing."""
import nbformat
import pytest
from conftest import IDLE

EVIL = """\
from mmlib import *
from mmlib.views.stepper import Stepper

TRIES = ["<img src=x onerror=window.ran=1>", "</script><script>window.ran=2</script>",
         "\\"><svg onload=window.ran=3>", "'><b id=bold>", "</text></svg><b id=bold>"]
m = Machine(TINY)
tasks = [m.spawn(name) for name in TRIES[:3]]
for task, name in zip(tasks, TRIES[2:]):
    start = task.mmap(None, 0x2000, "rw", MAP_SHARED, task.memfd(name.replace("/", ""), 0x2000))
    task.store(start, b"</b><b id=bold><img src=x onerror=window.ran=4>"[:16])
try:
    tasks[0].load(0x1000)
except Segfault:
    pass
Stepper(m, ask={4: "tables"}, name=TRIES[1])"""
CELLS = [EVIL, "m", "m.trace[-1]", "print(*m.trace, sep='\\n')"]


@pytest.fixture(scope="module")
def page(chromium, jupyterlab):
    """Such a notebook, run; what the page asked for and whether it ran anything."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel),
                   jupyterlab.root / "evil.ipynb")
    context = chromium.new_context(viewport={"width": 1280, "height": 1600})
    page = context.new_page()
    page.hosts = set()
    page.on("request", lambda request: page.hosts.add(request.url.split("/")[2]))
    page.goto(f"{jupyterlab.url}/doc/tree/evil.ipynb?token={jupyterlab.token}&reset")
    page.wait_for_function(IDLE)
    assert page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".mm-stepper").wait_for()
    yield page
    context.close()


def assert_inert(page):
    """No element came of a name, and no script of one was run."""
    assert page.evaluate("window.ran") is None
    assert page.locator("#bold, img[onerror], svg[onload]").count() == 0


def test_a_name_is_text_at_every_step(page):
    """In the picture, in the words below it, in the answers and in the accessible names."""
    stepper = page.locator(".mm-stepper")
    last = int(stepper.get_by_role("spinbutton", name="Step", exact=True).get_attribute("max"))
    assert last >= 9
    picture, seen = stepper.locator(".mm-pic").first, ""
    for button in stepper.locator("button").all():
        if button.is_visible() and button.inner_text() in ("Show", "Skip"):
            button.click()
    for _ in range(last):
        assert_inert(page)
        seen += stepper.inner_text() + picture.get_attribute("aria-label")
        picture.focus()
        page.keyboard.press("ArrowRight")
    assert "<img src=x onerror=window.ran=1>" in seen and "<b id=bold>" in seen
    assert "</script><script>window.ran=2</script>" in stepper.get_attribute("aria-label")


def test_a_name_is_text_in_a_still_picture(page):
    """Alternative text and caption of what the other cells show."""
    images = page.locator(".jp-OutputArea figure img").all()
    assert len(images) == 2
    assert any("onerror" in image.get_attribute("alt") for image in images)
    assert all(image.evaluate("(image) => image.naturalWidth") > 0 for image in images)
    assert_inert(page)


def test_without_graphviz_it_is_text_too(page):
    """Our own SVG then takes the place of a drawn picture."""
    from mmlib import TINY, Machine
    from mmlib.views.state import state
    from mmlib.views.svg import still_svg
    from mmlib.views.union import union
    machine = Machine(TINY)
    machine.spawn("</text><script>window.ran=5</script>")
    now = machine.snapshot()
    graph = union([now])
    page.evaluate("(text) => { const e = document.createElement('div'); e.innerHTML = text;"
                  "document.body.append(e); }", still_svg(graph, state(graph, now)))
    assert "</text><sc.." in page.locator("body > div > svg").text_content()
    assert page.locator("body > div > svg script").count() == 0
    assert_inert(page)


def test_no_other_host_is_asked(page, jupyterlab):
    """Neither by JupyterLab nor by what the cells show."""
    assert page.hosts == {jupyterlab.url.removeprefix("http://")}


def test_without_its_token_the_server_opens_nothing(page, jupyterlab, chromium):
    """It asks for a password or token first."""
    context = chromium.new_context()
    stranger = context.new_page()
    stranger.goto(f"{jupyterlab.url}/lab/tree/evil.ipynb")
    assert "/login" in stranger.url
    assert stranger.request.get(f"{jupyterlab.url}/api/contents/evil.ipynb").status == 403
    context.close()
