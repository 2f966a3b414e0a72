"""Bytes, mappings and signals without a page table: what a program is entitled to.

A judge for tests/test_properties.py.  An address space is a dict of pages, a file a dict of bytes.
"""
import copy
import errno

from mmlib import (
    FALLOC_FL_KEEP_SIZE,
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_KEEPONFORK,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MADV_WIPEONFORK,
    MAP_POPULATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    TINY,
)

PAGE = 0x1000


class Object:
    """What is behind a page: bytes by (page, place); *size* in bytes."""

    def __init__(self, size: int):
        self.size, self.bytes = size, {}

    def page(self, index: int) -> dict:
        return {place: byte for (i, place), byte in self.bytes.items() if i == index}

    def punch(self, first: int, last: int) -> None:
        self.bytes = {(i, place): byte for (i, place), byte in self.bytes.items()
                      if not first <= i < last}


class Page:
    """One page of an address space: a window on *behind*, or on nothing; *own* is its copy."""

    def __init__(self, prot: str, behind: Object | None, index: int, shared: bool):
        self.prot, self.behind, self.index, self.shared = prot, behind, index, shared
        self.guard = self.wipe = self.dontfork = False
        self.forget()

    def forget(self) -> None:
        self.own = None if self.behind else {}

    def copy(self) -> "Page":
        new = copy.copy(self)
        new.own = copy.copy(self.own)
        return new

    def blank(self, index: int) -> "Page":
        """A page with the same rights that nobody has used."""
        new = copy.copy(self)
        new.index, new.guard = index, False
        new.forget()
        return new

    def get(self, place: int) -> int:
        if self.own is not None:
            return self.own.get(place, 0)
        return self.behind.bytes.get((self.index, place), 0)

    def separate(self) -> None:
        """Copy on write."""
        if self.own is None and not self.shared:
            self.own = self.behind.page(self.index)


def wrong(page: Page | None, addr: int, write: bool):
    """The signal that an access gets, or None."""
    if page is None:
        return "SIGSEGV", "SEGV_MAPERR", addr
    if not page.prot or write and "w" not in page.prot:
        return "SIGSEGV", "SEGV_ACCERR", addr
    if page.guard:
        return "SIGSEGV", "SEGV_MAPERR", addr
    if page.own is None and page.index * PAGE >= page.behind.size:
        return "SIGBUS", "BUS_ADRERR", addr
    return None


class Model:
    """The address spaces of tasks, by name, and the files; *a* is the first task."""

    def __init__(self, sizes: list[int]):
        self.files = [Object(size) for size in sizes]
        self.spaces = {"a": {}}

    def run(self, task: str, name: str, args: tuple, got: tuple) -> tuple:
        """Make a call, which came to *got*; what it should have come to, as far as known here."""
        known = vars(Model).get(name)
        return known(self, task, got, *args) if known else got

    def within(self, task: str, addr: int, length: int) -> list[tuple[int, Page]]:
        space = self.spaces[task]
        return [(n, space[n]) for n in range(addr // PAGE, (addr + length) // PAGE) if n in space]

    # accesses ----------------------------------------------------------------------------------
    def load(self, task, got, addr):
        page = self.spaces[task].get(addr // PAGE)
        return wrong(page, addr, False) or ("value", bytes([page.get(addr % PAGE)]))

    def store(self, task, got, addr, value):
        page = self.spaces[task].get(addr // PAGE)
        if signal := wrong(page, addr, True):
            return signal
        page.separate()
        if page.shared:
            page.behind.bytes[page.index, addr % PAGE] = value
        else:
            page.own[addr % PAGE] = value
        return "value", None

    def touch(self, task, got, addr, length, write):
        for at in range(addr, addr + length, PAGE):
            page = self.spaces[task].get(at // PAGE)
            if signal := wrong(page, at, write):
                return signal
            if write:
                page.separate()
        return "value", None

    # mappings ----------------------------------------------------------------------------------
    def mmap(self, task, got, addr, length, prot, flags, file=None, offset=0):
        if got[0] != "value":
            return got
        shared = bool(flags & MAP_SHARED)
        behind = self.files[file] if file is not None else Object(length) if shared else None
        for n in range(length // PAGE):
            self.spaces[task][got[1] // PAGE + n] = Page(prot, behind, offset // PAGE + n, shared)
        if flags & MAP_POPULATE:
            self.touch(task, None, got[1], length, "w" in prot and not shared)
        return got

    def munmap(self, task, got, addr, length):
        if addr + length > TINY.task_size:
            return "error", errno.EINVAL
        for n, _ in self.within(task, addr, length):
            del self.spaces[task][n]
        return "value", None

    def mprotect(self, task, got, addr, length, prot):
        for at in range(addr, addr + length, PAGE):
            page = self.spaces[task].get(at // PAGE)
            if page is None:
                return "error", errno.ENOMEM
            page.prot = prot
        return "value", None

    def mremap(self, task, got, old, old_len, new_len, flags, new):
        if got[0] != "value":
            return got
        space, to = self.spaces[task], got[1]
        whole = self.within(task, old, old_len)
        moved = self.within(task, old, min(old_len, new_len))
        for n, page in whole:
            del space[n]
            if flags & MREMAP_DONTUNMAP:
                space[n] = page.blank(page.index)
        for n, page in moved:
            space[n + (to - old) // PAGE] = page
        for at in range(old_len, new_len, PAGE):
            last = whole[-1][1]
            space[(to + at) // PAGE] = last.blank(last.index + (at - old_len) // PAGE + 1)
        return got

    def madvise(self, task, got, addr, length, advice):
        for n, page in self.within(task, addr, length):
            if advice in (MADV_DONTNEED, MADV_DONTNEED_LOCKED):
                page.forget()
            elif advice == MADV_GUARD_INSTALL:
                page.forget()
                page.guard = True
            elif advice == MADV_GUARD_REMOVE:
                page.guard = False
            elif advice in (MADV_DONTFORK, MADV_DOFORK):
                page.dontfork = advice == MADV_DONTFORK
            elif advice == MADV_KEEPONFORK:
                page.wipe = False
            elif advice == MADV_WIPEONFORK:
                if page.behind:
                    return "error", errno.EINVAL
                page.wipe = True
            elif advice == MADV_REMOVE:
                if not page.shared:
                    return "error", errno.EACCES if page.behind else errno.EINVAL
                page.behind.punch(page.index, page.index + 1)
            elif advice == MADV_POPULATE_WRITE:
                if n * PAGE != addr and n - 1 not in self.spaces[task] or \
                        wrong(page, n * PAGE, True):
                    break
                page.separate()
        return got

    # tasks -------------------------------------------------------------------------------------
    def fork(self, task, got):
        child = self.spaces[got[1]] = {}
        for n, page in self.spaces[task].items():
            if not page.dontfork:
                child[n] = page.blank(page.index) if page.wipe else page.copy()
        return got

    def clone(self, task, got):
        self.spaces[got[1]] = self.spaces[task]
        return got

    def exit(self, task, got):
        del self.spaces[task]
        return "value", None

    def exec(self, task, got):
        old = self.spaces[task]
        self.spaces = {name: space for name, space in self.spaces.items() if space is not old}
        self.spaces[task] = {}
        return "value", None

    # files -------------------------------------------------------------------------------------
    def file(self, number: int, name: str, args: tuple, got: tuple) -> tuple:
        known = vars(Model).get(name)
        return known(self, self.files[number], got, *args) if known else got

    def truncate(self, file, got, size):
        file.punch(-(-size // PAGE), 1 << 40)
        for page in (p for space in self.spaces.values() for p in space.values()):
            if page.behind is file and page.index * PAGE >= size < file.size:
                page.forget()
        file.size = size
        return "value", None

    def fallocate(self, file, got, mode, offset, length):
        if mode == 0:
            file.size = max(file.size, offset + length)
        elif mode != FALLOC_FL_KEEP_SIZE:
            file.punch(offset // PAGE, (offset + length) // PAGE)
        return "value", None

    def pwrite(self, file, got, data, offset):
        file.bytes[offset // PAGE, offset % PAGE] = data[0]
        file.size = max(file.size, offset + 1)
        return "value", 1

    def pread(self, file, got, n, offset):
        if offset >= file.size:
            return "value", b""
        return "value", bytes([file.bytes.get((offset // PAGE, offset % PAGE), 0)])
