"""Is everything here that the notebooks need?

Exit status 0 if it is, 1 if something is missing; each line says what to do about it. A note is
about what the notebooks can do without. Nothing but the standard library is needed to ask.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from . import abilities
from .packages import declared, satisfies, split
from .renderer import find_renderer

# What draws widgets in JupyterLab, and the Python package that brings it.
EXTENSIONS = {"@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
              "anywidget": "anywidget"}
# Where Python itself runs in the browser (JupyterLite), the page is JupyterLab, with extensions of
# its own; the rest cannot be had there, and its notebooks do without.
IN_BROWSER = sys.platform == "emscripten"
NOT_IN_BROWSER = ("jupyterlab", "numpy", "matplotlib", "graphviz")


class Check(NamedTuple):
    """What was looked at, "ok", "note" or "missing", what is there, and what to do about it."""

    name: str
    status: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        """
        >>> print(Check("numpy", "missing", "not installed", "pip install numpy"))
        missing  numpy: not installed. Do: pip install numpy
        """
        remedy = f". {'Do: ' * (self.status == 'missing')}{self.remedy}" if self.remedy else ""
        return f"{self.status:8} {self.name}: {self.found}{remedy}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """The command."""
    checks = all_checks()
    missing = sum(check.status == "missing" for check in checks)
    if args.json:
        print(json.dumps({"ok": not missing, "checks": [check._asdict() for check in checks]}))
    else:
        print(*checks, sep="\n")
        print(f"{missing or 'nothing'} missing")
    return 1 if missing else 0


def all_checks() -> list[Check]:
    lab = [] if IN_BROWSER else [*widgets(), kernelspec()]
    return [*python_and_packages(), *lab, renderer(), *kernel()]


def verdict() -> str:
    """For the first notebook: what is missing, a line each with its remedy, or that all is there."""
    missing = [str(check) for check in all_checks() if check.status == "missing"]
    return "\n".join(missing) or "Everything that the notebooks need is here."


# Python and packages ---------------------------------------------------------------------------
def python_and_packages() -> list[Check]:
    """This Python and what the extra "lab" asks for, against the bounds that mmlib declares."""
    try:
        python, requirements = declared()
    except LookupError:
        return [Check("mmlib", "missing", "neither installed nor in a folder with pyproject.toml",
                      'python -m pip install -e ".[lab]" in the folder of the project')]
    fits = satisfies(platform.python_version(), python)
    found = f"{platform.python_version()} (wanted {python}), {sys.executable}"
    remedy = "install a newer Python, and mmlib with it"
    return [Check("Python", "ok", found) if fits else Check("Python", "missing", found, remedy),
            *(package(*lab) for lab in map(split, requirements) if lab[0] != "graphviz-pure"
              and not (IN_BROWSER and lab[0] in NOT_IN_BROWSER))]


def package(name: str, bounds: str) -> Check:
    """Is the package installed, in a version within *bounds*?"""
    remedy = pip_install(name + bounds)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "missing", "not installed", remedy)
    found = f"{version} (wanted {bounds or 'any'})"
    if satisfies(version, bounds):
        return Check(name, "ok", found)
    return Check(name, "missing", found, remedy)


def pip_install(requirement: str) -> str:
    return f'{sys.executable} -m pip install "{requirement}"'


# JupyterLab ------------------------------------------------------------------------------------
def widgets() -> list[Check]:
    """Will JupyterLab draw widgets: are both extensions where it looks, and not disabled?"""
    disabled, out = disabled_extensions(), []
    for name, brings in EXTENSIONS.items():
        where = next((folder for folder in jupyter_path("share", "labextensions")
                      if (folder / name / "package.json").is_file()), None)
        if where is None:
            out.append(Check(f"extension {name}", "missing", "not where JupyterLab looks",
                             f"install {brings} into the Python that runs JupyterLab"))
        elif name in disabled:
            out.append(Check(f"extension {name}", "missing", "disabled",
                             f"jupyter labextension enable {name}"))
        elif why := mismatch(name, where):
            out.append(Check(f"extension {name}", "missing", why, f"{sys.executable} -m pip install "
                             f"--force-reinstall {brings}, where JupyterLab runs, and reload"))
        else:
            out.append(Check(f"extension {name}", "ok", f"enabled, in {where}"))
    return out


def mismatch(name: str, where: Path) -> str:
    """Why the page cannot show what the kernel sends, or "": "Error displaying widget", or nothing
    at all, is what one sees when JupyterLab and the kernel have packages of different ages."""
    try:
        page = json.loads((where / name / "package.json").read_text(encoding="utf-8"))["version"]
        wanted = "5" if name != "anywidget" else ".".join(
            metadata.version(name).split(".")[:2])      # 5 belongs to ipywidgets 8
    except (OSError, ValueError, KeyError, TypeError, metadata.PackageNotFoundError):
        return ""                       # nothing to compare: another line tells
    return "" if f"{page}.".startswith(f"{wanted}.") else \
        f"JupyterLab has {page}, and the kernel asks for {wanted}"


def kernelspec() -> Check:
    """Does the kernel "python3" of a notebook start this Python?  Else: No module named 'mmlib'."""
    for folder in jupyter_path("share", "kernels"):
        try:
            told = json.loads((folder / "python3" / "kernel.json").read_text(encoding="utf-8"))
            starts = Path(told["argv"][0])
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if starts.is_absolute() and starts.parent != Path(sys.executable).parent:
            return Check("kernel python3", "missing", f"{folder / 'python3'} starts {starts}",
                         "remove that folder, or choose a kernel of this Python in the notebook")
        break
    return Check("kernel python3", "ok", "this Python")


def jupyter_path(kind: str, name: str) -> list[Path]:
    """The folders that Jupyter looks through for shared data or for settings ("etc")."""
    try:
        from jupyter_core import paths
    except ImportError:
        folder = Path(sys.prefix, kind, "jupyter")
        return [folder / name]
    return [Path(folder, name) for folder in
            (paths.jupyter_path() if kind == "share" else paths.jupyter_config_path())]


def disabled_extensions() -> set[str]:
    """The extensions that a settings file of JupyterLab turns off."""
    names: dict[str, bool] = {}
    for folder in reversed(jupyter_path("etc", "labconfig")):
        try:
            told = json.loads((folder / "page_config.json").read_text(encoding="utf-8"))
            listed = told.get("disabledExtensions", {})
            names |= listed if isinstance(listed, dict) else dict.fromkeys(listed, True)
        except (OSError, ValueError, AttributeError, TypeError):
            pass                        # no such file, or none that JupyterLab would read either
    return {name for name, off in names.items() if off}


# the renderer ----------------------------------------------------------------------------------
def renderer() -> Check:
    """Is there a Graphviz, and can it draw?"""
    path = find_renderer()
    if path is None:
        return Check("renderer", "note", "no Graphviz found; mmlib draws by itself, as SVG",
                     f"For Graphviz: {pip_install('graphviz-pure>=0.2.2,<0.3')}")
    try:
        drawn = subprocess.run([path, "-Tsvg"], input="graph { a }", capture_output=True,
                               text=True, timeout=20).stdout
        asked = subprocess.run([path, "-V"], capture_output=True, text=True, timeout=20)
        version = re.search(r"version (\S+)", asked.stdout + asked.stderr)
    except (OSError, subprocess.TimeoutExpired) as why:
        drawn, version = str(why), None
    if "<svg" not in drawn:
        return Check("renderer", "missing", f"{path} does not draw", "unset MMLIB_DOT"
                     if "MMLIB_DOT" in os.environ else "let MMLIB_DOT name a Graphviz that does")
    return Check("renderer", "ok", f"{path}, version {version[1] if version else 'unknown'}")


# the kernel ------------------------------------------------------------------------------------
def kernel() -> list[Check]:
    """Can this computer's kernel be asked what the simulator answers?"""
    instead = "Recorded answers are shown instead"
    if other := abilities.other_kind():
        return [Check("kernel", "note", other, instead)]
    checks = [Check("kernel", "ok", f"Linux {platform.release()}, {platform.machine()}")]
    for name, (can, use) in abilities.needed().items():
        checks.append(Check(name, "ok", "there") if can else
                      Check(name, "note", f"not to be had, which {use} needs", instead))
    if abilities.frame_numbers():
        return [*checks, Check("frames", "ok", "pagemap tells frame numbers")]
    return [*checks, Check("frames", "note", "pagemap hides frame numbers",
                           "Only root is told which processes share a frame; all else can be had")]
