"""The names of this package beside the kernel's, each from where it is defined."""

import re
from typing import NamedTuple

from ..files import Mapping
from ..memory import Folio
from ..mm import MM
from ..openfile import File
from ..rows import Rows
from ..tables import Ptdesc
from ..task import Task
from ..vma import VMA

CLASSES = (Task, MM, VMA, Ptdesc, Folio, File, Mapping)


class Name(NamedTuple):
    """A class here, its struct in the kernel, and what it is."""

    ours: str
    kernel: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.ours:8} {self.kernel:22} {self.meaning}"


def names() -> Rows:
    """A row a class: the first sentence of its docstring, which names the kernel's struct.

    >>> print(names()[1])
    MM       struct mm_struct       An address space: VMAs in address order, and the top-level table.
    """
    out = []
    for cls in CLASSES:
        first = re.split(r"(?<=\.)\s", " ".join(cls.__doc__.split()), maxsplit=1)[0]
        kernel = re.search(r" ?\((struct \w+)[^)]*\)", first)
        out.append(Name(cls.__name__, kernel[1], first.replace(kernel[0], "")))
    return Rows(out)
