"""The stepper on a page of its own: no JupyterLab, no kernel, no widget manager, no network."""
import json
import re
from pathlib import Path

import pytest
import scenes
from scenes import ANON, PAGE

from mmlib import MAP_SHARED, TINY, X86_64, FileTableCache, Machine, Private, views
from mmlib.views import micro
from mmlib.views.beside import SideBySide
from mmlib.views.esm import assemble, style
from mmlib.views.seen import seen
from mmlib.views.stepper import Stepper

PAGE_OF = """<!doctype html><meta charset="utf-8"><style>{style}</style>
<body><button id="before">before</button><div id="here"></div>
<script type="module">{module}
window.stepper = mount(document.getElementById("here"), {data});</script>"""


@pytest.fixture(scope="module")
def empty(chromium):
    """A page without a network, and what it threw and logged."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1600}, offline=True)
    page, errors = context.new_page(), []
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: errors.append(error))
    page.on("console", lambda message: errors.append(message.text))
    yield page, errors
    context.close()


@pytest.fixture
def show(empty):
    """A function: a stepper -> the page that shows it. What the page throws fails the test."""
    page, errors = empty
    errors.clear()

    def show_(stepper):
        page.goto("about:blank")
        page.set_content(PAGE_OF.format(style=style(), module=assemble(),
                                        data=json.dumps(stepper.data).replace("</", "<\\/")))
        page.locator(".mm-stepper").wait_for()
        return page

    yield show_
    assert errors == []


def story():
    """Six calls of two processes: the second step with a walk is number 3."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, 3 * PAGE, "rw", ANON)
    a.store(0x4000, b"one")
    a.store(0x5000, b"two")
    b = a.fork("b")
    b.store(0x4000, b"new")
    return m


def at(page):
    return int(page.get_by_role("spinbutton", name="Step", exact=True).input_value())


def said(page):
    return page.locator(".mm-say").inner_text()


def press(page, *keys):
    page.locator(".mm-pic").first.focus()
    for key in keys:
        page.keyboard.press(key)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def table(page, name):
    return page.get_by_role("button", name=re.compile(rf"^{name}\b"))


def region(page, name):
    return page.get_by_role("region", name=name, exact=True)


# play ------------------------------------------------------------------------------------------
def test_play_goes_to_the_end_and_stops(show):
    """Every step is passed; the button says what it does next; the live region is silent."""
    page = show(Stepper(story()))
    page.get_by_label("Speed").select_option("200")
    page.evaluate("""() => { window.seen = []; new MutationObserver(() => seen.push(
      document.querySelector(".mm-bar input").value)).observe(
      document.querySelector(".mm-say"), { childList: true }); }""")
    button(page, "Play").click()
    assert button(page, "Pause").count() == 1
    assert page.locator(".mm-say").get_attribute("aria-live") == "off"
    button(page, "Play").wait_for()
    assert at(page) == 6 and page.locator(".mm-say").get_attribute("aria-live") == "polite"
    page.get_by_label("Speed").select_option("3000")
    button(page, "Play").click()                    # at the end it begins again
    assert at(page) == 1 and button(page, "Pause").count() == 1


@pytest.mark.parametrize("stop", ["Pause", "Back", "First step"])
def test_play_is_stopped_by_what_a_reader_does(show, stop):
    """By its own button, by another, or by a key."""
    page = show(Stepper(story()))
    page.get_by_label("Speed").select_option("3000")
    button(page, "Play").click()
    button(page, stop).click()
    assert button(page, "Play").count() == 1


def test_play_waits_for_an_answer(show):
    """A question stops it."""
    page = show(Stepper(story(), ask={3: "faults"}))
    page.get_by_label("Speed").select_option("200")
    button(page, "Play").click()
    button(page, "Answer").wait_for()
    assert at(page) == 3 and button(page, "Play").count() == 1


# by event --------------------------------------------------------------------------------------
def test_by_event_every_event_is_a_stop(show):
    """Forward, and back the same way; the page keys go by whole calls; what is to come is hidden."""
    m = story()
    page = show(Stepper(m))
    page.evaluate("stepper.go(1)")
    button(page, "Events").click()
    assert button(page, "Events").get_attribute("aria-pressed") == "true"
    forth = []
    for event in m.trace[2].events:
        press(page, "ArrowRight")
        assert event.text in said(page) and event.function in said(page)
        assert at(page) == 3 and "one" not in page.locator(".mm-pic").inner_text()
        forth.append(page.locator(".mm-pic").inner_html())
    assert len(set(forth)) > 8
    press(page, "ArrowRight")
    assert "one" in page.locator(".mm-pic").inner_text() and "Event" not in said(page)
    for picture in reversed(forth):
        press(page, "ArrowLeft")
        assert page.locator(".mm-pic").inner_html() == picture
    press(page, "ArrowLeft")
    assert at(page) == 2
    press(page, "ArrowRight", "PageDown")
    assert at(page) == 3 and "Event" not in said(page)
    press(page, "PageDown")
    assert at(page) == 4 and "Event" not in said(page)
    press(page, "ArrowLeft", "PageUp")
    assert at(page) == 3
    press(page, "ArrowRight")
    button(page, "Events").click()           # within a call: its end is shown
    assert at(page) == 4 and "Event" not in said(page)


def test_a_call_of_many_events_says_that_not_all_are_stops(show):
    """How many there are; at the last stop, that the others come at once; then they are told."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, 8 * PAGE, "rw", ANON)
    a.store(0x4000, bytes(8 * PAGE))
    many = len(m.trace[-1].events)
    assert many > micro.MOST
    page = show(Stepper(m))
    page.evaluate("stepper.go(1)")
    button(page, "Events").click()
    press(page, "ArrowRight")
    assert f"Event 1 of {many}:" in said(page) and "at once" not in said(page)
    press(page, *["ArrowRight"] * (micro.MOST - 1))
    assert f"Event {micro.MOST} of {many}:" in said(page)
    assert f"does the other {many - micro.MOST} at once" in said(page)
    say = page.locator(".mm-say")
    assert say.evaluate("(e) => e.scrollHeight <= e.clientHeight")      # and nothing of it is cut
    press(page, "ArrowRight")
    assert "Event" not in said(page) and at(page) == 3
    assert region(page, "What happened").locator("li").count() == many
    for k in range(3):
        page.evaluate("(k) => stepper.go(k)", k)
        assert "last stop" not in said(page)


def test_within_a_call_the_panels_tell_what_was_before(show):
    """But for the events so far; the counters have not counted yet."""
    page = show(Stepper(story()))
    page.evaluate("stepper.go(1)")
    counters = region(page, "Counters").inner_text()
    button(page, "Events").click()
    press(page, "ArrowRight", "ArrowRight")
    assert region(page, "Counters").inner_text() == counters
    assert "byte 0, before this call" in region(page, "Walk").inner_text()
    assert region(page, "What happened").locator("li").count() == 2
    assert region(page, "What happened").locator("li[aria-current]").count() == 1


def test_the_height_is_constant_by_event(show):
    """Nothing below moves."""
    page = show(Stepper(story()))
    button(page, "Events").click()
    heights = set()
    for _ in range(30):
        press(page, "ArrowRight")
        heights.add(page.locator(".mm-stepper").evaluate("(e) => e.offsetHeight"))
    assert len(heights) == 1 and at(page) > 3


# panels ----------------------------------------------------------------------------------------
def test_every_panel_can_be_closed_and_opened(show):
    """By its own button and by the one below the picture; the focus is not lost."""
    page = show(Stepper(story()))
    for name in ("What happened", "Walk", "Counters", "Mappings", "Memory"):
        assert region(page, name).is_visible()
        button(page, f"Close {name}").click()
        assert not region(page, name).count()
        toggle = button(page, f"Panel {name}")
        assert toggle.get_attribute("aria-pressed") == "false"
        assert toggle.evaluate("(e) => e === document.activeElement")
        page.keyboard.press("Enter")
        assert region(page, name).is_visible() and toggle.get_attribute("aria-pressed") == "true"


def test_mappings_are_to_scale(show):
    """Twice as long is twice as wide, in one and the same mm and between two; flags are told."""
    m = Machine(TINY)
    a, b = m.spawn("a"), m.spawn("b")
    a.mmap(0x4000, 2 * PAGE, "rw", ANON)
    a.mmap(0x40000, 4 * PAGE, "r", ANON)
    b.mmap(0x80000, 8 * PAGE, "rw", ANON)
    b.mlock(0x80000, 8 * PAGE)
    page = show(Stepper(m))
    page.evaluate("stepper.go(5)")
    one, two, four = [bar.bounding_box()["width"] for bar in page.locator(".vma").all()]
    assert two == pytest.approx(2 * one, abs=1) and four == pytest.approx(4 * one, abs=2)
    assert "0x80000-0x88000 rw-p anon lo (changed)" in region(page, "Mappings").inner_text()
    page.evaluate("stepper.go(3)")
    assert "0x40000-0x44000 r--p anon (new)" in region(page, "Mappings").inner_text()


def test_the_walk_has_the_bits_of_each_entry(show):
    """Of the address of the step, top down; where it ends."""
    page = show(Stepper(story()))
    page.evaluate("stepper.go(2)")
    rows = region(page, "Walk").locator("tr.walk").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == ["PGD 2", "PUD 3", "PMD 4", "PTE 5"]
    assert "P RW US A D ·· NX" in rows[3] and "page 6: load and store" in rows[3]
    assert "TLB of CPU 0: frame 6, rw" in region(page, "Walk").inner_text()


def test_memory_is_told_by_owner(show):
    """Every frame at its place, with what is in it and whose it is."""
    page = show(Stepper(story()))
    page.evaluate("stepper.go(5)")
    frames = region(page, "Memory").locator(".frame")
    count = frames.count()
    assert frames.nth(5).inner_text().split() == ["5", "PTE", "a"]
    assert frames.nth(7).inner_text().split() == ["7", "anon", "x2", "a"]
    assert "a 4 + 2, b 4 + 1" in region(page, "Memory").inner_text()
    page.evaluate("stepper.go(0)")
    assert frames.count() == count and frames.nth(5).inner_text().split() == ["5", "free"]


def test_a_huge_page_is_as_many_frames_as_it_has(show):
    """The first says what it is, the others how far they are from it."""
    m = Machine(TINY, huge_pages=2)
    m.mount("hugetlbfs", "/huge")
    a = m.spawn("a")
    file = a.open("/huge/db")
    file.truncate(8 * PAGE)
    a.mmap(0x40000, 8 * PAGE, "rw", MAP_SHARED, file)
    a.store(0x44000, b"x")
    page = show(Stepper(m))
    press(page, "End")
    told = region(page, "Memory").locator(".frame:not(.free)").all_inner_texts()
    start = next(i for i, text in enumerate(told) if "huge" in text)
    first = int(told[start].split()[0])
    assert [text.split() for text in told[start:start + 4]] == [
        [str(first), "huge", "db"], *([str(first + i), f"(+{i})", "db"] for i in (1, 2, 3))]


# for who hears the page ------------------------------------------------------------------------
def test_the_focus_is_never_lost(show):
    """A table that is gone gives it to the picture; the address that is typed keeps it."""
    page = show(Stepper(story()))
    active = "() => document.activeElement.getAttribute('aria-label')"
    press(page, "End", "Enter", "ArrowRight")
    assert page.evaluate(active).startswith("P")                        # a table of b
    page.keyboard.press("Home")
    assert page.evaluate(active).startswith("Step 1 of 6: ")
    page.keyboard.press("ArrowRight")
    assert at(page) == 2
    page.get_by_label("Address to walk").focus()
    page.evaluate("stepper.go(4)")
    assert page.evaluate(active).startswith("Address to walk")


def test_what_happens_elsewhere_is_announced(show):
    """A table that is opened, a walk that is lit, where Play ended; stepping on says it no more."""
    page = show(Stepper(story()))
    note = page.locator(".mm-stepper > .mm-heard[role=status]")
    press(page, "End", "Enter", "Enter")
    assert "The panel Table has its entries." in note.text_content()
    page.get_by_label("Address to walk").fill("0x5000")
    page.keyboard.press("Enter")
    assert note.text_content().startswith("Your address 0x5000 of b:")
    press(page, "Home")
    assert note.text_content() == ""
    page.get_by_label("Speed").select_option("200")
    button(page, "Play").click()
    button(page, "Play").wait_for()
    assert note.text_content() == "The end, step 6 of 6."


def test_a_picture_is_called_by_what_to_see(show):
    """Its place in the trace, the sentence of seen.py, the call; the place is announced, too."""
    m = story()
    page = show(Stepper(m))
    for k, step in enumerate(m.trace):
        page.evaluate("(k) => stepper.go(k)", k)
        assert page.locator(".mm-pic").get_attribute("aria-label") == \
            f"Step {k + 1} of 6: {seen(step.after)} After {step.action}."
        assert said(page).startswith(f"Step {k + 1} of 6.\n")


# tables and addresses --------------------------------------------------------------------------
def test_a_click_on_a_table_shows_its_entries(show):
    """Each with address, bits and meaning; stepping on fills the panel anew; × closes it."""
    page = show(Stepper(story()))
    page.evaluate("stepper.go(2)")
    table(page, "PTE 5").click()
    rows = region(page, "Table").locator("tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == ["0", "1", "2", "3"]
    assert "0x4000" in rows.nth(0).inner_text() and "page 6" in rows.nth(0).inner_text()
    assert "empty" in rows.nth(1).inner_text()
    press(page, "ArrowRight")
    assert "page 7" in rows.nth(1).inner_text()
    press(page, "Home")
    assert "not there at this step" in region(page, "Table").inner_text()
    button(page, "Close Table").click()
    assert not region(page, "Table").count()


def test_a_table_of_512_entries_is_a_grid(show):
    """Arrow keys go from entry to entry; one letter says what an entry allows."""
    m = Machine(X86_64)
    a = m.spawn("a")
    a.mmap(0x400000, 16 * PAGE, "rw", ANON)
    a.store(0x400000, b"x")
    a.load(0x401000)
    page = show(Stepper(m))
    page.evaluate("stepper.go(3)")
    table(page, "PTE").click()
    grid = region(page, "Table").get_by_role("listbox")
    assert grid.get_by_role("option").count() == 512
    assert grid.locator("span").all_inner_texts()[:3] == ["w", "r", ""]
    grid.focus()
    page.keyboard.press("ArrowRight")
    entry = region(page, "Table").locator(".entry")
    assert "Entry 1:" in entry.inner_text() and "the zero page" in entry.inner_text()
    chosen = grid.get_by_role("option", selected=True)
    assert chosen.get_attribute("aria-label") == "entry 1: the zero page: load only"
    assert chosen.get_attribute("id") == grid.get_attribute("aria-activedescendant")
    page.keyboard.press("End")
    assert "Entry 511:" in entry.inner_text() and "empty" in entry.inner_text()
    grid.locator("span").nth(0).click()
    assert "Entry 0:" in entry.inner_text() and at(page) == 4
    page.set_viewport_size({"width": 640, "height": 900})               # 1280 at 200 %
    assert region(page, "Table").evaluate("(e) => e.scrollHeight <= e.clientHeight")
    page.set_viewport_size({"width": 1280, "height": 1600})


def test_the_picture_by_keyboard(show):
    """Enter goes in, arrows go to the table in that direction, Enter opens, Escape leaves."""
    page = show(Stepper(story()))
    page.evaluate("stepper.go(4)")
    name = "() => document.activeElement.getAttribute('aria-label')"
    press(page, "Home", "Enter")
    assert page.evaluate(name) == "PGD 2"
    page.keyboard.press("Escape")
    press(page, "End", "Enter", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft", "ArrowLeft")
    assert page.evaluate(name) == "PGD 2" and at(page) == 6
    page.keyboard.press("ArrowDown")
    assert page.evaluate(name) == "PUD 3"
    page.keyboard.press("Enter")
    assert "PUD 3: one user" in region(page, "Table").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowLeft")
    assert at(page) == 5


def test_a_click_on_an_address_lights_its_walk(show):
    """From the narration, from the mappings, and typed; the step's own comes back."""
    page = show(Stepper(story()))
    page.evaluate("stepper.go(3)")
    lit = """() => [...document.querySelectorAll(".cell.walk")].map((e) => e.dataset.id)"""
    own = page.evaluate(lit)
    assert own[-1].endswith(".1")
    region(page, "Mappings").get_by_role("button", name="Walk 0x4000", exact=True).click()
    other = page.evaluate(lit)
    assert other[:-1] == own[:-1] and other[-1].endswith(".0")
    assert "0x4000 of a" in region(page, "Walk").inner_text()
    page.get_by_label("Address to walk").fill("0x40000")
    page.keyboard.press("Enter")
    assert len(page.evaluate(lit)) == 1 and "there is no page" in region(page, "Walk").inner_text()
    assert "Your address 0x40000 of a" in region(page, "Walk").inner_text()
    page.get_by_label("Address to walk").fill("nonsense")
    page.keyboard.press("Enter")
    assert page.get_by_label("Address to walk").get_attribute("aria-invalid") == "true"
    assert "\u201cnonsense\u201d is no address" in region(page, "Walk").get_by_role("alert").inner_text()
    press(page, "ArrowLeft", "ArrowRight")                              # what was typed stays
    assert len(page.evaluate(lit)) == 1
    button(page, "Walk the step's address").click()
    assert page.evaluate(lit) == own and "Your address" not in region(page, "Walk").inner_text()
    region(page, "Mappings").get_by_role("button", name="Walk 0x4000", exact=True).click()
    assert page.evaluate(lit) == other
    press(page, "ArrowLeft", "ArrowRight")                              # a click was a look
    assert page.evaluate(lit) == own
    region(page, "What happened").get_by_role("button", name="Walk 0x5000").first.click()
    assert page.evaluate(lit) == own and at(page) == 4


def test_the_walk_is_that_of_python(show):
    """For every step of a trace, JavaScript and state.py light the same cells and arrows."""
    for scene in (scenes.fork, scenes.cache, scenes.hugetlb, scenes.region):
        stepper = Stepper(scene())
        page = show(stepper)
        tried = 0
        for k, step in enumerate(stepper.trace):
            mine = {name for name, (classes, _) in stepper.states[k].items() if "walk" in classes}
            if not mine:
                continue
            page.evaluate("(k) => stepper.go(k)", k)
            button(page, "Walk this address").click()
            lit = page.evaluate("""() => [...document.querySelectorAll(".mm-pic .on.walk")].map(
              (e) => e.dataset.id)""")
            assert set(lit) == mine, step
            button(page, "Walk the step's address").click()
            tried += 1
        assert tried > 2


# which table -----------------------------------------------------------------------------------
def test_a_table_as_the_answer_by_click(show):
    """The reason names what changed; the tally counts."""
    page = show(Stepper(story(), ask={3: "entry"}))
    page.evaluate("stepper.go(2)")
    press(page, "ArrowRight")
    assert "Which table" in said(page) and at(page) == 3
    table(page, "PMD 4").click()
    assert "Not PMD 4: PTE 5: entry 1 was empty and is frame 7 rw." in said(page)
    assert at(page) == 4 and "0 of 1 predicted" in page.locator(".mm-bar").inner_text()
    assert not region(page, "Table").count()        # the click was the answer and no more


def test_a_table_as_the_answer_by_keyboard(show):
    """Enter into the picture, arrows, Enter; or the button for none."""
    page = show(Stepper(story(), ask={3: "walk", 4: "walk"}))
    page.evaluate("stepper.go(2)")
    press(page, "ArrowRight")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "Right: PTE 5: its entry 1 is empty." in said(page)
    page.keyboard.press("ArrowRight")               # steps again: the picture has the focus
    page.locator(".mm-say").get_by_role("button", name="nothing is walked").click()
    assert "Right: Nothing is walked" in said(page)
    assert "2 of 2 predicted" in page.locator(".mm-bar").inner_text()


def test_the_first_answer_moves_nothing(show):
    """At a width at which the toolbar has just no room for the tally, it has a line for it."""
    page = show(Stepper(story(), ask={3: "faults"}))
    page.set_viewport_size({"width": 640, "height": 900})
    page.evaluate("stepper.go(2)")
    top = "(e) => e.offsetTop"
    before = page.locator(".mm-pic").evaluate(top)
    press(page, "ArrowRight")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    assert "1 of 1 predicted" in page.locator(".mm-bar").inner_text()
    assert page.locator(".mm-pic").evaluate(top) == before
    page.set_viewport_size({"width": 1280, "height": 1600})


# files -----------------------------------------------------------------------------------------
def saved(page, kind):
    page.locator("details.mm-text").evaluate("(e) => { e.open = true; }")
    with page.expect_download() as download:
        button(page, f"Save as {kind}").click()
    return download.value


def test_the_picture_is_saved_as_svg(show, tmp_path):
    """What is there and nothing else, in colours of its own."""
    page = show(Stepper(story(), name="A story"))
    page.evaluate("stepper.go(2)")
    file = saved(page, "SVG")
    file.save_as(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert file.suggested_filename == "A-story-3.svg"
    assert "PTE 5" in text and ">one<" in text and "PGD 8" not in text and "<style" in text
    assert page.evaluate("""(text) => new DOMParser().parseFromString(text, "image/svg+xml")
      .querySelector("parsererror") === null""", text)


def test_the_picture_is_saved_as_png(show, tmp_path):
    """Twice as large as on the page."""
    page = show(Stepper(story()))
    file = saved(page, "PNG")
    file.save_as(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    width = page.locator(".mm-graph").evaluate("(e) => e.viewBox.baseVal.width")
    assert data.startswith(b"\x89PNG") and int.from_bytes(data[16:20]) == 2 * width
    assert len(data) > 2000


def test_the_picture_is_saved_as_dot(show, tmp_path):
    """Every box pinned; Graphviz draws it, where there is one."""
    from mmlib.views.dot import render

    page = show(Stepper(story()))
    page.evaluate("stepper.go(2)")
    file = saved(page, "DOT")
    file.save_as(tmp_path / "a.dot")
    text = (tmp_path / "a.dot").read_text()
    boxes = page.locator(".n.on").count()
    assert text.startswith("digraph {") and len(re.findall(r"\[pos=\"[\d.,]+\" label=", text)) == boxes
    png = render(text)
    assert png is None or len(png) > 2000


# side by side ----------------------------------------------------------------------------------
def pair():
    out = []
    for policy in (Private(), FileTableCache()):
        m = Machine(TINY, sharing=policy)
        file = m.memfd("db", 4 * PAGE)
        for name in "ab":
            m.spawn(name).mmap(0x40000, 4 * PAGE, "rw", MAP_SHARED, file)
        for task in m.tasks:
            task.load(0x40000)
        out.append(m)
    return SideBySide(*out, names=("private", "cached"))


def test_two_step_together(show):
    """One toolbar, both pictures; one below the other."""
    page = show(pair())
    assert page.get_by_role("toolbar").count() == 1 and page.locator(".mm-pic").count() == 2
    top, below = [pic.bounding_box() for pic in page.locator(".mm-pic").all()]
    assert below["y"] >= top["y"] + top["height"] and below["x"] == top["x"]
    press(page, "End")
    assert all("Step 7 of 7" in pic.get_attribute("aria-label")
               for pic in page.locator(".mm-pic").all())
    assert "private: b.load" in said(page) and "cached: b.load" in said(page)


def test_what_differs_is_marked_and_told(show):
    """In the pictures by a sign and by name, in a panel by sentences, at the counters by a sign."""
    page = show(pair())
    assert "alike" in region(page, "Differences").inner_text()
    assert page.locator(".n.on.diff").count() == 0
    press(page, "End")
    assert page.locator(".n.on.diff .differs").count() == 3      # two private ones, one shared
    assert page.get_by_role("button", name=re.compile("^PTE .*, differs$")).count() == 3
    assert "a, PTE table of 0x40000: its own (private), shared by 2 (cached)." in \
        region(page, "Differences").inner_text()
    rows = region(page, "Counters").locator("tr.diff").all_inner_texts()
    assert [row.split("\t") for row in rows] == [["page tables", "6", "5", "≠"]]


def test_two_by_event(show):
    """The call that has fewer events is over sooner."""
    page = show(pair())
    button(page, "Events").click()
    press(page, "End", "PageUp")
    labels = []
    for _ in range(25):
        press(page, "ArrowRight")
        labels.append([pic.get_attribute("aria-label").partition(":")[0]
                       for pic in page.locator(".mm-pic").all()])
    assert labels[-1] == ["Step 7 of 7"] * 2
    assert any("event" in one and "event" not in other for one, other in labels)


# looks -----------------------------------------------------------------------------------------
def test_high_contrast_has_the_colours_of_the_reader(show):
    """Boxes, text and arrows; what is new and what was walked differ; a switch shows its state."""
    page = show(Stepper(story()))
    page.emulate_media(forced_colors="active", color_scheme="dark")
    press(page, "End")
    colour = "(e, name) => getComputedStyle(e)[name]"
    text = page.locator(".mm-say").evaluate(colour, "color")
    for box in page.locator(".mm-graph .n.on:not(.hot) > .box, .mm-graph .e.on").all():
        assert box.evaluate(colour, "stroke") == text
    assert page.locator(".mm-graph .cell.hot rect").first.evaluate(colour, "stroke") != text
    walked, other = page.locator(".cell.walk rect").first, page.locator(".cell:not(.walk) rect").first
    assert walked.evaluate(colour, "fill") != other.evaluate(colour, "fill")
    mark = "(e) => getComputedStyle(e, '::before').content"
    assert button(page, "Panel Walk").evaluate(mark) != button(page, "Panel Table").evaluate(mark)
    page.emulate_media(forced_colors="none", color_scheme="light")


def test_no_name_of_what_is_to_come(show):
    """The accessibility tree has the tables that are there, and no others."""
    page = show(Stepper(story()))
    names = page.get_by_role("button", name=re.compile("^(PGD|PUD|PMD|PTE)"))
    assert names.count() == 1
    press(page, "End")
    assert names.count() == 8
    press(page, "Home")
    assert names.count() == 1 and page.locator(".mm-pic [aria-label*='PTE']").count() == 0


def test_no_two_modules_define_the_same_name():
    """Put together they are one scope; and everything that is imported is there."""
    source = assemble()
    names = re.findall(r"(?m)^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", source)
    assert len(names) == len(set(names)) > 40
    imports = [line for path in Path(views.__file__).parent.glob("*.js")
               for line in path.read_text(encoding="utf-8").splitlines() if line[:6] == "import"]
    assert len(imports) > 15 and not [line for line in imports if " as " in line]
    assert not re.search(r"(?m)^import ", source) and source.count("export default") == 1
