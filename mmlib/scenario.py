"""Running a scenario: a sequence of ops on a world, and what the world answered.

The world is a `Machine`, or the kernel of this computer (worlds.py).  Ops and answers are those of
docs/formats.md: plain dicts, as a file holds them.

>>> from mmlib.worlds import simulator
>>> mmap = {"op": "mmap", "proc": 0, "addr": 4096, "len": 8192, "prot": "rw",
...         "flags": ["private", "anon", "fixed"]}
>>> store = {"op": "store", "proc": 0, "addr": 4096, "value": 7}
>>> sequence = {"geometry": "TINY", "ops": [mmap, store]}
>>> run(sequence, simulator(sequence))[1]
{'result': 'ok', 'minflt': 1, 'tables': {'0': 3}, 'maps_of': 0, \
'maps': [[4096, 12288, 'rw-p', 'anon', 0]]}
"""

import errno

from .formats import NOBODY
from .kinds import BadInput, at
from .ops import CALLS
from .signals import Signal
from .worlds import arena, mapcount, present, zero_frame

# No count of faults is told of calls that make or replace an address space.
UNCOUNTED = ("fork", "clone", "spawn", "exec", "exit", "shrink")
# errno.errorcode has other names for these.
ERRNO_NAMES = {errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EDEADLK: "EDEADLK"}


def run(sequence: dict, world) -> list[dict]:
    """What *world*, fresh, answers to each op of *sequence*, which has been checked.

    An answer has the fields of an op's `expect`: result, code, value, data, addr, count, minflt,
    tables, maps_of, maps, and where the op or its `expect` asks for it frames (and mapcount); those
    that do not apply are absent.  Raises BadInput if the files cannot be set up.
    """
    stage = Stage(sequence, world)
    return [stage.answer(op) for op in sequence["ops"]]


class Stage:
    """A sequence under way: *tasks* are the living processes by number, *files* those by id."""

    def __init__(self, sequence: dict, world):
        self.world, self.base = world, arena(world)
        self.huge = "file_gib" in sequence
        self.shift = 21 if self.huge else 12
        self.files, self.backings, self.objects = {}, {}, {}
        for mount in sequence.get("mounts", ()):
            with at(f"mount at {mount['path']}"):
                options = {"version": mount["version"]} if "version" in mount else {}
                self.set_up(world.mount, mount["fstype"], mount["path"], **options)
        if self.huge:
            world.mount("hugetlbfs", "/huge")
            self.files[None] = self.set_up(world.open, "/huge/file")
            self.set_up(self.files[None].truncate, sequence["file_gib"] << 30)
        for file in sequence.get("files", ()):
            with at(f"file {file['id']}"):
                self.add_file(file)
        self.names = dict(enumerate(sequence.get("names", ())))
        self.tasks = {0: world.spawn(self.called(0))}

    def called(self, number: int) -> str:
        """The name of a process."""
        return self.names.get(number, str(number))

    def set_up(self, call, *args, **options):
        try:
            return call(*args, **options)
        except OSError as why:
            raise BadInput(f"expected a file system and files that can be made: {why.strerror}"
                           ) from None

    def add_file(self, described: dict) -> None:
        name, path, size = described["id"], described.get("path"), described["pages"] << 12
        if path is None:
            file = self.set_up(self.world.memfd, name, size)
        else:
            file = self.set_up(self.world.open, path)
            self.set_up(file.truncate, size)
        for page, byte in described.get("content", ()):
            self.set_up(file.pwrite, bytes([byte]), page << 12)
        self.name_file(name, path, file)

    def name_file(self, name: str, path: str | None, file) -> None:
        """What /proc/PID/maps calls the file is shown by its id, the first that it has."""
        self.files[name] = file
        self.backings.setdefault(path or f"/memfd:{name} (deleted)", name)

    def answer(self, op: dict) -> dict:
        """Carry out *op*, and tell all that an `expect` may hold."""
        expect = op.get("expect", {})
        answer = self.act(op)
        answer["tables"] = {str(n): task.tables for n, task in sorted(self.tasks.items())}
        whose = expect.get("maps_of", op.get("child", op.get("proc")))
        if whose not in self.tasks:
            whose = op.get("proc")
        if whose in self.tasks:
            answer["maps_of"], answer["maps"] = whose, self.maps(whose)
        if op.get("frames") or "frames" in expect or "mapcount" in expect:
            answer |= self.frames()
        return answer

    def act(self, op: dict) -> dict:
        """Carry out *op*: the fields of the answer that are about the call itself."""
        name, task = op["op"], self.tasks.get(op.get("proc"))
        if task is None and name not in NOBODY:
            return {"result": "ESRCH"}          # its fork failed here
        before = None if name in UNCOUNTED else task.minor_faults
        try:
            answer = {"result": "ok"} | (CALLS[name](self, task, op) or {})
        except Signal as signal:
            answer = {"result": signal.signal, "code": signal.code}
        except OSError as error:
            answer = {"result": ERRNO_NAMES.get(error.errno) or errno.errorcode[error.errno]}
        if before is not None:
            answer["minflt"] = task.minor_faults - before
        return answer

    def file(self, op: dict):
        """The open file that *op* names; EBADF if its open failed."""
        file = self.files.get(op.get("file"))
        if file is None:
            raise OSError(errno.EBADF, f"{op['file']} could not be opened")
        return file

    def rows(self, number: int) -> list[list]:
        """The VMAs of a process, as the kernel lists them; shared objects are numbered shm0,
        shm1 ... in the order in which they appear."""
        out = []
        for row in self.tasks[number].maps():
            backing = row.backing.removesuffix(" (deleted)")
            backing = self.backings.get(row.backing) or self.backings.get(backing) or backing
            if backing.startswith("shm") and backing[3:].isdecimal():
                backing = self.objects.setdefault(backing, f"shm{len(self.objects)}")
            out.append([row.start - self.base, row.end - self.base, row.perms, backing,
                        row.offset])
        return out

    def maps(self, number: int) -> list[list]:
        """The same with neighbours joined; of a hugetlb file neither joined nor named."""
        if self.huge:
            return [[start, end, perms, offset] for start, end, perms, _, offset
                    in self.rows(number)]
        return joined(self.rows(number))

    def frames(self) -> dict:
        """Which frames all living processes have, numbered as they appear; Z is the zero page."""
        ids, out, zero = {}, {}, zero_frame(self.world)
        for number, task in sorted(self.tasks.items()):
            out[str(number)] = [
                [addr - self.base >> self.shift,
                 "Z" if frame == zero else ids.setdefault(frame, len(ids))]
                for addr, frame in present(self.world, task)]
        if self.huge:
            return {"frames": out, "mapcount": [mapcount(self.world, frame) for frame in ids]}
        return {"frames": out}


def joined(rows: list[list]) -> list[list]:
    """*rows* of maps, with neighbours joined that /proc/PID/maps could not tell apart.

    >>> joined([[0, 4096, "r--p", "f0", 0], [4096, 8192, "r--p", "f0", 4096]])
    [[0, 8192, 'r--p', 'f0', 0]]
    >>> len(joined([[0, 4096, "r--p", "f0", 0], [4096, 8192, "r--p", "f0", 8192]]))
    2
    """
    out = []
    for start, end, perms, backing, offset in rows:
        last = out[-1] if out else None
        if last and [last[1], *last[2:4]] == [start, perms, backing] and \
                (backing == "anon" or last[4] + last[1] - last[0] == offset):
            last[1] = end
        else:
            out.append([start, end, perms, backing, offset])
    return out
