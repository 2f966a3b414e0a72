"""The numbers of Linux's system-call interface on x86-64, and how a protection is spelled.

Values are those of the kernel's ``include/uapi`` headers, so a script can pass them to a real
kernel unchanged.

>>> prot_bits("rw") == PROT_READ | PROT_WRITE
True
>>> prot_letters(PROT_READ | PROT_EXEC)
'r-x'
"""

PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC = 0, 1, 2, 4

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE = 0x01, 0x02, 0x03
MAP_TYPE = 0x0F                     # the bits that hold one of the three above
MAP_FIXED, MAP_ANONYMOUS = 0x10, 0x20
MAP_GROWSDOWN, MAP_DENYWRITE, MAP_EXECUTABLE = 0x0100, 0x0800, 0x1000
MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE, MAP_NONBLOCK = 0x2000, 0x4000, 0x8000, 0x10000
MAP_STACK, MAP_HUGETLB, MAP_SYNC, MAP_FIXED_NOREPLACE = 0x20000, 0x40000, 0x80000, 0x100000
# The flags that MAP_SHARED_VALIDATE accepts (LEGACY_MAP_MASK in include/linux/mman.h).
LEGACY_MAP_MASK = (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE
                   | MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE
                   | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | 0x40 | 0x80 | 0x1F << 26)

MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4

MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED = 0, 1, 2, 3, 4
MADV_FREE, MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK = 8, 9, 10, 11
MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE = 12, 13, 14, 15
MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK = 16, 17, 18, 19
MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE = 20, 21, 22, 23
MADV_DONTNEED_LOCKED, MADV_COLLAPSE = 24, 25
MADV_HWPOISON, MADV_SOFT_OFFLINE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE = 100, 101, 102, 103
MADV_NOSHARE_TABLES, MADV_SHARE_TABLES = 1000, 1001     # ours; no kernel knows them

MS_ASYNC, MS_INVALIDATE, MS_SYNC = 1, 2, 4

O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE = 0, 1, 2, 3
O_CREAT, O_EXCL, O_TRUNC = 0o100, 0o200, 0o1000

FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_NO_HIDE_STALE = 1, 2, 4
FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_INSERT_RANGE = 8, 0x10, 0x20
FALLOC_FL_UNSHARE_RANGE = 0x40

# The requests of the series of August 2025; its numbers were never merged, these are ours.
MSHAREFS_CREATE_MAPPING, MSHAREFS_UNMAP = 0x4028_7800, 0x4010_7801


def prot_bits(prot: str | int) -> int:
    """The PROT_* bits of *prot*, which is letters of "rwx" ("" is PROT_NONE) or already bits.

    >>> prot_bits(""), prot_bits("r"), prot_bits(3)
    (0, 1, 3)
    >>> prot_bits("q")
    Traceback (most recent call last):
    ValueError: prot is letters of 'rwx' or PROT_* bits, not 'q'
    """
    if isinstance(prot, int) and not isinstance(prot, bool):
        return prot
    if isinstance(prot, str) and set(prot) <= set("rwx-"):
        return ("r" in prot) | ("w" in prot) << 1 | ("x" in prot) << 2
    if isinstance(prot, str):
        raise ValueError(f"prot is letters of 'rwx' or PROT_* bits, not {prot!r}")
    raise TypeError(f"prot is letters of 'rwx' or PROT_* bits, not {prot!r}")


def prot_letters(prot: int) -> str:
    """The three letters that /proc/PID/maps prints for PROT_* bits.

    >>> prot_letters(PROT_WRITE)
    '-w-'
    """
    return "".join(c if prot & bit else "-" for c, bit in zip("rwx", (1, 2, 4)))
