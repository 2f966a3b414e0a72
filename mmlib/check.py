"""What must hold between two steps, whatever was called: `validate`.

A check that fails is a bug of the model, so it is an assert; it never repairs anything.
"""

from .checktables import check_tables
from .extents import is_link
from .geometry import GUARD, RW, D, P, entry_pfn
from .memory import ZERO_PFN
from .runs import Runs
from .tally import table_frames, tally


def validate(machine) -> None:
    """Raise AssertionError, with the place, if *machine* is in a state that must not be.

    >>> from mmlib import Machine, TINY
    >>> validate(Machine(TINY))
    """
    mms = machine.mms()
    check_targets(machine)
    for mm in mms:
        check_vmas(machine, mm)
        check_tables(machine, mm)
        users = sum(t.mm is mm for t in machine.tasks) or mm in machine.hosts
        assert mm.users == users, (mm.name, "mm_users")
    check_folios(machine, check_counts(machine, mms))
    check_files(machine, mms)
    check_tlbs(machine)


def check_targets(machine) -> None:
    """Every entry leads to a table or to a page that is there."""
    tables, memory = machine.tables, machine.memory
    for table in tables.by_pfn.values():
        for index, entry in tables.own(table):
            there = tables.by_pfn.__contains__ if is_link(table.level, entry) else memory.holds
            assert entry == GUARD or there(entry_pfn(entry)), \
                (table, index, hex(entry), "leads nowhere")
        for run in tables.runs_of(table):
            check_run(machine, table, run)
    for lo, hi, forest in tables.forests:
        check_run(machine, forest, tables.content(lo, hi, forest))


def check_run(machine, where, run) -> None:
    """A run of entries leads to tables or to pages that are there."""
    if run.bits and run.step:
        unit = machine.geometry.bits * (run.level - 1)
        pfn, frames = run.pfn + (run.lo >> unit) * run.step, run.hi - run.lo
        kinds = machine.memory.kinds(pfn, frames)
        if not run.leaf:
            frames >>= unit
            kinds = machine.tables.forests.within(pfn, pfn + frames)
            kinds += [(t.pfn, t.pfn + 1, t) for t in machine.tables.objects(pfn, frames)]
        assert sum(hi - lo for lo, hi, _ in kinds) == frames, (where, run, "leads nowhere")


def check_vmas(machine, mm) -> None:
    """VMAs are whole pages, in order, apart, within the address space."""
    size, last = machine.geometry.page_size, 0
    for vma in mm.vmas:
        where = (mm.name, str(vma))
        assert vma.mm is mm, where
        assert last <= vma.start < vma.end <= machine.geometry.task_size, where
        assert vma.start % size == vma.end % size == 0, where
        last = vma.end


def check_counts(machine, mms) -> Runs:
    """Every table is pointed to as often as it says, and none is lost; how often each frame is
    mapped, an entry of a shared table counting once."""
    tables, roots = machine.tables, {mm.pgd for mm in mms}
    users, maps = tally(machine)
    for pfn, table in tables.by_pfn.items():
        assert table.users == (users.at(pfn) or 0), (table, table.users, users.at(pfn))
        assert table.users or table in roots or table.home, (table, "is lost")
        assert table.home is None or table.home[0].tables.get(table.home[1]) is table, table
        assert not machine.memory.holds(pfn), (table, "is a table and a page")
    for lo, hi, forest in tables.forests:
        counted = users.within(lo, hi)
        assert counted == ([(lo, hi, forest.users)] if forest.users else []), (forest, counted)
        assert forest.users or forest.home, (forest, "is lost")
        if forest.home:
            mapping, (kind, level, page) = forest.home
            number = page >> machine.geometry.bits * level
            assert mapping.forests[kind, level].within(number, number + hi - lo) == [
                (number, number + hi - lo, lo)], (forest, "is not in the file's cache")
    levels, ranges = table_frames(machine)
    assert [levels[n] for n in range(len(tables.counts))] == tables.counts, (levels, tables.counts)
    last = 0
    for lo, hi in sorted(ranges):
        assert last <= lo and not machine.memory.extents.within(lo, hi), (lo, hi, "used twice")
        last = hi
    return maps


def check_folios(machine, maps: Runs) -> None:
    """Every page is mapped as often as it says; an exclusive page once; none is lost."""
    memory, pool, small, huge = machine.memory, machine.huge_pages, 0, 0
    rows = [(lo, hi, pages) for lo, hi, pages in memory.extents]
    rows += [(pfn, pfn + 1, folio) for pfn, folio in memory.folios.items()]
    for lo, hi, pages in rows:
        counted = maps.within(lo, hi)
        assert counted == ([(lo, hi, pages.mapcount)] if pages.mapcount else []), \
            (lo, pages.mapcount, counted)
        assert pages.mapcount or pages.mapping, (lo, "is lost")
        assert not pages.exclusive or pages.anon and pages.mapcount == 1, (lo, "exclusive")
        if pages.pool is None:
            small += hi - lo
        else:
            huge += max((hi - lo) // pool.frames, 1)
    zero = memory.zero.mapcount, maps.at(ZERO_PFN) or 0, memory.zero.data
    assert zero[0] == zero[1] and zero[2] is None, ("the zero page", *zero)
    assert huge + pool.free == pool.total and pool.reserved <= pool.free, (huge, pool.free)
    assert promises(machine) == pool.reserved, ("huge pages reserved", pool.reserved)
    small += sum(machine.tables.counts)
    assert memory.used == small + pool.total * pool.frames, (memory.used, "frames in use", small)
    assert memory.frames is None or memory.used <= memory.frames, (memory.used, "frames in use")


def check_files(machine, mms) -> None:
    """A file knows exactly the VMAs that map it; its cached pages are its own."""
    mapped = {}
    for vma in (v for mm in mms for v in mm.vmas if v.file):
        mapped.setdefault(vma.file.inode, []).append(vma)
    inodes = list(mapped) + [f.inode for f in machine.files if not f.closed]
    inodes += [inode for fs in machine.mounts.values() for inode in fs.files()]
    for inode in {i: None for i in inodes}:
        mapping = inode.mapping
        assert set(mapping.i_mmap) == set(mapped.get(inode, ())), (inode.name, "i_mmap")
        opens = sum(f.inode is inode and not f.closed for f in machine.files)
        assert inode.opens == opens + len(mapping.i_mmap), (inode.name, inode.opens)
        for index, folio in mapping.pages.items():
            assert index % mapping.step == 0, (inode.name, index)
            assert folio.mapping is mapping and folio.index == index, (inode.name, index)
            assert machine.memory.folios.get(folio.pfn) is folio, (inode.name, index)
        for lo, hi, pfn in mapping.extents:
            rows = machine.memory.extents.within(pfn, pfn + hi - lo)
            assert sum(b - a for a, b, _ in rows) == hi - lo, (inode.name, lo)
            assert all(pages.mapping is mapping and pages.index == lo + first - pfn
                       for first, _, pages in rows), (inode.name, lo)


def promises(machine) -> int:
    """The huge pages that files and private mappings were promised, each holder once."""
    vmas = [vma for mm in machine.mms() for vma in mm.vmas]
    inodes = {file.inode: None for file in machine.files} | {
        vma.file.inode: None for vma in vmas if vma.file}
    holders = [vma.promised for vma in vmas] + [inode.promised for inode in inodes if inode.huge]
    return sum(len(held) for held in {id(held): held for held in holders if held}.values())


def check_tlbs(machine) -> None:
    """No CPU remembers a translation that the tables no longer allow."""
    shift = machine.geometry.page_shift
    living = {task.mm for task in machine.tasks}
    for cpu, tlb in enumerate(machine.tlbs):
        for (mm, page), cached in tlb.entries.items():
            where = (f"CPU {cpu}", mm.name, hex(page << shift), hex(cached))
            assert mm in living and cpu in mm.cpus, where
            entry = machine.tables.entry_at(mm.pgd, page << shift)
            assert entry & P and entry_pfn(entry) == entry_pfn(cached), where
            assert not cached & RW or entry & RW, where
            assert not cached & D or entry & D, where
