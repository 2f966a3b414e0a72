"""What must hold in the page tables of one mm; a part of `check.validate`."""

from .geometry import GUARD, NX, PROTNONE, PS, RW, US, D, P, entry_pfn
from .memory import ZERO_PFN
from .sharing import cache_key, is_shared, shareable
from .vma import VM_ACCESS_FLAGS, VM_EXEC, VM_MAYBE_GUARD, VM_WRITE


def check_tables(machine, mm) -> None:
    """Every table has a VMA in its span, a cached one the right VMA; entries obey their VMA."""
    tables, limit, own = machine.tables, machine.geometry.task_size, 0
    for addr, parent, index, table in tables.links(mm.pgd, 0, limit, runs=False):
        where = (mm.name, hex(addr), table)
        assert table.level == parent.level - 1, where
        if mm.is_guest(addr) and table.level <= mm.find_vma(addr).file.inode.region.level:
            check_link(machine, mm, addr, table)
            continue
        assert tables.get(parent, index) & (P | RW | US | PS | NX) == P | RW | US, where
        assert mm.mapped(addr, addr + machine.geometry.span(table.level)), where
        assert parent.home is None or table.home is not None, (where, "private below a shared one")
        assert mm.region or not table.lent, (where, "a region's, and no guest")
        if is_shared(table):
            check_shared(machine, mm, addr, addr + machine.geometry.span(table.level), table)
        own += parent.home is None and table.level <= 3
    for base, table, run in tables.runs(mm.pgd, 0, limit, cut=False):
        if not mm.is_guest(base + (run.lo << tables.shift)):
            own += check_implied(machine, mm, base, table, run)
    assert own == mm.nr_tables, (mm.name, own, mm.nr_tables)
    for span in tables.spans(mm.pgd, 0, limit):
        if not mm.is_guest(span[0]):
            check_span(machine, mm, *span)


def check_link(machine, mm, addr: int, table) -> None:
    """What a guest reaches within a region is what the host has there."""
    vma = mm.find_vma(addr)
    region = vma.file.inode.region
    assert region.host in machine.hosts, (mm.name, hex(addr), "links a region that is gone")
    there = machine.tables.table_at(region.host.pgd, region.host_addr(vma, addr), table.level)
    assert there is table, (mm.name, hex(addr), table, there)


def check_shared(machine, mm, start: int, end: int, table, later: int = 0) -> None:
    """Tables that map [start, end), *later* pages into what *table* tells, are shared with a VMA
    that may."""
    vma, where = mm.find_vma(start), (mm.name, hex(start), table)
    assert vma is not None and end <= vma.end, where
    before = vma.copy(flags=vma.flags & ~VM_MAYBE_GUARD)    # a merge may have brought that later
    assert shareable(before, start, table.level), where
    if table.home is not None:
        mapping, key = table.home
        assert vma.file.inode.mapping is mapping, where
        assert cache_key(vma, start, table.level) == (*key[:2], key[2] + later), where


def check_implied(machine, mm, base: int, table, run) -> int:
    """The tables that *run* implies, and those that it leads to, as above; how many the mm has to
    pay for."""
    tables, geometry = machine.tables, machine.geometry
    start, end = base + (run.lo << tables.shift), base + (run.hi << tables.shift)
    for level, _, _ in run.spans(table.level, geometry.bits):
        span = geometry.span(level)
        first, last = start // span, -(-end // span)
        vmas = mm.vmas_in(first * span, last * span)
        gaps = [first * span, *(edge for v in vmas for edge in (v.start, v.end)), last * span]
        for low, high in zip(gaps[::2], gaps[1::2]):
            assert -(-low // span) >= high // span, (mm.name, hex(low), run, "no VMA")
    own = 0 if table.home else run.billed(table.level, geometry.bits)
    if not run.leaf:
        unit, span = geometry.bits * (run.level - 1), geometry.span(run.level - 1)
        pfn, count = run.pfn + (run.lo >> unit), run.hi - run.lo >> unit
        for lo, hi, forest in tables.forests.within(pfn, pfn + count):
            if forest.users > 1 or forest.home:
                at, end = start + (lo - pfn) * span, start + (hi - pfn) * span
                for vma in mm.vmas_in(at, end):     # whole tables in each, or they are no sharers
                    low, high = max(vma.start, at), min(vma.end, end)
                    assert low % span == high % span == 0, (mm.name, hex(at), forest)
                    check_shared(machine, mm, low, high, forest, low - at >> tables.shift)
                assert sum(min(v.end, end) - max(v.start, at) for v in mm.vmas_in(at, end)) \
                    == end - at, (mm.name, hex(at), forest)
        own += count if table.home is None else 0
    return own


def check_span(machine, mm, addr: int, count: int, entry: int, step: int, level: int) -> None:
    """Each of a row of entries obeys the VMA in which it lies."""
    size, end = machine.geometry.entry_span(level), addr + count * machine.geometry.entry_span(level)
    if entry == GUARD:
        return
    vmas = mm.vmas_in(addr, end)
    assert sum(min(v.end, end) - max(v.start, addr) for v in vmas) == end - addr, \
        (mm.name, hex(addr), hex(entry), "no VMA")
    for vma in vmas:
        low, high = max(vma.start, addr), min(vma.end, end)
        pfn = entry_pfn(entry) + (low - addr) // size * step
        kinds = [(pfn, pfn, machine.memory.zero)] if not step and entry_pfn(entry) == ZERO_PFN \
            else machine.memory.kinds(pfn, max(high - low, size) >> machine.geometry.page_shift)
        for lo, hi, pages in kinds:
            check_entry(machine, mm, low + (lo - pfn << machine.geometry.page_shift), vma,
                        entry, (lo, hi, pages))


def check_entry(machine, mm, addr: int, vma, entry: int, found: tuple) -> None:
    """The entry at *addr* maps the right page, and never allows more than the VMA does; likewise
    the others of its row.  *found* is (first frame, end, what is known of the pages)."""
    where, (pfn, end, pages) = (mm.name, hex(addr), hex(entry)), found
    mapping, accessible = vma.file and vma.file.inode.mapping, bool(vma.flags & VM_ACCESS_FLAGS)
    assert bool(entry & P) == accessible and bool(entry & PROTNONE) != accessible, where
    assert bool(entry & NX) != bool(vma.flags & VM_EXEC), where
    assert not entry & RW or vma.flags & VM_WRITE, where
    if vma.shared or pages.mapping is not None:
        assert pages.mapping is mapping and pages.index == vma.index(addr), where
        last = pages.index if pfn == end else pages.index + end - pfn - mapping.step
        assert mapping.frame(pages.index) == pfn and last < mapping.page_count, where
    if not vma.shared:
        assert not entry & RW or pages.exclusive, where
        assert pages.mapping is None or not entry & D, where
