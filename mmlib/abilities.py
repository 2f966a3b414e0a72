"""What the kernel of this computer can be asked, found by trying.

Version numbers do not tell: a container may forbid what its kernel has.
"""

import ctypes
import mmap
import os
import platform
from pathlib import Path

MODEL = ("Linux", "x86_64", 4096)       # system, machine, page size of what the simulator models


def other_kind() -> str:
    """What this computer is, if no kernel of the simulated kind runs on it; else ""."""
    here = platform.system(), platform.machine(), mmap.PAGESIZE
    if here == MODEL:
        return ""
    return "{} on {} with pages of {} bytes, not {} on {} with {}".format(*here, *MODEL)


def needed() -> dict[str, tuple[bool, str]]:
    """Name: (is it there? what it is needed for), for what asking this kernel cannot do without.

    >>> list(needed())
    ['memfd', 'executable memory', 'VmPTE']
    """
    return {"memfd": (memfd(), "a file that processes share"),
            "executable memory": (executable_memory(), "an access that may fault"),
            "VmPTE": (vm_pte(), "a count of page tables")}


def refusal() -> str:
    """Why this computer's kernel cannot be asked, in one line, or "".

    >>> "\\n" in refusal()
    False
    """
    lacking = [f"{name} is not to be had, which {use} needs"
               for name, (can, use) in ({} if other_kind() else needed()).items() if not can]
    return other_kind() or "; ".join(lacking)


def memfd() -> bool:
    try:
        os.close(os.memfd_create("mmlib"))
        return True
    except (AttributeError, OSError):
        return False


def executable_memory() -> bool:
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
        return True
    except OSError:
        return False


def vm_pte() -> bool:
    try:
        return "\nVmPTE:" in Path("/proc/self/status").read_text()
    except OSError:
        return False


def frame_numbers() -> bool:
    """Does /proc/self/pagemap hold the frame of a page that is present?"""
    page = ctypes.create_string_buffer(b"present")
    try:
        with open("/proc/self/pagemap", "rb") as pagemap:
            pagemap.seek(ctypes.addressof(page) // mmap.PAGESIZE * 8)
            entry = int.from_bytes(pagemap.read(8), "little")
    except OSError:
        return False
    return entry >> 63 == 1 and entry & (1 << 55) - 1 != 0


def free_huge_pages() -> int:
    """How many pages of 2 MiB are left in the kernel's pool; 0 where there is none."""
    try:
        return int(Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())
    except (OSError, ValueError):
        return 0


def map_counts() -> bool:
    """May /proc/kpagecount be read?"""
    return os.access("/proc/kpagecount", os.R_OK)
