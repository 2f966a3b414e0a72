"""The benchmarks run, and their page says what they said.  No time is looked at."""
import json

import bench
import pytest

TOLD = {"date": "2026-01-01", "computer": {"CPU": "one"}, "rows": [
    {"id": "B1", "what": "this / that", "measured": 2.0, "gate": 4, "goal": 2.5},
    {"id": "B2", "what": "slow / fast", "measured": 30.0, "gate": 20, "goal": 12},
    {"id": "B3", "what": "so / so", "measured": 4.0, "gate": 5, "goal": 3.5},
    {"id": "B0", "what": "told / only", "measured": 9.0, "gate": None, "goal": None}]}


def test_what_was_reached():
    """The goal, the gate, neither; or nothing was asked."""
    assert [bench.verdict(row) for row in TOLD["rows"]] == ["goal", "over the gate", "gate", ""]


def test_the_page_keeps_its_text():
    """Only what is between the markers is written anew, and twice is once."""
    before = bench.PAGE_OF_DOCS.read_text(encoding="utf-8")
    after = bench.page(TOLD)
    assert "| B2 | slow / fast | 30 | 20 | 12 | over the gate |" in after
    assert after.partition("<!-- end -->")[2] == before.partition("<!-- end -->")[2]
    assert after.partition("<!-- written")[0] == before.partition("<!-- written")[0]


def test_the_page_shows_the_stored_figures():
    """docs/benchmarks.md is made of docs/benchmarks.json, which has every benchmark."""
    told = json.loads(bench.JSON.read_text(encoding="utf-8"))
    assert bench.table(told) in bench.PAGE_OF_DOCS.read_text(encoding="utf-8")
    assert {"B1", "B2", "B2e", "B4", "B5", "B6r", "B7", "B8", "B9a", "B9b", "B14", "B17"} <= {
        row["id"] for row in told["rows"]}


@pytest.mark.parametrize("candidate", [bench.traced_touch, bench.steps, bench.populate, bench.fork,
                                       bench.copyto, bench.write_protect, bench.copies])
def test_a_benchmark_runs(candidate, monkeypatch):
    """With few pages; what it does is what it says."""
    monkeypatch.setattr(bench, "PAGES", 64)
    assert candidate() > 0


def test_hits_fault_no_more(monkeypatch):
    """What is timed as a hit is one."""
    monkeypatch.setattr(bench, "PAGES", 64)
    for one_by_one in (True, False):
        hits = bench.Hits(one_by_one)
        faults = hits.task.minor_faults
        assert faults == 64 and hits.candidate() > 0 and hits.task.minor_faults == faults


def test_a_name_chooses(capsys, monkeypatch):
    """`bench.py B5` measures that one, and writes nothing."""
    monkeypatch.setattr(bench, "PAGES", 64)
    monkeypatch.setattr(bench, "GIB", 1 << 24)
    told = bench.run(["B6r"])
    assert [row["id"] for row in told["rows"]] == ["B6r"] and told["rows"][0]["measured"] > 0
