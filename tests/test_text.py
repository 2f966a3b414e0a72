"""A state in words agrees with the live machine; a step in words is a sentence."""
import re

import pytest
import scenes
from scenes import ANON, MIB, PAGE, failing

from mmlib import (
    MADV_DONTNEED,
    MAP_SHARED,
    TINY,
    X86_64,
    Machine,
)
from mmlib import bulk
from mmlib.events import KINDS, Event
from mmlib.trace import FrameState
from mmlib.vma import VM_SHARED_PT
from mmlib.views import outline, text
from mmlib.views.graph import file_label
from mmlib.views.outline import CACHED, LINKS, RUN, describe



@pytest.fixture(params=scenes.ALL, ids=lambda scene: scene.__name__)
def machine(request):
    return request.param()


@pytest.fixture
def live(machine):
    """The machine after each step of its trace, made anew; the last one for large ones."""
    few = machine.trace if machine.geometry is TINY else machine.trace[-1:]
    return [machine.branch(step.number) for step in few]


def fields(status):
    return dict(re.findall(r"(?m)^(\w+):\s*(.*)$", status))


# /proc -----------------------------------------------------------------------------------------
def test_maps_are_those_of_the_task(live):
    """The same rows, and so the same text."""
    for m in live:
        now = m.snapshot()
        for task in m.tasks:
            assert text.maps(now, task.mm.name) == task.maps()
            assert str(text.maps(now, task.mm.name)) == str(task.maps())


def test_status_is_that_of_the_task(live):
    """VmRSS, VmLck, VmPTE and VmSize, in kB."""
    for m in live:
        now = m.snapshot()
        for task in m.tasks:
            told = fields(text.status(now, task.mm.name))
            size = sum(row.end - row.start for row in task.maps())
            for name, value in (("VmRSS", task.rss), ("VmLck", task.locked), ("VmSize", size),
                                ("VmPTE", task.page_table_bytes)):
                assert told[name].split() == [str(value // 1024), "kB"], (m.trace[-1], name)
            assert told["Threads"] == str(sum(t.mm is task.mm for t in m.tasks))


def test_pagemap_is_that_of_the_task(live):
    """Every page of every mapping, also within huge pages, and of PROT_NONE."""
    for m in live:
        now = m.snapshot()
        for task in m.tasks:
            for row in task.maps():
                assert text.pagemap(now, task.mm.name, row.start, row.end) == \
                    task.pagemap(row.start, row.end - row.start)


def test_smaps_adds_up_to_the_task(live):
    """Rss and Pss are the sums over the mappings; each Rss is split by sharing and by dirt."""
    for m in live:
        now = m.snapshot()
        for task in m.tasks:
            told = text.smaps(now, task.mm.name)
            def total(name):
                return sum(map(int, re.findall(rf"(?m)^{name}: +(\d+) kB$", told)))
            beyond = sum(row.present for vma in task.mm.vmas if vma.flags & VM_SHARED_PT
                         for row in task.pagemap(vma.start, vma.end - vma.start))
            assert total("Rss") == task.rss // 1024 + beyond * PAGE // 1024     # of regions
            assert 0 <= task.pss // 1024 - total("Pss") < max(len(task.maps()), 1)
            assert total("Rss") == sum(map(total, ("Shared_Clean", "Shared_Dirty",
                                                   "Private_Clean", "Private_Dirty")))
            assert [line for line in told.splitlines() if "kB" not in line] == \
                str(task.maps()).splitlines()


def test_smaps_tells_dirt_from_sharing():
    """One page stored to and one only read, both private; then a child shares them."""
    m = Machine(TINY)
    a = m.spawn("a")
    file = a.memfd("f", 2 * PAGE)
    a.mmap(0x4000, 2 * PAGE, "rw", MAP_SHARED, file)
    a.store(0x4000, b"x")
    a.load(0x5000)
    told = fields(text.smaps(m.snapshot(), "a"))
    assert [told[n].strip() for n in ("Private_Dirty", "Private_Clean", "Shared_Dirty",
                                      "Anonymous")] == ["4 kB", "4 kB", "0 kB", "0 kB"]
    b = m.spawn("b")
    b.mmap(0x4000, 2 * PAGE, "r", MAP_SHARED, file)
    b.load(0x4000)
    told = fields(text.smaps(m.snapshot(), "a"))
    assert [told[n].strip() for n in ("Shared_Dirty", "Private_Clean", "Pss")] == \
        ["4 kB", "4 kB", "6 kB"]


def test_an_unknown_mm_is_named():
    """The error says which there are."""
    now = scenes.nothing().snapshot()
    for view in (text.maps, text.status, text.smaps, lambda n, mm: text.pagemap(n, mm, 0, PAGE)):
        with pytest.raises(ValueError, match="no mm 'b'; there are a"):
            view(now, "b")


# a state in words ------------------------------------------------------------------------------
def test_describe_names_every_table_once_and_every_page(machine):
    """A table is told where it is first reached, and afterwards only named "as above"."""
    for step in machine.trace if machine.geometry is TINY else ():
        now = step.after
        told = describe(now)
        full = [line for line in told.splitlines() if "as above" not in line]
        for table in now.tables:
            name = f"{now.geometry.level_name(table.level)} {table.pfn}"
            assert sum(bool(re.search(rf"\b{name}\b", line)) for line in full) == 1, name
        for frame in now.frames:
            entries = sum(entry >> 12 == frame.pfn or entry >> 12 & (1 << 40) - 1 == frame.pfn
                          for t in now.tables if t.level == 1 or frame.pfn
                          for _, entry in t.entries if t.level == 1 or entry & 1 << 7)
            if frame.kind == "zero":
                assert told.count("the zero page") == entries
            elif frame.mapcount or frame.kind == "file" and told.count("more") == 0:
                many = len(re.findall(rf"\bpage {frame.pfn}\b(?! of)", told))
                assert many == max(entries, 1), (frame, told)


def test_describe_names_every_task_once(machine):
    """Each with its own address space, before the number of its tables; regions come first."""
    now = machine.snapshot()
    heads = re.findall(r"(?m)^(\S.*): (\d+) page tables? below the top one$", describe(now))
    mms = [*now.hosts, *(mm for mm in now.mms if mm not in now.hosts)]
    assert [int(many) for _, many in heads] == [mm.tables for mm in mms]
    assert [name for name, _ in heads] == [
        ", ".join(text.plain(t.name) for t in now.tasks if t.mm == mm.name)
        or f"region {file_label(mm.name)}" for mm in mms]


def test_a_region_is_told_once():
    """Its host first, by the file's name; a guest's link is only named."""
    told = describe(scenes.region().trace[11].after).splitlines()
    assert told[:3] == ["region r: 4 page tables below the top one", "  PGD 3",
                        "    1: PUD 4 (shared x3)"]
    assert told.count("    1: PUD 4 (shared x3), as above") == 2
    assert sum("hello" in line or "rows" in line for line in told) == 1


def test_describe_is_indented_by_level():
    """A table stands two spaces further in than the one that leads to it."""
    lines = describe(scenes.fork().trace[2].after).splitlines()
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4, 6, 8, 10]
    assert [re.search(r"P\w\w \d+|page", line)[0] for line in lines[1:]] == \
        ["PGD 2", "PUD 3", "PMD 4", "PTE 5", "page"]


def test_a_table_that_is_kept_is_told():
    """The cache's tables after the last process are used by nobody."""
    told = describe(scenes.cache().trace[-2].after)
    assert "kept with /memfd:db (deleted), used by nobody:" in told and "PTE" in told


def test_nothing_is_there():
    """Text is never empty: it is what a screen reader says."""
    assert describe(Machine(TINY).snapshot()) == "nothing is there"


@pytest.mark.parametrize("mib", [2, 64, 512])
def test_describe_is_bounded_for_large_machines(mib):
    """Pages in a row are told together, and so are the tables beyond the first."""
    m = Machine(X86_64, trace=False)
    a = m.spawn("a")
    a.mmap(0x1_0000_0000, mib * MIB, "rw", ANON)
    a.touch(0x1_0000_0000, mib * MIB, write=True)
    lines = describe(m.snapshot()).splitlines()
    tables = min(mib // 2, LINKS)
    left = [f"        and {mib // 2 - LINKS} more PTE tables"] if mib // 2 > LINKS else []
    assert len(lines) == 4 + 3 * tables + len(left)
    assert lines[-1:] == left or not left
    assert lines[6] == "          1-511: 511 more like it, to page 514"


def test_only_pages_that_read_alike_are_told_together():
    """Another content, protection or frame, or a hole, ends a run; a short run is told singly."""
    m = Machine(X86_64)
    a = m.spawn("a")
    a.mmap(0x40_0000, 32 * PAGE, "rw", ANON)
    a.touch(0x40_0000, 20 * PAGE, write=True)
    a.store(0x40_0000 + 7 * PAGE, b"seven")
    a.mprotect(0x40_0000 + 12 * PAGE, PAGE, "r")
    a.madvise(0x40_0000 + 16 * PAGE, PAGE, MADV_DONTNEED)
    told = re.findall(r"(?m)^ {10}([\d-]+: .*)$", describe(m.snapshot()))
    assert told == ["0: rw page 6, zeros", "1-6: 6 more like it, to page 12",
                    '7: rw page 13, "seven"',
                    *(f"{n}: rw page {n + 6}, zeros" for n in range(8, 12)),
                    "12: r- page 18, zeros",
                    *(f"{n}: rw page {n + 6}, zeros" for n in (13, 14, 15, 17, 18, 19))]
    assert RUN == 4


def test_zero_pages_guards_and_files_are_told_together():
    """What repeats need not be pages of memory that is ours."""
    m = Machine(X86_64, fault_around=1)
    a = m.spawn("a")
    a.mmap(0x40_0000, 8 * PAGE, "rw", ANON)
    a.touch(0x40_0000, 8 * PAGE)
    assert re.findall(r"(?m)^ {10}(.*)$", describe(m.snapshot())) == \
        ["0: r- the zero page", "1-7: 7 more like it"]
    file = m.memfd("f", 8 * PAGE)
    b = m.spawn("b")
    b.mmap(0x40_0000, 8 * PAGE, "rw", MAP_SHARED, file)
    b.touch(0x40_0000, 8 * PAGE, write=True)
    told = describe(m.snapshot())
    assert "1: rw page 11, page 1 of /memfd:f (deleted), zeros\n" in told
    assert "2-7: 6 more like it, to page 17" in told and "page 2 of" not in told


def test_the_page_cache_is_told_as_far_as_it_can_be_read():
    """A hundred pages that nobody maps."""
    m = Machine(TINY)
    m.memfd("big").pwrite(b"x" * 100 * PAGE, 0)
    [line] = describe(m.snapshot()).splitlines()
    assert line.count("; ") == CACHED and line.endswith(f"; {100 - CACHED} more")


@pytest.mark.parametrize("head, kind, told", [
    (b"hi" + bytes(6), "anon", 'page 7, "hi"'), (bytes(8), "anon", "page 7, zeros"),
    (b"\x01\xff" + bytes(6), "anon", "page 7, 0x01ff"),
    (bytes(8), "file", "page 7, page 2 of two\\nlines, zeros"), (bytes(8), "zero", "the zero page")])
def test_a_page_in_words(head, kind, told):
    """Its frame, whose it is, and its first bytes; a name stays on its line."""
    file = "two\nlines" if kind == "file" else ""
    assert outline.page(FrameState(7, 1, kind, file, 2, 1, head)) == told


@pytest.mark.parametrize("name", scenes.ODD)
def test_a_name_cannot_make_a_line(name):
    """One line a task, whatever it is called."""
    m = Machine(TINY)
    m.spawn(name)
    assert len(describe(m.snapshot()).splitlines()) == 2
    assert len(text.status(m.snapshot(), name).splitlines()) == 6


# a step in words -------------------------------------------------------------------------------
def check_sentences(said, names=("a",)):
    """It begins as a sentence does, or with a task's name, and ends with a full stop."""
    assert re.match(r"[A-Z0-9]", said) or said.startswith(tuple(f"{name} " for name in names)), said
    assert said.endswith("."), said
    assert ".." not in said.replace("...", "") or "'" in said, said
    assert "  " not in said and " ." not in said and "|" not in said and "None" not in said, said


def test_every_step_has_a_sentence(machine):
    """It begins like one, ends with a full stop, and says something."""
    for step in machine.trace:
        said = text.summary(step)
        assert len(said) > 10
        check_sentences(said, [task.name for task in step.after.tasks])


def test_every_event_has_a_sentence_and_a_function(machine):
    """As the stepper's panel lists them."""
    for step in machine.trace:
        told = text.narration(step)
        assert len(told) == len(step.events)
        for sentence, function in told:
            assert sentence.endswith(".") and "{" not in sentence + function
            assert function == "the MMU" or re.fullmatch(r"[a-z_0-9]+", function), function


CALLS = {
    "spawn": lambda m, a, f: m.spawn("z"),
    "open": lambda m, a, f: m.open("/dev/shm/f"),
    "memfd": lambda m, a, f: m.memfd("f"),
    "mount": lambda m, a, f: m.mount("tmpfs", "/mnt"),
    "mkdir": lambda m, a, f: m.mkdir("/dev/shm/d"),
    "unlink": lambda m, a, f: m.unlink("/dev/shm/x"),
    "rename": lambda m, a, f: m.rename("/dev/shm/x", "/dev/shm/y"),
    "link": lambda m, a, f: m.link("/dev/shm/x", "/dev/shm/y"),
    "drop_caches": lambda m, a, f: m.drop_caches(),
    "shrink": lambda m, a, f: m.shrink(),
    "reclaim": lambda m, a, f: m.reclaim(1),
    "mmap": lambda m, a, f: a.mmap(0x8000, PAGE, "rw", ANON),
    "munmap": lambda m, a, f: a.munmap(0x4000, PAGE),
    "munmap a hole": lambda m, a, f: a.munmap(0xC000, PAGE),
    "mprotect": lambda m, a, f: a.mprotect(0x4000, PAGE, "r"),
    "mremap": lambda m, a, f: a.mremap(0x4000, PAGE, PAGE),
    "madvise": lambda m, a, f: a.madvise(0x4000, PAGE, MADV_DONTNEED),
    "mlock": lambda m, a, f: a.mlock(0x4000, PAGE),
    "munlock": lambda m, a, f: a.munlock(0x4000, PAGE),
    "mincore": lambda m, a, f: a.mincore(0x4000, PAGE),
    "msync": lambda m, a, f: a.msync(0x4000, PAGE, 4),
    "load": lambda m, a, f: a.load(0x4000),
    "load anew": lambda m, a, f: a.load(0x5000),
    "store": lambda m, a, f: a.store(0x4000, b"y"),
    "touch": lambda m, a, f: a.touch(0x4000, 2 * PAGE),
    "fork": lambda m, a, f: a.fork(),
    "clone": lambda m, a, f: a.clone(),
    "run_on": lambda m, a, f: a.run_on(0),
    "exec": lambda m, a, f: a.exec(),
    "exit": lambda m, a, f: a.exit(),
    "truncate": lambda m, a, f: f.truncate(PAGE),
    "fallocate": lambda m, a, f: f.fallocate(0, 0, PAGE),
    "pread": lambda m, a, f: f.pread(1, 0),
    "pwrite": lambda m, a, f: f.pwrite(b"x", 0),
    "read": lambda m, a, f: f.read(1),
    "fsync": lambda m, a, f: f.fsync(),
    "close": lambda m, a, f: m.open("/dev/shm/x").close(),
    "share_tables": lambda m, a, f: setattr(a, "share_tables", False),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_kind_of_call_has_a_sentence(name):
    """Also one that changes nothing."""
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, 2 * PAGE, "rw", ANON)
    a.store(0x4000, b"x")
    file = m.open("/dev/shm/x")
    steps = len(m.trace)
    CALLS[name](m, a, file)
    assert len(m.trace) > steps
    check_sentences(text.summary(m.trace[-1]))


@pytest.mark.parametrize("call", [lambda a: a.load(0x8000), lambda a: a.mmap(1, PAGE, "rw", 0),
                                  lambda a: a.mprotect(0x4000, 9 * PAGE, "r"),
                                  lambda a: a.open("/nowhere/f")])
def test_a_failure_is_told_with_its_reason(call):
    """One sentence: "It fails: ..." """
    m = Machine(TINY)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    with failing():
        call(a)
    said = text.summary(m.trace[-1])
    assert said.startswith("It fails: ") and len(said) > 25
    check_sentences(said)


def test_a_hit_says_that_no_kernel_code_runs():
    """The TLB, or a walk that finds an entry: both are lessons."""
    m = Machine(TINY, cpus=2)
    a = m.spawn("a")
    a.mmap(0x4000, PAGE, "rw", ANON)
    a.store(0x4000, b"x")
    a.load(0x4000)
    assert text.summary(m.trace[-1]) == "The TLB has the translation: no kernel code runs."
    a.run_on(1)
    a.load(0x4000)
    assert text.summary(m.trace[-1]) == \
        "The walk finds an entry that permits it: no kernel code runs."


def test_the_host_and_the_link_are_told():
    """Which mm answers, and what was linked."""
    m = scenes.region()
    assert text.summary(m.trace[4]).startswith(
        "The region's own address space answers, /ms/r at 0x40000.")
    [linked] = [s for s in m.trace if s.action == "c.load(0x40000)"]
    assert text.summary(linked) == ("c links the PUD table in frame 4 of the region: all below it "
                                    "is shared.")


def test_a_copy_is_told_first():
    """What a reader wants to know, before the tables."""
    said = [text.summary(step) for step in scenes.fork().trace]
    assert any(s.startswith("Copy on write: frame 6 is copied to frame") for s in said)
    assert any(s.startswith("Nobody else uses frame") for s in said)


def test_a_long_step_is_told_shortly(monkeypatch):
    """Not a sentence for each of 32 tables, made one by one; "more" counts what is left out."""
    monkeypatch.setattr(bulk, "SHORT", 1 << 40)
    m = scenes.sixty_four_mib()
    for step in m.trace:
        assert len(text.summary(step)) < 500
    made = sum(event.kind == "table" for event in m.trace[3].events)
    assert f"and {made - 6} more." in text.summary(m.trace[3])
    assert text.summary(m.trace[2]) == "16384 pages are touched, with 16384 faults."


def test_many_events_of_one_kind_are_counted():
    """exit of a process with five mappings: two are told, three are counted."""
    m = Machine(TINY)
    a = m.spawn("a")
    for n in range(5):
        a.mmap(0x10000 * (n + 1), PAGE, "rw", ANON)
    a.exit()
    said = text.summary(m.trace[-1])
    assert said.count("Gone from the VMA list") == 2 and "And 3 more." in said


@pytest.mark.parametrize("name", scenes.ODD + ["a.1", "a(", "machine"])
def test_a_call_is_known_whatever_the_task_is_called(name):
    """Its sentence is that of the call, not of the name."""
    m = Machine(TINY)
    task = m.spawn(name)
    task.clone("t")
    assert m.trace[-1].call == "clone" and "thread" in text.summary(m.trace[-1])


COUNTS = {"pages": "page", "faults": "fault", "entries": "entr", "tables": "whole table",
          "vmas": "VMA", "cpus": "CPU"}
VERBS = {"populate": ("are", "is"), "protect": ("take", "takes"), "zap": ("are", "is"),
         "copy_range": ("are", "is"), "touch": ("are", "is"), "truncate": ("leave", "leaves")}
WORDS = {"level": "PMD", "mm": "a", "file": "f", "found": "it", "access": "load", "name": "SIGSEGV",
         "code": "SEGV_MAPERR", "victim": "a", "reason": "no memory"}


@pytest.mark.parametrize("kind", [kind for kind, (_, names, _) in KINDS.items()
                                  if COUNTS.keys() & set(names)])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_number_and_verb_agree(kind, number):
    """1 page is touched, 2 pages are touched, 0 pages are touched."""
    names = KINDS[kind][1]
    said = Event(kind, tuple(number if name in COUNTS else WORDS.get(name, 9)
                             for name in names)).text
    for name in COUNTS.keys() & set(names):
        ending = {"entr": ("y", "ies")}.get(COUNTS[name], ("", "s"))[number != 1]
        assert re.search(rf"\b{number} (cached )?{COUNTS[name]}{ending}\b", said), said
    if kind in VERBS:
        assert f" {VERBS[kind][number == 1]} " in said.replace(".", " "), said


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_one_sentence(kind):
    """With all that it tells in it; the function is named where a step names it."""
    event = Event(kind, tuple(WORDS.get(name, 9) for name in KINDS[kind][1]))
    assert event.text.endswith(".") and "|" not in event.text and "{" not in event.text
    assert event.text[0].isupper() or event.text[0] == "a" or event.text[0].isdigit()
    assert "{" not in event.function


def test_tables_are_counted_in_singular_and_plural():
    """describe(): 1 page table, 3 page tables."""
    m = scenes.cache()
    heads = {line for step in m.trace for line in describe(step.after).splitlines()
             if "below the top one" in line}
    numbers = {re.search(r": (\d+) page (tables?) ", line).groups() for line in heads}
    assert {(n, noun) for n, noun in numbers} == \
        {(n, "table" if n == "1" else "tables") for n, _ in numbers}
    assert len(numbers) > 1
