"""A scenario as text: one call a line, spelled as in the notebooks.

It looks like Python and is never run as Python: each line is taken apart, and becomes an op of
docs/formats.md.  What such a file cannot hold is refused, with the line.

>>> script = read('''
... machine = Machine(TINY, cpus=2)
... a = machine.spawn("a")
... heap = a.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
... a.store(heap + 0x1000, b"x")
... ''')
>>> script.sequence["ops"][1]
{'op': 'store', 'proc': 0, 'addr': 20480, 'data': '78'}
>>> script.lines
[4, 5]
"""

import ast
import inspect
import warnings
from difflib import get_close_matches
from typing import NamedTuple

from . import literals
from .abi import MAP_ANONYMOUS
from .kinds import BadInput, shown
from .literals import Object
from .machine import Machine
from .openfile import File
from .sequences import check_sequence
from .setting import Setting
from .task import Task

BYTES, LINES = 1 << 16, 1000            # of a text; what is longer is no text for people
WIDTH = 10_000                          # of a line
TASK_CALLS = {name: name for name in (
    "mmap munmap mprotect mremap madvise msync mlock munlock mincore load store touch fork clone "
    "exec exit run_on open unlink").split()}
FILE_CALLS = {name: name for name in "pread pwrite read fallocate fsync ioctl close".split()} | {
    "truncate": "ftruncate"}
# What an argument is called in a file, where that is otherwise.
FIELDS = {"old": "addr", "length": "len", "old_len": "len", "new": "new_addr"}


class BadLine(BadInput):
    """What is wrong with a text, and in which line, counted from 1."""

    def __init__(self, line: int, why: BadInput):
        super().__init__(why.args[0], f"line {line}", *why.places)
        self.line = line


class Script(NamedTuple):
    """A text that was read: *sequence* of mmlib/1, and for each of its ops the line."""

    sequence: dict
    lines: list[int]
    setup: dict[str, int]               # the line of each mount and file


def read(script: str) -> Script:
    """The scenario in a text; raises BadLine."""
    if len(script) > BYTES or script.count("\n") >= LINES:
        raise BadInput(f"expected at most {LINES} lines and {BYTES} characters")
    reader = Reader()
    for number, line in enumerate(script.split("\n"), 1):
        try:
            reader.line = number
            try:
                reader.read(line)
            except RecursionError:          # Python 3.13 parses what is too deep to be read
                raise BadInput("expected one call, less deeply nested") from None
        except BadInput as why:
            raise BadLine(number, why) from None
    if not reader.names:
        raise BadLine(script.rstrip().count("\n") + 1,
                      BadInput('expected a process, such as: a = machine.spawn("a")'))
    sequence = {"id": "playground"} | reader.head | {"names": reader.names}
    if reader.files:
        sequence["files"] = list(reader.files.values())
    sequence["ops"] = reader.ops
    check_sequence(sequence)
    return Script(sequence, reader.lines, reader.setup)


def parsed(line: str) -> ast.stmt | None:
    """The one statement of a line; None if it is empty or a comment."""
    if len(line) > WIDTH:
        raise BadInput(f"expected at most {WIDTH} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statements = ast.parse(line.strip()).body
    except SyntaxError as why:
        raise BadInput(f"expected one whole call on the line: {why.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise BadInput("expected one call, less deeply nested and without odd characters"
                       ) from None
    if len(statements) > 1:
        raise BadInput("expected one call on the line, not more")
    return statements[0] if statements else None


class Reader(Setting):
    """A text while it is read, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[dict] = []
        self.lines: list[int] = []

    def read(self, line: str) -> None:
        statement = parsed(line)
        target, node = None, getattr(statement, "value", None)
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and \
                isinstance(statement.targets[0], ast.Name):
            target = statement.targets[0].id
        elif not isinstance(statement, ast.Expr) or not isinstance(node, ast.Call):
            if statement is None or isinstance(statement, (ast.Import, ast.ImportFrom)):
                return                          # an import is of mmlib, which is here
            raise BadInput(f"expected a call, such as a.load(0x4000), or a name for its result, "
                           f"not {shown(line.strip())}")
        if isinstance(node, ast.Call):
            result = self.call(node, target)
        else:
            result = literals.value(node, self.known)
        if target:
            if result is None:
                raise BadInput(f"expected no name for what is not kept, as {target} is")
            self.known[target] = result

    def call(self, node: ast.Call, target: str | None):
        """Carry over a call; what *target* is to stand for."""
        function = node.func
        if isinstance(function, ast.Name) and function.id == "Machine":
            return self.machine(node)
        if isinstance(function, ast.Name):      # spawn("a"), as a trace says it
            owner, name = self.known["machine"], function.id
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            owner, name = self.known.get(function.value.id), function.attr
        else:
            owner, name = None, ""
        if not isinstance(owner, Object):
            raise BadInput(f"expected machine, a process or a file before the dot, not "
                           f"{shown(ast.unparse(function))}")
        args = [literals.value(arg, self.known) for arg in node.args]
        kwargs = {arg.arg or "**": literals.value(arg.value, self.known) for arg in node.keywords}
        if name == "memfd" and owner.kind != "file" or \
                owner.kind == "machine" and name in ("mount", "spawn", "open"):
            return getattr(self, name)(target, **bound(getattr(Machine, name), args, kwargs))
        calls = {"task": TASK_CALLS, "file": FILE_CALLS,
                 "machine": {"shrink": "shrink", "unlink": "unlink"}}[owner.kind]
        if name not in calls:
            near = get_close_matches(name, calls, 3) or sorted(calls)
            raise BadInput(f"expected a call that a scenario file can hold, such as "
                           f"{', '.join(near)}, not {shown(name)}")
        kind = {"task": Task, "file": File, "machine": Machine}[owner.kind]
        given = bound(getattr(kind, name), args, kwargs)
        return self.add(owner, calls[name], given, target)

    def spawn(self, target, name=None) -> Object:
        """The first process is there before the first op."""
        if self.names:
            return self.add(None, "spawn", {"name": name}, target)
        return self.process(name, target)

    def add(self, owner: Object | None, name: str, given: dict, target: str | None):
        """One more op, checked; what it makes."""
        if owner and owner.kind == "file" and not self.names:
            return self.prepare(owner, name, given)
        op = {"op": name}
        if owner and name != "shrink":
            living = min(self.cast.groups, default=0)
            op["proc"] = owner.which if owner.kind == "task" else living
        if owner and owner.kind == "file":
            op["file"] = owner.which
        made = None
        if name in ("spawn", "fork", "clone"):
            op["child"] = self.cast.born
            made = given.pop("name", None), target
        elif name == "open":
            op["file"] = target if target is not None else ""
        op |= self.fields(name, given)
        self.cast.check_op(op)
        self.ops.append(op)
        self.lines.append(self.line)
        if made:
            return self.process(*made)
        if name == "open":
            return Object("file", target)
        asked = op.get("new_addr" if name == "mremap" else "addr")
        return asked if name in ("mmap", "mremap") else None

    def fields(self, name: str, given: dict) -> dict:
        """The arguments of a call as the fields of an op; what is left out is left out."""
        if name == "mmap" and given.get("file") is None and \
                not literals.whole_number("flags", given["flags"]) & MAP_ANONYMOUS:
            raise BadInput("expected a file or MAP_ANONYMOUS; mmap answers EBADF without")
        out = {}
        for argument, value in given.items():
            if value is None and (name, argument) != ("mmap", "addr"):
                continue
            if (name, argument, value) == ("pread", "n", 1):
                continue                # a file tells one byte as a number
            field = FIELDS.get(argument, argument)
            out |= literals.field(name, field, value)
        return out


def bound(method, args: list, kwargs: dict) -> dict:
    """The arguments of a call by name, those left out left out."""
    signature = inspect.signature(method)
    try:
        arguments = signature.bind(None, *args, **kwargs).arguments
    except TypeError as why:
        told = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}"
                         for p in list(signature.parameters.values())[1:])
        raise BadInput(f"{why}; expected {method.__name__}({told})") from None
    return {name: value for name, value in arguments.items() if name != "self"}
