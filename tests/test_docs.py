"""What README.md, CONTRIBUTING.md, DESIGN.md and docs/api.md claim is so.

Examples with >>> in docs/ and README.md are run as doctests; here is what they cannot say.
"""
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import mmlib
from mmlib import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, TINY, File, Machine, Task
from mmlib.__main__ import COMMANDS, Parser
from mmlib.events import KINDS

ROOT = Path(__file__).resolve().parents[1]
README, CONTRIBUTING, DESIGN, API = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "DESIGN.md", "docs/api.md"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FAMILIES = ("PROT", "MAP", "MREMAP", "MADV", "MS", "O", "FALLOC", "MSHAREFS")
CLASSES = {"Machine": Machine, "Task": Task, "File": File}


def fences(text, language):
    """The fenced blocks of one language, also indented ones."""
    blocks = re.findall(rf"(?ms)^( *)```{language}\n(.*?)^ *```$", text)
    return [textwrap.dedent(indent + body) for indent, body in blocks]


def console(text):
    """Rows (command, output) of the console blocks; a comment after a command is no part of it.

    >>> console("```console\\n$ make lab   # opens\\n$ ls\\na\\nb\\n```")
    [('make lab', ''), ('ls', 'a\\nb\\n')]
    """
    rows = []
    for block in fences(text, "console"):
        for line in block.splitlines(keepends=True):
            if line[:2] in ("$ ", "> "):
                rows.append((re.sub(r"\s+#.*", "", line[2:]).strip(), ""))
            else:
                rows[-1] = rows[-1][0], rows[-1][1] + line
    return rows


def section(text, title):
    """A section of level 2, without its heading."""
    return re.search(rf"(?ms)^## {title}$(.*?)(?=^## |\Z)", text)[1]


def code_words(text):
    """Every word that stands in code, fenced or not."""
    code = re.findall(r"(?ms)^```.*?^```|`[^`\n]+`", text)
    return set(re.findall(r"\w+", " ".join(code)))


# README.md -----------------------------------------------------------------------------------
def test_the_readme_begins_with_what_a_newcomer_needs():
    """What it is, the picture with its alt text, and the commands come before all else."""
    first = README[:README.index("\n## ")]
    alt = re.search(r"!\[(.+?)\]\(docs/stepper\.png\)", first)[1]
    assert len(alt) > 80
    assert first.index("docs/stepper.png") < first.index("make lab") < first.index("make test")
    assert len(first.splitlines()) <= 20


def test_the_system_packages_are_those_of_the_makefile():
    """README.md and the Makefile name the same packages for a bare Debian."""
    [command] = [command for command, _ in console(README) if "apt-get" in command]
    packages = re.search(r"apt-get install ([\w -]+)`", MAKEFILE)[1]
    assert command.split(" -y ")[1].split() == packages.split()


@pytest.mark.parametrize("command, printed", [
    row for row in console(README + API)
    if " -m mmlib " in row[0] and " notebooks " not in row[0]], ids=lambda text: text[:60])
def test_a_command_prints_what_is_shown(command, printed):
    """The commands of mmlib are run, and print what the document says; the one that writes into a
    reader's folder has tests of its own."""
    words = command.split()
    assert words[0] in ("python", ".venv/bin/python")
    run = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (printed, "")


def test_the_recording_is_what_the_readme_says():
    """Version of Linux, sequences and calls."""
    version, sequences, calls = re.search(
        r"Linux ([\d.]+) was given (\d+) random sequences of together (\d+) ", README).groups()
    recording = json.loads((ROOT / "tests/data/examples-30.json").read_text())
    assert re.match(rf"{re.escape(version)}\b", recording["recorded_on"]["kernel"])
    assert len(recording["sequences"]) == int(sequences)
    assert sum(len(sequence["ops"]) for sequence in recording["sequences"]) == int(calls)


def test_the_table_of_notebooks_agrees_with_the_folder():
    """A notebook that is there is linked under its name; one that is not is to come."""
    rows = re.findall(r"(?m)^\| (.+?) \| ", section(README, "The notebooks"))
    linked, to_come = {}, []
    for row in rows[1:]:
        if link := re.fullmatch(r"\[(.+)\]\(notebooks/(\w+)\.ipynb\)", row):
            linked[link[2]] = link[1]
        else:
            to_come.append(row.removesuffix(" (to come)"))
            assert row.endswith(" (to come)"), row
    slugs = {re.sub(r"\W+", "_", title.lower()) for title in to_come}
    assert len(linked) + len(slugs) == len(rows) - 1 == 14
    assert set(linked) == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert all(re.sub(r"\W+", "_", title.lower()) == stem for stem, title in linked.items())


def test_the_table_of_notebooks_tells_their_minutes():
    """Those of each notebook's first cell."""
    rows = re.findall(r"(?m)^\| \[.+?\]\((notebooks/\w+\.ipynb)\) \| .+ \| (\d+) \|$", README)
    assert len(rows) == len(list((ROOT / "notebooks").glob("*.ipynb")))
    for path, minutes in rows:
        header = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"][0]["source"]
        assert f"about {minutes} minutes" in "".join(header), path


def test_what_lite_can_run_is_told():
    """The numbers of the notebooks on the site of `make lite`."""
    import lite
    told = re.search(r"The notebooks 00 to 03, (.+) run there", README)[1]
    listed = ["00", "01", "02", "03", *re.findall(r"\d\d|playground", told)]
    assert listed == [path.stem if path.stem == "playground" else path.stem[:2]
                      for path in lite.notebooks()]


def test_other_systems_do_what_make_does():
    """Without make: a .venv, the extra "lab" of this folder, and the notebook of `make lab`."""
    opened = re.search(r"(?m)^lab:.*\n.*(-m jupyterlab).* (\S+\.ipynb)$", MAKEFILE)
    commands = [command for command, _ in console(section(README, "Windows, macOS, conda"))]
    assert sum(f"{opened[1]} {opened[2]}" in command for command in commands) == 3
    assert sum('-m pip install -e ".[lab]"' in command for command in commands) == 2
    assert sum(re.fullmatch(r"py(thon3)? -m venv \.venv", command) is not None
               for command in commands) == 2


def test_conda_is_told_as_in_environment_yml():
    """The comment in environment.yml has the same three commands."""
    comment = (ROOT / "environment.yml").read_text()
    expected = re.findall(r"(?m)^#   (.+)$", comment)
    commands = [command for command, _ in console(section(README, "Windows, macOS, conda"))]
    start = commands.index(expected[0])
    assert commands[start:start + 3] == expected


def test_the_licences_are_those_of_the_package():
    """README.md links both licence files and names what they say."""
    for file, licence in (("LICENSE", "BSD 3-Clause"), ("LICENSE-notebooks", "CC BY 4.0")):
        assert f"]({file})" in README and licence in README
        assert licence in (ROOT / file).read_text()


# docs/api.md ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", mmlib.__all__)
def test_every_public_name_is_described(name):
    """A name of `mmlib.__all__` stands in code, or in the row of its family of constants."""
    family, _, member = name.partition("_")
    row = re.search(rf"(?m)^\| `{family}_\*` \|(.*)$", API)
    in_row = family in FAMILIES and re.search(rf"(?<!\w){member}(?!\w)", row[1])
    assert in_row or name in code_words(API)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_lists_no_constant_that_is_not_there(family):
    """The other direction."""
    row = re.search(rf"(?m)^\| `{family}_\*` \|(.*)$", API)[1]
    members = re.findall(r"[A-Z][A-Z_]+", row)
    assert members and {f"{family}_{member}" for member in members} <= set(mmlib.__all__)


@pytest.mark.parametrize("words, refused", [
    ("with effect", False), ("no more than a flag of the mapping", False),
    ("accepted without effect", False), ("refused as unknown", True)])
def test_advice_is_taken_as_the_table_says(words, refused):
    """Each advice is accepted on private anonymous memory or on a shared file, or on neither."""
    row = re.search(r"(?m)^\| `MADV_\*` \|(.*)$", API)[1]
    names = re.findall(r"[A-Z][A-Z_]+", re.search(rf"{words}: ([A-Z_, ]+)", row)[1])
    assert names
    for name in names:
        accepted = 0
        for flags, shared in ((MAP_PRIVATE | MAP_ANONYMOUS, False), (MAP_SHARED, True)):
            machine = Machine(TINY)
            file = machine.memfd("f", 0x1000) if shared else None
            task = machine.spawn()
            start = task.mmap(None, 0x1000, "rw", flags, file)
            try:
                task.madvise(start, 0x1000, getattr(mmlib, f"MADV_{name}"))
                accepted += 1
            except OSError:
                pass
        assert bool(accepted) != refused, name


def described_calls(title):
    """The code of a section's first table column: `call(args)` and attributes.

    >>> described_calls("Task")[0]
    'fork(name=None)'
    """
    cells = re.findall(r"(?m)^\| ((?:`[^`]+` ?)+) \|", section(API, title))
    return [code.replace("\\|", "|") for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


def signature(function):
    """Names and defaults of the parameters, without self."""
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()
            if p.name != "self"]


def parsed(call):
    """The same of a call as a document writes it, defaults evaluated.

    >>> parsed("fork(name=None)") == signature(Task.fork)
    True
    """
    assert isinstance(ast.parse(call.partition("(")[0], mode="eval").body, ast.Name), call
    arguments = call.partition("(")[2].removesuffix(")")
    return signature(eval(f"lambda {arguments}: None", vars(mmlib)))


@pytest.mark.parametrize("title, call", [
    (title, call) for title in CLASSES for call in described_calls(title) if "(" in call])
def test_a_call_is_described_as_it_is(title, call):
    """Names, order and defaults of the arguments."""
    assert parsed(call) == signature(getattr(CLASSES[title], call.partition("(")[0]))


@pytest.mark.parametrize("name", ["Machine", "FileTableCache"])
def test_a_constructor_is_described_as_it_is(name):
    """As above."""
    call = re.search(rf"`({name}\([^`]+\))`", API)[1]
    assert parsed(call) == signature(getattr(mmlib, name))


@pytest.mark.parametrize("title", CLASSES)
def test_no_call_and_no_figure_is_left_out(title):
    """Every recorded call and every property is named in the section of its class."""
    public = {name for name, value in vars(CLASSES[title]).items() if not name.startswith("_")
              and (hasattr(value, "__wrapped__") or isinstance(value, property))}
    assert public - {"machine", "ref"} <= code_words(section(API, title))


def test_every_counter_is_described():
    """The table of counters has exactly those of a machine."""
    rows = re.findall(r'(?m)^\| ((?:`"\w+"` ?)+) \|', API)
    assert set(re.findall(r"\w+", " ".join(rows))) == set(Machine(TINY).counters)


def test_every_kind_of_event_is_described():
    """The table of kinds has each once, and no other."""
    rows = re.findall(r"(?m)^\| .+? \| (.+) \|$",
                      section(API, "The trace").partition("| group | kinds |")[2])
    kinds = re.findall(r"`(\w+)`", " ".join(rows))
    assert sorted(kinds) == sorted(KINDS)


def test_every_command_is_described():
    """The table of commands has exactly those of the command line."""
    assert set(re.findall(r"(?m)^\| `(\w+)[^`]*` \|", section(API, "The command line")
                          .partition("\n| option")[0])) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_described(command):
    """The options that a command has are those of its table."""
    parser = Parser(prog=command)
    importlib.import_module(f"mmlib.{command}").options(parser)
    there = set(re.findall(r"--[a-z][a-z-]*", parser.format_help())) - {"--help"}
    table = re.search(rf"(?ms)^\| option of `{command}` \|.*?(?=^$|\Z)", API)
    assert set(re.findall(r"--[a-z][a-z-]*", table[0] if table else "")) == there


# CONTRIBUTING.md and all of them --------------------------------------------------------------
def test_the_good_example_is_code_of_the_project():
    """The first block is quoted from the file that it names."""
    file = re.search(r"GOOD, from `(.+?)`", CONTRIBUTING)[1]
    assert fences(CONTRIBUTING, "python")[0] in (ROOT / file).read_text()


def test_the_example_of_a_test_passes():
    """The test that CONTRIBUTING.md shows is one."""
    [example] = [code for code in fences(CONTRIBUTING, "python") if "def test_" in code]
    names = dict(vars(mmlib))
    exec(example, names)
    [test] = [value for name, value in names.items() if name.startswith("test_")]
    test()


@pytest.mark.parametrize("text", [README, CONTRIBUTING, DESIGN, API],
                         ids=["README", "CONTRIBUTING", "DESIGN", "api"])
def test_what_a_document_names_exists(text):
    """Files of the project, and dotted names of mmlib."""
    words = re.findall(r"`([\w./-]+)`", text)
    files = [word for word in words if re.search(r"\w\.(py|md|toml|json|cff|yml)$", word)]
    for file in files:
        assert any((folder / file).exists() for folder in (ROOT, ROOT / "mmlib")), file
    for dotted in re.findall(r"`(mmlib(?:\.\w+)+)[`(]", text):
        module, _, name = dotted.rpartition(".")
        try:
            importlib.import_module(dotted)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), dotted
