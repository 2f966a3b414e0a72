"""Files of tmpfs: page cache, names, and open file descriptions."""
import pytest
from layout import ANON, PAGE, machine, page, refused

from mmlib import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    TINY,
    BusError,
    File,
)
from mmlib.files import Mapping
from mmlib.memory import Memory

PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
SHARED = MAP_SHARED | MAP_FIXED
PRIVATE = MAP_PRIVATE | MAP_FIXED
TOO_FAR = 1 << 63                       # the first that is no file offset


@pytest.fixture
def world():
    return machine()


@pytest.fixture
def task(world):
    return world.spawn("a")


@pytest.fixture
def file(world) -> File:
    """Four pages, each full of its number, counted from one."""
    file = world.open("/dev/shm/f")
    file.pwrite(b"".join(bytes([n]) * PAGE for n in (1, 2, 3, 4)), 0)
    return file


def cached(file) -> list[int]:
    return sorted(file.inode.mapping.pages)


# the page cache --------------------------------------------------------------------------------
def test_a_hole_has_no_page():
    """It reads as zeros, and a read makes none (shmem_file_read_iter)."""
    mapping = Mapping("f", Memory(TINY))
    mapping.size = 3 * PAGE
    assert mapping.find(1) is None and mapping.read(0, 5) == bytes(5) and not mapping.pages


def test_a_page_is_made_once():
    """shmem_get_folio."""
    mapping = Mapping("f", Memory(TINY))
    mapping.size = PAGE
    folio = mapping.get(0)
    assert mapping.get(0) is folio is mapping.find(0)
    assert (folio.mapping, folio.index) == (mapping, 0)


@pytest.mark.parametrize("size, pages", [(0, 0), (1, 1), (PAGE, 1), (PAGE + 1, 2)])
def test_the_last_page_may_be_a_part(size, pages):
    """An access beyond it is a SIGBUS."""
    mapping = Mapping("f", Memory(TINY))
    mapping.size = size
    assert mapping.page_count == pages


# reading and writing ---------------------------------------------------------------------------
def test_pwrite_grows_the_file(world):
    """Between the old end and the new one is a hole."""
    file = world.memfd("f")
    assert file.pwrite(b"abc", 2 * PAGE) == 3
    assert (file.size, cached(file)) == (2 * PAGE + 3, [2])
    assert file.pread(10, 2 * PAGE - 2) == b"\0\0abc"


def test_pwrite_across_a_border(file):
    """Both pages take their part."""
    file.pwrite(b"xy", PAGE - 1)
    assert file.pread(4, PAGE - 2) == b"\1xy\2"


def test_an_empty_write_does_not_grow(world):
    """pwrite(2) of nothing."""
    file = world.memfd("f")
    assert (file.pwrite(b"", 3 * PAGE), file.size) == (0, 0)


@pytest.mark.parametrize("n, offset, data", [
    (3, 0, b"\1\1\1"), (9, 4 * PAGE - 2, b"\4\4"), (9, 4 * PAGE, b""), (9, 99 * PAGE, b""),
    (0, 0, b"")])
def test_pread_ends_with_the_file(file, n, offset, data):
    """Fewer bytes at the end, none beyond it."""
    assert file.pread(n, offset) == data


def test_read_moves_on(file):
    """f_pos belongs to the open file, not to the inode."""
    again = file.machine.open("/dev/shm/f")
    assert file.read(PAGE) + file.read(1) == b"\1" * PAGE + b"\2"
    assert again.read(1) == b"\1" and file.pread(1, 0) == b"\1" and file.read(1) == b"\2"


def test_writes_show_through_mappings(task, file):
    """One page cache for both."""
    task.mmap(page(0), PAGE, "rw", SHARED, file)
    task.store(page(0), b"new")
    assert file.pread(4, 0) == b"new\1"
    file.pwrite(b"!", 1)
    assert task.load(page(0), 4) == b"n!w\1"


def test_a_write_is_short_where_memory_ends():
    """What was written counts; ENOMEM if it was nothing."""
    world = machine(memory=2 * PAGE)
    file = world.memfd("f")
    assert file.pwrite(b"x" * 3 * PAGE, 0) == 2 * PAGE == file.size
    assert refused(file.pwrite, b"x", 2 * PAGE) == "ENOMEM"
    assert file.size == 2 * PAGE


# truncate --------------------------------------------------------------------------------------
def test_truncate_drops_pages(file):
    """Beyond the new end; the rest of the last page is zeroed (shmem_truncate_range)."""
    file.truncate(PAGE + 1)
    assert cached(file) == [0, 1]
    file.truncate(4 * PAGE)
    assert file.pread(3, PAGE) == b"\2\0\0" and file.pread(1, 2 * PAGE) == b"\0"


def test_truncate_takes_pages_out_of_mappings(task, file):
    """Reading beyond the end is SIGBUS; when the file grows again, zeros."""
    task.mmap(page(0), 4 * PAGE, "r", SHARED, file)
    task.touch(page(0), 4 * PAGE)
    file.truncate(2 * PAGE)
    assert task.load(page(0)) + task.load(page(1)) == b"\1\2"
    with pytest.raises(BusError) as caught:
        task.load(page(2))
    assert (caught.value.code, caught.value.addr) == ("BUS_ADRERR", page(2))
    file.truncate(4 * PAGE)
    assert task.load(page(2)) == b"\0"


def test_truncate_takes_private_copies_too(task, file):
    """unmap_mapping_range with even_cows."""
    task.mmap(page(0), 4 * PAGE, "rw", PRIVATE, file)
    task.store(page(3), b"mine")
    file.truncate(2 * PAGE)
    file.truncate(4 * PAGE)
    assert task.load(page(3), 4) == bytes(4)


def test_truncate_frees_no_table(task, file):
    """Tables go with VMAs."""
    task.mmap(page(0), 4 * PAGE, "r", SHARED, file)
    task.touch(page(0), 4 * PAGE)
    before = task.tables
    file.truncate(0)
    assert task.tables == before == 3


def test_growing_makes_no_page(world):
    """ftruncate upwards leaves a hole."""
    file = world.memfd("f")
    file.truncate(1 << 40)
    assert (file.size, cached(file)) == (1 << 40, [])


def test_a_store_behind_the_end_survives_growth(task, world):
    """Within the last page it is stored, and tmpfs does not zero it when the file grows."""
    file = world.memfd("f", 1)
    task.mmap(page(0), PAGE, "rw", SHARED, file)
    task.store(page(0) + 9, 5)
    assert file.pread(99, 0) == b"\0"
    file.truncate(PAGE)
    assert file.pread(1, 9) == b"\5"


def test_unless_the_file_is_cut_there_first(task, world):
    """Even to the size that it has (shmem_truncate_range zeroes the rest of the page)."""
    file = world.memfd("f", 1)
    task.mmap(page(0), PAGE, "rw", SHARED, file)
    task.store(page(0) + 9, 5)
    file.truncate(1)
    file.truncate(PAGE)
    assert file.pread(1, 9) == b"\0"


@pytest.mark.parametrize("length", [-1, TOO_FAR])
def test_truncate_refuses_what_is_no_length(file, length):
    """do_sys_ftruncate: a length is not negative."""
    assert refused(file.truncate, length) == "EINVAL"


def test_truncate_needs_write_access(world, file):
    """EINVAL here, not EBADF (do_ftruncate)."""
    assert refused(world.open("/dev/shm/f", O_RDONLY).truncate, 0) == "EINVAL"
    assert file.size == 4 * PAGE


# fallocate -------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode, size", [(0, 5 * PAGE + 1), (FALLOC_FL_KEEP_SIZE, 0)])
def test_fallocate_fills_holes(world, mode, size):
    """Every page that the range touches; only mode 0 moves the end (shmem_fallocate)."""
    file = world.memfd("f")
    file.fallocate(mode, 3 * PAGE + 7, 2 * PAGE - 6)
    assert (cached(file), file.size) == ([3, 4, 5], size)


def test_fallocate_keeps_what_is_there(file):
    """Only holes are filled, and a file does not shrink."""
    file.fallocate(0, 0, PAGE)
    assert file.pread(1, 0) == b"\1" and file.size == 4 * PAGE


def test_what_fallocate_set_aside_is_not_there_before_it_is_used():
    """The page is not uptodate until an access or a second call clears it: fault-around passes it
    by, and mincore does not see it (shmem_fallocate, next_uptodate_folio)."""
    world = machine(fault_around=16)
    task, file = world.spawn(), world.memfd("f", 4 * PAGE)
    task.mmap(page(0), 4 * PAGE, "rw", SHARED, file)
    file.fallocate(0, 0, 4 * PAGE)
    assert task.mincore(page(0), 4 * PAGE) == bytes(4)
    file.fallocate(0, PAGE, PAGE), file.pwrite(b"x", 2 * PAGE)
    task.mmap(page(8), PAGE, "rw", PRIVATE, file, 3 * PAGE)
    task.load(page(0))
    assert [row.present for row in task.pagemap(page(0), 4 * PAGE)] == [True, True, True, False]
    assert task.mincore(page(0), 4 * PAGE) == b"\1\1\1\0"
    task.store(page(8), b"x")                   # a private copy reads the file's page, too
    assert task.mincore(page(0), 4 * PAGE) == b"\1\1\1\1"


def test_fallocate_takes_back_what_it_made():
    """If memory ends, as if it had not been called (shmem_undo_range)."""
    world = machine(memory=4 * PAGE)
    file = world.memfd("f")
    file.pwrite(b"x", PAGE)
    assert refused(file.fallocate, 0, 0, 6 * PAGE) == "ENOMEM"
    assert (cached(file), file.size, file.pread(1, PAGE)) == ([1], PAGE + 1, b"x")


def test_punch_hole_takes_pages_out(task, file):
    """Whole pages leave the cache and every mapping; the rest of the range is zeroed."""
    task.mmap(page(0), 4 * PAGE, "r", SHARED, file)
    task.touch(page(0), 4 * PAGE)
    file.fallocate(PUNCH, PAGE - 1, 2 * PAGE + 2)
    assert (cached(file), file.size) == ([0, 3], 4 * PAGE)
    assert task.load(page(1) - 2, 3) == b"\1\0\0"
    assert task.load(page(3), 2) == b"\0\4"
    assert [row.present for row in task.pagemap(page(0), 4 * PAGE)] == [True, True, False, True]


def test_punch_hole_within_a_page(file):
    """Zeroes and drops nothing."""
    file.fallocate(PUNCH, 1, 2)
    assert cached(file) == [0, 1, 2, 3] and file.pread(4, 0) == b"\1\0\0\1"


def test_punch_hole_across_a_border(file):
    """No whole page: a part of each is zeroed."""
    file.fallocate(PUNCH, PAGE - 1, 2)
    assert cached(file) == [0, 1, 2, 3] and file.pread(4, PAGE - 2) == b"\1\0\0\2"


def test_punch_hole_leaves_private_copies(task, file):
    """unmap_mapping_range without even_cows."""
    task.mmap(page(0), 2 * PAGE, "rw", PRIVATE, file)
    task.store(page(0), b"mine")
    assert task.load(page(1)) == b"\2"
    file.fallocate(PUNCH, 0, 2 * PAGE)
    assert task.load(page(0), 4) == b"mine" and task.load(page(1)) == b"\0"


@pytest.mark.parametrize("mode, offset, length, code", [
    (0, -1, 1, "EINVAL"), (0, 0, 0, "EINVAL"), (0, 0, -1, "EINVAL"), (99, -1, 1, "EINVAL"),
    (FALLOC_FL_PUNCH_HOLE, 0, 1, "EOPNOTSUPP"), (0x10, 0, 1, "EOPNOTSUPP"),
    (8, 0, PAGE, "EOPNOTSUPP"), (0, TOO_FAR - 1, 1, "EFBIG"), (PUNCH, TOO_FAR - PAGE, PAGE, "EFBIG"),
])
def test_fallocate_refuses(file, mode, offset, length, code):
    """vfs_fallocate, in its order: the range, the mode, how it was opened, the size."""
    assert refused(file.fallocate, mode, offset, length) == code
    assert file.size == 4 * PAGE


@pytest.mark.parametrize("mode, offset, code", [(0, 0, "EBADF"), (0, -1, "EINVAL"),
                                                (99, 0, "EOPNOTSUPP"), (0, TOO_FAR, "EBADF")])
def test_fallocate_needs_write_access(world, file, mode, offset, code):
    """EBADF, after what is wrong with the arguments and before the size."""
    assert refused(world.open("/dev/shm/f", O_RDONLY).fallocate, mode, offset, 1) == code


# how it was opened -----------------------------------------------------------------------------
def test_a_read_only_file_is_not_written(world, file):
    """FMODE_WRITE."""
    assert refused(world.open("/dev/shm/f", O_RDONLY).pwrite, b"x", 0) == "EBADF"


@pytest.mark.parametrize("call, arguments", [("pread", (0, 0)), ("read", (1,))])
def test_a_write_only_file_is_not_read(world, file, call, arguments):
    """FMODE_READ, even for nothing."""
    assert refused(getattr(world.open("/dev/shm/f", O_WRONLY), call), *arguments) == "EBADF"


@pytest.mark.parametrize("flags", [O_RDONLY, O_WRONLY, O_RDWR])
def test_a_wrong_offset_comes_first(world, file, flags):
    """ksys_pread64 looks at it before the file."""
    opened = world.open("/dev/shm/f", flags)
    for call, what in ((opened.pread, 1), (opened.pwrite, b"x")):
        assert refused(call, what, -1) == refused(call, what, TOO_FAR) == "EINVAL"


def test_nothing_can_be_written_behind_the_largest_offset(file):
    """rw_verify_area."""
    assert refused(file.pwrite, b"abc", TOO_FAR - 2) == "EINVAL"
    assert file.size == 4 * PAGE


def test_a_length_is_not_negative(file):
    """rw_verify_area again: a size_t with its top bit set."""
    assert refused(file.pread, -1, 0) == refused(file.read, -1) == "EINVAL"


def test_tmpfs_knows_no_ioctl(file):
    """ENOTTY."""
    assert refused(file.ioctl, 0x12345678, 0) == "ENOTTY"
    with pytest.raises(TypeError, match="request is an int, not 'x'"):
        file.ioctl("x", 0)


@pytest.mark.parametrize("use", [
    lambda file: file.size, lambda file: file.truncate(0), lambda file: file.pread(1, 0),
    lambda file: file.pwrite(b"x", 0), lambda file: file.read(1), lambda file: file.fsync(),
    lambda file: file.fallocate(0, 0, 1), lambda file: file.ioctl(1, 0),
    lambda file: file.close(),
    lambda file: file.machine.spawn().mmap(None, PAGE, "r", MAP_SHARED, file)])
def test_a_closed_file_is_ebadf(file, use):
    """Whatever it is used for; closing it twice, too."""
    file.close()
    assert refused(use, file) == "EBADF"


@pytest.mark.parametrize("call", [
    lambda file: file.truncate(1.0), lambda file: file.truncate(True),
    lambda file: file.pread("1", 0), lambda file: file.pwrite("text", 0),
    lambda file: file.pwrite(b"x", None), lambda file: file.fallocate(None, 0, 1)])
def test_mistakes_of_the_caller(file, call):
    """A wrong type is a TypeError."""
    with pytest.raises(TypeError):
        call(file)


# life ------------------------------------------------------------------------------------------
def frames(world) -> int:
    return world.memory.used


def test_a_memfd_goes_when_it_is_closed_and_unmapped(world, task):
    """In either order: its pages are its only copy (shmem_evict_inode)."""
    before = frames(world)
    for close_first in (True, False):
        file = world.memfd("f", PAGE)
        file.pwrite(b"x", 0)
        task.mmap(page(0), PAGE, "r", SHARED, file)
        steps = [file.close, lambda: task.munmap(page(0), PAGE)]
        steps[not close_first]()
        assert frames(world) == before + 1
        steps[close_first]()
        assert frames(world) == before


def test_a_mapping_of_a_closed_file_works(task, world):
    """The VMA holds the file (get_file)."""
    file = world.memfd("f", PAGE)
    file.pwrite(b"x", 0)
    task.mmap(page(0), PAGE, "r", SHARED, file)
    file.close()
    assert task.load(page(0)) == b"x" and task.maps()[0].backing == "/memfd:f (deleted)"


def test_a_named_file_stays(world, file):
    """Until it is unlinked and nobody has it."""
    file.close()
    assert world.open("/dev/shm/f").pread(1, 0) == b"\1"


def test_an_unlinked_file_lives_while_it_is_open(world, file):
    """Its pages go with the last user."""
    world.unlink("/dev/shm/f")
    assert file.pread(1, 0) == b"\1" and frames(world) == 4
    file.close()
    assert frames(world) == 0


def test_an_unlinked_file_lives_while_it_is_mapped(world, task, file):
    """Also through fork, to the last munmap."""
    task.mmap(page(0), PAGE, "r", SHARED, file)
    world.unlink("/dev/shm/f")
    file.close()
    child = task.fork()
    task.munmap(page(0), PAGE)
    assert child.load(page(0)) == b"\1"
    child.munmap(page(0), PAGE)
    assert not any(f.mapping for f in world.memory.folios.values())


def test_shared_anonymous_memory_goes_with_its_last_mapping(world, task):
    """Nobody can open it."""
    before = frames(world)
    task.mmap(page(0), PAGE, "rw", ANON ^ MAP_PRIVATE ^ MAP_SHARED | MAP_FIXED)
    task.store(page(0), b"x")
    child = task.fork()
    task.munmap(page(0), PAGE)
    assert child.load(page(0)) == b"x"
    child.exit()
    assert frames(world) == before


def test_a_tasks_file_closes_with_the_last_that_has_it(world, task):
    """The task that opened it, and the children that inherited it (exit_files)."""
    file = task.open("/dev/shm/g")
    child = task.fork()
    task.exit()
    assert file.size == 0
    child.exit()
    assert refused(file.pread, 1, 0) == "EBADF"


def test_a_machines_file_outlives_tasks(world, task, file):
    """It closes when it is closed."""
    task.mmap(page(0), PAGE, "r", SHARED, file)
    task.exit()
    assert file.pread(1, 0) == b"\1"


# names -----------------------------------------------------------------------------------------
def test_open_makes_a_file(world):
    """By default, with O_CREAT; a second open is the same file."""
    world.open("/dev/shm/g").pwrite(b"x", 0)
    assert world.open("/dev/shm/g", O_RDONLY).pread(1, 0) == b"x"


def test_truncating_open(world, task, file):
    """O_TRUNC empties it, under every mapper and even for reading only."""
    task.mmap(page(0), PAGE, "r", SHARED, file)
    task.load(page(0))
    world.open("/dev/shm/f", O_RDONLY | O_TRUNC)
    assert file.size == 0
    with pytest.raises(BusError):
        task.load(page(0))


@pytest.fixture
def tree(world, file):
    """/dev/shm holds f, g, and the directories d (with d/x) and e."""
    for directory in ("d", "e"):
        world.mkdir(f"/dev/shm/{directory}")
    for name in ("g", "d/x"):
        world.open(f"/dev/shm/{name}").pwrite(name.encode(), 0)
    return world


@pytest.mark.parametrize("path, flags, code", [
    ("no", O_RDWR, "ENOENT"), ("no/x", O_RDWR | O_CREAT, "ENOENT"),
    ("f/x", O_RDWR | O_CREAT, "ENOTDIR"), ("d", O_RDWR, "EISDIR"), ("d", O_RDWR | O_CREAT, "EISDIR"),
    ("f", O_RDWR | O_CREAT | O_EXCL, "EEXIST"), ("d", O_RDWR | O_CREAT | O_EXCL, "EEXIST"),
    ("", O_RDWR, "EISDIR"), ("../../elsewhere", O_RDWR, "ENOENT"),
    ("f/x/y", O_RDWR | O_CREAT, "ENOTDIR"), ("a" * 256, O_RDWR, "ENAMETOOLONG"),
    ("ü" * 128, O_RDWR | O_CREAT, "ENAMETOOLONG"), ("a" * 256 + "/x", O_RDWR, "ENAMETOOLONG"),
    ("no/" + "a" * 256, O_RDWR, "ENOENT"), ("d/" * 2048, O_RDWR, "ENAMETOOLONG"),
])
def test_open_refuses(tree, path, flags, code):
    """path_openat, link_path_walk."""
    assert refused(tree.open, f"/dev/shm/{path}", flags) == code


def test_a_name_may_have_255_bytes(tree):
    """NAME_MAX; the second half of a rename is checked like the first."""
    tree.open("/dev/shm/" + "a" * 255), tree.open("/dev/shm/" + "ü" * 127)
    assert refused(tree.rename, "/dev/shm/f", "/dev/shm/" + "a" * 256) == "ENAMETOOLONG"
    assert refused(tree.link, "/dev/shm/no", "/dev/shm/" + "a" * 256) == "ENOENT"


@pytest.mark.parametrize("path, code", [("f", "EEXIST"), ("d", "EEXIST"), ("no/x", "ENOENT"),
                                        ("f/x", "ENOTDIR")])
def test_mkdir_refuses(tree, path, code):
    """filename_create."""
    assert refused(tree.mkdir, f"/dev/shm/{path}") == code


@pytest.mark.parametrize("path, code", [("no", "ENOENT"), ("d", "EISDIR"), ("f/x", "ENOTDIR"),
                                        ("no/x", "ENOENT")])
def test_unlink_refuses(tree, path, code):
    """do_unlinkat."""
    assert refused(tree.unlink, f"/dev/shm/{path}") == code


@pytest.mark.parametrize("old, new, code", [
    ("no", "g", "ENOENT"), ("f", "g", "EEXIST"), ("d", "g", "EEXIST"), ("d", "h", "EPERM"),
    ("f", "no/x", "ENOENT"), ("f", "g/x", "ENOTDIR"), ("f", "d", "EEXIST")])
def test_link_refuses(tree, old, new, code):
    """do_linkat: the old name, the new one, then whether it can be."""
    assert refused(tree.link, f"/dev/shm/{old}", f"/dev/shm/{new}") == code


@pytest.mark.parametrize("old, new, code", [
    ("no", "g", "ENOENT"), ("f", "no/x", "ENOENT"), ("f", "d", "EISDIR"), ("f", "e", "EISDIR"),
    ("d", "f", "ENOTDIR"), ("e", "d", "ENOTEMPTY"), ("d", "d/y", "EINVAL"),
    ("d/x", "d", "ENOTEMPTY"), ("", "h", "EBUSY")])
def test_rename_refuses(tree, old, new, code):
    """do_renameat2, may_delete, simple_rename; nothing has changed."""
    names = dict(tree.mounts["/dev/shm"].names)
    assert refused(tree.rename, f"/dev/shm/{old}".rstrip("/"), f"/dev/shm/{new}") == code
    assert tree.mounts["/dev/shm"].names == names


def test_two_file_systems(tree):
    """EXDEV: at once for rename, after the names for link."""
    tree.mount("tmpfs", "/mnt")
    assert refused(tree.rename, "/dev/shm/no", "/mnt/f") == "EXDEV"
    assert refused(tree.link, "/dev/shm/no", "/mnt/f") == "ENOENT"
    assert refused(tree.link, "/dev/shm/f", "/mnt/f") == "EXDEV"


def test_a_link_is_a_second_name(tree):
    """The file goes with the last of them."""
    tree.link("/dev/shm/g", "/dev/shm/h")
    tree.unlink("/dev/shm/g")
    assert tree.open("/dev/shm/h", O_RDONLY).pread(1, 0) == b"g"


def test_rename_moves_a_file(tree):
    """What had the new name is unlinked."""
    before = frames(tree)
    tree.rename("/dev/shm/g", "/dev/shm/d/x")
    assert tree.open("/dev/shm/d/x", O_RDONLY).pread(9, 0) == b"g"
    assert refused(tree.open, "/dev/shm/g", O_RDWR) == "ENOENT"
    assert frames(tree) == before       # d/x is open, and lives on


def test_rename_moves_a_directory(tree):
    """With all that is in it, over an empty one."""
    tree.rename("/dev/shm/d", "/dev/shm/e")
    assert tree.open("/dev/shm/e/x", O_RDONLY).pread(9, 0) == b"d/x"
    assert refused(tree.open, "/dev/shm/d/x", O_RDWR) == "ENOENT"


def test_rename_between_two_names_of_a_file(tree):
    """vfs_rename: nothing to do, and both names stay."""
    tree.link("/dev/shm/g", "/dev/shm/h")
    tree.rename("/dev/shm/g", "/dev/shm/h")
    tree.rename("/dev/shm/d", "/dev/shm/d")
    assert {"g", "h", "d", "d/x"} <= set(tree.mounts["/dev/shm"].names)


def test_maps_shows_the_name_of_today(tree):
    """d_path: after rename the new one, after unlink "(deleted)"."""
    task = tree.spawn()
    task.mmap(page(0), PAGE, "r", SHARED, tree.open("/dev/shm/d/x"))

    def shown():
        return task.maps()[0].backing

    assert shown() == "/dev/shm/d/x"
    tree.rename("/dev/shm/d", "/dev/shm/e")
    assert shown() == "/dev/shm/e/x"
    tree.rename("/dev/shm/g", "/dev/shm/e/x")
    assert shown() == "/dev/shm/e/x (deleted)"


@pytest.mark.parametrize("path", ["/dev/shm//f", "/dev/shm/./f", "/dev/shm/d/../f"])
def test_a_path_may_take_a_detour(tree, path):
    """It is one file, under its plain name."""
    assert tree.open(path, O_RDWR).name == "/dev/shm/f"


@pytest.mark.parametrize("path", [None, 5, b"/dev/shm/f", "/dev/shm/a\0b"])
def test_a_path_is_text(world, path):
    """Anything else is a mistake of the caller."""
    with pytest.raises((ValueError, TypeError)):
        world.open(path)


# mounts ----------------------------------------------------------------------------------------
def test_a_mount_hides_what_lies_below_it(world, file):
    """The longest mount point wins."""
    world.mkdir("/dev/shm/d")
    world.mount("tmpfs", "/dev/shm/d")
    world.open("/dev/shm/d/x")
    assert set(world.mounts["/dev/shm"].names) == {"", "f", "d"}


@pytest.mark.parametrize("fstype, path, options, code", [
    ("btrfs", "/mnt", {}, "ENODEV"), ("tmpfs", "/dev/shm", {}, "EBUSY"),
    ("tmpfs", "/mnt", {"size": 5}, "EINVAL")])
def test_mount_refuses(world, fstype, path, options, code):
    """What this kernel does not have, or has there already."""
    assert refused(world.mount, fstype, path, **options) == code


@pytest.mark.parametrize("path", ["mnt", "/mnt/", "", None])
def test_a_mount_point_is_an_absolute_path(world, path):
    """A mistake of the caller."""
    with pytest.raises(ValueError):
        world.mount("tmpfs", path)


@pytest.mark.parametrize("size", [-1, 1.5, None, True])
def test_a_memfd_has_a_size(world, size):
    """A mistake of the caller: it is what ftruncate would get."""
    with pytest.raises((ValueError, TypeError)):
        world.memfd("f", size)


def test_memfds_of_one_name_are_two_files(world):
    """memfd_create makes a new file each time."""
    one, two = world.memfd("f", PAGE), world.memfd("f", PAGE)
    one.pwrite(b"x", 0)
    assert two.pread(1, 0) == b"\0" and one.name == two.name == "/memfd:f (deleted)"
