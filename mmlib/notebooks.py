"""Write the course into a folder: the notebooks, and every document and source that they link to.

A file that is there already is never written again: it may hold a learner's work. Where the course
has another version of it, that is said, and how to get it.
"""

import argparse
import re
import shutil
import sysconfig
from pathlib import Path

from .kinds import BadInput
from .loading import folder, printable

PACKAGE = Path(__file__).resolve().parent
PARTS = ("*.md", "LICENSE*", "CITATION.cff", "docs/*", "notebooks/*.ipynb", "tests/data/*",
         "tests/test_mshare_recorded.py")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", type=folder,
                        help="the folder to write to; it is made if need be")


def run(args: argparse.Namespace) -> int:
    """The command; raises BadInput."""
    written, kept, where = 0, [], printable(str(args.dir))
    for name, source in sorted(course().items()):
        target = args.dir / name
        try:
            if copied(source, target):
                written += 1
            elif target.read_bytes() != source.read_bytes():
                kept.append(name)
        except (OSError, ValueError) as why:
            raise BadInput(f"{printable(str(target))}: expected a file that can be written: "
                           f"{getattr(why, 'strerror', None) or why}") from None
    for name in kept:
        print(f"{name} stays as you have it; for the course's own, rename yours and run this again")
    print(f"{written} files written into {where}, {len(kept)} kept that differ")
    return 0


def course() -> dict[str, Path]:
    """The files of the course: name within its folder -> where it lies.

    >>> sorted(course())[-1], "mmlib/fault.py" in course(), "mmlib/__init__.py" in course()
    ('tests/test_mshare_recorded.py', True, False)
    """
    root = home()
    files = {file.relative_to(root).as_posix(): file for pattern in PARTS
             for file in root.glob(pattern) if file.is_file()}
    # Sources only to be read: without mmlib/__init__.py, no Python takes them for the package.
    linked = {name for file in files.values() if file.suffix == ".ipynb" for name in
              re.findall(r"\]\(\.\./mmlib/([\w/]+\.py)", file.read_text(encoding="utf-8"))}
    return files | {f"mmlib/{name}": PACKAGE / name for name in linked}


def home() -> Path:
    """The folder that the course lies in: the project's, or where a wheel has put it."""
    for folder in (PACKAGE.parent, Path(sysconfig.get_path("data"), "share", "mmlib")):
        if (folder / "notebooks" / "00_start_here.ipynb").is_file():
            return folder
    raise BadInput("expected the notebooks beside mmlib; this installation came without them: "
                   "get the project's folder instead")


def copied(source: Path, target: Path) -> bool:
    """Copy a file, whole or not at all; False where *target* is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(target, "xb") as out:
            try:
                out.write(source.read_bytes())
                out.flush()
            except OSError:             # a full disk: half a notebook would be kept for ever
                target.unlink()
                raise
    except FileExistsError:
        return False
    shutil.copymode(source, target)
    return True
