"""What a value in a file may be, and the one line that says it is not."""

import json
import re
from contextlib import contextmanager
from typing import Callable, NamedTuple


class BadInput(ValueError):
    """What is wrong with a file or a command line, in one line."""

    def __init__(self, what: str, *places: str):
        super().__init__(what)
        self.places = list(places)      # from the file down to the field

    def __str__(self) -> str:
        return ", ".join(self.places) + ": " * bool(self.places) + self.args[0]


@contextmanager
def at(place: str):
    """What goes wrong inside is wrong at *place*."""
    try:
        yield
    except BadInput as why:
        why.places.insert(0, place)
        raise


class Kind(NamedTuple):
    """What a field may hold: in words, and as a test."""

    words: str
    fits: Callable[[object], bool]


def whole(low: int, high: int, why: str = "") -> Kind:
    """Whole numbers; true and false are none.

    >>> whole(0, 255).fits(256), whole(0, 1 << 35, "that is much").words
    (False, 'a whole number from 0 to 2**35 (that is much)')
    """
    top = f"2**{high.bit_length() - 1}" if high > 1 << 20 and not high & high - 1 else high
    return Kind(f"a whole number from {low} to {top}" + f" ({why})" * bool(why),
                lambda value: type(value) is int and low <= value <= high)


def either(words: str, *values: str) -> Kind:
    return Kind(words, lambda value: isinstance(value, str) and value in values)


def text(words: str, pattern: str) -> Kind:
    return Kind(words, lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value)))


def rows(words: str, *columns: Kind) -> Kind:
    """A list of rows, each with one value a column."""
    return Kind(words, lambda value: isinstance(value, list) and all(
        isinstance(row, list) and len(row) == len(columns)
        and all(kind.fits(cell) for kind, cell in zip(columns, row)) for row in value))


def by_process(words: str, kind: Kind) -> Kind:
    return Kind(words, lambda value: isinstance(value, dict) and all(
        name.isdecimal() and kind.fits(item) for name, item in value.items()))


LIST = Kind("a list", lambda value: isinstance(value, list))
OBJECT = Kind("an object", lambda value: isinstance(value, dict))


def check_object(value) -> None:
    if not isinstance(value, dict):
        raise BadInput(f"expected an object, not {shown(value)}")


def take(owner: dict, name: str, kind: Kind, *default):
    """The field *name* of *owner*, checked; a field with a *default* may be missing."""
    with at(f"field {shown(name)}"):
        if name not in owner:
            if default:
                return default[0]
            raise BadInput(f"expected {kind.words}; it is missing")
        if not kind.fits(owner[name]):
            raise BadInput(f"expected {kind.words}, not {shown(owner[name])}")
    return owner[name]


def shown(value) -> str:
    """A value of a file in a message: one line, not long.

    >>> shown("a" * 100), shown({"a": [1]})
    ('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...', '{"a": [1]}')
    """
    try:
        line = json.dumps(value)
    except RecursionError:
        return "something that is nested deeply"
    return line if len(line) <= 40 else line[:38] + "..."
