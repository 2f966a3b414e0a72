"""The values in a scenario's text: numbers, bytes, names of constants, and what has a name."""

import ast
from typing import NamedTuple

from . import abi
from .abi import prot_letters
from .formats import GEOMETRIES
from .kinds import BadInput, at, shown, text, whole
from .msharefile import MshareCreate, MshareUnmap
from .spell import flag_names

ID = text("a name of letters, digits and _", r"(?!anon$|shm[0-9]+$)[A-Za-z_][A-Za-z0-9_]{0,39}")
CONSTANTS = {name: value for name, value in vars(abi).items() if name.isupper()}
NUMBERS = whole(-1 << 64, 1 << 64)
ARGUMENTS = {"MshareCreate": MshareCreate, "MshareUnmap": MshareUnmap}
OPERATORS = {ast.BitOr: int.__or__, ast.Add: int.__add__, ast.Sub: int.__sub__,
             ast.Mult: int.__mul__, ast.LShift: int.__lshift__, ast.FloorDiv: int.__floordiv__}
# The names that flags have in a text, by op and field.
FAMILIES = {("mmap", "flags"): "MAP_", ("mremap", "flags"): "MREMAP_", ("msync", "flags"): "MS_",
            ("open", "flags"): "O_", ("fallocate", "mode"): "FALLOC_FL_",
            ("madvise", "advice"): "MADV_", ("ioctl", "request"): "MSHAREFS_"}


class Object(NamedTuple):
    """What a name in a text stands for: the machine, a process by number, a file by id."""

    kind: str                           # "machine", "task" or "file"
    which: int | str


def value(node: ast.expr, known: dict):
    """What an argument is; no code of it runs.

    >>> value(ast.parse("(1 << 20) + 0x10", mode="eval").body, {})
    1048592
    >>> value(ast.parse("MAP_SHARED | MAP_FIXED", mode="eval").body, {})
    17
    """
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(
            node.value, (bool, int, str, bytes))):
        return within(node.value)
    if isinstance(node, ast.Name):
        for names in (known, CONSTANTS):
            if node.id in names:
                return names[node.id]
        raise BadInput(f"expected a name that the text has given, or a constant, not "
                       f"{shown(node.id)}")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return within(-whole_number("the operand", value(node.operand, known)))
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return calculated(node, known)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ARGUMENTS:
        try:
            return ARGUMENTS[node.func.id](
                *(value(arg, known) for arg in node.args),
                **{arg.arg or "": value(arg.value, known) for arg in node.keywords})
        except TypeError as why:
            raise BadInput(str(why)) from None
    raise BadInput(f"expected a number, bytes, a string or a name, not {shown(ast.unparse(node))}")


def calculated(node: ast.BinOp, known: dict) -> int:
    """A sum of numbers, and the like; nothing grows beyond what an address could be."""
    left, right = (whole_number("the operand", value(side, known))
                   for side in (node.left, node.right))
    if isinstance(node.op, ast.LShift) and not 0 <= right <= 64 or \
            isinstance(node.op, ast.FloorDiv) and not right:
        raise BadInput(f"expected another number than {right} on the right of the operator")
    return within(OPERATORS[type(node.op)](left, right))


def within(given):
    if type(given) is int and not NUMBERS.fits(given):
        raise BadInput("expected a number of at most 64 bits")
    return given


def whole_number(what: str, given) -> int:
    if type(given) is not int:
        raise BadInput(f"expected a whole number, not {said(given)}", what)
    return given


def said(given) -> str:
    return shown(given) if isinstance(given, (str, int, type(None))) else \
        shown(given.which) if isinstance(given, Object) else shown(repr(given))


# fields --------------------------------------------------------------------------------------
def field(op: str, name: str, given) -> dict:
    """An argument as the field of an op: flags by name, bytes in hexadecimal.

    >>> field("mmap", "flags", 0x11), field("store", "data", b"x"), field("mprotect", "prot", 0)
    ({'flags': ['shared', 'fixed']}, {'data': '78'}, {'prot': 'none'})
    """
    with at(f'argument "{name}"'):
        if (op, name) in FAMILIES:
            return {name: by_name(op, name, given)}
        if name == "prot":
            letters = prot_letters(given).replace("-", "") if type(given) is int and \
                0 <= given < 8 else given
            return {name: letters or "none"}
        if name == "data":
            if isinstance(given, bytes):
                return {name: given.hex()}
            return {"value": whole_number("or bytes such as b'x'", given)}
        if name == "file":
            return {name: file_id(given)}
        if name == "arg":
            return {name: argument(given)}
        if isinstance(given, (Object, bytes)):
            raise BadInput(f"expected a number or a string, not {said(given)}")
    return {name: given}


def by_name(op: str, name: str, given):
    """A number as a file spells it: a list of flags, or one name."""
    family, number = FAMILIES[op, name], whole_number("flags", given)
    names = [int(flag, 0) if flag[0].isdigit() else flag.removeprefix(family).lower()
             for flag in flag_names(family, number).split("|")] if number >= 0 else [number]
    if name in ("advice", "request"):
        return names[0] if len(names) == 1 else number
    return [flag for flag in names if flag]


def file_id(given) -> str:
    if not isinstance(given, Object) or given.kind != "file":
        raise BadInput(f"expected a file, not {said(given)}")
    return given.which


def argument(given) -> dict:
    """The argument of an ioctl as an object."""
    if not isinstance(given, tuple(ARGUMENTS.values())):
        raise BadInput(f"expected MshareCreate(...) or MshareUnmap(...), not {said(given)}")
    out: dict = {}
    for name, part in given._asdict().items():
        if part is not None:
            out |= field("mmap", name, part)
    return out


# the machine ---------------------------------------------------------------------------------
def machine_head(node: ast.Call, known: dict) -> dict:
    """The head of a sequence, from Machine(...)."""
    head: dict = {"geometry": "X86_64"}
    if len(node.args) > 1:
        raise BadInput("expected Machine(TINY, name=value, ...)")
    for arg in node.args:
        if not isinstance(arg, ast.Name) or arg.id not in GEOMETRIES:
            raise BadInput(f"expected {' or '.join(GEOMETRIES)}, not {shown(ast.unparse(arg))}")
        head["geometry"] = arg.id
    for keyword in node.keywords:
        if keyword.arg == "sharing":
            head |= sharing(keyword.value)
        elif keyword.arg in ("cpus", "huge_pages"):
            head[keyword.arg] = value(keyword.value, known)
        else:
            raise BadInput(f"expected sharing, cpus or huge_pages, which a scenario file can hold, "
                           f"not {shown(keyword.arg)}")
    return head


POLICIES = {"Private()": {"sharing": "private"}, "HugetlbPmdSharing()": {}, "None": {},
            "FileTableCache()": {"sharing": "cache"},
            "FileTableCache(levels=('pte',))": {"sharing": "cache-pte"}}


def sharing(node: ast.expr) -> dict:
    spelled = ast.unparse(node)
    if spelled not in POLICIES:
        raise BadInput(f"expected one of {', '.join(POLICIES)}, not {shown(spelled)}")
    return POLICIES[spelled]
