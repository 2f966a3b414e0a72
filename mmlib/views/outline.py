"""The text equivalent of a picture: a state as an indented tree."""

from ..geometry import PRESENT, entry_letters, entry_pfn
from ..trace import FrameState, MMState, Snapshot, TableState
from .fold import groups, times
from .graph import file_label, is_link, plain

# So that a large machine can be read.
LINKS = 8                               # tables below one table that are told
RUN = 4                                 # alike entries in a row; more are told together
CACHED = 16                             # pages that nobody maps
TASKS = 6                               # of one address space, where a state is folded


def describe(now: Snapshot) -> str:
    """Everything that a picture of *now* shows, as an indented tree.

    >>> from mmlib import Machine, TINY, MAP_PRIVATE, MAP_ANONYMOUS
    >>> m = Machine(TINY); a = m.spawn("a")
    >>> addr = a.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    >>> a.store(addr, b"hi"); print(describe(m.snapshot()))
    a: 3 page tables below the top one
      PGD 2
        0: PUD 3
          0: PMD 4
            1: PTE 5
              0: rw page 6, "hi"
    """
    by_pfn, told = {t.pfn: t for t in now.tables}, set()
    frames = {f.pfn: f for f in now.frames}
    out = []
    for mm, *like in groups(now):
        many = f"{mm.tables} page table{'s' * (mm.tables != 1)} below the top one"
        many += f", and {len(like):,} more address spaces like it" * bool(like)
        out.append(f"{who(now, mm)}: {many}")
        out += tree(now, by_pfn[mm.root[0]], by_pfn, frames, told, "  ")
    kept = [t for t in now.tables if not t.users and t.published]
    for table in kept:
        out.append(f"kept with {plain(table.owner)}, used by nobody:")
        out += tree(now, table, by_pfn, frames, told, "  ")
    unmapped = [f for f in now.frames if not f.mapcount and f.kind == "file"]
    if unmapped:
        left = len(unmapped) - CACHED
        out.append("in the page cache, mapped by nobody: "
                   + "; ".join([*map(page, unmapped[:CACHED]), *[f"{left} more"] * (left > 0)]))
    return "\n".join(out) or "nothing is there"


def who(now: Snapshot, mm: MMState) -> str:
    """The tasks of an mm by name; without any it is the host of a region of msharefs."""
    tasks = [plain(task.name) for task in now.tasks if task.mm == mm.name]
    if now.folded and len(tasks) > TASKS:
        tasks[TASKS:] = [f"{len(tasks) - TASKS:,} more"]
    return ", ".join(tasks) or f"region {file_label(mm.name)}"


def tree(now: Snapshot, table: TableState, by_pfn, frames, told: set, indent: str) -> list[str]:
    """A table and what is below it; what was told before is only named."""
    name = f"{now.geometry.level_name(table.level)} {table.pfn}{times(table.count)}"
    shared = f" (shared x{table.users})" if table.users > 1 else ""
    if table.node in told:
        return [f"{indent}{name}{shared}, as above"]
    told.add(table.node)
    out, links, run = [f"{indent}{name}{shared}"], 0, []
    for index, entry in (*table.entries, (0, 0)):       # the last one ends a run
        link = is_link(table.level, entry)
        if run and (link or not follows(run[-1], (index, entry), frames)):
            out += leaf_lines(run, frames, indent + "  ")
            run = []
        if link:
            links += 1
            if links <= LINKS:
                first, *rest = tree(now, by_pfn[entry_pfn(entry)], by_pfn, frames, told,
                                    indent + "  ")
                out += [f"{indent}  {index}: {first.strip()}", *rest]
        elif entry:
            run.append((index, entry))
    if links > LINKS:
        below = now.geometry.level_name(table.level - 1)
        out.append(f"{indent}  and {links - LINKS} more {below} table{'s' * (links > LINKS + 1)}")
    return out


def follows(one: tuple[int, int], other: tuple[int, int], frames: dict[int, FrameState]) -> bool:
    """Is *other* the (index, entry) after *one* but for the numbers of entry, frame and page?"""
    (i, entry), (j, after) = one, other
    if j != i + 1 or entry_letters(entry) != entry_letters(after):
        return False
    if not entry & PRESENT:
        return True
    old, new = frames[entry_pfn(entry)], frames[entry_pfn(after)]
    if old.kind == "zero":
        return new is old
    step = old.index if old.index < 0 else new.index - old.index
    return new.pfn == old.pfn + 1 and abs(step) == 1 and \
        new._replace(pfn=old.pfn, birth=old.birth, index=old.index) == old


def leaf_lines(run: list[tuple[int, int]], frames: dict[int, FrameState], indent: str) -> list[str]:
    """Entries in a row: a line each, or one line for many."""
    lines = []
    for index, entry in run:
        mapped = " " + page(frames[entry_pfn(entry)]) if entry & PRESENT else ""
        lines.append(f"{indent}{index}: {entry_letters(entry)}{mapped}")
    if len(lines) <= RUN:
        return lines
    return [lines[0], f"{indent}{run[1][0]}-{run[-1][0]}: "
                      f"{len(run) - 1} more like it{last_frame(run, frames)}"]


def last_frame(run: list[tuple[int, int]], frames: dict[int, FrameState]) -> str:
    """
    >>> last_frame([(0, 0x5007), (1, 0x6007)], {5: None, 6: FrameState(6, 2, "anon", "", -1, 1, b"")})
    ', to page 6'
    """
    entry = run[-1][1]
    frame = frames[entry_pfn(entry)] if entry & PRESENT else None
    return f", to page {frame.pfn}" if frame and frame.kind != "zero" else ""


def page(frame: FrameState) -> str:
    """
    >>> page(FrameState(6, 3, "file", "/dev/shm/db", 0, 2, b"hi\\0\\0\\0\\0\\0\\0"))
    'page 6, page 0 of /dev/shm/db, "hi", mapped x2'
    """
    if frame.kind == "zero":
        return "the zero page"
    head = frame.head.rstrip(b"\0")
    text = f', "{head.decode("ascii")}"' if head and all(32 <= b < 127 for b in head) else \
        f", 0x{head.hex()}" if head else ", zeros"
    file = f", page {frame.index} of {plain(frame.file)}" if frame.kind == "file" else ""
    many = f", mapped x{frame.mapcount}" if frame.mapcount > 1 else ""
    return f"page {frame.pfn}{times(frame.count)}{file}{text}{many}"
