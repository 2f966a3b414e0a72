"""Problems by seed: the answer by rule is what a machine says, and no verdict gives it away."""
import ast
import json
import re

import pytest

from mmlib import abilities
from mmlib.__main__ import main
from mmlib.linux import Linux, probe
from mmlib.problem import TOPICS, problem, text, topics
from mmlib.problem.question import Lines
from test_layers import FILES, imports, module

SEEDS = range(200)
# What the rules may use: how an address is cut, and words.
BELOW = {"mmlib.geometry", "mmlib.kinds", "mmlib.verdict"}

each_topic = pytest.mark.parametrize("topic", TOPICS)


def ask_a_machine(made, **instead):
    """Run the problem's script; the value of its last line."""
    *body, last = ast.parse("\n".join(made.script)).body
    names = {}
    if instead:                         # the first line imports what it would replace
        exec(made.script[0], names)
        names, body = names | instead, body[1:]
    exec(compile(ast.Module(body, []), "<problem>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<problem>", "eval"), names)


def wrong_answers(made):
    """Known mistakes, and some that nobody foresaw."""
    if isinstance(made.answer, tuple):
        yield from ({*made.answer} ^ {member} for member in made.choices)
        yield [*made.choices] if len(made.answer) < len(made.choices) else []
    else:
        yield from made.mistakes
        yield made.answer + (1000 if isinstance(made.answer, int) else "?")


@each_topic
def test_the_rule_says_what_the_machine_says(topic):
    """200 problems of each topic; the script of each is run as it is shown."""
    for seed in SEEDS:
        made = problem(topic, seed)
        got = ask_a_machine(made)
        assert (type(got), got) == (type(made.answer), made.answer), text(made, True)


@pytest.mark.linux
@pytest.mark.skipif(bool(abilities.refusal()), reason="no kernel to be asked")
@pytest.mark.parametrize("topic", ["tables", "fork", "mprotect", "window"])
def test_this_kernel_says_the_same(topic):
    """Of what a kernel can be asked: VmPTE, lines of maps, faults, what is loaded."""
    if topic == "window" and any("16 pages" in what for what in probe.lacking()):
        pytest.skip("it is not so on this kernel that a load maps 16 pages of a file around it")
    made = [problem(topic, seed) for seed in range(100)]
    for one in list(filter(for_a_kernel, made))[:8]:
        with Linux() as world:
            got = ask_a_machine(one, Machine=lambda *args, **options: world)
        assert got == one.answer, text(one, True)


def for_a_kernel(made):
    """Can a kernel be asked, without TINY mattering, and with no more than 32 MiB of memory?"""
    touched = re.findall(r"touch\(\w+, (\w+)", "\n".join(made.code))
    return not re.search("counters|snapshot|trace", made.ask) and \
        not (made.topic == "tables" and "TINY" in made.code[0]) and \
        sum(int(length, 16) for length in touched) <= 32 << 20


@each_topic
def test_a_seed_makes_the_same_problem_each_time_and_another_one_than_others(topic):
    """A class of 200 gets 200 questions, and hardly anybody the answer of another by guessing."""
    made = [problem(topic, seed) for seed in SEEDS]
    assert made == [problem(topic, seed) for seed in SEEDS]
    assert len({repr(one).partition("\n")[2] for one in made}) > 120
    answers = [one.answer for one in made]
    assert max(map(answers.count, answers)) < 0.55 * len(answers)


@each_topic
def test_the_right_answer_is_right_and_a_wrong_one_is_told_why(topic):
    """By a sentence that does not hold the answer."""
    for seed in SEEDS:
        made = problem(topic, seed)
        assert made.check(made.answer) and not made.check()
        for wrong in wrong_answers(made):
            verdict = made.check(wrong)
            assert not verdict and verdict.why.endswith((".", "?")), (seed, wrong)
            if not isinstance(made.answer, tuple):
                assert not re.search(rf"\b{made.answer}\b", verdict.why), (seed, wrong, verdict)


@each_topic
def test_what_is_said_of_a_mistake_is_made_of_no_answer(topic):
    """The sentence stands in the source as it is said."""
    said = {why for seed in SEEDS for why in problem(topic, seed).mistakes.values()}
    source = (next(p for p in FILES if p.stem == topic and p.parent.name == "problem")
              ).read_text(encoding="utf-8")
    constants = {node.value for node in ast.walk(ast.parse(source))
                 if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert said <= constants


@each_topic
def test_a_question_fits_a_page_of_paper(topic):
    """Prose is filled, what is indented is not longer than code may be."""
    for seed in SEEDS:
        shown = text(problem(topic, seed), answer=False).splitlines()
        assert len(shown) < 45
        assert max(map(len, shown)) < 100


@pytest.mark.parametrize("path", [path for path in FILES if module(path) == "problem"],
                         ids=lambda path: path.stem)
def test_no_machine_answers(path):
    """The rules import how an address is cut, and nothing that simulates."""
    for name, _ in imports(path):
        assert not name.startswith("mmlib") or name.startswith("mmlib.problem") or \
            name.rpartition(".")[0] in BELOW, name


def test_sets_come_in_any_order():
    """A tuple, a list or a set; what is in none of them is told."""
    made = problem("faults", 4)
    assert made.answer == (1, 2, 4, 6)
    assert made.check([6, 4, 2, 1]) and made.check({1, 2, 4, 6})
    assert made.check((1, 2, 9)).why == "9 is none of 1, 2, 3, 4, 5, 6."
    assert "tuple, not int" in made.check(3).why
    assert made.check((1, 2, 3)).why.startswith("Not all that you name belongs there, and something ")
    assert made.check((1, 2, 3, 4, 6)).why.startswith("Not all that you name belongs there. ")
    assert made.check((1,)).why.startswith("What you name belongs there, but something is missing. ")


def test_an_answer_of_another_type():
    """It is said what was expected; True is no number."""
    assert "type int, not str" in problem("tables", 0).check("3").why
    assert "type int, not bool" in problem("tables", 0).check(True).why


def test_reason_and_script_show_themselves():
    """As lines, in a notebook."""
    made = problem("tables", 3)
    assert repr(made.reason) == "\n".join(made.reason) and len(made.reason) == 4
    assert repr(made.script).endswith("\na.tables")
    assert isinstance(topics(), Lines) and len(topics()) == len(TOPICS) >= 10


@pytest.mark.parametrize("topic, seed, said", [
    ("weather", 1, "no topic 'weather'; there are translate,"), ("fork", -1, "not -1"),
    ("fork", 1.5, "not 1.5"), ("fork", True, "not True")])
def test_what_is_no_problem(topic, seed, said):
    """A ValueError with the value."""
    with pytest.raises(ValueError, match=said):
        problem(topic, seed)


# the command ---------------------------------------------------------------------------------
def test_the_command_prints_the_question_and_with_answer_the_answer(capsys):
    """What is printed without --answer is a part of what is printed with it, and no answer."""
    assert main(["problem", "--topic", "tables", "--seed", "3"]) == 0
    question = capsys.readouterr().out
    assert main(["problem", "--topic", "tables", "--seed", "3", "--answer"]) == 0
    whole = capsys.readouterr().out
    assert whole.startswith(question) and "Answer:" not in question
    assert f"\nAnswer: {problem('tables', 3).answer}\n" in whole


def test_the_list(capsys):
    """A line a topic."""
    assert main(["problem", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TOPICS)
    assert all(len(line.split()) > 3 for line in lines)


def test_json(capsys):
    """One object; the answer in it only when it is asked for."""
    assert main(["problem", "--topic", "fork", "--seed", "5", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"topic", "seed", "question"}
    assert main(["problem", "--topic", "fork", "--seed", "5", "--json", "--answer"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == problem("fork", 5).answer and told["reason"] and told["script"]
    assert main(["problem", "--list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(TOPICS)


@pytest.mark.parametrize("args", [
    [], ["--topic", "fork"], ["--seed", "3"], ["--topic", "weather", "--seed", "1"],
    ["--topic", "fork", "--seed", "-1"], ["--topic", "fork", "--seed", "x"],
    ["--topic", "fork", "--seed", "1.5"], ["--topic", "fork", "--seed", "9" * 5000]])
def test_bad_input_is_one_line(args, capsys):
    """And exit status 2."""
    assert main(["problem", *args]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1


def test_the_documents_name_every_topic():
    """docs/api.md has them all; a notebook shows one of its own subject."""
    root = FILES[0].parents[1]
    page = (root / "docs" / "api.md").read_text(encoding="utf-8")
    assert all(f"`{topic}`" in page for topic in TOPICS)
    shown = {topic for path in (root / "notebooks").glob("*.ipynb") for topic in re.findall(
        r'problem\(\\"(\w+)\\"', path.read_text(encoding="utf-8"))}
    assert len(shown) >= 9 and shown <= set(TOPICS)
