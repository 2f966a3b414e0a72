"""The numbers of system calls, and calls as a script would write them."""
import errno
import mmap
import os

import pytest

import mmlib
from mmlib import abi
from mmlib.abi import prot_bits, prot_letters
from mmlib.files import oserror
from mmlib.spell import FLAG_ARGUMENTS, flag_names, spell

# include/uapi/asm-generic/mman-common.h, mman.h; linux/mman.h, falloc.h, fcntl.h (x86-64)
VALUES = {
    "PROT_NONE": 0, "PROT_READ": 1, "PROT_WRITE": 2, "PROT_EXEC": 4,
    "MAP_SHARED": 1, "MAP_PRIVATE": 2, "MAP_SHARED_VALIDATE": 3, "MAP_TYPE": 0xf,
    "MAP_FIXED": 0x10, "MAP_ANONYMOUS": 0x20, "MAP_GROWSDOWN": 0x100, "MAP_DENYWRITE": 0x800,
    "MAP_EXECUTABLE": 0x1000, "MAP_LOCKED": 0x2000, "MAP_NORESERVE": 0x4000,
    "MAP_POPULATE": 0x8000, "MAP_NONBLOCK": 0x10000, "MAP_STACK": 0x20000,
    "MAP_HUGETLB": 0x40000, "MAP_SYNC": 0x80000, "MAP_FIXED_NOREPLACE": 0x100000,
    "MREMAP_MAYMOVE": 1, "MREMAP_FIXED": 2, "MREMAP_DONTUNMAP": 4,
    "MADV_NORMAL": 0, "MADV_RANDOM": 1, "MADV_SEQUENTIAL": 2, "MADV_WILLNEED": 3,
    "MADV_DONTNEED": 4, "MADV_FREE": 8, "MADV_REMOVE": 9, "MADV_DONTFORK": 10, "MADV_DOFORK": 11,
    "MADV_MERGEABLE": 12, "MADV_UNMERGEABLE": 13, "MADV_HUGEPAGE": 14, "MADV_NOHUGEPAGE": 15,
    "MADV_DONTDUMP": 16, "MADV_DODUMP": 17, "MADV_WIPEONFORK": 18, "MADV_KEEPONFORK": 19,
    "MADV_COLD": 20, "MADV_PAGEOUT": 21, "MADV_POPULATE_READ": 22, "MADV_POPULATE_WRITE": 23,
    "MADV_DONTNEED_LOCKED": 24, "MADV_COLLAPSE": 25, "MADV_GUARD_INSTALL": 102,
    "MADV_GUARD_REMOVE": 103, "MADV_HWPOISON": 100, "MADV_SOFT_OFFLINE": 101,
    "MS_ASYNC": 1, "MS_INVALIDATE": 2, "MS_SYNC": 4,
    "O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2, "O_ACCMODE": 3, "O_CREAT": 0o100, "O_EXCL": 0o200,
    "O_TRUNC": 0o1000,
    "FALLOC_FL_KEEP_SIZE": 1, "FALLOC_FL_PUNCH_HOLE": 2, "FALLOC_FL_NO_HIDE_STALE": 4,
    "FALLOC_FL_COLLAPSE_RANGE": 8, "FALLOC_FL_ZERO_RANGE": 0x10, "FALLOC_FL_INSERT_RANGE": 0x20,
    "FALLOC_FL_UNSHARE_RANGE": 0x40,
}


@pytest.mark.parametrize("name, value", VALUES.items())
def test_values_are_linuxs(name, value):
    """A script can pass them to a real kernel."""
    assert getattr(mmlib, name) == value


@pytest.mark.skipif(os.uname().sysname != "Linux" or os.uname().machine != "x86_64",
                    reason="the values are those of Linux on x86-64")
def test_values_are_pythons():
    """The mmap and os modules of this Python agree, where they know a name."""
    for name, value in VALUES.items():
        known = getattr(mmap, name, getattr(os, name, value))
        assert name in ("O_ACCMODE",) or known == value, name


def test_every_number_is_public():
    """What abi.py names, mmlib exports."""
    families = ("PROT_", "MAP_", "MREMAP_", "MADV_", "MS_", "O_", "FALLOC_")
    assert {name for name in vars(abi) if name.startswith(families)} <= set(mmlib.__all__)


def test_our_advice_is_no_kernels():
    """MADV_*SHARE_TABLES are ours: far from every number that Linux has given away."""
    ours = abi.MADV_NOSHARE_TABLES, abi.MADV_SHARE_TABLES
    assert min(ours) > 2 * max(v for n, v in VALUES.items() if n.startswith("MADV_"))


@pytest.mark.parametrize("prot, bits", [
    ("", 0), ("r", 1), ("w", 2), ("rw", 3), ("wr", 3), ("rwx", 7), ("r-x", 5), ("---", 0),
    (0, 0), (3, 3), (8, 8),
])
def test_prot_bits(prot, bits):
    """Letters in any order, or bits already, which the call itself checks."""
    assert prot_bits(prot) == bits


@pytest.mark.parametrize("prot", ["q", "R", "rw "])
def test_other_letters_are_refused(prot):
    """A mistake of the caller: the value is in the message."""
    with pytest.raises(ValueError, match=repr(prot)):
        prot_bits(prot)


@pytest.mark.parametrize("prot", [None, 1.0, True, b"r", ["r"]])
def test_other_types_are_refused(prot):
    """A protection is a str or an int, and True is none."""
    with pytest.raises(TypeError):
        prot_bits(prot)


@pytest.mark.parametrize("bits, letters", [(0, "---"), (1, "r--"), (2, "-w-"), (7, "rwx")])
def test_prot_letters(bits, letters):
    """As /proc/PID/maps prints them."""
    assert prot_letters(bits) == letters


def test_an_error_names_itself():
    """The errno's name as the manuals of Linux have it, and why."""
    error = oserror(errno.EOPNOTSUPP, "not here")
    assert (error.errno, error.strerror) == (errno.EOPNOTSUPP, "EOPNOTSUPP: not here")


# calls in words --------------------------------------------------------------------------------
@pytest.mark.parametrize("call, text", [
    (("mmap", (None, 0x3000, "rw", 0x8022), {}),
     "mmap(None, 0x3000, 'rw', MAP_PRIVATE|MAP_ANONYMOUS|MAP_POPULATE)"),
    (("mmap", (0x4000, 5, 3, 0x03), {}),
     "mmap(0x4000, 5, PROT_READ|PROT_WRITE, MAP_SHARED_VALIDATE)"),
    (("mprotect", (0x4000, 4096, 0), {}), "mprotect(0x4000, 0x1000, PROT_NONE)"),
    (("madvise", (0x4000, 4096), {"advice": 102}),
     "madvise(0x4000, 0x1000, advice=MADV_GUARD_INSTALL)"),
    (("madvise", (0x4000, 4096, 7), {}), "madvise(0x4000, 0x1000, 7)"),
    (("mremap", (0x4000, 4096, 8192, 8), {}), "mremap(0x4000, 0x1000, 0x2000, 0x8)"),
    (("msync", (0x4000, 1, 4), {}), "msync(0x4000, 1, MS_SYNC)"),
    (("open", ("/dev/shm/f", 0o102), {}), "open('/dev/shm/f', O_RDWR|O_CREAT)"),
    (("fallocate", (3, 0, 4096), {}),
     "fallocate(FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE, 0, 0x1000)"),
    (("store", (0x4000, b"x" * 16), {}), f"store(0x4000, {b'x' * 16!r})"),
    (("store", (0x4000, b"x" * 17), {}), f"store(0x4000, {b'x' * 12!r}... (17 bytes))"),
    (("load", (0x4000,), {"n": 2}), "load(0x4000, n=2)"),
])
def test_a_call_is_spelt_as_a_script_writes_it(call, text):
    """Flags by name, addresses in hexadecimal, long data cut."""
    assert spell(*call) == text


def test_files_and_tasks_are_spelt_by_name():
    """No address of a Python object is printed."""
    file = mmlib.Machine(mmlib.TINY).memfd("f")
    assert spell("mmap", (None, 1, "r", 1, file), {}) == \
        "mmap(None, 1, 'r', MAP_SHARED, /memfd:f (deleted))"


def test_bits_without_a_name_stay_a_number():
    """Nothing is dropped: the names and the rest make up the value again."""
    assert flag_names("MAP_", 0x1 | 1 << 28) == "MAP_SHARED|0x10000000"


def test_every_spelt_argument_exists():
    """The table of flag arguments names parameters that the methods have, at their places."""
    import inspect
    for name, arguments in FLAG_ARGUMENTS.items():
        owner = mmlib.File if name in ("fallocate", "ioctl") else mmlib.Task
        parameters = mmlib.MshareCreate._fields if name == "MshareCreate" else \
            list(inspect.signature(getattr(owner, name)).parameters)[1:]
        for key, family in arguments.items():
            assert key in parameters or arguments[parameters[key]] == family
