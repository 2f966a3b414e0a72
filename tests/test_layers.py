"""The shape of the package: who imports whom, who touches what, and how long a file is."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmlib

PACKAGE = Path(mmlib.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
DRAWING = ("ipywidgets", "IPython", "traitlets", "matplotlib", "graphviz", "anywidget")
LINES = 220
# Files that are longer, each with the reason.
LONG = {
    "fault.py": "a page fault is read in one piece, from the top down",
    "machine.py": "one method a call, each with its contract",
    "task.py": "one method a system call, each with its contract",
}


def module(path: Path) -> str:
    """The name in the list: of a package in the package, that of its folder."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layers() -> list[str]:
    """The modules in the docstring of the package, in reading order."""
    rows = re.findall(r"(?m)^    (\S+(?: \S+)*)  +\S", mmlib.__doc__)
    return [name for row in rows for name in row.split()]


def imports(path: Path):
    """(what is imported, as an absolute name; whether inside a function) of each import."""
    tree, here = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(PACKAGE.parent).parts
    inside = {id(node) for function in ast.walk(tree)
              if isinstance(function, (ast.FunctionDef, ast.Lambda))
              for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*here[:len(here) - node.level]] if node.level else []
            base += node.module.split(".") if node.module else []
            found = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        yield from ((name, id(node) in inside) for name in found)


each_file = pytest.mark.parametrize("path", FILES,
                                    ids=lambda path: path.relative_to(PACKAGE).as_posix())


def test_every_module_has_its_place():
    """Once, in the list in mmlib/__init__.py; and nothing else stands there."""
    assert sorted(layers()) == sorted({module(path) for path in FILES} - {"__init__"})


@each_file
def test_imports_point_down(path):
    """A module imports what stands before it; a picture is asked for inside a function only."""
    order, own = layers(), module(path)
    for name, inside in imports(path):
        parts = name.split(".")
        if parts[0] != "mmlib" or own == "__init__" or len(parts) < 2 or parts[1] == own:
            continue
        if parts[1] == "views" and inside and own in ("trace", "machine"):
            continue
        assert parts[1] in order, f"{own} imports {name} from the package itself"
        assert order.index(parts[1]) < order.index(own), f"{own} imports {name}"


@each_file
def test_what_draws_is_imported_by_views_alone(path):
    """And numpy by what works on arrays, which is imported when an array is given."""
    for name, inside in imports(path):
        top = name.split(".")[0]
        assert module(path) == "views" or top not in DRAWING, name
        assert module(path) in ("views", "translate") or top != "numpy" or inside, name
        assert name != "mmlib.translate.translate" or inside, name


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_mmlib_imports_little():
    """Neither numpy nor anything that draws: the core runs in a browser's Python."""
    assert run(f"import mmlib, sys; print([n for n in {(*DRAWING, 'numpy')} if n in sys.modules])"
               ) == "[]"


def test_everything_below_views_works_without_them():
    """Each module is imported, and a machine runs, where none of them can be had."""
    names = [name for name in layers() if name not in ("views", "__main__", "linux", "translate")]
    assert run(f"""
import importlib, sys
for name in {(*DRAWING, 'numpy')}:
    sys.modules[name] = None            # an import of it fails
for name in {names}:
    importlib.import_module("mmlib." + name)
from mmlib import *
a = Machine(TINY).spawn("a")
a.mmap(0x4000, 0x1000, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
a.store(0x4000, b"x")
print(a.fork("b").load(0x4000))
""") == "b'x'"


@each_file
def test_entries_are_reached_through_tables_alone(path):
    """The storage can change without a line of the fault path changing."""
    if module(path) != "tables":
        assert not re.search(r"\b_entries\b", path.read_text(encoding="utf-8"))


@each_file
def test_a_file_is_short(path):
    """Or it is listed here, with the reason."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    name = path.relative_to(PACKAGE).as_posix()
    assert lines <= LINES or name in LONG, f"{lines} lines"
    assert lines > LINES or name not in LONG, "no longer long: take it off the list"


def test_the_list_of_long_files_is_of_files():
    """None of them is gone."""
    assert LONG.keys() <= {path.relative_to(PACKAGE).as_posix() for path in FILES}
