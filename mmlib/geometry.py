"""How a virtual address is cut into table indices, and what the bits of an entry mean.

Levels count upwards from the leaf: 1 is a PTE table, 2 a PMD, 3 a PUD, 4 the top (PGD); with
five levels 4 is the P4D and 5 the PGD.  An *entry* of a level-1 table maps one page; an entry of
a level-n table points to a table of level n - 1.

An entry is an x86-64 page-table entry (Intel SDM vol. 3A, 4.5; arch/x86/include/asm/
pgtable_types.h), a 64-bit integer:

    63  NX        no instruction fetch
    51..12        frame number (pfn): the physical address is pfn << 12
     9  GUARD     with P = 0: no page, and every access is a SIGSEGV (a kernel PTE marker)
     8  PROTNONE  with P = 0: the page is present but nobody may touch it (PROT_NONE)
     7  PS        a leaf above level 1 (a huge page)
     6  D         dirty: the hardware stored through this entry
     5  A         accessed: the hardware used this entry
     2  US        user mode may use it
     1  RW        stores are allowed
     0  P         present

>>> X86_64.indices(0x7FFF_1234_5678)
(255, 508, 145, 325)
>>> TINY.span(1), TINY.task_size
(16384, 1048576)
"""

from dataclasses import dataclass
from functools import cached_property

P, RW, US, A, D, PS = 1, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7
PROTNONE, GUARD, NX = 1 << 8, 1 << 9, 1 << 63
PFN_SHIFT = 12
PFN_MASK = (1 << 52) - (1 << 12)
ZERO_PFN = 1                        # the frame of the shared zero page
PRESENT = P | PROTNONE              # what the kernel's pte_present() tests
TABLE = P | RW | US                 # an interior entry: permission is left to the leaf


def entry_pfn(entry: int) -> int:
    """The frame number in *entry*.

    >>> entry_pfn(0x5000 | P | RW)
    5
    """
    return (entry & PFN_MASK) >> PFN_SHIFT


def entry_letters(entry: int) -> str:
    """Two letters for a picture: what the entry allows now, "" when it is not present.

    >>> [entry_letters(e) for e in (0, P | US, P | RW | US, PROTNONE, GUARD)]
    ['', 'r-', 'rw', '--', 'gd']
    """
    if not entry & P:
        return "--" if entry & PROTNONE else "gd" if entry & GUARD else ""
    return "rw" if entry & RW else "r-"


@dataclass(frozen=True)
class Geometry:
    """The shape of an address: page size and, per level, the number of index bits.

    *bits* index bits a level, *levels* levels, pages of ``1 << page_shift`` bytes.  User space
    is [0, task_size): all of it in TINY, the lower half less one page on x86-64 (TASK_SIZE_MAX).
    *fault_around* is the default window in pages of a read fault on a file.
    """

    name: str
    levels: int
    bits: int
    task_size: int
    mmap_base: int                  # kernel-chosen mappings lie below it, top-down
    fault_around: int
    level_names: tuple[str, ...]    # from level 1 upwards
    page_shift: int = 12

    @cached_property
    def page_size(self) -> int:
        return 1 << self.page_shift

    @cached_property
    def entries(self) -> int:
        """Entries in one table."""
        return 1 << self.bits

    def entry_span(self, level: int) -> int:
        """Bytes that one entry of a table of *level* maps.

        >>> X86_64.entry_span(2) == 2 << 20
        True
        """
        return 1 << self.page_shift + self.bits * (level - 1)

    def span(self, level: int) -> int:
        """Bytes that a whole table of *level* maps."""
        return 1 << self.page_shift + self.bits * level

    @cached_property
    def huge_size(self) -> int:
        """Bytes of a huge page: what one PMD entry maps."""
        return self.entry_span(2)

    def index(self, addr: int, level: int) -> int:
        """The entry of a table of *level* that translates *addr* (the kernel's pte_index etc.)."""
        return addr >> self.page_shift + self.bits * (level - 1) & (1 << self.bits) - 1

    def indices(self, addr: int) -> tuple[int, ...]:
        """All indices of *addr*, top level first."""
        return tuple(self.index(addr, level) for level in range(self.levels, 0, -1))

    def level_name(self, level: int) -> str:
        """The kernel's name of a table of *level*.

        >>> [LA57.level_name(n) for n in range(5, 0, -1)]
        ['PGD', 'P4D', 'PUD', 'PMD', 'PTE']
        """
        return self.level_names[level - 1]

    def page_align(self, length: int) -> int:
        """*length* rounded up to whole pages (PAGE_ALIGN)."""
        return -(-length >> self.page_shift) << self.page_shift

    def __repr__(self) -> str:
        return self.name


FOUR = ("PTE", "PMD", "PUD", "PGD")
TINY = Geometry("TINY", 4, 2, 1 << 20, 1 << 20, 1, FOUR)
X86_64 = Geometry("X86_64", 4, 9, (1 << 47) - 4096, 0x7FFF_F7FF_F000, 16, FOUR)
LA57 = Geometry("LA57", 5, 9, (1 << 56) - 4096, 0x7FFF_F7FF_F000, 16,
                ("PTE", "PMD", "PUD", "P4D", "PGD"))
