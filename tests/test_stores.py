"""The store with runs and the dense one are the same to everybody: after every random call each
entry, each table and each counter is equal, up to the names of frames."""
import random

import pytest
from dense import dense_machine
from test_properties import (
    ANON,
    PAGE,
    Pressure,
    World,
    outcome,
    policy,
    resolved,
    wander,
    wind_up,
)
from regions import SLOT, S, create, unmap

from mmlib import (
    MADV_DONTDUMP,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MAP_FIXED,
    MAP_SHARED,
    TINY,
    FileTableCache,
    Machine,
    Private,
    Segfault,
    bulk,
    validate,
)
from mmlib.geometry import PFN_MASK, PFN_SHIFT, PS, P, entry_pfn
from mmlib.memory import ZERO_PFN
from mmlib.vma import VM_MAYBE_GUARD


@pytest.fixture(autouse=True)
def short_rows(monkeypatch):
    """Rows of three pages are done at once, so that small machines have runs."""
    monkeypatch.setattr(bulk, "SHORT", 3)


def seen(machine: Machine) -> tuple:
    """Everything but the numbers of frames, which go by first appearance; tables too."""
    names, tasks = {ZERO_PFN: "zero"}, []
    for task in machine.tasks:
        mm, entries = task.mm, []
        for start, count, entry, step, level in sorted(
                machine.tables.spans(mm.pgd, 0, machine.geometry.task_size)):
            size = machine.geometry.entry_span(level)
            entries += [(start + n * size, level, entry_pfn(entry) + n * step, entry & ~PFN_MASK)
                        for n in range(count)]
        tasks.append((
            task.name, str(task.maps()), task.tables, task.rss, task.pss, task.reachable_tables,
            task.minor_faults, task.major_faults, task.page_faults,
            [(at, level, names.setdefault(pfn, len(names)), bits, *page(machine, pfn))
             for at, level, pfn, bits in entries]))
    tlbs = [[(mm.name, n, entry & ~PFN_MASK) for (mm, n), entry in tlb.entries.items()]
            for tlb in machine.tlbs]
    caches = [(inode.name, inode.mapping.count())
              for inode in {file.inode: None for file in machine.files}]
    return (tasks, tlbs, caches, dict(machine.counters), machine.tables.counts,
            machine.memory.used, machine.huge_pages.free, machine.huge_pages.reserved)


def page(machine: Machine, pfn: int) -> tuple:
    it = machine.memory.peek(pfn)
    if it is None:                      # a guard marker leads nowhere
        return ()
    return it.mapcount, it.exclusive, it.mapping and it.mapping.name, it.index


class Both(Pressure):
    """Each call on two machines that differ in their store."""

    def begin(self, sharing, around: int, judge=dense_machine, **more):
        how = {"sharing": sharing, "huge_pages": 5, "cpus": 2, "trace": False,
               "fault_around": around, **more}
        self.world = World(Machine(TINY, **how))
        self.judge = World(judge(TINY, **how))
        self.run(0, "mmap", 4 * PAGE, 4 * PAGE, "rw", ANON | MAP_FIXED)
        self.mmap_span(0, 16, "rw", 0)

    def run(self, task, name, *args):
        tasks = self.machine.tasks
        if not tasks:
            spawned = [outcome(world.machine.spawn)[0] for world in (self.world, self.judge)]
            assert spawned[0] == spawned[1]
            if spawned[0] == "error":
                return
        if name in ("fork", "clone") and len(tasks) == 4:
            return
        task %= len(tasks)
        args = resolved(args, tasks[task], 4)
        assert self.world.run(task, name, args) == self.judge.run(task, name, args), (name, args)

    def file(self, file, name, *args):
        assert self.world.file(file % 4, name, args) == self.judge.file(file % 4, name, args)

    def valid(self):
        validate(self.machine), validate(self.judge.machine)
        for mine, other in zip(seen(self.machine), seen(self.judge.machine)):
            assert mine == other
        if self.machine.tasks:
            self.translated()

    def translated(self):
        """All pages of a task at once: as the entries say one by one."""
        task, want = self.machine.tasks[-1], []
        for addr in range(0, TINY.task_size, PAGE):
            entry = self.machine.tables.entry_at(task.mm.pgd, addr)
            within = addr % (TINY.huge_size if entry & PS else PAGE)
            want.append((entry_pfn(entry) << PFN_SHIFT) + within if entry & P else -1)
        assert task.translate(range(0, TINY.task_size, PAGE)).tolist() == want

    def reclaim(self, n):
        """Which pages go depends on the numbers of frames."""


for name in ("drop_caches", "shrink"):
    def both(self, *args, name=name):
        assert getattr(self.machine, name)(*args) == getattr(self.judge.machine, name)(*args)
    setattr(Both, name, both)


@pytest.mark.parametrize("seed", range(40))
def test_long_walks_on_both_stores(seed):
    """150 random calls, bulk ones often: all that can be seen is equal after each."""
    rng = random.Random(seed)
    calls = Both()
    calls.begin(rng.choice([Private(), None, policy(rng), FileTableCache()]),
                rng.choice([1, 4]))
    wander(calls, rng, 150)
    wind_up(calls.world.machine), wind_up(calls.judge.machine)


def watched(geometry, **how) -> Machine:
    """A machine that records every call."""
    return Machine(geometry, **how | {"trace": True})


@pytest.mark.parametrize("seed", range(12))
def test_who_is_watched_does_the_same(seed):
    """With a trace and without one, also where memory is short; and made again from the trace."""
    rng = random.Random(seed)
    calls = Both()
    calls.begin(rng.choice([Private(), None, policy(rng)]), rng.choice([1, 4]), watched,
                memory=rng.choice([None, rng.randint(24, 34) * PAGE, rng.randint(30, 90) * PAGE]))
    wander(calls, rng, 100)
    machine = calls.judge.machine
    assert seen(machine.branch(len(machine.trace) - 1)) == seen(machine)


@pytest.mark.parametrize("version", [2022, 2025])
@pytest.mark.parametrize("seed", range(20))
def test_guests_of_a_region_on_both_stores(seed, version):
    """Three guests of a region of two slots: rows that go over slots, the first ever and later
    ones, with links and without."""
    rng = random.Random(seed)
    gap, pages = rng.randint(0, 4), rng.choice([2 * SLOT // PAGE, SLOT // PAGE + 9])
    both = [make(TINY, cpus=2, trace=False, sharing=Private())
            for make in (Machine, dense_machine)]
    files = []
    for here in both:
        here.mount("msharefs", "/ms", version=version)
        here.spawn("a")
        files.append(here.open("/ms/r"))
        if version == 2025:
            files[-1].truncate(2 * SLOT)
            create(files[-1], 0, 20)
            create(files[-1], 20 + gap, pages - 20 - gap)
        for name in "abc":
            task = here.tasks[0] if name == "a" else here.spawn(name)
            task.mmap(S, 2 * SLOT, "rw", MAP_SHARED | MAP_FIXED, files[-1])
            task.run_on(len(here.tasks) % 2)
    for _ in range(40):
        number, start = rng.randrange(3), S + rng.randrange(0, 2 * SLOT, rng.choice([1, SLOT]))
        length = rng.randint(1, S + 2 * SLOT - start)
        page = start // PAGE * PAGE
        calls = [("touch", (start, length, rng.random() < 0.4))] * 6
        calls += [("mprotect", (page, PAGE * rng.randint(1, 4), rng.choice(["r", "rw"])))]
        calls += [("madvise", (page, PAGE, MADV_DONTNEED)), ("munmap", (S, 2 * SLOT))]
        name, args = rng.choice(calls)
        answers = []
        for here, file in zip(both, files):
            task = here.tasks[number]
            if not task.maps():
                task.mmap(S, 2 * SLOT, "rw", MAP_SHARED | MAP_FIXED, file)
            try:
                answers.append(getattr(task, name)(*args))
            except (OSError, Segfault) as why:
                answers.append(str(why))
            validate(here)
        assert answers[0] == answers[1], (name, args)
        for mine, other in zip(seen(both[0]), seen(both[1])):
            assert mine == other, (name, args)


def same_on_both(script, **how) -> None:
    """*script*, run with a machine, leaves either store valid, and both alike."""
    both = [make(TINY, trace=False, **how) for make in (Machine, dense_machine)]
    for here in both:
        script(here)
        validate(here)
    assert seen(both[0]) == seen(both[1])


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("let_go", ["opts out", "splits"])
def test_a_row_of_shared_tables_is_let_go_and_filled_again(let_go, write):
    """What stays are PMD tables without an entry: a page is below a PTE table, which is to come."""
    pages = 64

    def script(here):
        task, file = here.spawn("a"), here.memfd("f", pages * PAGE)
        task.mmap(S, pages * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(S, pages * PAGE, write)
        if let_go == "opts out":
            task.share_tables = False
        else:
            task.mprotect(S + PAGE, (pages - 2) * PAGE, "r")
            task.mprotect(S + PAGE, (pages - 2) * PAGE, "rw")
        task.touch(S, pages * PAGE, write)
    same_on_both(script, sharing=FileTableCache(("pte",)))


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("first, pages", [(0, 22), (5, 30), (16, 7), (33, 31)])
def test_a_row_that_was_truncated_is_filled_again_in_part(first, pages, write):
    """Its tables stayed; the first and the last of them are filled in part."""
    def script(here):
        task, file = here.spawn("a"), here.memfd("f", 64 * PAGE)
        task.mmap(S, 64 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(S, 64 * PAGE, True)
        file.truncate(0), file.truncate(64 * PAGE)
        task.touch(S + first * PAGE, pages * PAGE, write)
        assert task.rss == pages * PAGE
    same_on_both(script, sharing=Private())


@pytest.mark.parametrize("first, pages", [(0, 30), (16, 16), (2, 44)])
def test_guests_are_told_of_a_row_that_their_host_lets_go(first, pages):
    """No CPU runs a host: its guests' CPUs remember what a row of shared tables led to."""
    def script(here):
        here.mount("msharefs", "/ms", version=2025)
        task, file = here.spawn("a"), here.open("/ms/r")
        file.truncate(SLOT)
        create(file, 0, 48)
        task.mmap(S, SLOT, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(S, 48 * PAGE)
        unmap(file, first, pages)
    same_on_both(script, cpus=2, sharing=FileTableCache(("pte",)))


def test_a_table_that_is_an_object_is_borrowed_as_it_is():
    """Its entries may be a row; the table itself is in none."""
    def script(here):
        here.mount("hugetlbfs", "/huge")
        file = here.open("/huge/f")
        a, b = here.spawn("a"), here.spawn("b")
        for task in (a, b):
            task.mmap(S, 32 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
        a.touch(S, 32 * PAGE)
        a.run_on(1), a.load(S)                          # the MMU walks through its first PMD table
        b.touch(S, 32 * PAGE, True)
    same_on_both(script, huge_pages=8, cpus=2)


def test_each_mapping_of_a_row_is_told_of_its_own_tables():
    """Two VMAs of one process lead to the halves of a row: no table is flushed twice."""
    def script(here):
        task, file = here.spawn("a"), here.memfd("f", 16 * PAGE)
        task.mmap(S, 16 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(S, 16 * PAGE, True)
        task.madvise(S, 8 * PAGE, MADV_DONTDUMP)
        file.truncate(0)
    same_on_both(script, sharing=FileTableCache(("pte",)))


def test_a_guard_region_that_a_merge_brings_leaves_shared_tables_alone():
    """The VMA may share no more from then on; what was linked before, stays right."""
    def script(here):
        task, file = here.spawn("a"), here.memfd("f", 16 * PAGE)
        task.mmap(S, 16 * PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
        task.mprotect(S + 8 * PAGE, 8 * PAGE, "r")
        task.touch(S, 8 * PAGE, True)
        task.madvise(S + 12 * PAGE, PAGE, MADV_GUARD_INSTALL)
        task.mprotect(S + 8 * PAGE, 8 * PAGE, "rw")
        assert len(task.maps()) == 1 and task.mm.vmas[0].flags & VM_MAYBE_GUARD
        validate(here)
        task.fork("b").touch(S, 12 * PAGE, True)
        validate(here)
        task.madvise(S, PAGE, MADV_GUARD_INSTALL)
    same_on_both(script, sharing=FileTableCache())
