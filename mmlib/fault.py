"""A page fault, from the top down: the VMA says *may*, the page table says *does*.

    page_fault        the MMU gave up: ask the kernel
    find_shared_vma   which mm answers, if a region of msharefs is mapped there
    handle_mm_fault   walk down, asking get_table for what is missing, then fill the entry
    get_table         where a missing page table comes from
    do_...            what the entry is filled with

The functions have the names of those in Linux's mm/memory.c that they mirror, and its order of
doing things, which decides what a failed fault leaves behind.
"""

from .geometry import PFN_SHIFT, PRESENT, RW, A, D, entry_pfn
from .hugefault import hugetlb_fault
from .hugetlb import NoHugePage
from .memory import ZERO_PFN, Folio
from .signals import BusError, FaultSigsegv, Guarded, PastEnd, Segfault
from .tables import Ptdesc
from .tlb import flush_range
from .vma import VM_ACCESS_FLAGS, VM_SHARED_PT, VM_WRITE, VMA, anon_vma_prepare


def page_fault(machine, task, addr: int, write: bool) -> None:
    """Handle the exception that the MMU raised for *task* at *addr* (do_user_addr_fault).

    Raises Segfault or BusError, or OutOfMemory; only a handled fault counts as minor fault."""
    access = "store" if write else "load"
    task.page_faults += 1
    machine.count["faults"] += 1
    machine.emit("fault", addr, access)
    vma = task.mm.find_vma(addr)
    machine.emit("find_vma", addr, vma or "there is none")
    if vma is None:
        raise Segfault(task, addr, access, "SEGV_MAPERR", f"{addr:#x} is not mapped")
    if not permits(vma, write) and asks_guest(vma):
        raise Segfault(task, addr, access, "SEGV_ACCERR",
                       f"{addr:#x} is mapped {vma.perms}, which forbids a {access}")
    try:
        account(machine, task, vma, addr, write)
    except FaultSigsegv as why:
        raise Segfault(task, addr, access, why.code, f"{addr:#x} {why.reason}") from None
    except PastEnd as why:
        raise BusError(task, addr, access, "BUS_ADRERR", f"{addr:#x} lies beyond the last page "
                       f"of {why}") from None
    except NoHugePage:
        raise BusError(task, addr, access, "BUS_ADRERR", f"no huge page is left for {addr:#x}, "
                       "and none was reserved") from None


def account(machine, task, vma: VMA, addr: int, write: bool) -> None:
    """Handle the fault and bill it to *task*, unless it fails: major if a disk was read, else
    minor (mm_account_fault).  A link to a region of msharefs is billed to nobody."""
    if vma.flags & VM_SHARED_PT:
        if vma.file.inode.region.link(vma, addr):
            return
        vma, addr = find_shared_vma(machine, vma.file.inode.region, vma, addr, write)
    machine.major = False
    try:
        handle_mm_fault(machine, vma.mm, vma, addr, write)
    finally:
        machine.locked_folio = None
    if machine.major:
        task.major_faults += 1
    else:
        task.minor_faults += 1


def asks_guest(vma: VMA) -> bool:
    """Does the protection of *vma* itself matter?  That of a guest may not (mshare2025.py)."""
    return not vma.flags & VM_SHARED_PT or vma.file.inode.region.guest_decides


def permits(vma: VMA, write: bool) -> bool:
    return bool(vma.flags & (VM_WRITE if write else VM_ACCESS_FLAGS))


def find_shared_vma(machine, region, guest: VMA, addr: int, write: bool) -> tuple[VMA, int]:
    """Which mm answers?  For a guest of msharefs it is the region's host: its VMA and its address.

    Raises FaultSigsegv where the host has nothing, or forbids the access."""
    host, addr = region.host, region.host_addr(guest, addr)
    machine.emit("host", host.name, addr)
    vma = host.find_vma(addr)
    if vma is None:
        raise FaultSigsegv("SEGV_MAPERR", f"is not mapped within {host.name}")
    if not permits(vma, write):
        raise FaultSigsegv("SEGV_ACCERR", f"is mapped {vma.perms} within {host.name}, which "
                           f"forbids a {'store' if write else 'load'}")
    return vma, addr


def handle_mm_fault(machine, mm, vma: VMA, addr: int, write: bool) -> None:
    """Fill the entry of *addr*, or make it writable.  Tables above the PTE table are made first
    and stay, even if the page then cannot be had (__handle_mm_fault)."""
    tables, geometry = machine.tables, machine.geometry
    table = mm.pgd
    for level in range(geometry.levels - 1, 1, -1):
        table = next_table(machine, mm, vma, addr, table, level)
    if vma.huge:
        if not vma.file.inode.mapping.find(vma.index(addr)):
            check_end(vma, addr)
        hugetlb_fault(machine, mm, vma, addr, write, table)
        return
    pte_table = next_table(machine, mm, vma, addr, table, 1, fresh=False)
    entry = tables.get(pte_table, geometry.index(addr, 1)) if pte_table else 0
    if entry and not entry & PRESENT:
        raise Guarded
    if entry and write and not entry & RW:
        do_wp_page(machine, mm, vma, addr, pte_table, entry)
    elif entry:
        machine.emit("spurious", addr)
    elif vma.file is None:
        do_anonymous_page(machine, mm, vma, addr, table, write)
    elif not write:
        do_read_fault(machine, mm, vma, addr, table)
    elif not vma.shared:
        do_cow_fault(machine, mm, vma, addr, table)
    else:
        do_shared_fault(machine, mm, vma, addr, table)


def next_table(machine, mm, vma: VMA, addr: int, table: Ptdesc, level: int,
               fresh: bool = True) -> Ptdesc | None:
    """The table of *level* below *table* on the way to *addr*, had from get_table if missing."""
    index = machine.geometry.index(addr, level + 1)
    child = machine.tables.child(table, index)
    if child is None:
        span = machine.geometry.span(level)
        child = get_table(machine, mm, vma, addr // span * span, level, table, fresh)
        if child is not None:
            machine.tables.link(table, index, child)
            if table.home is None:      # else the file has one more, not this mm
                mm.count_table(child, +1)
    return child


def get_table(machine, mm, vma: VMA, base: int, level: int, parent: Ptdesc,
              fresh: bool) -> Ptdesc | None:
    """The table of *level* for the range at *base*: a shared one if the policy has it, else a
    fresh one, or None without *fresh*.  The only place where table sharing is decided.

    What hangs below a shared table is shared with it.  Raises OutOfMemory."""
    policy, name = machine.sharing, machine.geometry.level_name(level)
    may_share = parent.home is not None or policy.may_share(vma, base, level)
    table = policy.find(vma, base, level) if may_share else None
    if table is not None:
        machine.emit("share", name, table.pfn, mm.name)
        return table
    if not fresh:
        return None
    table = machine.tables.alloc(level, mm.name)
    machine.emit("table", name, table.pfn, mm.name)
    if may_share:
        policy.publish(vma, base, table)
    return table


def set_pte(machine, vma, addr: int, table: Ptdesc, folio: Folio, bits: int) -> None:
    """Map *folio* at *addr* with the VMA's protection and *bits* (set_pte_at)."""
    index = machine.geometry.index(addr, 1)
    entry = folio.pfn << PFN_SHIFT | vma.page_prot() | A | bits
    machine.tables.set(table, index, entry)
    folio.mapcount += 1
    machine.emit("fill", table.pfn, index, entry)


def do_anonymous_page(machine, mm, vma, addr: int, pmd: Ptdesc, write: bool) -> None:
    """Memory without a file: zeros, and no frame of its own until the first store."""
    table = next_table(machine, mm, vma, addr, pmd, 1)
    if not write:
        machine.emit("zero_page", addr, ZERO_PFN)
        set_pte(machine, vma, addr, table, machine.memory.zero, 0)
        return
    anon_vma_prepare(vma)
    folio = machine.memory.alloc_folio()
    folio.exclusive = True
    machine.count["zero_fills"] += 1
    machine.emit("anon", addr, folio.pfn)
    set_pte(machine, vma, addr, table, folio, RW | D)


def do_read_fault(machine, mm, vma, addr: int, pmd: Ptdesc) -> None:
    """A load of a file page: cached pages around it are mapped as well, then the page itself."""
    if machine.fault_around > 1:
        do_fault_around(machine, mm, vma, addr, pmd)
        table = machine.tables.child(pmd, machine.geometry.index(addr, 2))
        if table and machine.tables.get(table, machine.geometry.index(addr, 1)):
            return
    folio = file_page(machine, vma, addr)
    set_pte(machine, vma, addr, next_table(machine, mm, vma, addr, pmd, 1), folio, 0)


def do_fault_around(machine, mm, vma, addr: int, pmd: Ptdesc) -> None:
    """Map the pages that are in the cache already, in a window of PTE indices that stays in the
    VMA and in the PTE table.  Holes of the file are not filled."""
    geometry, mapping = machine.geometry, vma.file.inode.mapping
    window, pte = machine.fault_around, geometry.index(addr, 1)
    into_vma = addr - vma.start >> geometry.page_shift
    vma_pages = vma.end - vma.start >> geometry.page_shift
    first = max(pte // window * window, pte - min(pte, into_vma))
    last = min(first + window, geometry.entries, pte + vma_pages - into_vma,
               pte + mapping.page_count - vma.index(addr))
    page0 = addr - (pte << geometry.page_shift)         # the address of PTE index 0
    pages = {i: vma.index(page0 + (i << geometry.page_shift)) for i in range(first, last)}
    if not any(map(mapping.ready, pages.values())):
        return
    table, mapped = next_table(machine, mm, vma, addr, pmd, 1), 0
    for i, n in pages.items():
        folio = mapping.ready(n)        # only now: for the table, pages may have been reclaimed
        if folio is None or machine.tables.get(table, i):
            continue
        at = page0 + (i << geometry.page_shift)
        if i == pte:
            machine.emit("cache_hit", mapping.name, folio.index, folio.pfn)
        else:
            mapped += 1
        set_pte(machine, vma, at, table, folio, 0)
    if mapped:
        machine.emit("fault_around", mapped)


def do_cow_fault(machine, mm, vma, addr: int, pmd: Ptdesc) -> None:
    """A store to a private mapping of a page that is not there: copy it at once.

    The new page is taken first, as in the kernel: a store beyond the end of the file still gives
    the VMA its anon_vma."""
    anon_vma_prepare(vma)
    new = machine.memory.alloc_folio()
    try:
        old = file_page(machine, vma, addr)
        table = next_table(machine, mm, vma, addr, pmd, 1)
    except BaseException:
        machine.memory.free_folio(new)
        raise
    machine.memory.copy(old, new)
    new.exclusive = True
    machine.count["copies"] += 1
    machine.emit("copy", addr, old.pfn, new.pfn)
    set_pte(machine, vma, addr, table, new, RW | D)


def do_shared_fault(machine, mm, vma, addr: int, pmd: Ptdesc) -> None:
    """A store to a shared mapping: the file's own page, writable."""
    folio = file_page(machine, vma, addr)
    folio.dirty = vma.notify            # page_mkwrite
    set_pte(machine, vma, addr, next_table(machine, mm, vma, addr, pmd, 1), folio, RW | D)


def do_wp_page(machine, mm, vma, addr: int, table: Ptdesc, entry: int) -> None:
    """A store through an entry that is present but read-only: copy on write, or not.

    The VMA allows stores, so the entry is read-only for a reason: the page is a file's, the zero
    page, or was shared by fork."""
    index, memory = machine.geometry.index(addr, 1), machine.memory
    old = memory.folio(entry_pfn(entry))
    if vma.shared:
        old.dirty = vma.notify          # page_mkwrite
        machine.emit("make_writable", addr, old.pfn)
    elif old.anon and (old.exclusive or old.mapcount == 1):
        old.exclusive = True
        machine.emit("reuse", addr, old.pfn)
    else:
        anon_vma_prepare(vma)
        new = memory.alloc_folio()
        if machine.tables.get(table, index) != entry:
            memory.free_folio(new)      # reclaim took the old page meanwhile: fault again
            return
        memory.copy(old, new)
        new.exclusive, new.mapcount = True, 1
        machine.count["copies"] += 1
        machine.emit("copy", addr, old.pfn, new.pfn)
        entry = new.pfn << PFN_SHIFT | vma.page_prot()
    entry |= RW | A | D
    machine.tables.set(table, index, entry)
    machine.emit("fill", table.pfn, index, entry)
    if entry_pfn(entry) != old.pfn:
        page = addr // memory.page_size * memory.page_size
        flush_range(machine, mm, page, page + memory.page_size)
        if memory.put_folio(old):
            machine.emit("free_page", old.pfn)


def check_end(vma: VMA, addr: int) -> None:
    """Raises PastEnd if *addr* lies beyond the last page of the file."""
    if vma.index(addr) >= vma.file.inode.mapping.page_count:
        raise PastEnd(f"{vma.backing} ({vma.file.inode.mapping.size} bytes)")


def file_page(machine, vma, addr: int) -> Folio:
    """The page of the file behind *addr*, from the cache or made (__do_fault).

    Raises PastEnd beyond the end of the file."""
    mapping, index = vma.file.inode.mapping, vma.index(addr)
    check_end(vma, addr)
    folio = mapping.find(index)
    if folio is not None:
        folio.uptodate = True           # cleared by now, if fallocate had set it aside
        machine.emit("cache_hit", mapping.name, index, folio.pfn)
    else:
        folio = mapping.get(index)
        machine.count["cache_fills"] += 1
        machine.emit("cache_fill", mapping.name, index, folio.pfn)
        machine.major = mapping.on_disk
    machine.locked_folio = folio        # until the fault is over, as by the folio lock
    return folio
