"""`python -m mmlib notebooks DIR`: the course comes along, and no learner's work is lost."""
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from test_links import TARGET, prose

from mmlib import notebooks
from mmlib.__main__ import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def written(tmp_path, capsys):
    """A folder that the course was written into."""
    assert main(["notebooks", str(tmp_path / "course")]) == 0
    assert capsys.readouterr().out.endswith(", 0 kept that differ\n")
    return tmp_path / "course"


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def test_every_notebook_is_written_as_it_is(written):
    """The same bytes as in the project, and nothing of another name."""
    ours = {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert files(written / "notebooks") == ours and "00_start_here.ipynb" in ours


def test_what_the_notebooks_link_to_is_written_too(written):
    """A link of a notebook is alive in the folder as well."""
    dead = []
    for path in (written / "notebooks").glob("*.ipynb"):
        for link in map("".join, TARGET.findall(prose(path))):
            if not link.startswith(("http", "#")) and \
                    not (path.parent / link.partition("#")[0]).exists():
                dead.append((path.name, link))
    assert not dead


def test_python_does_not_take_the_sources_for_the_package(written):
    """They would be those of an older mmlib after the next update."""
    code = "import mmlib; print(mmlib.__file__)"
    run = subprocess.run([sys.executable, "-c", code], cwd=written, capture_output=True, text=True,
                         env=os.environ | {"PYTHONPATH": f".{os.pathsep}{ROOT}"})
    assert Path(run.stdout.strip()) == ROOT / "mmlib" / "__init__.py"


def test_nothing_is_written_over(written, capsys):
    """Work is kept and named, a missing file comes back, a second run changes nothing."""
    mine, gone = written / "notebooks/00_start_here.ipynb", written / "README.md"
    mine.write_text("my answers")
    gone.unlink()
    assert main(["notebooks", str(written)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert mine.read_text() == "my answers" and gone.exists()
    assert out[0].startswith("notebooks/00_start_here.ipynb stays as you have it; for the course's")
    assert out[1:] == [f"1 files written into {written}, 1 kept that differ"]
    before = files(written)
    assert main(["notebooks", str(written)]) == 0 and files(written) == before


def test_a_renamed_notebook_makes_way(written, capsys):
    """As the message says."""
    mine = written / "notebooks/00_start_here.ipynb"
    mine.write_text("my answers")
    mine.rename(mine.with_name("mine.ipynb"))
    assert main(["notebooks", str(written)]) == 0
    assert mine.read_bytes() == (ROOT / "notebooks/00_start_here.ipynb").read_bytes()
    assert mine.with_name("mine.ipynb").read_text() == "my answers"


@pytest.mark.parametrize("where", ["file", "file/below", "\0", "x" * 300])
def test_what_cannot_be_written_is_told_in_one_line(where, tmp_path, capsys):
    """Exit status 2, and the place."""
    (tmp_path / "file").write_text("")
    assert main(["notebooks", str(tmp_path / where)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and "expected a f" in err


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file")
def test_a_full_disk_leaves_no_half_notebook(tmp_path):
    """It would be there for good, since nothing is written over."""
    code = ("import resource, sys; from mmlib.__main__ import main; "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
            "sys.exit(main(['notebooks', sys.argv[1]]))")
    run = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True,
                         text=True)
    assert run.returncode == 2 and run.stderr.endswith("can be written: File too large\n")
    course = notebooks.course()
    assert all(content == course[name].read_bytes() for name, content in files(tmp_path).items())


@pytest.mark.slow
def test_a_wheel_brings_the_course(tmp_path):
    """Built, installed alone into a fresh environment, and asked: the same files."""
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT],
                   check=True)
    venv.create(tmp_path / "venv", with_pip=True)
    python = next((tmp_path / "venv").glob("[bS]*/python*"))
    [wheel] = tmp_path.glob("*.whl")
    alone = {name: os.environ[name] for name in os.environ.keys() - {"PYTHONPATH"}}
    for module in (["pip", "install", "-q", "--no-deps", wheel], ["mmlib", "notebooks", "course"]):
        subprocess.run([python, "-m", *module], cwd=tmp_path, env=alone, check=True)
    assert files(tmp_path / "course") == {
        name: path.read_bytes() for name, path in notebooks.course().items()}


def test_an_empty_name_is_no_folder(tmp_path, monkeypatch, capsys):
    """A variable that a shell has not set must not fill the folder where it stands."""
    monkeypatch.chdir(tmp_path)
    assert main(["notebooks", ""]) == 2
    assert "expected a folder" in capsys.readouterr().err and not list(tmp_path.iterdir())
