"""Reading a scenario file: all of it is checked before anything of it runs.

A file that keeps the rules of docs/formats.md becomes a `Recording`; any other is `BadInput`, whose
text is one line: file, place (sequence, op, field), what was expected, what was found.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from . import formats
from .formats import FORMATS
from .kinds import LIST, BadInput, at, check_object, either, shown, take, text
from .sequences import check_sequence


@dataclass(frozen=True)
class Recording:
    """A checked file: *document* is all of it as it was, keys that nobody knows included."""

    path: str
    document: dict

    @property
    def label(self) -> str:
        """The path in a message: one line, whatever bytes it is made of."""
        return printable(self.path)

    @property
    def format(self) -> str:
        return self.document["format"]

    @property
    def sequences(self) -> list[dict]:
        return self.document["sequences"]


def load(path: str) -> Recording:
    """The checked recording in the file *path*; raises BadInput.

    >>> load("no such file")
    Traceback (most recent call last):
    mmlib.kinds.BadInput: no such file: expected a file that can be read: No such file or directory
    """
    with at(printable(path)):
        document = read_json(path)
        check_document(document)
    return Recording(path, document)


def printable(name: str) -> str:
    """A name in a message: one line that every terminal can show."""
    return name if name.isprintable() else ascii(name)


def folder(text: str) -> Path:
    """The folder of that name; an empty one would be where we are (an unset variable of a shell)."""
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, such as ., not ''")
    return Path(text)


def read_json(path: str):
    try:
        with open(path, "rb") as file:
            data = file.read(formats.FILE_BYTES + 1)
    except (OSError, ValueError) as why:
        raise BadInput("expected a file that can be read: "
                       f"{getattr(why, 'strerror', None) or why}") from None
    return parse(data)


def parse(data: bytes):
    """What the bytes of a file say in JSON; raises BadInput."""
    if len(data) > formats.FILE_BYTES:
        raise BadInput(f"expected at most {formats.FILE_BYTES >> 20} MiB")
    try:
        return json.loads(data.decode())
    except json.JSONDecodeError as why:
        raise BadInput(f"expected JSON; line {why.lineno}, column {why.colno}: {why.msg}") from None
    except RecursionError:
        raise BadInput("expected JSON that is not nested so deeply") from None
    except ValueError as why:           # no UTF-8, or a number of thousands of digits
        raise BadInput(f"expected JSON: {why}") from None


def check_document(document) -> None:
    """Raise BadInput where *document* is no file of a known format."""
    if not isinstance(document, dict):
        raise BadInput(f"expected an object with a format, not {shown(document)}")
    known = either(" or ".join(FORMATS), *FORMATS)
    form, ids, ops = take(document, "format", known), set(), 0
    for number, sequence in enumerate(take(document, "sequences", LIST)):
        with at(f"sequence {number}"):
            check_object(sequence)
            name = take(sequence, "id", text("a name", r"(?s).{1,200}"))
        with at(f"sequence {shown(name)}"):
            if name in ids:
                raise BadInput("expected a name of its own; another sequence has it")
            check_sequence(sequence, form)
        ids.add(name)
        ops += len(sequence["ops"])
        if ops > formats.OPS:
            raise BadInput(f"expected at most {formats.OPS} ops in all")
    if not ids:
        raise BadInput("expected at least one", 'field "sequences"')
