"""Pages in a row, accessed at once; see bulk.py."""

from .extents import Run
from .folio import Pages
from .geometry import PFN_SHIFT, PS, RW, TABLE, A, D, P
from .lending import Lending
from .sharing import is_shared
from .sources import Sources
from .tlb import SIZE, flush_rows
from .vma import VMA, anon_vma_prepare


class Row(Sources, Lending):
    """Pages [addr, end) of *vma*, which are alike; *done* is up to where they were accessed."""

    def __init__(self, machine, task, vma: VMA, addr: int, end: int, write: bool, walk: bool,
                 lower: int):
        self.machine, self.task, self.vma, self.mm = machine, task, vma, vma.mm
        self.lower = lower                      # the task's own addresses are lower by that
        self.addr, self.end, self.write, self.walk = addr, end, write, walk
        self.done = addr
        self.tables, self.memory = machine.tables, machine.memory
        self.shift, self.bits = machine.geometry.page_shift, machine.geometry.bits
        self.used = A if walk else 0            # of entries that lead to tables

    @property
    def pages(self) -> int:
        return self.end - self.addr >> self.shift

    def page(self, addr: int, base: int) -> int:
        return addr - base >> self.shift

    # nothing is mapped ------------------------------------------------------------------------
    def absent(self, table, base: int, run: Run | None) -> None:
        """Fill empty entries: below *table*, or those of *run*, whose tables are there.  Tables
        that are no objects are filled as a whole: one that is cut forgets that it was in a row."""
        unit, level, span_of = 2 if self.vma.huge else 1, 0, self.machine.geometry.span
        if run is None:
            level = self.shared_level(table)
            if level is None or level and self.link(table, base, level):
                return
        elif run.level != unit or self.addr % span_of(unit):    # or the tables below are missing
            return
        found = self.source()
        kept = level and not self.vma.huge      # whole tables, which the file keeps
        whole = level if kept else unit if run else 0
        if found and whole and (rest := self.end % span_of(whole)):
            self.end -= rest
            found = self.source() if self.end > self.addr else None
        if found is None or not self.memory.room(2 * self.pages + 9):
            return
        faults, fill, bits = found
        frames = fill()
        if frames is None:
            return
        pfn, step = frames
        if run is not None:
            self.refill(pfn, step, bits)
        elif kept:
            self.publish(table, base, level, pfn, step, bits)
        else:
            new = self.run(table, base, unit, pfn, step, bits)
            self.mm.nr_tables += self.tables.grow(table, new)
        self.finish(faults, pfn, step, bits)

    def run(self, table, base: int, level: int, pfn: int, step: int, bits: int) -> Run:
        """A run for the row in *table*: its first entry of *level* holds *pfn*."""
        first = self.page(self.addr, base)
        return Run(first, self.page(self.end, base), level,
                   pfn - (first >> self.bits * (level - 1)) * step, step, bits,
                   TABLE | self.used, (), self.mm.name)

    def refill(self, pfn: int, step: int, bits: int) -> None:
        """Let the entries of the row, which are in runs, hold other frames."""
        for base, table, run in self.tables.runs(self.mm.pgd, self.addr, self.end):
            first = self.page(self.addr, base) >> self.bits * (run.level - 1)
            self.tables.replace(table, run, run._replace(
                pfn=pfn - first * step, step=step, bits=bits, link=run.link | self.used))

    # something is mapped ------------------------------------------------------------------------
    def present(self, table, base: int, run: Run) -> None:
        """Access pages that are mapped by tables of this mm alone."""
        if not self.allowed(run.bits):
            if self.write and run.bits & P and not self.vma.huge:
                self.write_protected(table, base, run)
            return
        if is_shared(table):
            return
        first = self.page(self.addr, base) >> self.bits * (run.level - 1)
        pfn, after = run.pfn + first * run.step, self.marked(run)
        if after != run:
            self.refill(pfn, run.step, after.bits)
        self.finish(0, pfn, run.step, after.bits)

    def write_protected(self, table, base: int, run: Run) -> None:
        """do_wp_page: take the page back, or copy it."""
        if self.vma.shared or is_shared(table) or self.mm.region:
            return
        old = run.pfn + self.page(self.addr, base) * run.step
        if run.step:
            count, pages = self.memory.alike(old, self.pages)
            self.end = self.addr + (count << self.shift)
            if pages is None:
                return
        if not self.memory.room(self.pages):
            return
        if run.step and pages.anon and (pages.exclusive or pages.mapcount == 1):
            for lo, hi, each in self.memory.extents.take(old, old + self.pages):
                self.memory.extents.add(lo, hi, each._replace(exclusive=True))
            pfn, bits = old, run.bits | RW | A | D
        else:
            pfn, bits = self.copy(old, run), self.vma.page_prot() | RW | A | D
        self.refill(pfn, 1, bits)
        self.finish(self.pages, pfn, 1, bits)

    def copy(self, old: int, run: Run) -> int:
        """Fresh pages instead of *old* ones, full of zeros like them; everybody is told."""
        anon_vma_prepare(self.vma)
        pfn, birth = self.memory.alloc_extent(self.pages)
        self.memory.extents.add(pfn, pfn + self.pages, Pages(birth, mapcount=1, exclusive=True))
        self.machine.count["copies"] += self.pages
        if run.step:
            self.memory.put_extent(old, self.pages)
        else:
            self.memory.zero.mapcount -= self.pages
        if self.walk:
            self.mm.cpus[self.task.cpu] = None
        flush_rows(self.machine, self.mm, self.addr, self.end, self.pages)
        return pfn

    # when it is done ------------------------------------------------------------------------------
    def finish(self, faults: int, pfn: int, step: int, bits: int) -> None:
        """Bill the faults, and leave in the TLB what the last accesses put there."""
        self.done = self.end
        self.task.minor_faults += faults
        if not self.walk:
            return
        task, pages = self.task, self.pages
        task.page_faults += faults
        self.machine.count["faults"] += faults
        task.mm.cpus[task.cpu] = None
        first = pages - SIZE if pages >= 2 * SIZE else 0
        if bits & PS:
            unit = self.bits
            entries = (pfn + (n >> unit) * step << PFN_SHIFT | bits for n in range(first, pages))
        elif step:
            entries = range(pfn + first << PFN_SHIFT | bits, pfn + pages << PFN_SHIFT | bits,
                            1 << PFN_SHIFT)
        else:
            entries = [pfn << PFN_SHIFT | bits] * (pages - first)
        self.machine.tlbs[task.cpu].row(
            task.mm, self.end - self.lower >> self.shift, pages, self.write, entries)
