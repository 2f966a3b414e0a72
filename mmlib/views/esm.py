"""The stepper's JavaScript as one module: anywidget loads one, and a page may hold one inline.

The files stay apart for those who read them.  An import of theirs is one line, and keeps the names
that the other file exports; no two files of ours define the same name.
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
DEFAULT = re.compile(r"^export default .*\n", re.MULTILINE)


def assemble(name: str = "stepper") -> str:
    """The source of *name*.js, everything that it imports before it; the default export is its
    own.

    >>> source = assemble()
    >>> "export function mount(" in source, '\\nimport ' in source
    (True, False)
    """
    done: dict[str, str] = {}

    def add(name: str) -> None:
        if name in done:
            return
        source = (HERE / f"{name}.js").read_text(encoding="utf-8")
        done[name] = ""
        for other in IMPORT.findall(source):
            add(other)
        done[name] = done.pop(name) or IMPORT.sub("", source)

    add(name)
    *others, own = done.values()
    return "\n".join([*(DEFAULT.sub("", other) for other in others), own])


def style(name: str = "stepper") -> str:
    """The style sheet that goes with it."""
    return (HERE / f"{name}.css").read_text(encoding="utf-8")
