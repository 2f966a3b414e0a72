"""The stepper: a recorded trace, one call at a time, forward and back.

All of it travels with the widget: once shown, it steps without a kernel.  Its technique is one
drawing of the union of all steps (svg.py), in which a step changes classes and texts (state.py).
"""

from collections.abc import Mapping, Sequence

import anywidget
import traitlets

from ..machine import Machine
from ..trace import Step
from .ask import QUESTIONS, Question
from .esm import assemble, style
from .graph import Graph
from .seen import alternative
from .state import State, state
from .still import figure
from .text import describe, summary
from .told import Pool, data, track
from .union import union


class Live(anywidget.AnyWidget):
    """What is shown by stepper.js: all of it is *data*, as JSON, and travels with the widget.

    Its text is its `repr`, its picture the HTML of `figure()`, for where it cannot live.
    """

    _esm = assemble()
    _css = style()
    data = traitlets.Dict().tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)

    def figure(self) -> str:
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs):
        """The live widget; a figure and a text for where it cannot live."""
        live, metadata = super()._repr_mimebundle_(**kwargs)
        return {**live, "text/plain": repr(self), "text/html": self.figure()}, metadata


class Stepper(Live):
    """Step through a machine's trace, or through a part of it such as ``machine.trace[2:]``.

    *ask* asks before a step is shown: step number -> "tables", "pages", "faults", "reads",
    "copies", "outcome", or a `Question`.  *name* is what a screen reader calls it.  *still* is
    the step (of those shown, from 0) that is seen before the notebook is run; None is the last
    one before the first question, or the last of all.

    Raises ValueError for an empty trace, and for a question to a step that is not shown.

    >>> from mmlib import TINY
    >>> m = Machine(TINY); a = m.spawn("a"); b = a.fork("b")
    >>> Stepper(m)
    Stepper, step 2 of 2: a.fork('b') -> <Task b>
    The child gets a copy of the VMA list: 0 VMAs.
    a: 0 page tables below the top one
      PGD 2
    b: 0 page tables below the top one
      PGD 3
    """

    def __init__(self, trace, *, ask: Mapping[int, str | Question] = {}, name: str = "Stepper",
                 still: int | None = None):
        trace = steps_of(trace)
        numbers = [step.number for step in trace]
        wrong = [n for n in ask if n not in numbers[1:]]
        if wrong:
            raise ValueError(f"ask names step {wrong[0]!r}; there are steps {numbers[0]} to "
                             f"{numbers[-1]}, and the first cannot be asked for")
        asked = [numbers.index(n) for n in ask]
        self.still = (min(asked, default=len(trace)) - 1) if still is None else still
        if not 0 <= self.still < len(trace):
            raise ValueError(f"still is a step from 0 to {len(trace) - 1}, not {still}")
        self.trace, self.graph = trace, union([step.after for step in trace])
        self.states = states(self.graph, trace)
        pool = Pool()
        super().__init__(data=data(name, [track(
            name, trace, self.graph, self.states,
            {n: question(one) for n, one in ask.items()}, pool)], pool))

    def __repr__(self) -> str:
        step = self.trace[self.still]
        return (f"{self.data['name']}, step {self.still + 1} of {len(self.trace)}: {step.action}"
                f"{step.outcome}\n{summary(step)}\n{describe(step.after)}")

    def figure(self) -> str:
        step = self.trace[self.still]
        head = f"Step {self.still + 1} of {len(self.trace)}: {step.action}{step.outcome}"
        return figure(self.graph, self.states[self.still], alternative(step.after), head,
                      summary(step) + " (Run the cell to step.)")


def steps_of(trace: Machine | Sequence[Step]) -> Sequence[Step]:
    """The steps of a machine or a trace; ValueError if there are none."""
    trace = trace.trace if isinstance(trace, Machine) else trace
    if not len(trace):
        raise ValueError("there is no step to show: the trace is empty")
    return trace


def states(graph: Graph, trace: Sequence[Step]) -> list[State]:
    """What the picture shows at each step of *trace*."""
    return [state(graph, step.after, before and before.after, step)
            for before, step in zip([None, *trace], trace)]


def question(asked: str | Question) -> Question:
    """A question by its name; ValueError for a name that there is not."""
    if isinstance(asked, Question):
        return asked
    if asked not in QUESTIONS:
        raise ValueError(f"there is no question {asked!r}; there are {', '.join(QUESTIONS)}")
    return QUESTIONS[asked]
