"""A scenario as text: what is read, what is refused, and that both ways lead to the same."""
import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmlib import abi
from mmlib.formats import FORMATS
from mmlib.kinds import BadInput
from mmlib.loading import load as load_file
from mmlib.program import program
from mmlib.scenario import run
from mmlib.script import BYTES, LINES, BadLine, read
from mmlib.stories import STORIES
from mmlib.transcript import write
from mmlib.worlds import simulator

DATA = Path(__file__).parent / "data"
RECORDED = [(path.name, sequence) for path in sorted(DATA.glob("*.json"))
            for document in [json.loads(path.read_text())]
            if document.get("format") in ("mmlib/1", "mmoracle/1")
            for sequence in document["sequences"]]
A = "a = machine.spawn('a')\n"


def ops(text):
    return read(A + text).sequence["ops"]


# what is read --------------------------------------------------------------------------------
@pytest.mark.parametrize("line, op", [
    ("a.mmap(0x4000, 0x1000, 'rw', MAP_PRIVATE | MAP_ANONYMOUS)",
     {"op": "mmap", "addr": 0x4000, "len": 0x1000, "prot": "rw", "flags": ["private", "anonymous"]}),
    ("a.mmap(None, 1 << 20, PROT_READ | PROT_WRITE, flags=0x22)",
     {"op": "mmap", "addr": None, "len": 1 << 20, "prot": "rw", "flags": ["private", "anonymous"]}),
    ("a.mprotect(0x4000, 4096, '')", {"op": "mprotect", "addr": 0x4000, "len": 4096, "prot": "none"}),
    ("a.mremap(0x4000, 0x1000, 0x2000, MREMAP_MAYMOVE)",
     {"op": "mremap", "addr": 0x4000, "len": 0x1000, "new_len": 0x2000, "flags": ["maymove"]}),
    ("a.madvise(0, 4096, MADV_DONTNEED)",
     {"op": "madvise", "addr": 0, "len": 4096, "advice": "dontneed"}),
    ("a.madvise(0, 4096, 77)", {"op": "madvise", "addr": 0, "len": 4096, "advice": "77"}),
    ("a.store(0x4000, b'\\x00<b>')", {"op": "store", "addr": 0x4000, "data": "003c623e"}),
    ("a.store(0x4000, 7)", {"op": "store", "addr": 0x4000, "value": 7}),
    ("a.touch(addr=0, length=1, write=True)", {"op": "touch", "addr": 0, "len": 1, "write": True}),
    ("a.load(0x1000 * 3 - 1)  # a comment", {"op": "load", "addr": 0x2fff}),
    ("a.run_on(0)", {"op": "run_on", "cpu": 0}),
    ("machine.unlink('/dev/shm/x')", {"op": "unlink", "path": "/dev/shm/x"}),
])
def test_a_call_becomes_an_op(line, op):
    """Flags by name, protections as letters, bytes in hexadecimal."""
    if op.get("advice") == "77":
        op = op | {"advice": 77}
    assert ops(line) == [{"op": op["op"], "proc": 0} | op]


def test_names_stand_for_processes_files_and_numbers():
    """What mmap is asked for is what its name stands for; spellings of a trace are known."""
    script = read("db = memfd('db', 0x2000)\na = spawn('server')\nb = a.fork()\n"
                  "at = b.mmap(0x8000, 0x2000, 'rw', MAP_SHARED, db)\nb.load(at + 0x1000)\n"
                  "f = b.open('/dev/shm/f', O_RDONLY)\nf.truncate(5)\nf.close()\nb.exit()\na.exit()")
    assert script.sequence["names"] == ["server", "b"]
    assert [op.get("addr") for op in script.sequence["ops"][1:3]] == [0x8000, 0x9000]
    assert script.sequence["ops"][4] == {"op": "ftruncate", "proc": 0, "file": "f", "len": 5}
    assert script.lines == [3, 4, 5, 6, 7, 8, 9, 10]


def test_the_machine_of_a_text():
    """TINY if nothing is said."""
    assert read(A).sequence["geometry"] == "TINY"
    head = read("from mmlib import *\n\nm = Machine(LA57, sharing=FileTableCache(levels=('pte',)), "
                "cpus=2, huge_pages=3)\nm.mount('ext4', '/disk')\nm.mount('msharefs', '/s', "
                "version=2025)\nf = m.open('/disk/f')\nf.truncate(0x2000)\nf.pwrite(b'x', 0x1000)\n"
                "a = m.spawn()").sequence
    assert head == {
        "id": "playground", "geometry": "LA57", "sharing": "cache-pte", "cpus": 2, "huge_pages": 3,
        "mounts": [{"fstype": "ext4", "path": "/disk"},
                   {"fstype": "msharefs", "path": "/s", "version": 2025}],
        "names": ["a"], "ops": [],
        "files": [{"id": "f", "path": "/disk/f", "pages": 2, "content": [[1, 120]]}]}


def test_every_op_of_the_format_can_be_written():
    """No call of mmlib/1 is missing in the text form, in either direction."""
    text = """machine = Machine(TINY)
machine.mount('msharefs', '/s', version=2025)
f = machine.memfd('f', 0x4000)
a = machine.spawn('a')
b = a.fork('b')
c = a.clone('c')
d = machine.spawn('d')
r = a.open('/s/r', O_RDWR|O_CREAT, mode=384)
r.truncate(0x40000)
r.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(0, 0x4000, 0, 'rw', MAP_SHARED|MAP_FIXED, f))
r.ioctl(MSHAREFS_UNMAP, MshareUnmap(0, 0x4000))
a.mmap(0x4000, 0x4000, 'rw', MAP_SHARED, f, 0x1000)
a.mprotect(0x4000, 0x1000, 'r')
a.mremap(0x4000, 0x1000, 0x2000, MREMAP_MAYMOVE|MREMAP_FIXED, 0x8000)
a.madvise(0x4000, 0x1000, MADV_DONTNEED)
a.msync(0x4000, 0x1000, MS_SYNC)
a.mlock(0x4000, 0x1000)
a.munlock(0x4000, 0x1000)
a.mincore(0x4000, 0x1000)
a.load(0x5000, 2)
a.store(0x5000, b'xy')
a.touch(0x4000, 0x1000, True)
f.pread(1, 0)
f.pwrite(b'x', 0)
f.read(2)
f.fallocate(FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE, 0, 0x1000)
f.fsync()
f.close()
a.munmap(0x4000, 0x1000)
a.unlink('/dev/shm/x')
a.run_on(0)
b.exec()
b.exit()
machine.shrink()"""
    sequence = read(text).sequence
    assert {op["op"] for op in sequence["ops"]} == set(FORMATS["mmlib/1"])
    assert write(sequence) == text
    ast.parse(text)                                 # and it is Python


# there and back --------------------------------------------------------------------------------
def without_answers(sequence):
    return [{k: v for k, v in op.items() if k not in ("expect", "frames")} for op in sequence["ops"]]


@pytest.mark.parametrize("name, sequence", RECORDED, ids=[f"{n}-{s['id']}" for n, s in RECORDED])
def test_a_recorded_sequence_is_the_same_after_being_text(name, sequence):
    """The text of every recording, read again, gets the same answers."""
    text = write(sequence)
    if len(text) > BYTES or text.count("\n") >= LINES:
        return
    again = read(text).sequence
    was, now = (run(one, simulator(one)) for one in (
        sequence | {"ops": without_answers(sequence)}, again))
    files = {old["id"]: new["id"] for old, new in
             zip(sequence.get("files", ()), again.get("files", ()))}
    for op, one, other in zip(again["ops"], was, now):
        if "file" in op and op["op"] not in ("mmap", "open"):
            del one["maps_of"], other["maps_of"]    # in a text no process is named beside a file
            one["maps"] = other["maps"]
        for row in one.get("maps", ()):
            row[3] = files.get(row[3], row[3])
        assert one == other


@pytest.mark.parametrize("story", STORIES)
def test_a_story_is_the_same_after_being_written(story):
    """Only comments and spellings are lost."""
    sequence = read(STORIES[story]).sequence
    assert read(write(sequence)).sequence == sequence


@pytest.mark.parametrize("story", STORIES)
def test_a_story_as_a_program_runs(story):
    """And comes to the same tables."""
    sequence, names = read(STORIES[story]).sequence, {}
    machine = simulator(sequence)
    answers = run(sequence, machine)
    exec(program(sequence, [(answer["result"], True) for answer in answers]), names)
    assert names["machine"].table_count == machine.table_count


# what is refused --------------------------------------------------------------------------------
@pytest.mark.parametrize("line, what", [
    ("import os; os.system('true')", "not more"),
    ("__import__('os').system('true')", "before the dot"),
    ("a.load(__import__('os').getpid())", "expected a number, bytes"),
    ("a.load((lambda: 1)())", "expected a number, bytes"),
    ("a.load(open('/etc/passwd').read())", "expected a number, bytes"),
    ("a.__class__.load(1)", "before the dot"),
    ("a.__init__()", 'not "__init__"'),
    ("a.fork.__globals__()", "before the dot"),
    ("for i in range(3): a.load(i)", "expected a call"),
    ("a.share_tables = False", "expected a call"),
    ("a, b = a.fork(), 1", "expected a call"),
    ("x = a.load(0x4000)", "no name for what is not kept"),
    ("a.load(9 ** 9 ** 9 ** 9)", "expected a number, bytes"),
    ("a.load(1 << 99999999999)", "another number than"),
    ("a.load((1 << 64) * (1 << 64) * (1 << 64))", "at most 64 bits"),
    ("a.load(" + "9" * 5000 + ")", "expected one"),
    ("a.load(" + "(" * 1000 + "1" + ")" * 1000 + ")", "expected one"),
    ("a.load(" + "-" * 9000 + "1)", "expected one"),
    ("a.load(" + "1+" * 4900 + "1)", "expected"),
    ("a.store(0, b'" + "x" * 10_001 + "')", "at most 10000 characters"),
    ("a.load(1.5)", "expected a number, bytes"),
    ("a.load('0x4000')", 'field "addr": expected a whole number'),
    ("a.load(True)", 'field "addr": expected a whole number'),
    ("a.load(a)", "expected a number or a string"),
    ("a.load(-1)", "expected a whole number from 0"),
    ("a.load(b)", 'a name that the text has given, or a constant, not "b"'),
    ("a.load()", "missing a required argument: 'addr'; expected load(addr, n=1)"),
    ("a.load(1, 2, 3)", "too many positional arguments"),
    ("a.load(x=1)", "expected load(addr, n=1)"),
    ("a.load(**{})", "expected a number, bytes"),
    ("a.load(0, 1 << 40)", "from 1 to 65536"),
    ("a.store(0, 256)", "from 0 to 255"),
    ("a.store(0, 'x')", "or bytes such as b'x'"),
    ("a.store(0, b'')", "pairs of hexadecimal digits"),
    ("a.mmap(0, 4096, 'rw', MAP_PRIVATE)", "EBADF"),
    ("a.mmap(0, 4096, 'rww', MAP_PRIVATE | MAP_ANONYMOUS)", "letters of rwx"),
    ("a.mmap(0, 4096, 'rw', 'x')", "expected a whole number"),
    ("a.mmap(0, 4096, 'rw', MAP_SHARED, 'db')", "expected a file"),
    ("a.mmap(0, 1 << 60, 'rw', MAP_PRIVATE | MAP_ANONYMOUS)", "no address space is larger"),
    ("a.touch(0, 1 << 50)", "pages to be faulted in"),
    ("f = a.memfd('f', 1 << 60)", "no address space could map more"),
    ("f = a.memfd('f', 5)", "whole pages"),
    ("f = a.memfd('anon', 4096)\na.exit()", None),
    ("b = a.fork('<script>')", "a name of letters, digits and _"),
    ("b = a.fork('a')", "expected a new name"),
    ("a.fork()", "a name of letters"),
    ("a.fork(5)", "a name of letters"),
    ("machine = Machine(TINY)", "before all else"),
    ("machine.mount('ext4', '/d')", "before the first process"),
    ("f = machine.open('/d')", "a process that opens"),
    ("a.mkdir('/dev/shm/d')", "a scenario file can hold"),
    ("a.unlink('../etc')", "an absolute path"),
    ("f = a.open(5)", "an absolute path"),
    ("a.open('/dev/shm/f')", "expected a name of letters"),
    ("a.exit()\na.load(0)", "which has exited"),
    ("machine.ioctl(1, 2)", "a scenario file can hold"),
    ("a.load(0\\", "expected one"),
    ("a.load(0)\x00", "expected one"),
    ("\ud800", "expected one"),
])
def test_what_is_no_call_is_refused_in_one_line(line, what):
    """With its number; nothing of it is run, and nothing takes long."""
    text = A + line
    if what is None:
        assert read(text)                           # anon: the name of the variable is taken
        return
    with pytest.raises(BadLine) as refused:
        read(text)
    said = str(refused.value)
    assert what in said and "\n" not in said and len(said) < 400
    assert refused.value.line == text.count("\n") + 1
    assert said.startswith(f"line {refused.value.line}")


@pytest.mark.parametrize("head, what", [
    ("machine = Machine(HUGE)", "TINY or X86_64 or LA57"),
    ("machine = Machine(TINY, memory=4096)", "which a scenario file can hold"),
    ("machine = Machine(TINY, sharing=FileTableCache)", "expected one of Private()"),
    ("machine = Machine(TINY, cpus=1 << 40)", "from 1 to 1024"),
    ("machine = Machine(TINY, huge_pages='many')", "a whole number"),
    ("machine.mount('ext4', '/d', color=1)", "no option but version"),
    ("machine.mount('<b>', '/d')", "the name of a filesystem"),
    ("f = machine.memfd('f')\nf.truncate(5)", "a process first"),
    ("f = machine.memfd('f')\nf.truncate(1 << 60)", "no address space could map more"),
    ("f = machine.memfd('f')\nf.pwrite(b'x', 0)", "pages below 0"),
    ("# nobody", "expected a process"),
])
def test_a_head_that_cannot_be_is_refused(head, what):
    """Also where it is found only when all is read."""
    with pytest.raises(BadInput) as refused:
        read(head + ("" if head.startswith("#") else "\n" + A))
    assert what in str(refused.value) and "\n" not in str(refused.value)


def test_a_text_has_bounds():
    """In lines and in characters."""
    for text in ("\n" * LINES, "#" * (BYTES + 1)):
        with pytest.raises(BadInput, match="expected at most 1000 lines and 65536 characters"):
            read(text)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(line):
    """Nothing but BadInput comes out."""
    try:
        read(A + line)
    except BadInput as why:
        assert "\n" not in str(why)


CALL = st.sampled_from(["load", "store", "mmap", "fork", "touch", "mremap", "ioctl", "exit"])
VALUE = st.one_of(st.integers(-1 << 70, 1 << 70).map(str), st.binary(max_size=9).map(repr),
                  st.sampled_from([name for name in vars(abi) if name.isupper()] + ["a", "f"]))


@given(st.lists(st.tuples(CALL, st.lists(VALUE, max_size=6)), max_size=4))
def test_any_arguments_are_read_or_refused(calls):
    """The same for what looks like calls; what is read can be written and read again."""
    text = "f = memfd('f', 0x4000)\n" + A + "\n".join(
        f"a.{name}({', '.join(args)})" for name, args in calls)
    try:
        sequence = read(text).sequence
    except BadInput as why:
        assert "\n" not in str(why)
    else:
        assert read(write(sequence)).sequence == sequence


def test_names_of_a_file_become_names_of_a_program():
    """Ids with dots, words of Python, numbers: each gets a name of its own."""
    sequence = {"files": [{"id": name, "pages": 1} for name in ("a.b", "a-b", "if", "1")],
                "names": ["if_"], "ops": [{"op": "fork", "proc": 0, "child": 1},
                                          {"op": "close", "proc": 1, "file": "if"}]}
    names = [line.split(" = ")[0] for line in write(sequence).split("\n")]
    assert names == ["machine", "a_b", "a_b_", "if_", "p1", "if__", "p1_", "if_.close()"]
    assert read(write(sequence)).sequence["names"] == ["if__", "p1_"]


def test_a_sequence_on_a_hugetlb_file_has_no_text():
    """It is told so, in one line."""
    sequence = load_file(str(DATA / "examples-hugetlb-10.json")).sequences[0]
    with pytest.raises(BadInput, match="not of mmoracle-hugetlb/1"):
        write(sequence)
