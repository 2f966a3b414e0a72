"""No link within the project is dead. Links to other hosts are not followed: tests run offline."""
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")),
         *sorted(ROOT.glob("notebooks/*.ipynb"))]
TARGET = re.compile(r"""\]\(\s*<?([^)\s>]+)                   # [text](target "title")
                      | ^\s*\[[^\]]+\]:\s+<?(\S+?)>?\s*$      # [name]: target
                      | \b(?:href|src)="([^"]+)"              # <a href="target">
                      """, re.M | re.X)


def prose(path):
    """The Markdown of a page or notebook, without fenced code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        notebook = nbformat.reads(text, as_version=4)
        text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    return re.sub(r"(?ms)^ *```.*?^ *```", "", text)


def links(path):
    """The targets within the project that a page links to.

    >>> import tempfile
    >>> page = Path(tempfile.mkdtemp(), "page.md")
    >>> _ = page.write_text("[a](b.md#c) ![d](e.png 'f') [g](https://example.org) `[h](i)`")
    >>> links(page)
    ['b.md#c', 'e.png']
    """
    text = re.sub(r"`[^`\n]*`", "", prose(path))
    targets = ["".join(groups) for groups in TARGET.findall(text)]
    return [t for t in targets if not re.match(r"[a-z][a-z0-9+.-]*:|//", t)]


def anchors(path):
    """The anchors of a page's headings, as GitHub spells them and as JupyterLab does.

    >>> import tempfile
    >>> page = Path(tempfile.mkdtemp(), "page.md")
    >>> _ = page.write_text("## What `fork` does: a [walk](x.md)")
    >>> sorted(anchors(page))
    ['What-fork-does:-a-walk', 'what-fork-does-a-walk']
    """
    titles = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", title).strip()
              for title in re.findall(r"(?m)^#+ (.+)$", prose(path))]
    lab = {title.replace(" ", "-") for title in titles}
    return lab | {re.sub(r"[^\w-]", "", title.lower()) for title in lab}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    """Each link leads to a file of the project, and to a heading of it where it names one."""
    dead = []
    for link in links(page):
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        known = target.is_relative_to(ROOT) and target.exists()
        if not known or anchor and anchor not in anchors(target):
            dead.append(link)
    assert not dead
