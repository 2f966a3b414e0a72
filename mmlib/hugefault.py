"""A page fault in a hugetlb mapping: the leaf is a PMD entry, the page comes from the pool.

The names are those of mm/hugetlb.c.  The PMD table itself comes from `fault.get_table`, like any
other table: that is where it may turn out to be another mapper's.
"""

from .geometry import PFN_SHIFT, PS, RW, A, D, entry_pfn
from .hugetlb import NoHugePage
from .memory import Folio
from .tables import Ptdesc
from .tlb import flush_range
from .unmap import zap_page_range
from .vma import VM_MAYSHARE, VMA, anon_vma_prepare


def hugetlb_fault(machine, mm, vma: VMA, addr: int, write: bool, pmd: Ptdesc) -> None:
    """Fill the PMD entry of *addr* in *pmd*, or make it writable.

    Raises PastEnd beyond the end of the file, NoHugePage where the pool has none to give."""
    addr -= addr % machine.geometry.huge_size
    entry = machine.tables.get(pmd, machine.geometry.index(addr, 2))
    if not entry:
        hugetlb_no_page(machine, mm, vma, addr, write, pmd)
    elif write and not entry & RW:
        hugetlb_wp(machine, mm, vma, addr, pmd, entry)
    else:
        machine.emit("spurious", addr)


def hugetlb_no_page(machine, mm, vma: VMA, addr: int, write: bool, pmd: Ptdesc) -> None:
    """Nothing is mapped here yet: the file's page, or a fresh one of the process's own."""
    inode, index = vma.file.inode, vma.index(addr)
    folio = inode.mapping.find(index)
    if folio is not None:
        machine.emit("cache_hit", inode.name, index, folio.pfn)
    elif vma.flags & VM_MAYSHARE:
        folio = inode.get(index)
        machine.count["cache_fills"] += 1
        machine.emit("cache_fill", inode.name, index, folio.pfn)
    else:
        anon_vma_prepare(vma)
        folio = inode.pool.alloc(vma.promised, index)
        folio.exclusive = True
        machine.count["zero_fills"] += 1
        machine.emit("anon", addr, folio.pfn)
    folio.mapcount += 1
    set_huge_pte(machine, vma, addr, pmd, folio, D if write and vma.shared else 0)
    if write and not vma.shared:        # copy on write without a second fault
        entry = machine.tables.get(pmd, machine.geometry.index(addr, 2))
        hugetlb_wp(machine, mm, vma, addr, pmd, entry)


def hugetlb_wp(machine, mm, vma: VMA, addr: int, pmd: Ptdesc, entry: int) -> None:
    """A store through a read-only entry: make it writable, reuse the page, or copy it."""
    old, span = machine.memory.folio(entry_pfn(entry)), machine.geometry.huge_size
    if vma.shared:
        machine.emit("make_writable", addr, old.pfn)
        new = old
    elif old.anon and old.mapcount == 1:
        machine.emit("reuse", addr, old.pfn)
        new, new.exclusive = old, True
    else:
        anon_vma_prepare(vma)
        new = copy_for(machine, vma, addr, old)
    if new is not old:
        new.mapcount += 1
    set_huge_pte(machine, vma, addr, pmd, new, RW | D)
    if new is not old:
        flush_range(machine, mm, addr, addr + span)
        if machine.memory.put_folio(old):
            machine.emit("free_page", old.pfn)


def copy_for(machine, vma: VMA, addr: int, old: Folio) -> Folio:
    """A private copy of *old*.  If the pool is empty and *vma* is the owner of the reservation,
    those it shares the page with after fork lose it, and the page itself is returned
    (unmap_ref_private); raises NoHugePage for anybody else."""
    inode, index = vma.file.inode, vma.index(addr)
    try:
        new = inode.pool.alloc(vma.promised, index)
    except NoHugePage:
        if vma.promised is None or not old.anon:
            raise
        size, span = machine.geometry.page_size, machine.geometry.huge_size
        for other in list(inode.mapping.i_mmap):
            there = other.start + (index - other.pgoff) * size
            if other is not vma and other.start <= there < other.end:
                zap_page_range(machine, other.mm, there, there + span, lambda f: f is not old)
        old.exclusive = True
        return old
    machine.memory.copy(old, new)
    new.exclusive = True
    machine.count["copies"] += 1
    machine.emit("copy", addr, old.pfn, new.pfn)
    return new


def set_huge_pte(machine, vma: VMA, addr: int, pmd: Ptdesc, folio: Folio, bits: int) -> None:
    index = machine.geometry.index(addr, 2)
    entry = folio.pfn << PFN_SHIFT | vma.page_prot() | PS | A | bits
    machine.tables.set(pmd, index, entry)
    machine.emit("fill", pmd.pfn, index, entry)
