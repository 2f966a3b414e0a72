"""Answers to a scenario: prediction beside measurement, and those of the kernel that was recorded.

The recording is written by tests/record_answers.py, which asks a kernel what the notebooks ask.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .machine import Machine

RECORDING = Path(__file__).parent / "data" / "answers.json"


class Row(NamedTuple):
    question: str
    predicted: int | str
    measured: int | str | None          # None: nobody was asked

    @property
    def agree(self) -> str:
        return "-" if self.measured is None else "yes" if self.measured == self.predicted else "no"


class Answers:
    """Prediction beside measurement: *rows*; *source*, one line that says who was asked; *notes*,
    lines about what differs; *recorded*, what the recording answers, or None if it lacks this.

    >>> Answers([Row("tables", 3, 3), Row("faults", 1, 2)], "Measured elsewhere.")
            predicted  measured  agree
    tables          3         3  yes
    faults          1         2  no
    Measured elsewhere.
    """

    def __init__(self, rows: list[Row], source: str, notes: Iterable[str] = (),
                 recorded: dict[str, int | str] | None = None):
        self.rows, self.source, self.notes = rows, source, list(notes)
        self.recorded = recorded

    @property
    def agree(self) -> bool:
        """Was every question answered as predicted?"""
        return all(row.agree == "yes" for row in self.rows)

    @property
    def predicted(self) -> dict[str, int | str]:
        return {row.question: row.predicted for row in self.rows}

    @property
    def measured(self) -> dict[str, int | str | None]:
        return {row.question: row.measured for row in self.rows}

    def __repr__(self) -> str:
        table = [("", "predicted", "measured", "agree")] + [
            (row.question, str(row.predicted), "-" if row.measured is None else str(row.measured),
             row.agree) for row in self.rows]
        wide = [max(map(len, column)) for column in zip(*table)]
        return "\n".join([*(f"{question:{wide[0]}}  {predicted:>{wide[1]}}  {measured:>{wide[2]}}"
                            f"  {agree}" for question, predicted, measured, agree in table),
                          self.source, *self.notes])


def recording() -> dict:
    return json.loads(RECORDING.read_text(encoding="ascii"))


def key(machine: Machine, questions) -> str:
    """The name under which a recording has these calls and questions."""
    text = [f"{step.actor}: {step.action}" for step in machine.trace] + sorted(questions)
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]


def recorded(machine: Machine, predicted: dict) -> dict | None:
    """What the recorded kernel answered to what *machine* was asked, if it was asked that."""
    entry = recording()["answers"].get(key(machine, predicted))
    return entry and entry["answers"]
