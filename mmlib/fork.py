"""fork: what is copied, and what is left to faults."""

from .extents import Run
from .geometry import PRESENT, RW, TABLE, A, D, entry_pfn
from .mm import MM
from .rowwise import get_pages
from .tlb import flush_range
from .vma import VM_DONTCOPY, VM_LOCKED, VM_MAYBE_GUARD, VM_WIPEONFORK, VMA, AnonVma


def dup_mmap(machine, parent: MM, child: MM) -> None:
    """Give *child*, an empty mm, the VMAs of *parent* and the entries that it could not fault in
    again.  On OutOfMemory the child is left for the caller to take down."""
    child.share_tables = parent.share_tables
    for vma in list(parent.vmas):
        if vma.flags & VM_DONTCOPY:
            continue
        copy = vma.copy(mm=child, flags=vma.flags & ~VM_LOCKED, promised=None)
        if vma.flags & VM_WIPEONFORK:
            copy.anon_vma, copy.chain = None, ()
        elif vma.anon_vma:
            copy.anon_vma = AnonVma()
            copy.chain = (*vma.chain, copy.anon_vma)
        child.insert(copy)
    machine.emit("dup_mm", len(child.vmas))
    wrote = False
    try:
        for copy in child.vmas:
            if vma_needs_copy(copy):
                wrote = True
                copy_page_range(machine, parent, child, copy)
            else:
                machine.emit("skip_range", copy.start, copy.end)
    finally:
        if wrote and parent.vmas:
            flush_range(machine, parent, parent.vmas[0].start, parent.vmas[-1].end)


def vma_needs_copy(vma: VMA) -> bool:
    """Has *vma* ever had a private page, or a guard region?  All else a fault can fill in again."""
    return vma.anon_vma is not None or \
        vma.flags & (VM_MAYBE_GUARD | VM_WIPEONFORK) == VM_MAYBE_GUARD


def copy_page_range(machine, parent: MM, child: MM, vma: VMA) -> None:
    """Copy the parent's tables and present entries that meet *vma*, even an empty table.

    A private page may then be stored to by neither: the next store copies it or, if the other is
    gone, takes it back (copy_present_ptes)."""
    tables, copied = machine.tables, 0
    made = {parent.pgd: child.pgd}
    at_once = machine.memory.frames is None             # else memory may end half-way
    found = tables.runs(parent.pgd, vma.start, vma.end) if at_once else []
    if not all(run.leaf for *_, run in found):          # shared tables, and a guard region beyond
        at_once, found = False, []
    links = list(tables.links(parent.pgd, vma.start, vma.end, runs=not at_once))
    for addr, above, index, table in above_pmds(links) if vma.huge else links:
        new = tables.child(made[above], index)
        if new is None:
            name = machine.geometry.level_name(table.level)
            new = tables.alloc(table.level, child.name)
            tables.link(made[above], index, new)
            child.count_table(new, +1)
            machine.emit("table", name, new.pfn, child.name)
        made[table] = new
    for _, table, run in found:
        copied += copy_run(machine, child, table, made[table], run, vma.shared)
    for addr, table, index, entry in list(
            tables.leaves(parent.pgd, vma.start, vma.end, runs=not at_once)):
        if entry & RW and not vma.shared:       # pte_wrprotect
            entry &= ~RW
            tables.set(table, index, entry)
        if vma.shared:                          # the parent's entry tells that it is dirty
            entry &= ~D
        tables.set(made[table], index, entry & ~A)
        if entry & PRESENT:
            folio = machine.memory.folio(entry_pfn(entry))
            folio.exclusive = False
            folio.mapcount += 1
        copied += 1
    machine.emit("copy_range", vma.start, vma.end, copied)


def copy_run(machine, child: MM, source, target, run: Run, shared: bool) -> int:
    """Copy a run of entries from one table to another, and the tables below; how many entries."""
    tables, bits = machine.tables, run.bits
    if not shared:
        bits &= ~RW
        if bits != run.bits:
            tables.replace(source, run, run._replace(bits=bits))
    else:
        bits &= ~D
    copied = get_pages(machine, run, exclusive=False)
    child.nr_tables += tables.grow(target, run._replace(
        bits=bits & ~A, link=TABLE, tabs=(), owner=child.name))
    return copied


def above_pmds(links: list[tuple]) -> list[tuple]:
    """Those of *links*, which come from the top down, that lead to a PMD table: where a process
    has none, nothing is copied of huge pages (copy_hugetlb_page_range)."""
    kept, wanted = [], set()
    for link in reversed(links):
        _, above, _, table = link
        if table.level == 2 or table in wanted:
            kept.append(link)
            wanted.add(above)
    return kept[::-1]
