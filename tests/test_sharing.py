"""Sharing the page tables of files: who may, from when on, and how it ends."""
import pytest
from layout import ANON, PAGE, machine

from mmlib import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MADV_NOSHARE_TABLES,
    MADV_SHARE_TABLES,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    TINY,
    X86_64,
    BusError,
    FileTableCache,
    HugetlbPmdSharing,
    Private,
    Segfault,
)
from mmlib.accounts import bill
from mmlib.sharing import is_shared

PTE, PMD = TINY.span(1), TINY.span(2)           # what a table maps: 16 KiB, 64 KiB
AT = 4 * PMD
SHARED = MAP_SHARED | MAP_FIXED


@pytest.fixture
def here():
    return machine(sharing=FileTableCache())


@pytest.fixture
def file(here):
    return here.memfd("db", PMD)


def mapper(here, file, name, start=AT, length=PMD, prot="rw", flags=SHARED, offset=0, touch=True):
    task = here.spawn(name)
    task.mmap(start, length, prot, flags, file, offset)
    if touch:
        task.touch(start, length, write="w" in prot)
    return task


def linked(task, level=1) -> list:
    """The tables of *level* that a task reaches, in order."""
    tables = task.machine.tables
    return [t for *_, t in tables.links(task.mm.pgd, 0, TINY.task_size) if t.level == level]


def shared(task, level=1) -> int:
    """How many of them it shares with somebody, or with the file's cache."""
    return sum(is_shared(table) for table in linked(task, level))


# the lines of the proposal -----------------------------------------------------------------------
def test_a_pte_table_is_used_again(file, here):
    """FB01: whole span, same file, in step, same protection: two users, no new table."""
    here.sharing = FileTableCache(levels=("pte",))
    mapper(here, file, "a", length=PTE)
    before = here.counters["table_bytes"]
    b = mapper(here, file, "b", length=PTE)
    (table,) = linked(b)
    assert (table.users, table.pt_share_count, b.minor_faults) == (2, 1, 1)
    assert here.counters["table_bytes"] - before == 2 * PAGE     # its own PUD and PMD


def test_a_pmd_table_is_used_again_with_all_below(file, here):
    """FB02: the whole span of a PMD table: one PUD of one's own is enough."""
    a, b = mapper(here, file, "a"), mapper(here, file, "b")
    assert linked(a, 2) == linked(b, 2) and linked(a) == linked(b)
    assert (here.table_count, b.minor_faults, b.reachable_tables) == (2 + 1 + 4, 1, 6)


def test_readers_and_writers_have_sets_of_their_own(file, here):
    """FB03: RW and R are never mixed; x is a third and fourth."""
    tasks = [mapper(here, file, f"{prot}{n}", prot=prot)
             for prot in ("rw", "r", "rwx", "rx") for n in range(2)]
    assert sorted({key[0] for key in file.inode.mapping.tables}) == ["r", "rw", "rwx", "rx"]
    roots = [linked(task, 2)[0] for task in tasks]
    assert len(set(roots)) == 4 and all(roots[n] is roots[n + 1] for n in (0, 2, 4, 6))
    for task in tasks[2:4]:
        with pytest.raises(Segfault):
            task.store(AT, 1)


def test_write_alone_is_in_the_set_of_writers(file, here):
    """x86 has no entry that can be written and not read."""
    a, b = mapper(here, file, "a"), mapper(here, file, "b", prot="w")
    assert linked(a, 2) == linked(b, 2)


def test_mprotect_changes_the_callers_use_alone(file, here):
    """FB04: its own entry is unshared, then it attaches to the R set; others do not notice."""
    a, b = mapper(here, file, "a"), mapper(here, file, "b")
    a.mprotect(AT, PMD, "r")
    a.touch(AT, PMD)
    b.store(AT, 5)
    with pytest.raises(Segfault):
        a.store(AT, 1)
    assert a.load(AT) == b"\5" and linked(a, 2)[0].home[1][0] == "r"
    reader = mapper(here, file, "c", prot="r")
    assert linked(reader, 2) == linked(a, 2) != linked(b, 2)


@pytest.mark.parametrize("prepare", [
    lambda t: t.mprotect(AT, PMD, ""), lambda t: t.madvise(AT, PAGE, MADV_GUARD_INSTALL)])
def test_some_vmas_never_use_shared_tables(file, here, prepare):
    """FB05: PROT_NONE, and VMAs whose entries belong to one process alone."""
    a, b = mapper(here, file, "a"), mapper(here, file, "b", touch=False)
    prepare(b)
    if b.maps()[0].perms == "rw-s":
        b.touch(AT + PAGE, PMD - PAGE)
    assert shared(b) == shared(b, 2) == 0 and shared(a, 2) == 1


def test_an_unused_table_is_kept_until_it_is_shrunk(file, here):
    """FB06: the shrinker frees it, and the next user builds it from the page cache."""
    mapper(here, file, "a").exit()
    assert here.table_count == 5
    b = mapper(here, file, "b")
    assert b.minor_faults == 1
    b.exit()
    assert here.shrink() == 5 and here.table_count == 0
    c = mapper(here, file, "c")
    assert c.minor_faults == 16 and here.counters["cache_fills"] == 16
    assert here.shrink() == 0


def test_without_keep_unused_tables_go_with_their_last_user(file, here):
    """All of them, from the PMD down."""
    here.sharing = FileTableCache(keep_unused=False)
    a, b = mapper(here, file, "a"), mapper(here, file, "b")
    a.exit()
    assert here.table_count == 6 and b.load(AT) == b"\0"
    b.exit()
    assert here.table_count == 0


@pytest.mark.parametrize("size, shares", [(PMD - PAGE, 0), (PMD, 1), (2 * PMD, 1)])
def test_a_small_file_is_left_alone(here, size, shares):
    """FB07: min_file_size is compared with the size at the fault, and equal is enough."""
    here.sharing = FileTableCache(min_file_size=PMD)
    file = here.memfd("f", size)
    task = mapper(here, file, "a", touch=False)
    task.load(AT)
    assert shared(task, 2) == shares


def test_a_file_that_grows_is_shared_from_then_on(here):
    """At the fault: what is there stays private."""
    here.sharing = FileTableCache(levels=("pte",), min_file_size=PMD)
    file = here.memfd("f", PTE)
    task = mapper(here, file, "a", touch=False)
    task.load(AT)
    file.truncate(PMD)
    task.load(AT + PTE)
    assert [is_shared(table) for table in linked(task)] == [False, True]


def test_a_process_can_opt_out_and_in(file, here):
    """FB07: out at once, in at the next empty slot; fork inherits it."""
    a, b = mapper(here, file, "a"), mapper(here, file, "b")
    b.share_tables = False
    assert len(linked(b)) == 0
    b.touch(AT, PMD, write=True)
    assert shared(b) == 0 and b.tables == 6 and not b.fork().share_tables
    b.share_tables = True
    b.load(AT)
    assert shared(b) == 0
    b.munmap(AT, PMD)
    b.mmap(AT, PMD, "rw", SHARED, file)
    b.load(AT)
    assert shared(b, 2) == 1 and linked(a, 2) == linked(b, 2)


def test_a_range_can_opt_out_and_in(file, here):
    """FB07: MADV_NOSHARE_TABLES for one PTE table's span; the PMD is private then, the rest not."""
    mapper(here, file, "a")
    b = mapper(here, file, "b")
    b.madvise(AT, PTE, MADV_NOSHARE_TABLES)
    b.touch(AT, PMD, write=True)
    assert [is_shared(table) for table in linked(b)] == [False, True, True, True]
    b.madvise(AT, PTE, MADV_SHARE_TABLES)
    b.madvise(AT, PTE, MADV_DONTNEED)
    b.touch(AT, PTE)
    assert shared(b) == 4


@pytest.mark.parametrize("how", [
    {"start": AT + PAGE, "length": PMD - PAGE, "offset": PAGE},         # covers no first span
    {"flags": MAP_PRIVATE | MAP_FIXED}, {"offset": PAGE, "length": PMD - PTE}])
def test_what_does_not_fit_is_private(file, here, how):
    """FB08: not the whole span, a private mapping, another place in the span."""
    mapper(here, file, "a")
    b = mapper(here, file, "b", touch=False, **how)
    b.load(how.get("start", AT))
    assert not is_shared(linked(b)[0]) and not shared(b, 2)


def test_inner_spans_of_a_ragged_mapping_are_shared(file, here):
    """FB08: only those that are covered whole."""
    mapper(here, file, "a")
    b = mapper(here, file, "b", start=AT + PAGE, length=PMD - 2 * PAGE, offset=PAGE)
    assert [is_shared(table) for table in linked(b)] == [False, True, True, False]


def test_tables_below_a_cached_pmd_are_found_one_by_one(file, here):
    """A mapper that is only in step with PTE tables uses those."""
    mapper(here, file, "a")
    b = mapper(here, file, "b", start=AT + PMD + PTE, length=PMD)
    assert shared(b) == 4 and shared(b, 2) == 0 and b.minor_faults == 4


def test_fork_links_nothing(file, here):
    """FB09 in contrast to PT03: the child shares at its first touch."""
    a = mapper(here, file, "a")
    child = a.fork()
    assert child.tables == 0 and len(linked(child)) == 0
    child.load(AT)
    assert linked(child, 2) == linked(a, 2) and child.minor_faults == 1


@pytest.mark.parametrize("change", ["truncate", "punch"])
def test_an_unused_table_is_cleared_with_the_file(file, here, change):
    """FB13: it outlived its VMA, and shows nothing of what the file was."""
    a = mapper(here, file, "a")
    a.store(AT + PTE, b"old"), a.exit()
    if change == "truncate":
        file.truncate(PTE)
    else:
        file.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PTE, PMD - PTE)
    b = mapper(here, file, "b", touch=False)
    assert b.load(AT) == b"\0"
    if change == "truncate":
        with pytest.raises(BusError):
            b.load(AT + PTE)
    else:
        assert b.load(AT + PTE, 3) == bytes(3)


def test_a_file_that_goes_takes_its_tables_along(file, here):
    """Nobody could ever use them again."""
    mapper(here, file, "a").exit()
    assert here.table_count == 5
    file.close()
    assert here.table_count == 0 and here.memory.used == 0


# how it ends -------------------------------------------------------------------------------------
@pytest.mark.parametrize("call", [
    lambda t: t.munmap(AT, PAGE), lambda t: t.madvise(AT, PAGE, MADV_DONTNEED),
    lambda t: t.mremap(AT, PTE, PTE, MREMAP_MAYMOVE | MREMAP_FIXED, 2 * AT),
    lambda t: t.mmap(AT, PAGE, "r", ANON | MAP_FIXED), lambda t: t.mprotect(AT, PAGE, "r")])
def test_a_change_to_a_part_drops_the_callers_use_of_the_whole(file, here, call):
    """The others keep the table and every entry; the rest faults in again."""
    a, b = mapper(here, file, "a"), mapper(here, file, "b")
    a.store(AT + PMD - PAGE, 7)
    call(b)
    assert not any(row.present for row in b.pagemap(AT, PMD))
    assert all(row.present for row in a.pagemap(AT, PMD))
    assert b.load(AT + PMD - PAGE) == b"\7" and a.page_faults == 16


def test_a_whole_table_moves_for_nobody_else(file, here):
    """mremap: the caller faults at the new place, and may share there."""
    a, b = mapper(here, file, "a"), mapper(here, file, "b")
    b.mremap(AT, PMD, PMD, MREMAP_MAYMOVE | MREMAP_FIXED, 2 * AT)
    b.load(2 * AT)
    assert linked(a, 2) == linked(b, 2) and a.load(AT) == b"\0"


def test_two_mappings_of_one_process_share(file, here):
    """VmPTE counts each link of its own: a PUD for each place."""
    task = mapper(here, file, "a")
    task.mmap(AT // 2, PMD, "rw", SHARED, file)
    task.touch(AT // 2, PMD)
    assert task.reachable_tables == 2 + 1 + 4 and task.minor_faults == 17


def test_a_store_of_one_is_read_by_all(file, here):
    """One entry, one page."""
    tasks = [mapper(here, file, name) for name in "abc"]
    for n, task in enumerate(tasks):
        task.store(AT + n * PTE, n + 1)
    for task in tasks:
        assert [task.load(AT + n * PTE)[0] for n in range(3)] == [1, 2, 3]


def test_populate_and_mlock_use_shared_tables(file, here):
    """They fault like anybody else."""
    mapper(here, file, "a")
    b = mapper(here, file, "b", touch=False, flags=SHARED | MAP_POPULATE)
    c = mapper(here, file, "c", touch=False)
    c.mlock(AT, PMD)
    assert (b.minor_faults, shared(b, 2)) == (1, 1) and shared(c, 2) == 1


def test_shared_anonymous_memory_is_a_file_too(here):
    """The child of whoever made it uses the same tables."""
    a = here.spawn("a")
    a.mmap(AT, PMD, "rw", SHARED | MAP_ANONYMOUS)
    a.touch(AT, PMD, write=True)
    child = a.fork()
    child.load(AT)
    assert linked(a, 2) == linked(child, 2)


def test_levels_can_be_chosen(file, here):
    """Only PMD tables: what hangs below is shared with them."""
    here.sharing = FileTableCache(levels=("pmd",))
    a, b = mapper(here, file, "a"), mapper(here, file, "b")
    assert linked(a) == linked(b)
    c = mapper(here, file, "c", start=2 * AT, length=PTE)
    assert shared(c) == 0


@pytest.mark.parametrize("policy", [Private(), HugetlbPmdSharing(), None])
def test_without_the_cache_nobody_shares_tables_of_ordinary_files(policy):
    """What Linux does, and less."""
    here = machine(sharing=policy)
    file = here.memfd("f", PMD)
    tasks = [mapper(here, file, name) for name in "ab"]
    assert [task.minor_faults for task in tasks] == [16, 16] and here.table_count == 12


def test_on_a_real_geometry():
    """64 MiB: 32 PTE tables once, a PMD and a PUD each; 33 faults for the second mapper."""
    here = machine(X86_64, sharing=FileTableCache(), trace=False)
    file = here.memfd("f", 64 << 20)
    for name in "ab":
        task = here.spawn(name)
        task.mmap(1 << 40, 64 << 20, "rw", SHARED, file)
        task.touch(1 << 40, 64 << 20, write=True)
    assert here.table_count == 32 + 4 and task.minor_faults == 32 and task.tables == 34


# what they say of themselves ---------------------------------------------------------------------
@pytest.mark.parametrize("options", [
    {"levels": ()}, {"levels": ("pud",)}, {"levels": "pte"}, {"levels": None}, {"levels": 5},
    {"min_file_size": -1}, {"min_file_size": 1.5}, {"min_file_size": None},
    {"min_file_size": True}])
def test_options_of_the_cache(options):
    """ValueError names the value."""
    (value,) = options.values()
    with pytest.raises(ValueError) as caught:
        FileTableCache(**options)
    assert repr(value) in str(caught.value)


def test_a_policy_says_how_it_was_made():
    """repr can be evaluated."""
    for policy in (FileTableCache(), FileTableCache(("pmd",), min_file_size=5, keep_unused=False)):
        assert repr(eval(repr(policy))) == repr(policy)
    assert [repr(policy()) for policy in (Private, HugetlbPmdSharing)] == [
        "Private()", "HugetlbPmdSharing()"]


# who is billed -----------------------------------------------------------------------------------
def test_the_true_bill_adds_up(file, here):
    """Sums over all mms are what is in use, shared or not."""
    tasks = [mapper(here, file, name) for name in "abc"]
    tasks[0].store(tasks[0].mmap(None, PAGE, "rw", ANON), 1)
    rows = bill(here)
    assert abs(sum(row.true_pss for row in rows) - 17 * PAGE) <= len(rows)
    assert abs(sum(row.true_tables for row in rows) - here.table_count * PAGE) <= len(rows)
    assert sum(row.rss for row in rows) == (3 * 16 + 1) * PAGE
    assert [row.pss for row in rows] == [task.pss for task in tasks]
    assert [row.tables for row in rows] == [task.page_table_bytes for task in tasks]


def test_the_kernels_pss_is_too_large_below_shared_tables(file, here):
    """FB12: a mapcount of 1, three processes: Pss counts the page three times."""
    for name in "abc":
        mapper(here, file, name)
    assert [row.pss for row in bill(here)] == [16 * PAGE] * 3
    assert [row.true_pss for row in bill(here)] == [16 * PAGE // 3] * 3


def test_with_private_tables_both_bills_agree():
    """Where each entry stands for one process."""
    here = machine()
    file = here.memfd("f", PMD)
    for name in "ab":
        mapper(here, file, name)
    for row in bill(here):
        assert (row.pss, row.tables) == (row.true_pss, row.true_tables)
        assert str(row).startswith(row.mm)
