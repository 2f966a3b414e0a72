"""Who is billed for what: what the kernel would report of each process, beside the truth.

A page's mapcount and a table's VmPTE count entries; where one entry serves N processes they are
off by a factor of N, one downwards, the other upwards.
"""

from collections import Counter
from typing import NamedTuple

from .geometry import PRESENT, PS, entry_pfn
from .memory import ZERO_PFN
from .procfs import pss, rss
from .rows import Rows


class Bill(NamedTuple):
    """Bytes of one mm.  *true_pss* divides a page by the mms that reach it, *true_tables* a table
    by the mms that walk through it; both add up to what is really in use."""

    mm: str
    rss: int
    pss: int
    true_pss: int
    tables: int
    true_tables: int

    def __str__(self) -> str:
        name = self.mm[self.mm.rfind("/") + 1:]         # a host is named after its file
        return (f"{name:10} rss {self.rss:>10} pss {self.pss:>10} (true {self.true_pss:>10}) "
                f"tables {self.tables:>8} (true {self.true_tables:>8})")


def bill(machine) -> Rows:
    """A `Bill` for each mm of *machine*, its top-level table left out.

    >>> from mmlib import Machine, TINY
    >>> m = Machine(TINY); a = m.spawn("a"); bill(m)
    a          rss          0 pss          0 (true          0) tables        0 (true        0)
    """
    tables, size, limit = machine.tables, machine.geometry.page_size, machine.geometry.task_size
    mms = machine.mms()
    pages = {mm: Counter(entry_pfn(e) for *_, e in tables.leaves(mm.pgd, 0, limit)
                         if e & PRESENT and not e & PS and entry_pfn(e) != ZERO_PFN) for mm in mms}
    walked = {mm: {t.pfn for *_, t in tables.links(mm.pgd, 0, limit)} for mm in mms}
    page_users = Counter(pfn for mm in mms for pfn in pages[mm])
    table_users = Counter(pfn for mm in mms for pfn in walked[mm])
    out = []
    for mm in mms:
        out.append(Bill(mm.name, rss(machine, mm), pss(machine, mm),
                        sum((size << 12) // page_users[pfn] for pfn in pages[mm]) >> 12,
                        mm.nr_tables * size,
                        sum((size << 12) // table_users[pfn] for pfn in walked[mm]) >> 12))
    return Rows(out)
