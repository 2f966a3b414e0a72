"""`python -m mmlib replay`: the simulator answers as Linux did, and says so where it does not."""
import json
import os
import stat
import subprocess
import sys

import pytest
from documents import (
    DATA,
    PAGE,
    RECORDINGS,
    SMALL,
    at,
    changed,
    document,
    mmap,
    op,
    replay,
    write,
)

from mmlib.compare import TIERS
from mmlib.formats import EXPECT

EVERY = [(name, sharing) for name in RECORDINGS for sharing in ("private", "cache")]


def differences(capsys, *words):
    """The differences that --json tells."""
    return json.loads(replay(capsys, *words, "--json")[1])["differences"]


# the recordings --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", RECORDINGS)
def test_the_simulator_answers_as_linux_did(name, capsys):
    """All five tiers of every sequence."""
    path = DATA / f"{name}.json"
    assert replay(capsys, path) == (0, f"{RECORDINGS[name]} passed, 0 failed\n", "")


def test_all_recordings_in_one_call(capsys):
    """The last line counts all sequences."""
    paths = [DATA / f"{name}.json" for name in RECORDINGS]
    assert replay(capsys, *paths)[:2] == (0, "116 passed, 0 failed\n")


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_tier_is_there_to_be_compared(name):
    """The recordings hold fields of all tiers: agreement is not empty."""
    held = {field for sequence in json.loads((DATA / f"{name}.json").read_text())["sequences"]
            for one in sequence["ops"] for field in one["expect"]}
    assert all(held & set(fields) for fields in TIERS.values())


@pytest.mark.parametrize("tier", TIERS)
def test_each_tier_alone_passes(tier, capsys):
    """--tiers T."""
    assert replay(capsys, DATA / "examples-30.json", "--tiers", tier)[1] == "30 passed, 0 failed\n"


@pytest.mark.parametrize("name", ["examples-30", "examples-ptshare-10"])
def test_the_cache_is_invisible_but_for_faults_and_tables(name, capsys):
    """With --sharing cache results, maps and frames are those of Linux; faults and tables are
    told, and not compared."""
    status, out, _ = replay(capsys, DATA / f"{name}.json", "--sharing", "cache")
    told, last = out.splitlines()
    assert (status, last) == (0, f"{RECORDINGS[name]} passed, 0 failed")
    assert "minflt not compared: " in told and "tables neither: " in told


def test_the_cache_saves_faults(capsys):
    """Several mappers of one file find each other's pages: fewer faults than Linux took."""
    told = replay(capsys, DATA / "examples-ptshare-10.json", "--sharing", "cache")[1]
    recorded, here = (int(word) for word in told.split(";")[0].split() if word.isdecimal())
    assert here < recorded


@pytest.mark.parametrize("sharing", ["private", "cache"])
def test_hugetlb_files_always_share_as_linux_does(sharing, capsys):
    """--sharing says nothing about them: all tiers are compared."""
    path = DATA / "examples-hugetlb-10.json"
    assert replay(capsys, path, "--sharing", sharing)[:2] == (0, "10 passed, 0 failed\n")


# differences -----------------------------------------------------------------------------------
def test_a_difference_is_told_with_its_place_and_both_values(tmp_path, capsys):
    """File, sequence, op, field, wanted, got; exit status 1."""
    path = write(tmp_path, changed(at(1, "expect", "minflt"), 2))
    assert replay(capsys, path) == (
        1, f'{path}: sequence "s", op 1 (store), minflt: wanted 2, got 1\n0 passed, 1 failed\n', "")


@pytest.mark.parametrize("number, field, wanted, got", [
    (0, "result", "ENOMEM", "ok"), (0, "addr", 4096, 0), (1, "minflt", 0, 1),
    (1, "tables", {"0": 4}, {"0": 3}), (1, "code", "SEGV_MAPERR", None),
    (2, "maps", [], [[0, 4 * PAGE, "rw-p", "anon", 0]]), (3, "value", 8, 7),
    (3, "frames", {"0": [[0, 0]], "1": [[0, 1]]}, {"0": [[0, 0]], "1": [[0, 0]]}),
    (7, "count", 0, 1)])
def test_a_difference_in_any_field_is_told(number, field, wanted, got, tmp_path, capsys):
    """The six keys of --json, one row a difference."""
    path = write(tmp_path, changed(at(number, "expect", field), wanted))
    assert differences(capsys, path) == [{"file": path, "sequence": "s", "op": number,
                                          "field": field, "wanted": wanted, "got": got}]


@pytest.mark.parametrize("name, field, wanted", [
    ("examples-30", "tables", {"0": 99}), ("examples-hugetlb-10", "mapcount", [99])])
def test_a_changed_expectation_of_a_recording_fails_its_sequence_only(name, field, wanted, tmp_path,
                                                                      capsys):
    """One sequence fails, and the others pass."""
    recording = json.loads((DATA / f"{name}.json").read_text())
    path = write(tmp_path, changed(at(1, "expect", field), wanted, recording))
    status, out, _ = replay(capsys, path)
    first = recording["sequences"][0]["id"]
    assert (status, out.splitlines()[-1]) == (1, f"{RECORDINGS[name] - 1} passed, 1 failed")
    assert f'sequence "{first}", op 1' in out


def test_a_tier_that_is_left_out_hides_its_differences(tmp_path, capsys):
    """--tiers semantics does not see faults."""
    path = write(tmp_path, changed(at(1, "expect", "minflt"), 2))
    assert replay(capsys, path, "--tiers", "semantics,maps")[:2] == (0, "1 passed, 0 failed\n")


def test_people_see_ten_differences_of_a_sequence_and_programs_all(tmp_path, capsys):
    """A line says how many more there are."""
    loads = [op("load", addr=n, expect={"value": 1}) for n in range(25)]
    path = write(tmp_path, document(mmap(), *loads))
    lines = replay(capsys, path)[1].splitlines()
    assert (len(lines), lines[-2]) == (
        12, "... and 15 more in this sequence (--json tells all)")
    assert len(differences(capsys, path)) == 25


def test_the_cache_may_not_change_a_result(tmp_path, capsys):
    """A wrong value is a difference whatever the sharing."""
    path = write(tmp_path, changed(at(3, "expect", "value"), 8))
    assert replay(capsys, path, "--sharing", "cache")[0] == 1


# --json ----------------------------------------------------------------------------------------
def test_json_is_one_object_and_nothing_else_on_stdout(capsys):
    """What is said beside it goes to stderr."""
    status, out, err = replay(capsys, DATA / "examples-ptshare-10.json", "--sharing", "cache",
                              "--json")
    assert (status, json.loads(out)) == (0, {"passed": 10, "failed": 0, "differences": []})
    assert "not compared" in err


# --record --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", RECORDINGS)
def test_recording_on_the_simulator_gives_what_linux_gave(name, tmp_path, capsys):
    """The same document, but for lists of maps that the simulator has joined."""
    out = tmp_path / "out.json"
    assert replay(capsys, DATA / f"{name}.json", "--record", out)[0] == 0
    theirs, ours = json.loads((DATA / f"{name}.json").read_text()), json.loads(out.read_text())
    for document_ in (theirs, ours):
        for sequence in document_["sequences"]:
            for one in sequence["ops"]:
                one["expect"].pop("maps_kernel", None)
    assert ours == theirs


@pytest.mark.parametrize("name, sharing", EVERY)
def test_a_recording_of_the_simulator_replays_on_it(name, sharing, tmp_path, capsys):
    """0 differences, and recording it again gives the same bytes."""
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    replay(capsys, DATA / f"{name}.json", "--record", first, "--sharing", sharing)
    assert replay(capsys, first, "--record", second, "--sharing", sharing)[0] == 0
    assert first.read_bytes() == second.read_bytes()


def test_recording_keeps_keys_that_nobody_knows(tmp_path, capsys):
    """Of the file, a sequence, a file of it and an op; `expect` is replaced whole."""
    made = document(mmap(colour="red", expect={"maps_kernel": [], "result": "ok"}),
                    mood=[1], files=[{"id": "f", "pages": 1, "owner": "me"}]) | {"doc": {"a": None}}
    out = tmp_path / "out.json"
    replay(capsys, write(tmp_path, made), "--record", out)
    kept = json.loads(out.read_text())
    [one] = kept["sequences"][0]["ops"]
    assert one.pop("expect") == {
        "result": "ok", "addr": 0, "minflt": 0, "tables": {"0": 0}, "maps_of": 0,
        "maps": [[0, 4 * PAGE, "rw-p", "anon", 0]]}
    del made["sequences"][0]["ops"][0]["expect"]
    assert kept == made


def test_recording_adds_answers_to_a_scenario_without_any(tmp_path, capsys):
    """An op without `expect` gets one, which no longer needs to be asked for."""
    out = tmp_path / "out.json"
    path = write(tmp_path, document(mmap(), op("load", addr=0, frames=True)))
    assert replay(capsys, path, "--record", out)[:2] == (0, "1 passed, 0 failed\n")
    told = [one["expect"] for one in json.loads(out.read_text())["sequences"][0]["ops"]]
    assert told[1]["frames"] == {"0": [[0, "Z"]]} and "frames" not in told[0]


def test_a_simulated_run_does_not_pretend_to_be_a_kernel(tmp_path, capsys):
    """recorded_on stays what it was, or absent."""
    out = tmp_path / "out.json"
    replay(capsys, write(tmp_path, SMALL), "--record", out)
    assert "recorded_on" not in json.loads(out.read_text())


def test_a_difference_is_recorded_too(tmp_path, capsys):
    """The exit status is 1, and the file holds what this run answered."""
    out = tmp_path / "out.json"
    path = write(tmp_path, changed(at(1, "expect", "minflt"), 2))
    assert replay(capsys, path, "--record", out)[0] == 1
    assert replay(capsys, out)[0] == 0


def test_every_field_that_is_recorded_is_one_of_the_format(tmp_path, capsys):
    """maps_of apart, an answer has no field that EXPECT does not know."""
    out = tmp_path / "out.json"
    replay(capsys, DATA / "examples-hugetlb-10.json", "--record", out)
    fields = {field for sequence in json.loads(out.read_text())["sequences"]
              for one in sequence["ops"] for field in one["expect"]}
    assert fields <= {*EXPECT, "maps_of"}


# the command line ------------------------------------------------------------------------------
@pytest.mark.parametrize("words, told", [
    ([], "required: FILE"), (["--tiers", "all", "x"], "expected some of semantics,maps"),
    (["--tiers", "", "x"], "expected some of semantics"), (["--on", "mars", "x"], "invalid choice"),
    (["--sharing", "some", "x"], "invalid choice"), (["--fast", "x"], "unrecognized arguments"),
    (["--record"], "expected one argument"),
    (["--record", "out", "x", "y"], "--record: expected one FILE, not 2"),
    (["--on", "linux", "--sharing", "cache", "x"], "Linux has no file table cache")])
def test_a_wrong_command_line_is_told_in_one_line(words, told, capsys):
    """Exit status 2."""
    status, out, err = replay(capsys, *words)
    assert (status, out, err.count("\n")) == (2, "", 1) and told in err


def test_a_recording_that_cannot_be_written_is_told_in_one_line(tmp_path, capsys):
    """A folder, and a file in no folder."""
    path = write(tmp_path, SMALL)
    for out in (tmp_path, tmp_path / "none/out.json", "\0"):
        status, _, err = replay(capsys, path, "--record", out)
        assert (status, err.count("\n")) == (2, 1) and "that can be written" in err


def test_nothing_left_to_compare_is_told(tmp_path, capsys):
    """Exit status 2: the tiers asked for are not in the file."""
    path = write(tmp_path, document(mmap(expect={"result": "ok"})))
    assert replay(capsys, path, "--tiers", "frames") == (2, "", "nothing left to compare\n")


def test_a_scenario_without_expectations_just_runs(tmp_path, capsys):
    """It passes; there was nothing to differ from."""
    path = write(tmp_path, document(mmap(), op("load", addr=0)))
    assert replay(capsys, path) == (0, "1 passed, 0 failed\n", "")


def test_a_name_that_no_terminal_shows_does_no_harm(tmp_path):
    """A path of bytes that are no text, and an id that is half a character."""
    folder = os.fsencode(tmp_path)
    made = changed(at(1, "expect", "minflt"), 2)
    made["sequences"][0]["id"] = "\ud800\n"
    path = os.path.join(folder, b"\xff\n.json")
    with open(path, "wb") as file:
        file.write(json.dumps(made).encode())
    ran = subprocess.run([sys.executable, "-m", "mmlib", "replay", path], capture_output=True)
    assert (ran.returncode, ran.stderr, ran.stdout.count(b"\n")) == (1, b"", 2)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """`| head -1` closes the pipe; there is no traceback."""
    loads = [op("load", addr=n, expect={"value": 1}) for n in range(9)]
    one = document(mmap(), *loads)["sequences"][0]
    made = {"format": "mmoracle/1", "sequences": [one | {"id": str(n)} for n in range(300)]}
    path = write(tmp_path, made)
    with subprocess.Popen([sys.executable, "-m", "mmlib", "replay", path], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as ran:
        ran.stdout.readline()
        ran.stdout.close()
        assert (ran.stderr.read(), ran.wait()) == (b"", 1)


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="no /dev/stdin here")
def test_a_scenario_may_come_by_a_pipe():
    """FILE can be /dev/stdin."""
    ran = subprocess.run([sys.executable, "-m", "mmlib", "replay", "/dev/stdin"],
                         input=json.dumps(SMALL), capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "1 passed, 0 failed\n")


def test_a_file_is_not_written_to(tmp_path, capsys):
    """Replaying needs no right to write."""
    path = write(tmp_path, SMALL)
    os.chmod(path, stat.S_IRUSR)
    before = os.stat(path).st_mtime_ns
    assert replay(capsys, path)[0] == 0
    assert os.stat(path).st_mtime_ns == before
