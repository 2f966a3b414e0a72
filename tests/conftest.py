"""Fixtures for tests in a real browser: a private JupyterLab on loopback, driven in Chromium.

Without Chromium such tests are skipped; with the environment variable CI set they fail.
"""
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import layout
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# A failure must show itself on every machine, not by luck on one; a busy one must not fail for
# being slow. `make test-all` looks further.
settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("long", deadline=None, derandomize=False, max_examples=1000)
settings.load_profile("default")

# Neither GPU nor sandbox can be counted on in a container; nothing may ask the network.
CHROMIUM_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update",
                 "--disable-quic", "--disable-sync"]

# No question about news; and all cells in the document, where JupyterLab 4.4, unlike 4.6, has only
# those in sight.
SETTINGS = {"apputils-extension/notification":
            '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}',
            "notebook-extension/tracker": '{"windowingMode": "defer"}'}

# JupyterLab has a notebook open, its cells are there, and its kernel waits for work.
IDLE = """() => {
  const open = window.jupyterapp?.shell?.currentWidget;
  const session = open?.context?.sessionContext;
  return !!(session?.isReady && session.session?.kernel?.status === "idle"
            && open.content?.widgets?.length);
}"""


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by mark
def pytest_collection_modifyitems(items):
    """Mark what needs the browser, and let it come last: cheap tests should fail first."""
    def in_browser(item):
        return "chromium" in getattr(item, "fixturenames", ())

    for item in filter(in_browser, items):
        item.add_marker("browser")
    items.sort(key=in_browser)


@pytest.fixture(autouse=True)
def validated():
    """The machines that a test made by `layout.machine` are validated when it is over."""
    yield
    layout.validate_made()


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory):
    """A running JupyterLab with a copy of notebooks/ and of the recordings that they show, as
    .url, .token, .root, .log, .home, .pid."""
    home = tmp_path_factory.mktemp("jupyterlab")
    root, log = home / "root", home / "server.log"
    shutil.copytree(ROOT / "tests/data", root / "tests/data")
    shutil.copytree(ROOT / "notebooks", root / "notebooks",
                    ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name, text in SETTINGS.items():
        path = settings_file(home, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with socket.socket() as probe:  # older servers never tell which port they chose for port 0
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lab = SimpleNamespace(url=f"http://127.0.0.1:{port}", token=secrets.token_hex(16),
                          root=root, log=log, home=home)
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
             f"--IdentityProvider.token={lab.token}", f"--ServerApp.root_dir={root}",
             "--ServerApp.allow_root=True", "--ServerApp.terminals_enabled=False",
             "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
             "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
            cwd=root, env=os.environ | own_folders(home), stdout=out, stderr=subprocess.STDOUT)
    lab.pid = server.pid
    try:
        wait_for_server(lab, server)
        yield lab
    finally:
        server.terminate()  # the server shuts its kernels down
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def settings_file(home, name):
    """Where JupyterLab reads one extension's settings each time that a page is opened."""
    return home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"


def own_folders(home):
    """Environment variables that keep a user's settings out of JupyterLab, and it out of theirs."""
    names = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
             "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
             "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
    return {name: str(home / folder) for name, folder in names.items()}


def wait_for_server(lab, server, seconds=60):
    """Return once JupyterLab answers; raise RuntimeError with its log where it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{lab.url}/api?token={lab.token}", timeout=2).close()
            return
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("JupyterLab did not start:\n" + lab.log.read_text())


@pytest.fixture(scope="session")
def chromium():
    """Chromium under Playwright: $CHROMIUM, or the first of the usual names on PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = "no Chromium: apt-get install chromium libatomic1, or set CHROMIUM to its path"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright  # only here: the core's tests need none
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


class OpenNotebook:
    """A notebook in JupyterLab: .page is Playwright's, .errors what the page threw so far."""

    def __init__(self, page):
        self.page = page
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(error))

    def wait_idle(self):
        """Wait until the notebook is open and its kernel idle."""
        self.page.wait_for_function(IDLE)

    def run_all(self):
        """Run all cells and wait for the last; False where one failed."""
        run = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
        return self.page.evaluate(run)


def choose_theme(page, theme):
    """And wait until JupyterLab has taken its splash away: it throws if the next one meets it."""
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })",
                  theme)
    page.wait_for_function("(light) => document.body.dataset.jpThemeLight === light",
                           arg=str("Light" in theme).lower())
    page.locator("#jupyterlab-splash").wait_for(state="detached")


@contextmanager
def opened(chromium, address, **options):
    """A page of JupyterLab with a notebook, its kernel idle: an `OpenNotebook` that also has what
    its page logged as errors since."""
    context = chromium.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    notebook = OpenNotebook(page)
    notebook.logged = []
    page.goto(address)
    notebook.wait_idle()
    page.on("console", lambda message: notebook.logged.append(message.text)
            if message.type == "error" else None)
    yield notebook
    context.close()


@contextmanager
def ran(chromium, jupyterlab, path, shown, **options):
    """The same of a notebook that was run, until an element *shown* is there."""
    address = f"{jupyterlab.url}/doc/tree/{path}?token={jupyterlab.token}&reset"
    with opened(chromium, address, **options) as notebook:
        assert notebook.run_all() is True
        shown(notebook.page).wait_for()
        yield notebook


@pytest.fixture
def open_notebook(chromium, jupyterlab):
    """A function: path within the root, and Playwright's context options -> OpenNotebook.

    The notebook opens untrusted, as after a clone; `color_scheme`, `reduced_motion` and
    `viewport` are context options.
    """
    contexts = []

    def open_(path, **options):
        contexts.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 1600}}
                                             | options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        notebook = OpenNotebook(page)
        page.goto(f"{jupyterlab.url}/doc/tree/{path}?token={jupyterlab.token}&reset")
        notebook.wait_idle()
        return notebook

    yield open_
    for context in contexts:
        context.close()
