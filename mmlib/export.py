"""A machine as physical memory: its page tables as the bytes that an x86-64 MMU walks.

The format is mmimage/1 (docs/formats.md): `image.bin` is physical memory from address 0 and
`image.json` says which CR3 belongs to whom and what must come of accesses.  Frame numbers are
physical addresses here already, so nothing is translated: what the simulator walked is what an
independent MMU walks.
"""

import json
import random
import struct
from pathlib import Path

from .geometry import NX, PRESENT, P, entry_pfn
from .memory import ZERO_PFN
from .tables import writable

ABSENT = 64                             # claims of addresses that must fault, a process


def memory_image(machine) -> bytearray:
    """Physical memory from address 0: every table and every page in its frame.

    Raises ValueError for a geometry that no processor has."""
    geometry = machine.geometry
    if geometry.entries != 512:
        raise ValueError(f"no processor walks tables of {geometry.entries} entries; use X86_64")
    tables, folios = machine.tables.by_pfn, machine.memory.folios
    top = max([ZERO_PFN, *tables, *folios]) + 1
    image = bytearray(top * geometry.page_size)
    for pfn, table in tables.items():
        for index, entry in machine.tables.present(table):
            struct.pack_into("<Q", image, pfn * geometry.page_size + index * 8, entry)
    for pfn, folio in folios.items():
        if folio.data is not None:
            image[pfn * geometry.page_size:(pfn + 1) * geometry.page_size] = folio.data
    return image


def claims(machine, task, image: bytes, seed: int = 0) -> list[dict]:
    """What must come of accesses of *task*: read, write and fetch of every present page, and of
    at least 64 addresses where nothing may be reached."""
    rng, geometry, out, present = random.Random(seed), machine.geometry, [], []
    for addr, _, _, entry in machine.tables.leaves(task.mm.pgd, 0, geometry.task_size):
        within = rng.randrange(geometry.page_size)
        va, pa = addr + within, (entry_pfn(entry) << geometry.page_shift) + within
        present.append(addr)
        good = {"result": "ok", "pa": pa, "byte": image[pa]}
        fault = {"result": "fault"}
        for access, allowed in (("r", entry & P), ("w", entry & P and writable(entry)),
                                ("x", entry & P and not entry & NX)):
            if access != "x" or not allowed:
                out.append({"va": va, "access": access, "user": True,
                            **(good if allowed else fault)})
    return out + [{"va": va, "access": rng.choice("rw"), "user": True, "result": "fault"}
                  for va in absent(machine, task, present, rng)]


def absent(machine, task, present: list[int], rng: random.Random) -> list[int]:
    """Addresses that no entry maps: beside present pages, inside VMAs, and anywhere."""
    geometry, size = machine.geometry, machine.geometry.page_size
    near = [addr + n * size for addr in present for n in (-512, -1, 1, 512)]
    near += [at for vma in task.mm.vmas for at in (vma.start - 1, vma.start, vma.end - 1, vma.end)]
    rng.shuffle(near)
    found = {}
    while len(found) < ABSENT:
        va = near.pop() + rng.randrange(size) if near else rng.randrange(geometry.task_size)
        if 0 <= va < geometry.task_size:
            entry = machine.tables.lookup(task.mm.pgd, va)[2]
            if not entry & PRESENT:
                found[va] = None
    return list(found)


def image_description(machine, tasks: dict, image: bytes) -> dict:
    """The contents of image.json for *tasks*, a dict of name and Task."""
    roots = {t.mm.pgd.pfn for t in machine.tasks}
    shared = [t for t in machine.tables.by_pfn.values() if t.users > 1]
    return {
        "format": "mmimage/1", "levels": machine.geometry.levels, "image": "image.bin",
        "processes": [{"name": name, "cr3": task.mm.pgd.pfn << machine.geometry.page_shift,
                       "expect": claims(machine, task, image)} for name, task in tasks.items()],
        "tables_per_process_without_root": {n: t.reachable_tables for n, t in tasks.items()},
        "distinct_tables_without_roots": len(machine.tables.by_pfn) - len(roots),
        "shared_tables": len(shared),
    }


def export(machine, tasks: dict, out: Path) -> dict:
    """Write image.bin and image.json into the folder *out*; returns the description.

    >>> import tempfile
    >>> from mmlib import Machine
    >>> m = Machine(); a = m.spawn("a")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(m, {"a": a}, Path(folder))["processes"][0]["cr3"]
    8192
    """
    image = memory_image(machine)
    description = image_description(machine, tasks, image)
    out.mkdir(parents=True, exist_ok=True)
    (out / "image.bin").write_bytes(image)
    (out / "image.json").write_text(json.dumps(description, indent=1) + "\n")
    return description
