"""What a reader gets in JupyterLab: stills before running, and the live stepper afterwards.

Most tests share one page and one notebook that is written here; each begins by stepping to where
it wants to be.  Only what changes a page for good has a page of its own.
"""
from pathlib import Path

import nbformat
import pytest
from conftest import choose_theme, opened, ran

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / "build" / "screenshots"
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))

CELLS = ["""\
from mmlib import *
from mmlib.views.stepper import Stepper

m = Machine(TINY, sharing=FileTableCache())
a = m.spawn("a")
a.mmap(0x4000, 0x3000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
a.store(0x4000, b"rows")
b, c = a.fork("b"), a.fork("c")
b.store(0x4000, b"mine")
file = m.memfd("db", 0x8000)
for task in (a, b, c):
    task.mmap(0x40000, 0x8000, "rw", MAP_SHARED, file)
for task in (a, b, c):
    task.load(0x40000)
a.store(0x41000, b"once")
b.load(0x41000)
b.mprotect(0x40000, 0x4000, "r")
b.exit()
c.munmap(0x4000, 0x3000)
c.exit()
file.truncate(0x1000)
a.exit()
Stepper(m, name="One")""", """\
n = Machine(TINY)
d = n.spawn("d")
d.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
d.store(0x4000, b"x")
e = d.fork("e")
e.store(0x4000, b"y")
try:
    e.load(0x80000)
except Segfault:
    pass
Stepper(n, ask={2: "tables", 4: "copies", 5: "outcome"}, name="Two")"""]
STEPS = 21                              # of the first; the second has 6
OWN = "stepping.ipynb"

# Rows of [data-id, place] of everything that is drawn, seen or not.
PLACES = """(pic) => [...pic.querySelectorAll("[data-id]")].map((e) => {
  const box = e.getBBox(), at = e.getCTM(), in_svg = e.ownerSVGElement.getCTM();
  return [e.dataset.id, box.x, box.y, box.width, box.height,
          at.e - in_svg.e, at.f - in_svg.f].join(" "); }).join("\\n")"""

# In how many of 300 random jumps the picture differs from that of a forward pass.
JUMPS = """(root) => {
  const pic = root.querySelector(".mm-pic"), jump = root.querySelector(".mm-bar input");
  const go = (k) => { jump.value = k; jump.dispatchEvent(new Event("change")); };
  const seen = {}; let bad = 0, r = 1;
  for (let k = 1; k <= jump.max; k++) { go(k); seen[k] = pic.innerHTML; }
  for (let k = jump.max; k >= 1; k--) { go(k); bad += pic.innerHTML !== seen[k]; }
  for (let i = 0; i < 300; i++) {
    r = r * 48271 % 2147483647; const k = 1 + r % jump.max; go(k); bad += pic.innerHTML !== seen[k];
  }
  return [bad, new Set(Object.values(seen)).size]; }"""

# For each key: was the picture changed when the next frame was about to be drawn?
PROMPT = """(pic) => { window.prompt_ = [];
  addEventListener("keydown", () => { let changed = false;
    const watch = new MutationObserver(() => { changed = true; });
    watch.observe(pic, { subtree: true, attributes: true, childList: true, characterData: true });
    requestAnimationFrame(() => { changed ||= watch.takeRecords().length > 0; watch.disconnect();
                                  prompt_.push(changed); });
  }, { capture: true }); }"""

# In how many different places its boxes stand, over all steps: one, if nothing moves.
MOVED = """(root) => { const pic = root.querySelector(".mm-pic"), jump = root.querySelector(".mm-bar input");
  const texts = [...pic.querySelectorAll(".data text, .cell text, .many")], seen = new Set();
  texts.forEach((t) => { t.style.display = "none"; });        // a text that changes has another width
  for (let k = 1; k <= jump.max; k++) { jump.value = k; jump.dispatchEvent(new Event("change"));
    seen.add((%s)(pic)); }
  texts.forEach((t) => { t.style.display = ""; });
  return seen.size; }""" % PLACES

# Presses every control there is, at the last step, and opens three tables; the names of them all.
PRESSED = """(root) => { const names = [];
  const press = (all) => { for (const e of all) { names.push(e.getAttribute("aria-label"));
    e.dispatchEvent(new MouseEvent("click", { bubbles: true })); } };
  const find = (q) => [...root.querySelectorAll(q)].filter((e) => e.checkVisibility());
  press(find(".mm-bar button")); press(find(".mm-bar button"));
  press(find(".play")); press(find(".play")); press(find("[aria-label='Last step']"));
  press(find(".mm-panel .close")); press(find(".mm-show .toggle"));
  press(find(".mm-graph .table.on").slice(0, 3)); press(find(".mm-panel .mm-addr").slice(0, 9));
  press(find(".mm-form button")); press(find(".mm-panel.mm-table .close"));
  press(find("[aria-label='First step']"));
  return names; }"""


# What every frame shows: the number of visible boxes, and the width of the picture.
FRAMES = """(pic) => { window.frames_ = []; const look = () => {
  const svg = pic.querySelector("svg");
  frames_.push([pic.querySelectorAll(".n.on").length, svg ? svg.getBoundingClientRect().width : 0]);
  if (window.frames_.length < 10000) requestAnimationFrame(look); }; look(); }"""

# Contrast of every text with what is behind it, and of coloured lines with the background.
CONTRAST = """(root) => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const light = (rgb) => { const [r, g, b] = rgb.map((v) => v / 255)
    .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (one, other) => { const [x, y] = [light(one), light(other)].sort((p, q) => q - p);
    return (x + .05) / (y + .05); };
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = numbers(getComputedStyle(e).backgroundColor); if ((c[3] ?? 1) > 0) return c.slice(0, 3); }
    return [255, 255, 255]; };
  const page = behind(root.querySelector(".mm-pic")), out = [];
  for (const e of root.querySelectorAll("p, code, li, td, th, h4, h5, pre, summary, span, button, input, select, div.frame")) {
    if (!e.textContent.trim() && e.tagName !== "INPUT" || !e.checkVisibility()) continue;
    if (e.closest("[aria-disabled=true]")) continue;
    let opacity = 1; for (let o = e; o; o = o.parentElement) opacity *= getComputedStyle(o).opacity;
    const back = behind(e), c = numbers(getComputedStyle(e).color);
    out.push([`${e.tagName} ${e.className} ${e.textContent.slice(0, 20)}`,
              ratio(over([...c.slice(0, 3), opacity * (c[3] ?? 1)], back), back)]);
  }
  for (const e of root.querySelectorAll(".n.on text")) {
    const rect = e.parentElement.querySelector(":scope > rect:not(.again)");
    const fill = rect ? numbers(getComputedStyle(rect).fill) : page;
    if (e.textContent) out.push([`text ${e.textContent}`, ratio(numbers(getComputedStyle(e).fill), fill)]);
  }
  for (const e of root.querySelectorAll(".e.on, .n.on > .box")) {
    out.push([`line ${e.parentElement.dataset.id ?? e.dataset.id}`,
              ratio(numbers(getComputedStyle(e).stroke), page)]);
  }
  return out; }"""


class Stepping:
    """One stepper on a page, as a reader uses it."""

    def __init__(self, page, name):
        self.page = page
        self.root = page.get_by_role("group", name=f"{name}, stepper", exact=True)
        self.pic = self.root.locator(".mm-pic")
        self.say = self.root.locator(".mm-say")

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    @property
    def at(self):
        return int(self.root.get_by_role("spinbutton", name="Step", exact=True).input_value())

    def jump(self, k):
        self.root.get_by_role("spinbutton", name="Step", exact=True).fill(str(k))
        self.page.keyboard.press("Tab")
        assert self.at == k

    def press(self, *keys):
        self.pic.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def said(self):
        return self.say.inner_text()


@pytest.fixture(scope="module")
def own(chromium, jupyterlab):
    """The notebook of this file, open and run, with what its page threw and logged."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), jupyterlab.root / OWN)
    with ran(chromium, jupyterlab, OWN, lambda page: page.locator(".mm-stepper").nth(1),
             viewport={"width": 1280, "height": 1600}) as notebook:
        yield notebook


@pytest.fixture
def page(own):
    """The shared page; after each test it has neither thrown nor logged an error."""
    yield own.page
    assert own.errors == [] and own.logged == []
    own.page.set_viewport_size({"width": 1280, "height": 1600})


@pytest.fixture
def one(page):
    """The first stepper, at its first step."""
    stepping = Stepping(page, "One")
    stepping.jump(1)
    return stepping


@pytest.fixture
def two(own, page):
    """The second stepper, which asks, as if its cell had just been run."""
    assert own.run_all() is True
    return Stepping(page, "Two")


# the course ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def course(chromium, jupyterlab):
    """A page in which notebooks are opened one after the other."""
    address = f"{jupyterlab.url}/lab/tree/notebooks/{NOTEBOOKS[0]}?token={jupyterlab.token}&reset"
    with opened(chromium, address, viewport={"width": 1280, "height": 1600}) as notebook:
        yield notebook


def show(notebook, name):
    """Open a notebook in the page; shut the kernel of the one that was there."""
    notebook.page.evaluate("""async (path) => {
      const app = window.jupyterapp, old = app.shell.currentWidget;
      if (old?.context?.path === path) return;
      await app.commands.execute("docmanager:open", { path });
      await old.context.sessionContext.shutdown();
      old.context.model.dirty = false;              // or it asks whether to save
      old.close(); }""", f"notebooks/{name}")
    notebook.page.wait_for_function("""(path) => {
      const open = window.jupyterapp.shell.currentWidget;
      return open?.context?.path === path && open.context.isReady; }""", arg=f"notebooks/{name}")
    notebook.wait_idle()


def press_everything(stepper):
    """Every control; what was closed is open again, and it ends at the first step."""
    pressed, pair = stepper.evaluate(PRESSED), stepper.locator(".mm-pic").count() == 2
    panels = {"Close Differences", "Panel Counters"} if pair else \
        {"Close Walk", "Panel Memory", "Walk this address"}
    assert {"Next", "Back", "Play", "Pause", "Events"} | panels <= set(pressed)
    assert stepper.locator(".mm-panel:visible").count() == (4 if pair else 5)


def holds_still(stepper):
    """300 jumps end in the pictures of the forward pass; no frame is blank; nothing moves."""
    picture = stepper.locator(".mm-pic").first
    picture.evaluate(FRAMES)
    bad, _ = stepper.evaluate(JUMPS)
    places = stepper.evaluate(MOVED)
    frames = stepper.evaluate("() => { const f = window.frames_; window.frames_ = Array(10000); return f; }")
    assert (bad, places) == (0, 1)
    assert all(boxes for boxes, _ in frames) and len({width for _, width in frames}) <= 1


def photograph(page, stepper, name):
    """In both themes, for people to look at: build/screenshots."""
    stepper.locator(".mm-pic").first.focus()
    page.keyboard.press("End")
    for theme in ("Dark", "Light"):
        choose_theme(page, f"JupyterLab {theme}")
        stepper.screenshot(path=SCREENSHOTS / f"{name}-{theme.lower()}.png")


WHOLE = [name for name in NOTEBOOKS if name[:2] in ("03", "08")]     # the others: make test-all


@pytest.mark.parametrize("name, pressed", [
    *[pytest.param(name, name in WHOLE, id=name) for name in NOTEBOOKS],
    *[pytest.param(name, True, id=f"{name}-every-control", marks=pytest.mark.slow)
      for name in NOTEBOOKS if name not in WHOLE]])
def test_a_notebook_before_and_after_running(name, pressed, course, jupyterlab):
    """Before: every figure is there, with its alternative text. After: every stepper steps, and
    where *pressed*, each of its controls is."""
    show(course, name)
    page, nb = course.page, nbformat.read(jupyterlab.root / "notebooks" / name, as_version=4)
    figures = sum(output.get("data", {}).get("text/html", "").count("<figure")
                  for cell in nb.cells for output in cell.get("outputs", ()))
    for cell in page.locator(".jp-Notebook .jp-Cell").all():
        cell.scroll_into_view_if_needed()           # JupyterLab draws what comes into sight
    page.wait_for_function("""(n) => { const all = [...document.querySelectorAll("figure img")];
      return all.length === n && all.every((image) => image.complete); }""", arg=figures)
    images = page.eval_on_selector_all("figure img", """(all) => all.map((image) =>
      [image.naturalWidth, image.alt.trim().length, image.checkVisibility()])""")
    assert all(width > 0 and alt > 20 and seen for width, alt, seen in images)
    text = page.locator(".jp-Notebook").inner_text()
    assert "Error displaying widget" not in text and "VBox(" not in text
    errors = len(course.errors), len(course.logged)
    meant = any("raises-exception" in cell.metadata.get("tags", ()) for cell in nb.cells)
    assert course.run_all() is not meant
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    page.wait_for_function("""(n) => window.jupyterapp.shell.currentWidget.content.widgets
      .filter((cell) => cell.model.type === "code" && cell.model.executionCount).length === n""",
                           arg=len(code))
    course.wait_idle()                  # an error that is meant ends the promise before the run
    failed = page.locator(".jp-Notebook .jp-OutputArea-output[data-mime-type$='stderr']").count()
    assert failed == sum(o.output_type == "error" for cell in code for o in cell.outputs)
    for number, stepper in enumerate(page.locator(".mm-stepper").all()):
        last = int(stepper.get_by_role("spinbutton", name="Step", exact=True).get_attribute("max"))
        picture = stepper.locator(".mm-pic").first
        picture.focus()
        first = picture.inner_html()
        for key, at in (("End", last), ("Home", 1)):
            page.keyboard.press(key)
            assert picture.get_attribute("aria-label").startswith(f"Step {at} of {last}: ")
        assert picture.inner_html() == first
        if not pressed or stepper.locator(".mm-pic").count() == 2:      # test_browser_mount's
            continue
        press_everything(stepper)
        holds_still(stepper)
        photograph(page, stepper, f"{name.removesuffix('.ipynb')}-{number}")
    assert (len(course.errors), len(course.logged)) == errors, course.errors + course.logged


# stepping --------------------------------------------------------------------------------------
def test_keys_step_forward_and_back(one):
    """Arrows by one, Home and End to the ends; nothing beyond the ends."""
    one.press(*["ArrowRight"] * STEPS)
    assert one.at == STEPS
    one.press(*["ArrowLeft"] * STEPS)
    assert one.at == 1
    one.press("End", "ArrowLeft")
    assert one.at == STEPS - 1
    one.press("Home", "ArrowRight")
    assert one.at == 2 and one.pic.get_attribute("aria-label").startswith(f"Step 2 of {STEPS}: ")


def test_buttons_step_forward_and_back(one):
    """The same by mouse; a button at its end keeps the focus and does nothing."""
    for _ in range(STEPS):
        one.button("Next").click(force=True)        # at the end it is "disabled"
    assert one.at == STEPS and one.button("Next").get_attribute("aria-disabled") == "true"
    one.page.keyboard.press("ArrowLeft")
    assert one.at == STEPS - 1
    for _ in range(STEPS):
        one.button("Back").click(force=True)
    assert one.at == 1
    one.button("Last step").click()
    assert one.at == STEPS
    one.button("First step").click()
    assert one.at == 1


@pytest.mark.parametrize("typed, at", [("7", 7), ("0", 1), ("-3", 1), ("999", STEPS), ("2.4", 2),
                                       ("", 1)])
def test_the_jump_box_takes_any_number(one, typed, at):
    """Beyond the ends it is the end; the box then shows where we are."""
    one.jump(5)
    one.root.get_by_role("spinbutton", name="Step", exact=True).fill(typed)
    one.page.keyboard.press("Enter")
    assert one.at == at
    one.jump(1)


def test_back_forward_and_jump_end_in_the_same_picture(one):
    """States are total: 300 random jumps leave nothing of where they came from."""
    bad, different = one.root.evaluate(JUMPS)
    assert bad == 0 and different > STEPS / 2


def test_no_frame_is_blank(one):
    """Every frame that is drawn while keys are pressed shows boxes in a picture of one width."""
    one.pic.evaluate(FRAMES)
    one.press("End", "Home", *["ArrowRight"] * (STEPS - 1), *["ArrowLeft"] * (STEPS - 1))
    frames = one.page.evaluate("() => { const f = window.frames_; window.frames_ = Array(10000); return f; }")
    assert len(frames) > 10
    assert all(boxes for boxes, _ in frames) and len({width for _, width in frames}) == 1


def test_nothing_moves(one):
    """Place and size of every box, cell and arrow are those of the first step."""
    assert one.root.evaluate(MOVED) == 1 and one.at == STEPS


def test_what_stands_below_does_not_move(one):
    """The height of the stepper, and of each of its parts, is the same at every step."""
    parts = """(root) => [root, ...root.querySelectorAll(".mm-bar, .mm-say, .mm-pic, .mm-panel")]
      .map((e) => e.offsetHeight).join(" ")"""
    heights = set()
    for _ in range(STEPS):
        heights.add(one.root.evaluate(parts))
        one.press("ArrowRight")
    assert len(heights) == 1


def test_the_picture_has_changed_before_the_next_frame(one):
    """A key's effect is in the document when the browser is about to draw."""
    one.pic.evaluate(PROMPT)
    one.press(*["ArrowRight"] * (STEPS - 1))
    one.page.wait_for_function("(n) => prompt_.length === n", arg=STEPS - 1)
    prompt = one.page.evaluate("prompt_")
    same = 0                            # steps that look like the one before
    for k in range(2, STEPS + 1):
        one.jump(k - 1)
        before = one.pic.inner_html()
        one.jump(k)
        same += before == one.pic.inner_html()
    assert prompt.count(False) == same < STEPS / 2


def test_a_wide_picture_shows_what_is_new(one):
    """Its own scroll bar is moved where the first new box would be out of sight; else never."""
    one.page.set_viewport_size({"width": 700, "height": 1200})
    seen = """(pic) => { const e = pic.querySelector(".n.on.hot, .cell.hot");
      if (!e) return null; const a = e.getBoundingClientRect(), b = pic.getBoundingClientRect();
      return a.left >= b.left - 1 && a.right <= b.right + 1; }"""
    pic = one.pic.element_handle()      # JupyterLab lays out again some time after the window
    one.page.wait_for_function("(pic) => pic.scrollWidth > pic.clientWidth", arg=pic)
    found = []
    for _ in range(STEPS):
        found.append(one.pic.evaluate(seen))
        one.press("ArrowRight")
    assert False not in found and found.count(True) > STEPS / 2
    one.page.set_viewport_size({"width": 1600, "height": 1200})
    one.page.wait_for_function("(pic) => pic.scrollWidth <= pic.clientWidth", arg=pic)
    one.press("Home", "End")
    assert one.pic.evaluate("(pic) => pic.scrollLeft") == 0


# keys ------------------------------------------------------------------------------------------
def test_keys_do_not_reach_the_notebook(one):
    """b, d d, a, x: commands on cells in JupyterLab, and nothing in a stepper."""
    page = one.page
    count = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
    cells = page.evaluate(count)
    focusable = one.root.locator("button, input, select, summary, .table.on, [tabindex='0']").all()
    assert len(focusable) >= 30
    for element in focusable:
        if not element.is_visible():
            continue
        element.focus()
        for key in ("b", "d", "d", "a", "x", "Delete"):
            page.keyboard.press(key)
        assert page.evaluate(count) == cells, element.evaluate("(e) => e.outerHTML.slice(0, 90)")
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.mode") == "edit" or \
        one.at >= 1


def test_two_steppers_do_not_disturb_each_other(one):
    """Keys and buttons of one leave the other where it was."""
    other = Stepping(one.page, "Two")
    other.jump(3)
    before = other.pic.inner_html(), other.said()
    one.press("End", "ArrowLeft")
    one.button("Back").click()
    assert (other.at, (other.pic.inner_html(), other.said())) == (3, before)
    assert one.at == STEPS - 2
    assert one.page.evaluate("() => { const ids = [...document.querySelectorAll('.mm-stepper [id]')];"
                             " return ids.length; }") == 0


# names -----------------------------------------------------------------------------------------
def test_every_control_has_a_name(one):
    """What can have the focus says what it is: Chromium's accessibility tree is asked."""
    session = one.page.context.new_cdp_session(one.page)
    handle = session.send("Runtime.evaluate", {"expression": "document.querySelector('.mm-stepper')"})
    tree = session.send("Accessibility.queryAXTree", {"objectId": handle["result"]["objectId"]})
    named, nameless = [], []
    for node in tree["nodes"]:
        if any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ())):
            name = node.get("name", {}).get("value", "").strip()
            (named if name else nameless).append((node["role"]["value"], name))
    session.detach()
    roles = [role for role, _ in named]
    assert roles.count("button") >= 4 and "spinbutton" in roles and len(named) >= 9
    assert not [role for role, _ in nameless if role != "generic"], nameless


def test_parts_are_found_by_role_and_name(one):
    """As a screen reader finds them: group, toolbar, picture, live region, five regions."""
    one.jump(3)
    assert one.root.get_by_role("toolbar", name="Steps").count() == 1
    assert one.root.get_by_role("group", name=f"Step 3 of {STEPS}: a: arrows lead").count() == 1
    assert one.say.get_attribute("aria-live") == "polite"
    for name in ("What happened", "Walk", "Counters", "Mappings", "Memory"):
        assert one.root.get_by_role("region", name=name).count() == 1


def test_hidden_parts_are_hidden_from_everyone(one):
    """What is to come is neither in the accessibility tree nor found by Ctrl-F."""
    hidden = one.pic.evaluate("""(pic) => [...pic.querySelectorAll(".n:not(.on)")].map(
      (e) => getComputedStyle(e).visibility)""")
    assert len(hidden) > 10 and set(hidden) == {"hidden"}
    assert "PUD" not in one.pic.inner_text()


def test_the_picture_as_text(one):
    """The same state in words, at every step."""
    one.root.locator("summary").click()
    one.jump(3)
    assert 'rw page 6, "rows"' in one.root.locator(".mm-text pre").inner_text()
    one.press("End")
    assert "rows" not in one.root.locator(".mm-text pre").inner_text()
    one.root.locator("summary").click()


def test_panels_tell_the_step(one):
    """Events with their functions, mappings, counters with what changed."""
    one.jump(3)
    events = one.root.get_by_role("region", name="What happened").inner_text()
    assert "do_anonymous_page" in events and "0x4000" in events
    assert "0x4000-0x7000 rw-p anon" in \
        one.root.get_by_role("region", name="Mappings").inner_text()
    hot = one.root.get_by_role("region", name="Counters").locator("tr.hot").all_inner_texts()
    assert [row.split("\t") for row in hot] == [
        ["page tables", "3", "+3"], ["pages of data", "1", "+1"], ["faults", "1", "+1"],
        ["zero fills", "1", "+1"]]


# questions -------------------------------------------------------------------------------------
def test_a_question_is_asked_before_the_step_is_shown(two):
    """Picture and panels stay; the call is named, its outcome is not."""
    two.jump(2)
    before = two.pic.inner_html(), two.root.locator(".mm-panels").inner_html()
    two.press("ArrowRight")
    assert two.at == 2
    assert (two.pic.inner_html(), two.root.locator(".mm-panels").inner_html()) == before
    assert "Next: d.store(0x4000, b'x')" in two.said() and "How many page tables" in two.said()
    assert "fresh" not in two.said()
    assert two.page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("How many")


def test_a_right_answer(two):
    """The step is shown, with the reason; the arrow keys go on from there."""
    two.jump(2)
    two.press("ArrowRight")
    two.page.keyboard.type("3")
    two.page.keyboard.press("Enter")
    assert two.at == 3 and "Right: 3, top-level tables left out (new: PUD" in two.said()
    assert "1 of 1 predicted" in two.root.locator(".mm-bar").inner_text()
    two.page.keyboard.press("ArrowRight")
    assert two.at == 4


def test_a_wrong_answer_gives_the_reason_and_breaks_nothing(two):
    """Neither does what is no answer."""
    two.jump(2)
    two.button("Next").click()
    two.button("Answer").click()                    # nothing was typed
    assert two.at == 2 and "How many" in two.said()
    two.root.get_by_role("spinbutton", name="How many").fill("99")
    two.button("Answer").click()
    assert two.at == 3 and "Not 99: 3, top-level tables" in two.said()
    assert "0 of 1 predicted" in two.root.locator(".mm-bar").inner_text()
    two.page.keyboard.press("ArrowRight")
    two.page.keyboard.press("ArrowLeft")
    assert two.at == 3


def test_a_choice(two):
    """A button for each answer, by keyboard too."""
    two.jump(5)
    two.press("ArrowRight")
    choices = two.say.get_by_role("button").all_inner_texts()
    assert choices == ["it goes well", "SIGSEGV", "SIGBUS", "an error", "Skip"]
    two.say.get_by_role("button", name="SIGSEGV").focus()
    two.page.keyboard.press("Enter")
    assert two.at == 6 and "Right: SIGSEGV (SEGV_MAPERR): 0x80000" in two.said()
    two.page.keyboard.press("ArrowLeft")
    assert two.at == 5


def test_a_question_can_be_skipped(two):
    """By its button, by Next again, or by going back; the keys still arrive."""
    two.jump(2)
    two.press("ArrowRight")
    two.button("Skip the question").click()
    assert two.at == 3 and "fresh zeroed page" in two.said()
    two.page.keyboard.press("ArrowRight")
    assert two.at == 4
    two.button("Next").click()
    assert two.at == 4 and "How many pages will be copied?" in two.said()
    two.button("Next").click()
    assert two.at == 5
    two.button("Next").click()
    two.page.keyboard.press("ArrowLeft")            # a choice has the focus
    assert two.at == 4
    two.page.keyboard.press("ArrowRight")
    assert two.at == 5 and "predicted" not in two.root.locator(".mm-bar").inner_text()


def test_a_question_is_asked_once(two):
    """Going over the step again shows it, whether it was answered or skipped."""
    two.jump(2)
    two.press("ArrowRight")
    two.page.keyboard.type("3")
    two.page.keyboard.press("Enter")
    two.press("ArrowLeft", "ArrowRight")
    assert two.at == 3 and "fresh zeroed page" in two.said()
    two.press("ArrowRight", "ArrowRight")
    two.button("Skip the question").click()
    two.press("ArrowLeft", "ArrowRight")
    assert two.at == 5


def test_a_jump_does_not_ask(two):
    """Nor do End and Home, nor Back; a question left behind is asked later."""
    two.jump(3)
    two.press("End")
    assert two.at == 6
    two.press("ArrowLeft")
    assert two.at == 5
    two.press("Home", "ArrowRight", "ArrowRight")
    assert two.at == 2 and "How many page tables" in two.said()
    two.jump(1)
    assert "How many" not in two.said()


def test_a_question_keeps_the_height(two):
    """What stands below does not move while it is asked, nor when it is answered."""
    two.jump(2)
    heights = [two.root.evaluate("(e) => e.offsetHeight")]
    two.press("ArrowRight")
    heights.append(two.root.evaluate("(e) => e.offsetHeight"))
    fits = two.say.evaluate("(e) => e.scrollHeight <= e.clientHeight + 1")
    two.page.keyboard.type("7")
    two.page.keyboard.press("Enter")
    heights.append(two.root.evaluate("(e) => e.offsetHeight"))
    assert len(set(heights)) == 1 and fits


# looks -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_contrast(one, theme):
    """At least 4.5 to 1 for every text and every line that means something, in both themes."""
    page = one.page
    choose_theme(page, theme)
    try:
        for k in (3, 7, 13, 14, 16):
            one.jump(k)
            page.wait_for_function("(e) => e.getAnimations({ subtree: true }).length === 0",
                                   arg=one.root.element_handle())
            found = one.root.evaluate(CONTRAST)
            assert len(found) > 50
            assert [row for row in found if row[1] < 4.5] == []
    finally:
        choose_theme(page, "JupyterLab Light")


def test_reduced_motion(one):
    """Who asks for less motion gets none; others a short fade of what appears."""
    duration = "(pic) => getComputedStyle(pic.querySelector('.n.on')).transitionDuration"
    assert one.pic.evaluate(duration) != "0s"
    one.page.emulate_media(reduced_motion="reduce")
    assert one.pic.evaluate(duration) == "0s"
    one.page.emulate_media(reduced_motion="no-preference")


@pytest.mark.parametrize("width", [640, 1280, 1920])
def test_a_width(one, width):
    """Nothing overlaps, nothing sticks out; a wide picture has its own scroll bar."""
    one.page.set_viewport_size({"width": width, "height": 1400})
    one.jump(14)
    boxes = one.root.evaluate("""(root) => [".mm-bar > *", ".mm-bar, .mm-say, .mm-pic, .mm-panel"]
      .map((q) => [...root.querySelectorAll(q)].map((e) => { const b = e.getBoundingClientRect();
        return [b.left, b.top, b.right, b.bottom]; }).filter(([l, t, r, b]) => r > l && b > t))""")
    for group in boxes:
        assert len(group) >= 6
        for i, a in enumerate(group):
            assert a[0] >= 0 and a[2] <= width
            for b in group[i + 1:]:
                assert a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
    assert one.root.evaluate("(e) => e.scrollWidth <= e.clientWidth")
    one.button("Next").click()
    assert one.at == 15


# without a kernel ------------------------------------------------------------------------------
def test_it_steps_without_its_kernel(own, page):
    """All steps came with it. Last, since the page has no kernel afterwards."""
    one, two = Stepping(page, "One"), Stepping(page, "Two")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    page.wait_for_function(
        "() => !window.jupyterapp.shell.currentWidget.context.sessionContext.session?.kernel")
    own.logged.clear()                              # of JupyterLab itself
    one.press("Home", "End", "ArrowLeft")
    assert one.at == STEPS - 1
    one.button("Next").click()
    assert one.at == STEPS
    assert one.root.evaluate(JUMPS)[0] == 0
    two.jump(4)
    two.press("ArrowRight")
    assert two.at in (4, 5)
