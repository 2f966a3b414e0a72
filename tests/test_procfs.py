"""What /proc tells of a process: maps, pagemap, and the figures."""
import pytest
from layout import ANON, PAGE, file_of, machine, mapped, page, refused

from mmlib import MAP_ANONYMOUS, MAP_FIXED, MAP_HUGETLB, MAP_PRIVATE, MAP_SHARED, TINY, X86_64
from mmlib.rows import MapsRow, PageRow, Rows


# /proc/PID/maps --------------------------------------------------------------------------------
def test_maps_has_a_row_a_vma():
    """In address order."""
    task = mapped("Ww.SsG")
    rows = [(row.start, row.end, row.perms, row.offset, row.backing) for row in task.maps()]
    name = "/memfd:f (deleted)"
    assert rows == [(page(0), page(2), "rw-p", 0, "anon"),
                    (page(3), page(5), "rw-s", 3 * PAGE, name),
                    (page(5), page(6), "r--p", 5 * PAGE, name)]


@pytest.mark.parametrize("row, line", [
    (MapsRow(0x1000, 0x3000, "rw-p", 0, "anon"), "00001000-00003000 rw-p 00000000 00:00 0"),
    (MapsRow(0x7ffff7fff000, 0x7ffff8000000, "r-xp", 0, "anon"),
     "7ffff7fff000-7ffff8000000 r-xp 00000000 00:00 0"),
    (MapsRow(0x1000, 0x2000, "r--s", 0x3000, "/dev/shm/f", 12),
     "00001000-00002000 r--s 00003000 00:01 12" + " " * 33 + "/dev/shm/f"),
    (MapsRow(0x1000, 0x2000, "rw-s", 0, "shm3", 7),
     "00001000-00002000 rw-s 00000000 00:01 7" + " " * 34 + "/dev/zero (deleted)"),
])
def test_a_row_prints_as_in_proc(row, line):
    """show_map_vma: the name begins in column 74 (seq_setwidth, seq_pad)."""
    assert str(row) == line
    assert " /" not in line or line.index(" /") == 72


def test_a_newline_is_escaped():
    """A VMA is one line (seq_file_path); a file may be called as it likes."""
    task = machine().spawn()
    for n, name in enumerate(("a\nb", "a b", "shm0", "anon")):
        task.mmap(page(n), PAGE, "r", MAP_SHARED | MAP_FIXED, task.memfd(name, PAGE))
    lines = str(task.maps()).split("\n")
    assert [line.partition("/memfd:")[2] for line in lines] == [
        r"a\012b (deleted)", "a b (deleted)", "shm0 (deleted)", "anon (deleted)"]


def test_the_inode_number_is_the_files():
    """The same for every open file of it, another for another file."""
    task = machine().spawn()
    files = [task.open("/dev/shm/f"), task.open("/dev/shm/g"), task.open("/dev/shm/f")]
    for n, file in enumerate(files):
        task.mmap(page(2 * n), PAGE, "r", MAP_SHARED | MAP_FIXED, file)
    inodes = [row.inode for row in task.maps()]
    assert inodes[0] == inodes[2] != inodes[1] and 0 not in inodes


def test_objects_are_numbered():
    """shm0, shm1: in the order of their birth, on this machine."""
    task = machine().spawn()
    for n in (0, 1):
        task.mmap(page(2 * n), PAGE, "r", MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
    assert [row.backing for row in task.maps()] == ["shm0", "shm1"]


def test_rows_print_one_a_line():
    """As a tuple, and as text."""
    rows = mapped("WR").maps()
    assert isinstance(rows, Rows) and len(rows) == 2 and rows == tuple(rows)
    assert str(rows) == repr(rows) == "\n".join(map(str, rows)) and str(Rows()) == ""


def test_maps_of_a_task_without_mappings():
    """Nothing."""
    assert machine().spawn().maps() == ()


# /proc/PID/pagemap -----------------------------------------------------------------------------
def bits(task, n: int) -> tuple:
    row, = task.pagemap(page(n), PAGE)
    return row.present, row.exclusive, row.file


def test_pagemap_has_a_row_a_page():
    """Mapped or not; nothing beyond the end of the address space."""
    task = mapped("Ww")
    assert [row.addr for row in task.pagemap(page(1), 2 * PAGE + 1)] == [page(n) for n in (1, 2, 3)]
    assert len(task.pagemap(TINY.task_size - PAGE, 9 * PAGE)) == 1
    assert task.pagemap(page(0), 0) == ()


def test_pagemap_tells_kinds_apart():
    """Absent; anonymous; the zero page; a page of a file; a private copy."""
    task = mapped("WwwSFf")
    task.load(page(1)), task.store(page(2), b"x"), task.store(page(3), b"x")
    task.store(page(4), b"x"), task.load(page(5))
    assert [bits(task, n) for n in range(6)] == [
        (False, False, False), (True, False, False), (True, True, False), (True, True, True),
        (True, True, False), (True, True, True)]


def test_pfns_show_who_shares():
    """PT04: equal frames after fork; another one for who writes."""
    task = mapped("WSR")
    task.store(page(0), b"x"), task.store(page(1), b"x"), task.load(page(2))
    child = task.fork()
    child.load(page(1)), child.load(page(2))

    def equal(n):
        return task.pagemap(page(n), PAGE)[0].pfn == child.pagemap(page(n), PAGE)[0].pfn

    assert [equal(n) for n in range(3)] == [True, True, True]
    assert bits(task, 0) == (True, False, False)
    child.store(page(0), b"y"), child.store(page(1), b"y")
    assert [equal(n) for n in range(3)] == [False, True, True]
    assert bits(task, 0) == bits(child, 0) == (True, True, False)


def test_a_second_mapping_shares_too():
    """bit 56 is about entries, not about processes."""
    task = mapped("S")
    task.mmap(page(4), PAGE, "r", MAP_SHARED | MAP_FIXED, file_of(task))
    task.store(page(0), b"x")
    assert bits(task, 0) == (True, True, True)
    task.load(page(4))
    assert bits(task, 0) == bits(task, 4) == (True, False, True)


def test_the_pages_of_a_huge_page():
    """A row for each, with frames in a row."""
    task = machine(huge_pages=1).spawn()
    task.mmap(page(0), TINY.huge_size, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED)
    task.store(page(2), b"x")
    frames = [row.pfn for row in task.pagemap(page(0), TINY.huge_size)]
    assert frames == list(range(frames[0], frames[0] + 4)) and frames[0] % 4 == 0


@pytest.mark.parametrize("row, text", [
    (PageRow(0x1000, False, 0, False, False), "00001000 0000000000000000"),
    (PageRow(0x1000, True, 5, True, False), "00001000 8100000000000005"),
    (PageRow(0x2000, True, 5, False, True), "00002000 a000000000000005")])
def test_a_row_prints_the_64_bits(row, text):
    """Bit 63 present, 61 file or shared, 56 exclusive (Documentation/admin-guide/mm/pagemap)."""
    assert str(row) == text


def test_pagemap_begins_on_a_page():
    """EINVAL."""
    assert refused(mapped("W").pagemap, page(0) + 1, PAGE) == "EINVAL"


def test_looking_changes_nothing():
    """No fault, no accessed bit, no step."""
    task = mapped("Ww")
    steps = len(task.machine.trace)
    task.maps(), task.pagemap(page(0), 2 * PAGE)
    assert (task.rss, task.pss, task.tables, task.locked, task.reachable_tables) == (0,) * 5
    assert task.page_faults == 0 and len(task.machine.trace) == steps


# figures ---------------------------------------------------------------------------------------
def test_rss_counts_present_pages():
    """Anonymous ones and those of files, also under PROT_NONE; not the zero page."""
    task = mapped("WwSsFfN")
    task.load(page(0)), task.store(page(1), b"x"), task.store(page(2), b"x")
    task.load(page(4)), task.store(page(5), b"x")
    assert task.rss == 4 * PAGE
    task.mprotect(page(0), 7 * PAGE, "")
    assert task.rss == 4 * PAGE


def test_rss_leaves_huge_pages_out():
    """They are HugetlbPages in /proc/PID/status."""
    task = machine(huge_pages=1).spawn()
    task.mmap(page(0), PAGE, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED)
    task.store(page(0), b"x")
    assert (task.rss, task.pss) == (0, 0)


def test_pss_divides_what_is_shared():
    """By the entries that map a page; the parts make up the whole."""
    task = mapped("WwS")
    task.touch(page(0), 3 * PAGE, write=True)
    assert task.pss == task.rss == 3 * PAGE
    child = task.fork()
    assert (task.pss, child.pss, child.rss) == (2 * PAGE, PAGE, 2 * PAGE)
    child.load(page(2))
    assert task.pss == child.pss == 3 * PAGE // 2
    child.store(page(0), b"y")
    assert task.pss == child.pss == 2 * PAGE


def test_pss_rounds_the_sum_not_the_parts():
    """Fractions are kept to 12 bits while they are added (PSS_SHIFT)."""
    task = mapped("Www")
    task.touch(page(0), 3 * PAGE, write=True)
    children = [task.fork(), task.fork()]
    for each in (task, *children):
        assert each.pss == 3 * (PAGE * 4096 // 3) // 4096 == PAGE - 1


def test_locked_counts_mappings():
    """VmLck: bytes of locked VMAs, present or not."""
    task = mapped("WwRr")
    task.mlock(page(1), 2 * PAGE)
    assert task.locked == 2 * PAGE
    task.munmap(page(1), PAGE)
    assert task.locked == PAGE


@pytest.mark.parametrize("touched, tables", [
    ([], 0), ([0], 3), ([0, 511], 3), ([0, 512], 4), ([0, 1 << 18], 5), ([0, 1 << 27], 6),
    (range(0, 1 << 18, 512), 514)])
def test_tables_follow_the_formula(touched, tables):
    """The touched regions of 2 MiB, of 1 GiB and of 512 GiB (PT06)."""
    task = machine(X86_64, trace=False).spawn()
    base = 0x200000000000
    task.mmap(base, 1 << 40, "rw", ANON | MAP_FIXED)
    for n in touched:
        task.store(base + n * 4096, b"x")
    assert task.tables == task.reachable_tables == tables
    assert task.page_table_bytes == tables * 4096


def test_a_sigbus_leaves_two_tables():
    """Rule 6: the PUD and the PMD table are there by then, and nothing is billed."""
    task = mapped("S")
    file_of(task).truncate(0)
    for access in (task.load, lambda addr: task.store(addr, b"x")):
        with pytest.raises(Exception, match="SIGBUS"):
            access(page(0))
        assert (task.tables, task.minor_faults) == (2, 0)


def test_threads_have_one_figure():
    """It is the mm's."""
    task = mapped("W")
    thread = task.clone()
    thread.store(page(0), b"x")
    assert (task.tables, task.rss) == (thread.tables, thread.rss) == (3, PAGE)
    assert (task.minor_faults, thread.minor_faults) == (0, 1)


@pytest.mark.parametrize("ask", [
    lambda task: task.maps(), lambda task: task.pagemap(0, PAGE), lambda task: task.tables,
    lambda task: task.rss, lambda task: task.pss, lambda task: task.locked,
    lambda task: task.reachable_tables, lambda task: task.page_table_bytes])
def test_of_a_task_that_has_gone_nothing_is_known(ask):
    """ESRCH: its directory in /proc is gone."""
    task = mapped("W")
    task.exit()
    assert refused(ask, task) == "ESRCH"
