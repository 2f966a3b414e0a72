"""A table that compares the regimes, filled by running the same small scripts under each.

Nothing in it is typed in: with another rule, another table.
"""

from collections.abc import Callable

from .geometry import TINY
from .regimes import PAGE, REGIMES, SIZE, START, World
from .signals import Segfault
from .task import Task

NOTHING = "-"                           # there is nothing to share
# What one entry of each level maps.
SPANS = {1: "a page", 2: "a PTE table", 3: "a PMD table", 4: "a slot"}


def both(regime: str) -> tuple[World, Task, Task]:
    """The first process has stored to every page, the second has read every page."""
    world = REGIMES[regime]()
    first = world.machine.spawn("first")
    world.map(first, START)
    first.touch(START, SIZE, write=True)
    second = world.second(first)
    second.run_on(1)
    world.map(second, START)
    second.touch(START, SIZE)
    return world, first, second


def tables(regime: str) -> int:
    """Page tables when both have touched everything, each once, top-level ones left out."""
    return both(regime)[0].machine.table_count


def table_bytes(regime: str) -> int:
    return tables(regime) * PAGE


def second_faults(regime: str) -> int:
    """Exceptions that the second process takes to read everything."""
    return both(regime)[2].page_faults


def mprotect_seen(regime: str) -> str:
    """The first forbids stores to one page; may the second still store there?"""
    _, first, second = both(regime)
    try:
        first.mprotect(START, first.machine.geometry.huge_size, "r")
    except OSError as error:
        return spelled(error)
    try:
        second.store(START, b"x")
    except Segfault:
        return "yes"
    return "no"


def same_address(regime: str) -> str:
    """Must the second process have the file at the same address to share tables?"""
    if not gained(regime, START, START):
        return NOTHING
    return "no" if gained(regime, START, 2 * START) else "yes"


def alignment(regime: str) -> str:
    """The smallest shift of both processes' addresses with which they still share tables."""
    for level in range(1, TINY.levels + 1):
        at = START + TINY.entry_span(level)
        if gained(regime, at, at):
            return SPANS[level]
    return NOTHING


def gained(regime: str, one: int, other: int) -> int:
    """Tables that the second process, with the file at *other*, does not need, since the first has
    it at *one*; 0 as well where that is refused."""
    def need(address: int) -> int:
        world = REGIMES[regime]()
        task = world.machine.spawn("first")
        world.map(task, address)
        task.touch(address, SIZE, write=True)
        return world.machine.table_count
    try:
        world = REGIMES[regime]()
        first = world.machine.spawn("first")
        world.map(first, one)
        first.touch(one, SIZE, write=True)
        before = world.machine.table_count
        second = world.second(first)
        world.map(second, other)
        second.touch(other, SIZE)
        return max(need(other) - (world.machine.table_count - before), 0)
    except OSError:
        return 0


def creator_exits(regime: str) -> str:
    """What the second process gets when the first has exited."""
    _, first, second = both(regime)
    first.store(START, b"kept")
    first.exit()
    try:
        return "reads on" if second.load(START, 4) == b"kept" else "other bytes"
    except Segfault as signal:
        return signal.signal


def partial_munmap(regime: str) -> str:
    """The first unmaps one page (one huge page): faults to read the rest again."""
    _, first, _ = both(regime)
    hole = TINY.huge_size if regime == "hugetlb" else PAGE
    try:
        first.munmap(START, hole)
    except OSError as error:
        return spelled(error)
    before = first.page_faults
    first.touch(START + hole, SIZE - hole)
    return f"{first.page_faults - before} faults"


def after_fork(regime: str) -> int:
    """Exceptions that a forked child takes to read everything."""
    _, first, _ = both(regime)
    child = first.fork("child")
    child.touch(START, SIZE)
    return child.page_faults


def flush_targets(regime: str) -> str:
    """CPUs that must flush when the first forbids stores to one (huge) page."""
    world, first, _ = both(regime)
    before = world.machine.counters["flush_targets"]
    try:
        first.mprotect(START, TINY.huge_size, "r")
    except OSError as error:
        return spelled(error)
    return str(world.machine.counters["flush_targets"] - before)


def reported_rss(regime: str) -> int:
    """VmRSS of the second process, in pages."""
    return both(regime)[2].rss // PAGE


def needs(regime: str) -> str:
    """What a program must do: nothing that it does not do today, or a script of its own."""
    def script(name: str) -> list[str]:
        return [step.action for step in both(name)[0].machine.trace]
    return "free" if script(regime) == script("private") else "opt-in"


def spelled(error: OSError) -> str:
    return str(error.strerror).partition(":")[0]


QUESTIONS: dict[str, Callable[[str], object]] = {
    "tables": tables, "bytes": table_bytes, "2nd process faults": second_faults,
    "mprotect seen by all": mprotect_seen, "same address": same_address, "alignment": alignment,
    "creator exits": creator_exits, "munmap a page": partial_munmap, "fork faults": after_fork,
    "flush targets": flush_targets, "RSS pages": reported_rss, "a program": needs}


class Matrix:
    """A row a regime, a column a question: names of `QUESTIONS`, or a dict such as that.  Raises
    ValueError for an unknown name.

    >>> Matrix(["private", "mshare"], ["tables", "mprotect seen by all"])
    regime  | tables | mprotect seen by all
    private | 42     | no
    mshare  | 21     | yes
    """

    def __init__(self, regimes=tuple(REGIMES), questions=tuple(QUESTIONS)):
        asked = questions if isinstance(questions, dict) else QUESTIONS
        for name, known in [(r, REGIMES) for r in regimes] + [(q, asked) for q in questions]:
            if name not in known:
                raise ValueError(f"{name!r} is none of {', '.join(known)}")
        self.regimes, self.questions = tuple(regimes), tuple(questions)
        self.cells = {(regime, question): str(asked[question](regime))
                      for regime in self.regimes for question in self.questions}

    def __getitem__(self, place: tuple[str, str]) -> str:
        """The cell of (regime, question)."""
        return self.cells[place]

    def rows(self) -> list[list[str]]:
        """Cells as text, the headings first."""
        return [["regime", *self.questions],
                *([r, *(self.cells[r, q] for q in self.questions)] for r in self.regimes)]

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows())]
        return "\n".join(" | ".join(
            cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in self.rows())

    def _repr_html_(self) -> str:
        head, *body = self.rows()
        top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        lines = "".join(f'<tr><th scope="row" style="white-space:nowrap">{name}</th>'
                        + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
                        for name, *cells in body)
        return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
