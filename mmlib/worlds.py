"""The two worlds that a scenario runs on: a simulated machine and the kernel of this computer.

Both have the same calls.  Whatever else differs between them, a scenario asks here.
"""

import platform
import re
from contextlib import contextmanager

from .formats import GEOMETRIES
from .geometry import PRESENT, X86_64, entry_pfn
from .kinds import BadInput
from .machine import Machine
from .memory import ZERO_PFN
from .sharing import FileTableCache, Private

ARENA = 0x2000_0000_0000                # where address 0 of a scenario lies


def simulator(sequence: dict, sharing: str | None = None, trace: bool = False) -> Machine:
    """A fresh machine as *sequence* asks for it; *sharing* "private" or "cache" overrules it.

    A machine for a hugetlb file has as many huge pages as could be touched, and always shares
    their PMD tables.

    >>> simulator({"geometry": "TINY", "cpus": 2, "ops": []}).geometry
    TINY
    """
    huge = sequence.get("huge_pages", 0)
    policy = {None: None, "private": Private(), "cache": FileTableCache()}[
        sharing or sequence.get("sharing")]
    if "file_gib" in sequence:
        huge, policy = sum(op["op"] in ("load", "store") for op in sequence["ops"]), None
    return Machine(GEOMETRIES[sequence.get("geometry") or X86_64.name], sharing=policy,
                   huge_pages=huge, cpus=sequence.get("cpus", 1), trace=trace)


@contextmanager
def world(sequence: dict, on: str = "sim", sharing: str | None = None):
    """A fresh world for *sequence*, "sim" or "linux", and its end; raises BadInput for what this
    world cannot be asked."""
    if on == "sim":
        yield simulator(sequence, sharing)
    else:
        raise BadInput("--on linux is not yet known")


def cannot(world) -> dict[str, str]:
    """The tiers that *world* has no answer to, and why."""
    return {}


def recorded_on() -> dict[str, str]:
    """Kernel version and machine type of this computer, and nothing else of it."""
    version = re.match(r"[0-9]+(\.[0-9]+){0,2}", platform.release())
    return {"kernel": version[0] if version else "unknown", "machine": platform.machine()}


def arena(world) -> int:
    """The address where a scenario's address 0 lies: far from all else, or 0 if TINY."""
    return ARENA if getattr(world, "geometry", X86_64).task_size > 2 * ARENA else 0


def present(world, task) -> list[tuple[int, int]]:
    """(address, frame) of every present page of *task*, upwards; a PROT_NONE page is present."""
    leaves = world.tables.leaves(task.mm.pgd, 0, world.geometry.task_size)
    return [(addr, entry_pfn(entry)) for addr, _, _, entry in leaves if entry & PRESENT]


def zero_frame(world) -> int:
    """The frame of the shared zero page."""
    return ZERO_PFN


def mapcount(world, frame: int) -> int:
    """How many entries map the page in *frame*."""
    return world.memory.folio(frame).mapcount
