"""What must hold between two steps, whatever was called: `validate`.

A check that fails is a bug of the model, so it is an assert; it never repairs anything.
"""

from collections import Counter

from .geometry import GUARD, NX, PROTNONE, PS, RW, US, D, P, entry_pfn
from .memory import ZERO_PFN
from .sharing import cache_key, is_shared, shareable
from .vma import VM_ACCESS_FLAGS, VM_EXEC, VM_WRITE


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
    tables, pages = machine.tables.by_pfn, {ZERO_PFN, *machine.memory.folios}
    for table in tables.values():
        for index, entry in machine.tables.present(table):
            there = pages if table.level == 1 or entry & PS else tables
            assert entry == GUARD or entry_pfn(entry) in there, \
                (table, index, hex(entry), "leads nowhere")


def check_vmas(machine, mm) -> None:
    """VMAs are whole pages, in order, apart, within the address space."""
    size, last = machine.geometry.page_size, 0
    for vma in mm.vmas:
        where = (mm.name, str(vma))
        assert vma.mm is mm, where
        assert last <= vma.start < vma.end <= machine.geometry.task_size, where
        assert vma.start % size == vma.end % size == 0, where
        last = vma.end


def check_tables(machine, mm) -> None:
    """Every table has a VMA in its span, a cached one the right VMA; entries obey their VMA."""
    tables, limit, own = machine.tables, machine.geometry.task_size, 0
    for addr, parent, index, table in tables.links(mm.pgd, 0, limit):
        where = (mm.name, hex(addr), table)
        assert table.level == parent.level - 1, where
        if mm.is_guest(addr) and table.level <= mm.find_vma(addr).file.inode.region.level:
            check_link(machine, mm, addr, table)
            continue
        assert tables.get(parent, index) & (P | RW | US | PS | NX) == P | RW | US, where
        assert mm.vmas_in(addr, addr + machine.geometry.span(table.level)), where
        assert parent.home is None or table.home is not None, (where, "private below a shared one")
        assert mm.region or not table.lent, (where, "a region's, and no guest")
        if is_shared(table):
            vma = mm.find_vma(addr)
            assert vma is not None and shareable(vma, addr, table.level), where
        if table.home is not None:
            mapping, key = table.home
            assert vma.file.inode.mapping is mapping, where
            assert cache_key(vma, addr, table.level) == key, where
        own += parent.home is None and table.level <= 3
    assert own == mm.nr_tables, (mm.name, own, mm.nr_tables)
    for addr, _, _, entry in tables.leaves(mm.pgd, 0, limit):
        if entry != GUARD and not mm.is_guest(addr):
            check_entry(machine, mm, addr, entry)


def check_link(machine, mm, addr: int, table) -> None:
    """What a guest reaches within a region is what the host has there."""
    vma = mm.find_vma(addr)
    region = vma.file.inode.region
    assert region.host in machine.hosts, (mm.name, hex(addr), "links a region that is gone")
    there = machine.tables.table_at(region.host.pgd, region.host_addr(vma, addr), table.level)
    assert there is table, (mm.name, hex(addr), table, there)


def check_entry(machine, mm, addr: int, entry: int) -> None:
    """The entry maps the right page, and never allows more than the VMA does."""
    vma, where = mm.find_vma(addr), (mm.name, hex(addr), hex(entry))
    assert vma is not None, where
    folio, mapping = machine.memory.folio(entry_pfn(entry)), vma.file and vma.file.inode.mapping
    accessible = bool(vma.flags & VM_ACCESS_FLAGS)
    assert bool(entry & P) == accessible and bool(entry & PROTNONE) != accessible, where
    assert bool(entry & NX) != bool(vma.flags & VM_EXEC), where
    assert not entry & RW or vma.flags & VM_WRITE, where
    if vma.shared or folio.mapping is not None:
        assert folio.mapping is mapping and folio.index == vma.index(addr), where
        assert mapping.pages.get(folio.index) is folio and folio.index < mapping.page_count, where
    if not vma.shared:
        assert not entry & RW or folio.exclusive, where
        assert folio.mapping is None or not entry & D, where


def check_counts(machine, mms) -> Counter:
    """Every table is pointed to as often as it says, and none is lost; how often each frame is
    mapped, an entry of a shared table counting once."""
    users, maps, roots = Counter(), Counter(), {mm.pgd for mm in mms}
    for table in machine.tables.by_pfn.values():
        for index, entry in machine.tables.present(table):
            if machine.tables.child(table, index) is not None:
                users[entry_pfn(entry)] += 1
            elif entry != GUARD:
                maps[entry_pfn(entry)] += 1
    for pfn, table in machine.tables.by_pfn.items():
        assert table.users == users[pfn], (table, table.users, users[pfn])
        assert table.users or table in roots or table.home, (table, "is lost")
        assert table.home is None or table.home[0].tables.get(table.home[1]) is table, table
        assert pfn not in machine.memory.folios, (table, "is a table and a page")
    return maps


def check_folios(machine, maps: Counter) -> None:
    """Every page is mapped as often as it says; an exclusive page once; none is lost."""
    memory = machine.memory
    for pfn, folio in memory.folios.items():
        assert folio.mapcount == maps[pfn], (pfn, folio.mapcount, maps[pfn])
        assert folio.mapcount or folio.mapping, (pfn, "is lost")
        assert not folio.exclusive or folio.anon and folio.mapcount == 1, (pfn, "exclusive")
    zero = memory.zero.mapcount, maps[ZERO_PFN], memory.zero.data
    assert zero[0] == zero[1] and zero[2] is None, ("the zero page", *zero)
    pool = machine.huge_pages
    huge = sum(folio.pool is not None for folio in memory.folios.values())
    assert huge + pool.free == pool.total and pool.reserved <= pool.free, (huge, pool.free)
    small = len(memory.folios) - huge + len(machine.tables.by_pfn)
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


def check_tlbs(machine) -> None:
    """No CPU remembers a translation that the tables no longer allow."""
    shift = machine.geometry.page_shift
    living = {task.mm for task in machine.tasks}
    for cpu, tlb in enumerate(machine.tlbs):
        for (mm, page), cached in tlb.entries.items():
            where = (f"CPU {cpu}", mm.name, hex(page << shift), hex(cached))
            assert mm in living and cpu in mm.cpus, where
            entry = machine.tables.lookup(mm.pgd, page << shift)[2]
            assert entry & P and entry_pfn(entry) == entry_pfn(cached), where
            assert not cached & RW or entry & RW, where
            assert not cached & D or entry & D, where
