"""What an exercise is, and what is said about an answer."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..abi import MAP_ANONYMOUS, MAP_PRIVATE

ANON = MAP_PRIVATE | MAP_ANONYMOUS      # the most common kind of mapping


class Verdict(NamedTuple):
    """What `check` says; true if the answer is right.

    >>> Verdict(True, "The child owns its own path of tables.")
    Right. The child owns its own path of tables.
    """

    right: bool
    why: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'Right.' if self.right else 'Not yet.'} {self.why}"


class Exercise(NamedTuple):
    """A question with a computed answer: *mistakes* computes the wrong answers that a known
    misconception leads to, each with the sentence that goes with it."""

    answer: Callable[[], Any]
    why: str                            # said with the right answer
    mistakes: Callable[[], dict]
    hint: str                           # said with any other answer
