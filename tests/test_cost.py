"""What 300 GiB shared by 1500 processes costs, to the last table and fault."""
import argparse
import json
from itertools import product

import pytest

from mmlib import LA57, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, X86_64, Machine, Segfault, cost, validate
from mmlib.__main__ import main
from mmlib.costs import Costs
from mmlib.linux import Linux
from mmlib.views.union import union
from mmlib.views.text import describe, status

GIB = 1 << 30
HEADLINE = {                # regime: PGD, PUD, PMD, PTE tables, total, faults
    "private": (1500, 1500, 450_000, 230_400_000, 230_853_000, 7_446_528_000),
    "threads": (1, 1, 300, 153_600, 153_902, 78_643_200),
    "private-2M": (1500, 1500, 450_000, 0, 453_000, 230_400_000),
    "hugetlb": (1500, 1500, 300, 0, 3_300, 603_300),
    "cache-pte": (1500, 1500, 450_000, 153_600, 606_600, 308_889_600),
    "cache": (1500, 1500, 300, 153_600, 156_900, 79_092_900),
    "mshare": (1501, 1, 300, 153_600, 155_402, 78_644_700),
}
MISALIGNED = {              # by 12 KiB: total, faults
    "private": (230_856_000, 7_446_529_499), "threads": (153_904, 78_643_200),
    "cache-pte": (230_856_000, 7_446_529_499), "cache": (230_856_000, 7_446_529_499),
    "mshare": (155_402, 78_644_700),        # a region has no file offset that could be missed
}


@pytest.mark.parametrize("regime", HEADLINE)
def test_the_headline(regime):
    """Counted by the machine; the same as by arithmetic."""
    row = cost.measure(regime, 300 * GIB, 1500)
    assert (*row["tables"].values(), row["total_tables"], row["faults"]) == HEADLINE[regime]
    assert list(row["tables"]) == ["pgd", "pud", "pmd", "pte"]
    assert row["bytes"] == row["total_tables"] * 4096


@pytest.mark.parametrize("regime", MISALIGNED)
def test_the_headline_shifted_by_twelve_kibibytes(regime):
    """The cache loses everything: "reasonably aligned" is no decoration."""
    row = cost.measure(regime, 300 * GIB, 1500, 12 << 10)
    assert (row["total_tables"], row["faults"]) == MISALIGNED[regime]


@pytest.mark.parametrize("regime", ["private-2M", "hugetlb"])
def test_huge_pages_cannot_be_shifted_by_small_ones(regime):
    """EINVAL; by a huge page they can, and then PMD sharing is lost."""
    assert cost.measure(regime, GIB, 3, 12 << 10) == {
        "regime": regime,
        "skipped": "EINVAL: the start is not a multiple of 2097152, the size of a page"}
    row = cost.measure(regime, GIB, 3, 2 << 20)
    assert row["tables"]["pmd"] == 6 and row["faults"] == 3 * 512


@pytest.mark.parametrize("size, shift", [(300 * GIB, 0), (300 * GIB, 12 << 10), (12 << 10, 4096)])
def test_both_rules_of_msharefs_cost_the_same(size, shift):
    """`mshare-2025` is asked for by name: `all` is the other seven."""
    old, new = (cost.measure(name, size, 40, shift) for name in ("mshare", "mshare-2025"))
    assert new | {"seconds": 0} == old | {"seconds": 0, "regime": "mshare-2025"}
    assert Costs(size, 2, regimes=["mshare-2025"])["mshare-2025"]["tables"]["pgd"] == 3
    validate(cost.experiment("mshare-2025", size, 3, shift))
    assert "mshare-2025" not in Costs(4096, 1).regimes
    assert "skipped" in cost.measure("mshare-2025", size, 1, 0, 1)


def brute_force(regime: str, size: int, processes: int, shift: int) -> tuple[int, ...]:
    """Tables by level, PGD first, as sets of addresses: no machine and no formula."""
    shift = 0 if regime == "mshare" else shift
    start, tables = cost.SLOT + shift, {(4, 0, "host")} if regime == "mshare" else set()
    step = cost.HUGE if cost.REGIMES[regime][1] else cost.PAGE
    shared = {"cache": (1, 2), "cache-pte": (1,), "hugetlb": (2,)}.get(regime, ())
    for process, addr in product(range(processes), range(start, start + size, step)):
        for level in range(2 if step > cost.PAGE else 1, 5):
            span = X86_64.span(level)
            base = addr // span * span
            whole = start <= base and base + span <= start + size and shift % span == 0
            who = "file" if level in shared and whole else \
                "host" if regime == "mshare" and level < 4 else \
                "one" if regime == "threads" else process
            tables.add((level, base, who))
    return tuple(sum(table[0] == level for table in tables) for level in (4, 3, 2, 1))


@pytest.mark.parametrize("regime, shift, mib", [
    (regime, shift, mib) for regime in cost.REGIMES for shift in (0, 4096, 12 << 10, 2 << 20)
    for mib in (2, 6, 20) if not cost.REGIMES[regime][1] or shift % cost.HUGE == 0])
def test_small_regions_by_brute_force(regime, shift, mib):
    """Every table is listed by address and owner."""
    row = cost.measure(regime, mib << 20, 3, shift)
    assert tuple(row["tables"].values()) == brute_force(regime, mib << 20, 3, shift)


@pytest.mark.parametrize("regime", cost.REGIMES)
def test_a_large_machine_is_valid_and_can_be_looked_at(regime):
    """1500 processes: validated, told, drawn as a handful of groups."""
    machine = cost.experiment(regime, 300 * GIB, 1500)
    validate(machine)
    now = machine.snapshot()
    assert len(describe(now).splitlines()) < 60
    assert len(union([now]).nodes) < 60
    assert f"{machine.tasks[0].rss // 1024} kB" in status(now, "p0")


@pytest.mark.parametrize("regime", [name for name in cost.REGIMES if name != "mshare"])
def test_a_large_machine_can_be_taken_apart(regime):
    """Verbs on a part of it, then the end of all: nothing is left."""
    machine = cost.experiment(regime, 300 * GIB, 6)
    at, one, two = cost.SLOT, machine.tasks[1], machine.tasks[2]
    huge = cost.REGIMES[regime][1]
    child = one.fork("child")
    one.munmap(at + 100 * GIB, 3 * GIB + (2 << 20))
    two.mprotect(at + GIB, 70 * GIB, "r")
    child.touch(at, 300 * GIB)
    if not huge:
        one.store(at + 80 * GIB, b"here")
        assert two.load(at + 80 * GIB, 4) == b"here"
    validate(machine)
    machine.files[0].truncate(150 * GIB)
    validate(machine)
    assert child.rss == (0 if huge else 150 * GIB)
    two.munmap(at, 300 * GIB) if regime != "threads" else None
    validate(machine)
    for task in list(machine.tasks):
        task.exit()
    machine.files[0].truncate(0)
    machine.shrink()
    validate(machine)
    assert sum(machine.tables.counts) == 0 and not machine.memory.extents


def test_a_large_region_can_be_taken_apart():
    """msharefs: one mprotect for all, a fork that links, guests that go; nothing is left."""
    machine = cost.experiment("mshare", 300 * GIB, 6)
    at, one, two = cost.SLOT, machine.tasks[1], machine.tasks[2]
    before = sum(machine.tables.counts)
    two.mprotect(at + GIB, 70 * GIB, "r")
    validate(machine)
    one.store(at + 80 * GIB, b"here")
    with pytest.raises(Segfault):
        one.store(at + GIB, b"no")
    child = one.fork("child")
    child.touch(at, 300 * GIB)
    assert child.load(at + 80 * GIB, 4) == b"here"
    assert sum(machine.tables.counts) == before + 1          # the child's top-level table
    one.munmap(at, 512 * GIB)
    validate(machine)
    for task in list(machine.tasks):
        task.exit()
    validate(machine)
    assert machine.tables.counts[1] == 153_600               # a region outlives its guests
    keeper = machine.spawn("keeper")
    keeper.unlink("/mshare/db")
    machine.files[0].close()
    keeper.exit()
    validate(machine)
    assert sum(machine.tables.counts) == 0 and not machine.memory.extents


def test_private_memory_of_300_gib_is_forked_and_written():
    """Copy on write of 78,643,200 pages, twice."""
    machine = Machine(trace=False)
    a = machine.spawn("a")
    a.mmap(cost.SLOT, 300 * GIB, "rw", MAP_PRIVATE | MAP_FIXED | 0x20)
    a.touch(cost.SLOT, 300 * GIB, write=True)
    b = a.fork("b")
    b.touch(cost.SLOT, 300 * GIB, write=True)
    a.touch(cost.SLOT, 300 * GIB, write=True)
    pages = 300 * GIB >> 12
    assert machine.counters["copies"] == pages and machine.counters["faults"] == 3 * pages
    assert a.pss == b.pss == a.rss == 300 * GIB and a.tables == b.tables == 153_901
    validate(machine)


def test_five_levels():
    """One more table a process, and nothing else."""
    machine = Machine(LA57, trace=False)
    file = machine.memfd("db", GIB)
    for name in "abc":
        task = machine.spawn(name)
        task.mmap(cost.SLOT, GIB, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(cost.SLOT, GIB, write=name == "a")
    assert machine.tables.counts[::-1] == [3, 3, 3, 3, 3 * 512, 0]


def test_pages_of_its_own():
    """Each process that stores privately leaves the shared tables there."""
    plain, own = (cost.measure("cache", 4 * GIB, 3, diverge=n) for n in (0, 2))
    assert own["tables"]["pte"] - plain["tables"]["pte"] == 6
    validate(cost.experiment("cache", 4 * GIB, 3, diverge=2))


# side by side ----------------------------------------------------------------------------------
def test_costs_are_the_rows_of_measure():
    """A row a regime; as text one line each, as HTML one row each, and no seconds in either."""
    costs = Costs(64 << 20, 4)
    assert list(costs.regimes) == list(cost.REGIMES)
    row, alone = costs["cache"], cost.measure("cache", 64 << 20, 4)
    assert row | {"seconds": 0} == alone | {"seconds": 0}
    assert len(str(costs).splitlines()) == 2 + len(cost.REGIMES)
    html = costs._repr_html_()
    assert html.count("<tr>") == 1 + len(cost.REGIMES) and f"{row['faults']:,}" in html
    assert len({len(line) for line in str(costs).splitlines()[1:]}) == 1


def test_costs_tell_what_is_refused():
    """In the place of the numbers, over the whole width."""
    costs = Costs(GIB, 2, 12 << 10, regimes=["private", "hugetlb"])
    assert "12,288 bytes to the side" in str(costs)
    assert str(costs).splitlines()[-1].startswith("hugetlb  EINVAL: the start is not")
    assert "<td colspan" in costs._repr_html_()
    with pytest.raises(ValueError, match="'caches' is none of private, threads"):
        Costs(GIB, 2, regimes=["caches"])


@pytest.mark.parametrize("regime, flushes, targets", [
    ("private", 1, 1), ("threads", 1, 8), ("hugetlb", 1, 1), ("cache", 1, 1), ("mshare", 20, 20)])
def test_who_is_told_of_a_protection(regime, flushes, targets):
    """20 processes on 8 CPUs: a flush for each address space, on each CPU that ran it."""
    machine = cost.experiment(regime, GIB, 20, cpus=8)
    before = dict(machine.counters)
    machine.tasks[0].mprotect(cost.SLOT, cost.HUGE, "r")
    assert [machine.counters[name] - before[name] for name in ("flushes", "flush_targets")] == \
        [flushes, targets]
    validate(machine)


# drawn -----------------------------------------------------------------------------------------
def test_a_row_of_tables_or_pages_says_how_many_it_is():
    """Its label fits into the box: so many characters of a bold 11 pixel font."""
    now = cost.experiment("private", 300 * GIB, 1500).snapshot()
    graph = union([now])
    labels = [node.label for node in graph.nodes.values()]
    assert labels.count("153,600 PTE") == labels.count("300 PMD") == 2
    pages, = (node for node in graph.nodes.values() if node.kind == "frame")
    assert pages.label == "78,643,200 pages" and pages.size[0] / 6.2 > len("78,643,200 pages x1500")
    assert all(0 <= n.x and n.x + n.size[0] <= graph.width for n in graph.nodes.values())


@pytest.mark.parametrize("regime, boxes", [
    ("threads", ["p0 x1,500"]), ("private", ["p0", "p1 x1,499"]), ("mshare", ["p0 x1,500"])])
def test_processes_and_threads_that_are_alike_are_one_box(regime, boxes):
    """And nothing is said to be left out."""
    graph = union([cost.experiment(regime, 300 * GIB, 1500).snapshot()])
    assert [node.label for node in graph.nodes.values() if node.kind == "task"] == boxes
    assert graph.note == ""


# the command -----------------------------------------------------------------------------------
def test_json(capsys):
    """Every field, and a row a regime."""
    assert main(["cost", "--size", "64MiB", "--processes", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["size", "processes", "misalign", "peak_rss_bytes", "rows"]
    assert [row["regime"] for row in told["rows"]] == list(cost.REGIMES)
    assert set(told["rows"][0]) == {"regime", "page_size", "tables", "total_tables", "bytes",
                                    "faults", "seconds"}


def test_a_table_for_people(capsys):
    """One line a regime; what is skipped says why."""
    assert main(["cost", "--size", "1GiB", "--processes", "2", "--misalign", "4096"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + len(cost.REGIMES) and "EINVAL" in lines[4]


@pytest.mark.parametrize("args", [
    ["--size", "5"], ["--size", "x"], ["--size", "0"], ["--processes", "0"], ["--misalign", "7"],
    ["--sharing", "none"], ["--size", "200TiB"], ["--diverge", "-1"],
    ["--size", "2MiB", "--diverge", "9"], ["--on", "linux", "--sharing", "cache"],
    ["--processes", "5000000"]])
def test_bad_input(args, capsys):
    """One line on stderr, and exit status 2."""
    assert main(["cost", *args]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    """As a shell tells it: 128 and the number of the signal."""
    def interrupted(*args):
        raise KeyboardInterrupt
    monkeypatch.setattr(cost, "measure", interrupted)
    assert main(["cost"]) == 130 and capsys.readouterr() == ("", "interrupted\n")


def test_sizes():
    """Numbers with a unit."""
    assert [cost.size(t) for t in ("1", "1B", "4KiB", "2 TiB")] == [1, 1, 4096, 2 << 40]
    with pytest.raises(argparse.ArgumentTypeError):
        cost.size("1.5GiB")


def test_a_kernel_agrees(capsys):
    """64 MiB in four processes: tables, bytes, faults."""
    try:
        Linux().close()
    except OSError as why:
        pytest.skip(str(why))
    args = ["cost", "--size", "64MiB", "--processes", "4", "--sharing", "private", "--json"]
    rows = []
    for on in ("sim", "linux"):
        assert main([*args, "--on", on]) == 0
        rows += json.loads(capsys.readouterr().out)["rows"]
    for field in ("total_tables", "bytes", "faults"):
        assert rows[0][field] == rows[1][field]
