"""The playground: a scenario as text or by controls, run line by line, and stepped through.

What is typed is read by `mmlib.script`, never run as code; what is loaded or restored, likewise.
"""

from html import escape

import anywidget
import traitlets

from ..capsule import pack, unpack
from ..kinds import BadInput
from ..play import Play, load, play
from ..regimes import REGIMES
from ..stories import STORIES
from .beside import marked
from .beside import told as texts
from .controls import offered
from .differ import differences
from .esm import assemble, style
from .outline import describe
from .seen import alternative
from .state import state
from .stepper import states
from .still import figure
from .told import Pool, data, track
from .union import union

PICTURED = 50_000                       # pages and tables of all steps; more takes long to draw


class Playground(anywidget.AnyWidget):
    """A place to build a scenario and to run it.

    *text* is a scenario as text, or the name of a story (`mmlib.stories.STORIES`); *regime* is one
    of `mmlib.regimes.REGIMES`, or None for what the text says; *beside* is another, whose steps are
    shown below.  `play` is the last run.

    >>> Playground("a = machine.spawn('a')").play.machine.tasks
    [<Task a>]
    """

    _esm = assemble("playground")
    _css = style() + style("playground")
    name = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    regime = traitlets.Unicode().tag(sync=True)
    beside = traitlets.Unicode().tag(sync=True)
    options = traitlets.Dict().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)

    def __init__(self, text: str = "03 Fork and copy on write", regime: str | None = None, *,
                 beside: str | None = None, name: str = "Playground"):
        super().__init__(name=name, options={
            "stories": list(STORIES), "regimes": list(REGIMES), "calls": offered()})
        self.runs = 0
        self.run(STORIES.get(text, text), regime, beside)
        self.on_msg(lambda _, message, buffers: self.asked(message))

    def run(self, text: str, regime: str | None = None, beside: str | None = None,
            loaded: bool = True) -> Play:
        """Run a text and show what came of it.  Not *loaded* is a text that the page has already:
        it is not written there again, since its reader may be typing on."""
        self.play = play(text, regime or None)
        self.runs += 1                  # so that each is news to the page
        result = shown(self.play, self.name) | {"loaded": loaded, "run": self.runs}
        if beside and result["stepper"]:
            result |= compared(self.play, play(text, beside), (regime or "as the text says", beside),
                               result, self.name)
        with self.hold_sync():
            self.text, self.regime, self.beside = text, regime or "", beside or ""
            self.result = result
        return self.play

    def asked(self, message) -> None:
        """Do what the page asks for; what is wrong with it is told there."""
        kind, what = next(iter(message.items())) if isinstance(message, dict) and message \
            else ("", "")
        try:
            if not isinstance(what, str):
                raise BadInput("expected a text")
            if kind == "run":
                regime, beside = (name if isinstance(name, str) and name in REGIMES else None
                                  for name in (message.get("regime"), message.get("beside")))
                self.run(what, regime, beside, False)
            elif kind == "story" and what in STORIES:
                self.run(STORIES[what], self.regime, self.beside)
            elif kind == "load":
                self.run(load(what.encode("utf-8", "surrogatepass")))
            elif kind == "restore":
                self.run(unpack(what))
        except BadInput as why:
            self.runs += 1
            self.result = self.result | {"say": f"Nothing is changed: {why}", "run": self.runs}

    def __repr__(self) -> str:
        return "\n".join([self.name + ": " + self.result["say"], str(self.play)]
                         + [describe(self.play.machine.snapshot())] * bool(self.play.machine))

    def _repr_mimebundle_(self, **kwargs):
        """The live widget; the text and a picture of its end for where it cannot live."""
        bundle, metadata = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/plain": repr(self), "text/html": still(self.play, self.result["say"])
                }, metadata


def still(played: Play, say: str) -> str:
    """What is seen before the cell is run: the lines with what is told of them, and a picture."""
    out = f"<pre>{escape(str(played))}</pre>"
    if played.machine is None:
        return out + f"<p>{escape(say)}</p>"
    step, now = played.machine.trace[-1], played.machine.snapshot()
    graph = union([now])
    return out + figure(graph, state(graph, now, step=step), alternative(now), "",
                        say + " (Run the cell to change it.)")


def shown(played: Play, name: str) -> dict:
    """What the page shows of a run, and what can be saved of it."""
    told = [[one.line, one.result, one.text or "ok",
             None if one.step is None else one.step - played.first] for one in played.told]
    result = {"text": played.text, "told": told, "say": "", "json": "", "program": "",
              "string": "", "stepper": None, "last": 0}
    if played.machine is None:
        one = played.told[0]
        return result | {"say": f"Line {one.line} cannot be read, so nothing was run: {one.text}."}
    trace = played.machine.trace[played.first:]
    say = summed_up(played)
    if size(trace) > PICTURED:
        say += " There is too much to draw, so there is no picture."
    else:
        result |= {"stepper": steps(trace, name), "last": len(trace) - 1}
    return result | {"say": say, "json": played.json(), "program": played.program(),
                     "string": pack(played.text)}


def size(trace) -> int:
    """How much there is to draw."""
    return sum(len(step.after.frames) + len(step.after.tables) for step in trace)


def steps(trace, name: str) -> dict:
    """What a stepper shows of a trace; no widget of its own is made for it."""
    graph, pool = union([step.after for step in trace]), Pool()
    return data(name, [track(name, trace, graph, states(graph, trace), {}, pool)], pool)


def summed_up(played: Play) -> str:
    """A run in a sentence or two.

    >>> summed_up(play("a = machine.spawn('a')\\na.load(0x4000)"))
    '1 call was run, 1 of them failed. Now: 0 page tables below the top ones, 0 page faults served.'
    """
    calls, failed = len(played.told), sum(not one.ok for one in played.told)
    return (f"{calls} call{'s were' if calls != 1 else ' was'} run, {failed or 'none'} of them "
            f"failed. Now: {figures(played)}")


def figures(played: Play) -> str:
    faults = sum(task.minor_faults + task.major_faults for task in played.machine.registered)
    return (f"{many(played.machine.table_count, 'page table')} below the top ones, "
            f"{many(faults, 'page fault')} served.")


def many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def compared(one: Play, other: Play, names: tuple[str, str], result: dict, name: str) -> dict:
    """What the page shows of two runs of a text instead of one; nothing if they are too large, or
    if the second cannot be."""
    if other.machine is None:
        return {"say": f"{result['say']} Under {names[1]}: {other.told[0].text}."}
    say = f"{result['say']} Under {names[1]}: {figures(other)}"
    if names[0] == names[1] or size(other.machine.trace) > PICTURED:
        return {"say": say}
    lines = sorted({told.line for told in (*one.told, *other.told)})
    told = [[line, outcome, text, lines.index(line) + 1] for line, outcome, text, _ in result["told"]]
    return {"say": say, "stepper": pair([aligned(one, lines), aligned(other, lines)], names, name),
            "last": len(lines), "told": told}


def pair(traces: list[list], names: tuple[str, str], name: str) -> dict:
    """What a stepper shows of two traces of one length (beside.py), without a widget of its own."""
    found = [differences(*(step.after for step in both), names) for both in zip(*traces)]
    pool, tracks = Pool(), []
    for side, trace in enumerate(traces):
        graph = union([step.after for step in trace])
        shown = [marked(one, found[k], side) for k, one in enumerate(states(graph, trace))]
        tracks.append(track(names[side], trace, graph, shown, {}, pool, differs=True))
    return data(name, tracks, pool) | {
        "differences": [[pool(text) for text in texts(one)] for one in found]}


def aligned(played: Play, lines: list[int]) -> list:
    """The steps of a run, one a line: a regime may need more calls for a line, or none."""
    at, out = played.first, [played.machine.trace[played.first]]
    for line in lines:
        at = max([at, *(told.step for told in played.told
                        if told.line == line and told.step is not None)])
        out.append(played.machine.trace[at])
    return out
