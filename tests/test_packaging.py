"""pyproject.toml names the dependencies; everything else that installs them follows it."""
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LAB = {r.name: r for r in map(Requirement, PROJECT["optional-dependencies"]["lab"])}
TEST = {r.name: r for r in map(Requirement, PROJECT["optional-dependencies"]["test"])}

# conda-forge splits or renames these; the others have the names of the Python package index.
FROM_CONDA = {"python-graphviz": "graphviz", "matplotlib-base": "matplotlib"}
# conda's own: the interpreter, what installs mmlib itself, and `dot`, in graphviz-pure's place.
CONDA_ONLY = {"python", "pip", "graphviz"}
PIP_ONLY = {"graphviz-pure"}

# What repo2docker 2026.4.0 puts into every Binder image, before it reads environment.yml.
BINDER_BASE = {"jupyterlab": "4.4.9", "ipywidgets": "8.1.7", "nbclient": "0.10.2"}


def conda_requirements():
    """environment.yml as {name: specifier}, by conda's names."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    rows = [re.fullmatch(r"([a-z0-9-]+)(.*)", entry).groups() for entry in entries]
    assert len(dict(rows)) == len(entries)
    return dict(rows)


def locked():
    """requirements.lock as {name: [one requirement for each marker]}."""
    pins = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.lstrip().startswith("#"):
            pins.setdefault(Requirement(line).name, []).append(Requirement(line))
    return pins


def test_environment_agrees_with_the_extra_lab():
    """conda installs what pip's extra "lab" does, in the same versions."""
    conda = {FROM_CONDA.get(name, name): specifier
             for name, specifier in conda_requirements().items() if name not in CONDA_ONLY}
    pip = {name: str(r.specifier) for name, r in LAB.items() if name not in PIP_ONLY}
    assert {name: set(s.split(",")) for name, s in conda.items()} == \
        {name: set(s.split(",")) for name, s in pip.items()}


def test_conda_needs_one_channel_and_one_python():
    """Binder falls back to an old Python where none is pinned."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    pinned = re.fullmatch(r"=(3\.\d+)", conda_requirements()["python"])[1]
    assert pinned in Requirement("python" + PROJECT["requires-python"]).specifier


def test_conda_reads_every_entry():
    """Each is a match spec by the rules of conda itself, with the name that we read from it."""
    rattler = pytest.importorskip("rattler", reason="make test-binder installs it")
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    specs = [rattler.MatchSpec(entry, strict=True) for entry in entries]
    assert [spec.name.normalized for spec in specs] == list(conda_requirements())
    with pytest.raises(Exception, match="unable to parse version spec"):
        rattler.MatchSpec("numpy>=>1", strict=True)


def test_binder_has_a_copy():
    """Binder ignores the root's file; a symbolic link would break a checkout on Windows."""
    copy = ROOT / "binder" / "environment.yml"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (ROOT / "environment.yml").read_bytes()


def test_binder_installs_the_package_and_trusts_the_notebooks():
    """The environment alone lacks mmlib."""
    script = (ROOT / "binder" / "postBuild").read_text()
    assert "pip install --no-cache-dir --no-deps -e ." in script
    assert "jupyter trust notebooks/*.ipynb" in script


@pytest.mark.parametrize("name", BINDER_BASE)
def test_binder_keeps_what_it_has(name):
    """A lower bound above Binder's own version would make it install the package twice."""
    assert BINDER_BASE[name] in {**LAB, **TEST}[name].specifier


@pytest.mark.parametrize("name", [*LAB, *TEST])
def test_lock_pins_every_dependency(name):
    """Each pin is one that pyproject.toml allows."""
    allowed = {**LAB, **TEST}[name].specifier
    pins = [str(pin.specifier) for pin in locked()[canonicalize_name(name)]]
    assert pins
    assert all(pin.startswith("==") and pin[2:] in allowed for pin in pins)


def test_lock_names_no_host():
    """The lock serves behind any mirror: no index, no address, no path."""
    text = (ROOT / "requirements.lock").read_text()
    assert not re.findall(r"://|^-|@ |index|find-links", text, re.M)


def test_package_is_typed():
    """py.typed tells type checkers to look."""
    assert (ROOT / "mmlib" / "py.typed").exists()


def test_every_file_of_the_package_is_shipped():
    """A folder needs an __init__.py to be found, another file a pattern in package-data."""
    folders = {path.parent for path in (ROOT / "mmlib").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]
    data = {path for pattern in PYPROJECT["tool"]["setuptools"]["package-data"]["mmlib"]
            for path in (ROOT / "mmlib").glob(pattern)}
    others = {path for path in (ROOT / "mmlib").rglob("*")
              if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == data


def test_version_is_one():
    """pyproject.toml, CITATION.cff and the changelog's first entry name one version."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text())[1]
    assert citation["version"] == newest == PROJECT["version"]


def test_the_workflow_calls_make_on_every_system_and_python():
    """The targets are those of the Makefile; the Pythons begin with the oldest that we allow."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    targets = set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text()))
    jobs = workflow["jobs"]
    rows = jobs["versions"]["strategy"]["matrix"]["include"]
    assert {row["target"] for row in rows} <= targets
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    named = {name for command in commands for name in re.findall(r"^make ([a-z-]+)", command)}
    assert named == {"test"} and [c for c in commands if c.startswith("make ${{ matrix.target }}")]
    for job in (jobs["test"], jobs["windows"]):
        pythons = job["strategy"]["matrix"]["python"]
        assert f">={pythons[0]}" == PROJECT["requires-python"]
    assert jobs["test"]["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest"]
    assert workflow[True]["schedule"]           # YAML reads the key "on" as true


def test_make_targets_in_the_readme_exist():
    """README.md and CONTRIBUTING.md name only targets that the Makefile has."""
    targets = set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text()))
    text = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"(?:`|^|\n) *make ([a-z][a-z-]*)", text))
    assert {"lab", "test"} <= named <= targets
