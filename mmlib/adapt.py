"""The same scenario under another way to share: what a program has to do otherwise.

Three ways are a choice of the kernel: private, cache-pte, cache.  For the others the program
changes, as regimes.py does it for its own: processes become threads, a file moves to hugetlbfs, or
a region of msharefs stands in its place.

>>> from .script import read
>>> script = read('''db = machine.memfd("db", 0x40000)
... a = machine.spawn("a")
... b = a.fork("b")
... a.mmap(0x40000, 0x40000, "rw", MAP_SHARED, db)
... b.mmap(0x40000, 0x40000, "rw", MAP_SHARED, db)''')
>>> from .transcript import write
>>> print(write(under(script, "threads").sequence))
machine = Machine(TINY, sharing=Private())
db = machine.memfd('db', 0x40000)
a = machine.spawn('a')
b = a.clone('b')
a.mmap(0x40000, 0x40000, 'rw', MAP_SHARED, db)
>>> print(write(under(script, "hugetlb").sequence).split("a = ")[0])
machine = Machine(TINY, huge_pages=16)
machine.mount('hugetlbfs', '/huge')
db = machine.open('/huge/db')
db.truncate(0x40000)
<BLANKLINE>
"""

from .formats import GEOMETRIES, SHARING
from .kinds import BadInput, shown
from .regimes import REGIMES
from .script import Script
from .sequences import check_sequence

PLACE = "/sys/fs/mshare"


def under(script: Script, regime: str | None) -> Script:
    """*script* under a regime of regimes.py; None leaves it as it is.  Its lines are those of the
    text that it comes from.  Raises BadInput for another regime."""
    if regime is None:
        return script
    if regime not in REGIMES:
        raise BadInput(f"expected a regime ({', '.join(REGIMES)}), not {shown(regime)}")
    sequence = {name: part for name, part in script.sequence.items() if name != "sharing"}
    if regime in SHARING:
        return script._replace(sequence=sequence | {"sharing": regime})
    adapted = {"threads": threads, "hugetlb": hugetlb, "mshare": mshare,
               "mshare-2025": mshare_2025}[regime](script, sequence)
    check_sequence(adapted.sequence)
    return adapted


def threads(script: Script, sequence: dict) -> Script:
    """Each process is a thread of the first; what one has mapped, no other maps again."""
    mapped, kept = set(), []
    for op, line in zip(sequence["ops"], script.lines):
        if op["op"] in ("fork", "spawn"):
            op = {"op": "clone", "proc": op.get("proc", 0), "child": op["child"]}
        place = op.get("addr"), op.get("file")
        if op["op"] != "mmap" or place not in mapped:
            kept.append((op, line))
        if op["op"] == "mmap":
            mapped.add(place)
    return Script(head(sequence, kept, sharing="private"), [line for _, line in kept], script.setup)


def hugetlb(script: Script, sequence: dict) -> Script:
    """The files are on hugetlbfs, in whole huge pages, and the pool has as many."""
    geometry = GEOMETRIES[sequence["geometry"]]
    span, files = geometry.huge_size // geometry.page_size, []
    for file in sequence.get("files", ()):
        path = file.get("path", f"/huge/{file['id']}")
        files.append({"id": file["id"], "path": path, "pages": -(-file["pages"] // span) * span})
    pool = sequence.get("huge_pages", 0) + sum(file["pages"] // span for file in files)
    mounts = mounted(sequence, fstype="hugetlbfs", path="/huge")
    return script._replace(sequence=head(sequence, zip(sequence["ops"], script.lines),
                                         huge_pages=pool, files=files, mounts=mounts))


def mshare(script: Script, sequence: dict) -> Script:
    """A file is a region of msharefs, by the rules of 2022: its first mmap says where it lies."""
    first = [({"op": "open", "proc": 0, "file": file["id"], "path": f"{PLACE}/{file['id']}"},
              script.setup[f"file {file['id']}"]) for file in sequence.get("files", ())]
    ops = [*first, *whole_slots(sequence, script.lines)]
    mounts = mounted(sequence, fstype="msharefs", path=PLACE)
    return Script(head(sequence, ops, files=[], mounts=mounts), [line for _, line in ops],
                  script.setup)


def mshare_2025(script: Script, sequence: dict) -> Script:
    """A file is mapped into a region, by the rules of 2025, and the region by the processes: where
    its first mmap has it, seen from the border of a slot."""
    first, files, slot = [], [], slot_size(sequence)
    for file in sequence.get("files", ()):
        region, inside = file["id"], file["id"] + "_inside"
        files.append(file | {"id": inside})
        low = next((op.get("addr") or 0 for op in sequence["ops"]
                    if op["op"] == "mmap" and op.get("file") == region), 0) % slot
        size = file["pages"] << 12
        arg = {"region_offset": low, "size": size, "prot": "rw",
               "flags": ["shared", "fixed"], "file": inside}
        line = script.setup[f"file {region}"]
        first += [(op, line) for op in (
            {"op": "open", "proc": 0, "file": region, "path": f"{PLACE}/{region}"},
            {"op": "ftruncate", "proc": 0, "file": region,
             "len": max(1, -(-(low + size) // slot)) * slot},
            {"op": "ioctl", "proc": 0, "file": region, "request": "create_mapping", "arg": arg})]
    ops = [*first, *whole_slots(sequence, script.lines)]
    mounts = mounted(sequence, fstype="msharefs", path=PLACE, version=2025)
    return Script(head(sequence, ops, files=files, mounts=mounts), [line for _, line in ops],
                  script.setup | {f"file {file['id']}": script.setup[f"file {was['id']}"]
                                  for file, was in zip(files, sequence.get("files", ()))})


def slot_size(sequence: dict) -> int:
    """Bytes that one link to a region maps."""
    geometry = GEOMETRIES[sequence["geometry"]]
    return geometry.entry_span(geometry.levels)


def whole_slots(sequence: dict, lines: list[int]) -> list[tuple[dict, int]]:
    """The ops with their lines; a region is mapped, and unmapped, by whole slots around what the
    program has named.  A slot that is taken is not taken away: EEXIST."""
    slot, files, mapped, out = slot_size(sequence), {
        file["id"] for file in sequence.get("files", ())}, set(), []
    for op, line in zip(sequence["ops"], lines):
        range_ = op.get("addr"), op.get("len")
        attach = op["op"] == "mmap" and op.get("file") in files and op["len"] > 0
        if attach:
            mapped.add(range_)
        if attach or op["op"] == "munmap" and range_ in mapped:
            low = (op.get("addr") or 0) % slot
            op = op | {"len": -(-(low + op["len"]) // slot) * slot}
            if op.get("addr") is not None:
                op |= {"addr": op["addr"] - low}
        if attach:
            op = {name: value for name, value in op.items() if name != "off"}
            if op.get("addr") is not None and "fixed" not in op.get("flags", ()):
                op |= {"flags": [*op.get("flags", ()), "fixed_noreplace"]}
        out.append((op, line))
    return out


def mounted(sequence: dict, **mount) -> list[dict]:
    """The mounts of *sequence*, and one more, in the place of what is mounted there."""
    return [*(one for one in sequence.get("mounts", ()) if one["path"] != mount["path"]), mount]


def head(sequence: dict, ops, **changed) -> dict:
    """*sequence* with other ops and another head."""
    return {name: part for name, part in (sequence | changed | {"ops": None}).items()
            if part} | {"ops": [op for op, _ in ops]}
