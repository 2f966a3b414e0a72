"""Scenario documents for tests, and the command line that reads them."""
import copy
import json
from pathlib import Path

from mmlib.__main__ import main

DATA = Path(__file__).resolve().parent / "data"
RECORDINGS = {"examples-30": 30, "examples-ptshare-10": 10, "examples-hugetlb-10": 10,
              "linux-6.18-calls": 66}
PAGE, FIXED = 0x1000, ["private", "anon", "fixed"]


def mmap(addr=0, len=4 * PAGE, prot="rw", flags=FIXED, proc=0, **more):
    return {"op": "mmap", "proc": proc, "addr": addr, "len": len, "prot": prot,
            "flags": flags} | more


def op(name, proc=0, **fields):
    return {"op": name, "proc": proc} | fields


def document(*ops, form="mmoracle/1", **head):
    """A file of one sequence, "s"; *head* are more fields of the sequence."""
    return {"format": form, "sequences": [{"id": "s"} | head | {"ops": list(ops)}]}


# One op of most kinds, and what each must answer.
SMALL = document(
    mmap(expect={"result": "ok", "addr": 0, "minflt": 0, "tables": {"0": 0}}),
    op("store", addr=5, value=7, expect={"result": "ok", "minflt": 1, "tables": {"0": 3}}),
    op("fork", child=1, expect={"result": "ok", "maps_of": 1,
                                "maps": [[0, 4 * PAGE, "rw-p", "anon", 0]]}),
    op("load", 1, addr=5, expect={"value": 7, "frames": {"0": [[0, 0]], "1": [[0, 0]]}}),
    mmap(0x10000, proc=1, flags=["shared", "noreplace"], file="f", offset=PAGE),
    op("mremap", addr=0, len=4 * PAGE, new_len=PAGE, flags=[]),
    op("madvise", 1, addr=0, len=PAGE, advice="dontneed"),
    op("pread", 1, file="f", offset=PAGE, expect={"value": 9, "count": 1}),
    op("exit", 1),
    files=[{"id": "f", "pages": 3, "content": [[1, 9]]}])


def changed(place, value, base=SMALL):
    """A copy of *base* with *value* at *place*, a tuple of keys and indices; DROP removes it."""
    made = copy.deepcopy(base)
    *way, last = place
    inner = made
    for key in way:
        inner = inner[key]
    if value is DROP:
        del inner[last]
    else:
        inner[last] = value
    return made


DROP = object()


def at(number, *place):
    """The place of op *number* in a document of one sequence."""
    return ("sequences", 0, "ops", number, *place)


def write(folder, content, name="file.json"):
    """The path of a file that holds *content*: a document, text, or bytes."""
    path = folder / name
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def replay(capsys, *words):
    """(exit status, stdout, stderr) of `python -m mmlib replay`."""
    capsys.readouterr()
    status = main(["replay", *map(str, words)])
    return (status, *capsys.readouterr())
