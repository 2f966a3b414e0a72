"""The table that compares the regimes is filled by running them."""
import re

import pytest

from mmlib import TINY, FileTableCache, HugetlbPmdSharing, Private, validate
from mmlib.matrix import QUESTIONS, Matrix, both
from mmlib.mshare2025 import Region2025
from mmlib.regimes import REGIMES, SIZE


@pytest.fixture(scope="module")
def matrix():
    return Matrix()


@pytest.mark.parametrize("regime", REGIMES)
def test_every_experiment_leaves_a_valid_machine(regime):
    """The world that all questions start from, and both processes read the same bytes."""
    world, first, second = both(regime)
    first.store(SIZE + 0x5000, b"seen")
    assert second.load(SIZE + 0x5000, 4) == b"seen"
    validate(world.machine)


def test_tables_are_those_of_the_geometry(matrix):
    """One slot: 1 PUD, 4 PMD and 16 PTE tables for each process that has its own."""
    assert SIZE == TINY.span(3)
    got = {regime: int(matrix[regime, "tables"]) for regime in REGIMES}
    assert got == {"private": 2 * (1 + 4 + 16), "threads": 1 + 4 + 16, "hugetlb": 2 + 4,
                   "cache-pte": 2 * (1 + 4) + 16, "cache": 2 + 4 + 16,
                   "mshare": 1 + 4 + 16, "mshare-2025": 1 + 4 + 16}


def test_bytes_are_those_of_the_tables(matrix):
    """A table is a page."""
    assert all(int(matrix[regime, "bytes"]) == 4096 * int(matrix[regime, "tables"])
               for regime in REGIMES)


@pytest.mark.parametrize("question, regimes", [
    ("mprotect seen by all", {"threads", "mshare"}), ("same address", {"threads", "mshare"})])
def test_who_says_yes(matrix, question, regimes):
    """Where the layout is shared, a protection is; 2025 refuses it, and lets addresses differ."""
    assert {regime for regime in REGIMES if matrix[regime, question] == "yes"} == regimes


def test_the_proposal_is_free(matrix):
    """Under the cache a program is the one of today; all other sharing asks for a script."""
    assert {r for r in REGIMES if matrix[r, "a program"] == "free"} == \
        {"private", "cache-pte", "cache"}


def test_only_the_owner_of_2025_takes_the_region_along(matrix):
    """Everywhere else the second process reads on."""
    assert {r for r in REGIMES if matrix[r, "creator exits"] != "reads on"} == {"mshare-2025"}


def test_another_rule_another_table(monkeypatch, matrix):
    """The cells come from the rules: with each of three broken, one of them changes."""
    assert matrix["hugetlb", "tables"] == "6"
    monkeypatch.setattr(HugetlbPmdSharing, "may_share", Private.may_share)
    assert Matrix(["hugetlb"], ["tables"])["hugetlb", "tables"] == "10"
    monkeypatch.undo()
    monkeypatch.setattr(FileTableCache, "find", lambda *args: None)
    with pytest.raises(AssertionError):     # a cache that forgets is no valid machine
        validate(both("cache-pte")[0].machine)
    monkeypatch.undo()
    monkeypatch.setattr(Region2025, "owner_exits", lambda self: None)
    assert Matrix(["mshare-2025"], ["creator exits"])["mshare-2025", "creator exits"] == "reads on"


def test_unknown_names_are_refused():
    """The known ones are listed."""
    with pytest.raises(ValueError, match="'swap' is none of private, threads"):
        Matrix(["swap"])
    with pytest.raises(ValueError, match="'colour' is none of tables, "):
        Matrix(["private"], ["colour"])


def test_text_and_html_say_the_same(matrix):
    """Cell by cell."""
    told = [[cell.strip() for cell in line.split(" | ")] for line in repr(matrix).splitlines()]
    rows = re.findall(r"<tr>(.*?)</tr>", matrix._repr_html_())
    assert [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows] == told == matrix.rows()
    assert len(told) == 1 + len(REGIMES) and len(told[0]) == 1 + len(QUESTIONS)
