"""Write copies of the notebooks without solutions, for a class: `make student`.

The copies lie in build/student with whatever they link to, so that no link is dead.  A link to
what stays behind, such as the teacher's notes, becomes plain text.
"""
import argparse
import re
import shutil
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
KEPT_AT_HOME = {ROOT / "TEACHING.md"}
SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>.*?</details>\n*", re.S)
NOTE = """> These are copies for a class: the exercises are still to be done. Begin with
> [notebooks/00_start_here.ipynb](notebooks/00_start_here.ipynb). What is said of `make` and `git`
> below is about the whole project, of which this folder is a part.

"""
LINK = re.compile(r"!?\[([^]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def without_solutions(text):
    """Markdown without its folded solutions; hints stay.

    >>> without_solutions("### 1\\n<details><summary>Solution</summary>\\n4\\n</details>\\n\\n### 2")
    '### 1\\n### 2'
    """
    return SOLUTION.sub("", text)


def student_notebook(path):
    """A notebook whose exercises are still to be done; a cell that held a solution only goes."""
    nb = nbformat.read(path, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = without_solutions(cell.source)
    nb.cells = [cell for cell in nb.cells if cell.source.strip()]
    return nb


def linked(text, folder):
    """The files and folders of the project that a page in *folder* links to."""
    for _, target, _ in LINK.findall(text):
        if target and not re.match(r"[a-z]+:", target):
            yield (folder / target).resolve()


def unlinked(text, folder, kept):
    """Markdown in which only links to *kept* files, to anchors and to other hosts are links."""
    def judge(link):
        words, target, _ = link.groups()
        away = target and not re.match(r"[a-z]+:", target)
        return words if away and (folder / target).resolve() not in kept else link[0]
    return LINK.sub(judge, text)


def build(out):
    """Write everything into the folder *out*; return the paths of the notebooks there."""
    notebooks = {path: student_notebook(path) for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
    prose = [(path, cell) for path, nb in notebooks.items() for cell in nb.cells
             if cell.cell_type == "markdown"]
    kept = {ROOT / "LICENSE-notebooks", *notebooks}
    kept.update(*(linked(cell.source, path.parent) for path, cell in prose))
    kept -= KEPT_AT_HOME
    for path, cell in prose:
        cell.source = unlinked(cell.source, path.parent, kept)
    for source in sorted(kept):
        target = out / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source in notebooks:
            target.write_text(nbformat.writes(notebooks[source]) + "\n", encoding="utf-8")
        elif source.suffix == ".md":
            text = unlinked(source.read_text(encoding="utf-8"), source.parent, kept)
            note = NOTE if source == ROOT / "README.md" else ""
            target.write_text(note + text, encoding="utf-8")
        elif source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    return [out / path.relative_to(ROOT) for path in notebooks]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "student")
    out = parser.parse_args(argv).out
    print(f"{len(build(out))} notebooks without solutions in {out}")


if __name__ == "__main__":
    main()
