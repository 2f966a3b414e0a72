"""mmlib simulates virtual memory: address spaces, page tables, faults, fork, copy on write.

Start with fault.py: read from the top it explains a page fault.  Then mm.py (what a process may
do), tables.py (what its page tables do), fork.py, unmap.py; machine.py and task.py are the outside.

Imports point down this list, and a test enforces it:

    abi, geometry      numbers: of the system calls, of an address and an entry
    trace, rows        frozen records of what happened, rows as /proc prints them
    memory             frames and what is in them
    tables             page tables: the only way to reach an entry
    files              a file's page cache; names
    mm                 VMAs
    sharing            which tables may be shared, and where a missing one comes from
    tlb                what a CPU remembers, and flushing it
    fault              a page fault
    unmap protect fork remap mmap advise       the other verbs of the kernel
    mmu                one access: TLB, walk, exception
    record             one call is one Step
    openfile task machine      what a script calls
    check              what must hold between two steps
    views              pictures and text; the only layer that may import a widget library
"""

from . import abi
from .abi import *  # noqa: F401,F403
from .check import validate
from .fault import BusError, Killed, Segfault
from .geometry import LA57, TINY, X86_64, Geometry
from .machine import Machine
from .openfile import File
from .sharing import FileTableCache, HugetlbPmdSharing, Private
from .task import Task
from .trace import Event, Snapshot, Step, Trace

__version__ = "0.1.0"
__all__ = ["Machine", "Task", "File", "TINY", "X86_64", "LA57", "Geometry", "Private",
           "HugetlbPmdSharing", "FileTableCache",
           "Segfault", "BusError", "Killed", "validate", "Event", "Snapshot", "Step", "Trace",
           *(name for name in vars(abi) if name.split("_")[0] in
             ("PROT", "MAP", "MREMAP", "MADV", "MS", "O", "FALLOC"))]
