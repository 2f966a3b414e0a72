"""Two traces that step together, one below the other, with what differs marked."""

from collections.abc import Sequence
from html import escape

from ..machine import Machine
from ..trace import Step
from .differ import MOST, Difference, differences
from .seen import alternative
from .state import State
from .stepper import Live, states, steps_of
from .still import figure
from .told import Pool, data, track
from .union import union


class SideBySide(Live):
    """Step through two machines, or two traces, under one toolbar.

    Both made the same calls under two regimes, or one is a branch of the other.  *names* is what
    the two are called, *name* what a screen reader calls the whole, *still* the step, counted from
    0, that is seen before the notebook is run; None is the last one.  Tables, entries and pages
    that differ carry a mark; where both have the same, nothing does, whatever frames they are in.

    Raises ValueError for an empty trace, for two geometries, and for two names that are alike.

    >>> from mmlib import TINY, FileTableCache, Private
    >>> pair = [Machine(TINY, sharing=policy) for policy in (Private(), FileTableCache())]
    >>> for m in pair:
    ...     a = m.spawn("a")
    >>> SideBySide(*pair, names=("private", "cached"))
    Side by side, step 1 of 1
    private: spawn('a') -> <Task a>
    cached: spawn('a') -> <Task a>
    The tables of both are alike.
    """

    def __init__(self, one, other, *, names: tuple[str, str] = ("first", "second"),
                 name: str = "Side by side", still: int | None = None):
        self.traces = steps_of(one), steps_of(other)
        self.names, first, second = tuple(names), *self.traces
        if len(set(self.names)) != 2:
            raise ValueError(f"names are two that differ, not {names!r}")
        if first[0].after.geometry != second[0].after.geometry:
            raise ValueError(f"{first[0].after.geometry} and {second[0].after.geometry} cannot be "
                             "compared: take one geometry for both")
        self.length = max(map(len, self.traces))
        self.still = self.length - 1 if still is None else still
        if not 0 <= self.still < self.length:
            raise ValueError(f"still is a step from 0 to {self.length - 1}, not {still}")
        self.found = [differences(*(step.after for step in self.at(k)), self.names)
                      for k in range(self.length)]
        self.graphs = [union([step.after for step in trace]) for trace in self.traces]
        pool = Pool()
        tracks = []
        for side, (trace, graph) in enumerate(zip(self.traces, self.graphs)):
            shown = [marked(one, self.found[k], side)
                     for k, one in enumerate(states(graph, trace))]
            tracks.append(track(self.names[side], trace, graph, shown, {}, pool, differs=True))
        super().__init__(data=data(name, tracks, pool) | {
            "differences": [[pool(text) for text in told(found)] for found in self.found]})

    def at(self, k: int) -> list[Step]:
        """Both steps at *k*; a trace that is over stays at its end."""
        return [trace[min(k, len(trace) - 1)] for trace in self.traces]

    def __repr__(self) -> str:
        lines = [f"{name}: {step.action}{step.outcome}"
                 for name, step in zip(self.names, self.at(self.still))]
        return "\n".join([f"{self.data['name']}, step {self.still + 1} of {self.length}", *lines,
                          *self.told()])

    def told(self) -> Sequence[str]:
        """What differs at the step that is seen before the notebook is run."""
        return told(self.found[self.still]) or ["The tables of both are alike."]

    def figure(self) -> str:
        out = []
        for side, (name, graph, step) in enumerate(zip(self.names, self.graphs, self.at(self.still))):
            [*_, shown] = states(graph, self.traces[side][:self.still + 1])
            out.append(figure(graph, shown, alternative(step.after),
                              f"{name}: {step.action}{step.outcome}",
                              "(Run the cell to step.)" if side else ""))
        words = " ".join([f"Step {self.still + 1} of {self.length}.", *self.told()])
        return "".join(out) + f"<p>{escape(words)}</p>"


def marked(shown: State, found: Sequence[Difference], side: int) -> State:
    """*shown* with a mark on what differs, and on the table or page that it is in."""
    names = {name for one in found if (name := one[1 + side])}
    names |= {name.partition(".")[0] for name in names}
    return {name: (classes | {"diff"}, text) if name in names else (classes, text)
            for name, (classes, text) in shown.items()}


def told(found: Sequence[Difference]) -> list[str]:
    texts = list(dict.fromkeys(one.text for one in found))
    return texts if len(texts) <= MOST else [*texts[:MOST], f"And {len(texts) - MOST} more."]
