"""A second opinion: scenarios asked of the simulator, of this computer's kernel, and of the recording
where no kernel can be asked."""
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from record_answers import NOTEBOOK, NOTEBOOKS, code, run_notebooks

import mmlib
from mmlib import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    FileTableCache,
    Machine,
    abilities,
    judge,
)
from mmlib import answers as answers_module
from mmlib.judge import ask

AT, ANON = 1 << 40, MAP_PRIVATE | MAP_ANONYMOUS
PACKAGE, NOBODY = Path(mmlib.__file__).parent, 65534
LINUX = not abilities.refusal()
WHY = "a computer of another kind"
with_a_kernel = pytest.mark.skipif(not LINUX, reason=f"no kernel: {abilities.refusal()}")


def store(world):
    """A scenario that no recording has."""
    task = world.spawn()
    task.mmap(AT, 0x3000, "rw", ANON)
    task.touch(AT, 0x3000, write=True)
    return {"faults": task.minor_faults, "tables": task.tables}


def bare(world):
    """That of the notebook, so the recording has it."""
    task = world.spawn()
    return {"mappings": len(task.maps()), "page tables": task.tables, "faults": task.minor_faults}


def cached(world):
    """A file that one task fills and another one reads."""
    server = world.spawn()
    server.mmap(AT, 0x40000, "rw", MAP_SHARED, server.memfd("data", 0x40000))
    server.touch(AT, 0x40000, write=True)
    client = server.fork()
    client.touch(AT, 0x40000)
    return {"client": client.minor_faults}


@pytest.fixture
def no_kernel(monkeypatch):
    monkeypatch.setattr(abilities, "refusal", lambda: WHY)


@pytest.fixture
def other_kernel(monkeypatch):
    """This computer's kernel is played by a function, a list of them, or a Machine; those that were
    asked are counted."""
    import mmlib.linux
    asked = []

    def play(*worlds):
        def make():
            asked.append(worlds[min(len(asked), len(worlds) - 1)])
            return asked[-1]()
        monkeypatch.setattr(abilities, "refusal", lambda: "")
        monkeypatch.setattr(mmlib.linux, "Linux", make)
        return asked

    return play


@pytest.fixture(scope="module")
def scenarios():
    """Rows (scenario, on, huge pages) of what notebook 11 asks."""
    rows, answer = [], judge.ask

    def listen(scenario, on="here", *, huge_pages=0):
        rows.append((scenario, on, huge_pages))
        return answer(scenario, "recorded" if on == "here" else on, huge_pages=huge_pages)

    run_notebooks(listen)
    return rows


# with the kernel -------------------------------------------------------------------------------
@with_a_kernel
def test_this_kernel_is_asked(as_recorded):
    """The line says so, and no note is needed."""
    answers = ask(store)
    assert answers.measured == answers.predicted == {"faults": 3, "tables": 3} and answers.agree
    assert answers.source == f"Measured just now: {judge.this()}." and answers.notes == []


@pytest.fixture(scope="module")
def as_recorded():
    """Skips on a kernel that is known to differ."""
    from mmlib.linux import probe
    differs = [what for what in probe.lacking()
               if re.search("MADV_DONTNEED frees|a load maps|4 KiB pages", what)]
    if differs:
        pytest.skip(f"it is not so on this kernel that {differs[0]}")


@with_a_kernel
def test_this_kernel_answers_the_notebook_as_recorded(scenarios, as_recorded):
    """Every scenario that does not need an administrator."""
    asked = [(scenario, ask(scenario)) for scenario, on, huge in scenarios
             if on == "here" and not huge]
    assert len(asked) == 9
    for scenario, answers in asked:
        assert answers.source.startswith("Measured just now"), scenario.__name__
        assert answers.agree and answers.measured == answers.recorded, f"{answers}"


@with_a_kernel
def test_processes_are_gone_afterwards():
    """A scenario may leave tasks behind; `ask` ends them."""
    seen = []

    def keep(world):
        task = world.spawn()
        seen.append(getattr(task, "pid", None))
        return {"tables": task.tables}

    ask(keep)
    assert seen[0] is None and not os.path.exists(f"/proc/{seen[1]}/maps")


def python_for_others() -> str | None:
    """A Python that a user without any rights can start."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            subprocess.run([python, "-c", "import sys; assert sys.version_info >= (3, 11)"],
                           user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", check=True,
                           capture_output=True)
            return python
        except (OSError, subprocess.SubprocessError):
            pass
    return None


@with_a_kernel
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0,
                    reason="only root can become another user")
def test_one_need_not_be_root(as_recorded):
    """Another user gets the same tables, and is told that frames are hidden."""
    if (python := python_for_others()) is None:
        pytest.skip("no Python that other users can start")
    folder = Path(tempfile.mkdtemp(prefix="mmlib-test-"))   # pytest's own is hidden from others
    try:
        shutil.copytree(PACKAGE, folder / "mmlib", ignore=shutil.ignore_patterns("__pycache__"))
        folder.chmod(0o755)
        lines = ["from mmlib import *", "from mmlib import judge",
                 "AT, ANON = 1 << 40, MAP_PRIVATE | MAP_ANONYMOUS",
                 inspect.getsource(store), inspect.getsource(cached),
                 "print(judge.ask(store), judge.ask(cached), judge.witness(), sep='\\n')"]
        done = subprocess.run([python, "-B", "-c", "\n".join(lines)], text=True, user=NOBODY,
                              group=NOBODY, extra_groups=[], capture_output=True, cwd=folder)
    finally:
        shutil.rmtree(folder)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == f"{ask(store)}\n{ask(cached)}\nThis computer's kernel answers: " \
        f"{judge.this()}. It does not tell you in which frame a page lies.\n"


# without it ------------------------------------------------------------------------------------
def test_without_a_kernel_the_recording_answers(no_kernel):
    """One line says why."""
    answers = ask(bare)
    assert answers.agree and answers.measured == answers.recorded
    assert answers.source == "Recorded on Linux 6.18.44 on x86_64; the kernel of this computer " \
        f"cannot be asked: {WHY}."


def test_what_was_not_recorded_is_predicted_alone(no_kernel):
    """A reader without a kernel who changes a scenario is not shown what belongs to another."""
    answers = ask(store)
    assert answers.predicted == {"faults": 3, "tables": 3} and not answers.agree
    assert answers.measured == {"faults": None, "tables": None} and answers.recorded is None
    assert re.fullmatch(r" +predicted +measured +agree\nfaults +3 +-  -\ntables +3 +-  -\nNot "
                        r"measured, and no recording has these calls and questions; .*\.",
                        f"{answers}")


def test_other_questions_about_the_same_calls_are_not_recorded(no_kernel):
    """The key is made of calls and questions."""
    assert ask(lambda world: {"page tables": world.spawn().tables}).recorded is None


def test_the_recording_is_of_the_notebook(scenarios):
    """Whatever it asks is recorded, as the simulator predicts it; and nothing else is."""
    keys = set()
    for scenario, on, huge_pages in scenarios:
        if on not in ("here", "recorded"):
            continue
        machine = Machine(huge_pages=huge_pages)
        predicted = judge.answers_of(scenario, machine)
        keys.add(answers_module.key(machine, predicted))
        assert answers_module.recorded(machine, predicted) == predicted, scenario.__name__
    assert keys == set(answers_module.recording()["answers"])


def test_on_recorded_asks_no_kernel(other_kernel):
    """Even where there is one."""
    asked = other_kernel(Machine)
    assert ask(bare, on="recorded").source == "Recorded on Linux 6.18.44 on x86_64." and not asked


def test_witness_is_one_line(no_kernel):
    """Also without a kernel; so are the other two."""
    assert judge.witness() == "Answers are those recorded on Linux 6.18.44 on x86_64; the kernel " \
        f"of this computer cannot be asked: {WHY}."
    assert judge.probed() == judge.status(bare, "VmPTE") == \
        f"the kernel of this computer cannot be asked: {WHY}"


def test_huge_pages_that_are_not_there(monkeypatch):
    """The pool is looked at before anything is asked."""
    monkeypatch.setattr(abilities, "refusal", lambda: "")
    monkeypatch.setattr(abilities, "free_huge_pages", lambda: 3)
    assert ask(bare, huge_pages=16).source.endswith(
        "; 16 huge pages are asked for, and the pool of this computer's kernel has 3.")


# a kernel that disagrees -----------------------------------------------------------------------
def test_a_difference_comes_with_its_reason(other_kernel):
    """Three runs, then a probe of the same kernel."""
    asked = other_kernel(lambda: Machine(fault_around=1))
    answers = ask(cached, on=lambda: Machine(fault_around=1))
    assert not answers.agree and answers.measured == {"client": 64}
    assert answers.notes == ["It may differ because it is not so here that a load maps 16 pages of "
                             "a file around it."]
    assert ask(cached).measured == {"client": 64} and len(asked) >= judge.RUNS


def test_a_difference_without_a_reason():
    """Nothing is made up."""
    answers = ask(store, on=lambda: Machine(memory=None, sharing=FileTableCache()))
    assert answers.agree
    one_more = iter((4, 3, 3, 3))       # the Machine that predicts comes first
    wrong = ask(lambda world: {"faults": next(one_more)}, on=Machine)
    assert wrong.notes == ["No probe knows a reason. Please report it, with the scenario."]


def test_what_one_run_of_three_answers_as_predicted_agrees(other_kernel):
    """Another process was in the way; a note says what was seen."""
    asked = other_kernel(lambda: Machine(fault_around=1), Machine)
    answers = ask(cached)
    assert answers.agree and len(asked) == 2
    assert answers.notes == ["Not every run gave the same for 'client': 64, 4."]


@pytest.mark.parametrize("why", [OSError(11, "EAGAIN: fork"), "lost"])
def test_a_kernel_that_ends_the_scenario(other_kernel, why):
    """A limit on processes, say: the recording answers, and the line tells why."""
    from mmlib.linux import Lost

    def refuse():
        raise Lost("no answer within 60 seconds") if why == "lost" else why

    other_kernel(refuse)
    answers = ask(bare)
    assert answers.agree and re.fullmatch(
        r"Recorded on Linux 6\.18\.44 on x86_64; the kernel of this computer ended the scenario: "
        r".*(EAGAIN: fork|no answer within 60 seconds)\.", answers.source)
    assert judge.status(bare).startswith("the kernel of this computer ended the scenario: ")


# mistakes of the caller ------------------------------------------------------------------------
@pytest.mark.parametrize("answer", [None, 3, {}])
def test_a_scenario_returns_a_dict(answer):
    """What it returned is named."""
    with pytest.raises(TypeError, match=f"a scenario returns a dict.*not {answer!r}"):
        ask(lambda world: answer)


def test_an_unknown_world():
    """Three are known."""
    with pytest.raises(ValueError, match='on is "here", "recorded" or a function .*not \'mars\''):
        ask(bare, on="mars")


def test_answers_are_what_a_file_can_hold():
    """Numbers and text stay, all else becomes text."""
    answers = ask(lambda world: {1: (2, 3), "b": b"x", "yes": True}, on=Machine)
    assert answers.predicted == {"1": "(2, 3)", "b": "b'x'", "yes": True} and answers.agree


# the notebook ----------------------------------------------------------------------------------
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def live(path):
    """The cells whose outputs are not compared."""
    return [cell for cell in code(path)
            if "nbval-ignore-output" in cell.metadata.get("tags", ())]


@each_notebook
def test_only_what_asks_this_computer_is_not_compared(path):
    """Strict nbval skips the outputs of these cells and of no others; none asserts anything."""
    asks = re.compile(r"\bask\(\w+\)|\b(witness|probed|status)\(|\"--on\", \"linux\"")
    assert [cell.id for cell in code(path) if asks.search(cell.source)] == \
        [cell.id for cell in live(path)]
    assert not [cell.id for cell in live(path) if "assert" in cell.source]


@each_notebook
def test_the_stored_outputs_were_measured(path):
    """A reader who runs nothing sees a kernel's answers, and that they agree."""
    tables = ["".join(output.get("text", "") or output.get("data", {}).get("text/plain", "")
                      for output in cell.outputs) for cell in live(path) if "= ask(" in cell.source]
    assert len(tables) == (8 if path == NOTEBOOK else 1)
    for table in tables:
        *rows, source = table.splitlines()[1:]
        assert rows and all(row.endswith("  yes") for row in rows)
        assert source.startswith("Measured just now: Linux ")


@pytest.mark.slow
def test_the_notebook_runs_to_its_end_on_a_kernel_that_disagrees():
    """What it asserts is about prediction and recording; a reader's kernel may differ."""
    answers = []

    def disagree(scenario, on="here", *, huge_pages=0):
        world = (lambda: Machine(fault_around=1)) if on == "here" else on
        answers.append(ask(scenario, world, huge_pages=huge_pages))
        return answers[-1]

    run_notebooks(disagree)
    assert [one.agree for one in answers].count(False) >= 2


@with_a_kernel
def test_status_prints_what_was_asked_for():
    """Lines of /proc/PID/status of the first task, by name; three tables are the process's own."""
    assert judge.status(store, "VmPTE") == "VmPTE: 24 kB"
