"""What Binder would build, asked of the program that it builds with: no Docker is needed.

`make test-binder` installs repo2docker, and runs the notebooks with the versions of Binder's base
image; without it these tests are skipped.
"""
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from binder_base import frozen, requirements
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(importlib.util.find_spec("repo2docker") is None,
                                reason="no repo2docker: make test-binder installs it")
UPDATE = 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"'


def built(folder):
    """What repo2docker says of *folder*: the Dockerfile, and what it made of the recipe."""
    run = subprocess.run([sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."],
                         cwd=folder, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def recipe():
    """Of the folder as git has it: without what only lies on this computer."""
    return built(ROOT)


def test_the_environment_is_ours(recipe):
    """The Python that is pinned, and the copy in binder/ on top of the base image."""
    python = re.search(r"(?m)^  - python=([\d.]+)", (ROOT / "environment.yml").read_text())[1]
    assert f"Building conda environment for python={python}" in recipe
    assert recipe.count(UPDATE) == 1


def test_a_change_of_a_notebook_does_not_build_the_environment_anew(recipe):
    """Docker keeps what stands before the project is copied; only postBuild comes after it."""
    copied = recipe.index("COPY --chown=0:0 src/ ${REPO_DIR}/")
    assert recipe.index(UPDATE) < copied < recipe.index("RUN ./binder/postBuild")


def test_the_image_stays_small(recipe):
    """No package of Debian beside those that every image has, and no list of requirements."""
    assert "pip install" not in recipe
    assert recipe.count("apt-get -qq install") == 2         # locales, and the base image's own


def test_an_empty_folder_would_hide_the_environment(tmp_path):
    """Why there is a copy: binder/ makes repo2docker ignore the file of the root."""
    shutil.copy(ROOT / "environment.yml", tmp_path)
    assert '--file "environment.yml"' in built(tmp_path)
    (tmp_path / "binder").mkdir()
    assert "env update" not in built(tmp_path)


def test_binder_replaces_nothing_that_it_has():
    """Each version of the base image is within our bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    python = re.search(r"(?m)^  - python=([\d.]+)", (ROOT / "environment.yml").read_text())[1]
    base = dict(line.split("==") for line in requirements(frozen(python)))
    ours = [r for r in map(Requirement, extras["lab"] + extras["test"]) if r.name in base]
    assert {"jupyterlab", "ipywidgets", "nbclient", "nbformat"} <= {r.name for r in ours}
    assert not [f"{r}: {base[r.name]}" for r in ours if base[r.name] not in r.specifier]
