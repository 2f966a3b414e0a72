"""What /proc tells of a bare process, without the code and data that it consists of."""

import ctypes
import re
import struct
from array import array
from collections.abc import Iterator

from ..rows import MapsRow, PageRow, Rows
from .code import DATA, END, OWN_TABLES

PAGE, HUGE_PAGE = 1 << 12, 1 << 21
PRESENT, FILE, EXCLUSIVE, PFN = 1 << 63, 1 << 61, 1 << 56, (1 << 55) - 1    # of a pagemap entry
PAGEMAP_SCAN, SCAN_ROWS, PAGE_IS_PRESENT = 0xC0606610, 512, 1 << 3


def own(addr: int) -> bool:
    """Does this address belong to the process's own code and data, or to the kernel?"""
    return DATA <= addr < END or addr >= 1 << 47


def maps(pid: int, backing) -> Rows:
    """/proc/PID/maps; *backing* takes the name and the inode of a line and says what is behind it.

    A newline in a name is shown as \\012 there."""
    out = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file.read().split("\n")[:-1]:
            span, perms, offset, _, inode, *name = line.split(None, 5)
            start, end = (int(word, 16) for word in span.split("-"))
            if not own(start):
                name = "".join(name).replace("\\012", "\n")
                out.append(MapsRow(start, end, perms, int(offset, 16),
                                   backing(name, int(inode)), int(inode)))
    return Rows(out)


def tables(pid: int) -> int:
    """VmPTE as a number of tables."""
    return status(pid, "VmPTE") // 4096 - OWN_TABLES


def status(pid: int, field: str) -> int:
    """A field of /proc/PID/status in bytes; it is absent once the mm is gone."""
    with open(f"/proc/{pid}/status") as file:
        found = re.search(rf"(?m)^{field}:\s*(\d+) kB$", file.read())
    return int(found[1]) << 10 if found else 0


def smaps(pid: int, field: str) -> int:
    """The sum of a field of /proc/PID/smaps in bytes."""
    total, counts = 0, False
    with open(f"/proc/{pid}/smaps", errors="surrogateescape") as file:
        for line in file:
            word = line.split(None, 1)[0]
            if re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", word):
                counts = not own(int(word.split("-")[0], 16))
            elif counts and word == field + ":":
                total += int(line.split()[1]) << 10
    return total


def entries(pid: int, start: int, end: int) -> array:
    """The pagemap entries of [start, end)."""
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        file.seek(start // PAGE * 8)
        data = b""
        while len(data) < (end - start) // PAGE * 8:
            more = file.read((end - start) // PAGE * 8 - len(data))
            if not more:
                break
            data += more
    return array("Q", data)


def pagemap(pid: int, start: int, end: int) -> Rows:
    """A row for each page; its frame is 0 where this kernel hides frames."""
    return Rows(PageRow(start + n * PAGE, bool(e & PRESENT), e & PFN if e & PRESENT else 0,
                        bool(e & PRESENT and e & EXCLUSIVE), bool(e & PRESENT and e & FILE))
                for n, e in enumerate(entries(pid, start, end)))


def present(pid: int, start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """(address, frame) of each present page of *step* bytes in [start, end), upwards."""
    for low, high in scan(pid, start, end):
        for n, entry in enumerate(entries(pid, low, high)[::step // PAGE]):
            if entry & PRESENT:
                yield low + n * step, entry & PFN


def scan(pid: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Ranges that hold all present pages of [start, end).

    Where the kernel has no PAGEMAP_SCAN (6.7) it is one range, and slow if that is large."""
    import fcntl                        # only here: not every system has it
    rows = ctypes.create_string_buffer(24 * SCAN_ROWS)  # of struct page_region: start, end, ...
    with open(f"/proc/{pid}/pagemap", "rb") as file:
        while start < end:
            argument = bytearray(struct.pack(
                "<12Q", 96, 0, start, end, 0, ctypes.addressof(rows), SCAN_ROWS, 0, 0,
                PAGE_IS_PRESENT, 0, PAGE_IS_PRESENT))
            try:
                count = fcntl.ioctl(file, PAGEMAP_SCAN, argument)
            except OSError:
                yield start, end
                return
            for n in range(count):
                yield struct.unpack_from("<QQ", rows, 24 * n)
            start = struct.unpack_from("<Q", argument, 32)[0]   # walk_end


def mapcount(pfn: int) -> int:
    """/proc/kpagecount of a frame: how many entries map it."""
    with open("/proc/kpagecount", "rb", buffering=0) as file:
        file.seek(pfn * 8)
        return int.from_bytes(file.read(8), "little")
