"""Where Graphviz is on this computer; its Python library does the rest."""

import os
import shutil
from importlib import metadata


def find_renderer() -> str | None:
    """$MMLIB_DOT, else `dot` on PATH, else the program of the package graphviz-pure.

    That one is asked of the package: JupyterLab need not have its folder on PATH."""
    if path := os.environ.get("MMLIB_DOT") or shutil.which("dot"):
        return path
    try:
        files = metadata.files("graphviz-pure") or ()
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate().resolve()) for file in files if file.stem == "graphviz-pure"
                 and file.parent.name in ("bin", "Scripts")), None)
