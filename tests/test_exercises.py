"""Exercises: what is right is found by running the machine, and a wrong answer is told why."""
import re
from pathlib import Path

import nbformat
import pytest

from mmlib.exercises import EXERCISES, check
from mmlib.exercises.exercise import Exercise

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9]*.ipynb"))
COMPUTED = [name for name, exercise in EXERCISES.items() if isinstance(exercise, Exercise)]
OTHERS = [name for name in EXERCISES if name not in COMPUTED]


def solutions(path):
    """{exercise: code of its folded solution} of a notebook."""
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    parts = re.split(r'check\("(\d\d\.\d)"', text)
    return {name: re.search(r"(?s)<summary>Solution</summary>.*?```python\n(.*?)```", part)[1]
            for name, part in zip(parts[1::2], parts[2::2])}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_exercises_of_a_notebook_are_those_that_can_be_checked(path):
    """No exercise without a check, and no check without its exercise."""
    numbered = [name for name in EXERCISES if name.startswith(path.stem[:3].replace("_", "."))]
    assert list(solutions(path)) == numbered


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_solution_in_a_notebook_is_right(path):
    """The folded code is run as it stands, with what the notebook imports, and `check` accepts."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells
             if cell.cell_type == "code"]
    imports = [line for source in cells for line in source.splitlines()
               if re.match(r"(from|import) ", line)]
    for name, code in solutions(path).items():
        names = {}
        exec("\n".join([*imports, code]), names)
        verdict = check(name, names["answer"])
        assert verdict, f"{name}: {verdict}"


@pytest.mark.parametrize("name", EXERCISES)
def test_unanswered(name):
    """Three dots are no answer, and no mistake either; it is said the same way each time."""
    assert not check(name) and check(name) == check(name, ...)
    assert "three dots" in check(name).why


@pytest.mark.parametrize("name", COMPUTED)
def test_a_number_that_is_wrong_is_told_why(name):
    """Known mistakes have a sentence of their own, others get the hint; none names the answer."""
    exercise = EXERCISES[name]
    right, mistakes = exercise.answer(), exercise.mistakes()
    assert right not in mistakes and check(name, right)
    for wrong in [*mistakes, right + 1000]:
        verdict = check(name, wrong)
        assert not verdict
        assert verdict.why == mistakes.get(wrong, exercise.hint)
        assert not re.search(rf"\b{right}\b", verdict.why)


@pytest.mark.parametrize("name", COMPUTED)
def test_an_answer_of_another_type(name):
    """It is said what was expected."""
    verdict = check(name, str(EXERCISES[name].answer()))
    assert not verdict and "type int, not str" in verdict.why


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("answer", [
    3, None, lambda: None, lambda *args: None, lambda *args: 1 / 0, lambda *args: True])
def test_code_that_is_wrong_is_told_why(name, answer):
    """Nothing that a reader can hand in ends in a traceback."""
    verdict = check(name, answer)
    assert not verdict and verdict.why.endswith((".", "?"))


def test_an_unknown_exercise():
    """The known ones are listed."""
    with pytest.raises(ValueError, match="no exercise '3.1'; there are .*03.1"):
        check("3.1", 3)
