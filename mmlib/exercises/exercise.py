"""What an exercise is: a question with a computed answer, or code that is tried."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..abi import MAP_ANONYMOUS, MAP_PRIVATE
from ..verdict import Verdict

ANON = MAP_PRIVATE | MAP_ANONYMOUS      # the most common kind of mapping
UNWRITTEN = Verdict(False, "Put your code in the place of the three dots and run the cell again.")


class Wrong(Exception):
    """What is wrong with a reader's function that stands in the kernel's place, in words."""


class Exercise(NamedTuple):
    """A question with a computed answer: *mistakes* computes the wrong answers that a known
    misconception leads to, each with the sentence that goes with it."""

    answer: Callable[[], Any]
    why: str                            # said with the right answer
    mistakes: Callable[[], dict]
    hint: str                           # said with any other answer


class Case(NamedTuple):
    """One call of a reader's function."""

    told: str                           # "for a store with no mapping", as the reader is told
    arguments: tuple
    right: Any
    hint: Callable[[Any], str]          # what to look at, from what the function returned


class Code(NamedTuple):
    """A function that the reader writes: each case is what the machine does, and the function
    must say the same.  *why* is said when it does; {tried} in it is the number of cases.

    Only the truth of the value counts where the machine says True or False."""

    cases: Callable[[], Iterable[Case]]
    why: str

    def __call__(self, function: Callable) -> Verdict:
        tried = 0
        for told, arguments, right, hint in self.cases():
            try:
                got = function(*arguments)
            except Exception as failed:     # the reader's code, whatever is wrong with it
                return Verdict(False, f"{told[0].upper()}{told[1:]}, your function ended with "
                               f"{type(failed).__name__}: {failed}. {hint(None)}")
            if got is ...:
                return UNWRITTEN
            same = bool(got) == right if type(right) is bool else \
                type(got) is type(right) and got == right
            if not same:
                return Verdict(False, f"{told[0].upper()}{told[1:]}, your function returned "
                               f"{shown(got)}. {hint(got)}")
            tried += 1
        return Verdict(True, self.why.format(tried=tried))


def shown(value: Any) -> str:
    """A number of more than a few digits is an address."""
    return f"{value:#x}" if type(value) is int and value > 4095 else repr(value)
