"""Exported images hold for MMUs that know nothing of the simulator (tests/mmu.py)."""
import json
import random
from collections import Counter
from pathlib import Path

import mmu
import pytest
from mmu import NX, PS, RW, US, Image, P

from mmlib import (
    LA57,
    MADV_DONTNEED,
    MADV_GUARD_INSTALL,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MSHAREFS_CREATE_MAPPING,
    TINY,
    X86_64,
    BusError,
    FileTableCache,
    Machine,
    MshareCreate,
    Segfault,
    validate,
)
from mmlib.__main__ import main
from mmlib.export import export
from mmlib.geometry import GUARD, PROTNONE, entry_pfn
from mmlib.image import ABSENT
from mmlib.kinds import BadInput
from mmlib.loading import load
from mmlib.memory import ZERO_PFN
from mmlib.mmu import walk as simulated_walk
from mmlib.scenario import Stage
from mmlib.worlds import simulator

DATA = Path(__file__).resolve().parent / "data"
FILES = ["examples-30", "examples-ptshare-10", "examples-hugetlb-10"]
ANON = MAP_PRIVATE | MAP_ANONYMOUS


def exported(machine, folder, tasks=None) -> Image:
    """The image of the living tasks, read back from the files."""
    export(machine, tasks or {task.name: task for task in machine.tasks}, folder)
    return Image.read(folder)


def images(name, sharing, positions, folder):
    """(what it is, image) after some ops of each sequence of a recording; *positions* takes the
    number of ops and returns those after which to look."""
    for sequence in load(str(DATA / f"{name}.json")).sequences:
        stage = Stage(sequence, simulator(sequence, sharing))
        for number, op in enumerate(sequence["ops"]):
            stage.act(op)
            if number in positions(len(sequence["ops"])):
                tasks = {str(n): task for n, task in stage.tasks.items()}
                yield f"{sequence['id']}, op {number}", exported(stage.world, folder, tasks)


def wrong(image: Image) -> list[str]:
    return mmu.wrong_by_walk(image) + mmu.wrong_by_mmu(image)


# machines with all that an entry can be --------------------------------------------------------
def random_machine(seed: int, huge: bool = True) -> Machine:
    """A machine after 100 random calls of up to four processes."""
    rng = random.Random(seed)
    geometry = rng.choice((X86_64, LA57))
    machine = Machine(geometry, sharing=rng.choice((None, FileTableCache())), trace=False,
                      huge_pages=3 if huge else 0)
    machine.mount("hugetlbfs", "/huge")
    files = [machine.memfd("small", 0x5000), machine.memfd("large", 4 << 20)]
    if huge:
        files.append(machine.open("/huge/f"))
        files[-1].truncate(4 << 20)
    a = machine.spawn("a")
    a.mmap(1 << 33, 4 << 20, "rw", MAP_SHARED | MAP_FIXED, files[1])
    for _ in range(100):
        try:
            random_call(rng, machine, rng.choice(machine.tasks), files)
        except (OSError, Segfault, BusError):
            pass
    validate(machine)
    return machine


def random_call(rng, machine, task, files) -> None:
    call = rng.choice(["map"] * 3 + ["load"] * 8 + ["store"] * 8 + ["protect"] * 2
                      + ["guard", "drop", "unmap", "fork", "fork", "exit"])
    if call == "map":
        top = machine.geometry.task_size
        addr = rng.choice((1 << 21, 1 << 30, 3 << 39, top // 3, top - 1)) & -1 << 21
        file, kind = rng.choice((None, *files)), rng.choice((MAP_PRIVATE, MAP_SHARED))
        task.mmap(addr, rng.choice((0x9000, 4 << 20)), rng.choice(("rw", "rw", "r", "rwx")),
                  kind | MAP_FIXED | (0 if file else MAP_ANONYMOUS), file)
    elif call == "fork" and len(machine.tasks) < 4:
        task.fork()
    elif call == "exit" and len(machine.tasks) > 1:
        task.exit()
    elif task.maps():
        row = rng.choice(task.maps())
        start = row.start + (rng.randrange(min(row.end - row.start, 0x5000)) & -4096)
        if call == "load":
            task.load(start + rng.randrange(4096))
        elif call == "store":
            task.store(start + rng.randrange(4096), rng.randrange(1, 256))
        elif call == "protect":
            task.mprotect(start, 0x3000, rng.choice(("", "r", "rw", "rx")))
        elif call == "guard":
            task.madvise(start, 0x2000, MADV_GUARD_INSTALL)
        elif call == "drop":
            task.madvise(start, 4 << 20, MADV_DONTNEED)
        elif call == "unmap":
            task.munmap(start, 0x4000)


def kinds(machine) -> Counter:
    """How often each kind of entry is there."""
    seen = Counter()
    for task in machine.tasks:
        for *_, entry in machine.tables.leaves(task.mm.pgd, 0, machine.geometry.task_size):
            folio = machine.memory.folio(entry_pfn(entry)) if entry != GUARD else None
            seen += Counter({
                "guard": entry == GUARD, "PROT_NONE": entry & PROTNONE != 0,
                "zero page": entry_pfn(entry) == ZERO_PFN, "writable": entry & RW != 0,
                "copy on write": folio is not None and folio.anon and folio.mapcount > 1,
                "executable": entry & P and not entry & NX, "huge": entry & PS != 0})
    return seen + Counter({
        "five levels": machine.geometry is LA57,
        "shared table": any(table.users > 1 for table in machine.tables.by_pfn.values())})


# the claims ------------------------------------------------------------------------------------
@pytest.mark.parametrize("sharing, name", [("private", name) for name in FILES]
                         + [("cache", "examples-ptshare-10")])
def test_recorded_sequences(name, sharing, tmp_path):
    """After a third, two thirds and all of the ops, every claim holds."""
    for what, image in images(name, sharing, lambda n: (n // 3, 2 * n // 3, n - 1), tmp_path):
        assert wrong(image) == [], what


@pytest.mark.slow
@pytest.mark.parametrize("sharing", ["private", "cache"])
@pytest.mark.parametrize("name", FILES)
def test_recorded_sequences_after_every_op(name, sharing, tmp_path):
    """The same without leaving an op out."""
    for what, image in images(name, sharing, range, tmp_path):
        assert wrong(image) == [], what


def test_random_machines(tmp_path):
    """Every claim holds for machines that have among them all that an entry can be."""
    seen = Counter()
    for seed in range(24):
        machine = random_machine(seed)
        assert wrong(exported(machine, tmp_path)) == [], seed
        seen += kinds(machine)
    assert len(seen) == 9, seen


@pytest.mark.slow
def test_many_random_machines(tmp_path):
    """The same for more of them."""
    for seed in range(1000):
        assert wrong(exported(random_machine(seed), tmp_path)) == [], seed


@pytest.mark.parametrize("geometry", [X86_64, LA57])
def test_one_machine_by_hand(geometry, tmp_path):
    """A written page, a page that was only read, a page without access, and no page."""
    machine = Machine(geometry)
    a = machine.spawn("a")
    start = a.mmap(geometry.task_size // 2 & -4096, 0x4000, "rw", ANON)
    a.store(start, b"hello")
    a.load(start + 0x1000)
    a.store(start + 0x2000, b"hidden")
    a.mprotect(start + 0x2000, 0x1000, "")
    image = exported(machine, tmp_path)
    [process] = image.told["processes"]
    results = {(claim["va"] - start) // 4096 * 4 + "rwx".index(claim["access"]): claim["result"]
               for claim in process["expect"][:9]}
    assert [results[page * 4 + access] for page in range(3) for access in range(3)] == [
        "ok", "ok", "fault", "ok", "fault", "fault", "fault", "fault", "fault"]
    assert (image.told["levels"], process["name"]) == (geometry.levels, "a")
    assert b"hello" in image.memory and b"hidden" in image.memory
    assert wrong(image) == []


def test_what_is_claimed(tmp_path):
    """Of each page in the tables a read, a write and a fetch, unless that would go well; of at
    least 64 other addresses, near and far, an access that must fault."""
    machine = random_machine(3)
    image = exported(machine, tmp_path)
    size = machine.geometry.task_size
    for process, task in zip(image.told["processes"], machine.tasks):
        pages, claimed = Counter(), Counter()
        for addr, table, _, entry in machine.tables.leaves(task.mm.pgd, 0, size):
            span = machine.geometry.entry_span(table.level)
            pages[addr] += 2 if entry & P and not entry & NX else 3
            claimed[addr] = sum(addr <= claim["va"] < addr + span
                                for claim in process["expect"][:-ABSENT])
        assert pages and claimed == pages and len(process["expect"]) == pages.total() + ABSENT
        rest = process["expect"][-ABSENT:]
        assert {claim["result"] for claim in rest} == {"fault"}
        assert {claim["access"] for claim in rest} == {"r", "w"}
        assert all(task.pagemap(claim["va"] & -4096, 4096)[0].present is False for claim in rest)


def test_no_two_claims_meet_the_same_byte(tmp_path):
    """A checker may store whatever it likes, in any order."""
    image = exported(random_machine(9), tmp_path)
    met = [(claim["pa"], cr3) for cr3, claim in mmu.claims(image) if claim["result"] == "ok"]
    assert len({pa for pa, _ in met}) == len(met)
    users = Counter(pa >> 12 for pa, _ in {(pa & -4096, cr3): None for pa, cr3 in met})
    assert max(users.values()) > 1      # there are pages that two processes meet


def test_bytes_are_claimed_where_a_page_has_some(tmp_path):
    """A wrong frame is not hidden by zeros: the first claim of a page tells of its data."""
    machine = Machine()
    a = machine.spawn("a")
    start = a.mmap(None, 0x2000, "rw", ANON)
    a.store(start + 7, 9)
    first = exported(machine, tmp_path).told["processes"][0]["expect"][0]
    assert (first["va"], first["access"], first["byte"]) == (start + 7, "r", 9)


def test_the_simulated_hardware_agrees(tmp_path):
    """What is claimed is what the simulator's own walk does, and the byte is what a load gives."""
    for seed in range(8):
        machine = random_machine(seed)
        for task, process in zip(machine.tasks, exported(machine, tmp_path).told["processes"]):
            for claim in process["expect"]:
                if claim["access"] != "x":
                    entry = simulated_walk(machine, task.mm, claim["va"], claim["access"] == "w")
                    assert bool(entry) == (claim["result"] == "ok"), claim
            faults = task.page_faults
            for claim in process["expect"]:
                if claim["result"] == "ok":
                    assert task.load(claim["va"])[0] == claim["byte"], claim
            assert task.page_faults == faults


# the picture of memory -------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(6))
def test_the_tables_are_as_the_format_says(seed, tmp_path):
    """Page 0 and slot 511 of every root are empty, interior entries allow everything, and no
    page is both table and data."""
    image = exported(random_machine(seed), tmp_path)
    tables = {}
    for process in image.told["processes"]:
        assert image.entry(process["cr3"] + 511 * 8) == 0
        tables |= mmu.tables_of(image, process["cr3"])
    assert not any(image.memory[:4096])
    for table, level in tables.items():
        for entry in (image.entry(table + slot * 8) for slot in range(512)):
            if level > 1 and entry and not entry & PS:
                assert entry & (P | RW | US | NX) == P | RW | US
            elif entry & P:
                assert entry & US and entry & mmu.ADDRESS not in tables


@pytest.mark.parametrize("name", ["examples-ptshare-10", "examples-hugetlb-10"])
def test_the_counts_are_those_of_a_walk(name, tmp_path):
    """Tables of each process, of all, and those that more than one CR3 leads to."""
    shared = 0
    for what, image in images(name, "cache", lambda n: (n - 1,), tmp_path):
        below = {process["name"]: mmu.tables_of(image, process["cr3"]).keys() - {process["cr3"]}
                 for process in image.told["processes"]}
        uses = Counter(table for tables in below.values() for table in tables)
        assert image.told["tables_per_process_without_root"] == {
            name: len(tables) for name, tables in below.items()}, what
        assert image.told["distinct_tables_without_roots"] == len(uses), what
        assert image.told["shared_tables"] == sum(n > 1 for n in uses.values()), what
        shared += image.told["shared_tables"]
    assert shared


@pytest.mark.parametrize("geometry, version, level", [
    (X86_64, 2022, 3), (LA57, 2022, 4), (X86_64, 2025, 3), (LA57, 2025, 3)])
def test_guests_of_a_region_walk_one_table(geometry, version, level, tmp_path):
    """Each from its own CR3; the linked table and all below it are in the image once."""
    machine = Machine(geometry, huge_pages=1)
    machine.mount("msharefs", "/ms", version=version)
    a, slot = machine.spawn("a"), geometry.span(level)
    file = a.open("/ms/r")
    if version == 2025:
        file.truncate(slot)
        for at, flags in ((0, 0), (2 << 20, MAP_HUGETLB)):
            file.ioctl(MSHAREFS_CREATE_MAPPING, MshareCreate(at, 2 << 20, 0, "rw", flags
                                                             | MAP_SHARED | MAP_FIXED))
    a.mmap(slot, slot, "rw", MAP_SHARED, file)
    for at in (0, 0x5000, 2 << 20):
        a.store(slot + at, b"shared")
    b = machine.spawn("b")
    b.mmap(slot if version == 2022 else 2 * slot, slot, "rw", MAP_SHARED, file)
    b.load(b.maps()[0].start)
    image = exported(machine, tmp_path)
    assert wrong(image) == []
    own = 2 if level < geometry.levels - 1 else 0      # P4D tables of the guests
    below = machine.table_count - own - (own > 0)       # and the host's
    assert (image.told["shared_tables"], image.told["distinct_tables_without_roots"]) == (
        below, below + own)


def test_threads_have_one_cr3(tmp_path):
    """Two tasks of one mm are two processes of the image, and no table of theirs is shared."""
    machine = Machine()
    a = machine.spawn("a")
    a.store(a.mmap(None, 4096, "rw", ANON), 1)
    a.clone("b")
    told = exported(machine, tmp_path).told
    assert [process["cr3"] for process in told["processes"]] == [a.mm.pgd.pfn << 12] * 2
    assert (told["distinct_tables_without_roots"], told["shared_tables"]) == (3, 0)


def test_two_exports_are_the_same_bytes(tmp_path):
    """Nothing in an image depends on chance."""
    for folder in ("a", "b"):
        export(*(lambda m: (m, {t.name: t for t in m.tasks}))(random_machine(5)),
               tmp_path / folder)
    for name in ("image.bin", "image.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


# what the checks are worth ---------------------------------------------------------------------
def telling_bits(image: Image) -> list[tuple[int, int]]:
    """(where the entry lies, bit): each bit of an entry on the way to a page that, flipped, makes
    a claim wrong: P and US everywhere; RW, a set NX and the address in a leaf."""
    flips = {}
    for cr3, claim in mmu.claims(image):
        path, pa = mmu.walk(image, cr3, claim["va"], claim["access"])
        if pa is None:
            continue
        flips |= {(at, bit): None for at in path for bit in (P, US)}
        leaf = image.entry(path[-1])
        page = 1 << 21 if leaf & PS else 1 << 12
        flips |= {(path[-1], bit): None for bit in (RW, leaf & NX, *(page << n for n in range(9)))
                  if bit}
    return list(flips)


def flipped(image: Image, at: int, bit: int) -> Image:
    memory = image.memory.copy()
    memory[at:at + 8] = (image.entry(at) ^ bit).to_bytes(8, "little")
    return Image(image.told, memory)


def test_a_flipped_bit_is_noticed_by_the_walk(tmp_path):
    """Each bit that means something, one at a time."""
    for seed in (6, 9):
        image = exported(random_machine(seed, huge=False), tmp_path)
        flips = telling_bits(image)
        assert len(flips) > 100
        for at, bit in flips:
            assert mmu.wrong_by_walk(flipped(image, at, bit)), (seed, hex(at), hex(bit))


@pytest.mark.parametrize("seed", [3, 9])
def test_a_flipped_bit_is_noticed_by_the_mmu(seed, tmp_path):
    """A sample of them; huge pages too."""
    image = exported(random_machine(seed), tmp_path)
    for at, bit in random.Random(seed).sample(telling_bits(image), 40):
        assert mmu.wrong_by_mmu(flipped(image, at, bit)), (hex(at), hex(bit))


def test_mmu_and_walk_agree_about_damaged_tables(tmp_path):
    """Whatever bits of permission are set at whatever level, both come to the same place."""
    rng = random.Random(1)
    for seed in range(4):
        image = exported(random_machine(seed, huge=False), tmp_path)
        paths = [mmu.walk(image, cr3, claim["va"], "r")[0] for cr3, claim in mmu.claims(image)]
        for at in {at: None for path in paths for at in path}:
            if rng.random() < 0.3:
                image = flipped(image, at, rng.choice((P, RW, US, NX)))
        machine = mmu.Mmu(image)
        for cr3, claim in mmu.claims(image):
            for access in "rwx":
                pa = mmu.walk(image, cr3, claim["va"] & -16, access)[1]
                got = machine.access(cr3, claim["va"] & -16, access)
                assert (got == "fault") == (pa is None), (seed, claim, access, got)


def test_the_mmu_fetches_where_it_may(tmp_path):
    """A fetch goes well from executable memory alone: faults of fetches are no accident."""
    machine = Machine()
    a = machine.spawn("a")
    start = a.mmap(None, 0x2000, "rwx", ANON)
    a.mprotect(start + 0x1000, 0x1000, "rw")
    a.store(start, 0x90)
    a.store(start + 0x1000, 0x90)
    walker = mmu.Mmu(exported(machine, tmp_path))
    cr3 = a.mm.pgd.pfn << 12
    assert isinstance(walker.access(cr3, start, "x"), int)
    assert walker.access(cr3, start + 0x1000, "x") == "fault"


def test_a_new_cr3_forgets_the_old_one(tmp_path):
    """The MMU's TLB holds nothing over from process to process, nor from a changed entry."""
    machine = Machine()
    start = 0x20_0000
    for number in (1, 2):
        task = machine.spawn()
        task.mmap(start, 0x1000, "rw", ANON | MAP_FIXED)
        task.store(start, number)
    walker = mmu.Mmu(exported(machine, tmp_path))
    roots = [task.mm.pgd.pfn << 12 for task in machine.tasks]
    assert [walker.access(cr3, start, "r") for cr3 in roots * 2] == [1, 2, 1, 2]
    path, _ = mmu.walk(walker.image, roots[0], start, "r")
    walker.uc.mem_write(path[-1], bytes(8))
    assert [walker.access(cr3, start, "r") for cr3 in roots] == ["fault", 2]


# the command -----------------------------------------------------------------------------------
def test_command(tmp_path, capsys):
    """It runs up to the op that was named, and its processes are called by their numbers."""
    out = tmp_path / "new/folder"
    assert main(["export", str(DATA / "examples-ptshare-10.json"), "--sequence", "ptshare-008",
                 "--op", "15", "--sharing", "cache", "--out", str(out)]) == 0
    image = Image.read(out)
    [line] = capsys.readouterr().out.splitlines()
    assert f"sequence ptshare-008 after 16 ops: {len(image.told['processes'])} processes" in line
    assert f"{len(mmu.claims(image))} claims" in line
    assert [process["name"] for process in image.told["processes"]] == list("0123")
    assert image.told["shared_tables"] > 0
    assert wrong(image) == []


def test_without_sharing_no_table_is_shared(tmp_path):
    """What `--sharing private` says."""
    main(["export", str(DATA / "examples-ptshare-10.json"), "--sequence", "ptshare-008",
          "--sharing", "private", "--out", str(tmp_path)])
    assert Image.read(tmp_path).told["shared_tables"] == 0


def test_default_is_all_of_the_first_sequence(tmp_path):
    """Neither --sequence nor --op need be given."""
    file = DATA / "examples-30.json"
    first = json.loads(file.read_text())["sequences"][0]
    last = str(len(first["ops"]) - 1)
    main(["export", str(file), "--out", str(tmp_path / "a")])
    main(["export", str(file), "--out", str(tmp_path / "b"), "--sequence", first["id"],
          "--op", last])
    a, b = (Image.read(tmp_path / name) for name in "ab")
    assert a == b


def test_our_own_format(tmp_path):
    """Five levels, threads, and a process that has gone."""
    file = tmp_path / "own.json"
    mmap = {"op": "mmap", "proc": 0, "addr": 0, "len": 8192, "prot": "rw",
            "flags": ["private", "anon", "fixed"]}
    ops = [mmap, {"op": "store", "proc": 0, "addr": 5, "value": 7},
           {"op": "fork", "proc": 0, "child": 1}, {"op": "clone", "proc": 1, "child": 2},
           {"op": "exit", "proc": 0}]
    file.write_text(json.dumps({"format": "mmlib/1", "sequences": [
        {"id": "s", "geometry": "LA57", "ops": ops}]}))
    assert main(["export", str(file), "--out", str(tmp_path)]) == 0
    image = Image.read(tmp_path)
    assert image.levels == 5
    assert [process["name"] for process in image.told["processes"]] == ["1", "2"]
    assert wrong(image) == []


@pytest.mark.parametrize("arguments, told", [
    (["--op", "14"], "--op: expected an op, 0 to 13, not 14"),
    (["--op", "-1"], "--op: expected an op, 0 to 13, not -1"),
    (["--op", "x"], "--op: invalid int value"),
    (["--sequence", "none"], "--sequence: expected the id of a sequence (fileprivate-000, ...)"),
    (["--sharing", "mshare"], "--sharing: invalid choice"),
    (["--out", str(DATA / "examples-30.json")], "expected a folder that can be written"),
    (["--out", ""], "--out: expected a folder, such as ., not ''"),
])
def test_bad_input_is_told_in_one_line(arguments, told, tmp_path, capsys):
    """Exit status 2, and what was expected."""
    command = ["export", str(DATA / "examples-30.json"), "--out", str(tmp_path), *arguments]
    assert main(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line
    assert list(tmp_path.iterdir()) == []


def test_no_processor_walks_tiny(tmp_path, capsys):
    """It is refused by the function and, in one line, by the command; nothing is written."""
    with pytest.raises(BadInput, match="no processor"):
        export(Machine(TINY), {}, tmp_path / "out")
    file = tmp_path / "tiny.json"
    file.write_text('{"format": "mmlib/1", "sequences": [{"id": "s", "geometry": "TINY", '
                    '"ops": []}]}')
    assert main(["export", str(file), "--out", str(tmp_path / "out")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f'{file}, sequence "s", field "geometry": expected X86_64 or LA57')
    assert not (tmp_path / "out").exists()
