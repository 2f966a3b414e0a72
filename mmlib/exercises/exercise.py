"""What an exercise is."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..abi import MAP_ANONYMOUS, MAP_PRIVATE
from ..verdict import Verdict  # noqa: F401  (for the modules of exercises)

ANON = MAP_PRIVATE | MAP_ANONYMOUS      # the most common kind of mapping


class Exercise(NamedTuple):
    """A question with a computed answer: *mistakes* computes the wrong answers that a known
    misconception leads to, each with the sentence that goes with it."""

    answer: Callable[[], Any]
    why: str                            # said with the right answer
    mistakes: Callable[[], dict]
    hint: str                           # said with any other answer
