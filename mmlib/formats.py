"""The vocabulary of the scenario formats: which ops there are, and what each field may hold.

docs/formats.md says it in prose; sequences.py checks a file against it.
"""

import functools

from . import abi, geometry
from .kinds import OBJECT, Kind, by_process, either, rows, text, whole

# What no machine could hold is refused before it is tried.
FILE_BYTES = 256 << 20                  # of JSON
OPS = 1_000_000                         # a file
PROCESSES, CPUS = 1024, 1024            # a sequence
ADDRESS = 1 << 57                       # the largest address space: five levels, both halves
FILE_PAGES = 1 << 35                    # 128 TiB
HUGE_PAGES = 1 << 16                    # 128 GiB
BULK_PAGES = 1 << 20                    # pages that calls on ranges fault in, a sequence

GEOMETRIES = {g.name: g for g in (geometry.TINY, geometry.X86_64, geometry.LA57)}
SHARING = ("private", "cache-pte", "cache")


def names_of(prefix: str, **more: str) -> dict[str, int]:
    """The constants of a family by their names in a file; *more* are second names.

    >>> names_of("MREMAP_")
    {'maymove': 1, 'fixed': 2, 'dontunmap': 4}
    """
    names = {name.removeprefix(prefix).lower(): value for name, value in vars(abi).items()
             if name.startswith(prefix) and name not in ("MAP_TYPE", "O_ACCMODE")}
    return names | {short: names[name] for short, name in more.items()}


ADVICE, REQUESTS = names_of("MADV_"), names_of("MSHAREFS_")
FLAGS = {"mmap": names_of("MAP_", anon="anonymous", noreplace="fixed_noreplace"),
         "mremap": names_of("MREMAP_"), "msync": names_of("MS_"), "open": names_of("O_"),
         "fallocate": names_of("FALLOC_FL_")}
ORACLE_FLAGS = {"mmap": ("private", "shared", "anon", "fixed", "noreplace", "populate"),
                "mremap": ("maymove", "fixed")}


def bits(op: str, flags: list) -> int:
    """The flags of *op*, a list of names and numbers, as the system call takes them.

    >>> bits("mremap", ["maymove", "fixed"]), bits("open", []), bits("mmap", [64, "shared"])
    (3, 0, 65)
    """
    value = 0
    for flag in flags:
        value |= FLAGS[op][flag] if isinstance(flag, str) else flag
    return value


def flag_list(names, numbers: bool) -> Kind:
    words = f"a list of {', '.join(sorted(names))}" + " or numbers" * numbers
    return Kind(words, lambda value: isinstance(value, list) and all(
        flag in names if isinstance(flag, str) else numbers and whole(0, 1 << 32).fits(flag)
        for flag in value))


def name_or_number(names) -> Kind:
    return Kind(f"a number or one of {', '.join(names)}", lambda value: value in names
                if isinstance(value, str) else whole(0, 1 << 31).fits(value))


BYTE, NUMBER = whole(0, 255), whole(0, 1 << 62)
LENGTH = whole(0, ADDRESS, "no address space is larger")
FILE_ID = text("a name of letters, digits, - _ . (not anon, shm0, shm1 ...)",
               r"(?!anon$|shm[0-9]+$)[A-Za-z0-9_.-]{1,64}")
NAME = text("a name of letters, digits and _", r"[A-Za-z_][A-Za-z0-9_]{0,39}")
PATH = text("an absolute path without . or ..", r"(/(?!\.{1,2}(/|$))[^/\0]{1,200}){1,16}")
HEX = text("bytes as pairs of hexadecimal digits", r"([0-9a-f]{2}){1,65536}")
TRUTH = Kind("true or false", lambda value: isinstance(value, bool))

# What a field holds, in every op that has it.
FIELDS = {
    "addr": LENGTH, "len": LENGTH, "new_len": LENGTH, "new_addr": LENGTH, "offset": LENGTH,
    "pages": whole(0, FILE_PAGES, "no address space could map more"),
    "value": BYTE, "data": HEX, "n": whole(0, 65536),
    "prot": either("none, r, w or rw", "none", "r", "w", "rw"),
    "advice": either("dontneed", "dontneed"),
    "share": either("shared or private", "shared", "private"),
    "path": PATH, "cpu": whole(0, CPUS), "write": TRUTH,
}
# What mmlib/1 allows more.
WIDER = FIELDS | {
    "prot": text("none, or letters of rwx", r"none|(?!.*(.).*\1)[rwx]*"),
    "advice": name_or_number(ADVICE), "request": name_or_number(REQUESTS), "arg": OBJECT,
    "region_offset": LENGTH, "size": LENGTH,
}

# The fields of each op: "?" may be left out; of "a|b" there is exactly one.
ORACLE = {
    "mmap": "addr len prot flags file? offset?", "munmap": "addr len", "mprotect": "addr len prot",
    "madvise": "addr len advice", "mremap": "addr len new_len flags? new_addr?",
    "load": "addr", "store": "addr value",
    "pread": "file offset", "pwrite": "file offset value", "ftruncate": "file pages",
    "fork": "child", "exit": "",
}
OWN = ORACLE | {
    "load": "addr n?", "store": "addr value|data", "pread": "file offset n?",
    "pwrite": "file offset value|data", "ftruncate": "file pages|len", "clone": "child",
    "mlock": "addr len", "munlock": "addr len", "msync": "addr len flags", "mincore": "addr len",
    "touch": "addr len write?", "fallocate": "file mode offset len", "fsync": "file",
    "open": "file path flags? mode?", "close": "file", "unlink": "path", "read": "file n",
    "run_on": "cpu", "exec": "", "shrink": "", "spawn": "child", "ioctl": "file request arg?",
}
NOBODY = ("shrink", "spawn")             # ops that no process makes
# The fields of the argument of an ioctl, by its request.
ARGUMENTS = {"create_mapping": "region_offset size offset? prot flags file?",
             "unmap": "region_offset size"}
HUGE = {
    "mmap": "addr len prot share offset", "munmap": "addr len", "mprotect": "addr len prot",
    "dontneed": "addr len", "load": "addr", "store": "addr value", "fork": "child", "exit": "",
}
FORMATS = {"mmoracle/1": ORACLE, "mmlib/1": OWN, "mmoracle-hugetlb/1": HUGE}

# The fields of an answer, by what it takes to know them.
TIERS = {"semantics": ("result", "code", "value", "data", "addr", "count"), "maps": ("maps",),
         "minflt": ("minflt",), "tables": ("tables",), "frames": ("frames", "mapcount")}
# What each may hold.
EXPECT = {
    "result": text("ok, an errno name, SIGSEGV or SIGBUS", r"ok|SIGSEGV|SIGBUS|E[A-Z0-9]+"),
    "code": text("a si_code name", r"[A-Z_]+"), "value": BYTE,
    "data": text("bytes as pairs of hexadecimal digits", r"([0-9a-f]{2}){0,65536}"),  # also none
    "addr": whole(-1 << 63, 1 << 63), "count": NUMBER, "minflt": NUMBER,
    "tables": by_process("an object of process numbers and table counts", NUMBER),
    "maps": rows("a list of [start, end, perms, backing, offset]",
                 NUMBER, NUMBER, text("", "[-rwxsp]{4}"), text("", r"(?s).*"), NUMBER),
    "frames": by_process("an object of process numbers and lists of [page, frame]", rows(
        "", NUMBER, Kind("", lambda value: value == "Z" or NUMBER.fits(value)))),
    "mapcount": Kind("a list of numbers", lambda value: isinstance(value, list) and all(
        map(NUMBER.fits, value))),
}
HUGE_MAPS = rows("a list of [start, end, perms, offset]",
                 NUMBER, NUMBER, text("", "[-rwxsp]{4}"), NUMBER)


@functools.cache
def kind_of(form: str, op: str, field: str) -> Kind:
    """What *field* of *op* may hold in a file of format *form*."""
    own = form == "mmlib/1"
    if field == "flags" or (op, field) == ("fallocate", "mode"):
        return flag_list(FLAGS[op], True) if own else flag_list(ORACLE_FLAGS[op], False)
    if (op, field) == ("open", "mode"):
        return whole(0, 0o7777)
    if (op, field) in (("load", "n"), ("touch", "len")):
        return whole(1, 65536 if field == "n" else ADDRESS)
    if (own, op, field) == (True, "mmap", "addr"):
        return Kind(f"{LENGTH.words}, or null", lambda value: value is None or LENGTH.fits(value))
    return (WIDER if own else FIELDS)[field]
