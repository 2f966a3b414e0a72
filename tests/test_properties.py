"""Whatever is called, in whatever order: the machine stays valid, and sharing tables is invisible.

`Calls` makes random calls of tasks and files; `Invisible` makes each of them on three machines
that differ in their policy alone and on a model that knows no page table; `Pressure` makes them
on one machine with little memory.
"""
import random
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from model import Model

from mmlib import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MADV_DODUMP,
    MADV_DOFORK,
    MADV_DONTDUMP,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
    MADV_KEEPONFORK,
    MADV_NOSHARE_TABLES,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SHARE_TABLES,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    TINY,
    FileTableCache,
    Killed,
    Machine,
    Private,
    Task,
    validate,
)
from mmlib.geometry import PFN_MASK, PS, P, entry_pfn
from mmlib.memory import ZERO_PFN
from mmlib.mmu import access
from mmlib.signals import Signal

PAGE = 0x1000
LAST = TINY.task_size // PAGE
ANON = MAP_PRIVATE | MAP_ANONYMOUS
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


class Spot(NamedTuple):
    """An address that is near a mapping: so many pages into the n-th VMA, or at its end."""

    vma: int
    page: int
    place: int = 0

    def of(self, task) -> int:
        rows = task.maps()
        if not rows:
            return self.page * PAGE + self.place
        row = rows[self.vma % len(rows)]
        return row.start + self.page % ((row.end - row.start) // PAGE + 1) * PAGE + self.place


# Borders of tables and huge pages, and their neighbours; lengths up to a whole PMD span.
PAGES = [1, 2, 3, 4, 5, 8, 12, 16, 17, 18, 20, 24, 32, 36, 48, 60, 64, 80, 252]
LENGTHS = [1, 1, 2, 3, 4, 4, 5, 8, 16, 16, 20, 32]
INTO = [0, 0, 0, 1, 2, 3, 4, 5, 8, 12, 16]
PROTS = ["rw", "rw", "rw", "r", "", "w", "rx", "rwx"]
KINDS = ["anon", "anon", "shm", "shared", "shared", "shared", "private"]
HOW = [MAP_FIXED] * 6 + [MAP_FIXED_NOREPLACE, 0, MAP_FIXED | MAP_POPULATE]
RESIZE = [0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED]
ADVICE = [MADV_DONTNEED, MADV_DONTNEED, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK,
          MADV_KEEPONFORK, MADV_RANDOM, MADV_WILLNEED, MADV_DONTDUMP, MADV_DODUMP, MADV_FREE,
          MADV_REMOVE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE, MADV_POPULATE_READ,
          MADV_POPULATE_WRITE, MADV_NOSHARE_TABLES, MADV_SHARE_TABLES, MADV_DONTNEED_LOCKED]
MODES = [0, FALLOC_FL_KEEP_SIZE, PUNCH, PUNCH]
PLACES = [0, 1, 4095]
MORE = [MAP_LOCKED, MAP_HUGETLB, MAP_HUGETLB | MAP_POPULATE]

pages, lengths, prots, places = map(st.sampled_from, (PAGES, LENGTHS, PROTS, PLACES))
tasks = files = st.integers(0, 5)
spots = st.builds(Spot, st.integers(0, 7), st.sampled_from(INTO), st.just(0))
bytes_ = st.integers(1, 255)


def outcome(call, *args):
    """What a call comes to, in words that mean the same on every machine."""
    try:
        value = call(*args)
    except OSError as failed:
        return "error", failed.errno
    except Signal as signal:
        return signal.signal, signal.code, signal.addr
    except Killed:
        return ("killed",)
    return "value", value.name if isinstance(value, Task) else value


class Calls(RuleBasedStateMachine):
    """The rules; *run* makes one call of a task, *file* one of a file."""

    def run(self, task: int, name: str, *args):
        raise NotImplementedError

    def file(self, file: int, name: str, *args):
        raise NotImplementedError

    @rule(task=tasks, at=pages, n=lengths, prot=prots, kind=st.sampled_from(KINDS),
          how=st.sampled_from(HOW), file=files, offset=st.integers(0, 8))
    def mmap(self, task, at, n, prot, kind, how, file, offset):
        if kind in ("anon", "shm"):
            flags = how | MAP_ANONYMOUS | (MAP_PRIVATE if kind == "anon" else MAP_SHARED)
            self.run(task, "mmap", at * PAGE, n * PAGE, prot, flags)
        else:
            flags = how | (MAP_SHARED if kind == "shared" else MAP_PRIVATE)
            self.run(task, "mmap", at * PAGE, n * PAGE, prot, flags, FileNumber(file),
                     offset * PAGE)

    @rule(task=tasks, at=pages, prot=st.sampled_from(["rw", "rw", "r"]), file=files)
    def mmap_span(self, task, at, prot, file):
        """What may be shared: whole spans, in step with the file."""
        self.run(task, "mmap", at // 16 * 16 * PAGE, 16 * PAGE, prot, MAP_SHARED | MAP_FIXED,
                 FileNumber(file), 0)

    @rule(task=tasks, at=spots, n=lengths)
    def munmap(self, task, at, n):
        self.run(task, "munmap", at, n * PAGE)

    @rule(task=tasks, at=spots, n=lengths, prot=prots)
    def mprotect(self, task, at, n, prot):
        self.run(task, "mprotect", at, n * PAGE, prot)

    @rule(task=tasks, at=spots, to=pages, n=lengths, m=lengths,
          flags=st.sampled_from(RESIZE))
    def mremap(self, task, at, to, n, m, flags):
        self.run(task, "mremap", at, n * PAGE, m * PAGE, flags, to * PAGE)

    @rule(task=tasks, at=spots, to=pages, n=lengths, keep=st.sampled_from([0, MREMAP_DONTUNMAP]))
    def move(self, task, at, to, n, keep):
        self.run(task, "mremap", at, n * PAGE, n * PAGE,
                 MREMAP_MAYMOVE | MREMAP_FIXED | keep, to * PAGE)

    @rule(task=tasks, at=spots, n=lengths, advice=st.sampled_from(ADVICE))
    def madvise(self, task, at, n, advice):
        self.run(task, "madvise", at, n * PAGE, advice)

    @rule(task=tasks, at=spots, place=places)
    def load(self, task, at, place):
        self.run(task, "load", at._replace(place=place))

    @rule(task=tasks, at=spots, place=places, value=bytes_)
    def store(self, task, at, place, value):
        self.run(task, "store", at._replace(place=place), value)

    @rule(task=tasks, at=spots, n=lengths, write=st.booleans())
    def touch(self, task, at, n, write):
        self.run(task, "touch", at, n * PAGE, write)

    @rule(task=tasks, vma=st.integers(0, 7), write=st.booleans())
    def touch_a_vma(self, task, vma, write):
        self.run(task, "touch", Spot(vma, 0), 16 * PAGE, write)

    @rule(task=tasks)
    def fork(self, task):
        self.run(task, "fork")

    @rule(task=tasks)
    def clone(self, task):
        self.run(task, "clone")

    @rule(task=tasks, name=st.sampled_from(["exit", "exec"]), really=st.integers(0, 3))
    def end(self, task, name, really):
        if not really:
            self.run(task, name)

    @rule(task=tasks, cpu=st.integers(0, 1))
    def run_on(self, task, cpu):
        self.run(task, "run_on", cpu)

    @rule(task=tasks, allowed=st.booleans())
    def share_tables(self, task, allowed):
        self.run(task, "__setattr__", "share_tables", allowed)

    @rule(file=files, n=st.integers(0, 20))
    def truncate(self, file, n):
        self.file(file, "truncate", n * PAGE)

    @rule(file=files, at=st.integers(0, 17), n=st.integers(1, 6),
          mode=st.sampled_from(MODES))
    def fallocate(self, file, at, n, mode):
        self.file(file, "fallocate", mode, at * PAGE, n * PAGE)

    @rule(file=files, at=st.integers(0, 17), place=places, value=bytes_)
    def pwrite(self, file, at, place, value):
        self.file(file, "pwrite", bytes([value]), at * PAGE + place)

    @rule(file=files, at=st.integers(0, 17), place=places)
    def pread(self, file, at, place):
        self.file(file, "pread", 1, at * PAGE + place)

    @rule(file=files)
    def fsync(self, file):
        self.file(file, "fsync")


def equipped(machine: Machine) -> list:
    """The files of a machine: two of tmpfs, one of a disk, one of huge pages."""
    machine.mount("ext4", "/disk")
    machine.mount("hugetlbfs", "/huge")
    found = [machine.memfd("large", 16 * PAGE), machine.open("/dev/shm/small"),
             machine.open("/disk/f"), machine.open("/huge/f")]
    found[1].truncate(5 * PAGE), found[2].truncate(16 * PAGE), found[3].truncate(16 * PAGE)
    return found


def wind_up(machine: Machine) -> None:
    """End everything: what is left is the page cache of named files, and without names nothing."""
    for task in list(machine.tasks):
        task.exit()
    for file in machine.files:
        if not file.closed:
            file.close()
    machine.shrink()
    validate(machine)
    assert machine.tables.by_pfn == {}
    named = [inode.mapping for fs in machine.mounts.values() for inode in fs.files()]
    assert all(folio.mapping in named for folio in machine.memory.folios.values())
    for path in ("/dev/shm/small", "/disk/f", "/huge/f"):
        machine.unlink(path)
    validate(machine)
    pool = machine.huge_pages
    assert machine.memory.folios == {} and pool.reserved == 0
    assert machine.memory.used == pool.total * pool.frames



class FileNumber(int):
    """Stands for a file in the arguments of mmap."""


def resolved(args: tuple, task, count: int) -> tuple:
    """*args* with addresses for Spots, and the number of one of *count* files."""
    return tuple(a.of(task) if isinstance(a, Spot) else
                 FileNumber(a % count) if type(a) is FileNumber else a for a in args)


class World:
    """A machine, its files, and the calls by number of task and file."""

    def __init__(self, machine: Machine):
        self.machine, self.files = machine, equipped(machine)

    def run(self, task: int, name: str, args: tuple) -> tuple:
        args = (self.files[a] if type(a) is FileNumber else a for a in args)
        return outcome(getattr(self.machine.tasks[task], name), *args)

    def file(self, number: int, name: str, args: tuple) -> tuple:
        return outcome(getattr(self.files[number], name), *args)


# sharing is invisible, and bytes are where they were put -----------------------------------------
class Invisible(Calls):
    """Machines that differ in their policy alone and the model agree on every call."""

    @initialize(cache=st.builds(FileTableCache, st.sampled_from([("pte",), ("pmd",), (
        "pte", "pmd")]), keep_unused=st.booleans(), min_file_size=st.sampled_from([0, 8 * PAGE])))
    def set_up(self, cache):
        self.worlds = [World(Machine(TINY, sharing=policy, cpus=2, trace=False))
                       for policy in (Private(), None, cache)]
        for world in self.worlds:
            world.machine.spawn("a")
        self.model = Model([file.size for file in world.files[:3]])
        self.run(0, "mmap", 4 * PAGE, 4 * PAGE, "rw", ANON | MAP_FIXED)
        self.mmap_span(0, 16, "rw", 0)

    def run(self, task, name, *args):
        tasks = self.worlds[0].machine.tasks
        task %= len(tasks) or 1
        if not tasks or name in ("fork", "clone") and len(tasks) == 4:
            return
        args = resolved(args, tasks[task], 3)
        who, got = tasks[task].name, self.agreed([w.run(task, name, args) for w in self.worlds])
        want = self.model.run(who, name, args, got)
        assert want == got, (who, name, args, want, got)

    def file(self, file, name, *args):
        got = self.agreed([world.file(file % 3, name, args) for world in self.worlds])
        assert self.model.file(file % 3, name, args, got) == got

    def agreed(self, outcomes):
        assert outcomes[0] == outcomes[1] == outcomes[2]
        maps = [[str(task.maps()) for task in world.machine.tasks] for world in self.worlds]
        assert maps[0] == maps[1] == maps[2]
        return outcomes[0]

    @rule()
    def shrink(self):
        for world in self.worlds:
            world.machine.shrink()

    @rule(n=st.integers(1, 4))
    def reclaim(self, n):
        for world in self.worlds:
            world.machine.reclaim(n)

    @invariant()
    def valid(self):
        """And what the tables lead to, without a fault, holds the model's bytes."""
        for world in getattr(self, "worlds", ()):
            validate(world.machine)
            for task in world.machine.tasks:
                for n, page in self.model.spaces[task.name].items():
                    entry = world.machine.tables.lookup(task.mm.pgd, n * PAGE)[2]
                    if entry & P:
                        folio = world.machine.memory.folio(entry_pfn(entry))
                        got = [world.machine.memory.read(folio, at, 1)[0] for at in (0, 1, 4095)]
                        assert got == [page.get(at) for at in (0, 1, 4095)], (task, hex(n * PAGE))

    def teardown(self):
        for world in getattr(self, "worlds", ()):
            wind_up(world.machine)


# little memory -----------------------------------------------------------------------------------
class Pressure(Calls):
    """Huge pages, locks and anything else, on one machine that may run out of memory."""

    @initialize(sharing=st.sampled_from([Private(), None, FileTableCache(), FileTableCache(
                    ("pte",), keep_unused=False), FileTableCache(min_file_size=8 * PAGE)]),
                frames=st.one_of(st.none(), st.integers(24, 60), st.integers(24, 34)),
                around=st.sampled_from([1, 4]))
    def set_up(self, sharing, frames, around):
        self.world = World(Machine(TINY, sharing=sharing, memory=frames and frames * PAGE,
                                   huge_pages=5, cpus=2, trace=False, fault_around=around))
        self.run(0, "mmap", 4 * PAGE, 4 * PAGE, "rw", ANON | MAP_FIXED)
        self.mmap_span(0, 16, "rw", 0)

    @property
    def machine(self):
        return self.world.machine

    def run(self, task, name, *args):
        tasks = self.machine.tasks
        if not tasks:
            if outcome(self.machine.spawn)[0] == "error":
                return
        if name in ("fork", "clone") and len(tasks) == 4:
            return
        task %= len(tasks)
        self.world.run(task, name, resolved(args, tasks[task], 4))

    def file(self, file, name, *args):
        self.world.file(file % 4, name, args)

    @rule(task=tasks, at=spots, n=lengths, name=st.sampled_from(["mlock", "munlock", "mincore"]))
    def lock(self, task, at, n, name):
        self.run(task, name, at, n * PAGE)

    @rule(task=tasks, at=pages, n=lengths,
          more=st.sampled_from(MORE),
          kind=st.sampled_from([MAP_PRIVATE, MAP_SHARED]))
    def mmap_more(self, task, at, n, more, kind):
        at = at // 4 * 4 if more & MAP_HUGETLB else at
        self.run(task, "mmap", at * PAGE, n * PAGE, "rw", kind | more | MAP_ANONYMOUS | MAP_FIXED)

    @rule(task=tasks, at=pages, kind=st.sampled_from([MAP_PRIVATE, MAP_SHARED]))
    def mmap_huge(self, task, at, kind):
        self.run(task, "mmap", at // 16 * 16 * PAGE, 16 * PAGE, "rw",
                 kind | MAP_FIXED | MAP_NORESERVE, FileNumber(3), 0)

    @rule(n=st.integers(1, 4))
    def reclaim(self, n):
        self.machine.reclaim(n)

    @rule()
    def drop_caches(self):
        self.machine.drop_caches()

    @rule()
    def shrink(self):
        self.machine.shrink()

    @invariant()
    def valid(self):
        if hasattr(self, "world"):
            validate(self.machine)

    def teardown(self):
        if hasattr(self, "world"):
            wind_up(self.machine)


EXAMPLES = settings().max_examples
Invisible.TestCase.settings = settings(max_examples=EXAMPLES // 2)
Pressure.TestCase.settings = settings(max_examples=EXAMPLES // 2)
TestInvisible, TestPressure = Invisible.TestCase, Pressure.TestCase


# long walks: what only a machine with a history can get wrong ------------------------------------
def wander(calls: Calls, rng: random.Random, steps: int) -> None:
    """Random rules of *calls*, likely ones more often, each followed by its invariants."""
    one, upto = rng.choice, rng.randrange

    def spot():
        return Spot(upto(8), one(INTO))

    rules = {
        calls.mmap: (6, lambda: (upto(6), one(PAGES), one(LENGTHS), one(PROTS), one(KINDS),
                                 one(HOW), upto(6), upto(9))),
        calls.mmap_span: (5, lambda: (upto(6), one(PAGES), one(["rw", "rw", "r"]), upto(6))),
        calls.munmap: (2, lambda: (upto(6), spot(), one(LENGTHS))),
        calls.mprotect: (3, lambda: (upto(6), spot(), one(LENGTHS), one(PROTS))),
        calls.mremap: (3, lambda: (upto(6), spot(), one(PAGES), one(LENGTHS), one(LENGTHS),
                                   one(RESIZE))),
        calls.move: (3, lambda: (upto(6), spot(), one(PAGES), one(LENGTHS),
                                 one([0, MREMAP_DONTUNMAP]))),
        calls.madvise: (6, lambda: (upto(6), spot(), one(LENGTHS), one(ADVICE))),
        calls.load: (6, lambda: (upto(6), spot(), one(PLACES))),
        calls.store: (8, lambda: (upto(6), spot(), one(PLACES), upto(1, 256))),
        calls.touch: (2, lambda: (upto(6), spot(), one(LENGTHS), one([True, False]))),
        calls.touch_a_vma: (5, lambda: (upto(6), upto(8), one([True, False]))),
        calls.fork: (3, lambda: (upto(6),)),
        calls.clone: (1, lambda: (upto(6),)),
        calls.end: (2, lambda: (upto(6), one(["exit", "exit", "exec"]), upto(2))),
        calls.run_on: (1, lambda: (upto(6), upto(2))),
        calls.share_tables: (1, lambda: (upto(6), one([True, True, False]))),
        calls.truncate: (1.5, lambda: (upto(6), upto(21))),
        calls.fallocate: (1.5, lambda: (upto(6), upto(18), upto(1, 7), one(MODES))),
        calls.pwrite: (3, lambda: (upto(6), upto(18), one(PLACES), upto(1, 256))),
        calls.pread: (2, lambda: (upto(6), upto(18), one(PLACES))),
        calls.fsync: (1, lambda: (upto(6),)),
        calls.shrink: (0.5, tuple),
        calls.reclaim: (0.5, lambda: (upto(1, 5),)),
    }
    if isinstance(calls, Pressure):
        kinds = [MAP_PRIVATE, MAP_SHARED]
        rules |= {
            calls.lock: (2, lambda: (upto(6), spot(), one(LENGTHS),
                                     one(["mlock", "munlock", "mincore"]))),
            calls.mmap_more: (3, lambda: (upto(6), one(PAGES), one(LENGTHS), one(MORE),
                                          one(kinds))),
            calls.mmap_huge: (3, lambda: (upto(6), one(PAGES), one(kinds))),
            calls.drop_caches: (0.5, tuple)}
    weights = [weight for weight, _ in rules.values()]
    for _ in range(steps):
        call = rng.choices(list(rules), weights)[0]
        call(*rules[call][1]())
        calls.valid()


def policy(rng: random.Random) -> FileTableCache:
    return FileTableCache(rng.choice([("pte",), ("pmd",), ("pte", "pmd")]),
                          keep_unused=rng.choice([True, True, False]),
                          min_file_size=rng.choice([0, 0, 8 * PAGE]))


@pytest.mark.parametrize("seed", range(20))
def test_long_walks_on_three_machines(seed):
    """200 calls: three policies and the model agree on every one, and all is freed at the end."""
    rng = random.Random(seed)
    calls = Invisible()
    calls.set_up(policy(rng))
    wander(calls, rng, 200)
    calls.teardown()


@pytest.mark.parametrize("seed", range(60))
def test_long_walks_with_little_memory(seed):
    """200 calls succeed, fail or kill; the machine is valid after each, and all is freed."""
    rng = random.Random(seed)
    calls = Pressure()
    calls.set_up(rng.choice([Private(), None, policy(rng)]),
                 rng.choice([None, rng.randint(24, 60), rng.randint(24, 34)]), rng.choice([1, 4]))
    wander(calls, rng, 200)
    calls.teardown()


# bulk calls are many single ones -----------------------------------------------------------------
def after_a_walk(seed: int) -> World:
    """The world of a Pressure machine, without a limit, in the middle of its life."""
    rng = random.Random(seed)
    calls = Pressure()
    calls.set_up(rng.choice([Private(), None, policy(rng)]), None, rng.choice([1, 4]))
    wander(calls, rng, 120)
    return calls.world


def renamed(machine: Machine) -> tuple:
    """All that a task can see but for the numbers of frames, which go by first appearance."""
    names, seen = {ZERO_PFN: "zero"}, []
    for task in machine.tasks:
        seen.append((task.name, str(task.maps()), task.tables, task.rss, task.pss,
                     task.minor_faults, task.major_faults, task.page_faults))
        for addr, _, _, entry in machine.tables.leaves(task.mm.pgd, 0, TINY.task_size):
            frame = names.setdefault(entry_pfn(entry), len(names))
            seen.append((addr, frame, entry & ~PFN_MASK))
    return seen, dict(machine.counters)


@pytest.mark.parametrize("seed", range(15))
def test_touch_equals_single_accesses(seed):
    """The same tables, faults and counters, up to the names of frames; also where it fails."""
    one, many = after_a_walk(seed).machine, after_a_walk(seed).machine
    for number, task in enumerate(one.tasks):
        for write in (False, True):
            for row in task.maps():
                bulk = outcome(many.tasks[number].touch, row.start, row.end - row.start, write)
                single = "value", None
                for addr in range(row.start, row.end, PAGE):
                    single = outcome(access, one, task, addr, write)
                    if single[0] != "value":
                        break
                assert bulk[0] == single[0] and bulk[2:] == single[2:]
                assert renamed(one) == renamed(many)
    validate(one), validate(many)


@pytest.mark.parametrize("seed", range(15))
def test_translate_equals_single_lookups(seed):
    """An array of addresses, in any order and shape: each as if asked alone, and no fault."""
    numpy = pytest.importorskip("numpy")
    machine, rng = after_a_walk(seed).machine, random.Random(seed)
    faults = machine.counters["faults"]
    for task in machine.tasks:
        addrs = [rng.randrange(TINY.task_size + PAGE) for _ in range(60)]
        addrs += [row.start + rng.randrange(4 * PAGE) for row in task.maps() for _ in range(9)] * 2
        rng.shuffle(addrs)
        want = [looked_up(machine, task, addr) for addr in addrs]
        got = task.translate(numpy.array(addrs[:60]).reshape(3, 20))
        assert got.shape == (3, 20) and got.dtype == numpy.int64
        assert got.ravel().tolist() == want[:60]
        assert task.translate(addrs).tolist() == want
    assert machine.counters["faults"] == faults
    validate(machine)


def looked_up(machine: Machine, task: Task, addr: int) -> int:
    """By the steps of the manual: a table a level, a huge page at level 2."""
    if addr >= TINY.task_size:
        return -1
    table = task.mm.pgd
    while True:
        entry = machine.tables.get(table, TINY.index(addr, table.level))
        if not entry & P:
            return -1
        if table.level == 1 or entry & PS:
            return entry_pfn(entry) * PAGE + addr % TINY.entry_span(table.level)
        table = machine.tables.by_pfn[entry_pfn(entry)]
