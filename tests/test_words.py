"""Words of the kernel are spelled as it spells them, in every notebook and document.

Only prose is read: not code, not links' targets, not what others are quoted with.
"""
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")),
         *sorted(ROOT.glob("notebooks/*.ipynb"))]
NO_PROSE = re.compile(r"^ *```.*?^ *```|`[^`\n]+`|^ *>[^\n]*$|\"[^\"\n]*\"|\]\([^)\n]*\)|<[^>\n]+>",
                      re.M | re.S)

# What is right: what has been seen instead, as a pattern.
SPELLED = {
    "TLB": r"\b(?:the|a|an|its|each|whose) tlb\b|\bTlbs?\b",
    "page table": r"\b[Pp]agetables?\b|\b[Pp]age-tables\b",
    "page fault": r"\b[Pp]agefaults?\b|(?<!perf's )\b[Pp]age-faults\b",
    "page cache": r"\b[Pp]age-?cache\b",
    "copy on write": r"\b[Cc]opy-on-write\b|\bcow\b",
    "PTE, PMD, PUD, PGD": r"\b(?:pte|pmd|pud|pgd|Pte|Pmd)s?\b",
    "VMA": r"\b(?:vma|Vma)s?\b",
    "VmPTE, VmRSS": r"\bV[Mm]Pte\b|\bVMPTE\b|\bvmpte\b|\bVMRSS\b",
    "RSS, PSS": r"\b(?:pss|rss) of\b",
    "hugetlb, hugetlbfs": r"\b[Hh]uge[TL][TLB]*\b|\bHugetlb\b(?= file\b)|\b[Hh]uge-tlb\b",
    "huge page": r"\b[Hh]uge-?pages\b",
    "msharefs, mshare": r"\bM[Ss]hare(?:[Ff][Ss])?\b|\bmshare-?FS\b|\bmshare fs\b",
    "userfaultfd": r"\b[Uu]ser-?[Ff]ault-[Ff][Dd]\b|\bUserFaultFD\b",
    "soft-dirty": r"\b[Ss]oft ?dirty\b",
    "x86-64": r"\bx86_64\b|\bX86-64\b|\bamd64\b",
    "tmpfs, memfd, ext4": r"\b(?:TmpFS|tmpFS|MemFD|Ext4|EXT4)\b",
    "SIGSEGV, SIGBUS": r"\b(?:SigSegv|sigsegv|SegFault|segfault|SigBus|sigbus)\b",
    "Linux": r"(?<![/`.])\blinux\b(?![-/.])|\bLINUX\b",
    "JupyterLab, JupyterHub": r"\bJupyter (?:Lab|Hub)\b|\bJupyter[lh]",
    "British: behaviour": r"\b(?:behavior|color|favor|neighbor|honor)\w*\b",
    "British: -ise": r"\b\w*(?:ynchroniz|erializ|ecogniz|rganiz|ptimiz|inimiz|aximiz|ummariz"
                     r"|nitializ|ealiz|andomiz)\w*\b",
    "British: licence, centre": r"\blicense(?:s)?\b|\bcenter(?:s|ed)?\b",
}


def prose(page):
    """The running text of a page: what is left out keeps its line breaks."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        text = "\n\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells
                           if cell.cell_type == "markdown")
    return NO_PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_words_are_spelled_as_the_kernel_does(page):
    text = prose(page)
    wrong = [f"{right}, not {text[max(found.start() - 20, 0):found.end() + 10]!r}"
             for right, pattern in SPELLED.items() for found in re.finditer(pattern, text)]
    assert not wrong


def test_the_patterns_find_what_they_are_for():
    """A pattern that matches nothing would pass every text."""
    seen = ("a tlb, pagetables, page-faults, pagecache, copy-on-write, two ptes, a vma, VMPTE, the pss of it, "
            "HugeTLB, hugepages, Mshare, user-fault-fd, soft dirty, x86_64, Ext4, a segfault, "
            "on linux, Jupyter Lab, behavior, optimize, a license")
    assert not [right for right, pattern in SPELLED.items() if not re.search(pattern, seen)]
