"""docs/formats.md says what formats.py says, and its examples replay."""
import json
import re
from pathlib import Path

import pytest
from documents import replay, write

from mmlib import formats
from mmlib.__main__ import main
from mmlib.compare import TIERS
from mmlib.loading import check_document

TEXT = (Path(__file__).resolve().parents[1] / "docs/formats.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(block) for block in re.findall(r"(?ms)^```json\n(.*?)^```$", TEXT)]
# The families of constants, by the op that takes them.
FAMILIES = formats.FLAGS | {"madvise": formats.ADVICE, "ioctl": formats.REQUESTS}


def section(title, level=2):
    """A section, without its heading, up to the next of its level."""
    return re.search(rf"(?ms)^{'#' * level} {title}$(.*?)(?=^#{{2,{level}}} |\Z)", TEXT)[1]


def ops_of(title):
    """Op: fields, as the table of a section tells them."""
    table = section(title).partition("| op | fields | does |")[2].partition("\n\n")[0]
    return {name: fields.replace("\\|", "|") for name, fields
            in re.findall(r"(?m)^\| `(\w+)` \| (?:`([^`]*)` )?\|", table)}


@pytest.mark.parametrize("form", ["mmoracle/1", "mmoracle-hugetlb/1"])
def test_every_op_is_described_with_its_fields(form):
    """The tables hold the ops that a file may hold, and no other."""
    assert ops_of(form) == formats.FORMATS[form]


def test_the_ops_of_our_own_format_are_described():
    """Those of mmoracle/1 need not be told twice where nothing is added."""
    assert ops_of("mmoracle/1") | ops_of("mmlib/1") == formats.OWN


def test_the_arguments_of_an_ioctl_are_described():
    """In words, in the section of mmlib/1."""
    assert all(f'"{request}" with `{fields}`' in section("mmlib/1")
               for request, fields in formats.ARGUMENTS.items())


@pytest.mark.parametrize("op", FAMILIES)
def test_every_flag_and_advice_is_named(op):
    """Exactly those that formats.py knows."""
    table = section("mmlib/1").partition("| of | names |")[2]
    row = re.search(rf"(?m)^\| `{op}` \|(.*)$", table)[1]
    assert sorted(re.findall(r"`(\w+)`", row)) == sorted(FAMILIES[op])


def test_the_flags_of_the_oracle_are_named():
    """In words, in the section of mmoracle/1."""
    told = section("mmoracle/1").partition("Flags of mmap:")[2].partition("\n")[0]
    mmap, _, mremap = told.partition("; of mremap:")
    assert re.findall(r'"(\w+)"', mmap) == list(formats.ORACLE_FLAGS["mmap"])
    assert re.findall(r'"(\w+)"', mremap) == list(formats.ORACLE_FLAGS["mremap"])


def test_every_answer_is_described_with_its_tier():
    """The table of answers is that of compare.py."""
    rows = re.findall(r"(?m)^\| `(\w+)` \| `(\w+)` \|", section("Answers", 3))
    assert sorted(rows) == sorted((field, tier) for tier, fields in TIERS.items()
                                  for field in fields)


def test_the_bounds_are_those_that_are_kept():
    """The numbers of the table."""
    told = [eval(number) for number in
            re.findall(r"(?m)^\| (\d+(?:\*\*\d+)?)(?: MiB)? \|", section("Bounds", 3))]
    assert formats.PROCESSES == formats.CPUS and formats.HUGE_PAGES == 65536
    assert told == [formats.FILE_BYTES >> 20, formats.OPS, formats.PROCESSES, formats.ADDRESS,
                    formats.FILE_PAGES, formats.BULK_PAGES, formats.HUGE_PAGES]


def test_there_are_twelve_rules():
    """Numbered, as others number them."""
    assert re.findall(r"(?m)^(\d+)\. \*\*", section("mmoracle/1")) == [
        str(n) for n in range(1, 13)]


def test_every_format_has_an_example():
    """Each that replay reads."""
    assert {example["format"] for example in EXAMPLES} == {
        "mmoracle/1", "mmoracle-hugetlb/1", "mmlib/1"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["format"])
def test_the_examples_replay(example, tmp_path, capsys):
    """Each answers what the page says; none is empty."""
    assert any("expect" in op for op in example["sequences"][0]["ops"])
    path = write(tmp_path, example)
    assert replay(capsys, path) == (0, "1 passed, 0 failed\n", "")


def test_the_head_of_a_sequence_is_described():
    """The fields that only mmlib/1 has there are those of the table."""
    told = re.findall(r"(?m)^\| `(\w+)` \| ", section("mmlib/1").partition("| op |")[0])
    head = {"geometry": "LA57", "cpus": 2, "sharing": "private", "huge_pages": 1,
            "names": ["a"],
            "mounts": [{"fstype": "ext4", "path": "/disk"}],
            "files": [{"id": "f", "pages": 1, "path": "/disk/f"}]}
    assert sorted(told) == sorted(head)
    check_document({"format": "mmlib/1", "sequences": [{"id": "s", "ops": []} | head]})


def test_the_fields_of_an_image_are_described(tmp_path, capsys):
    """Two tables: of image.json, and of a claim."""
    path = write(tmp_path, EXAMPLES[0])
    assert main(["export", path, "--out", str(tmp_path / "image")]) == 0
    told = json.loads((tmp_path / "image/image.json").read_text())
    fields, _, claims = section("mmimage/1").partition("A claim says")
    assert re.findall(r"(?m)^\| `(\w+)` \|", fields) == list(told)
    claim = set().union(*(claim for process in told["processes"] for claim in process["expect"]))
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", claims)) == claim
    assert set(re.findall(r"`(name|cr3|expect)`", fields)) == set(told["processes"][0])
