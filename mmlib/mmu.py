"""A load or a store, as the hardware sees it: TLB, then a walk, then an exception."""

import functools

from .bulk import advance
from .fault import page_fault
from .geometry import P, entry_pfn
from .memory import Folio, OutOfMemory
from .procfs import into
from .signals import Killed, Signal
from .tables import writable
from .tlb import SIZE

WINDOW = 16                         # pages, at most, between two looks of `touch` for a row


def access(machine, task, addr: int, write: bool) -> int:
    """Translate one access of *task*; the leaf entry that permits it.

    Faults until it is permitted.  Raises Segfault, BusError, or Killed."""
    mm, page = task.mm, addr >> machine.geometry.page_shift
    tlb, tracing = machine.tlbs[task.cpu], machine.events is not None
    entry = tlb.find(mm, page, write)
    if entry:
        if tracing:
            machine.emit("tlb_hit", task.cpu, page << machine.geometry.page_shift)
        return entry
    if tracing:
        machine.emit("tlb_miss", task.cpu, page << machine.geometry.page_shift,
                     tlb.lacks(mm, page))
    mm.cpus[task.cpu] = None
    while True:
        entry = None if tracing else machine.tables.known(mm.pgd, page, write)
        if entry is None:
            entry = walk(machine, mm, addr, write)
        if entry:
            tlb.insert(mm, page, entry)
            return entry
        tlb.entries.pop((mm, page), None)   # a fault forgets it (Intel SDM 3A, 4.10.4.1)
        try:
            page_fault(machine, task, addr, write)
        except Signal as signal:
            machine.emit("signal", signal.signal, signal.code, addr)
            raise
        except OutOfMemory as why:
            machine.oom_kill(str(why))
            if task.killed:
                raise Killed(task, task.killed) from None


def walk(machine, mm, addr: int, write: bool) -> int:
    """Walk the tables; the leaf entry with Accessed and Dirty set, or 0 where the walk fails."""
    if not 0 <= addr < machine.geometry.task_size:
        return 0                        # not canonical, or the kernel's half
    path = machine.tables.walk(mm.pgd, addr)
    if machine.events is not None:
        for table, index, entry in path:
            name = machine.geometry.level_name(table.level)
            machine.emit("walk", name, table.pfn, index, entry)
    entry = path[-1][2]
    if not entry & P or write and not writable(entry):
        return 0
    return machine.tables.mark(path, write)


def load(machine, task, addr: int, n: int) -> bytes:
    """*n* bytes at *addr*, page by page."""
    out, size = [], machine.geometry.page_size
    while n:
        take = min(n, size - addr % size)
        entry = access(machine, task, addr, False)
        folio = page(machine, entry)
        out.append(machine.memory.read(folio, into(machine, entry, addr), take))
        addr, n = addr + take, n - take
    return b"".join(out)


def store(machine, task, addr: int, data: bytes) -> None:
    """Store *data* at *addr*, page by page; pages before a fault that fails keep their part."""
    size = machine.geometry.page_size
    while data:
        part = data[:size - addr % size]
        entry = access(machine, task, addr, True)
        folio = page(machine, entry)
        machine.memory.write(folio, into(machine, entry, addr), part)
        addr, data = addr + len(part), data[len(part):]


def page(machine, entry: int) -> Folio:
    """The page that *entry* leads to.

    A stale translation (Machine.flush_sharers off) may lead to a frame that is free or a page
    table by now: zeros are read there, and a store is lost."""
    pfn, memory = entry_pfn(entry), machine.memory
    return memory.folio(pfn) if memory.holds(pfn) else Folio(pfn, 0, None, -1)


def at_once(call):
    """Let a `touch` of one page with nobody watching do without the rest of *call*: it is one
    access, and one that hits costs no more than the MMU's work."""
    @functools.wraps(call)
    def touch(self, addr, length, _write=None, *, write=None):      # by place or by name
        machine = self.machine
        if not machine.tracing and self.alive and type(addr) is type(length) is int and length > 0:
            mm, page, stores = self.mm, addr >> machine.page_shift, _write or write
            one = (length == 1 or addr + length - 1 >> machine.page_shift == page) and (
                _write is None or write is None)
            if one and (entry := machine.tables.known(mm.pgd, page, stores)):
                cpu, key = self.cpu, (mm, page)
                tlb = machine.tlbs[cpu].entries
                if key not in tlb:
                    mm.cpus[cpu] = None
                    tlb[key] = entry
                    if len(tlb) > SIZE:
                        del tlb[next(iter(tlb))]
                    return
                if tlb[key] == entry:
                    tlb[key] = tlb.pop(key)
                    return
            if one and addr >= 0 and not machine.busy:
                machine.busy, machine.current_task = True, self
                try:                    # a walk, a fault, or a TLB entry that is out of date
                    access(machine, self, addr, bool(stores))
                finally:
                    machine.busy = False
                return
        call(self, addr, length, *(() if _write is None else (_write,)),
             **({} if write is None else {"write": write}))
    return touch


def touch(machine, task, addr: int, end: int, write: bool) -> None:
    """One access to each page of [addr, end); one event for all of them."""
    size, before, pages, window = machine.geometry.page_size, task.page_faults, 0, 1
    events, machine.events = machine.events, None
    try:
        while addr < end:
            page = addr // size * size
            upto = page if end <= page + size else advance(
                machine, task, task.mm.find_vma(page), page, -(-end // size) * size, write, True)
            if upto == page:                    # some one at a time, then look again
                span = window * size
                upto, window = min((page // span + 1) * span, end), min(2 * window, WINDOW)
                while addr < upto:
                    access(machine, task, addr, write)
                    addr, pages = (addr // size + 1) * size, pages + 1
            else:
                addr, pages, window = upto, pages + (upto - page) // size, 1
    finally:
        machine.events = events
        machine.emit("touch", pages, task.page_faults - before)
