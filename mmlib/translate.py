"""Many addresses translated at once, by numpy: what as many walks would find, at the price of a
few array operations.  It changes nothing: no fault, no TLB, no Accessed bit.
"""

from typing import NamedTuple

import numpy

from .extents import Run, is_link
from .geometry import PFN_MASK, PFN_SHIFT, P, entry_pfn
from .tables import Ptdesc

GAP = 1 << 16                       # regions; what lies closer together is one area
CHUNK = 1 << 15                     # addresses at a time: what is between stays in a CPU's cache
NOWHERE = -1 << 62                  # of an empty entry; stays negative when an offset is added


def translate(machine, mm, addresses) -> numpy.ndarray:
    """Physical addresses (int64) of an array of addresses, -1 where the MMU would fault.

    Raises TypeError for what are no integers."""
    virtual = numpy.asarray(addresses)
    if not virtual.size:                # numpy's own choice for an empty list is float64
        return numpy.empty(virtual.shape, numpy.int64)
    if virtual.dtype.kind not in "iu":
        raise TypeError(f"addresses are integers, not {virtual.dtype}")
    flat = virtual.ravel().astype(numpy.int64)  # beyond 2^63 they are negative: nothing is there
    lookup = Lookup(machine, mm, max(int(flat.min()), 0), int(flat.max()) + 1)
    out = numpy.empty_like(flat)
    for first in range(0, flat.size, CHUNK):
        out[first:first + CHUNK] = lookup.find(flat[first:first + CHUNK])
    return out.reshape(virtual.shape)


class Row(NamedTuple):
    """Pages first <= page < last in a row; page *first* is in frame *pfn*, the next *step* on."""

    first: int
    last: int
    pfn: int
    step: int                           # 1, or 0: all are the zero page


class Lookup:
    """Where the pages of *mm* in [start, end) are.

    A region is what one PTE table maps.  A page begins at ``rows[row[region], number of the page
    within the region] + offset[region]`` in physical memory, so that only a region whose pages
    are in no row needs a row of its own.
    """

    EMPTY, ASCENDING, SAME = range(3)       # rows that every machine has

    def __init__(self, machine, mm, start: int, end: int):
        self.bits, self.shift = machine.geometry.bits, machine.geometry.page_shift
        within = numpy.arange(1 << self.bits, dtype=numpy.int64) << self.shift
        self.rows = [numpy.full_like(within, NOWHERE), within, numpy.zeros_like(within)]
        rows, tables = [], []
        for base, part in machine.tables.parts(mm.pgd, start, end) if start < end else ():
            if isinstance(part, Ptdesc) and part.level == 1:
                tables.append((base >> self.shift + self.bits,
                               machine.tables.digest(part, self.bytes_of)))
            else:
                rows += self.rows_of(machine.tables, base, part)
        self.lay_out([(row.first >> self.bits, row.last - 1 >> self.bits) for row in rows]
                     + [(region, region) for region, _ in tables])
        self.row[self.places(numpy.array([region for region, _ in tables], numpy.int64))] = \
            len(self.rows) + numpy.arange(len(tables))
        self.rows += [row for _, row in tables]
        for row in rows:
            self.put(row)
        self.memory = numpy.concatenate(self.rows)
        self.row <<= self.bits              # where a row begins in memory

    def rows_of(self, tables, base: int, part: Ptdesc | Run) -> list[Row]:
        """The rows of a run, and those of the huge pages in a table."""
        page0 = base >> self.shift
        if isinstance(part, Run):
            if not part.bits & P:
                return []
            unit = self.bits * (part.level - 1)
            first = part.pfn + (part.lo >> unit) * part.step + part.lo % (1 << unit)
            return [Row(page0 + part.lo, page0 + part.hi, first, part.step and 1)]
        size = 1 << self.bits * (part.level - 1)
        return [Row(page0 + index * size, page0 + (index + 1) * size, entry_pfn(entry), 1)
                for index, entry in tables.own(part)
                if entry & P and not is_link(part.level, entry)]

    def lay_out(self, spans: list[tuple[int, int]]) -> None:
        """Give each region in *spans* (first, last) a place: 1 and more; the places beyond both
        ends of an area are those of nothing."""
        areas: list[list[int]] = []
        for first, last in sorted(spans):
            if areas and first - areas[-1][1] < GAP:
                areas[-1][1] = max(areas[-1][1], last)
            else:
                areas.append([first, last])
        begin, end = numpy.array(areas or [[0, -1]], numpy.int64).T
        self.begin, length = begin, end + 1 - begin
        self.place = numpy.cumsum(length + 1) - length
        self.beyond = self.place + length
        self.row = numpy.full(self.beyond[-1] + 1, self.EMPTY, numpy.int64)
        self.offset = numpy.zeros_like(self.row)

    def places(self, regions: numpy.ndarray) -> numpy.ndarray:
        """The places of *regions*."""
        area = 0 if len(self.begin) == 1 else \
            numpy.maximum(numpy.searchsorted(self.begin, regions, "right") - 1, 0)
        at = regions - (self.begin - self.place)[area]
        return at.clip(self.place[area] - 1, self.beyond[area], out=at)

    def put(self, row: Row) -> None:
        """Whole regions need no row; a first and a last one may."""
        size = 1 << self.bits
        first, last = -(-row.first // size), row.last // size
        if first < last:
            at, count = int(self.places(numpy.array([first]))[0]), last - first
            self.row[at:at + count] = self.ASCENDING if row.step else self.SAME
            pfn = row.pfn + (first * size - row.first) * row.step
            self.offset[at:at + count] = pfn + numpy.arange(count) * size * row.step << self.shift
        for lo, hi in {(row.first, min(first * size, row.last)),
                       (max(last * size, row.first), row.last)}:
            if lo < hi:
                pfn = row.pfn + (lo - row.first) * row.step
                self.own(lo >> self.bits)[lo % size:lo % size + hi - lo] = \
                    pfn + numpy.arange(hi - lo) * row.step << self.shift

    def own(self, region: int) -> numpy.ndarray:
        """A row of one region alone, to write into."""
        at = int(self.places(numpy.array([region]))[0])
        self.rows.append(self.rows[self.row[at]].copy())
        self.row[at] = len(self.rows) - 1
        return self.rows[-1]

    def bytes_of(self, indices, entries) -> numpy.ndarray:
        """The row of the entries of a PTE table."""
        entry = numpy.fromiter(entries, numpy.uint64, len(entries))
        pfn = ((entry & numpy.uint64(PFN_MASK)) >> numpy.uint64(PFN_SHIFT)).astype(numpy.int64)
        row = self.rows[self.EMPTY].copy()
        row[numpy.fromiter(indices, numpy.int64, len(indices))] = \
            numpy.where(entry & numpy.uint64(P), pfn << self.shift, NOWHERE)
        return row

    def find(self, virtual: numpy.ndarray) -> numpy.ndarray:
        """Physical addresses, -1 where there is none."""
        page = virtual >> self.shift
        at = self.places(page >> self.bits)
        page &= (1 << self.bits) - 1
        page += self.row.take(at)
        out = self.memory.take(page)
        out += self.offset.take(at)
        out += virtual & (1 << self.shift) - 1
        return numpy.maximum(out, -1, out=out)
