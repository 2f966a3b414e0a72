"""The playground: a scenario as text or by controls, run line by line, and stepped through.

What is typed is read by `mmlib.script`, never run as code; what is loaded or restored, likewise.
"""

import inspect

import anywidget
import traitlets

from ..capsule import pack, unpack
from ..formats import ADVICE
from ..kinds import BadInput
from ..machine import Machine
from ..openfile import File
from ..play import Play, load, play
from ..regimes import REGIMES
from ..script import FILE_CALLS, TASK_CALLS
from ..stories import STORIES
from ..task import Task
from .esm import assemble, style
from .outline import describe
from .state import state
from .stepper import states
from .still import figure
from .told import Pool, data, track
from .union import union

PICTURED = 300_000                      # frames of all steps: what is more takes long to draw
# What the controls offer for an argument: a value to begin with, or choices.
FLAGS = {"mmap": ("MAP_SHARED", "MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_FIXED", "MAP_POPULATE"),
         "mremap": ("MREMAP_MAYMOVE", "MREMAP_FIXED"), "msync": ("MS_ASYNC", "MS_SYNC"),
         "open": ("O_RDWR", "O_RDONLY", "O_CREAT", "O_TRUNC")}
SET = {"mmap": ("MAP_PRIVATE", "MAP_ANONYMOUS"), "mremap": ("MREMAP_MAYMOVE",), "msync": ("MS_SYNC",),
       "open": ()}
CHOICES = {"prot": ("rw", "r", "rx", "rwx", ""), "fstype": ("ext4", "hugetlbfs", "msharefs"),
           "advice": tuple(f"MADV_{name.upper()}" for name in ("dontneed", *sorted(
               name for name in ADVICE if name not in ("dontneed", "hwpoison", "soft_offline"))))}
VALUES = {"addr": "0x4000", "old": "0x4000", "length": "0x1000", "old_len": "0x1000",
          "new_len": "0x2000", "offset": "0", "data": "x", "n": "4", "cpu": "0", "size": "0x4000",
          "mode": "FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE"}
KINDS = {"file": "file", "data": "bytes", "name": "string", "path": "string", "fstype": "string",
         "prot": "prot", "write": "check"}
MAKES = {"spawn": "task", "fork": "task", "clone": "task", "memfd": "file", "open": "file"}


class Playground(anywidget.AnyWidget):
    """A place to build a scenario and to run it.

    *text* is a scenario as text, or the name of a story (`mmlib.stories.STORIES`); *regime* is one
    of `mmlib.regimes.REGIMES`, or None for what the text says.  `play` is the last run.

    >>> Playground("a = machine.spawn('a')").play.machine.tasks
    [<Task a>]
    """

    _esm = assemble("playground")
    _css = style() + style("playground")
    name = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    regime = traitlets.Unicode().tag(sync=True)
    options = traitlets.Dict().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)

    def __init__(self, text: str = "03 Fork and copy on write", regime: str | None = None, *,
                 name: str = "Playground"):
        super().__init__(name=name, options={
            "stories": list(STORIES), "regimes": list(REGIMES), "calls": offered()})
        self.runs = 0
        self.run(STORIES.get(text, text), regime)
        self.on_msg(lambda _, message, buffers: self.asked(message))

    def run(self, text: str, regime: str | None = None, loaded: bool = True) -> Play:
        """Run a text and show what came of it.  Not *loaded* is a text that the page has already:
        it is not written there again, since its reader may be typing on."""
        self.play = play(text, regime or None)
        self.runs += 1                  # so that each is news to the page
        result = shown(self.play, self.name) | {"loaded": loaded, "run": self.runs}
        with self.hold_sync():
            self.text, self.regime, self.result = text, regime or "", result
        return self.play

    def asked(self, message) -> None:
        """Do what the page asks for; what is wrong with it is told there."""
        kind, what = next(iter(message.items())) if isinstance(message, dict) and message \
            else ("", "")
        try:
            if not isinstance(what, str):
                raise BadInput("expected a text")
            if kind == "run":
                regime = message.get("regime")
                self.run(what, regime if regime in REGIMES else None, False)
            elif kind == "story" and what in STORIES:
                self.run(STORIES[what], self.regime)
            elif kind == "load":
                self.run(load(what.encode("utf-8", "surrogatepass")), None)
            elif kind == "restore":
                self.run(unpack(what), None)
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
    from html import escape
    out = f"<pre>{escape(str(played))}</pre>"
    if played.machine is None:
        return out + f"<p>{escape(say)}</p>"
    step, now = played.machine.trace[-1], played.machine.snapshot()
    graph = union([now])
    return out + figure(graph, state(graph, now, step=step), describe(now), "",
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
    if sum(len(step.after.frames) for step in trace) > PICTURED:
        say += " There are too many pages to draw them all, so there is no picture."
    else:
        result |= {"stepper": steps(trace, name), "last": len(trace) - 1}
    return result | {"say": say, "json": played.json(), "program": played.program(),
                     "string": pack(played.text)}


def steps(trace, name: str) -> dict:
    """What a stepper shows of a trace; no widget of its own is made for it."""
    graph, pool = union([step.after for step in trace]), Pool()
    return data(name, [track(name, trace, graph, states(graph, trace), {}, pool)], pool)


def summed_up(played: Play) -> str:
    """A run in a sentence.

    >>> summed_up(play("a = machine.spawn('a')\\na.load(0x4000)"))
    '1 call was run, 1 of them failed. Now: 0 page tables below the top ones, 0 page faults served.'
    """
    calls, failed = len(played.told), sum(not one.ok for one in played.told)
    tasks = played.machine.registered
    faults = sum(task.minor_faults + task.major_faults for task in tasks)
    return (f"{calls} call{'s were' if calls != 1 else ' was'} run, {failed or 'none'} of them "
            f"failed. Now: {played.machine.table_count} page tables below the top ones, {faults} "
            "page faults served.")


def offered() -> dict:
    """The calls that the controls can write, by who makes them: their arguments, and what they
    make."""
    kinds = {"machine": (Machine, ("spawn", "memfd", "mount", "shrink")), "task": (Task, TASK_CALLS),
             "file": (File, [name for name in FILE_CALLS if name != "ioctl"])}
    return {kind: {name: {"args": arguments(getattr(owner, name)), "makes": MAKES.get(name, "")}
                   for name in names} for kind, (owner, names) in kinds.items()}


def arguments(method) -> list[dict]:
    """The arguments of a call, each with the kind of its control."""
    out, call = [], method.__name__
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        name = parameter.name
        if parameter.kind is parameter.VAR_KEYWORD or (call, name) == ("open", "mode"):
            continue
        optional = parameter.default is not parameter.empty
        one = {"name": name, "kind": KINDS.get(name, "number"), "optional": optional,
               "value": VALUES.get(name, "") if name == "size" or not optional else "",
               "choices": None}
        if name == "path":
            one["value"] = "/dev/shm/f" if call != "mount" else "/disk"
        if name == "flags":
            one |= {"kind": "flags", "choices": FLAGS[call], "value": SET[call]}
        elif name in CHOICES:
            one |= {"choices": CHOICES[name], "value": CHOICES[name][0]}
            one["kind"] = "number" if name == "advice" else one["kind"]
        out.append(one)
    return out
