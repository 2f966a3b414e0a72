"""The calls of a Machine, made by real processes on the kernel of this computer."""
import doctest
import errno
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from documents import DATA, PAGE, RECORDINGS, document, mmap, op, replay, write

import mmlib
from mmlib import (
    MADV_DONTNEED,
    MADV_HWPOISON,
    MADV_POPULATE_READ,
    MADV_SOFT_OFFLINE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    BusError,
    Machine,
    Segfault,
    abilities,
)
from mmlib.linux import Linux, Lost, code, probe
from mmlib.linux.task import Task
from mmlib.signals import Signal

pytestmark = [pytest.mark.linux, pytest.mark.skipif(
    bool(abilities.refusal()), reason=f"no kernel to be asked: {abilities.refusal()}")]

ANON, AT = MAP_PRIVATE | MAP_ANONYMOUS, 0x2000_0000_0000


@pytest.fixture
def world():
    with Linux(timeout=20) as linux:
        yield linux


@pytest.fixture(scope="session")
def as_recorded():
    """Skips on a kernel that is known to differ from the recorded one."""
    unasked = ("promised", "places", "may lock")        # the older recordings do without
    lacking = [what for what in probe.lacking() if not any(word in what for word in unasked)]
    if lacking:
        pytest.skip(f"it is not so on this kernel that {lacking[0]}")


def bare(pids):
    """Those of *pids* that are bare processes, alive: told by where their data lies."""
    found = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/maps").read_text().startswith(f"{code.DATA:x}-"):
                found.add(pid)
        except OSError:
            pass
    return found


def soon(condition, seconds=20):
    """Does *condition* come true while we wait?"""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return true


# the recordings --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["examples-30", "examples-ptshare-10"])
def test_this_kernel_answers_as_the_recorded_one(name, as_recorded, capsys):
    """All sequences, in all tiers that this kernel lets us see."""
    status, out, _ = replay(capsys, DATA / f"{name}.json", "--on", "linux")
    assert (status, out.splitlines()[-1]) == (0, f"{RECORDINGS[name]} passed, 0 failed")


def test_hugetlb_is_compared_where_there_is_a_pool(as_recorded, capsys):
    """Else it is said that there is none, and nothing is left to compare."""
    status, out, err = replay(capsys, DATA / "examples-hugetlb-10.json", "--on", "linux")
    if abilities.free_huge_pages() < 32:
        assert (status, err) == (2, "nothing left to compare\n")
        assert "semantics, maps, minflt, tables, frames not compared: up to" in out
    else:
        assert (status, out.splitlines()[-1]) == (0, "10 passed, 0 failed")


def test_recording_gives_what_was_recorded(as_recorded, tmp_path, capsys):
    """The recorder's file is the recording, but for frames where they are hidden, and for lists of
    maps that are joined."""
    out = tmp_path / "out.json"
    assert replay(capsys, DATA / "examples-30.json", "--on", "linux", "--record", out)[0] == 0
    theirs, ours = json.loads((DATA / "examples-30.json").read_text()), json.loads(out.read_text())
    hidden = ["maps_kernel"] + ["frames"] * (not abilities.frame_numbers())
    for document_ in (theirs, ours):
        for sequence in document_["sequences"]:
            for one in sequence["ops"]:
                for field in hidden:
                    one["expect"].pop(field, None)
    theirs.pop("recorded_on"), ours.pop("recorded_on")
    assert ours == theirs


def test_a_recording_tells_kernel_and_machine_and_nothing_else(tmp_path, capsys):
    """Three numbers, and the machine type; no name of the host, no path, no local version."""
    out = tmp_path / "out.json"
    replay(capsys, write(tmp_path, document(mmap())), "--on", "linux", "--record", out)
    told = json.loads(out.read_text())["recorded_on"]
    assert set(told) == {"kernel", "machine"} and told["machine"] == "x86_64"
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["kernel"])


def test_what_the_kernel_records_the_simulator_answers(as_recorded, tmp_path, capsys):
    """From one world to the other."""
    out = tmp_path / "out.json"
    replay(capsys, DATA / "examples-ptshare-10.json", "--on", "linux", "--record", out)
    assert replay(capsys, out)[:2] == (0, "10 passed, 0 failed\n")


def test_hidden_frames_are_not_compared(tmp_path, capsys, monkeypatch):
    """Nor recorded; the other tiers count."""
    monkeypatch.setattr(abilities, "frame_numbers", lambda: False)
    path, out = DATA / "examples-ptshare-10.json", tmp_path / "out.json"
    status, told, _ = replay(capsys, path, "--on", "linux", "--record", out)
    assert "frames not compared: this kernel hides" in told and status in (0, 1)
    assert '"frames"' not in out.read_text()
    assert replay(capsys, path, "--on", "linux", "--tiers", "frames")[0] == 2


# what is refused -------------------------------------------------------------------------------
@pytest.mark.parametrize("head, ops, told", [
    ({"geometry": "TINY"}, [], "expected X86_64 with --on linux"),
    ({"geometry": "LA57"}, [], "expected X86_64 with --on linux"),
    ({"sharing": "cache"}, [], 'field "sharing": expected none with --on linux'),
    ({"cpus": 1024}, [], 'field "cpus": expected at most'),
    ({"mounts": [{"fstype": "msharefs", "path": "/share"}]}, [], "mount at /share"),
    ({}, [{"op": "shrink"}], "op 0: expected what Linux can do"),
    ({}, [op("open", file="f", path="/dev/shm/f"), op("ioctl", file="f", request=1)],
     "op 1: expected what Linux can do"),
    ({}, [op("madvise", addr=0, len=PAGE, advice="noshare_tables")], "expected what Linux can do"),
    ({}, [op("madvise", addr=0, len=PAGE, advice=1001)], "expected what Linux can do"),
    ({}, [op("madvise", addr=0, len=PAGE, advice="hwpoison")], "expected what Linux can do"),
    ({}, [op("madvise", addr=0, len=PAGE, advice=101)], "expected what Linux can do")])
def test_what_linux_cannot_do_is_refused(head, ops, told, tmp_path, capsys):
    """In one line, with exit status 2."""
    path = write(tmp_path, document(*ops, form="mmlib/1", **head))
    status, _, err = replay(capsys, path, "--on", "linux")
    assert (status, err.count("\n")) == (2, 1) and told in err


@pytest.mark.parametrize("advice", [MADV_HWPOISON, MADV_SOFT_OFFLINE])
def test_no_memory_of_this_computer_is_taken_out_of_use(advice, world):
    """As root the kernel would do it, and no reboot of a process brings a page back."""
    task = world.spawn()
    start = task.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    with pytest.raises(NotImplementedError, match="harm"):
        task.madvise(start, PAGE, advice)


def test_mincore_of_nothing(world):
    """The kernel is asked, and no byte comes back; an address inside a page is still EINVAL."""
    task = world.spawn()
    assert task.mincore(AT, 0) == b""
    with pytest.raises(OSError, match="EINVAL"):
        task.mincore(AT + 1, 0)


@pytest.mark.parametrize("name", ["translate", "reachable_tables", "share_tables", "page_faults"])
def test_what_no_kernel_tells_is_said_in_words(name, world):
    """NotImplementedError, which points to the simulator."""
    with pytest.raises(NotImplementedError, match="no kernel tells this"):
        getattr(world.spawn(), name)


def test_share_tables_cannot_be_set(world):
    """No kernel knows it."""
    with pytest.raises(NotImplementedError):
        world.spawn().share_tables = False


@pytest.mark.parametrize("name", ["trace", "counters", "table_count", "branch", "rmap", "shrink"])
def test_what_no_kernel_does_is_said_in_words(name, world):
    """The same of the world itself."""
    with pytest.raises(NotImplementedError, match="ask a Machine"):
        getattr(world, name)


def test_another_kind_of_computer_is_told_in_one_line(monkeypatch, capsys, tmp_path):
    """By the class and by the command."""
    monkeypatch.setattr(abilities, "MODEL", ("Plan9", "pdp11", 512))
    with pytest.raises(OSError, match="Linux on x86_64 with pages of 4096 bytes, not Plan9"):
        Linux()
    status, _, err = replay(capsys, write(tmp_path, document(mmap())), "--on", "linux")
    assert (status, err.count("\n")) == (2, 1) and "not Plan9 on pdp11" in err


# the same calls --------------------------------------------------------------------------------
def calls_of(kind):
    return {name: list(inspect.signature(value).parameters) for name, value in
            inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("theirs, ours", [(mmlib.Task, Task),
                                          (mmlib.File, sys.modules["mmlib.linux.files"].File)])
def test_the_calls_have_the_same_arguments(theirs, ours):
    """Every call of the simulator's class is there, but for those that no kernel tells."""
    mine = calls_of(ours)
    for name, arguments in calls_of(theirs).items():
        if name not in ("translate",):
            assert mine[name] == arguments, name


def scenario(world):
    """A script that runs on either world; what it saw."""
    seen, a = [], world.spawn("a")
    file = world.memfd("f", 4 * PAGE)
    file.pwrite(b"x" * 2 * PAGE, 0)
    a.mmap(AT, 4 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    a.mmap(AT + (1 << 30), 64 * PAGE, "rw", ANON | MAP_FIXED)
    a.store(AT + PAGE - 2, b"abcd")
    a.touch(AT + (1 << 30), 64 * PAGE)
    a.touch(AT + (1 << 30) + 5, 9 * PAGE, write=True)
    b = a.fork("b")
    b.store(AT + (1 << 30), b"b")
    a.mprotect(AT + 2 * PAGE, PAGE, "")
    thread = a.clone("thread")
    thread.store(AT + (1 << 30) + 20 * PAGE, 7)
    for task in world.tasks:
        seen += [task.name, task.minor_faults, task.major_faults, task.tables, task.rss,
                 task.page_table_bytes, task.locked, task.load(AT + PAGE - 2, 4)]
        seen += [(row.start, row.end, row.perms, row.offset, row.backing) for row in task.maps()]
        seen += [(row.addr, row.present, row.exclusive, row.file)
                 for row in task.pagemap(AT, 4 * PAGE) + task.pagemap(AT + (1 << 30), 64 * PAGE)]
    for failing in (lambda: a.store(AT + 2 * PAGE, 1), lambda: a.load(AT + 4 * PAGE),
                    lambda: b.touch(AT, 9 * PAGE), lambda: file.truncate(0) or b.load(AT + PAGE)):
        with pytest.raises(Signal) as caught:
            failing()
        seen.append((type(caught.value), caught.value.addr, caught.value.code,
                     caught.value.access, caught.value.task.name))
    new = a.mremap(AT + (1 << 30), 64 * PAGE, 64 * PAGE, 3, AT + (1 << 31))
    a.madvise(new, 64 * PAGE, MADV_DONTNEED)
    a.mlock(new, PAGE)
    a.msync(AT, PAGE, MS_SYNC)
    a.munmap(AT, 4 * PAGE)
    seen += [a.locked, a.tables, a.minor_faults, a.mincore(new, 3 * PAGE), thread.load(new)]
    for call in (lambda: a.mmap(5, PAGE, "r", ANON | MAP_FIXED), lambda: a.munmap(AT + 1, 1),
                 lambda: a.mmap(AT, PAGE, "r", MAP_PRIVATE), lambda: a.mprotect(AT, PAGE, "r"),
                 lambda: a.mremap(AT, PAGE, PAGE, MREMAP_MAYMOVE), lambda: a.run_on(5000)):
        with pytest.raises(OSError) as refused:
            call()
        seen.append(refused.value.errno)
    thread.exit(), a.exit()
    return seen + [task.name for task in world.tasks]


def test_a_script_runs_on_either_world(as_recorded, world):
    """Every figure, row, signal and errno is the same."""
    assert scenario(world) == scenario(Machine())


def test_the_example_of_the_interface_is_so():
    """docs/api.md shows a script on both worlds; what its own test must skip is run here."""
    text = (Path(__file__).resolve().parents[1] / "docs/api.md").read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(
        text[text.index("## The kernel of your computer"):text.index("## The command line")],
        vars(mmlib) | {"ANON": ANON}, "api.md", None, 0)
    for example in examples.examples:
        example.options.clear()
    assert doctest.DocTestRunner().run(examples).failed == 0


def test_importing_it_asks_for_nothing():
    """On a system without fcntl too: only making a world is refused there."""
    ran = subprocess.run([sys.executable, "-c", "import sys; sys.modules['fcntl'] = None;"
                          "import mmlib.linux"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_paths_lie_in_a_folder_of_their_own(world):
    """/dev/shm/x of a scenario is not the real one; maps() shows the scenario's path."""
    before = set(os.listdir("/dev/shm"))
    task = world.spawn()
    file = task.open("/dev/shm/db")
    file.truncate(PAGE)
    task.mmap(AT, PAGE, "r", MAP_SHARED | MAP_FIXED, file)
    assert task.maps()[0].backing == file.name == "/dev/shm/db"
    task.mkdir("/dev/shm/d"), task.rename("/dev/shm/db", "/dev/shm/d/db")
    task.link("/dev/shm/d/db", "/dev/shm/e"), task.unlink("/dev/shm/d/db")
    assert task.maps()[0].backing == "/dev/shm/d/db (deleted)"
    [new] = set(os.listdir("/dev/shm")) - before
    assert set(os.listdir(f"/dev/shm/{new}")) == {"d", "e"}
    world.close()
    assert set(os.listdir("/dev/shm")) == before


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/shm/../../etc/passwd", "relative", "/",
                                  "/dev/shmx"])
def test_no_path_leads_out(path, world):
    """ENOENT; nothing of the real file system can be opened, made or removed."""
    for call in (world.open, world.unlink, world.mkdir, lambda p: world.rename("/dev/shm/a", p),
                 lambda p: world.link(p, "/dev/shm/a")):
        with pytest.raises(OSError) as refused:
            call(path)
        assert refused.value.errno == errno.ENOENT


def test_open_takes_flags(world):
    """O_EXCL, and a file that may not be written cannot be mapped so."""
    world.open("/dev/shm/a").truncate(PAGE)
    with pytest.raises(FileExistsError):
        world.open("/dev/shm/a", O_CREAT | O_EXCL)
    with pytest.raises(PermissionError):
        world.spawn().mmap(AT, PAGE, "rw", MAP_SHARED, world.open("/dev/shm/a", O_RDONLY))


def test_files_close_with_their_last_process(world):
    """Those that a task opened; a closed one answers EBADF."""
    a = world.spawn()
    mine, its = a.memfd("mine"), world.memfd("its")
    b = a.fork()
    a.exit()
    assert mine.size == 0
    b.exit()
    assert its.size == 0
    for call in (lambda: mine.size, lambda: mine.pread(1, 0), mine.fsync, mine.close):
        with pytest.raises(OSError) as refused:
            call()
        assert refused.value.errno == errno.EBADF


def test_the_kernel_answers_for_a_closed_file(world):
    """It looks at the offset first (ksys_mmap_pgoff)."""
    task, file = world.spawn(), world.memfd("f")
    file.close()
    for offset, code in ((1, errno.EINVAL), (0, errno.EBADF)):
        with pytest.raises(OSError) as refused:
            task.mmap(AT, PAGE, "r", MAP_SHARED, file, offset)
        assert refused.value.errno == code


def test_mincore_of_nothing(world):
    """Asked once, and told nothing."""
    assert world.spawn().mincore(AT, 0) == b""


@pytest.mark.skipif(any("places" in what for what in probe.lacking()),
                    reason="addresses are chosen at random here, as personality(2) is forbidden")
def test_addresses_are_chosen_alike_in_each_process(world):
    """And as the simulator chooses them, also after exec."""
    task, other, simulated = world.spawn(), world.spawn(), Machine().spawn()
    other.exec()
    for length in (PAGE, 1 << 21, 3 << 20):
        assert {one.mmap(None, length, "rw", ANON) for one in (task, other)} == {
            simulated.mmap(None, length, "rw", ANON)}


def test_exec_gives_an_empty_address_space(world):
    """It ends the other threads, keeps the process and its files, and can be forked again."""
    a = world.spawn("a")
    a.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    a.store(AT, 1)
    file, other = a.memfd("f"), a.clone("other")
    pid = a.pid
    other.exec()
    assert (world.tasks, other.pid, list(other.maps()), other.tables) == ([other], pid, [], 0)
    assert file.size == 0 and a.alive is False
    other.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    other.store(AT, 1)
    assert other.fork("child").tables == 3


def test_a_task_that_has_exited_answers_esrch(world):
    """As in the simulator."""
    task = world.spawn()
    task.exit()
    for call in (lambda: task.load(AT), task.maps, task.fork, lambda: task.tables, task.exit):
        with pytest.raises(ProcessLookupError):
            call()


def test_a_process_consists_of_nothing_that_is_seen(world):
    """maps, tables, rss are empty before the first call; fork copies nothing that counts."""
    a = world.spawn()
    for task in (a, a.fork(), a.clone()):
        assert (list(task.maps()), task.tables, task.rss, task.pss, task.present()) == (
            [], 0, 0, 0, [])


def test_its_own_memory_is_out_of_reach(world):
    """A call that would hit the code or data of the process is the caller's mistake."""
    task = world.spawn()
    for call in (lambda: task.munmap(0, 1 << 47), lambda: task.store(code.DATA, 1),
                 lambda: task.mmap(code.CODE, PAGE, "r", ANON | MAP_FIXED),
                 lambda: task.load(code.DATA - 1, 2)):
        with pytest.raises(ValueError, match="where the process under test itself lies"):
            call()
    with pytest.raises(ValueError, match="64 bits"):
        task.munmap(1 << 70, PAGE)


def test_a_thousand_first_stores_are_a_thousand_faults(world):
    """Nothing of ours is counted, not once, in parent, child or thread."""
    task = world.spawn()
    task.mmap(AT, 3000 * PAGE, "rw", ANON | MAP_FIXED)
    first, tasks = 0, [task, task.fork(), task.clone()]
    for one in tasks:
        counts = set()
        for page in range(first, first + 1000):
            before = one.minor_faults
            one.store(AT + page * PAGE, 1)
            counts.add(one.minor_faults - before)
        assert counts == {1}
        first += 1000


def test_signals_take_no_fault_of_ours(world):
    """A hundred SIGSEGV and SIGBUS in a fresh child count none."""
    task = world.spawn()
    file = world.memfd("f", 0)
    task.mmap(AT, PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    child = task.fork()
    for _ in range(100):
        with pytest.raises(BusError):
            child.load(AT)
        with pytest.raises(Segfault):
            child.store(AT + PAGE, 1)
    assert child.minor_faults == 0


def test_a_call_that_fails_counts_its_faults_too(world):
    """MADV_POPULATE_READ up to a hole: ENOMEM, and one fault for the page before."""
    task = world.spawn()
    task.mmap(AT, PAGE, "rw", ANON | MAP_FIXED)
    with pytest.raises(OSError, match="ENOMEM"):
        task.madvise(AT, 2 * PAGE, MADV_POPULATE_READ)
    assert task.minor_faults == 1


# what goes wrong -------------------------------------------------------------------------------
def test_a_process_that_is_killed_is_reported(world):
    """By its next call, in words; its threads are gone, the others live on."""
    a, b = world.spawn("a"), world.spawn("b")
    thread, child = a.clone(), a.fork("child")
    os.kill(a.pid, signal.SIGKILL)
    with pytest.raises(Lost, match="^a: the process is gone"):
        a.load(AT)
    assert (a.alive, thread.alive, world.tasks) == (False, False, [b, child])
    assert child.tables == b.tables == 0


def test_a_process_that_hangs_is_killed_and_reported():
    """After the time that was given to Linux()."""
    with Linux(timeout=0.2) as world:
        task = world.spawn("a")
        os.kill(task.pid, signal.SIGSTOP)
        with pytest.raises(Lost, match="^a: no answer within 0.2 seconds"):
            task.load(AT)
        assert bare([task.pid]) == set() and world.tasks == []


def test_a_replay_that_loses_its_process_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    """Exit status 2."""
    def kill(task, *_):
        os.kill(task.pid, signal.SIGKILL)
        return task.line.ask(code.CALL, 39)
    monkeypatch.setattr(Task, "munmap", lambda task, *_: task.ask(lambda: kill(task)))
    path = write(tmp_path, document(mmap(), op("munmap", addr=0, len=PAGE)))
    status, _, err = replay(capsys, path, "--on", "linux")
    assert (status, err.count("\n")) == (2, 1)
    assert 'sequence "s": expected a process that answers; 0: the process is gone' in err


def test_too_many_processes_for_us_is_no_answer_of_the_kernel(tmp_path):
    """Where our own files run out, replay says so."""
    path = write(tmp_path, document(mmap(), *[op("fork", child=n) for n in range(1, 60)]))
    ran = subprocess.run(["sh", "-c", 'ulimit -n 40; exec "$@"', "sh", sys.executable, "-m",
                          "mmlib", "replay", path, "--on", "linux"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "Too many open files" in ran.stderr


def test_memory_that_may_not_be_executed_is_told(monkeypatch):
    """Where no bare process can be made: EPERM, with its reason."""
    monkeypatch.setattr("mmlib.linux.process.BOOT", 'raise SystemExit("executable memory: no")')
    with Linux() as world, pytest.raises(PermissionError, match="executable memory: no"):
        world.spawn()


DENIED = """
import ctypes, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):     # PR_SET_MDWE: nothing written is ever executed
    sys.exit("skip")
from mmlib import abilities
from mmlib.__main__ import main
if sys.argv[2:]:
    abilities.executable_memory = lambda: True
sys.exit(main(["replay", sys.argv[1], "--on", "linux"]))
"""


@pytest.mark.parametrize("more", [[], ["even if it is not noticed before"]])
def test_a_kernel_that_forbids_executable_memory_is_told_in_one_line(more, tmp_path):
    """By replay, with exit status 2, whether the ability was asked for or the process failed."""
    path = write(tmp_path, document(mmap()))
    ran = subprocess.run([sys.executable, "-c", DENIED, path, *more], capture_output=True,
                         text=True)
    if ran.stderr == "skip\n":
        pytest.skip("this kernel has no PR_SET_MDWE (6.3)")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "executable memory is" in ran.stderr


# nothing is left behind ------------------------------------------------------------------------
def test_close_ends_all_processes(world):
    """Children and threads too; twice does no harm."""
    for task in [world.spawn(), world.spawn()]:
        task.fork().fork().clone()
    pids = {task.pid for task in world.tasks}
    assert (len(pids), bare(pids)) == (8, pids)
    world.close(), world.close()
    assert soon(lambda: not bare(pids))


LEAVING = """
import os, signal, sys
from mmlib.linux import Linux
world = Linux()
task = world.spawn()
child = task.fork()
child.fork(), child.clone(), task.exit()
world.open("/dev/shm/file")
print(world.folder.path, *(task.pid for task in world.tasks), flush=True)
"""


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)",
                                 "raise SystemExit(1)", "1 / 0"])
def test_whatever_ends_us_ends_the_processes_and_removes_the_files(end):
    """Even SIGKILL, and processes whose parent has exited before."""
    ran = subprocess.run([sys.executable, "-c", LEAVING + end], capture_output=True, text=True)
    folder, *pids = ran.stdout.split()
    assert Path(folder).name.startswith("mmlib-") and len(pids) == 3
    assert soon(lambda: not bare(pids))
    assert soon(lambda: not Path(folder).exists())


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_closing_the_world_closes_all_files():
    """Whoever opened them, and whatever has happened to the processes."""
    before = open_files()
    with Linux() as world:
        task = world.spawn()
        file = task.memfd("a"), task.open("/dev/shm/b"), world.memfd("c"), world.open("/dev/shm/d")
        task.fork().clone(), world.spawn().exec()
        os.kill(task.pid, signal.SIGKILL)
    assert open_files() == before and all(one.closed for one in file)


def test_no_file_stays_open(world):
    """Sockets, handles and pipes of processes that have ended are closed."""
    before = open_files()
    for _ in range(5):
        task = world.spawn()
        child, thread = task.fork(), task.clone()
        for one in (child, thread, task):
            one.exit()
    assert open_files() == before


# the machine code ------------------------------------------------------------------------------
@pytest.mark.skipif(not (shutil.which("as") and shutil.which("objcopy")),
                    reason="no assembler here (binutils)")
def test_the_bytes_are_what_an_assembler_makes_of_the_listing(tmp_path):
    """Each line of the listing says in assembly what its bytes are."""
    text = "\n".join(line.partition(" ")[2] for line in code.LISTING.strip().splitlines())
    (tmp_path / "code.s").write_text(f".intel_syntax noprefix\n{text}\n")
    subprocess.run(["as", "--64", "code.s", "-o", "code.o"], cwd=tmp_path, check=True)
    subprocess.run(["objcopy", "-O", "binary", "code.o", "code.bin"], cwd=tmp_path, check=True)
    assert (tmp_path / "code.bin").read_bytes() == code.ASSEMBLED
