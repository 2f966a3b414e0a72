"""Hypothesis strategies for scenarios: calls of several processes that meet each other.

What is drawn first is independent of what came before: a process, a file is a number, and counts
among those that are there when its turn comes (casting.py).
"""
from casting import PAGE, PATH, UNKNOWN_BITS, cast
from hypothesis import strategies as st

from mmlib.geometry import X86_64
from mmlib.worlds import ARENA

SPAN, GIB = 1 << 21, 1 << 30
TOP = X86_64.mmap_base - ARENA          # below it lies what the kernel places
CENTRES = (16 * PAGE, SPAN, GIB, 1 << 39, TOP)      # borders of tables of each level
# Advice, and how often each comes; each is tried on memory that may refuse it.
ADVICE = {"dontneed": 6, "free": 12, "remove": 9, "dontfork": 3, "dofork": 3, "wipeonfork": 12,
          "keeponfork": 4, "populate_read": 4, "populate_write": 4, "willneed": 2,
          "guard_install": 4, "guard_remove": 4, "dontneed_locked": 1, "cold": 1, "normal": 1,
          "random": 1, "sequential": 1, "dontdump": 1, "dodump": 1, "nohugepage": 1}
OFTEN = {"load": 18, "mmap": 22, "store": 18, "mprotect": 8, "munmap": 3, "madvise": 22,
         "mremap": 18, "pread": 4, "pwrite": 4, "ftruncate": 3, "fork": 5, "exec": 1, "exit": 3,
         "mlock": 4, "munlock": 3, "msync": 3, "mincore": 3, "fallocate": 4, "clone": 2,
         "open": 2, "close": 1, "regrow": 2, "forbid": 3, "touch": 4}


def weighted(**often: int):
    return st.sampled_from([name for name, times in often.items() for _ in range(times)])


NAMES, ADVICES = weighted(**OFTEN), weighted(**ADVICE)
MOVES = weighted(**{"": 2, "maymove": 6, "maymove fixed": 4, "maymove dontunmap": 2,
                    "maymove fixed dontunmap": 2})
BYTE, SMALL = st.integers(1, 255), st.integers(0, 9)
LENGTHS = st.sampled_from([n * PAGE for n in (1, 2, 3, 1, 4, 1, 6, 2, 8, 1, 16, 24) * 3]
                          + [0, 0, 100, PAGE + 1, 3 * PAGE - 1, 4 * PAGE])
NEAR = st.integers(-12, 12)
PROTS = st.sampled_from(["rw"] * 10 + ["r", "r", "none", "w", "x", "rx", "rwx"])
# Often at the start of a page; a call that wants whole pages is then told so.
INSIDE = st.sampled_from([0] * 19 + [100])
WITHIN = st.sampled_from([0, 0, 5, PAGE - 1])


class Fields:
    """Draws the fields of an op, by the op's name; the calls meet at *centres*."""

    def __init__(self, draw, centres: list[int]):
        self.draw, self.centres = draw, centres

    def addr(self, inside=INSIDE) -> int:
        centre, pages = self.draw(st.sampled_from(self.centres)), self.draw(NEAR)
        return max(0, centre - 12 * PAGE * (centre == TOP) + pages * PAGE) + self.draw(inside)

    def span(self, *wide: int) -> dict:
        lengths = st.sampled_from(wide) if wide and self.chance(5) else LENGTHS
        return {"addr": self.addr(), "len": self.draw(lengths)} | self.like(75)

    def like(self, percent: int) -> dict:
        """Often a call is about a range that has been mapped: which one, counted backwards."""
        return {"like": self.draw(st.integers(0, 3))} if self.chance(percent) else {}

    def byte(self) -> dict:
        return {"addr": self.addr(WITHIN)} | self.like(80)

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(0, 99)) >= 100 - percent

    def op(self, name: str) -> dict:
        """An op; of its process, file and child only a number is drawn."""
        fields = getattr(self, name, lambda: {})()
        return {"op": name, "proc": self.draw(SMALL)} | fields

    # memory --------------------------------------------------------------------------------
    def mmap(self) -> dict:
        kind = self.draw(st.sampled_from(["private"] * 5 + ["shared"] * 3 + ["shared_validate"]))
        flags = [kind]
        where = self.draw(st.sampled_from([["fixed"]] * 6 + [["noreplace"], [], [], None, None]))
        flags += where or []
        for flag, percent in (("populate", 10), ("locked", 8), ("noreserve", 4)):
            flags += [flag] * self.chance(percent)
        if kind == "shared_validate" and self.chance(50):
            flags.append(self.draw(st.sampled_from(UNKNOWN_BITS)))
        faulted = {"populate", "locked"} & set(flags)
        span = self.span(*(() if faulted else (SPAN, SPAN + PAGE, GIB)))
        if where:
            span.pop("like", None)
        fields = span | {"prot": self.draw(PROTS), "flags": flags}
        if where is None:
            fields["addr"] = None
            fields.pop("like", None)
        if kind == "shared_validate" or self.chance(45):
            offset = self.draw(st.sampled_from((0, 0, 1, 2, 5, 11))) * PAGE
            fields |= {"file": self.draw(SMALL), "offset": offset + self.draw(INSIDE)}
        return fields

    def load(self) -> dict:
        return self.byte() | ({"n": PAGE} if self.chance(4) else {})

    def store(self) -> dict:
        return self.byte() | {"value": self.draw(BYTE)}

    def mprotect(self) -> dict:
        return self.span() | {"prot": self.draw(PROTS)}

    def munmap(self) -> dict:
        return self.span(SPAN)

    def madvise(self) -> dict:
        advice = self.draw(ADVICES)
        bulk = advice in ("guard_install", "populate_read", "populate_write")
        return self.span(*(() if bulk else (SPAN,))) | {"advice": advice}

    def mremap(self) -> dict:
        flags = self.draw(MOVES).split()
        fields = self.span() | {"flags": flags}
        same = self.chance(90 if "dontunmap" in flags else 40)
        fields["new_len"] = None if same else self.draw(LENGTHS)
        return fields | ({"new_addr": self.addr()} if "fixed" in flags else {})

    def regrow(self) -> dict:
        return self.span() | {"flags": self.draw(st.sampled_from(([], ["maymove"]))),
                              "cut": self.draw(st.integers(1, 4)),
                              "gap": self.draw(st.integers(1, 3))}

    def forbid(self) -> dict:
        return self.span() | {"file": self.draw(st.sampled_from((None, None, 0, 1)))}

    def mlock(self) -> dict:
        return self.span() | ({"addr": self.addr(WITHIN)} if self.chance(10) else {})

    munlock = mlock

    def msync(self) -> dict:
        return self.span() | {"flags": self.draw(st.sampled_from(
            (["sync"], ["async"], ["invalidate"], [], ["sync", "async"])))}

    mincore = span

    def touch(self) -> dict:
        return {"addr": self.addr(WITHIN), "len": self.draw(LENGTHS) or 1,
                "write": self.chance(50)} | self.like(75)

    # files ---------------------------------------------------------------------------------
    def part(self) -> dict:
        return {"file": self.draw(SMALL), "offset": self.draw(st.integers(0, 22)) * PAGE
                + self.draw(WITHIN)}

    def pread(self) -> dict:
        return self.part() | ({"n": 3 * PAGE} if self.chance(10) else {})

    def pwrite(self) -> dict:
        return self.part() | {"value": self.draw(BYTE)}

    def ftruncate(self) -> dict:
        part = self.part()
        return {"file": part["file"], "len": part["offset"]}

    def fallocate(self) -> dict:
        mode = self.draw(st.sampled_from(
            (["punch_hole", "keep_size"], ["punch_hole", "keep_size"], [], ["keep_size"],
             ["punch_hole"])))
        return self.part() | {"mode": mode, "len": self.draw(LENGTHS)}

    def open(self) -> dict:
        return {"flags": self.draw(st.sampled_from(
            (["rdonly"], ["rdonly"], ["wronly"], ["rdwr"], ["rdwr", "trunc"])))}

    def close(self) -> dict:
        return {"file": self.draw(SMALL)}


@st.composite
def an_op(draw, centres: list[int]) -> dict:
    return Fields(draw, centres).op(draw(NAMES))


@st.composite
def laid_out(draw, centres: list[int]) -> dict:
    """An mmap that succeeds, of memory that later calls will find."""
    centre, pages = draw(st.sampled_from(centres)), draw(st.integers(-10, 2))
    backing = draw(st.sampled_from(("private", "shared", "private file", "shared file"))).split()
    return {"op": "mmap", "proc": 0, "addr": centre + pages * PAGE - 12 * PAGE * (centre == TOP),
            "prot": "rw", "len": draw(st.sampled_from((8, 4, 16, 12))) * PAGE,
            "flags": [backing[0], "fixed"]} | ({"file": draw(SMALL)} if "file" in backing else {})


@st.composite
def opened(draw) -> dict:
    return Fields(draw, []).op("open")


@st.composite
def a_file(draw, name: str) -> dict:
    pages = draw(st.sampled_from((4, 1, 12, 20, 40)))
    held = draw(st.sampled_from((1, 2, 5, pages + 1)))     # every n-th page is a hole
    return {"id": name, "pages": pages, "content": [
        [page, page + 1] for page in range(pages) if (page + 1) % held]}


def many(some):
    """Lists of *some*, 25 on average, where hypothesis would make them 5."""
    return st.lists(st.lists(some, max_size=30), max_size=30).map(
        lambda lists: [one for part in lists for one in part])


@st.composite
def sequences(draw, name: str = "fuzz", ops: int = 60) -> dict:
    """A sequence of mmlib/1 with at most so many ops."""
    centres = draw(st.lists(st.sampled_from(CENTRES), min_size=1, max_size=2, unique=True))
    files = [draw(a_file(name)) for name in draw(st.sampled_from(("f", "fg")))]
    if draw(st.integers(0, 2)):
        files.append(draw(a_file("p")) | {"path": PATH})
    made = draw(st.lists(opened(), max_size=3)) if "path" in files[-1] else []
    made += draw(st.lists(laid_out(centres), max_size=9))
    for _ in range(3):
        made += draw(many(an_op(centres)))
    return {"id": name, "files": files, "ops": cast(made, files)[:ops]}
