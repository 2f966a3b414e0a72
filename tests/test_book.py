"""`make book`: pages that step without a kernel, a server or a network, and lead nowhere dead."""
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from build_book import ROOT, executed, main, mountable, slug
from bs4 import BeautifulSoup
from course_map import course_map, nearest, rows

CHOSEN = ("00_start_here", "03_fork_and_copy_on_write", "playground")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of three notebooks; the sources are not touched."""
    out = tmp_path_factory.mktemp("book")
    paths = [ROOT / "notebooks" / f"{name}.ipynb" for name in CHOSEN]
    before = [path.read_bytes() for path in paths]
    main([*map(str, paths), "--out", str(out)])
    assert [path.read_bytes() for path in paths] == before
    return out


@pytest.fixture(scope="module")
def pages(book):
    """Each page as a tree, by its path."""
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
            for path in sorted(book.rglob("*.html"))}


@pytest.fixture
def open_page(chromium, book):
    """A function: path in the book, and Playwright's context options -> page; afterwards it has
    asked nobody else for anything, and thrown and logged nothing."""
    contexts, wrong = [], []

    def open_(path, **options):
        contexts.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 1000}}
                                             | options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: None if re.match("file:|data:|blob:", request.url)
                else wrong.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.goto((book / path).as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def test_every_link_leads_somewhere(pages):
    """To a page of the book and a place on it; no file of the project is linked that is not one."""
    places = {path: {tag["id"] for tag in page.select("[id]")} for path, page in pages.items()}
    dead = []
    for path, page in pages.items():
        for tag in page.select("a[href], img[src]"):
            link = tag.get("href") or tag.get("src")
            if re.match(r"https?:|data:|mailto:", link):
                continue
            name, part = urldefrag(link)
            target = (path.parent / unquote(name)).resolve() if name else path
            if not target.is_file() or part and target in places and part not in places[target]:
                dead.append((path.name, link))
    assert len(pages) > 10 and not dead


def test_nothing_is_asked_of_another_host(pages):
    """No script, style, picture or font comes from elsewhere; the page forbids it, too."""
    for path, page in pages.items():
        assert not page.select("script[src], link[href], iframe, img[src^=http], [srcset]"), path
        policy = page.select_one('meta[http-equiv="Content-Security-Policy"]')["content"]
        assert policy.startswith("default-src 'none'"), path


def test_notebooks_are_linked_as_pages(pages, book):
    """Those that are in the book; the others are words."""
    links = [a["href"] for a in pages[book / "notebooks" / "00_start_here.html"].select("main a")]
    assert "03_fork_and_copy_on_write.html" in links and "../DESIGN.html" in links
    assert not [link for link in links if ".ipynb" in link or link.startswith("04_")]


def test_what_a_cell_prints_is_in_one_piece(tmp_path):
    """However it came from the kernel: else there would be a gap on the page."""
    path = tmp_path / "bits.ipynb"
    source = "import time\nfor n in range(3):\n    print(n, flush=True)\n    time.sleep(0.3)"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    [output] = executed(path).cells[0].outputs
    assert output.text == "0\n1\n2\n"


def test_solutions_are_folded(pages, book):
    """As in the notebook: a reader opens them."""
    page = pages[book / "notebooks" / "03_fork_and_copy_on_write.html"]
    folded = [tag for tag in page.select("details") if tag.summary.get_text() == "Solution"]
    source = (ROOT / "notebooks" / "03_fork_and_copy_on_write.ipynb").read_text(encoding="utf-8")
    assert len(folded) == source.count("<summary>Solution</summary>") > 4
    assert not any(tag.has_attr("open") for tag in folded)
    assert all(tag.select_one("pre") for tag in folded)


def test_the_map_is_that_of_notebook_00(pages, book):
    """Every row is in the drawing and in the list; what is in the book is linked."""
    page = pages[book / "index.html"]
    titles = [row.title for row in rows()]
    assert len(titles) == 13
    drawn = [" ".join(t.get_text() for t in text.select("tspan")) for text in page.select("svg text")]
    assert drawn == titles
    assert all(item.get_text().startswith(title) for item, title
               in zip(page.select("main ul li"), titles, strict=True))
    assert page.select_one('svg a[href="notebooks/03_fork_and_copy_on_write.html"]')
    assert page.select_one('a[href="notebooks/00_start_here.html"]')


def test_the_map_draws_no_line_twice():
    """What comes along with another is left out."""
    by_key = {row.key: row for row in rows()}
    assert nearest(by_key["09"], by_key) == ["07", "08"]
    assert course_map([], {}).count("(to come)") == len(by_key)


@pytest.mark.parametrize("text, anchor", [("What `fork` does", "what-fork-does"),
                                          ("mmlib/1", "mmlib1"), ("A, b: c", "a-b-c")])
def test_anchors_are_those_of_github(text, anchor):
    """Links of the documents are made for them."""
    assert slug(text) == anchor


def test_what_is_no_stepper_is_not_mounted():
    """A widget without steps keeps its still."""
    assert mountable({"data": {"x": 1}}) is mountable({}) is mountable({"result": {}}) is None


# in a browser --------------------------------------------------------------------------------
def test_a_stepper_steps_by_keys_and_buttons(open_page):
    """From a file, without a kernel: forward, a question, back, to the ends."""
    page = open_page("notebooks/03_fork_and_copy_on_write.html")
    stepper = page.get_by_role("group", name="Fork and copy on write, stepper")
    picture = stepper.locator(".mm-pic").first
    picture.focus()
    first = picture.inner_html()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert stepper.get_by_role("spinbutton", name="Step", exact=True).input_value() == "4"
    page.keyboard.press("ArrowRight")
    assert "How many page tables" in stepper.get_by_role("status").first.inner_text()
    page.keyboard.type("6")
    page.keyboard.press("Enter")
    assert "Right: 6" in stepper.get_by_role("status").first.inner_text()
    stepper.get_by_role("button", name="Last step").click()
    assert picture.inner_html() != first
    stepper.get_by_role("button", name="First step").click()
    assert picture.inner_html() == first


@pytest.mark.parametrize("name", CHOSEN)
def test_every_stepper_of_a_page_is_mounted(name, open_page):
    """As many as the notebook has live views, each with its steps; no still is left beside it."""
    page = open_page(f"notebooks/{name}.html")
    assert page.locator(".mm-mount > .mm-stepper").count() == 1
    assert page.locator(".mm-mount > figure, .mm-mount > script").count() == 0
    assert page.locator("text=Error displaying widget").count() == 0


def test_a_picture_of_a_document_is_there(open_page):
    """It was copied, and the page's own rules let it be shown."""
    image = open_page("README.html").locator("main img")
    assert image.evaluate("(image) => image.naturalWidth") > 0 and image.get_attribute("alt")


def test_without_javascript_the_still_is_there(open_page):
    """With its alternative text."""
    page = open_page("notebooks/03_fork_and_copy_on_write.html", java_script_enabled=False)
    still = page.locator(".mm-mount figure img")
    assert still.count() == 1 and len(still.get_attribute("alt")) > 20
    assert "Run the cell" not in page.locator(".mm-mount").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(scheme, open_page):
    """By the reader's own setting; every text of prose and code has 4.5:1."""
    page = open_page("notebooks/03_fork_and_copy_on_write.html", color_scheme=scheme)
    seen, low = page.evaluate("""() => {
      const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
      const light = (c) => { const [r, g, b] = c.map((v) => v / 255).map((v) => v <= .03928
        ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
      const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e)
        .backgroundColor); if ((c[3] ?? 1) > 0) return c.slice(0, 3); } return [255, 255, 255]; };
      const out = []; let seen = 0;
      for (const e of document.querySelectorAll("main :is(p, li, a, code, span, pre, h2, td)")) {
        if (e.closest(".mm-stepper, figure") || !e.textContent.trim() || !e.checkVisibility()) continue;
        seen += 1;
        const [x, y] = [light(rgb(getComputedStyle(e).color).slice(0, 3)), light(behind(e))]
          .sort((p, q) => q - p);
        if ((x + .05) / (y + .05) < 4.5) out.push(`${e.tagName} ${e.className} ${e.textContent.slice(0, 30)}`);
      }
      return [seen, out]; }""")
    assert seen > 300 and low == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    themed = page.locator("body").get_attribute("data-jp-theme-light")
    assert themed == ("false" if dark else "true")


def test_the_front_page_is_not_wider_than_the_window(open_page):
    """Nor is a notebook, on a small screen: what is wide scrolls in itself."""
    for path in ("index.html", "notebooks/00_start_here.html"):
        page = open_page(path, viewport={"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, path


def test_no_notebook_of_the_project_has_widget_state():
    """The state is in the book alone."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert "widgets" not in nbformat.read(path, as_version=4).metadata, Path(path).name
