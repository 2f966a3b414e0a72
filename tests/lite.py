"""The course as a static site that needs no server: JupyterLite, in build/lite (`make lite`).

Python itself runs in the reader's browser. All that a page asks for is in the folder: the
interpreter comes from npm, the packages from the Python package index, and no other host is named.
"""
import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PYODIDE = "314.0.6"                     # what jupyterlite-pyodide-kernel 0.8.6 asks for
PYTHON = "3.14"                         # what that is
# What the kernel imports before it runs a cell, and what mmlib's views do.
KERNEL = ("micropip", "packaging", "ipython", "jedi", "typing-extensions")
OURS = {"comm": "comm", "ipywidgets": "ipywidgets", "jupyterlab-widgets": "jupyterlab_widgets",
        "psygnal": "psygnal", "anywidget": "anywidget"}
# A notebook with these in its code cannot run: no wheel of numpy for this Python can be had, and a
# kernel reads no file of the site.
NOT_HERE = re.compile(r"\bmmlib\.views(\.| import )plot\b|\bnumpy\b|\bmatplotlib\b|tests/data")
CONFIG = {
    "jupyter-lite-schema-version": 0,
    "jupyter-config-data": {
        "appName": "mmlib", "exposeAppInBrowser": True,
        "disabledExtensions": ["@jupyterlab/apputils-extension:announcements"],
        "litePluginSettings": {"@jupyterlite/pyodide-kernel-extension:kernel": {
            "disablePyPIFallback": True}}}}


def run(*command, **options):
    subprocess.run(list(map(str, command)), check=True, **options)


def notebooks():
    """The notebooks that this Python can run."""
    def runs(path):
        cells = nbformat.read(path, as_version=4).cells
        return not any(NOT_HERE.search(c.source) for c in cells if c.cell_type == "code")
    return [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if runs(path)]


def contents(folder):
    """What the file browser shows: the notebooks, and the documents that they link to."""
    run(sys.executable, "-m", "mmlib", "notebooks", folder, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder / "tests")
    for path in (folder / "notebooks").glob("*.ipynb"):
        if path.name not in {here.name for here in notebooks()}:
            path.unlink()


def wheel(name, version, folder):
    """Download a wheel that runs on any machine."""
    requirement = f"{name}=={version}" if version else name
    run(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--platform", "any", "--implementation", "py", "--abi", "none",
        "--python-version", PYTHON, "--dest", folder, requirement)


def interpreter(folder, scratch):
    """Pyodide with the packages that a kernel and mmlib need, and a list of these alone.

    That list is the interpreter's own, in which it finds the package of an import: so the cell
    `import mmlib` is enough, and a notebook is the same here as everywhere.
    """
    run("npm", "install", "--silent", "--prefix", scratch, f"pyodide@{PYODIDE}")
    shutil.copytree(scratch / "node_modules" / "pyodide", folder)
    listed = folder / "pyodide-lock.json"
    lock = json.loads(listed.read_text())
    known = {canonical(name): package for name, package in lock["packages"].items()}
    packages, todo = {}, list(KERNEL)
    while todo:
        name = canonical(todo.pop())
        if name not in packages:
            packages[name] = known[name]
            todo += known[name]["depends"]
    downloads = scratch / "wheels"
    for name, package in packages.items():
        wheel(package["name"], package["version"], downloads)
    for name in OURS:
        wheel(name, None, downloads)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps",
        "--wheel-dir", downloads, ROOT)
    files = {canonical(path.name.split("-")[0]): path for path in downloads.glob("*.whl")}
    like = known["packaging"]
    for name, module in (OURS | {"mmlib": "mmlib"}).items():
        packages[name] = like | {"name": name, "imports": [module], "depends": [],
                                 "version": files[name].name.split("-")[1]}
    packages["mmlib"]["depends"] = [*OURS, "ipython", "typing-extensions"]
    for name, package in packages.items():
        path = files[name]
        package |= {"file_name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        shutil.copy(path, folder)
    listed.write_text(json.dumps(lock | {"packages": packages}))


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "lite")
    output = parser.parse_args().output.resolve()
    scratch = output.with_name(output.name + "-parts")
    for folder in (output, scratch):
        shutil.rmtree(folder, ignore_errors=True)
    site = scratch / "site"
    (site / "static").mkdir(parents=True)
    contents(scratch / "course")
    interpreter(site / "static" / "pyodide", scratch)
    (site / "jupyter-lite.json").write_text(json.dumps(CONFIG))
    run(sys.executable, "-m", "jupyter", "lite", "build", "--lite-dir", site, "--contents",
        scratch / "course", "--output-dir", output, "--no-sourcemaps",
        "--no-unused-shared-packages", "--apps", "lab", "--apps", "notebooks",
        cwd=site, env=os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"}, stdout=subprocess.DEVNULL)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output}: {size / 1e6:.0f} MB, {len(notebooks())} notebooks; to open it: "
          f"{Path(sys.executable).name} -m http.server --bind 127.0.0.1 --directory {output}")


if __name__ == "__main__":
    main()
