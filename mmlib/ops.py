"""What each op of a scenario does: the call of a Task, a File or a Machine that it stands for.

Every function takes (stage, task, op) and returns the fields of the answer that the call itself
gives, or None.  *stage* knows which File an id means and where the arena begins (scenario.py).
"""

from .abi import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
)
from .formats import ADVICE, REQUESTS, bits
from .msharefile import MshareCreate, MshareUnmap
from .sequences import length


def letters(op: dict) -> str:
    """The protection as a Task takes it: "none" is no letter at all."""
    return "" if op["prot"] == "none" else op["prot"]


def span(stage, op: dict) -> tuple[int, int]:
    """The address and length of a call on a range."""
    return op["addr"] + stage.base, length(op)


def mmap(stage, task, op):
    flags, file = bits("mmap", op["flags"]), None
    if "file" in op:
        file = stage.file(op)
    else:
        flags |= MAP_ANONYMOUS
    addr = None if op["addr"] is None else op["addr"] + stage.base
    got = task.mmap(addr, length(op), letters(op), flags, file, op.get("offset", 0))
    return {"addr": got - stage.base}


def mmap_huge(stage, task, op):
    kind = MAP_SHARED if op["share"] == "shared" else MAP_PRIVATE
    task.mmap(*span(stage, op), letters(op), kind | MAP_FIXED | MAP_NORESERVE, stage.files[None],
              op["offset"])


def mprotect(stage, task, op):
    task.mprotect(*span(stage, op), letters(op))


def mremap(stage, task, op):
    new = op["new_addr"] + stage.base if "new_addr" in op else None
    got = task.mremap(*span(stage, op), op["new_len"], bits("mremap", op.get("flags", [])), new)
    return {"addr": got - stage.base}


def madvise(stage, task, op):
    advice = op["advice"]
    task.madvise(*span(stage, op), ADVICE[advice] if isinstance(advice, str) else advice)


def msync(stage, task, op):
    task.msync(*span(stage, op), bits("msync", op["flags"]))


def load(stage, task, op):
    return told(op, task.load(op["addr"] + stage.base, op.get("n", 1)))


def store(stage, task, op):
    task.store(op["addr"] + stage.base, payload(op))


def pread(stage, task, op):
    data = stage.file(op).pread(op.get("n", 1), op["offset"])
    return told(op, data) | {"count": len(data)}


def pwrite(stage, task, op):
    return {"count": stage.file(op).pwrite(payload(op), op["offset"])}


def read(stage, task, op):
    data = stage.file(op).read(op["n"])
    return told(op, data) | {"count": len(data)}


def payload(op: dict) -> bytes:
    return bytes.fromhex(op["data"]) if "data" in op else bytes([op["value"]])


def told(op: dict, data: bytes) -> dict:
    """Bytes that were read: one as a value; as data where the op says how many."""
    if "n" in op:
        return {"data": data.hex()}
    return {"value": data[0]} if data else {}


def ftruncate(stage, task, op):
    stage.file(op).truncate(op["pages"] << 12 if "pages" in op else length(op))


def fallocate(stage, task, op):
    stage.file(op).fallocate(bits("fallocate", op["mode"]), op["offset"], length(op))


def ioctl(stage, task, op):
    request, arg = op["request"], op.get("arg")
    if request == "create_mapping":
        arg = MshareCreate(arg["region_offset"], arg["size"], arg.get("offset", 0), letters(arg),
                           bits("mmap", arg["flags"]), stage.file(arg) if "file" in arg else None)
    elif request == "unmap":
        arg = MshareUnmap(arg["region_offset"], arg["size"])
    stage.file(op).ioctl(REQUESTS.get(request, request), arg)


def open_(stage, task, op):
    stage.files[op["file"]] = None
    flags = bits("open", op["flags"]) if "flags" in op else O_RDWR | O_CREAT
    stage.name_file(op["file"], op["path"], task.open(op["path"], flags, op.get("mode", 0o600)))


def fork(stage, task, op):
    stage.tasks[op["child"]] = task.fork(stage.called(op["child"]))


def clone(stage, task, op):
    stage.tasks[op["child"]] = task.clone(stage.called(op["child"]))


def spawn(stage, task, op):
    stage.tasks[op["child"]] = stage.world.spawn(stage.called(op["child"]))


def exec_(stage, task, op):
    others = [n for n, t in stage.tasks.items() if t is not task and t.mm is task.mm]
    task.exec()
    for number in others:
        del stage.tasks[number]


def exit_(stage, task, op):
    task.exit()
    del stage.tasks[op["proc"]]


CALLS = {
    "mmap": lambda stage, task, op: (mmap_huge if stage.huge else mmap)(stage, task, op),
    "munmap": lambda stage, task, op: task.munmap(*span(stage, op)),
    "mprotect": mprotect, "mremap": mremap, "madvise": madvise, "msync": msync,
    "dontneed": lambda stage, task, op: task.madvise(*span(stage, op), MADV_DONTNEED),
    "mlock": lambda stage, task, op: task.mlock(*span(stage, op)),
    "munlock": lambda stage, task, op: task.munlock(*span(stage, op)),
    "mincore": lambda stage, task, op: {"data": task.mincore(*span(stage, op)).hex()},
    "load": load, "store": store,
    "touch": lambda stage, task, op: task.touch(*span(stage, op), op.get("write", False)),
    "pread": pread, "pwrite": pwrite, "read": read, "ftruncate": ftruncate, "fallocate": fallocate,
    "fsync": lambda stage, task, op: stage.file(op).fsync(),
    "open": open_, "ioctl": ioctl,
    "close": lambda stage, task, op: stage.file(op).close(),
    "unlink": lambda stage, task, op: task.unlink(op["path"]),
    "fork": fork, "clone": clone, "spawn": spawn,
    "run_on": lambda stage, task, op: task.run_on(op["cpu"]),
    "exec": exec_, "exit": exit_,
    "shrink": lambda stage, task, op: {"count": stage.world.shrink()},
}
