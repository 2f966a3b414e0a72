"""What is said about an answer, to an exercise of a notebook or to a problem."""

from typing import NamedTuple


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


UNANSWERED = Verdict(False, "Put your answer in the place of the three dots and run the cell "
                     "again.")
