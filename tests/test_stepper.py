"""The stepper as Python sees it: what travels with it, what it asks, what is seen without it."""
import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import scenes
from scenes import ANON, PAGE

from mmlib import MAP_SHARED, TINY, X86_64, FileTableCache, Machine, Private, Trace
from mmlib.geometry import entry_pfn
from mmlib.views.ask import QUESTIONS, Question
from mmlib.views.outline import describe
from mmlib.views.seen import alternative
from mmlib.views.stepper import Stepper
from mmlib.views.text import summary
from mmlib.views.told import Pool, counters, mapped

HERE = Path(__file__).parent
VIEW = "application/vnd.jupyter.widget-view+json"


def twenty_five(sharing=None):
    """25 calls of three processes: what a notebook steps through."""
    m = Machine(TINY, sharing=sharing)
    a = m.spawn("a")
    a.mmap(0x4000, 3 * PAGE, "rw", ANON)
    a.store(0x4000, b"rows")
    a.store(0x5000, b"index")
    b = a.fork("b")
    b.store(0x4000, b"mine")
    a.store(0x4000, b"ROWS")
    c = b.fork("c")
    c.store(0x5000, b"c")
    file = m.memfd("db", 8 * PAGE)
    for task in (a, b, c):
        task.mmap(0x40000, 8 * PAGE, "rw", MAP_SHARED, file)
    for task in (a, b, c):
        task.load(0x40000)
    a.store(0x44000, b"four")
    b.load(0x44000)
    b.mprotect(0x40000, 4 * PAGE, "r")
    c.load(0x45000)
    c.munmap(0x4000, 3 * PAGE)
    b.exit()
    file.truncate(PAGE)
    a.exit()
    c.exit()
    assert len(m.trace) == 25
    return m


def track(stepper):
    """What is told of its one trace."""
    [one] = stepper.data["tracks"]
    return one


def size(stepper):
    return len(json.dumps(stepper.data))


def asked(machine, number, question):
    """What the widget is told of a question to one step."""
    return track(Stepper(machine, ask={number: question}))["steps"][number]["ask"]


def texts(stepper, what):
    """The long texts of all steps, put together again."""
    return ["\n".join(stepper.data["pool"][i] for i in step[what]) for step in track(stepper)["steps"]]


# state -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("sharing", [None, FileTableCache()], ids=str)
def test_twenty_five_steps_are_small(sharing):
    """All of it travels with the widget, and is stored where somebody saves widget states."""
    assert size(Stepper(twenty_five(sharing))) < 100_000


def test_the_drawing_does_not_grow_with_the_steps():
    """A hundred loads more: only what is said grows."""
    m = twenty_five(Private())
    before = Stepper(m)
    a = m.spawn("a")
    m2 = m.branch(len(m.trace) - 1)
    for _ in range(100):
        m2.tasks[0].run_on(0)
    after = Stepper(m2)
    assert a.name == "a" and len(track(after)["svg"]) == len(track(Stepper(m))["svg"]) and size(before) < size(after)
    assert (size(after) - size(Stepper(m))) / 100 < 1000


def test_a_step_is_told_in_full():
    """Call, outcome, sentence, events, mappings, counters, and the picture as text."""
    m = scenes.fork()
    stepper = Stepper(m)
    for step, told, text in zip(m.trace, track(stepper)["steps"], texts(stepper, "text")):
        assert told["action"] + told["outcome"] == step.action + step.outcome
        assert told["say"] == summary(step)
        assert [[stepper.data["pool"][i] for i in pair] for pair in told["events"]] == \
            [[e.text, e.function] for e in step.events]
        assert dict(zip(track(stepper)["counted"], told["counters"])) == counters(step.after)
        assert text == alternative(step.after)
        assert [stepper.data["pool"][i] for i in stepper.data["pool"][told["mms"]]] == \
            [mapped(step.after, mm) for mm in step.after.mms]
        assert told["ask"] is None


def test_counters_are_the_machine_s():
    """Tables in use, pages of data, and the figures of Machine.counters."""
    m = scenes.fork()
    told = counters(m.snapshot())
    assert told["page tables"] == m.table_count
    assert told["copies"] == m.counters["copies"] == 2
    assert told["pages of data"] == len(m.memory.folios)


def test_mappings_name_every_task_and_every_mapping():
    """An mm with its threads, its top-level table, VmPTE, and a row for each VMA."""
    m = scenes.threads()
    now = m.trace[4].after
    assert mapped(m.trace[2].after, m.trace[2].after.mms[0])[::3] == ["a, t", 0]
    assert mapped(now, now.mms[0]) == ["a, t", "a", f"t{now.mms[0].root[0]}_{now.mms[0].root[1]}",
                                       12, [[0xfe000, 0x100000, "rw-p", "anon", 0, ""]]]


def test_flags_are_those_of_smaps():
    """As VmFlags has them, where the kernel has them."""
    m = Machine(TINY)
    a = m.spawn("a")
    start = a.mmap(0x4000, PAGE, "rw", ANON)
    a.mlock(start, PAGE)
    now = m.snapshot()
    assert [vma[5] for vma in mapped(now, now.mms[0])[4]] == ["lo"]


def test_entries_and_pages_are_told_in_runs():
    """What is alike and in a row is told once, and comes out again as the entries that there are."""
    for scene in scenes.ALL:
        stepper = Stepper(scene())
        pool = stepper.data["pool"]
        held = {}
        for step, told in zip(stepper.trace, track(stepper)["steps"]):
            held |= told["tables"]
            for table in step.after.tables:
                out = [(first + i, pfn + i, bits) for first, many, pfn, bits
                       in pool[held[f"t{table.pfn}_{table.birth}"]][5] for i in range(many)]
                assert out == [(i, entry_pfn(e), e & 0xFFF | (e >> 63) << 12)
                               for i, e in table.entries]
            pages = [pool[i] for i in pool[told["pages"]]]
            assert sum(row[1] for row in pages) == sum(f.count for f in step.after.frames)


def test_a_large_machine_is_told_by_what_is_alike():
    """One address space for many, and that of the call; a few kB for a million pages."""
    m = Machine(X86_64)
    a = m.spawn("a")
    a.mmap(0x40000000, 4 << 30, "rw", MAP_SHARED, m.memfd("db", 4 << 30))
    a.touch(0x40000000, 4 << 30)
    for _ in range(3):
        a.fork().touch(0x40000000, 4 << 30)
    stepper = Stepper(m.trace[-2:])
    step = track(stepper)["steps"][-1]
    pool = stepper.data["pool"]
    assert m.trace[-1].after.folded and size(stepper) < 30_000
    assert [pool[i][0] for i in pool[step["mms"]]] == ["a and 3 like it", "a.3"]


def test_the_state_is_json(tmp_path):
    """A widget's state has no bytes, tuples as keys, or lone surrogates."""
    for scene in scenes.ALL:
        stepper = Stepper(scene(), name="a\udcff\nb")
        json.dumps([track(stepper)["steps"], stepper.data["pool"], stepper.data["name"]], ensure_ascii=False) \
            .encode("utf-8")


def test_two_steppers_of_one_machine_are_alike():
    """Nothing depends on chance, on time, or on an address of this process."""
    one, other = (Stepper(scenes.cache(), ask={8: "tables"}) for _ in range(2))
    assert (track(one)["svg"], track(one)["steps"], one.data["pool"], repr(one)) == \
        (track(other)["svg"], track(other)["steps"], other.data["pool"], repr(other))


def test_a_part_of_a_trace():
    """Steps keep their numbers; the first one has nothing before it."""
    m = scenes.fork()
    stepper = Stepper(m.trace[4:9], ask={6: "copies"})
    assert len(track(stepper)["steps"]) == 5 and track(stepper)["steps"][2]["ask"]["text"]
    assert track(stepper)["steps"][0]["action"] == m.trace[4].action
    assert "hot" not in json.dumps(track(stepper)["steps"][0]["delta"])


def test_a_trace_is_as_good_as_its_machine():
    """Both are the same stepper."""
    m = scenes.fork()
    assert track(Stepper(m.trace))["steps"] == track(Stepper(m))["steps"]


# mistakes --------------------------------------------------------------------------------------
@pytest.mark.parametrize("options, says", [
    ({"ask": {3: "nonsense"}}, "no question 'nonsense'; there are tables, pages, faults"),
    ({"ask": {0: "tables"}}, "ask names step 0; there are steps 0 to 13, and the first"),
    ({"ask": {14: "tables"}}, "ask names step 14; there are steps 0 to 13"),
    ({"ask": {-1: "tables"}}, "ask names step -1"),
    ({"ask": {"3": "tables"}}, "ask names step '3'"),
    ({"ask": {3: 7}}, "no question 7"),
    ({"ask": {3: Question("Which?", lambda b, s: "blue", lambda b, s: ".", ("red",))}},
     "answer 'blue' to 'Which\\?' is none of \\('red',\\)"),
    ({"still": 14}, "from 0 to 13, not 14"), ({"still": -1}, "from 0 to 13, not -1")])
def test_a_mistake_is_named(options, says):
    """ValueError with the value that is wrong, and what would be right."""
    with pytest.raises(ValueError, match=says):
        Stepper(scenes.fork(), **options)


@pytest.mark.parametrize("empty", [lambda: Machine(TINY), lambda: Machine(TINY, trace=False),
                                   lambda: Trace(), lambda: scenes.fork().trace[3:3]])
def test_an_empty_trace_is_named(empty):
    """There is nothing to step through."""
    with pytest.raises(ValueError, match="the trace is empty"):
        Stepper(empty())


# questions -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_by_its_name(name):
    """It can be asked of any step that can answer it; its reason begins with the answer."""
    answers = set()
    for scene in scenes.ALL:
        trace = scene().trace
        for before, step in zip(trace, trace[1:]):
            try:
                told = QUESTIONS[name].at(before.after, step)
            except ValueError as why:   # a bulk call is told as one event
                assert step.call == "touch" and step.action in str(why)
                continue
            answers.add(str(told["answer"]))
            assert told["text"].endswith("?") and told["reason"].endswith(".")
            if told["pick"]:
                seen = {f"t{t.pfn}_{t.birth}" for t in before.after.tables}
                assert told["answer"] == told["choices"] or set(told["answer"]) <= seen
            elif told["choices"]:
                assert told["answer"] in told["choices"]
            else:
                assert type(told["answer"]) is int
                assert re.match(rf"{told['answer']}\b", told["reason"])
    assert len(answers) > 1


def test_answers_are_those_of_the_machine():
    """Tables, faults and copies as the live machine counted them."""
    m = scenes.fork()
    for step in m.trace[1:]:
        before, after = m.branch(step.number - 1), m.branch(step.number)
        assert asked(m, step.number, "tables")["answer"] == after.table_count
        assert asked(m, step.number, "pages")["answer"] == len(after.memory.folios)
        for name in ("faults", "copies"):
            assert asked(m, step.number, name)["answer"] == \
                after.counters[name] - before.counters[name]


def test_another_course_of_events_has_other_answers():
    """The same question to the same step of a machine that did something else before."""
    def machine(first_write):
        m = Machine(TINY)
        a = m.spawn("a")
        a.mmap(0x4000, 2 * PAGE, "rw", ANON)
        if first_write:
            a.store(0x4000, b"x")
        else:
            a.run_on(0)
        b = a.fork("b")
        b.store(0x4000, b"y")
        return m

    written, untouched = machine(True), machine(False)
    for name, answers in (("tables", (6, 3)), ("copies", (1, 0)), ("pages", (2, 1))):
        assert (asked(written, 4, name)["answer"], asked(untouched, 4, name)["answer"]) == answers
    assert "Copy on write" in asked(written, 4, "copies")["reason"]
    assert asked(untouched, 4, "copies")["reason"] == "0. Nothing is copied."


def test_what_will_come_of_it():
    """A signal by its name, another error, or nothing of the kind."""
    m = scenes.files()
    found = {asked(m, step.number, "outcome")["answer"] for step in m.trace[1:]}
    m = scenes.execs()
    try:
        m.tasks[0].mmap(1, PAGE, "rw", 0)
    except OSError:
        found.add(asked(m, len(m.trace) - 1, "outcome")["answer"])
    assert found == {"it goes well", "SIGSEGV", "SIGBUS", "an error"}


def test_a_question_of_one_s_own():
    """Functions of the state before and the step."""
    mine = Question("Whose turn is it?", lambda before, step: step.actor,
                    lambda before, step: f"{len(before.tasks)} could have run.", ("a", "b"))
    told = asked(scenes.fork(), 5, mine)
    assert told == {"text": "Whose turn is it?", "answer": "b", "choices": ["a", "b"],
                    "pick": False, "reason": "2 could have run."}


# what is seen before anything was run ----------------------------------------------------------
def still_of(stepper):
    """(plain text, alternative text, caption, image)"""
    data, metadata = stepper._repr_mimebundle_()
    alt = re.search(r' alt="([^"]*)"', data["text/html"])[1]
    caption = re.search(r"<figcaption>(.*)</figcaption>", data["text/html"], re.DOTALL)[1]
    image = base64.b64decode(re.search(r';base64,([^"]*)"', data["text/html"])[1])
    return data["text/plain"], alt, caption, image


def test_the_bundle_has_a_live_view_a_figure_and_a_text():
    """For JupyterLab, for where nothing may run, and for a terminal."""
    stepper = Stepper(scenes.fork())
    data, metadata = stepper._repr_mimebundle_()
    assert data.keys() == {VIEW, "text/html", "text/plain"}
    assert data[VIEW]["model_id"] == stepper.model_id
    assert data["text/plain"] == repr(stepper)
    figure = data["text/html"]
    assert re.fullmatch(r'<figure [^>]*><img width="\d+" alt="[^"]{40,}" src="data:image/[^"]+">'
                        r"<figcaption>.{20,}</figcaption></figure>", figure, re.DOTALL)


def test_without_questions_the_last_step_is_shown():
    """Its number, its call, its sentence and its picture in words."""
    m = scenes.fork()
    text, alt, caption, _ = still_of(Stepper(m, name="Fork"))
    assert text.splitlines()[0] == f"Fork, step 14 of 14: {m.trace[-1].action}"
    assert text.endswith(describe(m.snapshot()))
    assert "Step 14 of 14" in caption and "Run the cell to step." in caption and alt


@pytest.mark.parametrize("ask", [{5: "copies"}, {9: "tables", 5: "copies"}])
def test_the_still_stops_before_the_first_question(ask):
    """What is asked is seen nowhere: neither in the picture, nor in its texts."""
    m = scenes.fork()
    stepper = Stepper(m, ask=ask)
    text, alt, caption, image = still_of(stepper)
    assert "step 5 of 14" in text and "Step 5 of 14" in caption
    for told in (text, alt, caption):
        assert "mine" not in told and "Copy on write" not in told
    assert describe(m.trace[4].after) in text
    assert image == still_of(Stepper(m, still=4))[3] != still_of(Stepper(m, still=5))[3]


def test_still_chooses_the_step():
    """Counted from 0, among those that are shown."""
    m = scenes.fork()
    assert "step 1 of 5" in repr(Stepper(m.trace[4:9], still=0))
    assert m.trace[4].action in repr(Stepper(m.trace[4:9], still=0))
    assert "step 8 of 14" in repr(Stepper(m, ask={5: "copies"}, still=7))


def test_the_picture_before_running_shows_nothing_of_later_steps():
    """The union has places for all; the image has only what is there."""
    m = scenes.fork()
    labels = [image for image in (still_of(Stepper(m, still=k))[3] for k in (0, 13))]
    assert len(labels[0]) < len(labels[1])
    assert not re.search(r'class="[^"]*\bon\b', track(Stepper(m))["svg"])
    words = {w for step in m.trace for f in step.after.frames if (w := f.head.rstrip(b"\0"))}
    assert words and not [w for w in words if w.decode() in track(Stepper(m))["svg"]]


@pytest.mark.parametrize("name", scenes.ODD)
def test_no_name_breaks_out(name):
    """Of the figure, of its attributes, of the drawing, or of the first line of the text."""
    m = Machine(TINY)
    task = m.spawn(name)
    task.clone("t")
    stepper = Stepper(m, name=name)
    text, alt, caption, _ = still_of(stepper)
    html = stepper._repr_mimebundle_()[0]["text/html"]
    assert not re.search("<script|<svg|<p>", html + track(stepper)["svg"].removeprefix("<svg"))
    assert re.fullmatch(r"<figure .*</figure>", html, re.DOTALL)
    assert ", step 2 of 2" in text.splitlines()[0]
    assert html.count("<") == 7


# JavaScript ------------------------------------------------------------------------------------
node = pytest.mark.skipif(not shutil.which("node"),
                          reason="no node: apt-get install nodejs; the browser tests still run")


@node
def test_pure_functions_of_the_javascript():
    """fold, split, target, clamp, grade and join, in node."""
    done = subprocess.run(["node", "--test", HERE / "stepper.test.mjs"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"# pass (\d+)", done.stdout)[1]) >= 9


@node
def test_javascript_folds_what_python_made():
    """The states that the browser sees are those that Python computed."""
    stepper = Stepper(scenes.cache())
    code = (f"import {{ readFile }} from 'node:fs/promises';"
            f"const text = await readFile({str(HERE.parent / 'mmlib/views/pure.js')!r}, 'utf8');"
            "const { fold, split } = await import('data:text/javascript,'"
            " + encodeURIComponent(text));"
            f"const states = fold({json.dumps([step['delta'] for step in track(stepper)['steps']])});"
            "console.log(JSON.stringify(states.map((state) => Object.fromEntries("
            "Object.entries(state).map(([id, value]) => [id, split(value)])))));")
    done = subprocess.run(["node", "--input-type=module"], input=code, capture_output=True,
                          text=True, check=True)
    assert json.loads(done.stdout) == [
        {name: [" ".join(sorted(classes)), text] for name, (classes, text) in shown.items()}
        for shown in stepper.states]
