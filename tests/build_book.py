"""Build the course as a static site: `make book`.

Copies of the notebooks are run, and what they show is written to build/book, as pages that ask no
other host and need no server: a stepper is mounted on its steps, which are in the page.
"""
import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from html import escape
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from course_map import course_map
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbconvert.filters import Highlight2HTML, markdown2html
from refresh_notebooks import LIVE_VIEW

from mmlib.views.esm import assemble, style

ROOT = Path(__file__).resolve().parents[1]
PARTS = Path(__file__).parent / "book"
STATE = "application/vnd.jupyter.widget-state+json"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' data: blob:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>{style}</style></head><body>
<a class="skip" href="#main">To the text</a>
<nav aria-label="Course">{nav}</nav>
<main id="main">{body}</main>{script}</body></html>
"""


def executed(path: Path):
    """A copy of a notebook, run; the state of its widgets is in its metadata."""
    nb = nbformat.read(path, as_version=4)
    NotebookClient(nb, kernel_name="python3", timeout=120, store_widget_state=True,
                   coalesce_streams=True,       # or what is printed bit by bit has gaps
                   extra_arguments=["--log-level=ERROR"],
                   resources={"metadata": {"path": str(path.parent)}}).execute()
    return nb


def mountable(state: dict) -> dict | None:
    """The steps in a widget's state, if it has any: those of a stepper or of the playground."""
    steps = state.get("data") or (state.get("result") or {}).get("stepper")
    return steps if isinstance(steps, dict) and "tracks" in steps else None


def mount_steppers(nb) -> bool:
    """Put a place to mount into each output that is a widget, with its still inside for readers
    without JavaScript.  Is there any?"""
    models = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    found = False
    for output in (output for cell in nb.cells for output in cell.get("outputs", ())):
        view = output.get("data", {}).pop(LIVE_VIEW, None)
        steps = view and mountable(models[view["model_id"]]["state"])
        if not steps:
            continue
        found = True                    # the still's caption speaks of a cell to run: none is here
        still = re.sub(r" ?\(Run the cell [^)]*\)", "", output.data.get("text/html", ""))
        listing = re.match(r"(?s)<pre>.*?</pre>", still)    # the playground's text stays
        data = json.dumps(steps, separators=(",", ":")).replace("<", "\\u003c")
        output.data["text/html"] = (
            f'{listing[0] if listing else ""}<div class="mm-mount">{still}'
            f'<script type="application/json">{data}</script></div>')
    return found


class Book:
    """The pages, as they are written to *out*; *waiting* are files of the project that some page
    links to and that have none yet."""

    def __init__(self, out: Path, notebooks: list[Path]):
        self.out, self.notebooks = out, notebooks
        self.titles = {path: title(nbformat.read(path, as_version=4)) for path in notebooks}
        self.waiting: list[Path] = []
        self.exporter = HTMLExporter(template_name="book", extra_template_basedirs=[str(PARTS.parent)],
                                     exclude_anchor_links=True)

    def write(self, place: Path, source: Path, name: str, body: str, steps: bool = False) -> None:
        """Write the page at *place* (in the project) that is made of *source*."""
        at = self.out / place
        at.parent.mkdir(parents=True, exist_ok=True)
        script = ""
        if steps:
            code = assemble() + (PARTS / "page.js").read_text()
            script = '<script type="module">' + code.replace("</script", "<\\/script") + "</script>"
        look = (style() if steps else "") + (PARTS / "page.css").read_text()
        at.write_text(PAGE.format(title=escape(name), style=look, nav=self.nav(source, place),
                                  body=self.linked(body, source), script=script), encoding="utf-8")

    def nav(self, source: Path, place: Path) -> str:
        up = "../" * (len(place.parts) - 1)
        links = [(f"{up}index.html", "The course")]
        if source in self.notebooks:
            at = self.notebooks.index(source)
            around = (("Before: ", at - 1), ("Next: ", at + 1))
            links += [(f"{self.notebooks[n].stem}.html", word + self.titles[self.notebooks[n]])
                      for word, n in around if 0 <= n < len(self.notebooks)]
        return "".join(f'<a href="{href}">{escape(text)}</a>' for href, text in links)

    def linked(self, body: str, source: Path) -> str:
        """*body* with links to pages of the book in place of those to files of the project."""
        soup = BeautifulSoup(body, "html.parser")
        for heading in soup.select("h1, h2, h3, h4"):
            if heading.get("id"):
                heading["id"] = slug(heading.get_text())
        for mark in soup.select(".anchor-link"):
            mark.decompose()
        for image in soup.select("img[src]:not([src^='data:'])"):
            target = (source.parent / image["src"]).resolve()
            (self.out / target.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, self.out / target.relative_to(ROOT))
        for anchor in soup.select("a[href]"):
            href = self.page_of(anchor["href"], source)
            if href is None:
                anchor.unwrap()
            else:
                anchor["href"] = href
        return str(soup)

    def page_of(self, href: str, source: Path) -> str | None:
        """Where a link of *source* leads in the book; None if that is not in it."""
        name, _, part = href.partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:|//", href):
            return href
        part = f"#{slug(part.replace('-', ' '))}" if part else ""
        target = (source.parent / name).resolve()
        if not name:
            return part
        if target in self.notebooks:
            return name.removesuffix(".ipynb") + ".html" + part
        if target.suffix not in (".md", ".py") or not target.is_file():
            return None
        self.waiting.append(target)
        return (name.removesuffix(".md") if target.suffix == ".md" else name) + ".html" + part

    def build(self) -> None:
        """Write all pages."""
        for path in self.notebooks:
            print(path.name, flush=True)
            nb = executed(path)
            steps = mount_steppers(nb)
            nb.metadata.pop("widgets", None)
            body, _ = self.exporter.from_notebook_node(nb)
            self.write(Path("notebooks", f"{path.stem}.html"), path, self.titles[path], body, steps)
        self.write(Path("index.html"), ROOT / "index", "mmlib: the course",
                   course_map(self.notebooks, self.titles))
        done: set[Path] = set()
        while self.waiting:
            source = self.waiting.pop()
            if source not in done:
                done.add(source)
                self.document(source)

    def document(self, source: Path) -> None:
        """A page of prose, or of code."""
        place, text = source.relative_to(ROOT), source.read_text(encoding="utf-8")
        if source.suffix == ".md":
            self.write(place.with_suffix(".html"), source, place.as_posix(), markdown2html(text))
        else:
            code = Highlight2HTML(pygments_lexer="python3")(text)
            self.write(place.with_name(place.name + ".html"), source, place.as_posix(),
                       f'<h1>{place.as_posix()}</h1><div class="source">{code}</div>')


def title(nb) -> str:
    """The first heading."""
    return re.search(r"(?m)^# (.+)$", nb.cells[0].source)[1]


def slug(text: str) -> str:
    """The anchor of a heading, as GitHub makes it.

    >>> slug("What `fork` does: a walk"), slug("mmlib/1")
    ('what-fork-does-a-walk', 'mmlib1')
    """
    return re.sub(r"[^\w-]", "", text.strip().replace(" ", "-").lower())


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in notebooks/")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "book")
    args = parser.parse_args(argv)
    paths = [path.resolve() for path in args.notebooks] or sorted(
        (ROOT / "notebooks").glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as profile:
        os.environ["IPYTHONDIR"] = profile      # the user's start-up files stay out of the outputs
        try:
            Book(args.out.resolve(), paths).build()
        except CellExecutionError as failed:
            sys.exit(f"a notebook failed; the book is not complete\n{failed}")
    print(f"open {args.out / 'index.html'}")


if __name__ == "__main__":
    main()
