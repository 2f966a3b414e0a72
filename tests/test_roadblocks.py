"""The roadblocks are measured, not typed in: with another rule, another table."""
from random import Random

import pytest

from mmlib import FileTableCache, Private
from mmlib.matrix import Matrix
from mmlib.exercises import check
from mmlib.regimes import REGIMES
from mmlib.roadblocks import ROADBLOCKS, draw, lottery

CACHES = ("cache-pte", "cache")


@pytest.fixture(scope="module")
def matrix():
    return Matrix(questions=ROADBLOCKS)


def column(matrix, question):
    return {regime: matrix[regime, question] for regime in REGIMES}


def test_mprotect_costs_its_caller_the_way_back(matrix):
    """Four pages of a private PTE table, and with PMD tables also three links to the others."""
    assert column(matrix, "mprotect a page") == {
        "private": "0 faults", "threads": "0 faults", "hugetlb": "4 faults",
        "cache-pte": "4 faults", "cache": "7 faults", "mshare": "0 faults",
        "mshare-2025": "EINVAL"}


def test_dontneed_costs_a_link_at_most(matrix):
    """The mapping stays whole, so one fault brings the page, or all of the table."""
    got = column(matrix, "DONTNEED a page")
    assert got.pop("mshare") == "0 faults" and set(got.values()) == {"1 fault"}


def test_only_private_tables_have_an_entry_for_each_process(matrix):
    """One accessed bit, one mapcount for both, wherever a table is shared."""
    got = column(matrix, "entries of a page")
    assert got.pop("private") == "2" and set(got.values()) == {"1"}


def test_what_the_kernel_would_tell(matrix):
    """PSS is the whole in each process; VmPTE counts links, and nothing of what is the file's."""
    assert column(matrix, "PSS told") == {
        "private": "100 %", "threads": "100 %", "hugetlb": "-", "cache-pte": "200 %",
        "cache": "200 %", "mshare": "200 %", "mshare-2025": "200 %"}
    assert column(matrix, "VmPTE told") == {    # 10 of 6, 42 of 26, 10 of 22
        "private": "100 %", "threads": "100 %", "hugetlb": "167 %", "cache-pte": "162 %",
        "cache": "45 %", "mshare": "0 %", "mshare-2025": "0 %"}


def test_an_exit_clears_what_nobody_shares(matrix):
    """64 entries with private tables; otherwise they are another's, or the file's."""
    got = column(matrix, "exit clears")
    assert got.pop("private") == "64" and set(got.values()) == {"0"}


def test_what_outlives_the_processes(matrix):
    """The cache keeps all but the PUDs, a region of 2022 everything; the owner of 2025 cleans up."""
    got = column(matrix, "tables left")
    assert {regime: int(cell) for regime, cell in got.items() if cell != "0"} == {
        "cache-pte": 16, "cache": 20, "mshare": 21}


def test_another_rule_another_table(monkeypatch):
    """Without sharing, the cache has the row of private tables."""
    monkeypatch.setattr(FileTableCache, "may_share", Private.may_share)
    rows = Matrix(["private", *CACHES], ROADBLOCKS).rows()
    assert rows[1][1:] == rows[2][1:] == rows[3][1:]


def test_questions_of_a_dict_are_the_known_ones():
    """A dict of questions brings its own; the names of others are refused."""
    assert Matrix(["mshare"], {"is it a regime": lambda regime: regime in REGIMES}).rows()[1] == [
        "mshare", "True"]
    with pytest.raises(ValueError, match="'colour' is none of tables, "):
        Matrix(["private"], ["colour"])


@pytest.mark.parametrize("answer, why", [
    (lambda machine, task: task.pss, "it divides by entries"),
    (lambda machine, task: task.rss, "That is RSS"),
    (lambda machine, task: task.pss / 2, "PSS is a number of bytes"),
    (lambda machine, task: 4096, "Divide each page")])
def test_a_pss_that_is_wrong_is_told_why(answer, why):
    """The kernel's is right only as long as tables are private."""
    verdict = check("10.5", answer)
    assert not verdict and why in verdict.why


def test_a_set_that_nobody_uses_is_no_process():
    """A page that is also mapped by a kept table is not shared with that."""
    def pss(machine, task):
        pages = [page.pfn for vma in task.maps()
                 for page in task.pagemap(vma.start, vma.end - vma.start) if page.present]
        return sum(4096 // len({mapping.mm for mapping in machine.rmap(pfn)[0]}) for pfn in pages)
    assert "a set is kept that nobody uses" in check("10.5", pss).why


@pytest.mark.parametrize("step, fit, leaves", [
    (4096, 0, 12),              # of 512 pages one fits, and these three draws miss it
    (2 << 20, 3, 4), (1 << 30, 3, 4)])
def test_what_is_rounded_shares(step, fit, leaves):
    """Three clients: a PUD and a PMD table each, and four PTE tables for each, or for all."""
    assert lottery(Random(3), step, clients=3, size=8 << 20) == (fit, 3 * 2 + leaves)


def test_a_lucky_draw_fits():
    """Page 512 of the randomised range has the index of offset 0 in a PTE table; page 511 not."""
    class Loaded(Random):
        def randrange(self, *bounds):
            return self.page
    for page, fit in (512, 2), (511, 0):
        dice = Loaded()
        dice.page = page
        assert lottery(dice, 4096, clients=2, size=4 << 20)[0] == fit


def test_a_whole_gib_shares_a_pmd_table():
    """PUDs alone are each client's own; a start is never beyond user space."""
    assert lottery(Random(3), 1 << 30, clients=3, size=1 << 30) == (3, 3 + 1 + 512)
    assert max(draw(Random(seed)) for seed in range(99)) < 1 << 28
