"""The simulator and the kernel of this computer answer random calls alike (fuzz.py)."""
import json

import fuzz
import pytest
from calls import WANTED, kinds
from casting import repaired, shortest
from documents import DATA, PAGE, mmap, op, replay, write
from hugetlb_strategies import huge_sequences
from hypothesis import given, settings
from strategies import OFTEN, sequences

from mmlib import abilities, advise, fault, remap
from mmlib.formats import OWN
from mmlib.loading import check_document

CALLS = DATA / "linux-6.18-calls.json"
HUGE = "mmoracle-hugetlb/1"


@pytest.fixture(scope="module")
def source():
    """A process of this kernel to be forked; skips where it cannot be compared, in words."""
    if why := fuzz.differs():
        pytest.skip(why)
    with fuzz.Source() as made:
        yield made


# what is drawn ---------------------------------------------------------------------------------
@given(sequences())
@settings(max_examples=50)
def test_what_is_drawn_can_be_loaded(sequence):
    """A file of mmlib/1 with at most 60 calls."""
    check_document({"format": "mmlib/1", "sequences": [sequence]})
    assert len(sequence["ops"]) <= 60


@given(huge_sequences())
@settings(max_examples=20)
def test_what_is_drawn_of_a_hugetlb_file_can_be_loaded(sequence):
    """The same for mmoracle-hugetlb/1."""
    check_document({"format": HUGE, "sequences": [sequence]})


def test_every_call_that_a_process_can_make_is_drawn():
    """But those about disks and CPUs, and a second process that is nobody's child."""
    others = {"fsync", "ioctl", "unlink", "read", "run_on", "shrink", "spawn"}
    assert set(OWN) - set(OFTEN) == others


def test_what_is_left_out_leaves_a_sequence():
    """With a fork go the calls of its child, and later children get other numbers."""
    ops = [mmap(), op("fork", child=1), op("load", 1, addr=0), op("fork", child=2),
           op("load", 2, addr=0), op("pread", file="f", offset=0)]
    assert repaired([ops[0], *ops[3:]], ["f"]) == [
        mmap(), op("fork", child=1), op("load", 1, addr=0), ops[5]]
    assert repaired(ops[:1] + ops[2:3] + ops[5:], []) == [mmap()]


def test_a_sequence_is_shortened_to_what_it_needs():
    """Calls that stand alone, and files that are not used, go."""
    sequence = {"files": [{"id": "f", "pages": 1}, {"id": "g", "pages": 1}],
                "ops": [mmap(n * PAGE) for n in range(20)] + [op("pread", file="g", offset=0)]}
    short = shortest(sequence, lambda fewer: {3, 17} <= {
        one.get("addr", 0) // PAGE for one in fewer["ops"]} and "pread" in str(fewer))
    assert short == {"files": [{"id": "g", "pages": 1}],
                     "ops": [mmap(3 * PAGE), mmap(17 * PAGE), op("pread", file="g", offset=0)]}


# the recording ---------------------------------------------------------------------------------
def test_the_recording_holds_every_kind_of_call():
    """Each of them with the outcome that is wanted, by a real kernel; it is a small file."""
    recording = json.loads(CALLS.read_text())
    told = {kind for sequence in recording["sequences"] for kind in kinds(sequence["ops"])}
    assert set(WANTED) - told == set() and CALLS.stat().st_size < 400_000
    assert recording["recorded_on"]["kernel"].startswith("6.18.")


@pytest.mark.linux
def test_this_kernel_answers_as_the_recorded_one(source, capsys):
    """All sequences of the recording."""
    assert replay(capsys, CALLS, "--on", "linux")[1].splitlines()[-1] == "66 passed, 0 failed"


# both worlds -----------------------------------------------------------------------------------
@pytest.mark.linux
@pytest.mark.parametrize("seed", range(2))
def test_both_worlds_answer_alike(source, seed):
    """Results, maps, faults, tables and frames after every call."""
    fuzz.Fuzzer(source).look(sequences(), seed, 50)


@pytest.mark.linux
@pytest.mark.skipif(abilities.free_huge_pages() < 64,
                    reason="fewer than 64 huge pages in the pool (sysctl vm.nr_hugepages)")
def test_both_worlds_share_pmd_tables_alike(source):
    """Processes that map one hugetlb file; mapcount tells which of them share a table."""
    fuzz.Fuzzer(source, HUGE).look(huge_sequences(), 1, 40)


@pytest.mark.linux
@pytest.mark.slow
def test_both_worlds_answer_many_sequences_alike(source):
    """The same with other seeds."""
    fuzzer = fuzz.Fuzzer(source)
    for seed in range(100, 120):
        fuzzer.look(sequences(), seed, 100)


def unseen_hole(machine, mapping, start, end):
    """The file loses its pages, and who maps them goes on seeing them."""


def no_growth(machine, mm, vma, delta):
    """mremap never grows in place."""
    return False


@pytest.mark.linux
@pytest.mark.parametrize("module, name, broken, calls", [
    (advise, "punch_hole", unseen_hole, {"madvise"}),
    (remap, "expand_in_place", no_growth, {"mremap"}),
    (fault, "do_fault_around", lambda *_: None, {"load", "touch", "madvise", "mmap"}),
], ids=["MADV_REMOVE", "growth in place", "fault-around"])
def test_a_broken_rule_is_found_and_shortened(source, monkeypatch, tmp_path, capsys, module, name,
                                              broken, calls):
    """Its script has a few calls (which of them can be spared may differ from run to run); it
    replays on the kernel and differs on the simulator."""
    monkeypatch.setattr(module, name, broken)
    with pytest.raises(fuzz.Found) as found:
        fuzz.Fuzzer(source).look(sequences(), 1, 200)
    assert len(found.value.ops) <= 8 and calls & {one["op"] for one in found.value.ops}
    path = write(tmp_path, found.value.document)
    assert replay(capsys, path, "--on", "linux")[1].splitlines()[-1] == "1 passed, 0 failed"
    assert replay(capsys, path)[0] == 1
