"""A scenario of a file as text again.

>>> sequence = {"geometry": "TINY", "names": ["a"], "files": [{"id": "f", "pages": 4}], "ops": [
...     {"op": "mmap", "proc": 0, "addr": 16384, "len": 8192, "prot": "rw", "flags": ["shared"],
...      "file": "f"},
...     {"op": "store", "proc": 0, "addr": 16384, "value": 7}]}
>>> print(write(sequence))
machine = Machine(TINY)
f = machine.memfd('f', 0x4000)
a = machine.spawn('a')
a.mmap(0x4000, 0x2000, 'rw', MAP_SHARED, f)
a.store(0x4000, 7)
"""

import keyword
import re

from .abi import MAP_ANONYMOUS
from .formats import ADVICE, FLAGS, REQUESTS, bits
from .kinds import BadInput
from .msharefile import MshareCreate, MshareUnmap
from .spell import spell

POLICY = {"private": "Private()", "cache": "FileTableCache()",
          "cache-pte": "FileTableCache(levels=('pte',))"}


class Word:
    """What stands in a call as it is: the name of a file, or bytes, however many."""

    ref = None                          # by this spell knows it

    def __init__(self, name: str):
        self.name = name


def write(sequence: dict) -> str:
    """The text of a checked sequence of mmlib/1 or mmoracle/1; answers are not kept."""
    if "file_gib" in sequence:
        raise BadInput("expected a sequence of mmlib/1 or mmoracle/1, not of mmoracle-hugetlb/1")
    return "\n".join(Writer(sequence).text())


class Writer:
    """*files* and *tasks* have the names of what has an id or a number in the file."""

    def __init__(self, sequence: dict):
        self.sequence, self.files, self.tasks, self.taken = sequence, {}, {}, {"machine"}

    def name(self, wish: str) -> str:
        """A name that a program can have, and nobody else has.

        >>> writer = Writer({})
        >>> writer.name("f-1"), writer.name("f.1"), writer.name("if"), writer.name("")
        ('f_1', 'f_1_', 'if_', '_')
        """
        name = re.sub(r"\W", "_", wish, flags=re.ASCII)[:36]
        name = name if name[:1].isalpha() or name[:1] == "_" else f"p{name}" if name else "_"
        while name in self.taken or keyword.iskeyword(name) or re.fullmatch(r"anon|shm\d+", name):
            name += "_"
        self.taken.add(name)
        return name

    def task(self, number: int) -> str:
        names = self.sequence.get("names", ())
        self.tasks[number] = self.name(names[number] if number < len(names) else str(number))
        return self.tasks[number]

    def file(self, wish: str) -> str:
        self.files[wish] = self.name(wish)
        return self.files[wish]

    def text(self):
        yield f"machine = {machine(self.sequence)}"
        for mount in self.sequence.get("mounts", ()):
            options = {"version": mount["version"]} if mount.get("version") is not None else {}
            yield "machine." + spell("mount", (mount["fstype"], mount["path"]), options)
        for file in self.sequence.get("files", ()):
            yield from self.made(file)
        first = self.task(0)
        yield f"{first} = machine.spawn({first!r})"
        for op in self.sequence["ops"]:
            yield self.line(op)

    def made(self, file: dict):
        name, size = self.file(file["id"]), file["pages"] << 12
        if file.get("path") is None:
            yield f"{name} = machine." + spell("memfd", (name, size), {})
        else:
            yield f"{name} = machine." + spell("open", (file["path"],), {})
            yield f"{name}." + spell("truncate", (size,), {})
        for page, byte in file.get("content") or ():
            yield f"{name}." + spell("pwrite", (bytes([byte]), page << 12), {})

    def line(self, op: dict) -> str:
        name, actor = op["op"], self.tasks.get(op.get("proc"), "machine")
        if name in ("fork", "clone", "spawn"):
            child = self.task(op["child"])
            return f"{child} = {actor}.{name}({child!r})"
        if name == "open":
            made = self.file(op["file"])
            return f"{made} = {actor}." + spell("open", *self.opened(op))
        if name in ARGUMENTS:
            args = ARGUMENTS[name](self, op)
            if name in ON_FILES:
                actor = self.files[op["file"]]
            return f"{actor}." + spell(ON_FILES.get(name, name), args, {})
        return f"{actor}.{name}()"

    def opened(self, op: dict) -> tuple[tuple, dict]:
        flags = (bits("open", op["flags"]),) if "flags" in op else ()
        return (op["path"], *flags), {"mode": op["mode"]} if "mode" in op else {}

    def mapped(self, op: dict) -> tuple:
        """The arguments of mmap; without a file memory is anonymous, whether or not a flag says
        so."""
        flags = bits("mmap", op["flags"]) | (0 if "file" in op else MAP_ANONYMOUS)
        file = Word(self.files[op["file"]]) if "file" in op else None
        rest = (file, op["offset"]) if op.get("offset") else (file,) if file else ()
        return (op["addr"], span(op), letters(op), flags, *rest)

    def requested(self, op: dict) -> tuple:
        request, arg = op["request"], op.get("arg")
        if request == "create_mapping":
            arg = MshareCreate(arg["region_offset"], arg["size"], arg.get("offset", 0),
                               letters(arg), bits("mmap", arg["flags"]),
                               Word(self.files[arg["file"]]) if "file" in arg else None)
        elif request == "unmap":
            arg = MshareUnmap(arg["region_offset"], arg["size"])
        return (REQUESTS.get(request, request), arg)


def machine(sequence: dict) -> str:
    """The head of a sequence as the call that makes its machine.

    >>> machine({"geometry": "TINY", "sharing": "cache", "cpus": 2})
    'Machine(TINY, sharing=FileTableCache(), cpus=2)'
    """
    geometry = sequence.get("geometry") or "X86_64"
    sharing = POLICY.get(sequence.get("sharing"))
    parts = [geometry] + [f"sharing={sharing}"] * bool(sharing)
    parts += [f"{name}={sequence[name]}" for name in ("cpus", "huge_pages") if name in sequence]
    return f"Machine({', '.join(parts)})"


def span(op: dict) -> int:
    return op["len"] if "len" in op else op["length"]


def letters(op: dict) -> str:
    return "" if op["prot"] == "none" else op["prot"]


def data(op: dict):
    return Word(repr(bytes.fromhex(op["data"]))) if "data" in op else op["value"]


def some(op: dict, *names: str) -> tuple:
    """The fields that are there."""
    return tuple(op[name] for name in names if name in op)


ON_FILES = {"ftruncate": "truncate"} | {
    name: name for name in ("pread", "pwrite", "read", "fallocate", "fsync", "ioctl", "close")}
# How the arguments of a call come from the fields of an op.
ARGUMENTS = {
    "mmap": Writer.mapped, "ioctl": Writer.requested,
    "munmap": lambda self, op: (op["addr"], span(op)),
    "mprotect": lambda self, op: (op["addr"], span(op), letters(op)),
    "mremap": lambda self, op: (op["addr"], span(op), op["new_len"], bits(
        "mremap", op.get("flags", [])), *some(op, "new_addr")),
    "madvise": lambda self, op: (op["addr"], span(op), ADVICE.get(op["advice"], op["advice"])),
    "msync": lambda self, op: (op["addr"], span(op), bits("msync", op["flags"])),
    "load": lambda self, op: (op["addr"], *some(op, "n")),
    "store": lambda self, op: (op["addr"], data(op)),
    "touch": lambda self, op: (op["addr"], span(op), *some(op, "write")),
    "pread": lambda self, op: (op.get("n", 1), op["offset"]),
    "pwrite": lambda self, op: (data(op), op["offset"]),
    "read": lambda self, op: (op["n"],),
    "ftruncate": lambda self, op: (op["pages"] << 12 if "pages" in op else span(op),),
    "fallocate": lambda self, op: (bits("fallocate", op["mode"]), op["offset"], span(op)),
    "fsync": lambda self, op: (), "close": lambda self, op: (),
    "unlink": lambda self, op: (op["path"],), "run_on": lambda self, op: (op["cpu"],),
} | dict.fromkeys(("mlock", "munlock", "mincore"), lambda self, op: (op["addr"], span(op)))
