"""From calls that were drawn one by one to a sequence: who makes each, and what it is about."""

from mmlib.geometry import X86_64
from mmlib.worlds import ARENA

PAGE = 4096
ALIVE, PATH = 5, "/dev/shm/p"           # processes at a time; the file that is opened
# No access lies above: what is not canonical is SI_KERNEL on Linux, SEGV_MAPERR here (DESIGN.md).
LAST = X86_64.task_size - ARENA - 1
LARGE = 1 << 24                         # bytes that no call is to fault in
UNKNOWN_BITS = (1 << 21, 1 << 24)       # of mmap's flags: no kernel has given them a meaning


def regrown(op: dict) -> list[dict]:
    """A gap is made, and what lies before it grows into it."""
    cut, gap = op.pop("cut") * PAGE, op.pop("gap") * PAGE
    both = {"proc": op["proc"], "addr": op["addr"]}
    return [both | {"op": "munmap", "addr": op["addr"] + cut, "len": gap},
            both | {"op": "mremap", "len": cut, "new_len": cut + gap, "flags": op["flags"]}]


def forbidden(op: dict) -> list[dict]:
    """A file is mapped to be read, then to be written, which the way it was opened may forbid."""
    span = {"proc": op["proc"], "addr": op["addr"], "len": op["len"]}
    return [span | {"op": "mmap", "prot": "r", "flags": ["shared", "fixed"], "file": op["file"]},
            span | {"op": "mprotect", "prot": "rw"}]


PAIRS = {"regrow": regrown, "forbid": forbidden}        # of calls that are drawn together


def repaired(ops: list[dict], files: list[str]) -> list[dict]:
    """*ops*, of which some were taken away, without those of a process or file that is no more."""
    numbers, known, kept = {0: 0}, set(files), []
    for op in ops:
        if op["op"] == "open":
            known.add(op["file"])
        if op["proc"] not in numbers or "file" in op and op["file"] not in known:
            continue
        op = op | {"proc": numbers[op["proc"]]}
        if "child" in op:
            numbers[op["child"]] = op["child"] = len(numbers)
        kept.append(op)
    return kept


def shortest(sequence: dict, bad) -> dict:
    """*sequence* without ops and files that it does not need to be *bad*, a function that tells."""
    ops, files = sequence["ops"], sequence["files"]
    alone = [op | {"proc": 0} for op in ops if op["op"] not in ("fork", "clone", "exit")]
    if alone and bad(sequence | {"ops": alone}):
        ops = alone                     # one process is enough
    step, again = max(1, len(ops) // 2), True
    while again:
        again = False
        for at in range(len(ops) - step, -step, -step):
            fewer = repaired(ops[:max(at, 0)] + ops[at + step:], [file["id"] for file in files])
            if len(fewer) < len(ops) and bad(sequence | {"ops": fewer}):
                ops, again = fewer, True
        again, step = again or step > 1, max(1, step // 2)
    paths = {op.get("path") for op in ops} - {None}
    files = [file for file in files
             if file.get("path") in paths or file["id"] in {op.get("file") for op in ops}]
    return sequence | {"ops": ops, "files": files}


class Cast:
    """Who is there while calls are put in order: *alive* processes, each with the group that shares
    its memory, *known* files, and the ranges that each group has mapped last."""

    def __init__(self, files: list[dict]):
        self.files, self.known = files, [file["id"] for file in files]
        self.read_only = self.known[0]
        self.alive, self.groups, self.mapped = [0], {0: 0}, {0: []}

    def place(self, op: dict) -> dict:
        """A call that is to be `like` an earlier mapping is about its range, or a byte of it."""
        like, mapped = op.pop("like", None), self.mapped[self.groups[op["proc"]]]
        if like is not None and mapped:
            start, size = mapped[-1 - like % len(mapped)]
            if "len" in op and op["op"] != "touch":
                op |= {"addr": start, "len": size if size < LARGE else op["len"]}
            else:
                op["addr"] = start + op["addr"] % size
        if op["op"] == "mremap" and op["new_len"] is None:
            op["new_len"] = op["len"]
        if op["op"] in ("load", "store", "touch"):
            op["addr"] = min(op["addr"], LAST)
        return op

    def remember(self, op: dict) -> None:
        """What is mapped after *op*, as far as that can be guessed."""
        mapped, start, size = self.mapped[self.groups[op["proc"]]], op.get("addr"), op.get("len")
        refused = start is None or start % PAGE or {*op.get("flags", ())} & {*UNKNOWN_BITS}
        if op["op"] == "mmap" and not refused:
            mapped.append((start, size))
        elif op["op"] == "mremap":
            mapped.append((op.get("new_addr", start), op["new_len"]))
        elif op["op"] == "munmap" and (start, size) in mapped:
            mapped.remove((start, size))
        if mapped and not mapped[-1][1]:
            mapped.pop()

    def follow(self, op: dict) -> bool:
        """Fill in a child or a file, and see who is there afterwards; False if nobody could."""
        name, proc = op["op"], op["proc"]
        if name in ("fork", "clone"):
            if len(self.alive) == ALIVE:
                return False
            child = op["child"] = len(self.groups)
            self.alive.append(child)
            self.groups[child] = self.groups[proc] if name == "clone" else child
            self.mapped.setdefault(child, list(self.mapped[self.groups[proc]]))
        elif name == "exit":
            if len(self.alive) == 1:
                return False
            self.alive.remove(proc)
        elif name == "exec":
            group = self.groups[proc]
            self.alive = [n for n in self.alive if n == proc or self.groups[n] != group]
            self.mapped[group] = []
        elif name == "open":
            if "path" not in self.files[-1]:
                return False
            self.known.append(f"o{len(self.known)}")
            op |= {"file": self.known[-1], "path": PATH}
            if op["flags"] == ["rdonly"]:
                self.read_only = self.known[-1]
        elif "file" in op:
            op["file"] = self.read_only if op["file"] is None else \
                self.known[op["file"] % len(self.known)]
        return True


def cast(made: list[dict], files: list[dict]) -> list[dict]:
    """The ops of *made* with the numbers of processes, files and children that are there; those
    that nobody could carry out are left out."""
    there, ops = Cast(files), []
    for drawn in made:
        placed = there.place(drawn | {"proc": there.alive[drawn["proc"] % len(there.alive)]})
        for op in PAIRS.get(placed["op"], lambda op: [op])(placed):
            if there.follow(op):
                there.remember(op)
                ops.append(op | {"frames": True})
    return ops
