"""The simulator and the kernel of this computer answer random scenarios alike."""
import pytest
from random_scenarios import Author, huge_sequence

from mmlib import abilities, validate
from mmlib.compare import TIERS, differences
from mmlib.linux import Linux, probe
from mmlib.loading import check_document
from mmlib.scenario import run
from mmlib.worlds import cannot, simulator

pytestmark = [pytest.mark.linux, pytest.mark.skipif(
    bool(abilities.refusal()), reason=f"no kernel to be asked: {abilities.refusal()}")]

FORMATS, HUGE = ["mmoracle/1", "mmlib/1"], "mmoracle-hugetlb/1"


@pytest.fixture(scope="module", autouse=True)
def as_simulated():
    """Skips on a kernel that is known to differ."""
    if lacking := [what for what in probe.lacking() if "promised" not in what]:
        pytest.skip(f"it is not so on this kernel that {lacking[0]}")


def disagreement(form: str, seed: int, ops: int = 60) -> str:
    """The first difference of a random sequence, in words, or ""."""
    sequence = huge_sequence(seed, ops) if form == HUGE else \
        Author(seed, form == "mmlib/1").sequence(ops)
    check_document({"format": form, "sequences": [sequence]})
    with Linux() as linux:
        real = run(sequence, linux)
    machine = simulator(sequence)
    told = sequence | {"ops": [op | {"expect": e} for op, e in zip(sequence["ops"], real)]}
    found, compared = differences(told, run(told, machine),
                                  [tier for tier in TIERS if tier not in cannot(sequence, "linux")])
    validate(machine)
    assert compared > len(sequence["ops"])
    return f"seed {seed}, op {sequence['ops'][found[0].op]}: {found[0]}" if found else ""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("seed", range(20))
def test_both_worlds_answer_a_random_scenario_alike(form, seed):
    """Results, maps, faults, tables and frames, after every op."""
    assert disagreement(form, seed) == ""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_both_worlds_answer_a_thousand_random_scenarios_alike(form):
    """The same with other seeds."""
    assert [found for seed in range(1000, 2000) if (found := disagreement(form, seed))] == []


@pytest.mark.skipif(abilities.free_huge_pages() < 64,
                    reason="fewer than 64 huge pages in the pool (sysctl vm.nr_hugepages)")
@pytest.mark.parametrize("seed", range(20))
def test_both_worlds_share_pmd_tables_alike(seed):
    """Processes that map one hugetlb file; mapcount tells which of them share a table."""
    assert disagreement(HUGE, seed) == ""
