"""States and steps as text: /proc's own formats, and the text equivalent of every picture.

All of them are pure functions of a snapshot or a step.
"""

from collections import Counter
from collections.abc import Iterator

from ..geometry import PRESENT, PS, D, entry_pfn
from ..memory import ZERO_PFN
from ..rows import MapsRow, PageRow, Rows
from ..trace import FrameState, MMState, Snapshot, Step, VMAState
from ..vma import VM_LOCKED, VM_SHARED_PT
from .graph import is_link, plain
from .outline import describe  # noqa: F401  (the text of a state beside that of a step)


# /proc -----------------------------------------------------------------------------------------
def mm_of(now: Snapshot, name: str) -> MMState:
    """The mm of that name; ValueError if there is none."""
    for mm in now.mms:
        if mm.name == name:
            return mm
    raise ValueError(f"there is no mm {name!r}; there are {', '.join(m.name for m in now.mms)}")


def maps(now: Snapshot, mm: str) -> Rows:
    """/proc/PID/maps

    >>> from mmlib import Machine, TINY, MAP_PRIVATE, MAP_ANONYMOUS
    >>> m = Machine(TINY); a = m.spawn("a")
    >>> addr = a.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    >>> maps(m.snapshot(), "a")
    00004000-00006000 rw-p 00000000 00:00 0
    """
    return Rows(map(row, mm_of(now, mm).vmas))


def row(vma: VMAState) -> MapsRow:
    return MapsRow(vma.start, vma.end, vma.perms, vma.offset, vma.backing, vma.inode)


def status(now: Snapshot, mm: str) -> str:
    """The lines of /proc/PID/status that are about memory.

    >>> from mmlib import Machine, TINY
    >>> m = Machine(TINY); a = m.spawn("a"); print(status(m.snapshot(), "a").expandtabs())
    Name:   a
    VmSize:        0 kB
    VmLck:         0 kB
    VmRSS:         0 kB
    VmPTE:         0 kB
    Threads:        1
    """
    it = mm_of(now, mm)
    size = now.geometry.page_size
    locked = sum(v.end - v.start for v in it.vmas if v.flags & VM_LOCKED)
    lines = [("VmSize", sum(v.end - v.start for v in it.vmas)), ("VmLck", locked),
             ("VmRSS", it.rss if now.folded else size * sum(
                 1 for vma in it.vmas if not vma.flags & VM_SHARED_PT
                 for _ in pages(now, it, vma.start, vma.end))),
             ("VmPTE", size * it.tables)]
    threads = sum(task.mm == it.name for task in now.tasks)
    return "\n".join([f"Name:\t{plain(it.name)}",
                      *(f"{name}:\t{bytes_ // 1024:8} kB" for name, bytes_ in lines),
                      f"Threads:\t{threads}"])


def told_in_full(now: Snapshot) -> None:
    if now.folded:
        raise ValueError("this snapshot tells tables and pages by the row; ask the task itself")


def pages(now: Snapshot, mm: MMState, start: int, end: int,
          ) -> Iterator[tuple[int, int, FrameState]]:
    """(address, entry, frame) of the pages in [start, end) that VmRSS counts."""
    frames = {f.pfn: f for f in now.frames}
    for addr, entry in leaves(now, mm, start, end):
        if entry & PRESENT and not entry & PS and entry_pfn(entry) != ZERO_PFN:
            yield addr, entry, frames[entry_pfn(entry)]


def leaves(now: Snapshot, mm: MMState, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(address, entry) of every leaf entry in [start, end), upwards."""
    by_pfn = {t.pfn: t for t in now.tables}
    todo = [(0, by_pfn[mm.root[0]])]
    while todo:
        base, table = todo.pop()
        size, below = now.geometry.entry_span(table.level), []
        for index, entry in table.entries:
            addr = base + index * size
            if addr + size <= start or addr >= end:
                continue
            if is_link(table.level, entry):
                below.append((addr, by_pfn[entry_pfn(entry)]))
            else:
                yield addr, entry
        todo += reversed(below)


def smaps(now: Snapshot, mm: str) -> str:
    """/proc/PID/smaps, the lines that this machine knows.

    A page is shared if more than one entry maps it; dirty if this entry says so."""
    told_in_full(now)
    it, size, out = mm_of(now, mm), now.geometry.page_size, []
    for vma in it.vmas:
        sums, pss = Counter(), 0
        for _, entry, frame in pages(now, it, vma.start, vma.end):
            kind = "Shared" if frame.mapcount > 1 else "Private"
            sums[f"{kind}_{'Dirty' if entry & D else 'Clean'}"] += size
            sums["Rss"] += size
            sums["Anonymous"] += size * (frame.kind == "anon")
            pss += (size << 12) // frame.mapcount
        lines = [("Size", vma.end - vma.start), ("Rss", sums["Rss"]), ("Pss", pss >> 12),
                 *((name, sums[name]) for name in ("Shared_Clean", "Shared_Dirty", "Private_Clean",
                                                   "Private_Dirty", "Anonymous")),
                 ("Locked", sums["Rss"] if vma.flags & VM_LOCKED else 0)]
        out += [str(row(vma)), *(f"{name + ':':16}{value // 1024:8} kB" for name, value in lines)]
    return "\n".join(out)


def pagemap(now: Snapshot, mm: str, start: int, end: int) -> Rows:
    """/proc/PID/pagemap of the pages in [start, end)."""
    told_in_full(now)
    it, size = mm_of(now, mm), now.geometry.page_size
    frames, found = {f.pfn: f for f in now.frames}, {}
    for addr, entry in leaves(now, it, start, end):
        if entry & PRESENT:
            frame = frames[entry_pfn(entry)]
            for i in range(now.geometry.entries if entry & PS else 1):
                found[addr + i * size] = PageRow(
                    addr + i * size, True, frame.pfn + i,
                    frame.mapcount == 1 and frame.kind != "zero", frame.kind == "file")
    return Rows(found.get(at, PageRow(at, False, 0, False, False))
                for at in range(start, end, size))


# a step in words -------------------------------------------------------------------------------
# What a reader wants to know first, if it happened.
FIRST = ("oom", "host", "copy", "anon", "reuse", "make_writable", "zero_page", "cache_fill",
         "cache_hit", "touch", "dup_mm", "copy_range", "skip_range", "vma", "vma_moved", "vma_gone", "protect",
         "zap", "move_entries", "truncate", "unshare", "share", "link", "populate",
         "spurious")
AT_MOST = 3                             # sentences of one kind


def summary(step: Step) -> str:
    """What a step did, in one or two sentences.

    >>> from mmlib import Machine, TINY, MAP_PRIVATE, MAP_ANONYMOUS
    >>> m = Machine(TINY); a = m.spawn("a")
    >>> addr = a.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    >>> a.store(addr, b"hi"); print(summary(m.trace[-1]))
    0x4000 gets a fresh zeroed page, frame 6. New tables: PUD 3, PMD 4, PTE 5.
    >>> a.store(addr, b"ho"); print(summary(m.trace[-1]))
    The TLB has the translation: no kernel code runs.
    """
    if step.error is not None:
        return f"It fails: {step.error}."
    kinds = Counter(event.kind for event in step.events)
    if "tlb_hit" in kinds and not kinds.keys() - {"tlb_hit"}:
        return "The TLB has the translation: no kernel code runs."
    if "walk" in kinds and not kinds.keys() - {"tlb_hit", "tlb_miss", "walk"}:
        return "The walk finds an entry that permits it: no kernel code runs."
    said = []
    for kind in FIRST:
        texts = [event.text for event in step.events if event.kind == kind]
        said += texts if len(texts) <= AT_MOST else [*texts[:AT_MOST - 1],
                                                     f"And {len(texts) - AT_MOST + 1} more."]
    for kind, words in (("table", "New tables"), ("free_table", "Freed tables")):
        names = [f"{event.level} {event.pfn}" for event in step.events if event.kind == kind]
        if names:
            said.append(f"{words}: {', '.join(names[:6])}"
                        + (f" and {len(names) - 6} more." if len(names) > 6 else "."))
    return " ".join(said) or OTHER.get(step.call, "Neither mappings nor tables change.")


# Calls that have no events of their own.
OTHER = {"spawn": "A process with an empty address space: a top-level table, and nothing in it.",
         "memfd": "A file of tmpfs. No page of it is in memory yet.",
         "open": "The file is open. No page of it has been asked for.",
         "clone": "A thread: a second task in the same address space.",
         "pwrite": "The page cache has the bytes; no mapping changes.",
         "exit": "The task is gone.", "run_on": "It runs on another CPU now."}


def narration(step: Step) -> list[tuple[str, str]]:
    """(sentence, the kernel function that does it) for every event of *step*."""
    return [(event.text, event.function) for event in step.events]
