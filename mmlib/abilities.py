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
