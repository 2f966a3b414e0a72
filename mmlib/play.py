"""A text is run, line by line, and each line is told what the kernel answers.

A line that fails ends nothing: the next is run, as in a program that does not look at errors.  A
text that cannot be read is not run at all.

>>> print(play('''machine = Machine(TINY)
... a = machine.spawn("a")
... a.mmap(0x4100, 0x1000, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
... a.mmap(0x4000, 0x1000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
... a.store(0x4000, b"x")'''))
  1  machine = Machine(TINY)
  2  a = machine.spawn("a")
> 3  a.mmap(0x4100, 0x1000, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
       EINVAL: addr 0x4100 is not a multiple of 0x1000
  4  a.mmap(0x4000, 0x1000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
       -> 0x4000
  5  a.store(0x4000, b"x")
       1 fault
>>> print(play("a = machine.spawn('a')\\nf.read(1)"))
  1  a = machine.spawn('a')
> 2  f.read(1)
       expected machine, a process or a file before the dot, not "f.read"
"""

import json
from dataclasses import dataclass, field

from .adapt import under
from .kinds import BadInput
from .loading import check_document, parse
from .machine import Machine
from .program import program
from .scenario import Stage, run
from .script import BYTES, LINES, BadLine, Script, read
from .signals import Signal
from .transcript import write
from .worlds import simulator


@dataclass(frozen=True)
class Told:
    """What is said of a line: *result* is "ok", "EINVAL", "SIGSEGV" ...; *step* is that of the
    machine's trace which shows it, None if no call was made."""

    line: int
    result: str
    text: str
    step: int | None = None

    @property
    def ok(self) -> bool:
        return self.result == "ok"


@dataclass(frozen=True)
class Play:
    """A text that was run: *script* and *machine* are None if it could not be read, *told* has one
    entry for each line that there is something to say of."""

    text: str
    told: tuple[Told, ...]
    script: Script | None = field(default=None, repr=False)
    machine: Machine | None = field(default=None, repr=False)

    def __str__(self) -> str:
        told = {one.line: one for one in self.told}
        lines, out = self.text.rstrip().split("\n"), []
        wide = len(str(len(lines)))
        for number, line in enumerate(lines, 1):
            one = told.get(number)
            out.append(f"{' ' if one is None or one.ok else '>'} {number:{wide}}  {line}"
                       .rstrip())
            if one and one.text:
                out.append(f"{'':{wide + 6}}{one.text}")
        return "\n".join(out)

    __repr__ = __str__

    @property
    def first(self) -> int:
        """The step after which the processes are there: before it files are made."""
        return next((step.number for step in self.machine.trace
                     if step.action.startswith("spawn(")), 0)

    # what can be taken along ---------------------------------------------------------------
    def document(self) -> dict:
        """The scenario as a file of mmlib/1, with what the simulator answers to each op."""
        sequence = self.readable().sequence
        answers = run(sequence, simulator(sequence))
        ops = [op | {"expect": answer} for op, answer in zip(sequence["ops"], answers)]
        return {"format": "mmlib/1", "sequences": [sequence | {"ops": ops}]}

    def json(self) -> str:
        """The same as the text of a file; `replay` compares the answers again."""
        return json.dumps(self.document(), separators=(",", ":")) + "\n"

    def program(self) -> str:
        """The scenario as a Python program."""
        sequence = self.readable().sequence
        return program(sequence, [(one.result, one.step is not None) for one in self.told]) + "\n"

    def readable(self) -> Script:
        if self.script is None:
            raise BadInput(f"expected a text that can be read; line {self.told[0].line}: "
                           f"{self.told[0].text}")
        return self.script


def play(text: str, regime: str | None = None) -> Play:
    """Run a text, also as it would be under another regime (adapt.py); nothing is raised for what
    is wrong with it."""
    try:
        script = under(read(text), regime)
    except BadInput as why:
        line = getattr(why, "line", 1)
        places = why.places[1:] if isinstance(why, BadLine) else why.places
        return Play(text, (Told(line, "unread", ", ".join(places) + ": " * bool(places)
                                + why.args[0]),))
    machine = simulator(script.sequence, trace=True)
    try:
        stage = Stage(script.sequence, machine)
    except BadInput as why:
        line = next((script.setup[place] for place in why.places if place in script.setup), 1)
        return Play(text, (Told(line, "unread", why.args[0]),))
    stage.base = 0                      # addresses are those of the text, in every geometry
    told = [tell(stage, op, line) for op, line in zip(script.sequence["ops"], script.lines)]
    return Play(text, tuple(told), script, machine)


def tell(stage: Stage, op: dict, line: int) -> Told:
    """Carry out an op; what to say of its line."""
    trace = stage.world.trace
    before = len(trace)
    answer = stage.act(op)
    step = before if len(trace) > before else None
    if answer["result"] != "ok":
        error = trace[step].error if step is not None else None
        why = error.reason if isinstance(error, Signal) else getattr(error, "strerror", None)
        why = str(why or "there is no such process or file, since the call that makes it failed")
        name = f"{answer['result']} ({answer['code']})" if "code" in answer else answer["result"]
        return Told(line, answer["result"],
                    f"{name}: {why.removeprefix(answer['result'] + ': ')}", step)
    faults = answer.get("minflt", 0)
    parts = [f"-> {answer['addr']:#x}"] if "addr" in answer else []
    outcome = trace[step].outcome if step is not None else ""
    if not parts and op["op"] in ("load", "read", "pread", "mincore", "shrink", "pwrite"):
        parts.append(outcome.strip())
    parts += [f"{faults} fault" + "s" * (faults != 1)] * bool(faults)
    return Told(line, "ok", ", ".join(parts), step)


def load(data: bytes) -> str:
    """The text of a scenario file, of its first sequence; the answers in it are not kept.  Raises
    BadInput.

    >>> sequence = {"id": "s", "names": ["a"], "ops": [{"op": "exit", "proc": 0}]}
    >>> print(load(json.dumps({"format": "mmlib/1", "sequences": [sequence]}).encode()))
    machine = Machine(X86_64)
    a = machine.spawn('a')
    a.exit()
    """
    document = parse(data)
    check_document(document)
    text = write(document["sequences"][0])
    if len(text) > BYTES or text.count("\n") >= LINES:
        raise BadInput(f"expected a scenario of at most {LINES} lines and {BYTES} characters as "
                       "text; replay runs it")
    return text
