"""A load or a store, as the hardware sees it: TLB, then a walk, then an exception."""

from .fault import Killed, Segfault, page_fault
from .geometry import P
from .memory import OutOfMemory
from .tables import writable


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
        machine.emit("tlb_miss", task.cpu, page << machine.geometry.page_shift)
    mm.cpus[task.cpu] = None
    while True:
        entry = walk(machine, mm, addr, write)
        if entry:
            tlb.insert(mm, page, entry)
            return entry
        tlb.drop(mm, page, page + 1)    # a fault forgets the address (Intel SDM 3A, 4.10.4.1)
        try:
            page_fault(machine, task, addr, write)
        except Segfault as signal:
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
