"""Write a page of slides for each notebook: `make slides`.

A slide is a section of the notebook.  The pages are alone in their files: no script, style or
picture comes from another host, so a lecture needs a browser and no network.  What follows a
question is folded until the class has answered.
"""
import argparse
import re
from html import escape
from pathlib import Path

import nbformat
from make_student import without_solutions
from nbconvert.filters import Highlight2HTML, markdown2html
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[1]
# For a reader at a desk; on a wall they would only be scrolled past.
NOT_SHOWN = {"Exercises", "What we left out", "In the real kernel", "Further reading", "Next"}
STYLE = """
html { font: 1.3rem/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff }
body { margin: 0 }
section { box-sizing: border-box; min-height: 100vh; padding: 2rem 6vw;
          border-bottom: 1px solid #ddd }
section > * { max-width: 60rem; margin-left: auto; margin-right: auto }
h1, h2, h3 { line-height: 1.15; color: #0b3d6e }
h1 { font-size: 2.6rem } h2 { font-size: 2rem }
pre { font-size: .85rem; white-space: pre-wrap; background: #f5f5f5; padding: .6rem .9rem }
.output pre { background: none; border-left: .3rem solid #0b3d6e }
.output { overflow-x: auto }
img { zoom: 1.3; max-width: 100%; height: auto; max-height: 70vh; object-fit: contain;
      object-position: left }
table { border-collapse: collapse; font-size: 1rem } td, th { border: 1px solid #bbb;
        padding: .25rem .5rem; text-align: left }
.output table { font-size: .72rem } .output :is(td, th) { padding: .25rem .3rem }
blockquote { border-left: .3rem solid #999; margin-left: 0; padding-left: 1rem; color: #333 }
summary { cursor: pointer; color: #0b3d6e; font-weight: bold }
.anchor-link { display: none }
@media print { section { break-after: page; min-height: 0; border: 0 }
               pre, img, tr { break-inside: avoid } }
"""
# One key goes on, since a presenter's remote has no more: to what does not fit on the screen, then
# to the answer, then to the next slide.  All else is the browser's.
SCRIPT = """
function goOn(slides, now) {
  const slide = slides[now], folded = slide.querySelector(":scope > details:not([open])");
  const cut = [...slide.querySelectorAll("h1, h2, h3, p, pre, img, li, tr, summary, figcaption")]
    .find(one => one.checkVisibility() && one.getBoundingClientRect().bottom > innerHeight + 4);
  if (cut) show(slide, cut);
  else if (folded) { folded.open = true; if (isCut(slide)) show(slide, folded); }
  else slides[now + 1]?.scrollIntoView();
}
const isCut = one => one.getBoundingClientRect().bottom > innerHeight + 40;
function show(slide, one) {           // at the top of the screen, without the slide that follows
  const top = one.getBoundingClientRect().top;
  const below = slide.getBoundingClientRect().bottom - innerHeight;
  scrollBy(0, Math.min(top > 40 ? top - 16 : innerHeight * .8, below));
}
function goBack(slides, now) {
  const begun = slides[now].getBoundingClientRect().top < -8;
  slides[Math.max(begun ? now : now - 1, 0)].scrollIntoView();
}
document.addEventListener("keydown", event => {
  const go = {ArrowRight: goOn, PageDown: goOn, ArrowLeft: goBack, PageUp: goBack}[event.key];
  if (!go || event.ctrlKey || event.altKey || event.metaKey) return;
  const slides = [...document.querySelectorAll("section")];
  const now = slides.findLastIndex(slide => slide.getBoundingClientRect().top < 8);
  event.preventDefault();
  go(slides, Math.max(now, 0));
});
"""


def sections(nb):
    """Rows (title, parts): a part is a piece of Markdown or a code cell.

    >>> from nbformat.v4 import new_notebook, new_markdown_cell
    >>> sections(new_notebook(cells=[new_markdown_cell("# A\\nx\\n## B\\ny\\n### C\\nz")]))
    [('A', ['# A\\nx\\n']), ('B', ['## B\\ny\\n']), ('C', ['### C\\nz'])]
    """
    slides = []
    for cell in nb.cells:
        if cell.cell_type == "code":
            slides[-1][1].append(cell)
            continue
        # A "# " in a fenced block is a comment, not a heading; notebooks fence only solutions.
        for piece in re.split(r"(?m)^(?=#{1,3} |.*\*\*Predict)", without_solutions(cell.source)):
            title, parts = slides[-1] if slides else ("", [])
            if heading := re.match(r"#{1,3} (.+)", piece):
                slides.append((heading[1].strip(), [piece]))
            elif "**Predict" in piece and asked_before(parts):
                slides.append((title, [f"## {title}\n\n{take_scene(parts)}{piece}"]))
            elif piece.strip():
                slides[-1][1].append(piece)
    return slides


def asked_before(parts):
    """A slide asks one question: the next one, after an answer, begins another slide."""
    return any(not isinstance(part, str) for part in parts)


def take_scene(parts):
    """Take from the end of a slide the paragraph that sets the scene for the next question.

    What stands first below an output explains it and stays, as do lists and tables.

    >>> parts = ["Why it was so.\\n\\n**Second:** it is unmapped.\\n\\n"]
    >>> take_scene(parts), parts
    ('**Second:** it is unmapped.\\n\\n', ['Why it was so.'])
    """
    if not isinstance(parts[-1], str):
        return ""
    before, gap, last = parts[-1].rstrip().rpartition("\n\n")
    explains = not gap and len(parts) > 1 and getattr(parts[-2], "outputs", None)
    if explains or last[0] in "-|><#":
        return ""
    parts[-1:] = [before] if before else []
    return last + "\n\n"


def shown(nb):
    """The sections for a lecture: without exercises, and without what is to be read at home."""
    keep, out = True, []
    for title, parts in sections(nb):
        if isinstance(parts[0], str) and not parts[0].startswith("###"):
            keep = title not in NOT_SHOWN
        if keep:
            out.append((title, parts))
    return out


def output(outputs):
    """What a cell shows, as HTML; nothing where it shows nothing."""
    html = ""
    for one in outputs:
        data = one.get("data", {})
        if "text/html" in data:
            html += re.sub(r" ?\(Run the cell [^)]*\)", "", data["text/html"])
            continue
        text = one.get("text") or data.get("text/plain") or "\n".join(one.get("traceback", ()))
        html += f"<pre>{escape(text)}</pre>"
    return html and f'<div class="output">{html}</div>'


def answer_at(kinds):
    """The place of the first answer: what follows the code that follows a question.

    >>> answer_at(["text", "ask", "code", "code", "output", "text"]), answer_at(["code", "output"])
    (4, 2)
    """
    asked = ran = False
    for place, kind in enumerate(kinds):
        if ran and kind != "code":
            return place
        asked = asked or kind == "ask"
        ran = asked and kind == "code"
    return len(kinds)


def slide(title, parts):
    """A section; where it asks, what is shown and explained afterwards is folded."""
    rows = []
    for part in parts:
        if isinstance(part, str):
            rows.append(("ask" if "**Predict" in part else "text", markdown2html(local(part))))
        else:
            rows.append(("code", Highlight2HTML()(part.source, metadata=part.metadata)))
            rows.append(("output", output(part.outputs)))
    rows = [row for row in rows if row[1]]
    place = answer_at([kind for kind, _ in rows])
    shown_, answer = ("".join(html for _, html in half) for half in (rows[:place], rows[place:]))
    if answer:
        answer = f"<details><summary>What happens, and why?</summary>{answer}</details>"
    return f'<section aria-label="{escape(title)}">\n{shown_}{answer}\n</section>\n'


def local(text):
    """Links as they lead from build/slides: to the other slides, and to the project's files.

    >>> local("[a](01_walk.ipynb) [b](../docs/api.md) [c](https://lwn.net)")
    '[a](01_walk.html) [b](../../docs/api.md) [c](https://lwn.net)'
    """
    text = re.sub(r"\]\((\w+)\.ipynb", r"](\1.html", text)
    return text.replace("](../", "](../../")


def page(path):
    nb = nbformat.read(path, as_version=4)
    slides = shown(nb)
    body = "".join(slide(title, parts) for title, parts in slides)
    style = STYLE + HtmlFormatter(style="default").get_style_defs(".highlight")
    return (f'<!doctype html>\n<html lang="en-GB">\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width">\n'
            f"<title>{escape(slides[0][0])}</title>\n<style>{style}</style>\n"
            f"<body>\n{body}<script>{SCRIPT}</script>\n</body>\n</html>\n")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slides")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(ROOT.glob("notebooks/*.ipynb"))
    for path in paths:
        (out / f"{path.stem}.html").write_text(page(path), encoding="utf-8")
    print(f"{len(paths)} pages of slides in {out}")


if __name__ == "__main__":
    main()
