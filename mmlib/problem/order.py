"""Put in order what happens at one access.

Hardware first, then the kernel: the VMA, the tables from the top down, the page, the entry; then
the access is made again.  A file is asked for its page before there is a PTE table for it; an
anonymous page is taken after.
"""

import random

from .question import SIZES, Problem

WORDS = {
    "tlb": "The CPU finds no translation in its TLB that permits the access.",
    "walk": "The MMU walks the tables, as far as an entry that does not permit the access.",
    "fault": "The CPU raises a page fault.",
    "find_vma": "The kernel looks up the VMA.",
    "table PUD": "A fresh PUD table gets its place.",
    "table PMD": "A fresh PMD table gets its place.",
    "table PTE": "A fresh PTE table gets its place.",
    "share PMD": "The file's PMD table is linked.",
    "share PTE": "The file's PTE table is linked.",
    "zero_page": "The zero page is chosen.",
    "anon": "A frame of zeros is taken.",
    "cache_fill": "A page enters the page cache.",
    "cache_hit": "The page is found in the page cache.",
    "copy": "A new frame is taken and gets the bytes of the old page.",
    "reuse": "The kernel sees that nobody else has the page.",
    "spurious": "The kernel sees that the entry is filled already.",
    "fill": "The entry is written.",
    "signal": "SIGSEGV is delivered.",
    "again": "The MMU walks the tables again, to the page.",
}
FILE = ('file = machine.memfd("f", 0x10000)',)
CACHED = (*FILE, 'b = machine.spawn("b")', 'b.mmap(0x80000, 0x10000, "rw", MAP_SHARED, file)',
          "b.touch(0x80000, 0x10000)")
ANON = ('a.mmap(0x40000, 0x10000, "rw", ANON)',)
STORE, AGAIN, LOAD = 'a.store(0x40000, b"x")', 'a.store(0x40000, b"y")', "a.load(0x40000)"
SUPPRESS = ("from contextlib import suppress", "with suppress(Segfault): ")


def tables(first: int = 3) -> list[str]:
    """The lowest *first* levels, from the top down."""
    return [f"table {name}" for name in ("PUD", "PMD", "PTE")[3 - first:]]


def scenes() -> dict[str, tuple]:
    """What was before, the access, and what happens between the VMA and the second walk."""
    found = {"outside": (ANON, "a.load(0x50000)", ["signal"]),
             "forbidden": (('a.mmap(0x40000, 0x1000, "r", ANON)',), STORE, ["signal"])}
    for levels, near in ((3, ()), (2, ('a.store(0x60000, b"n")',)),
                         (1, ('a.store(0x44000, b"n")',)), (0, ('a.store(0x41000, b"n")',))):
        around = ('a.mmap(0x40000, 0x30000, "rw", ANON)', *near)
        found[f"store {levels}"] = (around, STORE, [*tables(levels), "anon", "fill"])
        found[f"load {levels}"] = (around, LOAD, [*tables(levels), "zero_page", "fill"])
    for files, page in ((FILE, "cache_fill"), (CACHED, "cache_hit")):
        for flags in ("MAP_SHARED", "MAP_PRIVATE"):
            mapping = (*files, f'a.mmap(0x40000, 0x10000, "rw", {flags}, file)')
            middle = [*tables()[:2], page, "table PTE", "fill"]
            found[f"{flags} {page} load"] = (mapping, LOAD, middle)
            if flags == "MAP_SHARED":
                found[f"{flags} {page} store"] = (mapping, STORE, middle)
    forked = (*ANON, STORE, 'b = a.fork("b")')
    found["shared by fork"] = (forked, AGAIN, ["copy", "fill"])
    found["last owner"] = ((*forked, "b.exit()"), AGAIN, ["reuse", "fill"])
    found["only read"] = ((*ANON, LOAD), STORE, ["copy", "fill"])
    kept = (*CACHED, 'a.mmap(0x40000, 0x10000, "rw", MAP_SHARED, file)')
    found["cache"] = (kept, LOAD, ["table PUD", "share PMD", "spurious"])
    found["cache-pte"] = (kept, LOAD, ["table PUD", "table PMD", "share PTE", "spurious"])
    return found


def spell_out(before: tuple[str, ...], access: str, signal: bool) -> tuple[str, ...]:
    """The lines of a scene; a signal must not end the script."""
    return (*before, SUPPRESS[0], SUPPRESS[1] + access) if signal else (*before, access)


def make(rng: random.Random) -> Problem:
    name = rng.choice(sorted(scenes()))
    before, access, middle = scenes()[name]
    signal = middle == ["signal"]
    happens = ["tlb", "walk", "fault", "find_vma", *middle, *["again"] * (not signal)]
    sharing = {"cache": ", sharing=FileTableCache()",
               "cache-pte": ', sharing=FileTableCache(("pte",))'}.get(name, "")
    order = rng.sample(happens, len(happens))
    letters = {kind: "ABCDEFGHIJKL"[n] for n, kind in enumerate(order)}
    answer = "".join(letters[kind] for kind in happens)
    return Problem(
        given=SIZES,
        question="At the last call this happens, in another order. Answer with the letters in the "
                 "right order, such as 'BCA'.\n"
                 + "\n".join(f"    {letters[kind]}  {WORDS[kind]}" for kind in order),
        answer=answer, code=(f"machine = Machine(TINY{sharing})", 'a = machine.spawn("a")',
                             *spell_out(before, access, signal)),
        why=(*(f"{letters[kind]}: {WORDS[kind]}" for kind in happens), f"So it is {answer}."),
        ask="from mmlib.problem.order import spelled\n"
            f"spelled(machine.trace[-1].events, {letters})",
        hint="Hardware comes first, and also last. In between the kernel asks what may be, makes "
             "what is missing from the top down, and writes the entry when it has a page.",
        mistakes={answer[::-1]: "That is the order backwards.",
                  answer.lower(): "Use the capital letters."})


def spelled(events, letters: dict[str, str]) -> str:
    """The letters of what happened at an access, in order.

    A walk is a row of events; the one that a fault follows did not permit the access.  When a
    copy is flushed is not asked: Linux does it before it writes the entry, since others run then.
    """
    word = ""
    for event, following in zip(events, [*events[1:], None]):
        kind = {"tlb_miss": "tlb"}.get(event.kind, event.kind)
        if kind in ("table", "share"):
            kind = f"{kind} {event.level}"
        if kind == "flush" or kind == "walk" and following and following.kind == "walk":
            continue
        if kind == "walk" and (following is None or following.kind != "fault"):
            kind = "again"
        word += letters.get(kind, "?")
    return word
