"""Write a page of slides for each notebook: `make slides`.

A slide is a section of the notebook.  The pages are alone in their files: no script, style or
picture comes from another host, so a lecture needs a browser and no network.  What follows a
question is folded until the class has answered.
"""
import argparse
import ast
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
PARTS = ROOT / "tests" / "slides"


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
    """The place of the first answer: an output after a question, or what follows its code.

    >>> answer_at(["text", "ask", "code", "code", "output", "text"]), answer_at(["code", "output"])
    (4, 2)
    """
    asked = ran = False
    for place, kind in enumerate(kinds):
        if ran and kind != "code" or asked and kind == "output":
            return place
        asked = asked or kind == "ask"
        ran = asked and kind == "code"
    return len(kinds)


def asserts_apart(source):
    """The source of a cell without its assertions, and these: they would tell the answer.

    >>> asserts_apart("db.store(0, b'x')\\nassert db.tables == 3 \\\\\\n    == 2 + 1\\nmachine")
    ("db.store(0, b'x')\\nmachine", 'assert db.tables == 3 \\\\\\n    == 2 + 1')
    """
    claimed = {line for node in ast.parse(source).body if not isinstance(node, ast.FunctionDef)
               and any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
               for line in range(node.lineno, node.end_lineno + 1)}
    lines = list(enumerate(source.splitlines(), 1))
    return ("\n".join(line for number, line in lines if number not in claimed),
            "\n".join(line for number, line in lines if number in claimed))


def code(source):
    return Highlight2HTML()(source) if source.strip() else ""


def slide(title, parts):
    """A section; where it asks, what is shown, claimed and explained afterwards is folded."""
    rows, asks = [], any(isinstance(part, str) and "**Predict" in part for part in parts)
    for part in parts:
        if isinstance(part, str):
            text = re.sub(r"\A### ", "## ", local(part))
            rows.append(("ask" if "**Predict" in part else "text", markdown2html(text)))
        else:
            source, claims = asserts_apart(part.source) if asks else (part.source, "")
            rows.append(("code", code(source)))
            rows.append(("output", output(part.outputs)))
            rows.append(("output", code(claims)))
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
    style, script = ((PARTS / f"slides.{kind}").read_text(encoding="utf-8")
                     for kind in ("css", "js"))
    style += HtmlFormatter(style="default").get_style_defs(".highlight")
    return (f'<!doctype html>\n<html lang="en-GB">\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width">\n'
            f"<title>{escape(slides[0][0])}</title>\n<style>{style}</style>\n"
            f"<body>\n{body}<script>{script}</script>\n</body>\n</html>\n")


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
