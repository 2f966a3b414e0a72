"""Each term of docs/glossary.md is linked from its first use in the notebooks."""
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"(?m)^## (.+)$", GLOSSARY)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What is no running text: what is folded, code, headings, tables, quotations, tags, links.
NO_PROSE = re.compile(r"<details>.*?</details>|^```.*?^```|`[^`\n]+`|^ *(?:#+|>|\|)[^\n]*$|"
                      r'"[^"\n]*"|<[^>\n]+>|\[[^]\n]*\]\([^)\n]*\)', re.M | re.S)


def anchor(term):
    """The end of a link to a term, as JupyterLab wants it: with the heading's capitals.

    >>> anchor("PTE table")
    'docs/glossary.md#PTE-table'
    """
    return f"docs/glossary.md#{term.replace(' ', '-')}"


def pattern(term):
    """A term in a sentence: also its plural, and with a capital.

    >>> pattern("entry").findall("Entries, an entry; no re-entry"), pattern("mm").findall("mm/a.c")
    (['Entries', 'entry'], [])
    """
    stem, end = (term[:-1], "(?:y|ies)") if re.search("[^aeiou]y$", term) else (term, "(?:e?s)?")
    first = f"[{stem[0]}{stem[0].upper()}]" if stem[0].islower() else re.escape(stem[0])
    return re.compile(rf"(?<![\w/.-]){first}{re.escape(stem[1:])}{end}(?![\w/-]|\.\w)")


def blank(found):
    return " " * len(found[0])


def first_use(term, sources):
    """(number of the source, start, end) of the first use in running text, or None.

    Where a longer term is meant, such as "transparent huge page", it is no use of the shorter.

    >>> first_use("huge page", ["A `huge page` and transparent huge pages.", "A huge page."])
    (1, 2, 11)
    """
    longer = [other for other in TERMS if term in other and term != other]
    for number, source in enumerate(sources):
        prose = NO_PROSE.sub(blank, source)
        for other in longer:
            prose = pattern(other).sub(blank, prose)
        if found := pattern(term).search(prose):
            return number, *found.span()
    return None


def sources():
    """(notebook, Markdown) in the order of reading; the first cells only promise."""
    return [(path.name, cell.source) for path in NOTEBOOKS
            for cell in nbformat.read(path, as_version=4).cells[1:]
            if cell.cell_type == "markdown"]


def test_terms_stand_once_and_in_order():
    assert len(set(TERMS)) == len(TERMS) and TERMS == sorted(TERMS, key=str.lower)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_linked_from_its_first_use(term):
    """One link in all notebooks, and no use of the term before it."""
    texts = sources()
    link = re.compile(rf"\[[^]]*\]\(\.\./{re.escape(anchor(term))}\)")
    linked = [(number, found) for number, (_, text) in enumerate(texts)
              for found in link.finditer(text)]
    assert len(linked) == 1, f"link it from its first use: [{term}](../{anchor(term)})"
    number, found = linked[0]
    before = [text for _, text in texts[:number]] + [found.string[:found.start()]]
    used = first_use(term, before)
    assert used is None, f"linked in {texts[number][0]}, but used before it: " + \
        f"{texts[used[0]][0]}, {before[used[0]][max(used[1] - 40, 0):][:80]!r}"


def test_a_term_names_notebooks_that_say_it():
    """The numbers in brackets are of notebooks that are there and use the word."""
    texts = {}
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        texts[path.stem[:2]] = "\n".join(cell.source for cell in cells)
    for term, text in re.findall(r"(?ms)^## (.+?)\n(.+?)(?=^##|\Z)", GLOSSARY):
        numbers = re.findall(r"\d\d", re.search(r"\(([\d, ]+)\)\s*\Z", text)[1])
        assert numbers
        for number in numbers:
            assert pattern(term).search(texts[number]), f"{term}: not in notebook {number}"
