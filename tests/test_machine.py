"""The machine: its options, counters and switches; mounts, and what they refuse."""
import re

import pytest
from layout import ANON, PAGE, machine, refused

from mmlib import (
    LA57,
    MAP_FIXED,
    MAP_SHARED,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    TINY,
    X86_64,
    FileTableCache,
    HugetlbPmdSharing,
    Machine,
    Private,
)


@pytest.fixture
def here():
    return machine()


# options -----------------------------------------------------------------------------------------
def test_the_defaults():
    """A machine without a limit, with one CPU, four levels, and what Linux shares."""
    here = machine(X86_64)
    assert here.geometry is Machine().geometry is X86_64
    assert isinstance(here.sharing, HugetlbPmdSharing) and here.memory.frames is None
    assert (len(here.tlbs), here.fault_around, here.huge_pages.total) == (1, 16, 0)
    assert here.tasks == [] and len(here.trace) == 0 and here.table_count == 0
    assert here.flush_sharers is True and machine(TINY).fault_around == 1


@pytest.mark.parametrize("geometry", ["TINY", None, 4, Private(), type(TINY)])
def test_a_geometry_is_a_geometry(geometry):
    """ValueError names the value."""
    with pytest.raises(ValueError, match=re.escape(f"not {geometry!r}")):
        Machine(geometry)


@pytest.mark.parametrize("sharing", ["private", 0, False, Private, FileTableCache, TINY])
def test_a_policy_is_an_instance(sharing):
    """A class is none."""
    with pytest.raises(ValueError, match=re.escape(f"not {sharing!r}")):
        Machine(TINY, sharing=sharing)


@pytest.mark.parametrize("option, value, allowed", [
    ("memory", 0, "at least 4096 bytes"), ("memory", 4095, "at least 4096"),
    ("memory", -1, "at least 4096"), ("cpus", 0, "at least 1"), ("cpus", -1, "at least 1"),
    ("huge_pages", -1, "a number of 16384-byte pages"), ("fault_around", 0, "at least 1 page"),
    ("fault_around", -3, "at least 1 page")])
def test_a_number_has_its_bounds(option, value, allowed):
    """ValueError tells what is allowed, and the value."""
    with pytest.raises(ValueError, match=f"{option} is .*{allowed}.*not {value}$"):
        Machine(TINY, **{option: value})


@pytest.mark.parametrize("option", ["memory", "cpus", "huge_pages", "fault_around"])
@pytest.mark.parametrize("value", [1.0, "1", True, b"1"])
def test_a_number_is_an_int(option, value):
    """TypeError names the value."""
    with pytest.raises(TypeError, match=re.escape(f"{option} is an int, not {value!r}")):
        Machine(TINY, **{option: value})


def test_huge_pages_must_fit_into_memory():
    """They are taken out of it at the start."""
    with pytest.raises(ValueError, match="fit into memory, not 3"):
        Machine(TINY, memory=8 * PAGE, huge_pages=3)
    here = machine(memory=8 * PAGE, huge_pages=2)
    assert here.memory.used == 8 and refused(here.spawn) == "ENOMEM"


def test_one_page_of_memory_is_one_root():
    """Enough for a process that maps nothing that it uses."""
    here = machine(memory=PAGE)
    here.spawn("a").mmap(0x4000, PAGE, "rw", ANON)
    assert refused(here.spawn) == "ENOMEM" and len(here.tasks) == 1


def test_options_are_given_by_name():
    """Only the geometry has a place."""
    with pytest.raises(TypeError):
        Machine(TINY, Private())


# figures -----------------------------------------------------------------------------------------
def test_counters_count_and_cannot_be_changed(here):
    """A view of now; nine names."""
    assert set(here.counters) == {
        "faults", "tables_allocated", "tables_freed", "table_bytes", "flushes", "flush_targets",
        "copies", "zero_fills", "cache_fills"}
    assert not any(here.counters.values())
    with pytest.raises(TypeError):
        here.counters["faults"] = 1


def test_what_is_counted(here):
    """Two stores, a load of a file's hole, a fork, a copy, an end."""
    a = here.spawn("a")
    a.mmap(0x4000, 2 * PAGE, "rw", ANON | MAP_FIXED)
    a.mmap(0x8000, PAGE, "rw", MAP_SHARED | MAP_FIXED, here.memfd("f", PAGE))
    a.touch(0x4000, 2 * PAGE, write=True), a.load(0x8000)
    b = a.fork()
    b.store(0x4000, 1)
    assert here.counters == {
        "faults": 4, "zero_fills": 2, "cache_fills": 1, "copies": 1, "flushes": 2,
        "flush_targets": 2, "tables_allocated": 1 + 4 + 1 + 3, "tables_freed": 0,
        "table_bytes": 7 * PAGE}
    b.exit(), a.exit()
    assert here.counters["tables_freed"] == 9 and here.counters["table_bytes"] == 0


def test_table_count_leaves_the_roots_out_and_counts_each_table_once():
    """A shared one too; those that the cache keeps as well."""
    here = machine(sharing=FileTableCache())
    file = here.memfd("f", 0x10000)
    for name in "abc":
        task = here.spawn(name)
        task.mmap(0x40000, 0x10000, "rw", MAP_SHARED | MAP_FIXED, file)
        task.touch(0x40000, 0x10000, write=True)
    assert here.table_count == 3 + 1 + 4                # PUDs, the PMD, the PTE tables
    for task in list(here.tasks):
        task.exit()
    assert here.table_count == 5 and here.shrink() == 5 and here.table_count == 0


@pytest.mark.parametrize("geometry, count", [(TINY, 3), (X86_64, 3), (LA57, 4)])
def test_all_levels_but_the_top_count(geometry, count):
    """A page needs one table of each."""
    here = machine(geometry)
    task = here.spawn("a")
    task.store(task.mmap(None, PAGE, "rw", ANON), 1)
    assert here.table_count == count


def test_a_machine_shows_who_lives(here):
    """repr, for an interactive session."""
    assert repr(here) == "<Machine TINY: nobody; 0 tables>"
    here.spawn("a").fork("b")
    assert repr(here) == "<Machine TINY: a, b; 0 tables>"


# what it is asked --------------------------------------------------------------------------------
@pytest.mark.parametrize("call, value", [("reclaim", -1), ("rmap", 99), ("rmap", 1), ("rmap", -5)])
def test_numbers_that_mean_nothing_are_refused(here, call, value):
    """ValueError names the value."""
    with pytest.raises(ValueError, match=str(value)):
        getattr(here, call)(value)


@pytest.mark.parametrize("call", ["reclaim", "rmap", "branch"])
@pytest.mark.parametrize("value", [1.0, None, "1", True])
def test_numbers_are_ints(here, call, value):
    """TypeError names the value."""
    with pytest.raises(TypeError, match=re.escape(f"not {value!r}")):
        getattr(here, call)(value)


def test_there_is_nothing_to_shrink_or_reclaim_at_first(here):
    """Zero of each."""
    assert (here.shrink(), here.reclaim(5), here.drop_caches()) == (0, 0, None)


# mounts ------------------------------------------------------------------------------------------
def test_a_tmpfs_is_there_from_the_start(here):
    """On /dev/shm, and nothing else."""
    here.open("/dev/shm/f")
    assert refused(here.open, "/tmp/f") == "ENOENT"


@pytest.mark.parametrize("fstype", ["tmpfs", "ext4", "hugetlbfs"])
def test_filesystems_are_mounted_where_one_likes(fstype):
    """Two of a kind have nothing in common; one may lie within the other."""
    here = machine(huge_pages=1)
    for path in ("/a", "/b", "/a/c"):
        here.mount(fstype, path)
        here.open(f"{path}/f")
    assert refused(here.open, "/b/c/f") == "ENOENT"
    assert refused(here.link, "/a/f", "/b/g") == refused(here.rename, "/a/f", "/b/g") == "EXDEV"


@pytest.mark.parametrize("args, options, name", [
    (("msharefs", "/m"), {"version": 2023}, "EINVAL"), (("", "/m"), {}, "ENODEV"), (("proc", "/m"), {}, "ENODEV"),
    (("tmpfs", "/m"), {"size": 5}, "EINVAL"), (("tmpfs", "/dev/shm"), {}, "EBUSY")])
def test_what_cannot_be_mounted(here, args, options, name):
    """An unknown kind, options, a place that is taken."""
    assert refused(here.mount, *args, **options) == name


@pytest.mark.parametrize("path", ["m", "", "/m/", None, 5, b"/m"])
def test_a_mount_point_is_an_absolute_path(here, path):
    """ValueError names the value."""
    with pytest.raises(ValueError, match=re.escape(f"not {path!r}")):
        here.mount("tmpfs", path)


# files by name -----------------------------------------------------------------------------------
@pytest.mark.parametrize("call", [
    lambda m, p: m.open(p), lambda m, p: m.unlink(p), lambda m, p: m.mkdir(p),
    lambda m, p: m.rename(p, "/dev/shm/x"), lambda m, p: m.link("/dev/shm/f", p)])
@pytest.mark.parametrize("path", ["/dev/shm/a\0b", None, 5, b"/dev/shm/f", True])
def test_a_path_is_a_str_without_nul(here, call, path):
    """ValueError names the value."""
    here.open("/dev/shm/f")
    with pytest.raises(ValueError, match=re.escape(repr(path))):
        call(here, path)


@pytest.mark.parametrize("name", ["a\0b", None, 5, b"f"])
def test_a_name_of_a_memfd_is_a_str_without_nul(here, name):
    """ValueError names the value."""
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        here.memfd(name)


def test_a_name_of_a_memfd_has_at_most_249_bytes(here):
    """MFD_NAME_MAX_LEN: NAME_MAX less "memfd:"; in bytes, not letters."""
    here.memfd("a" * 249), here.memfd("ü" * 124)
    assert refused(here.memfd, "a" * 250) == refused(here.memfd, "ü" * 125) == "EINVAL"


@pytest.mark.parametrize("size, error", [(-1, ValueError), (1.0, TypeError), (None, TypeError)])
def test_a_size_of_a_memfd_is_a_number_of_bytes(here, size, error):
    """The value is named."""
    with pytest.raises(error, match=re.escape(str(size))):
        here.memfd("f", size)


def test_a_size_of_a_memfd_is_a_file_offset(here):
    """ftruncate: EINVAL from 2**63 on."""
    assert here.memfd("f", 2**63 - 1).size == 2**63 - 1
    assert refused(here.memfd, "f", 2**63) == "EINVAL"


@pytest.mark.parametrize("flags", [1.0, None, "r", True])
def test_flags_of_open_are_an_int(here, flags):
    """TypeError names the value."""
    with pytest.raises(TypeError, match=re.escape(f"flags is an int, not {flags!r}")):
        here.open("/dev/shm/f", flags)


def test_what_open_refuses(here):
    """open(2): no such file, there already, a directory, no directory."""
    here.mkdir("/dev/shm/d"), here.open("/dev/shm/f")
    assert refused(here.open, "/dev/shm/new", O_RDWR) == "ENOENT"
    assert refused(here.open, "/dev/shm/f", O_RDWR | O_CREAT | O_EXCL) == "EEXIST"
    assert refused(here.open, "/dev/shm/d") == refused(here.open, "/dev/shm") == "EISDIR"
    assert refused(here.open, "/dev/shm/no/f") == "ENOENT"
    assert refused(here.open, "/dev/shm/f/g") == "ENOTDIR"


def test_two_openings_have_one_file_and_two_positions(here):
    """struct file and struct inode."""
    one, two = here.open("/dev/shm/f"), here.open("/dev/shm/f", O_RDONLY)
    one.pwrite(b"hello", 0)
    assert (two.read(2), two.read(9), one.read(3)) == (b"he", b"llo", b"hel")


def test_how_a_file_was_opened_decides_what_it_does(here):
    """EBADF for the wrong direction; ftruncate of a read-only one is EINVAL."""
    here.open("/dev/shm/f")
    reader, writer = here.open("/dev/shm/f", O_RDONLY), here.open("/dev/shm/f", O_WRONLY)
    assert refused(reader.pwrite, b"x", 0) == refused(writer.pread, 1, 0) == "EBADF"
    assert refused(writer.read, 1) == refused(reader.fallocate, 0, 0, 1) == "EBADF"
    assert refused(reader.truncate, 0) == "EINVAL"


def test_o_trunc_takes_the_pages_from_whoever_maps_them(here):
    """do_truncate at open."""
    file, task = here.open("/dev/shm/f"), here.spawn("a")
    file.pwrite(b"x", 0)
    start = task.mmap(None, PAGE, "r", MAP_SHARED, file)
    task.load(start)
    assert here.open("/dev/shm/f", O_RDWR | O_TRUNC).size == 0
    assert task.rss == 0 and len(here.memory.folios) == 0


def test_names_come_and_go(here):
    """A file lives as long as a name, an opening or a mapping is left."""
    file = here.open("/dev/shm/f")
    file.pwrite(b"x", 0)
    here.link("/dev/shm/f", "/dev/shm/g"), here.unlink("/dev/shm/f")
    assert here.open("/dev/shm/g").pread(1, 0) == b"x"
    here.unlink("/dev/shm/g")
    assert refused(here.open, "/dev/shm/g", O_RDWR) == "ENOENT" and file.pread(1, 0) == b"x"
    for one in here.files:
        one.close()
    assert len(here.memory.folios) == 0


def test_a_file_without_openings_keeps_its_pages(here):
    """tmpfs: the cache is the file."""
    file = here.open("/dev/shm/f")
    file.pwrite(b"x", 0), file.close()
    here.drop_caches(), here.reclaim(9)
    assert here.open("/dev/shm/f").pread(1, 0) == b"x"


@pytest.mark.parametrize("call, name", [
    (lambda m: m.unlink("/dev/shm/no"), "ENOENT"), (lambda m: m.unlink("/dev/shm/d"), "EISDIR"),
    (lambda m: m.mkdir("/dev/shm/d"), "EEXIST"), (lambda m: m.mkdir("/dev/shm/f"), "EEXIST"),
    (lambda m: m.mkdir("/dev/shm/no/d"), "ENOENT"), (lambda m: m.mkdir("/dev/shm/f/d"), "ENOTDIR"),
    (lambda m: m.rename("/dev/shm/no", "/dev/shm/x"), "ENOENT"),
    (lambda m: m.rename("/dev/shm/f", "/dev/shm/d"), "EISDIR"),
    (lambda m: m.rename("/dev/shm/f", "/dev/shm/no/f"), "ENOENT"),
    (lambda m: m.link("/dev/shm/no", "/dev/shm/x"), "ENOENT"),
    (lambda m: m.link("/dev/shm/f", "/dev/shm/g"), "EEXIST"),
    (lambda m: m.link("/dev/shm/d", "/dev/shm/x"), "EPERM")])
def test_what_calls_with_names_refuse(here, call, name):
    """unlink, mkdir, rename, link: the errno of path resolution or of the call."""
    here.mkdir("/dev/shm/d"), here.open("/dev/shm/f"), here.open("/dev/shm/g")
    assert refused(call, here) == name


def test_rename_replaces_what_had_the_name(here):
    """The file that loses its last name goes with its pages."""
    for name in "fg":
        file = here.open(f"/dev/shm/{name}")
        file.pwrite(name.encode(), 0), file.close()
    here.rename("/dev/shm/f", "/dev/shm/g")
    assert here.open("/dev/shm/g").pread(1, 0) == b"f" and len(here.memory.folios) == 1
    here.rename("/dev/shm/g", "/dev/shm/g")
    assert here.open("/dev/shm/g").pread(1, 0) == b"f"


# files, whatever their kind ----------------------------------------------------------------------
@pytest.mark.parametrize("name, args, wrong", [
    ("truncate", [0], 0), ("fallocate", [0, 0, 1], 0), ("fallocate", [0, 0, 1], 1),
    ("fallocate", [0, 0, 1], 2), ("pread", [1, 0], 0), ("pread", [1, 0], 1),
    ("pwrite", [b"x", 0], 1),
    ("read", [1], 0)])
def test_arguments_of_file_calls_are_ints(here, name, args, wrong):
    """TypeError names the value."""
    file = here.memfd("f", PAGE)
    for value in (1.0, None, "1", True):
        args[wrong] = value
        with pytest.raises(TypeError, match=re.escape(f"an int, not {value!r}")):
            getattr(file, name)(*args)


def test_what_is_written_is_bytes(here):
    """TypeError names the value."""
    for data in ("x", 5, None, [1]):
        with pytest.raises(TypeError, match=re.escape(f"data is bytes, not {data!r}")):
            here.memfd("f").pwrite(data, 0)


@pytest.mark.parametrize("name, args", [
    ("truncate", (0,)), ("fallocate", (0, 0, 1)), ("pread", (1, 0)), ("pwrite", (b"x", 0)),
    ("read", (1,)), ("fsync", ()), ("ioctl", (1, 2)), ("close", ())])
def test_a_closed_file_is_ebadf(here, name, args):
    """Every call, and its size."""
    file = here.memfd("f")
    file.close()
    assert refused(getattr(file, name), *args) == refused(getattr, file, "size") == "EBADF"


def test_no_file_knows_an_ioctl(here):
    """ENOTTY."""
    assert refused(here.memfd("f").ioctl, 0x5401, None) == "ENOTTY"
