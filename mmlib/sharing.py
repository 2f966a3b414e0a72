"""Which page tables may be shared, and where a missing one comes from.

A policy answers three questions about a table that is missing: may this one be shared at all
(`may_share`), is there one already (`find`), and here is a fresh one, keep it if you like
(`publish`).  `fault.get_table` is the only place that asks.  The two policies that share differ
in little more than where they look: at the file's other mappers, or in a cache kept with the file.

Linux decides by the kind of file: hugetlb files share PMD tables (mm/hugetlb.c), others nothing.
`HugetlbPmdSharing` is therefore what Linux does.
"""

from collections.abc import Iterator

from .tables import Ptdesc
from .vma import (
    VM_ACCESS_FLAGS,
    VM_EXEC,
    VM_LOCKED,
    VM_MAYSHARE,
    VM_NOSHARE,
    VM_MAYBE_GUARD,
    VM_TRACKED,
    VM_WRITE,
    VMA,
)

LEVELS = {"pte": 1, "pmd": 2}


def shareable(vma: VMA, base: int, level: int) -> bool:
    """Could a table of *level* for the range at *base* mean the same to another mapper?

    It can if *vma* is a shared mapping that covers the table's whole span, and nothing in the
    entries belongs to this process alone (page_table_shareable, want_pmd_share)."""
    return bool(vma.flags & VM_MAYSHARE and not vma.flags & (VM_TRACKED | VM_MAYBE_GUARD)
                and vma.anon_vma is None
                and vma.start <= base and base + vma.mm.geometry.span(level) <= vma.end)


class Private:
    """Every mm has its own tables, for hugetlb files too."""

    keep_unused = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def may_share(self, vma: VMA, base: int, level: int) -> bool:
        return False

    def find(self, vma: VMA, base: int, level: int) -> Ptdesc | None:
        """The table that already maps the range at *base* of the file behind *vma*, or None."""

    def publish(self, vma: VMA, base: int, table: Ptdesc) -> None:
        """A fresh table was made where `find` had none."""


class HugetlbPmdSharing(Private):
    """What Linux does: a PMD table of a hugetlb file is borrowed from another mapper."""

    def may_share(self, vma: VMA, base: int, level: int) -> bool:
        return vma.huge and level == 2 and shareable(vma, base, level)

    def find(self, vma: VMA, base: int, level: int) -> Ptdesc | None:
        """Look at the file's other mappers, oldest first (huge_pmd_share)."""
        for other in self.lenders(vma, base, level):
            there = other.start + (vma.index(base) - other.pgoff) * vma.mm.geometry.page_size
            table = other.mm.tables.table_at(other.mm.pgd, there, level)
            if table is not None:
                return table
        return None

    def lenders(self, vma: VMA, base: int, level: int) -> Iterator[VMA]:
        """Other mappings that could have the table for the range at *base*."""
        span, size = vma.mm.geometry.span(level), vma.mm.geometry.page_size
        for other in vma.file.inode.mapping.i_mmap:
            there = other.start + (vma.index(base) - other.pgoff) * size
            if (other is not vma and there % span == 0 and shareable(other, there, level)
                    and not (other.flags ^ vma.flags) & ~VM_LOCKED):
                yield other


class FileTableCache(HugetlbPmdSharing):
    """Hildenbrand's proposal (13 and 18 July 2022): page tables are cached with the file.

    *levels* are the levels whose tables are kept; *min_file_size* in bytes, compared at the
    fault; with *keep_unused* a table stays after its last user until `Machine.shrink` or pressure.
    Hugetlb files share as they do without it.

    >>> FileTableCache(levels=("pte",))
    FileTableCache(levels=('pte',), min_file_size=0, keep_unused=True)
    """

    def __init__(self, levels: tuple[str, ...] = ("pte", "pmd"), *, min_file_size: int = 0,
                 keep_unused: bool = True):
        if not isinstance(levels, (tuple, list)) or not levels or not set(levels) <= set(LEVELS):
            raise ValueError(f"levels are of 'pte' and 'pmd', not {levels!r}")
        if type(min_file_size) is not int or min_file_size < 0:
            raise ValueError(f"min_file_size is a number of bytes, not {min_file_size!r}")
        self.levels, self.min_file_size = tuple(levels), min_file_size
        self.keep_unused = bool(keep_unused)
        self._levels = tuple(LEVELS[name] for name in levels)

    def __repr__(self) -> str:
        return (f"FileTableCache(levels={self.levels}, min_file_size={self.min_file_size}, "
                f"keep_unused={self.keep_unused})")

    def may_share(self, vma: VMA, base: int, level: int) -> bool:
        """Suitable size, alignment (also against the file), protection; nobody opted out."""
        if vma.huge:
            return super().may_share(vma, base, level)
        mm, pages = vma.mm, vma.mm.geometry.span(level) >> vma.mm.geometry.page_shift
        return bool(level in self._levels and vma.file and shareable(vma, base, level)
                    and vma.index(base) % pages == 0 and vma.flags & VM_ACCESS_FLAGS
                    and mm.share_tables and not vma.flags & VM_NOSHARE
                    and vma.file.inode.mapping.size >= self.min_file_size)

    def find(self, vma: VMA, base: int, level: int) -> Ptdesc | None:
        """Look into the file's cache."""
        if vma.huge:
            return super().find(vma, base, level)
        return cached_table(vma.mm.tables, vma.file.inode.mapping, cache_key(vma, base, level))

    def publish(self, vma: VMA, base: int, table: Ptdesc) -> None:
        if not vma.huge:
            mapping, key = vma.file.inode.mapping, cache_key(vma, base, table.level)
            mapping.tables[key] = table
            vma.mm.tables.publish(table, (mapping, key))


def cache_kind(vma: VMA) -> str:
    """The set of tables that *vma* can use.

    Hildenbrand, 18 July 2022: e.g. two sets a file, RW and R.  A mapping that can be written is
    in the RW set whether or not it can be read; x is kept apart, since NX is in the entries."""
    return ("rw" if vma.flags & VM_WRITE else "r") + ("x" if vma.flags & VM_EXEC else "")


def cache_key(vma: VMA, base: int, level: int) -> tuple[str, int, int]:
    """(set, level, first page of the file): entries of one set allow the same."""
    return cache_kind(vma), level, vma.index(base)


def cached_table(tables, mapping, key: tuple[str, int, int]) -> Ptdesc | None:
    """The table that is kept with a file under *key*: alone, in a row of its level, or below one
    of the level above."""
    kind, level, page = key
    if key in mapping.tables:
        return mapping.tables[key]
    bits = tables.geometry.bits
    numbers = mapping.forests.get((kind, level))
    pfn = numbers and numbers.at(page >> bits * level)
    if pfn:
        return tables.object(pfn)
    if level == 2:
        return None
    above = cached_table(tables, mapping, (kind, level + 1, page >> bits * 2 << bits * 2))
    return above and tables.child(above, (page >> bits) % tables.geometry.entries)


def is_shared(table: Ptdesc) -> bool:
    """May *table* be changed only for all, not on behalf of one mm?

    A host's table that guests of msharefs link is changed for all of them: that is the point."""
    return table.home is not None or table.users > 1 and not table.lent


