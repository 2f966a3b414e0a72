"""The teacher's kit: TEACHING.md agrees with the course; copies without solutions; slides."""
import json
import re
from pathlib import Path

import nbformat
import pytest
from make_slides import main as make_slides
from make_student import SOLUTION, build
from refresh_notebooks import exercises, minutes, planned
from test_links import anchors, links

from mmlib.problem import TOPICS, problem

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PLAN = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def markdown(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells
            if cell.cell_type == "markdown"]


# TEACHING.md ---------------------------------------------------------------------------------
@each_notebook
def test_the_plan_has_the_notebook(path):
    """A row with its minutes, as `make refresh` counts them, and a section of its own."""
    title = re.match(r"# (.+)", markdown(path)[0])[1]
    number = re.match(r"\d+_", path.stem)
    name = f"{path.stem[:2]} {title}" if number else title.lower()
    row = f"| [{name}](notebooks/{path.name}) | "
    assert row in PLAN
    assert planned(PLAN, path.stem, minutes(nbformat.read(path, as_version=4))) == PLAN
    if number:
        assert f"### {name}\n**Draw:** " in PLAN


def test_a_lesson_takes_the_hours_that_the_first_notebook_names():
    start = (ROOT / "notebooks/00_start_here.ipynb").read_text(encoding="utf-8")
    assert "takes between one and a quarter and two and a quarter hours" in start
    lessons = sorted((ROOT / "notebooks").glob("[01][0-9]_*.ipynb"))[1:]
    taken = [minutes(nbformat.read(path, as_version=4)) for path in lessons]
    assert 75 <= min(taken) and max(taken) <= 135, taken


@pytest.mark.parametrize("section", re.findall(r"(?ms)^### (.+?)(?=^##|\Z)", PLAN),
                         ids=lambda section: section.partition("\n")[0])
def test_every_question_comes_with_a_wrong_answer_and_what_meets_it(section):
    rows = re.findall(r"(?m)^\| (.+) \|$", section)
    assert rows[0] == "ask | wrong answer | how the notebook meets it" and len(rows) >= 3
    assert all(len(row.split(" | ")) == 3 and all(row.split(" | ")) for row in rows[1:])


def test_the_exam_bank_names_the_topics_that_there_are():
    """Each topic of `python -m mmlib problem` once, and no other, in the table and the commands."""
    bank = PLAN[PLAN.index("## An exam bank"):PLAN.index("## Run it for a class")]
    assert sorted(re.findall(r"(?m)^\| `(\w+)` \|", bank)) == sorted(TOPICS)
    assert set(re.findall(r"--topic (\w+)", PLAN)) <= set(TOPICS)


def test_the_seeds_named_for_a_paper_make_no_trivial_problem():
    """None of the topics of the paper has the answer 0, 1, -1 or nobody with them."""
    seeds = re.search(r"The seeds (\d+), (\d+) and (\d+) give", PLAN).groups()
    topics = re.search(r"for topic in ([a-z ]+);", PLAN)[1].split()
    assert len(topics) == 8 and set(topics) <= set(TOPICS)
    assert not [(topic, seed) for topic in topics for seed in seeds
                if problem(topic, int(seed)).answer in (0, 1, -1, ())]


def test_plans_fill_their_time():
    """The minutes of a plan rise, from 0 to less than what its title says."""
    plans = re.findall(r"(?ms)^## A \w+ of (\d+) minutes$(.*?)(?=^## )", PLAN)
    assert len(plans) == 2
    for end, plan in plans:
        starts = [int(start) for start in re.findall(r"(?m)^\| (\d+) \|", plan)]
        assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < int(end)


# make student --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    return {path.name: path for path in build(folder)}


@each_notebook
def test_a_copy_has_no_solution(path, student):
    """No folded solution, nothing of the text of one, and all else as it was."""
    told, copy = "\n\n".join(markdown(path)), "\n\n".join(markdown(student[path.name]))
    solutions = SOLUTION.findall(told)
    assert len(solutions) == told.count("<summary>Solution") == len(
        exercises(nbformat.read(path, as_version=4)))
    assert "<summary>Solution" not in copy and copy.count("<summary>Hint") >= len(solutions)
    for solution in solutions:
        inner = re.split(r"</?(?:details|summary)>|```\w*", solution)
        assert not [part for part in map(str.strip, inner)
                    if len(part) > 20 and part in copy], solution
    kept = SOLUTION.sub("", told).replace("[TEACHING.md](../TEACHING.md)", "TEACHING.md")
    assert copy.split() == kept.split()


@each_notebook
def test_a_copy_is_a_notebook_with_the_same_code(path, student):
    """Cells, ids and outputs are those of the original: what passes there passes here."""
    nbformat.validate(nbformat.read(student[path.name], as_version=4))
    cells = [{cell["id"]: cell for cell in json.loads(file.read_text())["cells"]
              if cell["cell_type"] == "code"} for file in (path, student[path.name])]
    assert cells[0] == cells[1]


def test_the_copies_are_complete_and_keep_the_key_at_home(student):
    """No link is dead, and the teacher's notes are not among the files."""
    root = next(iter(student.values())).parents[1]
    assert not list(root.rglob("TEACHING*"))
    dead = []
    for page in [*root.rglob("*.md"), *student.values()]:
        for link in links(page):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists() or anchor and anchor not in anchors(target):
                dead.append((page.name, link))
    assert not dead


# make slides ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    make_slides(["--out", str(folder)])
    return folder


@each_notebook
def test_slides_ask_nobody_but_their_own_file(path, slides):
    """Nothing is loaded: pictures are in the page, links are followed by people only."""
    html = (slides / f"{path.stem}.html").read_text(encoding="utf-8")
    loaded = re.findall(r"""<(?:script|img|link|iframe)[^>]*?(?:src|href)="([^"]+)""", html)
    assert all(source.startswith("data:") for source in loaded)
    assert not re.search(r"@import|url\(", html)


@each_notebook
def test_a_slide_for_each_section_and_no_solution(path, slides):
    html = (slides / f"{path.stem}.html").read_text(encoding="utf-8")
    titles = re.findall(r'<section aria-label="([^"]+)">', html)
    assert len(titles) >= 5 and "Solution" not in html
    assert not {"Exercises", "Further reading", "What we left out"} & set(titles)
    predicts = sum("**Predict" in text for text in markdown(path))
    assert (predicts > 0) == ("What happens, and why?" in html)


@each_notebook
def test_a_slide_does_not_tell_the_answer_with_the_question(path, slides):
    """What its cell asserts is folded together with the answer."""
    html = (slides / f"{path.stem}.html").read_text(encoding="utf-8")
    asking = [section.partition("<details>")[0] for section in html.split("<section ")
              if "What happens, and why?" in section]
    assert not [section for section in asking if ">assert<" in section]


@each_notebook
def test_links_of_slides_lead_to_slides_or_to_the_project(path, slides):
    """They are written for build/slides, two folders down."""
    html = (slides / f"{path.stem}.html").read_text(encoding="utf-8")
    for link in re.findall(r'<a[^>]* href="([^"#:]+)[#"]', html):
        place = slides / link if link.endswith(".html") else ROOT / "build" / "slides" / link
        assert place.resolve().exists(), link
