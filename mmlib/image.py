"""A machine as physical memory, and what must come of accesses to it: the format mmimage/1.

Frame numbers are physical addresses here, so nothing is translated: what the simulator walked is
what another MMU walks.
"""

import itertools
import random
import re
import struct
from collections import Counter
from collections.abc import Iterator

from . import frozen
from .geometry import GUARD, NX, PRESENT, P, entry_pfn
from .kinds import BadInput, at
from .memory import ZERO_PFN
from .tables import writable

ABSENT = 64                             # claims a process of addresses where there is no page


def check_geometry(machine) -> None:
    """Raise BadInput if no processor walks tables of this shape."""
    with at('field "geometry"'):
        if machine.geometry.entries != 512:
            raise BadInput("expected X86_64 or LA57; no processor walks tables of "
                           f"{machine.geometry.entries} entries, as {machine.geometry} has them")


# physical memory -----------------------------------------------------------------------------
def frames(machine) -> Iterator[tuple[int, bytes]]:
    """(frame number, content) of every table, and of every page that is not full of zeros."""
    for table in frozen.tables(machine, folded=False):
        entries = dict(table.entries)
        yield table.pfn, struct.pack("<512Q", *(entries.get(index, 0) for index in range(512)))
    for pfn, folio in machine.memory.folios.items():
        if folio.data is not None:
            yield pfn, folio.data


def write_memory(machine, file) -> None:
    """Write physical memory, from address 0 to the last frame in use, into a binary file."""
    memory, size = machine.memory, machine.geometry.page_size
    ends = [pfn + (folio.pool.frames if folio.pool else 1) for pfn, folio in memory.folios.items()]
    ends += [hi for _, hi, _ in memory.extents]
    ends += [table.pfn + 1 for table in frozen.tables(machine, folded=False)]
    file.seek(max(ZERO_PFN + 1, *ends) * size - 1)
    file.write(b"\0")                   # the file has holes where there are zeros
    for pfn, content in frames(machine):
        file.seek(pfn * size)
        file.write(content)


# claims --------------------------------------------------------------------------------------
class Claims:
    """What must come of accesses, for the processes of one image."""

    def __init__(self, machine, seed: int = 0):
        self.machine, self.geometry = machine, machine.geometry
        self.rng = random.Random(seed)
        self._offsets: dict[int, Iterator[int]] = {}

    def of(self, task) -> list[dict]:
        """A read, a write and a fetch of every page in the tables of *task*; and reads and
        writes at `ABSENT` addresses where there is none.

        No fetch is claimed to go well: what the page holds would then be run."""
        out, pages, size = [], [], self.geometry.page_size
        for addr, table, _, entry in self._leaves(task):
            span = self.geometry.entry_span(table.level)
            pages += [(addr, span)]
            allowed = {"r": entry & P, "w": writable(entry), "x": entry & P and not entry & NX}
            for access, fits in allowed.items():
                if access != "x" or not fits:
                    offset = self._offset(entry, span)
                    out.append(claim(addr + offset, access) | (
                        self._hit(entry, offset) if fits else {}))
        near = self._near(task, pages)
        found: dict[int, None] = {}
        while len(found) < ABSENT:
            va = next(near) + self.rng.randrange(size)
            if 0 <= va < self.geometry.task_size and not self._entry(task, va) & PRESENT:
                found[va] = None
        return out + [claim(va, self.rng.choice("rw")) for va in found]

    def _leaves(self, task):
        return self.machine.tables.leaves(task.mm.pgd, 0, self.geometry.task_size)

    def _entry(self, task, va: int) -> int:
        return self.machine.tables.lookup(task.mm.pgd, va)[2]

    def _hit(self, entry: int, offset: int) -> dict:
        """What an access meets that goes well."""
        memory, pfn = self.machine.memory, entry_pfn(entry)
        return {"result": "ok", "pa": (pfn << self.geometry.page_shift) + offset,
                "byte": memory.read(memory.folio(pfn), offset, 1)[0]}

    def _offset(self, entry: int, span: int) -> int:
        """A place in the page, each time another, in all mappings of a frame: so a checker that
        stores what it likes spoils no other claim."""
        if entry == GUARD:
            return self.rng.randrange(span)
        pfn = entry_pfn(entry)
        if pfn not in self._offsets:
            self._offsets[pfn] = places(self.machine.memory.folio(pfn).data, span, self.rng)
        return next(self._offsets[pfn])

    def _near(self, task, pages: list[tuple[int, int]]) -> Iterator[int]:
        """Pages beside those in the tables, as neighbours in a table of any level; the first and
        last of each VMA and what lies around it; then pages anywhere."""
        size, levels = self.geometry.page_size, range(1, self.geometry.levels + 1)
        spans = [self.geometry.entry_span(level) for level in levels]
        near = [addr + side for addr, own in pages for span in spans if span >= own
                for side in (-span, span)]
        near += [at for vma in task.mm.vmas
                 for at in (vma.start - size, vma.start, vma.end - size, vma.end)]
        self.rng.shuffle(near)
        yield from near
        while True:
            yield self.rng.randrange(self.geometry.task_size) // size * size


def claim(va: int, access: str) -> dict:
    return {"va": va, "access": access, "user": True, "result": "fault"}


def places(data: bytes | None, span: int, rng: random.Random) -> Iterator[int]:
    """Offsets into a page of *span* bytes, the first few where it is not zero, none twice before
    all have been.

    >>> list(itertools.islice(places(bytes(8) + b"a", 16, random.Random(0)), 16))
    [8, 12, 9, 6, 3, 0, 13, 10, 7, 4, 1, 14, 11, 5, 2, 15]
    """
    first = [found.start() for found in itertools.islice(re.finditer(rb"[^\0]", data or b""), 6)]
    yield from first
    start, step = rng.randrange(span), rng.randrange(span) | 1
    for n in itertools.count():
        if (start + n * step) % span not in first:
            yield (start + n * step) % span


# image.json ----------------------------------------------------------------------------------
def description(machine, tasks: dict) -> dict:
    """The contents of image.json for *tasks*, a dict of name and Task.

    A table is shared if it is reached from more than one CR3."""
    claims, limit = Claims(machine), machine.geometry.task_size
    reached = {task.mm: {table.pfn for *_, table in machine.tables.links(task.mm.pgd, 0, limit)}
               for task in tasks.values()}
    reaching = Counter(pfn for tables in reached.values() for pfn in tables)
    return {
        "format": "mmimage/1", "levels": machine.geometry.levels, "image": "image.bin",
        "processes": [{"name": name, "cr3": task.mm.pgd.pfn << machine.geometry.page_shift,
                       "expect": claims.of(task)} for name, task in tasks.items()],
        "tables_per_process_without_root": {n: len(reached[t.mm]) for n, t in tasks.items()},
        "distinct_tables_without_roots": len(reaching),
        "shared_tables": sum(count > 1 for count in reaching.values()),
    }
