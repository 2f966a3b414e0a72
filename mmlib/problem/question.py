"""What a problem is: what is asked, the answer by rule, and what is said about other answers."""

import textwrap
from dataclasses import dataclass, field

from ..verdict import UNANSWERED, Verdict

WIDTH = 79
START = ("from mmlib import *", "ANON = MAP_PRIVATE | MAP_ANONYMOUS")
SIZES = ("TINY has pages of 4 KiB (0x1000) and 4 entries a table: a PTE table maps 16 KiB "
         "(0x4000), a PMD table 64 KiB (0x10000), a PUD table 256 KiB (0x40000).")


class Lines(tuple):
    """Lines of text that show themselves as such."""

    def __repr__(self) -> str:
        return "\n".join(self)


@dataclass(frozen=True, repr=False)
class Problem:
    """One problem of a topic.  *given* and *code* come before the question; *code* is a script
    that can be run, and *ask* what to ask of a machine after it: *answer* must be what it says.

    *mistakes* are wrong answers with the sentence that meets each; *hint* meets all others.  Where
    the answer is a set, *choices* are the members that it could have.
    """

    question: str
    answer: int | str | tuple
    why: tuple[str, ...]                # the reasoning, a sentence each
    code: tuple[str, ...]
    ask: str                            # an expression, perhaps after other lines
    hint: str
    given: str = ""
    mistakes: dict = field(default_factory=dict)
    choices: tuple = ()
    shows_code: bool = True             # False: the code would be no help, or the answer
    form: str = "{}"                    # how the answer is printed
    topic: str = ""
    seed: int = 0

    def __repr__(self) -> str:
        parts = [f"{self.topic}, seed {self.seed}", wrapped(self.given)]
        if self.shows_code:
            parts.append(textwrap.indent("\n".join(START + self.code), "    "))
        return "\n\n".join(filter(None, [*parts, wrapped(self.question)]))

    @property
    def reason(self) -> Lines:
        """Why the answer is what it is, step by step."""
        return Lines(textwrap.fill(f"- {why}", WIDTH, subsequent_indent="  ") for why in self.why)

    @property
    def script(self) -> Lines:
        """What to run if you want to ask a machine: its last line is the answer."""
        return Lines((*START, *self.code, *self.ask.splitlines()))

    def check(self, answer=...) -> Verdict:
        """Is *answer* right?  If not, why; what is right stands in `answer` and `reason` alone.

        A set may be given as a tuple, list or set, in any order."""
        if answer is ...:
            return UNANSWERED
        if isinstance(self.answer, tuple):
            return self.check_set(answer)
        if type(answer) is not type(self.answer):
            return Verdict(False, f"The answer is of type {type(self.answer).__name__}, not "
                           f"{type(answer).__name__}.")
        if isinstance(answer, str) and len(answer) != len(self.answer):
            return Verdict(False, f"The answer has {plural(len(self.answer), 'letter')}, not "
                           f"{len(answer)}.")
        if answer == self.answer:
            return Verdict(True, self.why[-1])
        return Verdict(False, self.mistakes.get(answer, self.hint))

    def check_set(self, answer) -> Verdict:
        if not isinstance(answer, (tuple, list, set, frozenset)):
            return Verdict(False, f"The answer is a tuple, not {type(answer).__name__}.")
        for member in answer:
            if member not in self.choices:
                return Verdict(False, f"{member!r} is none of {', '.join(map(str, self.choices))}.")
        missing, surplus = set(self.answer) - set(answer), set(answer) - set(self.answer)
        if not missing and not surplus:
            return Verdict(True, self.why[-1])
        told = "Not all that you name belongs there" if surplus else "What you name belongs there"
        if missing:
            told += ", and something is missing" if surplus else ", but something is missing"
        return Verdict(False, f"{told}. {self.hint}")


def wrapped(text: str) -> str:
    """*text* with long lines filled; a line that is indented stays as it is."""
    return "\n".join(line if line.startswith(" ") else textwrap.fill(line, WIDTH)
                     for line in text.splitlines())


def plural(number: int, noun: str) -> str:
    """
    >>> plural(1, "page"), plural(2, "copy")
    ('1 page', '2 copies')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def mistakes(right, *rows: tuple) -> dict:
    """The rows (wrong answer, what is said of it) as a dict, without those that are right."""
    return {wrong: said for wrong, said in reversed(rows) if wrong != right}
