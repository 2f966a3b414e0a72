"""A file that breaks a rule is told in one line: file, place, what was expected."""
import json
import os
import random
import sys

import pytest
from documents import DATA, DROP, FIXED, PAGE, SMALL, at, changed, document, mmap, op, replay, write
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlib.kinds import BadInput
from mmlib.loading import check_document, load

SEQUENCE = ("sequences", 0)
HUGE = document(op("mmap", addr=0, len=1 << 30, prot="rw", share="shared", offset=0),
                form="mmoracle-hugetlb/1", file_gib=1)


def own(*ops, **head):
    return document(*ops, form="mmlib/1", **head)


def region(*ops):
    """A scenario with a region file r of 2025, of one slot."""
    mount = {"fstype": "msharefs", "path": "/share", "version": 2025}
    return own(op("open", file="r", path="/share/r"), op("ftruncate", file="r", len=64 * PAGE),
               *ops, geometry="TINY", mounts=[mount])


def create(**changes):
    arg = {"region_offset": 0, "size": PAGE, "prot": "rw", "flags": ["shared", "fixed"]} | changes
    return op("ioctl", file="r", request="create_mapping", arg=arg)


# name: (content of the file, words that the line must hold)
BROKEN = {
    "empty": ("", "expected JSON; line 1, column 1"),
    "truncated": (json.dumps(SMALL)[:200], "expected JSON; line 1, column"),
    "no UTF-8": (b"\xff\xfe{}", "expected JSON"),
    "byte order mark": ("\ufeff{}", "expected JSON"),
    "NUL": ("\0", "expected JSON"),
    "a list": ([], "expected an object with a format, not []"),
    "null": (None, "expected an object with a format, not null"),
    "text": ('"mmoracle/1"', "expected an object with a format"),
    "nested deeply": ("[" * 100_000 + "]" * 100_000, "nested"),
    "nested in a field": (json.dumps(SMALL).replace('"mmoracle/1"', "[" * 900 + "]" * 900),
                          'field "format"'),
    "thousands of digits": ('{"format": ' + "1" * 5000 + "}", "expected JSON"),
    "no format": (changed(("format",), DROP), 'field "format": expected mmoracle/1 or mmlib/1'),
    "wrong format": (changed(("format",), "mmoracle/2"), 'not "mmoracle/2"'),
    "format 1": (changed(("format",), 1), "not 1"),
    "no sequences": (changed(("sequences",), DROP), 'field "sequences": expected a list'),
    "sequences {}": (changed(("sequences",), {}), 'field "sequences": expected a list'),
    "no sequence": (changed(("sequences",), []), "expected at least one"),
    "sequence 7": (changed(SEQUENCE, 7), "sequence 0: expected an object, not 7"),
    "no id": (changed((*SEQUENCE, "id"), DROP), 'sequence 0, field "id": expected a name'),
    "id 5": (changed((*SEQUENCE, "id"), 5), 'field "id": expected a name, not 5'),
    "same id": (changed(("sequences",), SMALL["sequences"] * 2), "another sequence has it"),
    "no ops": (changed((*SEQUENCE, "ops"), DROP), 'sequence "s", field "ops": expected a list'),
    "ops null": (changed((*SEQUENCE, "ops"), None), 'field "ops": expected a list, not null'),
    "op null": (changed(at(1), None), "op 1: expected an object, not null"),
    "files null": (changed((*SEQUENCE, "files"), None), 'field "files": expected a list'),
    "file 0": (changed((*SEQUENCE, "files", 0), 0), "file 0: expected an object"),
    "file ids": (changed((*SEQUENCE, "files"), SMALL["sequences"][0]["files"] * 2),
                 "expected a new name"),
    "file shm0": (changed((*SEQUENCE, "files", 0, "id"), "shm0"), "expected a name of letters"),
    "file pages": (changed((*SEQUENCE, "files", 0, "pages"), -1), "expected a whole number"),
    "file of 10**15 pages": (changed((*SEQUENCE, "files", 0, "pages"), 10 ** 15),
                             "no address space could map more"),
    "content outside": (changed((*SEQUENCE, "files", 0, "content"), [[3, 1]]), "pages below 3"),
    "content 256": (changed((*SEQUENCE, "files", 0, "content"), [[0, 256]]), "[page, byte]"),
    "content flat": (changed((*SEQUENCE, "files", 0, "content"), [0, 1]), "[page, byte]"),
    "unknown op": (changed(at(1, "op"), "poke"), 'op 1, field "op": expected one of mmap'),
    "op as a list": (changed(at(1, "op"), ["store"]), 'not ["store"]'),
    "op missing": (changed(at(1, "op"), DROP), 'op 1, field "op"'),
    "unknown flag": (changed(at(0, "flags"), ["private", "growsup"]), 'op 0, field "flags"'),
    "flags as text": (changed(at(0, "flags"), "private"), "expected a list of anon"),
    "flags nested": (changed(at(0, "flags"), [["private"]]), "expected a list of anon"),
    "flags missing": (changed(at(0, "flags"), DROP), "it is missing"),
    "no process": (changed(at(1, "proc"), DROP), 'op 1, field "proc"'),
    "unborn process": (changed(at(1, "proc"), 1), "not 1, which nobody has made yet"),
    "dead process": (document(op("exit"), op("load", addr=0)), "not 0, which has exited"),
    "proc true": (changed(at(1, "proc"), True), "expected a whole number"),
    "proc text": (changed(at(1, "proc"), "0"), 'not "0"'),
    "child 2": (changed(at(2, "child"), 2), "expected a whole number from 1 to 1, not 2"),
    "negative": (changed(at(1, "addr"), -1), 'op 1, field "addr": expected a whole number'),
    "fraction": (changed(at(1, "addr"), 4096.0), "not 4096.0"),
    "NaN": (changed(at(1, "addr"), float("nan")), "not NaN"),
    "Infinity": (changed(at(0, "len"), float("inf")), "not Infinity"),
    "1e400": (json.dumps(SMALL).replace('"addr": 5', '"addr": 1e400', 1), "not Infinity"),
    "huge address": (changed(at(1, "addr"), 10 ** 40), "no address space is larger"),
    "10**9 pages": (changed((*SEQUENCE, "files", 0, "content"), DROP, own(
        mmap(len=10 ** 9 * PAGE, flags=[*FIXED, "populate"]),
        files=[{"id": "f", "pages": 3, "content": []}])), "pages to be faulted in"),
    "populate": (document(mmap(len=10 ** 9 * PAGE, flags=[*FIXED, "populate"])),
                 "pages to be faulted in"),
    "value 256": (changed(at(1, "value"), 256), "from 0 to 255, not 256"),
    "value missing": (changed(at(1, "value"), DROP), 'op 1, field "value"'),
    "prot x": (changed(at(0, "prot"), "x"), "expected none, r, w or rw"),
    "prot 3": (changed(at(0, "prot"), 3), "expected none, r, w or rw, not 3"),
    "advice": (changed(at(6, "advice"), "free"), "expected dontneed"),
    "unknown file": (changed(at(4, "file"), "g"), "expected the id of a file (f), not"),
    "file 1": (changed(at(4, "file"), 1), 'op 4, field "file"'),
    "fixed without new_addr": (changed(at(5, "flags"), ["maymove", "fixed"]), 'field "new_addr"'),
    "expect null": (changed(at(1, "expect"), None), 'field "expect": expected an object'),
    "result OK": (changed(at(1, "expect", "result"), "OK"), 'field "result": expected ok'),
    "minflt -1": (changed(at(1, "expect", "minflt"), -1), 'field "minflt"'),
    "tables list": (changed(at(1, "expect", "tables"), [3]), 'field "tables"'),
    "tables of x": (changed(at(1, "expect", "tables"), {"x": 1}), 'field "tables"'),
    "maps rows": (changed(at(2, "expect", "maps"), [[0, 1]]), "[start, end, perms, backing"),
    "maps of 3": (changed(at(2, "expect", "maps_of"), 3), 'field "maps_of"'),
    "frames": (changed(at(3, "expect", "frames"), {"0": [[0]]}), 'field "frames"'),
    "op frames": (changed(at(3, "frames"), 1), "expected true or false"),
    "file_gib": (changed((*SEQUENCE, "file_gib"), 1), "expected only in mmoracle-hugetlb/1"),
    "hugetlb without file_gib": (changed((*SEQUENCE, "file_gib"), DROP, HUGE), "it is missing"),
    "hugetlb share": (changed(at(0, "share"), "both", HUGE), "expected shared or private"),
    "hugetlb pread": (document(op("pread", file="f", offset=0), form="mmoracle-hugetlb/1",
                               file_gib=1), 'field "op": expected one of mmap'),
    "touch in mmoracle": (document(op("touch", addr=0, len=1)), 'field "op": expected one of'),
    "ioctl": (region(op("ioctl", file="r", request="map")), "one of create_mapping, unmap, not"),
    "ioctl without arg": (region(op("ioctl", file="r", request="unmap")), 'field "arg": expected'),
    "arg of a number": (region(op("ioctl", file="r", request=1, arg={})), "none beside a number"),
    "arg prot": (region(create(prot="q")), 'field "arg", field "prot": expected none, or letters'),
    "arg file": (region(create(file="g")), 'field "arg", field "file": expected the id of a file'),
    "version": (own(mounts=[{"fstype": "msharefs", "path": "/m", "version": "new"}]), "version"),
    "version 1": (own(mounts=[{"fstype": "msharefs", "path": "/m", "version": 1}]), "2022 and 2025"),
    "geometry": (own(geometry="SMALL"), "expected TINY, X86_64 or LA57"),
    "cpus 0": (own(cpus=0), 'field "cpus": expected a whole number from 1'),
    "mount": (own(mounts=[{"fstype": "tmpfs"}]), 'mount 0, field "path"'),
    "path ..": (own(op("open", file="f", path="/a/../b")), "expected an absolute path"),
    "store of both": (own(op("store", addr=0, value=1, data="00")), "not both"),
    "data": (own(op("store", addr=0, data="0g")), "expected bytes as pairs"),
    "touch nothing": (own(op("touch", addr=0, len=0)), "expected a whole number from 1"),
    "touch 10**9 pages": (own(op("touch", addr=0, len=10 ** 9 * PAGE)), "pages to be faulted in"),
    "data that is much": (own(op("load", addr=0, n=10 ** 9)), "from 1 to 65536"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_in_one_line(name, tmp_path, capsys):
    """Exit status 2; the line begins with the file and names the place and what was expected."""
    content, words = BROKEN[name]
    path = write(tmp_path, "null" if content is None else content)
    status, out, err = replay(capsys, path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{path}") and "expected" in err or "not yet known" in err
    assert words in err and len(err) < len(path) + 600


def test_the_base_of_the_mutations_is_sound():
    """Nothing above is refused for another reason than the one meant."""
    check_document(SMALL)
    check_document(HUGE)


def test_what_cannot_be_read_is_told_in_one_line(tmp_path, capsys):
    """A folder, no file, a name that no file has, and a name that would break the line."""
    for path in (tmp_path, tmp_path / "none", "\0", "two\nlines", "x" * 5000, ""):
        status, out, err = replay(capsys, path)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "expected a file that can be read" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission_is_told_in_one_line(tmp_path, capsys):
    """EACCES."""
    path = write(tmp_path, SMALL)
    os.chmod(path, 0)
    assert replay(capsys, path)[2].endswith("can be read: Permission denied\n")


def test_a_file_that_is_too_large_is_not_read(tmp_path, capsys, monkeypatch):
    """The bound is in bytes, and is told."""
    monkeypatch.setattr("mmlib.formats.FILE_BYTES", 100)
    assert replay(capsys, write(tmp_path, SMALL))[2].endswith("expected at most 0 MiB\n")


def test_ops_and_processes_are_bounded(monkeypatch):
    """A million ops a file, 1024 processes a sequence; each is refused beyond."""
    monkeypatch.setattr("mmlib.formats.OPS", 3)
    with pytest.raises(BadInput, match="at most 3 ops"):
        check_document(document(*[op("load", addr=0)] * 4))
    monkeypatch.undo()
    with pytest.raises(BadInput, match="at most 1024 processes"):
        check_document(document(*[op("fork", child=n) for n in range(1, 1025)]))


def test_forks_multiply_what_populate_may_fault_in():
    """A fork copies pages: the bound holds for all of them together."""
    populated = mmap(len=1 << 30, flags=[*FIXED, "populate"])
    check_document(document(populated, *[op("fork", child=n) for n in (1, 2, 3)]))
    with pytest.raises(BadInput, match=r'op 4, field "child": .*faulted in'):
        check_document(document(populated, *[op("fork", child=n) for n in (1, 2, 3, 4)]))


def test_the_first_bad_file_is_told_before_any_runs(tmp_path, capsys):
    """All files are checked first; nothing is printed of the good one."""
    good, bad = write(tmp_path, SMALL), write(tmp_path, "[]", "bad.json")
    status, out, err = replay(capsys, good, bad)
    assert (status, out) == (2, "") and err.startswith(bad)


def test_a_recording_keeps_the_document():
    """load returns all that was in the file, unknown keys included."""
    path = DATA / "examples-30.json"
    recording = load(str(path))
    assert recording.document == json.loads(path.read_text())
    assert (recording.format, len(recording.sequences)) == ("mmoracle/1", 30)


# a document changed at random ------------------------------------------------------------------
JUNK = [None, True, False, -1, 0, 1, 2, 255, 256, 4096, 1 << 21, 1 << 39, 1 << 47, 1 << 57, 1 << 64,
        10 ** 30, 0.5, float("nan"), "", "x", "rw", "f", "0", "\ud800", "\n", "ok", "mmlib/1",
        "mmoracle/1", "mmoracle-hugetlb/1", [], {}, [[]], [0], [[0, 0]], {"0": 1}, {"op": "exit"},
        "exit", "fork", "mmap", "store", ["fixed"], ["shared", "fixed"], 1 << 30]


def places(node, way=()):
    yield way
    items = node.items() if isinstance(node, dict) else \
        enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield from places(inner, (*way, key))


def mutated(rng: random.Random, made):
    """The document after one to three random changes of a value, a key or the order."""
    for _ in range(rng.randint(1, 3)):
        way = rng.choice([way for way in places(made) if way])
        kind = rng.randrange(8)
        inner = made
        for key in way[:-1]:
            inner = inner[key]
        if kind == 0:
            made = changed(way, DROP, made)
        elif kind == 1 and isinstance(inner, list):
            made = changed(way[:-1], rng.sample(inner, len(inner)), made) if way[1:] else made
        elif kind == 2 and isinstance(inner, list):
            made = changed(way[:-1], inner + [rng.choice(inner)], made) if way[1:] else made
        else:
            made = changed(way, rng.choice(JUNK), made)
    return made


OWN = own(op("open", file="f", path="/dev/shm/a"), op("ftruncate", file="f", pages=4),
          mmap(0x8000, flags=["shared", "fixed"], file="f"), op("touch", addr=0x8000, len=PAGE),
          op("clone", child=1), op("mlock", 1, addr=0x8000, len=PAGE), op("fork", child=2),
          op("madvise", addr=0x8000, len=PAGE, advice="remove"), op("run_on", cpu=1),
          op("fallocate", file="f", mode=[], offset=0, len=PAGE), op("fsync", file="f"),
          op("mincore", addr=0x8000, len=PAGE), op("msync", addr=0x8000, len=PAGE, flags=["sync"]),
          op("read", file="f", n=3), op("unlink", path="/dev/shm/a"), op("close", file="f"),
          op("exec"), op("shrink"), op("exit"), geometry="TINY", cpus=2, sharing="cache",
          mounts=[{"fstype": "ext4", "path": "/disk"}])

REGION = region(create(), mmap(0x40000, len=64 * PAGE, flags=["shared", "fixed"], file="r"),
                op("store", addr=0x40000, value=1), op("fork", child=1), op("load", 1, addr=0x40000),
                op("ioctl", file="r", request="unmap", arg={"region_offset": 0, "size": PAGE}),
                op("ioctl", file="r", request=1))


@given(seed=st.integers(0, 1 << 32), base=st.sampled_from(["small", "own", "huge", "region"]))
@settings(max_examples=400)
def test_no_change_at_random_is_answered_by_a_traceback(seed, base, tmp_path_factory):
    """The command ends with 0, 1 or 2 whatever the document holds; 2 has one line."""
    made = mutated(random.Random(seed), {"small": SMALL, "own": OWN, "huge": HUGE,
                                          "region": REGION}[base])
    check_command(json.dumps(made), tmp_path_factory)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=200)
def test_no_change_of_bytes_is_answered_by_a_traceback(seed, tmp_path_factory):
    """The same for the file as bytes: cut, doubled, overwritten."""
    rng, data = random.Random(seed), bytearray(json.dumps(SMALL).encode())
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data))
        data[start:start + rng.randrange(6)] = rng.choice(
            [b"", b"9", b"-", b"\xff", b"[", b"}", b'"', b"1e9", bytes(data[start:start + 40])])
    check_command(bytes(data), tmp_path_factory)


def check_command(content, tmp_path_factory):
    """Run replay with and without the cache; its exit status and what it prints must agree."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    from mmlib.__main__ import main
    path = write(tmp_path_factory.getbasetemp(), content, "mutated.json")
    for more in ([], ["--sharing", "cache"]):
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            status = main(["replay", path, *more])
        printed = out.getvalue().splitlines()
        if status == 2:
            assert err.getvalue().count("\n") == 1 and "expected" in err.getvalue() or \
                "not yet known" in err.getvalue() or "nothing left" in err.getvalue()
        else:
            assert printed[-1].endswith(" 0 failed") == (status == 0), printed


def test_recursion_of_any_depth_is_survived(tmp_path, capsys):
    """Just below and above the interpreter's own limit, as a value of a field."""
    for depth in range(sys.getrecursionlimit() - 60, sys.getrecursionlimit() + 10, 3):
        text = json.dumps(SMALL).replace('"value": 7', '"value": ' + "[" * depth + "]" * depth, 1)
        status, _, err = replay(capsys, write(tmp_path, text))
        assert (status, err.count("\n")) == (2, 1)


def test_an_answer_may_have_no_bytes(tmp_path):
    """A read at the end of the file, mincore of nothing; a store has at least one."""
    nothing = op("mincore", addr=0, len=0, expect={"result": "ok", "data": ""})
    load(write(tmp_path, document(mmap(), nothing, form="mmlib/1")))
    with pytest.raises(BadInput, match="hexadecimal"):
        load(write(tmp_path, document(mmap(), op("store", addr=0, data=""), form="mmlib/1")))
