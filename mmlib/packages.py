"""Which packages the notebooks need, and which versions: read, not repeated.

Packaging tools know more of versions than this; but this must work where nothing is installed.
"""

import re
from importlib import metadata
from pathlib import Path

COMPARE = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
           ">=": lambda a, b: a >= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b}


def declared() -> tuple[str, list[str]]:
    """(versions of Python, the requirements of the extra "lab"), as installed, or else as in the
    project's folder; raises LookupError.

    >>> python, requirements = declared()
    >>> python[:2], any(line.startswith("anywidget") for line in requirements)
    ('>=', True)
    """
    try:
        told = metadata.metadata("mmlib")
        needs = told.get_all("Requires-Dist") or []
        return told["Requires-Python"], [line.split(";")[0] for line in needs
                                         if re.search(r"""extra == ["']lab["']""", line)]
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[1] / "pyproject.toml"
        if not project.exists():
            raise LookupError("mmlib is not installed") from None
        import tomllib
        told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        lab = told["optional-dependencies"]["lab"]
        return told["requires-python"], [line.split(";")[0] for line in lab]


def split(requirement: str) -> tuple[str, str]:
    """Name and bounds of a requirement.

    >>> split("anywidget<1,>=0.9.13 "), split("numpy (>=1.26)"), split("graphviz")
    (('anywidget', '>=0.9.13,<1'), ('numpy', '>=1.26'), ('graphviz', ''))
    """
    name = re.match(r"[\w.-]+", requirement)[0]
    bounds = requirement[len(name):].strip(" ()").split(",")
    return name, ",".join(sorted(bounds, reverse=True))


def satisfies(version: str, bounds: str) -> bool:
    """Does *version* keep all of the comma-separated *bounds*?

    >>> [satisfies(v, ">=4.4,<5") for v in ("4.3.9", "4.4", "4.10.0", "5.0", "4.4.0rc1")]
    [False, True, True, False, False]
    >>> satisfies("2", ""), satisfies("1.0", "==1"), satisfies("5.0.0a1", "<5")
    (True, True, False)
    """
    for bound in filter(None, bounds.replace(" ", "").split(",")):
        compare, limit = re.fullmatch(r"([<>=!]=?)([\w.+!-]+)", bound).groups()
        if not COMPARE[compare](release(version), release(limit)):
            return False
        if compare == "<" and release(version)[0] == release(limit)[0]:
            return False                # a pre-release of what is too new
    return True


def release(version: str) -> tuple[tuple[int, ...], bool]:
    """A version as it compares: its numbers, and whether it is final."""
    numbers = re.match(r"[0-9.]*", version)[0]
    values = [int(number) for number in numbers.split(".") if number]
    while values and not values[-1]:
        del values[-1]
    return tuple(values), not re.match("a|b|rc|dev", version[len(numbers):])
