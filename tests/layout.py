"""Address spaces as pictures: tests draw one, call something, and compare the picture after it.

A character is a page, the first is `page(0)`; "." is a hole.  A VMA is a run of one letter whose
first page is a capital, so that a border between two alike can be seen.  The letter says what is
mapped and what it allows:

    private memory      N nothing   R read   W read and write   X read and execute
    a file, shared      U nothing   T read   S read and write
    a file, private     H nothing   G read   F read and write

>>> task = mapped("Wwwwwwww")
>>> task.munmap(page(2), 3 * PAGE)
>>> picture(task.mm)
'Ww...Www'
>>> task.mprotect(page(5), PAGE, "r")
>>> picture(task.mm)
'Ww...RWw'
>>> picture(mapped("Gg.SsTt").mm)
'Gg.SsTt'
"""
import errno
import re

import pytest

from mmlib import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    TINY,
    Machine,
    validate,
)

PAGE = TINY.page_size
BASE = 0x40000                          # a border between tables of every level in TINY
ANON = MAP_PRIVATE | MAP_ANONYMOUS
PROTECTION = {"": "---", "r": "r--", "rw": "rw-", "rx": "r-x"}
KINDS = {"N": ("anon", ""), "R": ("anon", "r"), "W": ("anon", "rw"), "X": ("anon", "rx"),
         "U": ("s", ""), "T": ("s", "r"), "S": ("s", "rw"),
         "H": ("p", ""), "G": ("p", "r"), "F": ("p", "rw")}
MADE = []                               # the machines of the test that runs


def page(n: int) -> int:
    """The address of a page of the picture."""
    return BASE + n * PAGE


def machine(*args, **options) -> Machine:
    """A Machine, TINY unless said otherwise, that is validated when the test is over."""
    MADE.append(Machine(*(args or (TINY,)), **options))
    return MADE[-1]


def validate_made() -> None:
    """What must hold between two calls holds for every machine that was made here."""
    while MADE:
        validate(MADE.pop())


def mapped(drawing: str, on: Machine | None = None, name: str = "a"):
    """A task with the VMAs of *drawing*.  Its file is `file_of(task)`; a page shows the page of
    the file that has its number."""
    task = (on or machine()).spawn(name)
    file = task.memfd("f", len(drawing) * PAGE)
    for run in re.finditer(r"[A-Z][a-z]*", drawing):
        what, prot = KINDS[run[0][0]]
        flags = {"anon": ANON, "s": MAP_SHARED, "p": MAP_PRIVATE}[what] | MAP_FIXED
        task.mmap(page(run.start()), len(run[0]) * PAGE, prot, flags,
                  None if what == "anon" else file, 0 if what == "anon" else run.start() * PAGE)
    assert picture(task.mm) == drawing.rstrip("."), "the drawing would merge"
    return task


def file_of(task):
    """The file that `mapped` made for *task*."""
    return task.files[0]


def picture(mm) -> str:
    """The VMAs of *mm* from `page(0)` to the last."""
    out, at = "", BASE
    for vma in mm.vmas:
        backing = "anon" if vma.file is None else vma.perms[3]
        letter = next(letter for letter, (what, prot) in KINDS.items()
                      if what == backing and PROTECTION[prot] == vma.perms[:3])
        pages = (vma.end - vma.start) // PAGE
        out += "." * ((vma.start - at) // PAGE) + letter + letter.lower() * (pages - 1)
        at = vma.end
    return out


def present(task, pages: int = 8) -> str:
    """The pages of the picture that are in the page table: "1" where one is.

    >>> task = mapped("Www")
    >>> task.store(page(1), b"x"); present(task, 3)
    '010'
    """
    return "".join(str(int(row.present)) for row in task.pagemap(BASE, pages * PAGE))


def refused(call, *args, **options) -> str:
    """The name of the errno that a system call answers.  Its message begins with the name, and
    says more."""
    with pytest.raises(OSError) as caught:
        call(*args, **options)
    name, _, why = caught.value.strerror.partition(": ")
    assert getattr(errno, name) == caught.value.errno and why
    return name
