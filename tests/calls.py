"""Kinds of calls, for counting: what a fuzzed call was, beyond its name, and how it ended."""

PAGE = 4096
# What must happen often: (kind, outcome).
WANTED = [(kind, "ok") for kind in """
    load store pread pwrite fork clone exec exit munmap mincore mlock munlock touch
    mmap:kernel-chosen mmap:fixed mmap:locked mmap:populate mmap:read-only-file
    mmap:validate madvise:populate_read madvise:populate_write madvise:remove madvise:dontfork
    madvise:dofork madvise:wipeonfork madvise:keeponfork madvise:willneed madvise:free
    madvise:guard_install madvise:guard_remove madvise:dontneed fallocate:punch
    fallocate:fill ftruncate:mapped mremap:moved mremap:fixed mremap:dontunmap mremap:grown
    mremap:shrunk mremap:merged mremap:several mprotect msync length-0""".split()] + [
    ("mmap:read-only-file", "EACCES"), ("mmap:write-only-file", "EACCES"), ("file", "EBADF"),
    ("mmap:closed-file", "EBADF"), ("unaligned", "EINVAL"), ("length-0", "EINVAL"),
    ("mmap:unknown-bits", "EOPNOTSUPP"), ("mprotect:hole", "ENOMEM"), ("mprotect", "EACCES"),
    ("load", "SIGSEGV"), ("load", "SIGBUS"), ("store", "SIGSEGV"), ("store", "SIGBUS")]
RANGES = ("munmap", "mprotect", "mremap", "madvise", "msync", "mincore", "mlock", "munlock")


def kinds(ops: list[dict]):
    """(kind, outcome) of each call, several if it is of several kinds; answers are in `expect`."""
    rows, modes = {}, {}                # of each process, as last told; how files were opened
    for op in ops:
        name, answer = op["op"], op["expect"]
        result = answer["result"]
        if name == "open" and result == "ok":
            modes[op["file"]] = op["flags"][0]
        elif name == "close":
            modes[op["file"]] = "closed"
        yield name, result
        for more in special(op, answer, rows.get(op["proc"], []), modes):
            yield more, result
        if "maps" in answer:
            rows[answer["maps_of"]] = answer["maps"]


def special(op: dict, answer: dict, rows: list, modes: dict):
    """The kinds of a call besides its name; *rows* are the maps of its process before it."""
    name = op["op"]
    if op.get("len") == 0:
        yield "length-0"
    if op.get("addr") and op["addr"] % PAGE and name in ("munmap", "mprotect", "madvise", "mremap",
                                                         "msync", "mincore"):
        yield "unaligned"
    if name == "mmap":
        yield from mmap(op, modes)
    elif name == "madvise":
        yield f"madvise:{op['advice']}"
    elif name == "fallocate":
        yield "fallocate:punch" if "punch_hole" in op["mode"] else "fallocate:fill"
    elif name == "mremap" and answer["result"] == "ok":
        yield from mremap(op, answer, rows)
    elif name == "mprotect":
        end = op["addr"] + op["len"]
        met = [row for row in rows if row[0] < end and row[1] > op["addr"]]
        if covered(met) < op["len"]:
            yield "mprotect:hole"
    if "file" in op and name not in ("open", "close"):
        yield "file"
    if name == "ftruncate" and any(row[3] == op["file"] for row in rows):
        yield "ftruncate:mapped"


def covered(rows: list) -> int:
    return sum(row[1] - row[0] for row in rows)


def mmap(op: dict, modes: dict):
    flags = op["flags"]
    if "fixed" not in flags and "noreplace" not in flags:
        yield "mmap:kernel-chosen" if op["addr"] is None else "mmap:hint"
    for flag in ("fixed", "noreplace", "locked", "populate", "noreserve"):
        if flag in flags:
            yield f"mmap:{flag}"
    if "shared_validate" in flags:
        yield "mmap:validate" if isinstance(flags[-1], str) else "mmap:unknown-bits"
    mode = modes.get(op.get("file"))
    if mode in ("rdonly", "wronly", "closed"):
        yield "mmap:" + {"rdonly": "read-only", "wronly": "write-only"}.get(mode, mode) + "-file"


def mremap(op: dict, answer: dict, rows: list):
    """What a successful mremap did."""
    start, end = op["addr"], op["addr"] + -(-op["len"] // PAGE) * PAGE
    size = -(-op["new_len"] // PAGE) * PAGE
    if "dontunmap" in op["flags"]:
        yield "mremap:dontunmap"
    elif "fixed" in op["flags"]:
        yield "mremap:fixed"
    elif answer["addr"] != start:
        yield "mremap:moved"
    elif size > end - start:
        yield "mremap:grown"
        if any(row[0] <= start and row[1] > start + size for row in answer["maps"]):
            yield "mremap:merged"
    if size < end - start:
        yield "mremap:shrunk"
    if sum(row[0] < end and row[1] > start for row in rows) > 1:
        yield "mremap:several"
