"""`python -m mmlib doctor` finds what is missing, and says what to do."""
import json
import os
import platform
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from mmlib import abilities, doctor, packages
from mmlib.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
linux_only = pytest.mark.skipif(bool(abilities.other_kind()), reason=abilities.other_kind())


def status(checks):
    return {check.name: check.status for check in checks}


# the command -----------------------------------------------------------------------------------
def test_all_is_here(capsys):
    """Where these tests run nothing is missing; each check is one line, the last line sums up."""
    assert main(["doctor"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == "nothing missing"
    assert {line.split()[0] for line in lines} <= {"ok", "note"}
    assert len(lines) >= 10


def test_json(capsys):
    """The same as one object; every check has the same four fields."""
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert {tuple(check) for check in told["checks"]} == {("name", "status", "found", "remedy")}


@pytest.fixture(scope="module")
def bare():
    """The JSON and exit status of the doctor in a Python without any package."""
    environment = {name: os.environ[name] for name in os.environ.keys() - {"MMLIB_DOT"}}
    run = subprocess.run([sys.executable, "-S", "-m", "mmlib", "doctor", "--json"], cwd=ROOT,
                         env=environment | {"PYTHONPATH": str(ROOT), "PATH": ""},
                         capture_output=True, text=True)
    assert run.stderr == ""
    return json.loads(run.stdout), run.returncode


def test_the_standard_library_is_enough(bare):
    """With nothing installed it answers: exit status 1, and all that is missing has a remedy."""
    told, code = bare
    missing = [check for check in told["checks"] if check["status"] == "missing"]
    assert (told["ok"], code) == (False, 1)
    assert len(missing) >= 8 and all(check["remedy"] for check in missing)


def test_everything_of_the_extra_lab_is_looked_at(bare):
    """The packages of pyproject.toml, in its bounds; graphviz-pure is one renderer of several."""
    told, _ = bare
    remedies = {check["name"]: check["remedy"] for check in told["checks"]}
    for requirement in PYPROJECT["optional-dependencies"]["lab"]:
        name, bounds = packages.split(requirement.split(";")[0])
        remedy = remedies["renderer" if name == "graphviz-pure" else name]
        assert remedy.endswith(f'-m pip install "{name}{bounds}"')


# packages --------------------------------------------------------------------------------------
def test_bounds_are_those_of_the_project(monkeypatch):
    """Installed or in its folder, mmlib asks for the same."""
    installed = packages.declared()

    def absent(name):
        raise metadata.PackageNotFoundError(name)
    monkeypatch.setattr(metadata, "metadata", absent)
    python, requirements = packages.declared()
    assert python == installed[0] == PYPROJECT["requires-python"]
    assert list(map(packages.split, requirements)) == list(map(packages.split, installed[1]))


@pytest.mark.parametrize("version, expected", [
    ("8.1", "ok"), ("8.1.9", "ok"), ("8.99", "ok"),
    ("8.0.9", "missing"), ("9.0", "missing"), ("9.0.0rc1", "missing"), ("unknown", "missing")])
def test_a_version_is_within_its_bounds_or_not(version, expected, monkeypatch):
    """Too old and too new are told with the version that was found, and how to get another."""
    monkeypatch.setattr(metadata, "version", lambda name: version)
    check = doctor.package("ipywidgets", ">=8.1,<9")
    assert check.status == expected and check.found == f"{version} (wanted >=8.1,<9)"
    assert ("pip install" in check.remedy) == (expected == "missing")


def test_an_old_python_is_told(monkeypatch):
    """The bound of pyproject.toml holds for Python itself."""
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.4")
    assert status(doctor.python_and_packages())["Python"] == "missing"


# JupyterLab ------------------------------------------------------------------------------------
@pytest.fixture
def jupyter(tmp_path, monkeypatch):
    """A folder that is all that Jupyter looks through, with both extensions."""
    monkeypatch.setattr(doctor, "jupyter_path", lambda kind, name: [tmp_path / name])
    for name in doctor.EXTENSIONS:
        folder = tmp_path / "labextensions" / name
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
    (tmp_path / "labconfig").mkdir()
    return tmp_path


def test_extensions_that_are_there_are_usable(jupyter):
    """No settings file disables them."""
    assert set(status(doctor.widgets()).values()) == {"ok"}


def test_an_extension_that_is_not_where_jupyterlab_looks(jupyter):
    """As when JupyterLab is run by another Python."""
    (jupyter / "labextensions/anywidget/package.json").unlink()
    assert status(doctor.widgets())["extension anywidget"] == "missing"


@pytest.mark.parametrize("setting, expected", [
    ({"anywidget": True}, "missing"), (["anywidget"], "missing"),
    ({"anywidget": False}, "ok"), ({"@jupyterlab/other": True}, "ok"), (7, "ok")])
def test_a_disabled_extension(setting, expected, jupyter):
    """`jupyter labextension disable` writes an object; older versions wrote a list."""
    (jupyter / "labconfig/page_config.json").write_text(
        json.dumps({"disabledExtensions": setting}))
    found = {check.name: check for check in doctor.widgets()}["extension anywidget"]
    assert found.status == expected
    assert found.remedy == ("jupyter labextension enable anywidget" * (expected == "missing"))


@pytest.mark.parametrize("name, version, kernel, expected", [
    ("anywidget", "0.11.0", "0.11.3", "ok"), ("anywidget", "0.9.18", "0.11.0", "missing"),
    ("anywidget", "0.1.0", "0.11.0", "missing"),
    ("@jupyter-widgets/jupyterlab-manager", "5.0.15", "8.1.7", "ok"),
    ("@jupyter-widgets/jupyterlab-manager", "3.1.11", "8.1.7", "missing")])
def test_a_page_of_another_age_than_the_kernel(name, version, kernel, expected, jupyter, monkeypatch):
    """Widgets stay blank then; both versions are told."""
    (jupyter / "labextensions" / name / "package.json").write_text(json.dumps({"version": version}))
    monkeypatch.setattr(metadata, "version", lambda package: kernel)
    found = {check.name: check for check in doctor.widgets()}[f"extension {name}"]
    assert found.status == expected
    assert (f"JupyterLab has {version}, " in found.found) == (expected == "missing")


@pytest.mark.parametrize("argv0, expected", [
    ("python", "ok"), (sys.executable, "ok"), ("/elsewhere/bin/python", "missing"), (None, "ok")])
def test_a_kernel_of_another_python(argv0, expected, jupyter):
    """As an old environment leaves it behind: its folder is named."""
    if argv0:
        folder = jupyter / "kernels" / "python3"
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps({"argv": [argv0, "-m", "ipykernel"]}))
    check = doctor.kernelspec()
    assert check.status == expected and (str(jupyter) in check.found) == (expected == "missing")


# the renderer ----------------------------------------------------------------------------------
def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def packaged(name: str) -> bool:
    """Is the package installed here?  `make test-renderers` also runs where it is not."""
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


@linux_only
def test_the_order_of_renderers(tmp_path, monkeypatch):
    """MMLIB_DOT comes before `dot` on PATH, and that before the package."""
    monkeypatch.delenv("MMLIB_DOT", raising=False)
    monkeypatch.setenv("PATH", "")
    found, pure = doctor.find_renderer(), packaged("graphviz-pure")
    assert (found and Path(found).stem) == ("graphviz-pure" if pure else None)
    dot = program(tmp_path / "dot", "exit")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.find_renderer() == dot
    monkeypatch.setenv("MMLIB_DOT", "/own")
    assert doctor.find_renderer() == "/own"


def test_no_renderer(monkeypatch):
    """The notebooks do without, and there is one to be had by pip."""
    monkeypatch.setattr(doctor, "find_renderer", lambda: None)
    check = doctor.renderer()
    assert check.status == "note" and "pip install" in check.remedy


def test_the_verdict_for_the_first_notebook(monkeypatch):
    """One sentence where all is there, else what is missing and what to do."""
    assert doctor.verdict() == "Everything that the notebooks need is here."
    monkeypatch.setattr(doctor, "all_checks", lambda: [
        doctor.Check("numpy", "missing", "not installed", "pip install numpy"),
        doctor.Check("frames", "note", "hidden")])
    assert doctor.verdict() == "missing  numpy: not installed. Do: pip install numpy"


@linux_only
@pytest.mark.parametrize("text", ["exit 1", "echo no picture", "exec /does/not/exist", None])
def test_a_renderer_that_does_not_draw(text, tmp_path, monkeypatch):
    """Found is not enough."""
    path = program(tmp_path / "dot", text) if text else str(tmp_path / "absent")
    monkeypatch.setenv("MMLIB_DOT", path)
    check = doctor.renderer()
    assert (check.status, check.found) == ("missing", f"{path} does not draw")
    assert check.remedy == "unset MMLIB_DOT"


@linux_only
def test_the_version_of_a_renderer(tmp_path, monkeypatch):
    """Graphviz tells it on standard error."""
    monkeypatch.setenv("MMLIB_DOT", program(
        tmp_path / "dot", 'echo "<svg>"; echo "dot - graphviz version 2.43.0 (0)" >&2'))
    assert doctor.renderer().found.endswith("dot, version 2.43.0")


# the kernel ------------------------------------------------------------------------------------
def test_another_system_is_a_note(monkeypatch):
    """Nothing is missing there: the notebooks show recorded answers, and it is said."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    [check] = doctor.kernel()
    assert (check.name, check.status) == ("kernel", "note")
    assert check.found.startswith("Darwin on arm64")


def test_in_a_browser_only_what_can_be_had_there_is_asked_for(monkeypatch):
    """JupyterLite has neither JupyterLab's folders nor numpy; what draws steppers it must have."""
    monkeypatch.setattr(doctor, "IN_BROWSER", True)
    names = {check.name for check in doctor.all_checks()}
    assert {"ipywidgets", "anywidget"} <= names
    assert not names & {"jupyterlab", "numpy", "matplotlib", *map("extension {}".format,
                                                                  doctor.EXTENSIONS)}


@linux_only
@pytest.mark.parametrize("module, name, told", [
    (os, "memfd_create", "memfd"), (abilities.mmap, "mmap", "executable memory")])
def test_what_a_container_forbids_is_a_note(module, name, told, monkeypatch):
    """The call is tried, whatever the version of the kernel."""
    def forbidden(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")
    assert status(doctor.kernel())[told] == "ok"
    monkeypatch.setattr(module, name, forbidden)
    assert status(doctor.kernel())[told] == "note"


class Pagemap:
    """A /proc/self/pagemap with one entry everywhere."""

    def __init__(self, entry):
        self.entry = entry

    def __enter__(self):
        return self

    def __exit__(self, *why):
        pass

    def seek(self, offset):
        assert offset % 8 == 0

    def read(self, n):
        return self.entry.to_bytes(n, "little")


@linux_only
@pytest.mark.parametrize("entry, expected", [
    (1 << 63 | 0x1234, "ok"),       # what root reads
    (1 << 63 | 1 << 56, "note"),    # present and exclusive, but the frame is hidden
    (0, "note")])
def test_frame_numbers(entry, expected, monkeypatch):
    """They count only where an entry holds one."""
    monkeypatch.setattr(abilities, "open", lambda *args: Pagemap(entry), raising=False)
    assert status(doctor.kernel())["frames"] == expected


@linux_only
def test_a_kernel_that_hides_its_files_is_a_note(monkeypatch):
    """Neither VmPTE nor pagemap: as in a sandbox that has no such /proc."""
    def absent(*args):
        raise FileNotFoundError(2, "No such file or directory")
    monkeypatch.setattr(abilities, "open", absent, raising=False)
    monkeypatch.setattr(Path, "read_text", absent)
    found = status(doctor.kernel())
    assert (found["VmPTE"], found["frames"]) == ("note", "note")
