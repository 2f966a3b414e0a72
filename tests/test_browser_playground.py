"""The playground in JupyterLab: by mouse and by keyboard, saved and loaded, in both themes."""
import json
import subprocess
import sys

import pytest
from conftest import choose_theme, ran

from mmlib.capsule import pack
from mmlib.stories import STORIES

NOTEBOOK = "notebooks/playground.ipynb"
CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
TEXT = "Playground, the scenario as text"

# Rows of (what, contrast) of the playground without its stepper.
CONTRAST = """(root) => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255).map((v) => v <= .03928
    ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (one, other) => { const [x, y] = [light(one), light(other)].sort((p, q) => q - p);
    return (x + .05) / (y + .05); };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e)
    .backgroundColor); if ((c[3] ?? 1) > 0) return c; } return [255, 255, 255]; };
  const out = [];
  for (const e of root.querySelectorAll("p, li, label, legend, output, button, select, input, textarea, .mm-gutter div")) {
    if (e.closest(".mm-stepper") || !e.checkVisibility()) continue;
    const back = behind(e), ink = rgb(getComputedStyle(e).color), o = e.closest(".mm-gutter") ? .85 : 1;
    out.push([e.textContent.slice(0, 20), ratio(ink.map((v, i) => v * o + back[i] * (1 - o)), back)]);
    if (e.matches("button, select, input:not([type=checkbox]), .mm-edit, .mm-told, fieldset")) {
      out.push(["edge", ratio(rgb(getComputedStyle(e).borderTopColor), behind(e.parentElement))]);
    }
  }
  return out; }"""


class Play:
    """The playground on a page, as a reader uses it."""

    def __init__(self, page):
        self.page = page
        self.root = page.get_by_role("group", name="Playground, playground", exact=True)
        self.area = self.root.get_by_role("textbox", name=TEXT)
        self.status = self.root.locator(".mm-status")

    def write(self, text):
        """Replace the text and run it by keyboard."""
        self.area.fill(text)
        self.run()

    def run(self):
        """Ctrl-Enter, and wait for the answer."""
        self.root.evaluate("(root) => { root.querySelector('.mm-status').textContent = ''; }")
        self.area.press("Control+Enter")
        self.answered()

    def answered(self):
        self.page.wait_for_function("(e) => e.textContent !== ''", arg=self.status.element_handle())

    def ask(self, action):
        """Do something that Python answers; wait for it."""
        self.root.evaluate("(root) => { root.querySelector('.mm-status').textContent = ''; }")
        action()
        self.answered()

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    def told(self):
        return self.root.get_by_role("list", name="What the kernel answers, by line").inner_text()

    def marks(self):
        return self.root.locator(".mm-gutter .bad").all_inner_texts()


@pytest.fixture(scope="module")
def lab(chromium, jupyterlab):
    """The notebook, open and run, with what its page threw and logged."""
    with ran(chromium, jupyterlab, NOTEBOOK, lambda page: page.locator(".mm-play .mm-stepper"),
             viewport={"width": 1280, "height": 1800}, accept_downloads=True) as notebook:
        yield notebook


@pytest.fixture
def play(lab):
    """The playground with an empty process; afterwards nothing was thrown or logged."""
    play = Play(lab.page)
    play.write("a = machine.spawn('a')\n")
    yield play
    assert lab.errors == [] and lab.logged == []


def test_a_story_is_loaded_and_run(play):
    """Its text, its answers, and a stepper with its calls."""
    story = "08 Cache tables with the file"
    play.ask(lambda: play.root.get_by_label("Story").select_option(story))
    assert play.area.input_value() == STORIES[story]
    assert "none of them failed" in play.status.inner_text()
    assert "anna.touch(0x41000, 0x7000" in play.root.locator(".mm-say").inner_text()


def test_a_regime_changes_the_answers_and_not_the_text(play):
    """With threads one mprotect is everybody's."""
    play.write(STORIES["One file in every regime"])
    assert "none of them failed" in play.status.inner_text() and play.marks() == []
    play.ask(lambda: play.root.get_by_label("Regime").select_option("threads"))
    assert "SIGSEGV (SEGV_ACCERR)" in play.told() and play.marks() == ["> 11"]
    assert play.area.input_value() == STORIES["One file in every regime"]
    play.ask(lambda: play.root.get_by_label("Regime").select_option(""))
    assert play.marks() == []


def test_two_regimes_step_together(play):
    """Two pictures under one toolbar, and the figures of both in words."""
    play.write(STORIES["One file in every regime"])
    play.ask(lambda: play.root.get_by_label("Compare with").select_option("cache"))
    assert "12 page tables" in play.status.inner_text()
    assert "Under cache: 9 page tables" in play.status.inner_text()
    assert play.root.locator(".mm-pic").count() == 2
    play.button("line 9").click()
    assert "b.touch(0x40000, 0x10000" in play.root.locator(".mm-say").inner_text()
    play.ask(lambda: play.root.get_by_label("Compare with").select_option(""))
    assert play.root.locator(".mm-pic").count() == 1


def test_a_line_that_cannot_be_read_is_marked(play):
    """Nothing is run; the button leads to the line."""
    play.write("a = machine.spawn('a')\nb = a.frok('b')\na.exit()")
    assert "Line 2 cannot be read, so nothing was run" in play.status.inner_text()
    assert play.marks() == ["> 2"] and play.root.locator(".mm-stepper").count() == 0
    play.button("line 2").click()
    assert play.area.evaluate("(a) => a.value.slice(a.selectionStart, a.selectionEnd)") \
        == "b = a.frok('b')"
    play.area.press("End")
    play.page.keyboard.type(" ")
    assert play.marks() == []                       # the text is another one now


def test_nothing_below_jumps(play):
    """Neither when another call is chosen, nor when a text cannot be read."""
    take = "(root) => root.querySelector('.mm-take').getBoundingClientRect().top - root.getBoundingClientRect().top"
    play.root.get_by_label("Who").select_option("a")
    tops = set()
    for call in ("exit", "load", "mremap", "mmap", "madvise"):
        play.root.get_by_label("does", exact=True).select_option(call)
        tops.add(play.root.evaluate(take))
    assert len(tops) == 1
    height = play.root.evaluate("(root) => root.offsetHeight")
    play.write("a = machine.spawn('a'")
    assert play.root.locator(".mm-stepper").count() == 0
    assert abs(play.root.evaluate("(root) => root.offsetHeight") - height) < 30     # its message wraps


def test_a_line_leads_to_its_step(play):
    """The stepper shows the call of the line whose button is pressed."""
    play.write("a = machine.spawn('a')\nb = a.fork('b')\nb.exit()")
    play.button("line 2").click()
    assert "a.fork('b')" in play.root.locator(".mm-say").inner_text()


def test_a_call_is_added_by_controls_alone(play):
    """Process, file, mapping and access, without a key in the text."""
    play.root.get_by_label("Who").select_option("machine")
    play.root.get_by_label("does", exact=True).select_option("memfd")
    play.root.get_by_label("name", exact=True).fill("db")
    play.ask(play.button("Add the line").click)
    play.root.get_by_label("Who").select_option("a")
    play.root.get_by_label("does", exact=True).select_option("mmap")
    for flag, wanted in (("MAP_SHARED", True), ("MAP_PRIVATE", False), ("MAP_ANONYMOUS", False)):
        play.root.get_by_role("checkbox", name=flag).set_checked(wanted)
    play.root.get_by_label("file", exact=True).select_option("db")
    play.ask(play.button("Add the line").click)
    play.root.get_by_label("does", exact=True).select_option("store")
    play.ask(play.button("Add the line").click)
    assert play.area.input_value().splitlines() == [
        "a = machine.spawn('a')", "db = machine.memfd('db', 0x4000)",
        "a.mmap(0x4000, 0x1000, 'rw', MAP_SHARED, db)", "a.store(0x4000, b'x')"]
    assert "2 calls were run, none of them failed" in play.status.inner_text()


def test_keys_stay_in_the_playground(play):
    """b, d d, a, x are commands on cells in JupyterLab; here they are nothing, or letters."""
    cells = play.page.evaluate(CELLS)
    parts = play.root.locator(":is(button, select, input, textarea, [tabindex='0']):visible")
    for element in parts.all():
        element.focus()
        for key in ("b", "d", "d", "a", "x"):
            play.page.keyboard.press(key)
        assert play.page.evaluate(CELLS) == cells, element.evaluate("(e) => e.outerHTML")
    assert parts.count() > 25


def test_every_control_has_a_name(play):
    """Chromium's accessibility tree is asked."""
    session = play.page.context.new_cdp_session(play.page)
    handle = session.send("Runtime.evaluate", {"expression": "document.querySelector('.mm-play')"})
    tree = session.send("Accessibility.queryAXTree", {"objectId": handle["result"]["objectId"]})
    session.detach()
    nameless = [node["role"]["value"] for node in tree["nodes"]
                if any(p["name"] == "focusable" and p["value"]["value"]
                       for p in node.get("properties", ()))
                and not node.get("name", {}).get("value", "").strip()]
    assert set(nameless) <= {"generic"}


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_text_and_edges_can_be_seen_in_both_themes(play, theme):
    """Text has 4.5:1, the edges of controls 3:1; a failed line is among it."""
    play.write("a = machine.spawn('a')\na.load(0x4000)")
    play.root.get_by_label("Who").select_option("a")
    play.root.get_by_label("does", exact=True).select_option("mmap")
    choose_theme(play.page, theme)
    seen = play.root.evaluate(CONTRAST)
    choose_theme(play.page, "JupyterLab Light")
    assert len(seen) > 60
    assert not [row for row in seen if row[1] < (3 if row[0] == "edge" else 4.5)]


def test_a_file_is_saved_replayed_and_loaded(play, tmp_path):
    """The file passes `replay`; loaded again it is the same scenario."""
    text = "a = machine.spawn('a')\nb = a.fork('b')\nb.load(0x4000)"
    play.write(text)
    with play.page.expect_download() as download:
        play.button("Save as file for replay").click()
    path = tmp_path / "scenario.json"
    download.value.save_as(path)
    done = subprocess.run([sys.executable, "-m", "mmlib", "replay", path], capture_output=True,
                          text=True)
    assert (done.stdout, done.returncode) == ("1 passed, 0 failed\n", 0)
    play.write("z = machine.spawn('z')")
    play.ask(lambda: play.root.get_by_label("Load").set_input_files(path))
    assert play.area.input_value() == "machine = Machine(TINY)\n" + text


def test_a_file_that_is_none_is_refused_in_one_line(play, tmp_path):
    """Nothing is changed; the place is named."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"format": "mmlib/1", "sequences": [
        {"id": "<b>x</b>", "ops": [{"op": "load", "proc": 0, "addr": "<script>"}]}]}))
    before = play.area.input_value()
    play.ask(lambda: play.root.get_by_label("Load").set_input_files(path))
    assert 'sequence "<b>x</b>", op 0, field "addr": expected' in play.status.inner_text()
    assert play.area.input_value() == before and play.status.locator("*").count() == 0


def test_python_is_saved_and_runs(play, tmp_path):
    """A program that needs mmlib alone."""
    play.write("a = machine.spawn('a')\na.load(0x4000)")
    with play.page.expect_download() as download:
        play.button("Save as Python").click()
    path = tmp_path / "scenario.py"
    download.value.save_as(path)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("<Machine TINY: a; 0 tables>\n", "")


def test_what_is_not_run_is_not_saved(play):
    """A saved file has the answers to the text that is seen."""
    play.area.fill("a = machine.spawn('a')\na.exit()")
    play.button("Save as Python").click()
    assert play.status.inner_text() == "Run it first: the text has changed since."


def test_a_short_string_restores_a_scenario(play):
    """What it gives is what it takes; what is no such string changes nothing."""
    string = play.root.get_by_role("textbox", name="The scenario as a short string")
    play.write("a = machine.spawn('a')\na.exit()")
    kept = string.input_value()
    play.write("b = machine.spawn('b')")
    for wrong in (kept[:-4], "mm1.<b>", pack("x")[:5]):
        string.fill(wrong)
        play.ask(play.button("Restore from the short string").click)
        assert play.status.inner_text().startswith("Nothing is changed: expected")
        assert play.area.input_value() == "b = machine.spawn('b')"
    string.fill(kept)
    play.ask(play.button("Restore from the short string").click)
    assert play.area.input_value() == "a = machine.spawn('a')\na.exit()"


def test_typing_goes_on_while_a_text_is_run(play):
    """An answer does not take away what was typed since the question."""
    play.area.fill("a = machine.spawn('a')\n" + "a.load(0x4000)\n" * 200)
    play.area.press("Control+End")
    play.root.evaluate("(root) => { root.querySelector('.mm-status').textContent = ''; }")
    play.area.press("Control+Enter")
    play.page.keyboard.type("a.exit()")
    play.answered()
    assert play.area.input_value().endswith("a.load(0x4000)\na.exit()")


def test_without_a_kernel_it_says_so(lab, chromium, jupyterlab):
    """The last test of this page: it shuts the kernel down."""
    play = Play(lab.page)
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    play.root.evaluate("(root) => { root.querySelector('.mm-status').textContent = ''; }")
    play.button("Run").click()
    assert play.status.inner_text().startswith("No Python is there to answer")
    assert lab.errors == []
