"""What each CPU remembers of its walks, how it is made to forget, and where that is counted.

64 entries a CPU, least recently used first out, keyed by mm and page as with PCIDs: a switch of
the address space flushes nothing.
"""

from collections.abc import Iterable
from itertools import repeat

from .geometry import RW, D, entry_pfn

SIZE = 64


class TLB:
    """The translations that one CPU holds: (mm, page number) -> the leaf entry as it was read,
    least recently used first."""

    def __init__(self) -> None:
        self.entries: dict[tuple, int] = {}

    def __getattr__(self, name: str):
        """*entries*, as `row` has left them, made when somebody looks."""
        if name != "entries":
            raise AttributeError(name)
        mm, last, entries = self._row
        self.entries = dict(zip(zip(repeat(mm), range(last - SIZE, last)), entries))
        return self.entries

    def find(self, mm, page: int, write: bool) -> int:
        """The remembered entry if it permits the access, else 0.

        A store needs RW, and D as well: where D is not yet set, the MMU walks to set it."""
        entry = self.entries.get((mm, page), 0)
        if not entry or write and entry & (RW | D) != RW | D:
            return 0
        self.insert(mm, page, entry)
        return entry

    def lacks(self, mm, page: int) -> str:
        """Why `find` found nothing, in words.

        >>> tlb = TLB(); tlb.insert("mm", 5, RW); tlb.lacks("mm", 5), tlb.lacks("mm", 6)
        ('a TLB entry without the dirty bit', 'no TLB entry')
        """
        entry = self.entries.get((mm, page), 0)
        return ("no TLB entry" if not entry else "a read-only TLB entry" if not entry & RW
                else "a TLB entry without the dirty bit")

    def insert(self, mm, page: int, entry: int) -> None:
        entries, key = self.entries, (mm, page)
        entries.pop(key, None)
        entries[key] = entry
        if len(entries) > SIZE:
            del entries[next(iter(entries))]

    def row(self, mm, last: int, count: int, write: bool,
            entries: Iterable[int]) -> None:
        """A row of *count* accesses, upwards, has ended before the page *last*; *entries* are
        those that were used, of 2 * SIZE and more only the last SIZE.

        If they are so many, nothing that was here before is left, and only a half of them is."""
        if count >= 2 * SIZE:
            self._row = mm, last, entries
            self.__dict__.pop("entries", None)      # __getattr__
            return
        for page, entry in enumerate(entries, last - count):
            if not self.find(mm, page, write):
                self.insert(mm, page, entry)

    def drop(self, mm, first: int, last: int) -> None:
        """Forget the pages first <= page < last of *mm* (invlpg, or all of a PCID)."""
        if last - first < SIZE:
            for page in range(first, last):
                self.entries.pop((mm, page), None)
        else:
            for key in [k for k in self.entries if k[0] is mm and first <= k[1] < last]:
                del self.entries[key]

    def state(self) -> tuple[tuple[str, int, int, bool], ...]:
        """(mm, page address / page size, pfn, writable), least recently used first."""
        return tuple((mm.name, page, entry_pfn(entry), bool(entry & RW))
                     for (mm, page), entry in self.entries.items())


def flush_rows(machine, mm, start: int, end: int, count: int) -> None:
    """As *count* flushes of parts of [start, end), one after the other; one event."""
    if mm.region is not None and count:
        mm.region.flush(start, end, count)
        return
    if not mm.cpus or not count:
        return
    flush_range(machine, mm, start, end)
    machine.count["flushes"] += count - 1
    machine.count["flush_targets"] += (count - 1) * len(mm.cpus)


def flush_range(machine, mm, start: int, end: int) -> None:
    """Every CPU that may hold translations of *mm* forgets [start, end) (flush_tlb_mm_range)."""
    if mm.region is not None:           # no CPU runs a host: its guests' CPUs remember it
        mm.region.flush(start, end)
        return
    if not mm.cpus or start >= end:
        return
    shift = machine.geometry.page_shift
    for cpu in mm.cpus:
        machine.tlbs[cpu].drop(mm, start >> shift, end >> shift)
    machine.count["flushes"] += 1
    machine.count["flush_targets"] += len(mm.cpus)
    machine.emit("flush", mm.name, end - start >> shift, len(mm.cpus))


def is_told(machine, mm) -> bool:
    """Does *mm* learn of a change to a table that it shares?  With Machine.flush_sharers off only
    the caller does, to show what that breaks; a host passes the question on to its guests."""
    caller = machine.current_task
    return machine.flush_sharers or mm.region is not None or caller is not None and mm is caller.mm


def flush_cpus(machine, mms: list, name: str, start: int, end: int, count: int = 1) -> None:
    """Every CPU of the machine forgets all that it holds of *mms*, *count* times
    (flush_tlb_all)."""
    shift = machine.geometry.page_shift
    for tlb in machine.tlbs:
        for mm in mms:
            tlb.drop(mm, 0, machine.geometry.task_size >> shift)
    machine.count["flushes"] += count
    machine.count["flush_targets"] += count * len(machine.tlbs)
    machine.emit("flush", name, end - start >> shift, len(machine.tlbs))
