"""The playground's Python half: what it answers to the page, whatever the page sends."""
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from mmlib.capsule import pack
from mmlib.play import play
from mmlib.regimes import REGIMES
from mmlib.script import FILE_CALLS, TASK_CALLS, read
from mmlib.stories import STORIES
from mmlib.views.controls import offered
from mmlib.views.esm import assemble
from mmlib.views.playground import Playground

A = "a = machine.spawn('a')\n"


@pytest.fixture
def ground():
    return Playground(A)


def test_it_runs_what_it_is_sent(ground):
    """Under the regime that is sent, if it is one."""
    ground.asked({"run": A + "a.load(0)", "regime": "cache", "beside": ""})
    assert (ground.regime, ground.beside, ground.result["told"][0][1]) == ("cache", "", "SIGSEGV")
    assert not ground.result["loaded"]              # the page has the text already
    ground.asked({"run": A, "regime": "swap"})
    assert ground.regime == "" and ground.text == A
    ground.asked({"story": "01 Walk an address"})
    assert ground.text == STORIES["01 Walk an address"] and ground.result["loaded"]


def test_what_is_loaded_or_restored_is_run(ground):
    """A file and a string that this same class gave."""
    ground.asked({"run": A + "a.exit()"})
    file, string = ground.result["json"], ground.result["string"]
    ground.asked({"run": A})
    ground.asked({"load": file})
    assert ground.text == "machine = Machine(TINY)\n" + A + "a.exit()"
    ground.asked({"restore": string})
    assert ground.text == A + "a.exit()"


@pytest.mark.parametrize("message", [
    {}, [], None, "run", {"run": 5}, {"run": None}, {"story": "none"}, {"story": []}, {"exec": "1"},
    {"load": "{"}, {"load": "[" * 100_000}, {"load": "\ud800"}, {"restore": "x"},
    {"restore": pack(A)[:-3]}, {"run": A, "regime": ["cache"], "beside": {}},
])
def test_whatever_is_sent_breaks_nothing(ground, message):
    """What cannot be is told, in one line; what was there stays."""
    ground.asked(message)
    assert ground.text == A and ground.play.machine is not None
    assert "\n" not in ground.result["say"]


def test_a_text_that_is_too_long_is_told(ground):
    """Nothing was run; the page says so."""
    ground.asked({"run": "a" * 100_000})
    assert "expected at most 1000 lines" in ground.result["say"]
    assert ground.result["stepper"] is None and ground.result["json"] == ""


def test_each_answer_is_news():
    """The page is told of a run even if nothing came out otherwise."""
    ground = Playground(A)
    before = ground.result
    ground.asked({"run": A})
    assert ground.result != before


@pytest.mark.parametrize("beside", REGIMES)
def test_two_regimes_have_as_many_steps(beside):
    """A step a line, whatever a regime does for it; lines lead to steps."""
    ground = Playground("One file in every regime", beside=beside)
    tracks = ground.result["stepper"]["tracks"]
    assert len(tracks) == 2 and f"Under {beside}: " in ground.result["say"]
    lengths = {len(track["steps"]) for track in tracks}
    assert lengths == {ground.result["last"] + 1}
    assert all(0 < step <= ground.result["last"] for *_, step in ground.result["told"])


def test_too_many_pages_have_no_picture():
    """The answers are there, and a sentence says why there is none."""
    text = (A + "f = a.memfd('f', 1 << 29)\na.mmap(1 << 40, 1 << 29, 'rw', MAP_SHARED, f)\n"
            "a.touch(1 << 40, 400 << 20, write=True)\n" + "a.load(1 << 40)\n" * 4)
    ground = Playground("machine = Machine(X86_64)\n" + text)
    assert ground.result["stepper"] is None and "too many pages to draw" in ground.result["say"]
    assert ground.result["told"][1][2] == "102400 faults"


def test_markup_in_a_text_is_text():
    """In the still, too."""
    ground = Playground(A + "f = a.open('/dev/shm/<img src=x onerror=alert(1)>')")
    html = ground._repr_mimebundle_()[0]["text/html"]
    assert "<img src=x" not in html and "&lt;img src=x" in html


def test_all_of_it_travels_as_json(ground):
    """What the page gets is plain data."""
    assert json.loads(json.dumps(ground.result)) == ground.result


# controls -----------------------------------------------------------------------------------
def test_controls_offer_every_call():
    """But ioctl, whose argument is a call itself."""
    calls = offered()
    assert set(calls["task"]) == set(TASK_CALLS)
    assert set(calls["file"]) == set(FILE_CALLS) - {"ioctl"}


VALUES = {"number": "1", "bytes": "b'x'", "string": "'f'", "prot": "'r'", "check": "True",
          "file": "f", "flags": "0"}


@pytest.mark.parametrize("kind, call", [(kind, call) for kind, calls in offered().items()
                                        for call in calls])
def test_what_a_control_begins_with_can_be_read(kind, call):
    """Each call with its first values is a line of a text."""
    described = offered()[kind][call]
    args = []
    for arg in described["args"]:
        if arg["optional"] and not arg["value"]:
            continue
        value = "|".join(arg["value"]) if arg["kind"] == "flags" else arg["value"]
        args.append({"string": repr(value), "prot": repr(value), "bytes": f"b{value!r}"}
                    .get(arg["kind"], value or VALUES[arg["kind"]]))
    name = {"task": "a", "file": "f", "machine": "machine"}[kind]
    made = {"task": "b = ", "file": "g = "}.get(described["makes"], "")
    if call in ("spawn", "fork", "clone", "memfd"):
        args = ["'b'"] if call != "memfd" else ["'g'", *args[-1:]]
    line = f"{made}{name}.{call}({', '.join(args)})"
    before = "f = machine.memfd('f', 0x4000)\n"
    text = before + line + "\n" + A if call == "mount" else before + A + line
    assert read(text)
    assert play(text).script is not None


# the page's half ------------------------------------------------------------------------------
@pytest.mark.skipif(not shutil.which("node"), reason="no node: apt-get install nodejs; the browser "
                                                     "tests still run")
def test_pure_functions():
    """Those of callform.js, in node."""
    done = subprocess.run(["node", "--test", Path(__file__).parent / "callform.test.mjs"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_module_is_one():
    """Stepper and playground in one piece, with one default export and no import."""
    source = assemble("playground")
    assert source.count("\nexport default ") == 1 and "\nimport " not in source
    assert source.rstrip().endswith("export default { render: live };")
