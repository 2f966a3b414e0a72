"""One call, one Step: what turns the methods of Task, File and Machine into system calls."""

import errno
import functools
import inspect
from typing import NamedTuple

from . import frozen
from .events import one_line
from .files import oserror
from .memory import OutOfMemory
from .procfs import rss
from .signals import Killed, Signal
from .spell import spell
from .trace import MMState, Snapshot, Step, TaskState, VMAState


class Ref(NamedTuple):
    """A task or a file in a recorded call: the n-th that the machine made."""

    kind: str                           # "task", "file" or "machine"
    number: int


class Call(NamedTuple):
    """A call as it was made, with Refs for tasks and files: `Machine.branch` makes it again."""

    target: Ref
    method: str
    args: tuple
    kwargs: tuple


def call(method):
    """Make *method* a recorded call: OutOfMemory becomes ENOMEM; with tracing on, one Step."""
    first = list(inspect.signature(method).parameters)[1:2]
    about = first[0] if first in (["addr"], ["old"]) else None      # an address

    @functools.wraps(method)
    def recorded(self, *args, **kwargs):
        machine = self.machine
        if machine.busy:                # a call made by another call is a part of it
            return method(self, *args, **kwargs)
        machine.busy = True
        if machine.tracing:
            machine.events = []
            made = Call(reference(self), method.__name__, tuple(map(reference, args)),
                        tuple((k, reference(v)) for k, v in kwargs.items()))
        result = error = None
        machine.current_task = self if hasattr(self, "mm") else None
        try:
            self.check()
            result = method(self, *args, **kwargs)
        except OutOfMemory as why:
            error = oserror(errno.ENOMEM, str(why))
        except (OSError, Signal, Killed) as failed:
            error = failed
        except BaseException:
            machine.busy, machine.events = False, None
            raise
        machine.busy = False
        if machine.tracing:
            addr = args[0] if about and args else kwargs.get(about)
            finish(machine, self, made, spell(method.__name__, args, kwargs), result, error, addr)
        if error is not None:
            raise error
        return result

    return recorded


def finish(machine, actor, made: Call, action: str, result, error, addr) -> None:
    """Freeze the Step of a call that is over."""
    machine.calls.append(made)
    mm = getattr(actor, "mm", getattr(result, "mm", None))
    events, machine.events = tuple(machine.events), None
    machine.trace.append(Step(
        len(machine.trace), actor.name,
        one_line(action if actor is machine else f"{actor.name}.{action}"),
        result if error is None else error, error, events, machine.snapshot(), addr if type(addr) is int else None,
        mm and mm.name))


def snapshot(machine) -> Snapshot:
    """The whole state of *machine*, frozen."""
    mms, folded = machine.mms(), frozen.folds(machine)
    return Snapshot(
        machine.geometry,
        tuple(TaskState(t.name, t.mm.name, t.cpu) for t in machine.tasks),
        tuple(MMState(mm.name, (mm.pgd.pfn, mm.pgd.birth), tuple(
            VMAState(v.start, v.end, v.perms, v.offset, v.backing, v.flags,
                     v.file.inode.ino if v.file else 0)
            for v in mm.vmas), mm.nr_tables, rss(machine, mm) if folded else -1) for mm in mms),
        frozen.tables(machine, folded), frozen.frames(machine), tuple(tlb.state() for tlb in machine.tlbs),
        tuple(sorted(machine.counters.items())), folded)


def replay(machine, calls: list[Call], trace) -> None:
    """Make recorded *calls* again on a fresh machine; those that failed must fail alike."""
    def find(ref):
        if not isinstance(ref, Ref):
            named = isinstance(ref, tuple) and hasattr(ref, "_fields")
            return type(ref)(*map(find, ref)) if named else ref
        made = {"machine": [machine], "task": machine.registered, "file": machine.files}
        return made[ref.kind][ref.number]

    for step, made in zip(trace, calls):
        try:
            getattr(find(made.target), made.method)(
                *map(find, made.args), **{name: find(value) for name, value in made.kwargs})
        except Exception as failed:
            if type(failed) is not type(step.error):
                raise


def reference(value):
    """A Ref for what belongs to a machine, also within a tuple; anything else as it is, and so it
    stays."""
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(reference, value))
    return value.ref if hasattr(value, "ref") else value
