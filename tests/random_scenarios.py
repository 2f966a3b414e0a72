"""Random scenarios: calls that meet each other, as a sequence of mmlib/1 or mmoracle/1 has them."""
import random

PAGE = 4096
CENTRES = (0, 1 << 21, 1 << 30, 1 << 39)    # where tables of each level end
ADVICE = ("free", "remove", "dontfork", "dofork", "wipeonfork", "keeponfork", "populate_read",
          "populate_write", "guard_install", "guard_remove", "dontneed_locked", "willneed", "cold",
          "normal", "random", "sequential", "dontdump", "dodump", "nohugepage")
# How often each op comes; those of the second table in mmlib/1 only.
OFTEN = {"mmap": 16, "store": 21, "load": 21, "mprotect": 7, "munmap": 5, "madvise": 6, "mremap": 7,
         "pread": 4, "pwrite": 3, "ftruncate": 2, "fork": 4, "exit": 1}
SELDOM = {"mlock": 1, "munlock": 1, "msync": 1, "mincore": 1, "touch": 2, "fallocate": 2,
          "clone": 1, "exec": 1}


class Author:
    """Writes one sequence; the same seed gives the same."""

    def __init__(self, seed: int, own: bool):
        self.rng, self.own = random.Random(seed), own
        self.centres = self.rng.sample(CENTRES, self.rng.randint(1, 3))
        self.files = [self.file(f"f{n}") for n in range(self.rng.randint(1, 2))]
        self.alive, self.groups = [0], {0: 0}

    def file(self, name: str) -> dict:
        pages, share = self.rng.choice((1, 4, 12, 20, 40)), self.rng.choice((0.2, 0.6, 1))
        return {"id": name, "pages": pages,
                "content": [[page, self.rng.randint(1, 255)] for page in range(pages)
                            if self.rng.random() < share]}

    def addr(self) -> int:
        return max(0, self.rng.choice(self.centres) + self.rng.randint(-12, 12) * PAGE)

    def byte(self) -> int:
        return self.addr() + self.rng.choice((0, 0, 5, PAGE - 1))

    def length(self, *more: int) -> int:
        pages = self.rng.choice((1, 1, 2, 3, 4, 6, 8, 16, 24))
        return self.rng.choice((pages * PAGE,) * 3 + more)

    def prot(self) -> str:
        return self.rng.choice(("rw",) * 6 + ("r", "r", "none", "w")
                               + (("x", "rx", "rwx") if self.own else ()))

    def sequence(self, ops: int) -> dict:
        often = OFTEN | (SELDOM if self.own else {})
        names = self.rng.choices(list(often), often.values(), k=ops)
        made = [self.op(name) for name in names]
        made = [op | {"frames": True} if self.rng.random() < 0.3 else op for op in made if op]
        made[-1]["frames"] = True
        return {"id": "random", "files": self.files, "ops": made}

    def op(self, name: str) -> dict | None:
        op = {"op": name, "proc": self.rng.choice(self.alive)}
        fields = getattr(self, name, lambda op: {})(op)
        return None if fields is None else op | fields

    # the fields of each op -----------------------------------------------------------------
    def mmap(self, op):
        rng, flags = self.rng, [self.rng.choice(("private", "shared"))]
        flags.append(rng.choice(("fixed", "fixed", "fixed", "noreplace")))
        flags += ["populate"] * (rng.random() < 0.12)
        flags += ["locked"] * (self.own and rng.random() < 0.08)
        flags += ["noreserve"] * (self.own and rng.random() < 0.05)
        wide = () if {"populate", "locked"} & set(flags) else (1 << 21, 1 << 30)
        fields = {"addr": self.addr(), "len": self.length(*wide), "prot": self.prot(),
                  "flags": flags}
        if rng.random() < 0.55:
            fields |= {"file": rng.choice(self.files)["id"],
                       "offset": rng.choice((0, 0, 1, 2, 5, 11)) * PAGE}
        return fields

    def load(self, op):
        return {"addr": self.byte()}

    def store(self, op):
        return {"addr": self.byte(), "value": self.rng.randint(1, 255)}

    def mprotect(self, op):
        return {"addr": self.addr(), "len": self.length(), "prot": self.prot()}

    def munmap(self, op):
        return {"addr": self.addr(), "len": self.length(1 << 21)}

    def madvise(self, op):
        known = self.rng.choice(ADVICE) if self.own and self.rng.random() < 0.7 else "dontneed"
        return {"addr": self.addr(), "len": self.length(1 << 21), "advice": known}

    def mremap(self, op):
        kinds = ([], ["maymove", "fixed"], ["maymove", "fixed"])
        flags = self.rng.choice(kinds + ((["maymove", "fixed", "dontunmap"],) if self.own else ()))
        size = self.length()
        fields = {"addr": self.addr(), "len": self.rng.choice((size,) * 3 + (0,) * self.own),
                  "new_len": self.rng.choice((size, size, self.length())), "flags": flags}
        return fields | ({"new_addr": self.addr()} if flags else {})

    def page_of(self, beyond: int) -> dict:
        file = self.rng.choice(self.files)
        return {"file": file["id"], "offset": self.rng.randint(0, file["pages"] + beyond) * PAGE}

    def pread(self, op):
        return self.page_of(2)

    def pwrite(self, op):
        return self.page_of(2) | {"value": self.rng.randint(1, 255)}

    def ftruncate(self, op):
        place = self.page_of(5)
        return {"file": place["file"], "pages": place["offset"] // PAGE}

    def fallocate(self, op):
        place, mode = self.page_of(2), self.rng.choice(
            ([], ["keep_size"], ["punch_hole", "keep_size"], ["punch_hole"]))
        return {"file": place["file"], "mode": mode,
                "offset": place["offset"] + self.rng.choice((0, 100)),
                "len": self.length() + self.rng.choice((0, 77))}

    def mlock(self, op):
        return {"addr": self.byte(), "len": self.length()}

    munlock = mlock

    def msync(self, op):
        flags = self.rng.choice((["sync"], ["async"], ["invalidate"], ["sync", "async"], []))
        return {"addr": self.addr(), "len": self.length(), "flags": flags}

    def mincore(self, op):
        return {"addr": self.addr(), "len": self.length()}

    def touch(self, op):
        return {"addr": self.byte(), "len": self.length(), "write": self.rng.random() < 0.5}

    # who is there --------------------------------------------------------------------------
    def fork(self, op):
        if len(self.alive) >= 5:
            return None
        child = len(self.groups)
        self.alive.append(child)
        self.groups[child] = self.groups[op["proc"]] if op["op"] == "clone" else child
        return {"child": child}

    clone = fork

    def exit(self, op):
        if len(self.alive) == 1:
            return None
        self.alive.remove(op["proc"])
        return {}

    def exec(self, op):
        own = self.groups[op["proc"]]
        self.alive = [n for n in self.alive if n == op["proc"] or self.groups[n] != own]
        return {}


GIB, HUGE_PAGE = 1 << 30, 1 << 21


def huge_sequence(seed: int, ops: int) -> dict:
    """The same for mmoracle-hugetlb/1: up to four processes and one file, mapped here and there."""
    rng, alive, made, born = random.Random(seed), [0], [], 1

    def addr():
        return max(0, rng.randint(0, 4) * GIB
                   + rng.choice((0, 0, 0, 0, HUGE_PAGE, -HUGE_PAGE, GIB // 2)))

    for _ in range(ops):
        op = {"op": rng.choice(["mmap"] * 4 + ["load"] * 5 + ["store"] * 5 + ["fork"] * 2
                               + ["munmap", "mprotect", "dontneed", "exit"]),
              "proc": rng.choice(alive), "frames": True}
        span = {"addr": addr(), "len": rng.choice((GIB, GIB, 2 * GIB, GIB // 2, HUGE_PAGE))}
        if op["op"] == "mmap":
            op |= span | {"prot": rng.choice(("rw", "rw", "rw", "r", "none", "w")),
                          "share": rng.choice(["shared"] * 4 + ["private"]),
                          "offset": rng.choice((0, 0, 0, GIB, HUGE_PAGE))}
        elif op["op"] in ("load", "store"):
            op["addr"] = span["addr"] + rng.choice((0, HUGE_PAGE, 2 * HUGE_PAGE, 7))
            op |= {"value": rng.randint(1, 255)} if op["op"] == "store" else {}
        elif op["op"] == "fork":
            if len(alive) == 4:
                continue
            op["child"] = born
            alive.append(born)
            born += 1
        elif op["op"] == "exit":
            if len(alive) == 1:
                continue
            alive.remove(op["proc"])
        else:
            op |= span | ({"prot": rng.choice(("rw", "r", "none"))} if op["op"] == "mprotect"
                          else {})
        made.append(op)
    return {"id": "random", "file_gib": rng.randint(1, 3), "ops": made}
