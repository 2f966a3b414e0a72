"""What the playground's controls offer: every call that a text can have, with its arguments."""

import inspect

from ..formats import ADVICE
from ..machine import Machine
from ..openfile import File
from ..script import FILE_CALLS, TASK_CALLS
from ..task import Task

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
