"""Questions that the stepper asks before it shows a step.

No answer stands here: each is computed from the trace, and so is the reason.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ..geometry import PRESENT, A, D, entry_letters, entry_pfn
from ..signals import Signal
from ..trace import Snapshot, Step, TableState
from .graph import is_link, table_id


class Question(NamedTuple):
    """What a reader is asked: *answer* and *reason* are functions of (the state before the step,
    the step).  An answer is a number, one of *choices*, or a list of tables of the state before:
    then one of these is clicked, and *choices* are for when there is none."""

    text: str
    answer: Callable[[Snapshot, Step], int | str | list[TableState]]
    reason: Callable[[Snapshot, Step], str]
    choices: tuple[str, ...] = ()

    def at(self, before: Snapshot, step: Step) -> dict[str, Any]:
        """The question as the widget asks it; ValueError if the answer is none of the choices."""
        answer = self.answer(before, step)
        pick = isinstance(answer, list)
        if pick:
            answer = [table_id(table) for table in answer] or list(self.choices)
            if not answer:
                raise ValueError(f"no table of the state before is an answer to {self.text!r}")
        elif self.choices and answer not in self.choices:
            raise ValueError(f"the answer {answer!r} to {self.text!r} is none of {self.choices}")
        return {"text": self.text, "answer": answer, "choices": list(self.choices), "pick": pick,
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


def walk_end(before: Snapshot, step: Step) -> list[TableState]:
    """Where the first walk of the step ends: it is told by events, or else nothing is walked."""
    walked = []
    for event in step.events:
        if event.kind == "walk":
            walked.append(event)
        elif walked:
            break
    return [before.table_at(event.pfn) for event in walked[-1:]]


def walk_end_reason(before: Snapshot, step: Step) -> str:
    for table in walk_end(before, step):
        event = [e for e in step.events if e.kind == "walk" and e.pfn == table.pfn][0]
        what = "maps the page" if event.entry & PRESENT else "is empty"
        return f"{event.level} {event.pfn}: its entry {event.index} {what}."
    return "Nothing is walked: the TLB has the translation, or nothing is accessed."


def changed(before: Snapshot, step: Step) -> list[TableState]:
    """Tables that are there before and after, with other entries; accessed bits count for nothing."""
    now = {table.node: bare(table) for table in step.after.tables}
    return [table for table in before.tables if now.get(table.node, bare(table)) != bare(table)]


def bare(table: TableState) -> list[tuple[int, int]]:
    return [(index, entry & ~(A | D)) for index, entry in table.entries]


def changed_reason(before: Snapshot, step: Step) -> str:
    now, told = step.after, []
    for table in changed(before, step):
        [after] = [t for t in now.tables if t.node == table.node]
        old, new = dict(bare(table)), dict(bare(after))
        index = min(i for i in old.keys() | new.keys() if old.get(i) != new.get(i))
        what = [f"frame {entry_pfn(e)} {'' if is_link(table.level, e) else entry_letters(e)}".strip()
                if e else "empty" for e in (old.get(index, 0), new.get(index, 0))]
        told.append(f"{now.geometry.level_name(table.level)} {table.pfn}: entry {index} was "
                    f"{what[0]} and is {what[1]}.")
    return " ".join(told[:3]) or "No entry of a table that was there changes."


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
    "walk": Question("In which table will the walk end?", walk_end, walk_end_reason,
                     ("nothing is walked",)),
    "entry": Question("Which table that you see will have an entry changed?", changed,
                      changed_reason, ("none of them",)),
    "outcome": Question("What will come of it?", outcome, outcome_reason,
                        ("it goes well", "SIGSEGV", "SIGBUS", "an error")),
}
