"""Tasks: names, life and death, threads, files, and what callers get wrong."""
import re

import pytest
from layout import ANON, PAGE, machine, refused

from mmlib import (
    MADV_DONTNEED,
    MADV_NORMAL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    BusError,
    Killed,
    Machine,
    Segfault,
)


@pytest.fixture
def here():
    return machine(cpus=2)


@pytest.fixture
def task(here):
    task = here.spawn("a")
    task.mmap(0x4000, 2 * PAGE, "rw", ANON | MAP_FIXED)
    return task


# names -------------------------------------------------------------------------------------------
def test_a_name_that_is_not_given_is_the_next_free_number(here):
    """After the parent's name; a spawned task has task.N."""
    a = here.spawn("a")
    assert [a.fork().name, a.clone().name, a.fork("x").fork().name] == ["a.1", "a.2", "x.1"]
    assert [here.spawn().name, here.spawn().name] == ["task.1", "task.2"]
    here.tasks[1].exit()
    assert a.fork().name == "a.1"


def test_a_name_that_is_taken_is_skipped(here):
    """By whomever."""
    a = here.spawn("a")
    here.spawn("a.1")
    assert a.fork().name == "a.2"


@pytest.mark.parametrize("call", ["spawn", "fork", "clone"])
@pytest.mark.parametrize("name", ["", 5, b"a", 1.5, True, ["a"], "a"])
def test_a_name_is_a_new_str_that_is_not_empty(here, task, call, name):
    """ValueError names the value; nothing was made and nobody counts more users."""
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        getattr(here if call == "spawn" else task, call)(name)
    assert here.tasks == [task] and task.mm.users == 1


def test_the_name_of_the_dead_is_free(here, task):
    """Unique among the living."""
    task.exit()
    assert here.spawn("a").name == "a"


def test_two_mms_never_have_one_name(here, task):
    """A thread keeps its mm's name alive when the task that gave it is gone."""
    thread = task.clone("t")
    task.exit()
    again = here.spawn("a")
    again.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
    assert thread.mm.name == "a" and again.mm.name == "a'"
    assert len({mm.name for mm in here.snapshot().mms}) == 2


# the end -----------------------------------------------------------------------------------------
CALLS = {
    "open": ("/dev/shm/f",), "memfd": ("f",), "unlink": ("/dev/shm/f",), "mkdir": ("/dev/shm/d",),
    "rename": ("/dev/shm/f", "/dev/shm/g"), "link": ("/dev/shm/f", "/dev/shm/g"),
    "mmap": (0x4000, PAGE, "rw", ANON), "munmap": (0x4000, PAGE), "mprotect": (0x4000, PAGE, "r"),
    "mremap": (0x4000, PAGE, PAGE), "madvise": (0x4000, PAGE, MADV_NORMAL),
    "msync": (0x4000, PAGE, MS_SYNC), "mincore": (0x4000, PAGE), "mlock": (0x4000, PAGE),
    "munlock": (0x4000, PAGE), "load": (0x4000,), "store": (0x4000, 1), "touch": (0x4000, PAGE),
    "translate": ([0x4000],), "fork": (), "clone": (), "run_on": (0,), "exec": (), "exit": (),
    "maps": (), "pagemap": (0x4000, PAGE)}
FIGURES = ("tables", "page_table_bytes", "reachable_tables", "rss", "pss", "locked")


@pytest.mark.parametrize("name", CALLS)
def test_a_task_that_has_exited_answers_esrch(task, name):
    """Every call, also those that only ask."""
    task.exit()
    assert refused(getattr(task, name), *CALLS[name]) == "ESRCH"


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_of_a_task_that_has_exited_are_gone(task, name):
    """As /proc/PID is."""
    task.exit()
    assert refused(getattr, task, name) == "ESRCH"


@pytest.mark.parametrize("name", CALLS)
def test_a_task_that_was_killed_raises_killed_for_ever(name):
    """The exception has the task and the reason."""
    here = machine(memory=6 * PAGE)
    task = here.spawn("a")
    task.mmap(0x4000, 4 * PAGE, "rw", ANON | MAP_FIXED)
    with pytest.raises(Killed):
        task.touch(0x4000, 4 * PAGE, write=True)
    for _ in range(2):
        with pytest.raises(Killed, match="^a was killed: all 6 frames are in use$") as caught:
            getattr(task, name)(*CALLS[name])
        assert (caught.value.task, caught.value.reason) == (task, "all 6 frames are in use")


def test_exit_gives_back_all_that_was_the_tasks(here, task):
    """exit_mmap: pages, tables, the root."""
    task.store(0x4000, 1)
    task.exit()
    assert here.tasks == [] and here.memory.used == 0 and here.table_count == 0


def test_exit_of_one_thread_keeps_the_mm(here, task):
    """mmput: the last user frees it."""
    thread = task.clone()
    task.store(0x4000, 7)
    task.exit()
    assert thread.load(0x4000) == b"\7" and here.tasks == [thread]
    thread.exit()
    assert here.memory.used == 0


# threads -----------------------------------------------------------------------------------------
def test_threads_share_mappings_and_bytes_but_not_their_figures(task):
    """CLONE_VM: one mm; each counts its own faults."""
    thread = task.clone("t")
    start = thread.mmap(None, PAGE, "rw", ANON)
    task.store(start, 9)
    assert thread.load(start) == b"\x09" and thread.mm is task.mm
    assert (task.minor_faults, thread.minor_faults) == (1, 0)
    assert (task.rss, task.tables) == (thread.rss, thread.tables)


def test_a_thread_starts_where_its_parent_runs(task):
    """And may move."""
    task.run_on(1)
    thread = task.clone()
    assert thread.cpu == 1
    thread.run_on(0)
    assert (thread.cpu, task.cpu) == (0, 1)


@pytest.mark.parametrize("cpu", [-1, 2, 99])
def test_a_cpu_that_is_not_there_is_einval(task, cpu):
    """sched_setaffinity: no CPU of the mask is left."""
    assert refused(task.run_on, cpu) == "EINVAL" and task.cpu == 0


# exec --------------------------------------------------------------------------------------------
def test_exec_gives_an_empty_mm_and_ends_the_other_threads(here, task):
    """begin_new_exec: de_thread, then a fresh mm; the name stays."""
    thread = task.clone("t")
    task.store(0x4000, 1)
    task.exec()
    assert here.tasks == [task] and len(task.maps()) == 0 and task.tables == 0
    assert refused(thread.load, 0x4000) == "ESRCH"
    with pytest.raises(Segfault):
        task.load(0x4000)


def test_exec_of_a_thread_keeps_that_thread(here, task):
    """Whoever calls goes on."""
    thread = task.clone("t")
    thread.exec()
    assert here.tasks == [thread] and refused(task.load, 0) == "ESRCH"


def test_exec_keeps_files_open(here, task):
    """No close-on-exec here, also if the other threads end."""
    file = task.memfd("f", PAGE)
    task.clone().exec()
    assert file.size == PAGE
    here.tasks[0].mmap(0x4000, PAGE, "rw", MAP_SHARED | MAP_FIXED, file)


def test_exec_leaves_children_alone(task):
    """Another mm."""
    task.store(0x4000, 5)
    child = task.fork()
    task.exec()
    assert child.load(0x4000) == b"\5"


def test_exec_again_and_again(here, task):
    """The mm's name changes back and forth; nothing piles up."""
    for _ in range(5):
        task.mmap(0x4000, PAGE, "rw", ANON | MAP_FIXED)
        task.store(0x4000, 1)
        task.exec()
    assert here.memory.used == 1


# files -------------------------------------------------------------------------------------------
def test_a_file_closes_with_the_last_process_that_has_it(task):
    """fork inherits it; each closes its own when it ends."""
    file = task.memfd("f", PAGE)
    child = task.fork()
    grandchild = child.fork()
    for one in (task, child):
        one.exit()
        assert file.size == PAGE
    grandchild.exit()
    assert refused(getattr, file, "size") == "EBADF"


def test_a_file_stays_with_the_last_thread(task):
    """CLONE_FILES: threads have one table of open files."""
    file = task.memfd("f", PAGE)
    thread = task.clone()
    task.exit()
    assert file.size == PAGE
    other = thread.memfd("g")
    thread.exit()
    assert refused(getattr, file, "size") == refused(getattr, other, "size") == "EBADF"


def test_a_child_made_before_a_file_was_opened_does_not_keep_it(task):
    """Only what was open at fork is inherited."""
    child = task.fork()
    file = task.memfd("f")
    task.exit()
    assert refused(file.fsync) == "EBADF" and child.maps() is not None


def test_files_of_the_machine_are_closed_by_close_alone(here, task):
    """Whoever maps them."""
    file = here.memfd("f", PAGE)
    task.mmap(0x8000, PAGE, "rw", MAP_SHARED | MAP_FIXED, file)
    task.exit()
    assert file.size == PAGE
    file.close()
    assert refused(file.close) == "EBADF"


def test_any_task_may_map_any_open_file(here, task):
    """A File object is what a descriptor that was handed over would be."""
    file = task.memfd("f", PAGE)
    other = here.spawn("b")
    other.store(other.mmap(None, PAGE, "rw", MAP_SHARED, file), 5)
    assert file.pread(1, 0) == b"\5"


def test_a_closed_file_cannot_be_mapped_and_its_mappings_stay(task):
    """EBADF; a VMA holds the file by itself."""
    file = task.memfd("f", PAGE)
    start = task.mmap(None, PAGE, "rw", MAP_SHARED, file)
    file.close()
    assert refused(task.mmap, None, PAGE, "rw", MAP_SHARED, file) == "EBADF"
    task.store(start, 3)
    assert task.load(start) == b"\3"


def test_with_map_anonymous_a_file_is_ignored(task):
    """Even one that is closed."""
    file = task.memfd("f", PAGE)
    file.close()
    start = task.mmap(None, PAGE, "rw", ANON, file)
    task.store(start, 1)
    assert task.maps()[-1].backing == "anon"


def test_a_memfd_goes_when_it_is_closed_and_unmapped(here, task):
    """shmem_evict_inode: with its pages."""
    file = task.memfd("f", PAGE)
    start = task.mmap(None, PAGE, "rw", MAP_SHARED, file)
    task.store(start, 1)
    file.close()
    assert len(here.memory.folios) == 1
    task.munmap(start, PAGE)
    assert len(here.memory.folios) == 0


def test_calls_with_paths_do_what_those_of_the_machine_do(here, task):
    """open, mkdir, link, rename and unlink, by a task."""
    task.mkdir("/dev/shm/d")
    task.open("/dev/shm/d/f").pwrite(b"x", 0)
    task.link("/dev/shm/d/f", "/dev/shm/g"), task.rename("/dev/shm/g", "/dev/shm/h")
    task.unlink("/dev/shm/d/f")
    assert here.open("/dev/shm/h").pread(1, 0) == b"x"
    assert refused(task.open, "/dev/shm/d/f", 0) == "ENOENT"


# the caller's mistakes ---------------------------------------------------------------------------
WRONG_TYPES = [4096.0, None, True, "4096", b"1", [1], 1j]


@pytest.mark.parametrize("name, number", [
    ("mmap", 0), ("mmap", 1), ("mmap", 3), ("mmap", 5), ("munmap", 0), ("munmap", 1),
    ("mprotect", 0), ("mprotect", 1), ("mremap", 0), ("mremap", 1), ("mremap", 2), ("mremap", 3),
    ("madvise", 0), ("madvise", 1), ("madvise", 2), ("msync", 0), ("msync", 1), ("msync", 2),
    ("mincore", 0), ("mincore", 1), ("mlock", 0), ("mlock", 1), ("munlock", 0), ("munlock", 1),
    ("load", 0), ("load", 1), ("store", 0), ("touch", 0), ("touch", 1), ("pagemap", 0),
    ("pagemap", 1), ("run_on", 0)])
def test_numbers_are_ints(here, task, name, number):
    """TypeError names the argument's value; nothing has changed."""
    args = list(CALLS[name]) + {"mmap": [None, 0], "mremap": [0], "load": [1]}.get(name, [])
    before = here.snapshot()
    for wrong in WRONG_TYPES:
        if wrong is None and (name, number) == ("mmap", 0):
            continue
        args[number] = wrong
        with pytest.raises(TypeError, match=re.escape(f"an int, not {wrong!r}")):
            getattr(task, name)(*args)
    assert here.snapshot() == before


@pytest.mark.parametrize("name, number", [
    ("mmap", 0), ("mmap", 1), ("mmap", 3), ("mmap", 5), ("munmap", 0), ("munmap", 1),
    ("mprotect", 0), ("mprotect", 1), ("mremap", 0), ("mremap", 1), ("mremap", 2), ("mremap", 3),
    ("mremap", 4), ("madvise", 0), ("madvise", 1), ("mincore", 0), ("mincore", 1), ("mlock", 0),
    ("munlock", 1), ("load", 0), ("store", 0), ("touch", 0), ("pagemap", 0)])
def test_addresses_lengths_and_offsets_are_not_negative(here, task, name, number):
    """ValueError with the value: no program can pass such a thing."""
    args = list(CALLS[name]) + {"mmap": [None, 0], "mremap": [0, 0x8000]}.get(name, [])
    args[number] = -4096
    before = here.snapshot()
    with pytest.raises(ValueError, match="not negative, but -4096 was given"):
        getattr(task, name)(*args)
    assert here.snapshot() == before


@pytest.mark.parametrize("n", [0, -1])
def test_an_access_is_to_a_byte_at_least(task, n):
    """load and touch: ValueError with the value."""
    for call in (task.load, task.touch):
        with pytest.raises(ValueError, match=f"at least 1, not {n}"):
            call(0x4000, n)


@pytest.mark.parametrize("data", [b"", bytearray(), -1, 256, 1.0, None, "x", [1], True])
def test_what_is_stored_is_bytes_or_a_byte(task, data):
    """ValueError with the value."""
    with pytest.raises(ValueError, match=re.escape(repr(data))):
        task.store(0x4000, data)


@pytest.mark.parametrize("prot, error", [("q", ValueError), ("rwz", ValueError), (None, TypeError),
                                         (1.0, TypeError), (True, TypeError), (b"r", TypeError)])
def test_a_protection_is_letters_or_bits(task, prot, error):
    """For mmap and mprotect: the value is named."""
    for call in (lambda: task.mmap(None, PAGE, prot, ANON), lambda: task.mprotect(0x4000, 1, prot)):
        with pytest.raises(error, match=re.escape(repr(prot))):
            call()


@pytest.mark.parametrize("file", ["f", 3, object, Machine])
def test_a_file_is_a_file(task, file):
    """TypeError with the value."""
    with pytest.raises(TypeError, match="file is a File of this machine, not"):
        task.mmap(None, PAGE, "rw", MAP_SHARED, file)


def test_a_file_of_another_machine_is_refused(task):
    """It is no file here."""
    with pytest.raises(TypeError, match="file is a File of this machine, not"):
        task.mmap(None, PAGE, "rw", MAP_SHARED, machine().memfd("f", PAGE))


def test_map_fixed_and_mremap_fixed_need_an_address(task):
    """None is for what the kernel chooses."""
    with pytest.raises(ValueError, match="MAP_FIXED needs an addr, not None"):
        task.mmap(None, PAGE, "rw", ANON | MAP_FIXED)
    with pytest.raises(ValueError, match="MREMAP_FIXED needs new, not None"):
        task.mremap(0x4000, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED)


def test_after_a_mistake_the_machine_goes_on(here, task):
    """No call hangs in the middle."""
    for _ in range(3):
        with pytest.raises(TypeError):
            task.load(None)
        task.store(0x4000, 1)
    assert task.load(0x4000) == b"\1"


# signals -----------------------------------------------------------------------------------------
def test_signals_tell_where_and_why(task):
    """task, addr, access, code and reason; SIGBUS is its own kind."""
    with pytest.raises(Segfault) as caught:
        task.load(0x9001)
    signal = caught.value
    assert (signal.task, signal.addr, signal.access, signal.code, signal.reason) == (
        task, 0x9001, "load", "SEGV_MAPERR", "0x9001 is not mapped")
    assert signal.signal == "SIGSEGV"
    assert str(signal) == "SIGSEGV (SEGV_MAPERR): 0x9001 is not mapped"
    task.mmap(0x8000, PAGE, "rw", MAP_SHARED | MAP_FIXED, task.memfd("f"))
    with pytest.raises(BusError) as caught:
        task.store(0x8000, 1)
    assert (caught.value.signal, caught.value.code) == ("SIGBUS", "BUS_ADRERR")


# figures -----------------------------------------------------------------------------------------
def test_rss_counts_a_page_for_each_entry(task):
    """Neither the zero page nor what is not present; a page mapped twice counts twice."""
    file = task.memfd("f", PAGE)
    for _ in range(2):
        task.store(task.mmap(None, PAGE, "rw", MAP_SHARED, file), 1)
    task.store(0x4000, 1), task.load(0x5000)
    assert (task.rss, task.pss) == (3 * PAGE, 2 * PAGE)


def test_pss_divides_a_page_by_its_mappers(task):
    """After fork each has the half."""
    task.store(0x4000, 1), task.store(0x5000, 1)
    child = task.fork()
    assert (task.rss, task.pss, child.pss) == (2 * PAGE, PAGE, PAGE)
    child.store(0x4000, 2)
    assert (task.pss, child.pss) == (PAGE + PAGE // 2, PAGE + PAGE // 2)


def test_tables_fall_with_the_mapping(task):
    """VmPTE: three for a page, none when nothing is mapped; the bytes are 4096 each."""
    task.store(0x4000, 1)
    assert (task.tables, task.page_table_bytes) == (3, 3 * PAGE)
    task.madvise(0x4000, 2 * PAGE, MADV_DONTNEED)
    assert task.tables == 3
    task.munmap(0x4000, 2 * PAGE)
    assert task.tables == 0


def test_shared_memory_counts_in_each_mapper(here, task):
    """Two processes, one object: each has rss of all, pss of the half."""
    start = task.mmap(0x8000, 4 * PAGE, "rw", MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
    task.touch(start, 4 * PAGE, write=True)
    child = task.fork()
    child.touch(start, 4 * PAGE)
    assert (task.rss, child.rss, task.pss, child.pss) == (4 * PAGE, 4 * PAGE, 2 * PAGE, 2 * PAGE)


def test_private_file_pages_count_too(task):
    """RssFile: a page that was only read is present."""
    start = task.mmap(None, PAGE, "r", MAP_PRIVATE, task.memfd("f", PAGE))
    task.load(start)
    assert task.rss == PAGE
