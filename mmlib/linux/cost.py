"""The private row of `python -m mmlib cost`, from this computer's kernel."""

import time

from ..abi import MAP_FIXED_NOREPLACE, MAP_SHARED
from . import Linux


def row(at: int, size: int, processes: int, watch) -> dict:
    """As `mmlib.cost.measure` has it, of *size* bytes at *at*: VmPTE has no levels, and leaves out
    the top one.  *watch* is as `mmlib.cost.progress`.  Raises OSError."""
    start, tasks = time.perf_counter(), []
    with Linux() as world:
        file = world.memfd("db", size)
        for number in watch("private", range(processes)):
            task = world.spawn(f"p{number}")
            task.mmap(at, size, "rw", MAP_SHARED | MAP_FIXED_NOREPLACE, file)
            task.touch(at, size, write=number == 0)
            tasks.append((task.tables, task.minor_faults))
        page = world.geometry.page_size
    total = sum(tables for tables, _ in tasks) + processes
    return {"regime": "private", "page_size": page, "tables": None, "total_tables": total,
            "bytes": total * page, "faults": sum(faults for _, faults in tasks),
            "seconds": round(time.perf_counter() - start, 3)}
