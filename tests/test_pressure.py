"""Little memory: what is given back first, who is killed, and what a call leaves that fails."""
import errno

import pytest
from layout import ANON, PAGE, machine, refused

from mmlib import (
    MADV_GUARD_INSTALL,
    MADV_POPULATE_WRITE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    TINY,
    FileTableCache,
    Killed,
    Machine,
    Private,
    Segfault,
    validate,
)
from mmlib.signals import Signal

AT, PMD = 0x40000, TINY.span(2)
SHARED = MAP_SHARED | MAP_FIXED


def hungry(here, name="a", pages=8, start=0x4000):
    """A task with untouched private memory."""
    task = here.spawn(name)
    task.mmap(start, pages * PAGE, "rw", ANON | MAP_FIXED)
    return task


def filled_up(here, but: int = 0):
    """A memfd that takes all memory that is left, *but* so many frames."""
    file = here.memfd("full")
    while here.memory.used < here.memory.frames - but:
        file.pwrite(b"x", file.size + -file.size % PAGE)
    return file


def kinds(here) -> list[str]:
    return [event.kind for event in here.trace[-1].events]


# what is counted ---------------------------------------------------------------------------------
def test_memory_is_roots_tables_pages_and_the_pool():
    """All of it; parts of a page are no page."""
    here = machine(memory=20 * PAGE + 4095, huge_pages=2)
    assert (here.memory.frames, here.memory.used) == (20, 8)
    task = hungry(here)
    task.store(0x4000, 1), here.memfd("f").pwrite(b"x", 0), task.load(0x5000)
    assert here.memory.used == 8 + 1 + 3 + 1 + 1


# the OOM killer ----------------------------------------------------------------------------------
def test_a_fault_that_cannot_be_served_kills_the_largest():
    """out_of_memory: rss and tables; the caller goes on if it was not the one."""
    here = machine(memory=16 * PAGE)
    a, b = hungry(here, "a"), hungry(here, "b")
    a.touch(0x4000, 6 * PAGE, write=True)
    b.touch(0x4000, 3 * PAGE, write=True)
    assert here.tasks == [b] and b.rss == 3 * PAGE
    with pytest.raises(Killed, match="^a was killed: all 16 frames are in use$"):
        a.load(0x4000)


def test_of_equals_the_youngest_is_killed():
    """The one that was made last."""
    here = machine(memory=14 * PAGE)
    tasks = [hungry(here, name) for name in "abc"]
    for task in tasks:
        task.load(0x4000)
    filled_up(here)
    tasks[0].store(0x4000, 1)
    assert here.tasks == tasks[:2]


def test_tables_count_for_the_killer():
    """oom_badness: rss and page tables; shared zero pages have tables alone."""
    here = machine(memory=16 * PAGE)
    a, b = here.spawn("a"), hungry(here, "b", 3)
    a.mmap(0, TINY.task_size, "r", ANON | MAP_FIXED)
    for n in range(3):
        a.load(n * (1 << 18))                       # nine tables, no page
    b.store(0x4000, 1), b.store(0x5000, 1)
    assert here.memory.used == 16 and b.rss + b.page_table_bytes < a.page_table_bytes
    b.store(0x6000, 1)
    assert here.tasks == [b]


def test_the_victims_threads_go_with_it():
    """Who shares the mm."""
    here = machine(memory=12 * PAGE)
    a, b = hungry(here, "a"), hungry(here, "b", 1)
    thread = a.clone("t")
    a.touch(0x4000, 3 * PAGE, write=True)
    filled_up(here)
    b.store(0x4000, 1)
    assert here.tasks == [b] and b.load(0x4000) == b"\1"
    for gone in (a, thread):
        with pytest.raises(Killed):
            gone.maps()


def test_the_killer_goes_on_until_the_access_can_be_served():
    """A victim that has little does not help; the caller may be the last."""
    here = machine(memory=6 * PAGE)
    tasks = [here.spawn(name) for name in "ab"]
    caller = hungry(here, "c")
    filled_up(here)
    with pytest.raises(Killed) as caught:
        caller.store(0x4000, 1)
    assert caught.value.task is caller and caller not in here.tasks
    assert kinds(here).count("oom") >= 1 and set(here.tasks) <= set(tasks)


def test_victims_files_are_closed():
    """exit_files, as for everybody who ends."""
    here = machine(memory=8 * PAGE)
    task = hungry(here)
    file = task.memfd("f", PAGE)
    with pytest.raises(Killed):
        task.touch(0x4000, 8 * PAGE, write=True)
    assert refused(file.fsync) == "EBADF" and here.memory.used == 0


def test_the_step_tells_who_was_killed_and_why():
    """An oom event; the caller's access has its result."""
    here = machine(memory=12 * PAGE)
    a, b = hungry(here, "a"), hungry(here, "b")
    a.touch(0x4000, 4 * PAGE, write=True), b.load(0x4000)
    b.store(0x5000, 1)
    (event,) = [e for e in here.trace[-1].events if e.kind == "oom"]
    assert (event.victim, event.reason) == ("a", "all 12 frames are in use")
    assert here.trace[-1].error is None


def test_killed_is_no_mistake_of_the_program():
    """Neither an OSError nor a signal: `except OSError` does not swallow it."""
    assert not issubclass(Killed, (OSError, Segfault))


# what is given back first ------------------------------------------------------------------------
def test_unused_cached_tables_go_before_anything_else():
    """shrink: nobody is killed for them."""
    here = machine(memory=28 * PAGE, sharing=FileTableCache())
    file = here.memfd("f", PMD)
    a = here.spawn("a")
    a.mmap(AT, PMD, "rw", SHARED, file)
    a.touch(AT, PMD, write=True)
    a.munmap(AT, PMD)
    assert here.table_count == 5 and here.memory.used == 1 + 16 + 5
    b = hungry(here, "b")
    b.touch(0x4000, 4 * PAGE, write=True)
    assert here.tasks == [a, b] and here.table_count == 3


def test_a_table_goes_before_a_clean_page():
    """Both could be had: the page stays in the cache."""
    here = machine(memory=32 * PAGE, sharing=FileTableCache())
    here.mount("ext4", "/disk")
    disk, file = here.open("/disk/f"), here.memfd("f", PMD)
    disk.pwrite(bytes(4 * PAGE), 0), disk.fsync()
    a = here.spawn("a")
    a.mmap(AT, PMD, "rw", SHARED, file)
    a.touch(AT, PMD, write=True), a.munmap(AT, PMD)
    filled_up(here)
    here.spawn("b")
    assert here.table_count == 0 and len(disk.inode.mapping.pages) == 4


def test_clean_pages_of_disks_go_next():
    """reclaim: as many as are needed."""
    here = machine(memory=12 * PAGE)
    here.mount("ext4", "/disk")
    file = here.open("/disk/f")
    file.pwrite(bytes(8 * PAGE), 0), file.fsync()
    task = hungry(here)
    task.touch(0x4000, 4 * PAGE, write=True)
    assert here.tasks == [task] and len(file.inode.mapping.pages) == 4


@pytest.mark.parametrize("call", [
    lambda task, disk: task.fork(), lambda task, disk: task.machine.spawn("x"),
    lambda task, disk: task.exec(), lambda task, disk: task.memfd("g").pwrite(b"x", 0),
    lambda task, disk: task.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED | MAP_POPULATE)])
def test_system_calls_use_what_can_be_given_back(call):
    """No ENOMEM while there is a clean page."""
    here = machine(memory=16 * PAGE)
    here.mount("ext4", "/disk")
    disk = here.open("/disk/f")
    task = hungry(here)
    disk.pwrite(bytes(8 * PAGE), 0), disk.fsync()
    filled_up(here)
    call(task, disk)
    assert len(disk.inode.mapping.pages) < 8


# system calls ------------------------------------------------------------------------------------
def moved(task):
    task.mremap(0x4000, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x80000)


@pytest.mark.parametrize("call", [
    lambda t: t.fork(), lambda t: t.machine.spawn("x"), lambda t: t.exec(), moved,
    lambda t: t.mlock(0x8000, PAGE), lambda t: t.madvise(0x8000, PAGE, MADV_POPULATE_WRITE),
    lambda t: t.madvise(0x8000, PAGE, MADV_GUARD_INSTALL), lambda t: t.memfd("g").pwrite(b"x", 0),
    lambda t: t.memfd("g").fallocate(0, 0, PAGE)])
def test_a_system_call_answers_enomem_and_kills_nobody(call):
    """The contract; what it had begun is undone or stays as in the kernel."""
    here = machine(memory=12 * PAGE)
    task = hungry(here)
    task.touch(0x4000, 2 * PAGE, write=True)
    task.store(0x4000, b"abc")
    filled_up(here)
    assert refused(call, task) == "ENOMEM"
    assert here.tasks == [task] and task.load(0x4000, 3) == b"abc"


@pytest.mark.parametrize("flags", [MAP_POPULATE, MAP_LOCKED])
def test_mmap_that_populates_stops_quietly(flags):
    """mm_populate: the mapping is there, with the pages that could be had."""
    here = machine(memory=8 * PAGE)
    task = here.spawn("a")
    start = task.mmap(0x4000, 8 * PAGE, "rw", ANON | MAP_FIXED | flags)
    assert start == 0x4000 and task.rss == 4 * PAGE and task.maps()[0].end == 0xc000


def test_a_move_that_fails_goes_back():
    """move_page_tables: every entry at its old place, with its page."""
    for room in range(4):
        here = machine(memory=(1 + 5 + 8 + room) * PAGE)
        task = hungry(here, pages=8, start=0x6000)
        for n in range(8):
            task.store(0x6000 + n * PAGE, n)
        full = here.memory.frames - here.memory.used
        before = here.snapshot()
        try:
            task.mremap(0x6000, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x4b000)
        except OSError as failed:
            assert failed.errno == errno.ENOMEM and full < 5
            assert here.snapshot().mms == before.mms
            assert [task.load(0x6000 + n * PAGE)[0] for n in range(8)] == list(range(8))
        else:
            assert [task.load(0x4b000 + n * PAGE)[0] for n in range(8)] == list(range(8))


def test_pwrite_writes_what_it_can():
    """generic_perform_write: fewer bytes, then ENOMEM; the file is as long as was written."""
    here = machine(memory=4 * PAGE)
    file = here.memfd("f")
    assert file.pwrite(b"x" * (8 * PAGE), 100) == 4 * PAGE - 100 and file.size == 4 * PAGE
    assert refused(file.pwrite, b"x", 4 * PAGE) == "ENOMEM" and file.size == 4 * PAGE


def test_fallocate_takes_back_what_it_had_made():
    """shmem_fallocate: pages of a call that failed are undone, those from before stay."""
    here = machine(memory=4 * PAGE)
    file = here.memfd("f")
    file.pwrite(b"x", PAGE)
    assert refused(file.fallocate, 0, 0, 8 * PAGE) == "ENOMEM"
    assert sorted(file.inode.mapping.pages) == [1] and file.size == PAGE + 1


def test_a_store_without_memory_keeps_the_pages_before():
    """Page by page; the task that was killed had them."""
    here = machine(memory=12 * PAGE)
    a, b = hungry(here, "a", 4), hungry(here, "b", 1)
    b.store(0x4000, 1)
    filled_up(here, but=5)
    a.store(0x4ffe, b"abcd")
    assert a.load(0x4ffe, 4) == b"abcd"
    assert here.memory.used == 12
    with pytest.raises(Killed):
        a.store(0x6fff, b"ef")


# out of memory at every point --------------------------------------------------------------------
def life(here):
    """A script with a bit of everything, as functions without arguments; tasks by their number
    among all that were ever made."""
    made, files = [], []

    def keep(call, into):
        def run():
            into.append(None)
            into[-1] = call()
        return run

    def of(n, name, *args):
        def run():
            if n < len(made) and made[n] is not None:
                getattr(made[n], name)(*args)
        return run

    def mapped(n, start, length, flags, file):
        def run():
            if made[n] and files[file]:
                made[n].mmap(start, length, "rw", flags | MAP_FIXED, files[file], 0)
        return run

    def child(n, name):
        return keep(lambda: getattr(made[n], name)() if made[n] else None, made)

    yield lambda: here.mount("ext4", "/disk")
    yield keep(lambda: here.memfd("f", PMD), files)
    yield keep(lambda: here.open("/disk/g"), files)
    yield keep(lambda: here.spawn("a"), made)
    yield keep(lambda: here.spawn("b"), made)
    yield lambda: files[1].pwrite(bytes(range(1, 9)) * 0x1000, 0)
    yield lambda: files[1].fsync()
    for n in (0, 1):
        yield mapped(n, AT, PMD, MAP_SHARED, 0)
        yield of(n, "touch", AT, PMD, True)
        yield mapped(n, AT + PMD, 8 * PAGE, MAP_SHARED, 1)
        yield of(n, "touch", AT + PMD, 8 * PAGE)
        yield of(n, "mmap", 0x4000, 6 * PAGE, "rw", ANON | MAP_FIXED)
        yield of(n, "store", 0x4ffe, b"abcd")
        yield of(n, "touch", 0x4000, 6 * PAGE)
    yield child(0, "fork")
    yield child(1, "clone")
    yield of(2, "store", 0x5000, b"x")
    yield of(0, "mremap", 0x4000, 6 * PAGE, 6 * PAGE, 3, 0x82000)
    yield of(1, "madvise", 0x4000, 2 * PAGE, MADV_GUARD_INSTALL)
    yield of(1, "mprotect", AT, PAGE, "r")
    yield of(1, "touch", AT, PMD)
    yield of(0, "mmap", None, 4 * PAGE, "rw", ANON | MAP_POPULATE)
    yield of(0, "mmap", None, TINY.huge_size, "rw", ANON | MAP_HUGETLB | MAP_POPULATE)
    yield of(0, "mlock", AT, 4 * PAGE)
    yield of(2, "mmap", 0x90000, 4 * PAGE, "rw", SHARED | MAP_ANONYMOUS)
    yield of(2, "touch", 0x90000, 4 * PAGE, True)
    yield lambda: files[0].fallocate(0, 0, PMD)
    yield lambda: files[1].pread(8 * PAGE, 0)
    yield of(3, "touch", AT + PMD, 8 * PAGE, True)
    yield of(3, "exec")
    yield child(2, "fork")
    yield of(4, "touch", 0x82000, 6 * PAGE, True)
    yield lambda: files[0].truncate(PAGE)
    yield of(0, "exit")


def lived(here) -> list[str]:
    """What each call of `life` came to; the machine is valid after each, and empty at the end."""
    came = []
    for call in life(here):
        try:
            call()
            came.append("ok")
        except OSError as failed:
            came.append(errno.errorcode[failed.errno])
        except (Killed, Signal) as ended:
            came.append(type(ended).__name__)
        validate(here)
        assert here.memory.used <= here.memory.frames
    for task in list(here.tasks):
        task.exit()
    for file in here.files:
        if not file.closed:
            file.close()
    here.shrink(), here.drop_caches()
    validate(here)
    assert here.tables.by_pfn == {}
    return came


@pytest.mark.parametrize("sharing, around", [
    (Private(), 1), (None, 4), (FileTableCache(), 4),
    (FileTableCache(("pte",), keep_unused=False), 1)], ids=repr)
def test_memory_may_end_at_any_point(sharing, around):
    """From one page upwards: each call succeeds, answers ENOMEM, or somebody is killed."""
    enough = lived(Machine(TINY, sharing=sharing, memory=200 * PAGE, fault_around=around))
    assert set(enough) <= {"ok", "ENOMEM", "Segfault"}      # ENOMEM: there is no huge page
    seen = set()
    for frames in (*range(1, 70), 80, 90, 100, 120):
        came = lived(Machine(TINY, sharing=sharing, memory=frames * PAGE, fault_around=around,
                             trace=frames % 8 == 0))
        seen |= set(came)
        assert set(came) <= {"ok", "ENOMEM", "Killed", "ESRCH", "EFAULT", "EINVAL", "Segfault",
                             "EBADF", "BusError"}, came
    assert {"ok", "ENOMEM", "Killed"} <= seen
    assert came == enough


def test_a_private_copy_of_a_file_page_needs_two_pages():
    """do_cow_fault: the new page is given back if the files cannot be had."""
    for frames in range(5, 8):
        here = machine(memory=frames * PAGE)
        task = here.spawn("a")
        task.mmap(0x4000, PAGE, "rw", MAP_PRIVATE | MAP_FIXED, here.memfd("f", PAGE))
        if frames < 6:
            with pytest.raises(Killed):
                task.store(0x4000, 1)
        else:
            task.store(0x4000, 1)
