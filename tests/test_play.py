"""Texts that are run: what is told of each line, under which regime, and what is taken along."""
import base64
import json
import zlib

import pytest
from documents import replay, write
from hypothesis import given
from hypothesis import strategies as st

from mmlib import abilities, validate
from mmlib.capsule import COMMON, LENGTH, MARK, pack, unpack
from mmlib.kinds import BadInput
from mmlib.play import load, play
from mmlib.regimes import REGIMES
from mmlib.script import BYTES
from mmlib.stories import STORIES

EVERY = STORIES["One file in every regime"]


# running ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("regime", [None, *REGIMES])
def test_a_story_runs_under_every_regime(story, regime):
    """Every line is told; the machine is sound; the file of it replays."""
    played = play(STORIES[story], regime)
    assert played.machine is not None, played
    validate(played.machine)
    assert len(played.told) == len(played.script.sequence["ops"])


@pytest.mark.parametrize("story", STORIES)
def test_the_file_of_a_story_replays(story, tmp_path, capsys):
    """With the answers that are in it."""
    path = write(tmp_path, play(STORIES[story]).document())
    assert replay(capsys, path) == (0, "1 passed, 0 failed\n", "")


@pytest.mark.linux
@pytest.mark.skipif(bool(abilities.refusal()),
                    reason=f"no kernel to be asked: {abilities.refusal()}")
@pytest.mark.parametrize("story", [name for name in STORIES if name[:2] in ("03", "09", "11")])
def test_the_kernel_answers_a_story_alike(story, tmp_path, capsys):
    """A scenario that is saved with real sizes can be asked of this computer."""
    text = STORIES[story].replace("Machine(TINY", "Machine(X86_64")
    path = write(tmp_path, play(text).document())
    status, out, _ = replay(capsys, "--on", "linux", "--tiers", "semantics,maps,minflt", path)
    assert (status, out.splitlines()[-1]) == (0, "1 passed, 0 failed")


def test_a_story_of_each_notebook():
    """Those that are lessons, but for the last ones, which read and look back."""
    numbers = [name[:2] for name in STORIES if name[:2].isdecimal()]
    assert numbers == [f"{n:02}" for n in range(12)]


def test_what_a_line_answers():
    """Addresses, bytes, faults; errors with the reason; and the step that shows it."""
    played = play("a = machine.spawn('a')\n\na.mmap(0x4000, 0x1000, 'r', MAP_PRIVATE | "
                  "MAP_ANONYMOUS)\na.load(0x4000, 2)\na.store(0x4000, 1)\nf = a.open('/no/f')\n"
                  "f.read(1)\na.exit()")
    assert [(one.line, one.result, one.text) for one in played.told] == [
        (3, "ok", "-> 0x4000"), (4, "ok", "-> b'\\x00\\x00', 1 fault"),
        (5, "SIGSEGV", "SIGSEGV (SEGV_ACCERR): 0x4000 is mapped r--p, which forbids a store"),
        (6, "ENOENT", "ENOENT: '/no/f' lies in no mounted filesystem; there is /dev/shm"),
        (7, "EBADF", "EBADF: there is no such process or file, since the call that makes it failed"),
        (8, "ok", "")]
    assert [one.step for one in played.told] == [1, 2, 3, 4, None, 5]
    assert played.machine.trace[played.told[2].step].action == "a.store(0x4000, b'\\x01')"
    assert "# f.read(1)     # EBADF" in played.program()
    exec(played.program(), {})


def test_a_mount_that_cannot_be_is_told_at_its_line():
    """The machine is set up before anything runs; what fails there is no call of a process."""
    played = play("machine.mount('nofs', '/x')\na = machine.spawn('a')")
    assert (played.machine, played.told[0].line) == (None, 1)
    assert "nofs" in played.told[0].text
    with pytest.raises(BadInput, match="expected a text that can be read; line 1"):
        played.json()


@pytest.mark.parametrize("regime, wanted", [
    ("private", ["ok"] * 8), ("threads", ["ok"] * 5 + ["SIGSEGV", "ok"]),
    ("hugetlb", ["ok"] * 8), ("cache-pte", ["ok"] * 8), ("cache", ["ok"] * 8),
    ("mshare", ["ok"] * 7 + ["SIGSEGV", "ok"]),
    ("mshare-2025", ["ok"] * 8 + ["EINVAL", "ok", "ok"])])
def test_one_text_under_every_regime(regime, wanted):
    """Answers differ where the ways to share do."""
    assert [one.result for one in play(EVERY, regime).told] == wanted


def test_lines_are_those_of_the_text_under_every_regime():
    """What a regime adds stands at the line of the file."""
    lines = {regime: [one.line for one in play(EVERY, regime).told] for regime in REGIMES}
    assert lines["private"] == lines["hugetlb"] == list(range(5, 13))
    assert lines["mshare"][0] == 3 and lines["mshare-2025"][:3] == [3, 3, 3]
    assert 7 not in lines["threads"]                # mapped already, by the other thread


def test_an_unknown_regime_is_refused():
    """As anything else that cannot be run."""
    assert "expected a regime (private" in play(EVERY, "swap").told[0].text


# files ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("data, what", [
    (b"", "expected JSON"), (b"\xff\xfe", "expected JSON"), (b"[" * 100_000, "nested so deeply"),
    (b"[]", "an object with a format"), (b'{"format": "mmlib/1", "sequences": []}', "at least one"),
    (b'{"format": "<b>", "sequences": []}', "expected mmoracle/1 or"),
    (b"9" * 5000, "expected JSON"),
    (json.dumps({"format": "mmlib/1", "sequences": [{"id": "s", "ops": [], "names": ["<b>"]}]})
     .encode(), "a name of letters"),
    (json.dumps({"format": "mmlib/1", "sequences": [{"id": "s", "ops": [], "names": ["a", "a"]}]})
     .encode(), "another one for each process"),
    (json.dumps({"format": "mmlib/1", "sequences": [{"id": "s", "ops": [
        {"op": "exec", "proc": 0}] * 2000}]}).encode(), "at most 1000 lines"),
    (json.dumps({"format": "mmoracle-hugetlb/1", "sequences": [
        {"id": "s", "file_gib": 1, "ops": []}]}).encode(), "not of mmoracle-hugetlb/1"),
])
def test_a_file_that_is_none_is_refused_in_one_line(data, what):
    """Whatever is in it."""
    with pytest.raises(BadInput) as refused:
        load(data)
    assert what in str(refused.value) and "\n" not in str(refused.value)


# strings ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", [*STORIES.values(), "", "ü€😀\n", "x" * BYTES])
def test_a_text_comes_back(text):
    """Byte by byte; what is usual is short."""
    string = pack(text)
    assert unpack(string) == text and unpack(f" {string[:9]}\n{string[9:]} ") == text
    assert len(string) <= max(24, len(text.encode()) * 2 // 3)
    assert set(string) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def squeezed(data, zdict=COMMON):
    pressing = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=zdict)
    return MARK + base64.urlsafe_b64encode(pressing.compress(data) + pressing.flush()).decode() \
        .rstrip("=")


@pytest.mark.parametrize("string, what", [
    ("", "expected mm1."), ("mm1.", "expected mm1."), ("mm2.AAAA", "expected mm1."),
    ("mm1.<script>", "expected mm1."), ("mm1.a+b/", "expected mm1."), (MARK + "A" * LENGTH, "at most"),
    (MARK + "A", "missing or changed"), (MARK + "AAAA", "missing or changed"),
    (pack(EVERY)[:-5], "missing or changed"), (pack(EVERY) + "AAAA", "missing or changed"),
    (squeezed(b"\xff\xff"), "missing or changed"),
    (squeezed(b"x" * (BYTES + 1)), "this is longer"),
    (squeezed(bytes(100_000_000)), "this is longer"),           # 100 MB in a few thousand letters
])
def test_what_is_no_string_is_refused_in_one_line(string, what):
    """Also what would grow beyond all bounds."""
    with pytest.raises(BadInput) as refused:
        unpack(string)
    assert what in str(refused.value) and "\n" not in str(refused.value)


@given(st.text(max_size=60))
def test_any_string_is_unpacked_or_refused(string):
    """Nothing but BadInput comes out."""
    for one in (string, MARK + string):
        try:
            unpack(one)
        except BadInput:
            pass


def test_a_text_that_is_too_long_is_not_packed():
    """It could not be unpacked."""
    with pytest.raises(BadInput, match="at most 65536 bytes, not 65537"):
        pack("x" * (BYTES + 1))


@pytest.mark.parametrize("regime", ["mshare", "mshare-2025"])
@pytest.mark.parametrize("number", ["00", "04", "09"])
def test_a_region_takes_whole_slots_around_what_a_program_maps(number, regime):
    """The addresses stay, and every line works."""
    text = next(text for name, text in STORIES.items() if name.startswith(number))
    told = play(text, regime).told
    assert told and all(one.ok for one in told), told


def test_a_slot_that_is_taken_is_not_taken_away():
    """Memory of the process in the slot stays; the region is told EEXIST."""
    told = play("""machine = Machine(TINY)
db = machine.memfd("db", 0x4000)
a = machine.spawn("a")
a.mmap(0x41000, 0x1000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
a.mmap(0x50000, 0x4000, "rw", MAP_SHARED, db)
a.store(0x41000, b"mine")
a.munmap(0x50000, 0x4000)""", "mshare").told
    assert [one.result for one in told if one.line > 3] == ["ok", "EEXIST", "ok", "ok"], told
