"""Questions that the stepper asks before it shows a step.

No answer stands here: each is computed from the trace, and so is the reason.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ..signals import Signal
from ..trace import Snapshot, Step


class Question(NamedTuple):
    """What a reader is asked: *answer* and *reason* are functions of (the state before the step,
    the step).  An answer is a number, or one of *choices*."""

    text: str
    answer: Callable[[Snapshot, Step], int | str]
    reason: Callable[[Snapshot, Step], str]
    choices: tuple[str, ...] = ()

    def at(self, before: Snapshot, step: Step) -> dict[str, Any]:
        """The question as the widget asks it; ValueError if the answer is none of the choices."""
        answer = self.answer(before, step)
        if self.choices and answer not in self.choices:
            raise ValueError(f"the answer {answer!r} to {self.text!r} is none of {self.choices}")
        return {"text": self.text, "answer": answer, "choices": list(self.choices),
                "reason": self.reason(before, step)}


def count(step: Step, kind: str) -> int:
    return Counter(event.kind for event in step.events)[kind]


def grown(name: str) -> Callable[[Snapshot, Step], int]:
    """By how much a counter grew in the step."""
    return lambda before, step: dict(step.after.counters)[name] - dict(before.counters)[name]


def tables(before: Snapshot, step: Step) -> int:
    return dict(step.after.counters)["table_bytes"] // step.after.geometry.page_size


def tables_reason(before: Snapshot, step: Step) -> str:
    new = [f"{e.level} {e.pfn}" for e in step.events if e.kind == "table"]
    freed = [f"{e.level} {e.pfn}" for e in step.events if e.kind == "free_table"]
    change = "; ".join([f"new: {', '.join(new)}"] * bool(new)
                       + [f"freed: {', '.join(freed)}"] * bool(freed)) or "none is made or freed"
    return f"{tables(before, step)}, top-level tables left out ({change})."


def faults_reason(before: Snapshot, step: Step) -> str:
    n = grown("faults")(before, step)
    if n:
        told = [e.text for e in step.events if e.kind in (
            "copy", "reuse", "anon", "zero_page", "cache_fill", "cache_hit", "touch", "link")]
        return f"{n}. {' '.join(told[:3])}".rstrip()
    if any(e.kind == "tlb_hit" for e in step.events):
        return "0. The CPU has the translation in its TLB."
    return "0. The walk finds what it needs, or nothing was accessed."


def reads(before: Snapshot, step: Step) -> int:
    """
    >>> from mmlib import MAP_ANONYMOUS, MAP_PRIVATE, TINY, Machine
    >>> m = Machine(TINY); a = m.spawn("a")
    >>> start = a.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    >>> a.load(start); a.load(start)
    b'\\x00'
    b'\\x00'
    >>> for step in m.trace[2:]:
    ...     print(reads_reason(None, step))
    5. 1 until the walk fails, and 4 after the fault.
    0. The CPU has the translation in its TLB.
    """
    if count(step, "touch"):
        raise ValueError(f"{step.action} is told as one event, which counts no walks")
    return count(step, "walk")


def reads_reason(before: Snapshot, step: Step) -> str:
    n, kinds = reads(before, step), [event.kind for event in step.events]
    if not n:
        return "0. " + ("The CPU has the translation in its TLB." if "tlb_hit" in kinds
                        else "Nothing is accessed.")
    if "fault" not in kinds:
        return f"{n}. No TLB entry serves, so the CPU walks."
    first = kinds[:kinds.index("fault")].count("walk")
    return f"{n}. {first} until the walk fails, and {n - first} after the fault."


def pages(before: Snapshot, step: Step) -> int:
    return sum(frame.kind != "zero" for frame in step.after.frames)


def pages_reason(before: Snapshot, step: Step) -> str:
    told = [e.text for e in step.events if e.kind in ("copy", "anon", "cache_fill", "free_page")]
    return f"{pages(before, step)}. {' '.join(told[:3]) or 'No page came or went.'}"


def outcome(before: Snapshot, step: Step) -> str:
    if isinstance(step.error, Signal):
        return step.error.signal
    return "it goes well" if step.error is None else "an error"


def outcome_reason(before: Snapshot, step: Step) -> str:
    return f"{step.error}." if step.error else f"It goes well{step.outcome}."


QUESTIONS = {
    "tables": Question("How many page tables will there be then, top-level ones left out?",
                       tables, tables_reason),
    "pages": Question("How many pages of data will be in memory then?", pages, pages_reason),
    "faults": Question("How many page faults will it take?", grown("faults"), faults_reason),
    "reads": Question("How many page-table entries will the CPU read?", reads, reads_reason),
    "copies": Question("How many pages will be copied?", grown("copies"),
                       lambda before, step: f"{grown('copies')(before, step)}. " + (" ".join(
                           e.text for e in step.events if e.kind in ("copy", "reuse"))
                           or "Nothing is copied.")),
    "outcome": Question("What will come of it?", outcome, outcome_reason,
                        ("it goes well", "SIGSEGV", "SIGBUS", "an error")),
}
