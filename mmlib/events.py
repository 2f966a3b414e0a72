"""What can happen: kinds of events, the kernel function behind each, and one plain sentence."""

import re
from typing import Any, NamedTuple

from .geometry import ZERO_PFN, entry_letters, entry_pfn

# kind: (the kernel function that does it, the fields of data, one plain sentence)
KINDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "tlb_hit": ("the MMU", ("cpu", "page"), "CPU {cpu} has the page {page:#x} in its TLB."),
    "tlb_miss": ("the MMU", ("cpu", "page", "found"),
                 "CPU {cpu} has {found} for the page {page:#x}."),
    "walk": ("the MMU", ("level", "pfn", "index", "entry"),
             "The walk reads entry {index} of {level} {pfn}: {entry}."),
    "fault": ("exc_page_fault", ("addr", "access"),
              "The {access} of {addr:#x} raises a page fault."),
    "find_vma": ("lock_vma_under_rcu", ("addr", "found"), "The VMA of {addr:#x}: {found}."),
    "table": ("{level}_alloc", ("level", "pfn", "mm"),
              "{mm} gets a fresh {level} table, frame {pfn}."),
    "share": ("get_table", ("level", "pfn", "mm"),
              "{mm} links the {level} table in frame {pfn} that is there already."),
    "link": ("find_shared_vma", ("level", "pfn", "mm"),
             "{mm} links the {level} table in frame {pfn} of the region: all below it is shared."),
    "host": ("find_shared_vma", ("host", "addr"),
             "The region's own address space answers, {host} at {addr:#x}."),
    "unshare": ("unshare", ("level", "pfn", "mm"),
                "{mm} lets go of the shared {level} table in frame {pfn}."),
    "cache_hit": ("filemap_map_pages", ("file", "index", "pfn"),
                  "Page {index} of {file} is in the page cache, frame {pfn}."),
    "cache_fill": ("shmem_get_folio", ("file", "index", "pfn"),
                   "Page {index} of {file} enters the page cache, frame {pfn}."),
    "fault_around": ("do_fault_around", ("pages",),
                     "Fault-around maps {pages} cached page(|s) around it as well."),
    "zero_page": ("do_anonymous_page", ("addr", "pfn"),
                  "{addr:#x} is only read: it gets the shared zero page, read-only."),
    "anon": ("do_anonymous_page", ("addr", "pfn"),
             "{addr:#x} gets a fresh zeroed page, frame {pfn}."),
    "copy": ("wp_page_copy", ("addr", "old", "new"),
             "Copy on write: {old} is copied to frame {new} for {addr:#x}."),
    "reuse": ("wp_page_reuse", ("addr", "pfn"),
              "Nobody else uses frame {pfn} any more: it is made writable, not copied."),
    "make_writable": ("wp_page_shared", ("addr", "pfn"),
                      "The shared page in frame {pfn} is made writable for {addr:#x}."),
    "spurious": ("handle_pte_fault", ("addr",), "The entry of {addr:#x} is there already."),
    "fill": ("set_pte_at", ("pfn", "index", "entry"),
             "Entry {index} of table {pfn} becomes {entry}."),
    "populate": ("populate_vma_page_range", ("pages", "faults"),
                 "{pages} page(|s) (is|are) faulted in ahead of use, with {faults} fault(|s)."),
    "vma": ("vma_link", ("found",), "A VMA is there: {found}."),
    "vma_gone": ("vms_gather_munmap_vmas", ("found",), "Gone from the VMA list: {found}."),
    "vma_moved": ("copy_vma", ("old", "new"), "The VMA moves from {old:#x} to {new:#x}."),
    "protect": ("change_protection", ("start", "end", "entries"),
                "{entries} entr(y|ies) in [{start:#x}, {end:#x}) take(s|) the new protection."),
    "zap": ("zap_page_range", ("start", "end", "entries"),
            "{entries} entr(y|ies) in [{start:#x}, {end:#x}) (is|are) cleared."),
    "free_table": ("free_pgtables", ("level", "pfn"), "The {level} table in frame {pfn} is freed."),
    "free_page": ("folio_put", ("pfn",), "Frame {pfn} is free."),
    "move_entries": ("move_page_tables", ("entries", "tables"),
                     "{entries} entr(y|ies) and {tables} whole table(|s) move to the new addresses."),
    "dup_mm": ("dup_mmap", ("vmas",), "The child gets a copy of the VMA list: {vmas} VMA(|s)."),
    "copy_range": ("copy_page_range", ("start", "end", "entries"),
                   "{entries} entr(y|ies) of [{start:#x}, {end:#x}) (is|are) copied; "
                   "writable ones of private pages become read-only in both."),
    "skip_range": ("vma_needs_copy", ("start", "end"),
                   "No entry of [{start:#x}, {end:#x}) is copied: the child will fault."),
    "flush": ("flush_tlb_mm_range", ("mm", "pages", "cpus"),
              "TLB entries of {mm} for {pages} page(|s) are flushed on {cpus} CPU(|s)."),
    "touch": ("the MMU", ("pages", "faults"),
              "{pages} page(|s) (is|are) touched, with {faults} fault(|s)."),
    "signal": ("force_sig_fault", ("name", "code", "addr"),
               "{name} ({code}) is delivered for {addr:#x}."),
    "oom": ("oom_kill_process", ("victim", "reason"), "The OOM killer ends {victim}: {reason}."),
    "truncate": ("unmap_mapping_range", ("file", "first", "pages"),
                 "{pages} page(|s) of {file} from page {first:d} on leave(s|) every mapping "
                 "and the cache."),
}


class Event(NamedTuple):
    """One thing that happened; the fields of *data* are attributes.

    >>> e = Event("copy", (0x1000, 5, 9))
    >>> e.new, e.function, e.text
    (9, 'wp_page_copy', 'Copy on write: frame 5 is copied to frame 9 for 0x1000.')
    """

    kind: str
    data: tuple

    def __getattr__(self, name: str) -> Any:
        fields = KINDS[self.kind][1]
        if name in fields:
            return self.data[fields.index(name)]
        raise AttributeError(f"a {self.kind!r} event has {', '.join(fields)}, not {name!r}")

    @property
    def index(self) -> int:
        """A field of some kinds, and not the method of tuples."""
        return self.__getattr__("index")

    def _fields_shown(self) -> dict[str, Any]:
        shown = dict(zip(KINDS[self.kind][1], self.data))
        if "entry" in shown:
            shown["entry"] = entry_text(shown["entry"])
        if self.kind == "copy":
            shown["old"] = "the zero page" if self.old == ZERO_PFN else f"frame {self.old}"
        return shown

    @property
    def function(self) -> str:
        """The kernel function that does this, or "the MMU"."""
        return KINDS[self.kind][0].format(**{k: str(v).lower() for k, v in
                                            self._fields_shown().items()})

    @property
    def text(self) -> str:
        """One plain sentence."""
        shown = self._fields_shown()
        return one_line(agree(KINDS[self.kind][2], shown).format(**shown))


def agree(template: str, numbers: dict[str, Any]) -> str:
    """Singular or plural, as the number before it wants; an address is none, nor a name.

    >>> agree("{pages} page(|s) (is|are) touched, with {faults} fault(|s).", {"pages": 1})
    '{pages} page is touched, with {faults} faults.'
    >>> agree("{n} entr(y|ies) in [{start:#x}, {end:#x}) (is|are) cleared.", {"n": 1})
    '{n} entry in [{start:#x}, {end:#x}) is cleared.'
    """
    out, many = [], True
    for part in re.split(r"(\{\w+\}|\(\w*\|\w*\))", template):
        if part[:1] == "{" and not isinstance(numbers.get(part[1:-1]), str):
            many = numbers.get(part[1:-1]) != 1
        elif part[:1] == "(" and "|" in part:
            part = part[1:-1].split("|")[many]
        out.append(part)
    return "".join(out)


def one_line(text: str) -> str:
    r"""*text* without line breaks: a name may hold them, and Linux prints them so (mangle_path).

    >>> print(one_line("two\nlines"))
    two\012lines
    """
    return text.replace("\n", "\\012")


def entry_text(entry: int) -> str:
    """An entry in words: its frame and what it allows.

    >>> entry_text(0x5067), entry_text(0)
    ('frame 5 rw AD', 'empty')
    """
    if not entry_letters(entry):
        return "empty"
    bits = "".join(c for c, bit in (("A", 1 << 5), ("D", 1 << 6)) if entry & bit)
    return f"frame {entry_pfn(entry)} {entry_letters(entry)} {bits}".rstrip()
