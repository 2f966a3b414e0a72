"""Random calls about a region of msharefs: bytes are where a model has them, the machine stays
valid after each call, and nothing is left at the end."""
import random

import pytest
from layout import PAGE
from regions import PATH, SLOT, S, create, signal, unmap

from mmlib import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MADV_DONTNEED,
    MADV_HUGEPAGE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    TINY,
    FileTableCache,
    Killed,
    Machine,
    Private,
    validate,
)

PAGES = [0, 1, 2, 4, 5, 15, 16, 17, 20, 63]     # borders of tables, and their neighbours
MAPERR, ACCERR = "SIGSEGV/SEGV_MAPERR", "SIGSEGV/SEGV_ACCERR"


class Walk:
    """A machine with one region and what it should hold.

    *inside*: page of the region -> (bytes by page of the object, page of the object, protection);
    *guests*: task -> where it maps the region; *orphan*: its owner has exited."""

    def __init__(self, version: int, rng: random.Random, memory: int | None = None):
        self.rng, self.version, self.names, self.orphan = rng, version, 0, False
        self.machine = Machine(TINY, cpus=2, trace=False, memory=memory, sharing=rng.choice(
            [None, Private(), FileTableCache(), FileTableCache(("pte",), keep_unused=False)]))
        self.machine.mount("msharefs", "/ms", version=version), self.machine.mount("ext4", "/disk")
        self.owner = self.machine.spawn("owner")
        self.owner.open(PATH)
        self.file, self.exact = self.machine.open(PATH), memory is None
        self.linked, self.guests, self.inside = True, {}, {}
        self.files = [(self.machine.memfd("db", 64 * PAGE), {}), (self.machine.open("/disk/f"), {})]
        self.files[1][0].truncate(64 * PAGE)
        if version == 2025:
            self.file.truncate(SLOT)
        else:
            anon = {}
            self.inside = {n: (anon, n, "rw") for n in range(64)}
        self.attach(self.owner)

    def attach(self, task, flags=MAP_SHARED):
        at = S if self.version == 2022 else self.rng.choice([S, 2 * SLOT, 3 * SLOT])
        task.mmap(at, SLOT, "rw", flags | MAP_FIXED, self.file)
        self.guests[task] = at

    def guest(self):
        return self.rng.choice(list(self.guests))

    def range(self):
        first = self.rng.choice(PAGES)
        return first, self.rng.randint(1, min(64 - first, 8))

    def agrees(self, got, want):
        """Where memory ends, calls fail half-way: then no more than validity is asked."""
        assert got == want or not self.exact

    # calls -------------------------------------------------------------------------------------
    def load(self):
        task, page = self.guest(), self.rng.choice(PAGES)
        memory, index, prot = self.inside.get(page, ({}, 0, None))
        want = MAPERR if prot is None else memory.get(index, b"\0") if prot else ACCERR
        self.agrees(signal(task.load, self.guests[task] + page * PAGE), want)

    def store(self):
        task, page, value = self.guest(), self.rng.choice(PAGES), bytes([self.rng.randint(1, 255)])
        memory, index, prot = self.inside.get(page, ({}, 0, None))
        want = MAPERR if prot is None else None if "w" in prot else ACCERR
        self.agrees(signal(task.store, self.guests[task] + page * PAGE, value), want)
        if want is None:
            memory[index] = value

    def newcomer(self):
        if self.linked and len(self.machine.tasks) < 6 and not self.orphan:
            self.names += 1
            private = self.version == 2022 and self.rng.random() < .2
            self.attach(self.machine.spawn(f"g{self.names}"), MAP_PRIVATE if private else MAP_SHARED)

    def fork(self):
        if len(self.machine.tasks) < 6:
            task = self.guest()
            self.names += 1
            self.guests[task.fork(f"g{self.names}")] = self.guests[task]

    def munmap(self):
        task = self.guest()
        if len(self.guests) > 1:
            task.munmap(self.guests.pop(task), SLOT)

    def exit(self):
        task = self.guest()
        if len(self.guests) > 1 and self.rng.random() < .3:
            del self.guests[task]
            task.exit()
            self.gone(task)

    def gone(self, task):
        if task is self.owner and self.version == 2025:
            self.inside, self.orphan = {}, True

    def protect(self):
        if self.version == 2022:
            task, (first, n), prot = self.guest(), self.range(), self.rng.choice(["rw", "rw", "r", ""])
            task.mprotect(self.guests[task] + first * PAGE, n * PAGE, prot)
            for page in range(first, first + n):
                self.inside[page] = *self.inside[page][:2], prot

    def create(self):
        if self.version == 2025 and not self.orphan:
            (first, n), prot = self.range(), self.rng.choice(["rw", "rw", "r", ""])
            file, memory = self.rng.choice([(None, {}), *self.files])
            if file and self.rng.random() < .5:         # whole spans, in step with the file
                first, n, prot = self.rng.choice([0, 16, 48]), 16, self.rng.choice(["rw", "r"])
            create(self.file, first, n, prot, file, first * PAGE)
            self.inside |= {p: (memory, p, prot) for p in range(first, first + n)}

    def unmap(self):
        if self.version == 2025 and not self.orphan:
            first, n = self.range()
            unmap(self.file, first, n)
            for page in range(first, first + n):
                self.inside.pop(page, None)

    def unlink(self):
        if self.linked and self.rng.random() < .05 and (self.version == 2025 or len(self.guests) > 1):
            task, self.linked = self.guest(), False
            task.unlink(PATH)
            if self.version == 2022:
                del self.guests[task]

    def file_call(self):
        (file, memory), page = self.rng.choice(self.files), self.rng.choice(PAGES)
        what = self.rng.choice(["read", "write", "punch", "fsync"])
        if what == "read":
            self.agrees(file.pread(1, page * PAGE), memory.get(page, b"\0"))
        elif what == "write":
            memory[page] = bytes([self.rng.randint(1, 255)])
            file.pwrite(memory[page], page * PAGE)
        elif what == "punch":
            file.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * PAGE, PAGE)
            memory.pop(page, None)
        else:
            file.fsync()

    def other(self):
        """What may change no byte."""
        task = self.guest()
        at = self.guests[task] + self.rng.choice(PAGES) * PAGE
        self.rng.choice([
            lambda: task.madvise(at, PAGE, MADV_DONTNEED), lambda: task.run_on(self.rng.randrange(2)),
            lambda: task.madvise(self.guests[task], SLOT, MADV_HUGEPAGE),
            lambda: setattr(task, "share_tables", self.rng.random() < .5),
            lambda: self.machine.reclaim(self.rng.randint(1, 4)), self.machine.shrink,
            lambda: task.mmap(0, 4 * PAGE, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED),
            lambda: task.maps() and signal(task.store, 0, b"own"),
            lambda: task.mmap(PAGE * 16, 16 * PAGE, "rw", MAP_SHARED | MAP_FIXED,
                              self.files[0][0], 16 * PAGE),
            lambda: signal(task.load, 20 * PAGE),
            lambda: self.attach_again(task)])()

    def attach_again(self, task):
        if not self.orphan and (self.linked or self.version == 2025 or len(self.guests) > 1):
            task.munmap(self.guests[task], SLOT)
            self.attach(task, MAP_SHARED | MAP_POPULATE * (self.version == 2025))

    def step(self):
        calls = {self.load: 8, self.store: 8, self.newcomer: 2, self.fork: 2, self.munmap: 1,
                 self.exit: 1, self.protect: 3, self.create: 4, self.unmap: 1, self.unlink: 1,
                 self.file_call: 3, self.other: 4}
        self.rng.choices(list(calls), list(calls.values()))[0]()

    def wind_up(self):
        """End everything: neither a host, nor a table, nor a page is left."""
        for task in list(self.machine.tasks):
            task.exit()
        for file in self.machine.files:
            if not file.closed:
                file.close()
        if PATH[4:] in self.machine.mounts["/ms"].names:
            self.machine.unlink(PATH)
        self.machine.unlink("/disk/f")
        validate(self.machine)
        assert (self.machine.hosts, self.machine.memory.used) == ({}, 0)


@pytest.mark.parametrize("version", [2022, 2025])
@pytest.mark.parametrize("seed", range(15))
def test_bytes_are_where_they_were_put(seed, version):
    """200 random calls of guests that come, fork, store, protect, unmap and go."""
    walk = Walk(version, random.Random(seed))
    for _ in range(200):
        walk.step()
        validate(walk.machine)
    walk.wind_up()


@pytest.mark.parametrize("version", [2022, 2025])
@pytest.mark.parametrize("seed", range(15))
def test_with_little_memory_too(seed, version):
    """Calls fail and tasks are killed; the machine stays valid, and all is freed in the end."""
    rng = random.Random(seed)
    walk = Walk(version, rng, memory=rng.randint(18, 40) * PAGE)
    for _ in range(200):
        for task in [task for task in walk.guests if not task.alive]:
            del walk.guests[task]
            walk.gone(task)
        if not walk.guests:
            break
        try:
            walk.step()
        except (OSError, Killed):
            pass
        validate(walk.machine)
    walk.wind_up()
