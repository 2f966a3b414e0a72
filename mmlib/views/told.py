"""All that the stepper tells of a trace, as JSON: what mount() of stepper.js takes.

What repeats from step to step is told once: values that are alike have one number in a pool, and
elements, tables and pages travel as differences.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..geometry import NX, entry_pfn
from ..trace import MMState, Snapshot, Step, TableState
from ..vma import (
    VM_DONTCOPY,
    VM_HUGETLB,
    VM_LOCKED,
    VM_MAYBE_GUARD,
    VM_NOSHARE,
    VM_SHARED_PT,
    VM_TRACKED,
    VM_WIPEONFORK,
)
from .ask import Question
from .fold import groups
from .graph import Graph, is_link, plain, table_id
from .micro import micro
from .outline import who
from .seen import alternative
from .state import State, content, delta, encode
from .svg import STILL_STYLE, union_svg
from .text import narration, summary

COUNTERS = ("faults", "copies", "zero_fills", "cache_fills", "flushes", "flush_targets")
# Beside the permissions; the letters are those of VmFlags in /proc/PID/smaps, where it has them.
FLAGS = {VM_LOCKED: "lo", VM_HUGETLB: "ht", VM_DONTCOPY: "dc", VM_WIPEONFORK: "wf",
         VM_MAYBE_GUARD: "gu", VM_SHARED_PT: "mshare", VM_NOSHARE: "noshare", VM_TRACKED: "tracked"}


class Pool:
    """Values as JSON, each once, in the order in which they came."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.values: list[Any] = []

    def __call__(self, value: Any) -> int:
        """The number of *value*.

        >>> pool = Pool(); [pool(v) for v in ("a", ["b"], "a")], pool.values
        ([0, 1, 0], ['a', ['b']])
        """
        text = json.dumps(value)
        if text not in self.numbers:
            self.numbers[text] = len(self.values)
            self.values.append(value)
        return self.numbers[text]

    def lines(self, text: str) -> list[int]:
        return [self(line) for line in text.split("\n")]


def data(name: str, tracks: Iterable[dict], pool: Pool) -> dict[str, Any]:
    """What the widget gets: one track, or two that step together."""
    return {"name": plain(name), "tracks": list(tracks), "pool": pool.values,
            "style": STILL_STYLE}


def track(title: str, trace: Sequence[Step], graph: Graph, states: Sequence[State],
          asked: Mapping[int, Question], pool: Pool, differs: bool = False) -> dict[str, Any]:
    """One trace and its picture; *asked* is step number -> question; with *differs* a box can be
    marked as different from another picture's."""
    now = trace[0].after
    out: list[dict] = []
    before, shown, boxes = None, {}, {}
    for step, one in zip(trace, states):
        encoded, held = encode(one), tables(step.after, pool)
        out.append(told(step, before, asked.get(step.number), pool) | {
            "delta": delta(shown, encoded), "tables": delta(boxes, held),
            "micro": micro(graph, before, step) if before else []})
        before, shown, boxes = step.after, encoded, held
    return {"title": plain(title), "svg": union_svg(graph, differs), "steps": out,
            "counted": list(counters(now)), "colours": {
                lane.name: lane.colour for lane in graph.lanes if lane.kind == "mm"},
            "bits": now.geometry.entries.bit_length() - 1, "size": now.geometry.page_size,
            "top": now.geometry.task_size,
            "levels": [now.geometry.level_name(n + 1) for n in range(now.geometry.levels)]}


def told(step: Step, before: Snapshot | None, asked: Question | None, pool: Pool) -> dict:
    """What is said of a step, beside its picture."""
    now = step.after
    return {"action": step.action, "outcome": step.outcome, "say": summary(step),
            "addr": step.addr, "mm": step.mm,
            "events": [[pool(text) for text in pair] for pair in narration(step)],
            "mms": pool([pool(row) for row in spaces(now, step.mm)]),
            "pages": pool(pages(now, pool)),
            "tlbs": pool([[list(entry) for entry in tlb] for tlb in now.tlbs]),
            "cpus": pool({task.mm: task.cpu for task in reversed(now.tasks)}),
            "counters": list(counters(now).values()), "text": pool.lines(alternative(now)),
            "folded": now.folded, "ask": asked.at(before, step) if asked else None}


def spaces(now: Snapshot, own: str | None) -> list[list]:
    """Every address space; in a folded state one for those that are alike, and that of the call."""
    return [row for mm, *like in groups(now) for row in [
        mapped(now, mm, len(like)), *(mapped(now, one) for one in like if one.name == own)]]


def mapped(now: Snapshot, mm: MMState, like: int = 0) -> list:
    """An address space: who runs in it, its name, its top-level table, kB as VmPTE, and its VMAs.
    In a folded state one stands for those that are *like* it."""
    return [who(now, mm) + f" and {like:,} like it" * bool(like), mm.name, "t{}_{}".format(*mm.root), mm.tables * now.geometry.page_size // 1024,
            [[v.start, v.end, v.perms, plain(v.backing), v.offset,
              " ".join(text for bit, text in FLAGS.items() if v.flags & bit)] for v in mm.vmas]]


def tables(now: Snapshot, pool: Pool) -> dict[str, int]:
    """Every table, by id: level, users, owner, whether a policy published it, count, entries."""
    return {table_id(t): pool([t.level, t.users, plain(t.owner), int(t.published), t.count, runs(t)])
            for t in now.tables}


def pages(now: Snapshot, pool: Pool) -> list[int]:
    """Every page; those in a row that are alike as one, with their number."""
    out: list[list] = []
    for frame in now.frames:
        row = [frame.pfn, frame.count, frame.birth, frame.kind, plain(frame.file), frame.index,
               frame.mapcount, content(frame._replace(kind="anon"))]
        if out and follows(out[-1], row):
            out[-1][1] += 1
        else:
            out.append(row)
    return [pool(row) for row in out]


def follows(run: list, row: list) -> bool:
    """Is *row* the page after *run*, and like it?"""
    many = run[1]
    step = 0 if run[5] < 0 else many
    return [run[0] + many, run[2] + many, *run[3:5], run[5] + step, *run[6:]] == \
        [row[0], *row[2:]] and row[1] == 1


def runs(table: TableState) -> list[list[int]]:
    """Entries in a row, to frames in a row, as [index, how many, frame, bits]; bit 12 is NX.

    >>> runs(TableState(5, 4, 1, 1, "a", False, ((0, 0x6007), (1, 0x7007), (3, 0x8005))))
    [[0, 2, 6, 7], [3, 1, 8, 5]]
    """
    out: list[list[int]] = []
    for index, entry in table.entries:
        pfn, bits = entry_pfn(entry), entry & 0xFFF | bool(entry & NX) << 12
        if out and not is_link(table.level, entry):
            first, many, start, alike = out[-1]
            if (first + many, start + many, alike) == (index, pfn, bits):
                out[-1][1] += 1
                continue
        out.append([index, 1, pfn, bits])
    return out


def counters(now: Snapshot) -> dict[str, int]:
    """What the panel counts; the tables are those in use."""
    values = dict(now.counters)
    return {"page tables": values["table_bytes"] // now.geometry.page_size,
            "pages of data": sum(frame.kind != "zero" for frame in now.frames),
            **{name.replace("_", " "): values[name] for name in COUNTERS}}
