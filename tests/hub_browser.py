"""The learner of tests/hub.py who sits before a real browser: logs in, runs, saves, in two tabs."""
import json
import shutil

from conftest import CHROMIUM_ARGS, IDLE
from playwright.sync_api import sync_playwright

RUN = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE = "() => { window.jupyterapp.commands.execute('docmanager:save'); }"
# Put a line into the first cell, as a learner who writes there.
WRITE = """(text) => { const open = window.jupyterapp.shell.currentWidget;
  open.content.model.cells.get(0).sharedModel.setSource(text); }"""
SAVED = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"


def in_browser(hub, learner, password, notebook, folder, picture):
    """What came of it, as rows of the table."""
    file = folder / "home" / learner.name / notebook
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"),
                                             args=CHROMIUM_ARGS)
        context = browser.new_context(viewport={"width": 1280, "height": 1000})
        hosts = set()
        context.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{hub.url}/hub/login")
        page.fill("input[name=username]", learner.name)
        page.fill("input[name=password]", password)
        page.click("input[type=submit]")
        page.wait_for_url("**/user/**")
        first, second = (tab(page, hub, learner, notebook),
                         tab(context.new_page(), hub, learner, notebook))
        ran = first.evaluate(RUN)
        first.locator(".mm-stepper").scroll_into_view_if_needed()
        first.locator(".mm-stepper").get_by_role("button", name="Last step").click()
        first.screenshot(path=picture)
        first.evaluate(WRITE, "# first tab")
        first.evaluate(SAVE)
        first.wait_for_function(SAVED)
        second.evaluate(WRITE, "# second tab")
        second.evaluate(SAVE)
        asked = second.locator(".jp-Dialog-content").inner_text().split("\n")
        kept = "".join(json.loads(file.read_text())["cells"][0]["source"])
        browser.close()
    foreign = sorted(host for host in hosts if not host.startswith("127.0.0.1"))
    return {"in a browser: logged in, ran, saved": "all cells ran" if ran else "FAILED: a cell did",
            "requests to other hosts": f"FAILED: {foreign}" if foreign else "0",
            "saved in two tabs": f"the second is asked: {' '.join(asked)[:200]!r}; until then the "
            "file is the first's" if kept == "# first tab" else f"FAILED: the file is {kept!r}"}


def tab(page, hub, learner, notebook):
    """A tab of JupyterLab with the notebook open and its kernel ready."""
    page.set_default_timeout(120_000)
    page.goto(f"{hub.url}/user/{learner.name}/doc/tree/{notebook}")
    page.wait_for_function(IDLE)
    return page
