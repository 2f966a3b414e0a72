"""Exercises: `check` tells why an answer is wrong, and never what the right one is.

No answer stands here.  Each is computed by running the machine, so an exercise cannot disagree
with the simulator; the reasons belong to the mistakes that people make.
"""

from ..verdict import UNANSWERED, Verdict
from . import cache, cost, faults, files, fork, hugetlb, kernel, mshare, roadblocks, threads, walk
from .exercise import Exercise

EXERCISES = {**walk.EXERCISES, **faults.EXERCISES, **fork.EXERCISES, **files.EXERCISES,
             **threads.EXERCISES, **hugetlb.EXERCISES, **mshare.EXERCISES, **cache.EXERCISES,
             **cost.EXERCISES, **roadblocks.EXERCISES, **kernel.EXERCISES}
LISTS = ("01.5", "04.6")                # whose answers are addresses; all others without a computed
                                        # answer are functions


def check(name: str, answer=...) -> Verdict:
    """Is *answer* right for the exercise *name*, such as "03.1"?

    An answer that is still `...` is not answered yet.  An unknown name is a ValueError that lists
    the known ones.

    >>> check("03.1")
    Not yet. Put your answer in the place of the three dots and run the cell again.
    """
    if name not in EXERCISES:
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    if answer is ...:
        return UNANSWERED
    exercise = EXERCISES[name]
    if not isinstance(exercise, Exercise):
        if not callable(answer) and name not in LISTS:
            return Verdict(False, f"Give the function itself, without calling it: "
                           f"check({name!r}, function).")
        try:
            return exercise(answer)
        except Exception as failed:     # the reader's code, whatever is wrong with it
            return Verdict(False, f"Your code ended with {type(failed).__name__}: {failed}.")
    right = exercise.answer()
    if type(answer) is not type(right):
        return Verdict(False, f"The answer is of type {type(right).__name__}, "
                       f"not {type(answer).__name__}.")
    if answer == right:
        return Verdict(True, exercise.why)
    return Verdict(False, exercise.mistakes().get(answer, exercise.hint))
