"""One call, one Step: what turns the methods of Task, File and Machine into system calls."""

import errno
import functools
from typing import NamedTuple

from .fault import Killed, Segfault
from .files import oserror
from .memory import OutOfMemory


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
        try:
            self.check()
            result = method(self, *args, **kwargs)
        except OutOfMemory as why:
            error = oserror(errno.ENOMEM, str(why))
        except (OSError, Segfault, Killed) as failed:
            error = failed
        except BaseException:
            machine.busy, machine.events = False, None
            raise
        machine.busy = False
        if machine.tracing:
            machine.finish(self, made, spell(method.__name__, args, kwargs), result, error)
        if error is not None:
            raise error
        return result

    return recorded


def reference(value):
    """A Ref for what belongs to a machine; anything else as it is."""
    return value.ref if hasattr(value, "ref") else value


def spell(name: str, args: tuple, kwargs: dict) -> str:
    """The call as a script would write it, addresses and long numbers in hexadecimal.

    >>> spell("mmap", (None, 8192, "rw"), {"flags": 34})
    "mmap(None, 0x2000, 'rw', flags=34)"
    """
    shown = [_spell(a) for a in args] + [f"{k}={_spell(v)}" for k, v in kwargs.items()]
    return f"{name}({', '.join(shown)})"


def _spell(value) -> str:
    if hasattr(value, "ref"):
        return value.name
    if isinstance(value, (bytes, bytearray)) and len(value) > 16:
        return f"{bytes(value[:12])!r}... ({len(value)} bytes)"
    return hex(value) if type(value) is int and value >= 4096 else repr(value)
