"""mmlib simulates virtual memory: address spaces, page tables, faults, fork, copy on write.

Start with fault.py: read from the top it explains a page fault.  Then mm.py and vma.py (what a
process may do), tables (what its page tables do), sharing.py (whose tables they are), fork.py,
unmap.py; machine.py and task.py are the outside.

Read from left to right and downwards, a module imports only what stands before it; a test
enforces it:

    abi geometry            numbers: of the system calls, of an address and an entry
    events trace rows       frozen records of what happened; rows as /proc prints them
    runs                    what is alike in a row, kept as one
    folio memory            frames and what is in them
    extents                 page tables that nobody looked at
    tables                  page tables: the only way to reach an entry
    pagecache files hugetlb ext4     a file's page cache; the huge page pool; a disk
    vma mm                  what a process may do: VMAs and the list of them
    sharing tlb             whose tables may be shared; what a CPU remembers, and flushes
    rowwise                 rows of entries that are alike
    unsharerows unshare rmap        letting go of shared tables; who maps a page
    signals unmap           SIGSEGV, SIGBUS, Killed; taking mappings away
    mshare mshare2025       msharefs: an address space behind a file, and who links its tables
    hugefault fault         a page fault
    sources lending bulkrow bulk    many accesses at once, as far as they are alike
    populate protect fork move remap mmap advise    the other verbs of the kernel
    procfs accounts         what the kernel tells of an mm, and who is billed
    mmu translate           one access: TLB, walk, exception; many addresses at once
    frozen spell record     one call is one Step
    openfile msharefile msharefs namespace task machine     what a script calls
    tally checktables check         what must hold between two steps
    regimes matrix roadblocks       the ways to share memory, and tables that compare them
    abilities packages renderer doctor      what is here: of this kernel, of Python, to draw with
    linux                   the same calls, made by processes of this kernel
    kinds formats sequences ops loading     what a file with calls may say
    notebooks               the course, written into a folder
    cost costs              counting experiments, and a table of them
    worlds scenario compare replay          running it, here or on a kernel, and comparing
    answers judge           both asked the same, side by side
    verdict problem exercises       problems by seed, answered by rule; the notebooks' exercises
    literals setting script transcript program     a scenario as text, read and written; as a program
    capsule adapt play stories              as a short string; under a regime; run; ready-made
    image export            the machine as bytes, for another MMU to walk
    views                   pictures and text; the only layer that may import a widget library
    __main__                the command line
"""

from . import abi
from .abi import *  # noqa: F401,F403
from .check import validate
from .geometry import LA57, TINY, X86_64, Geometry
from .machine import Machine
from .msharefile import MshareCreate, MshareUnmap
from .openfile import File
from .sharing import FileTableCache, HugetlbPmdSharing, Private
from .signals import BusError, Killed, Segfault
from .task import Task
from .trace import Event, Snapshot, Step, Trace

__version__ = "0.1.0"
__all__ = ["Machine", "Task", "File", "TINY", "X86_64", "LA57", "Geometry", "Private",
           "HugetlbPmdSharing", "FileTableCache", "MshareCreate", "MshareUnmap",
           "Segfault", "BusError", "Killed", "validate", "Event", "Snapshot", "Step", "Trace",
           *(name for name in vars(abi) if name.split("_")[0] in
             ("PROT", "MAP", "MREMAP", "MADV", "MS", "O", "FALLOC", "MSHAREFS"))]
