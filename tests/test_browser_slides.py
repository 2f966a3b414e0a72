"""Slides by one key, as a presenter's remote sends it: nothing is passed over, all folds open."""
from pathlib import Path

import nbformat
import pytest
from make_slides import page as slides_of

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
# What is wholly on the screen now is added to `seen`; the result changes if a key did something.
LOOK = """() => {
  window.seen ??= new Set();
  for (const one of document.querySelectorAll("section :is(h1, h2, p, img, li, tr)")) {
    const box = one.getBoundingClientRect();
    if (one.checkVisibility() && box.top >= -1 && box.bottom <= innerHeight + 5) seen.add(one);
  }
  return `${scrollY} ${document.querySelectorAll("details[open]").length}`;
}"""
MISSED = """() => [...document.querySelectorAll("section :is(h1, h2, p, img, li, tr)")]
  .filter(one => one.checkVisibility() && !seen.has(one)).map(one => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("stem", ["04_map_a_file_twice", "08_cache_tables_with_the_file"])
def test_one_key_shows_all_of_every_slide(chromium, tmp_path, stem):
    """Each paragraph, picture and row has been on the screen as a whole; each answer is open."""
    file = tmp_path / "slides.html"
    file.write_text(slides_of(NOTEBOOKS / f"{stem}.ipynb"), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    page.goto(file.as_uri())
    assert page.locator("section > details").count() > 5
    assert page.locator("section > details[open]").count() == 0
    before, now = "", page.evaluate(LOOK)
    while now != before:
        page.keyboard.press("PageDown")
        before, now = now, page.evaluate(LOOK)
    assert page.evaluate(MISSED) == []
    assert page.locator("section > details:not([open])").count() == 0
    page.keyboard.press("PageUp")
    assert page.evaluate(LOOK) != now
    page.close()


def test_the_answer_stays_folded_until_the_question_was_seen(chromium, tmp_path):
    """A slide that is longer than the screen: the key scrolls first, then it opens."""
    cells = [nbformat.v4.new_markdown_cell("# T\n" + "\n\n".join(["line"] * 30)
                                           + "\n\n**Predict:** how many?"),
             nbformat.v4.new_code_cell("1 + 1", outputs=[nbformat.v4.new_output(
                 "execute_result", {"text/plain": "2"}, execution_count=1)])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "t.ipynb")
    (tmp_path / "t.html").write_text(slides_of(tmp_path / "t.ipynb"), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    page.goto((tmp_path / "t.html").as_uri())
    page.keyboard.press("ArrowRight")
    assert page.evaluate("scrollY") > 100
    assert page.locator("section > details[open]").count() == 0
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.locator("section > details[open]").count() == 1
    page.close()
