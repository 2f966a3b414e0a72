"""Page tables that nobody looked at: implied by a run of pages, and counted.

A `Run` stands in a table for many entries, and for all tables below them.  A `Forest` is a row of
full tables that are alike and that others than their parents may reach: what a policy shares.
Both are cut as soon as one of their tables becomes different (`Tables.child`).
"""

from collections.abc import Iterable
from itertools import repeat
from typing import Any, NamedTuple

from .geometry import PFN_SHIFT, PRESENT, PS, P
from .runs import Runs


class Run(NamedTuple):
    """Pages lo <= page < hi, counted from the first page that the table maps.

    They are mapped by entries of level *level* with *bits*; the n-th such entry (0 is that of page
    0) holds frame ``pfn + n * step``.  Without bits the entries are empty and only the tables are
    there.  The tables between are implied: of the tables of level l the n-th is in frame
    ``tabs[l - level][0] + n``, and its birth is ``tabs[l - level][1] + n``; the entries that lead
    to them hold *link*.  *home* is (mapping, kind, the file's page of page 0) where the implied
    tables are the file's; *owner* is whose they are.
    """

    lo: int
    hi: int
    level: int
    pfn: int
    step: int
    bits: int
    link: int
    tabs: tuple[tuple[int, int], ...]
    owner: str
    home: Any = None

    @property
    def leaf(self) -> bool:
        """Does it map pages, and not tables?"""
        return self.level == 1 or bool(self.bits & PS) or not self.bits

    @property
    def present(self) -> bool:
        return bool(self.bits & PRESENT)

    def cut(self, lo: int, hi: int) -> "Run":
        """The part of it within lo <= page < hi."""
        return self._replace(lo=max(self.lo, lo), hi=min(self.hi, hi))

    def entry(self, n: int, level: int, bits: int) -> int:
        """The n-th entry of *level*, with *bits* index bits a level."""
        if level == self.level:
            return (self.pfn + n * self.step) << PFN_SHIFT | self.bits if self.bits else 0
        return self.tabs[level - 1 - self.level][0] + n << PFN_SHIFT | self.link

    def entries(self, first: int, last: int, level: int, bits: int) -> Iterable[int]:
        """Those of first <= n < last, if they are not empty."""
        if level == self.level and not self.bits:
            return ()
        step = (self.step if level == self.level else 1) << PFN_SHIFT
        entry = self.entry(first, level, bits)
        return range(entry, entry + (last - first) * step, step) if step else repeat(entry)

    def moved(self, pages: int, level: int, bits: int) -> "Run":
        """The same, seen from a table of *level* whose page 0 is page *pages* of this one."""
        home = self.home and (*self.home[:2], self.home[2] + pages)
        tabs = tuple((pfn + (pages >> bits * lv), birth + (pages >> bits * lv))
                     for lv, (pfn, birth) in enumerate(self.tabs[:max(level - self.level, 0)],
                                                       self.level))
        return self._replace(
            lo=self.lo - pages, hi=self.hi - pages, tabs=tabs, home=home,
            pfn=self.pfn + (pages >> bits * (self.level - 1)) * self.step)

    def tables(self, bits: int) -> list[tuple[int, int, int]]:
        """(level, first, last) of the implied tables, by number."""
        return self.spans(self.level + len(self.tabs), bits)

    def spans(self, top: int, bits: int) -> list[tuple[int, int, int]]:
        """The same of those that it needs below a table of level *top*."""
        lo, hi = self.lo, self.hi - 1
        return [(lv, lo >> bits * lv, (hi >> bits * lv) + 1) for lv in range(self.level, top)]

    def billed(self, top: int, bits: int) -> int:
        """How many of those VmPTE counts: PTE, PMD and PUD tables (MM.count_table)."""
        return sum(last - first for level, first, last in self.spans(min(top, 4), bits))


class Forest(NamedTuple):
    """Full tables of *level* in a row, each with *users* entries that point to it.

    *run* is what they map, counted from the first page of the first of them.  *span* is the
    pages of one table, *bits* the index bits a level."""

    level: int
    birth: int
    users: int
    published: bool
    run: Run
    bits: int

    @property
    def lent(self) -> bool:
        """As of a `Ptdesc`: guests of msharefs link tables that are objects."""
        return False

    @property
    def home(self):
        """As of a `Ptdesc`: None, or where the first of them is kept."""
        home = self.run.home
        return home and (home[0], (home[1], self.level, home[2]))

    def after(self, n: int) -> "Forest":
        """The same, from the n-th table on; its run is not cut to an end."""
        pages = n << self.bits * self.level
        run = self.run
        moved = run.moved(pages, self.level, self.bits)
        return self._replace(birth=self.birth + n, run=moved._replace(lo=0, hi=0))


def forests() -> Runs:
    """Forests by the frames of their tables."""
    return Runs(Forest.after)


def is_link(level: int, entry: int) -> bool:
    """Does the entry of a table of *level* point to a table?"""
    return level > 1 and bool(entry & P) and not entry & PS
