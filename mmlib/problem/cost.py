"""Count what a large region costs many processes, under each way to share tables.

Tables are spans: a process has its own, or one serves all.  Top-level tables are counted here.
"""

import random

from .question import Problem, mistakes

PAGE, PTE, PMD = 1 << 12, 1 << 21, 1 << 30      # bytes that a page, a PTE and a PMD table map
WORDS = {
    "private": "an ordinary file, every process has its own tables",
    "threads": "an ordinary file, the others are threads of the first",
    "private-2M": "a file of huge pages of 2 MiB, every process has its own tables",
    "hugetlb": "a file of huge pages of 2 MiB, PMD tables are shared as Linux does it",
    "cache-pte": "an ordinary file, PTE tables are kept with the file",
    "cache": "an ordinary file, PTE and PMD tables are kept with the file",
    "mshare": "a region of msharefs, by the rules of 2022",
}


def make(rng: random.Random) -> Problem:
    regime, n = rng.choice(sorted(WORDS)), rng.choice((2, 3, 4, 5, 6, 8))
    size = rng.choice((16 << 20, 64 << 20, 256 << 20, 512 << 20, PMD, PMD + (256 << 20)))
    tables, faults, why = counts(regime, n, size)
    own, own_faults, _ = counts("private", n, size)
    asks = rng.choice(("tables", "faults"))
    answer = sum(tables.values()) if asks == "tables" else faults
    why = why[0] + [f"That makes {answer}."] if asks == "tables" else why[1]
    size_text = f"{size >> 30} GiB" if size % PMD == 0 else f"{size >> 20} MiB"
    return Problem(
        given=f"{n} tasks map {size_text} at a multiple of 512 GiB, on x86-64 with pages of 4 KiB "
              f"unless said otherwise: {WORDS[regime]}. The first one stores to every page. Then "
              "each of the others loads from every page; a load of an ordinary file maps the 16 "
              "pages of an aligned window.",
        question="How many page tables are there, top-level ones included?"
                 + " (The region's own address space has one, too.)" * (regime == "mshare")
                 if asks == "tables" else
                 "How many page-fault exceptions are taken, by all tasks together?",
        answer=answer, why=tuple(why), shows_code=False,
        code=("from mmlib.cost import measure",),
        ask=f'measure("{regime}", {size}, {n})'
            f'["{"total_tables" if asks == "tables" else "faults"}"]',
        hint="Which spans of 2 MiB, 1 GiB and 512 GiB does the region meet? For each kind of "
             "table: has every process one, or is there one for all?" if asks == "tables" else
             "What does the first one pay a page, and what is left for the others: a window, a "
             "huge page, or a link?",
        mistakes=mistakes(
            answer, *([(sum(own.values()), "That is with tables of their own and small pages."),
                       (answer - n, "And the top-level tables?"),
                       (answer - tables["pgd"], "And the top-level tables?")]
                      if asks == "tables" else
                      [(own_faults, "That is with tables of their own and small pages."),
                       (faults // n, "That is the share of one, if all paid alike."),
                       (size // PAGE * n, "Does a load map one page only?")])))


def counts(regime: str, n: int, size: int) -> tuple[dict, int, tuple[list[str], list[str]]]:
    """(tables, faults, why of both)."""
    pte, pmd, full = size // PTE, -(-size // PMD), size // PMD
    rest, pages = pte - full * 512, size // PAGE      # PTE spans in the last, partial GiB
    own = {"pgd": n, "pud": n, "pmd": n * pmd, "pte": n * pte}
    tables, first, others, how = {
        "private": (own, pages, pages // 16, "one for each window of 16 pages"),
        "threads": ({"pgd": 1, "pud": 1, "pmd": pmd, "pte": pte}, pages, 0,
                    "none: all is mapped in the one mm"),
        "private-2M": (own | {"pte": 0}, pte, pte, "one for each huge page"),
        "hugetlb": (own | {"pmd": full + n * (pmd - full), "pte": 0}, pte, full + rest,
                    f"a link for each of {full} whole GiB, and one for each of {rest} huge pages "
                    "in the rest"),
        "cache-pte": (own | {"pte": pte}, pages, pte, "a link for each PTE table"),
        "cache": (own | {"pmd": full + n * (pmd - full), "pte": pte}, pages, full + rest,
                  f"a link for each of {full} whole GiB, and one for each of {rest} PTE tables in "
                  "the rest"),
        "mshare": ({"pgd": n + 1, "pud": 1, "pmd": pmd, "pte": pte}, pages + 1, 1,
                   "one link of the slot"),
    }[regime]
    total = first + (n - 1) * others
    said = ", ".join(f"{number} {level.upper()}" for level, number in tables.items() if number)
    why = [f"With tables of its own each process needs 1 PGD, 1 PUD, {pmd} PMD and {pte} PTE "
           "tables; with huge pages no PTE table."]
    if regime in ("hugetlb", "cache"):
        why.append(f"A PMD table is shared only if the mapping covers its whole GiB: {full} of "
                   f"{pmd}.")
    why.append(f"Here: {said}.")
    return tables, total, (why, [
        f"The first one takes {first}: one for each page that it stores to"
        + (", and one to link the slot." if regime == "mshare" else "."),
        f"Each of the others takes {others}: {how}.",
        f"{first} + {n - 1} * {others} = {total}."])
