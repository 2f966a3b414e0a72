"""A scenario as a Python program, which runs with mmlib alone."""

import ast
from textwrap import wrap

from .literals import CONSTANTS
from .transcript import write

NAMES = ("Machine", "TINY", "X86_64", "LA57", "Private", "FileTableCache", "MshareCreate",
         "MshareUnmap", "BusError", "Segfault")


def program(sequence: dict, results: list[tuple[str, bool]]) -> str:
    """*sequence*, checked.  *results* are for each op what it answers, and whether a call is made
    at all: what would end the program is caught, and what cannot be called is a comment.

    >>> ops = [{"op": "load", "proc": 0, "addr": 16384}]
    >>> print(program({"geometry": "TINY", "names": ["a"], "ops": ops}, [("SIGSEGV", True)]))
    from contextlib import suppress
    <BLANKLINE>
    from mmlib import TINY, BusError, Machine, Segfault
    <BLANKLINE>
    machine = Machine(TINY)
    a = machine.spawn('a')
    with suppress(OSError, Segfault, BusError):     # SIGSEGV
        a.load(0x4000)
    <BLANKLINE>
    print(machine)
    """
    lines = write(sequence).split("\n")
    calls = len(lines) - len(sequence["ops"])
    failed = {calls + n: told for n, told in enumerate(results) if told[0] != "ok"}
    used = {node.id for line in lines for node in ast.walk(ast.parse(line))
            if isinstance(node, ast.Name)} | set(("BusError", "Segfault") if failed else ())
    body = []
    for number, line in enumerate(lines):
        result, made = failed.get(number, ("ok", True))
        if not made:
            line = f"# {line}     # {result}: it uses what a failed call did not make"
        elif result != "ok":
            body.append(f"with suppress(OSError, Segfault, BusError):     # {result}")
            line = "    " + line
        body.append(line)
    return "\n".join(["from contextlib import suppress", ""] * bool(failed)
                     + [imports(used), "", *body, "", "print(machine)"])


def imports(used: set[str]) -> str:
    """The import of those names that are mmlib's, constants first."""
    names = sorted(used & {*NAMES, *CONSTANTS}, key=lambda name: (not name.isupper(), name))
    line = f"from mmlib import {', '.join(names)}"
    if len(line) <= 100:
        return line
    return "from mmlib import (\n" + "\n".join(
        "    " + part for part in wrap(", ".join(names) + ",", 95)) + "\n)"
