"""The two worlds that a scenario runs on: a simulated machine and the kernel of this computer.

Both have the same calls.  Whatever else differs between them, a scenario asks here.
"""

import os
import platform
import re
from contextlib import contextmanager

from . import abilities
from .abi import MADV_HWPOISON, MADV_NOSHARE_TABLES, MADV_SHARE_TABLES, MADV_SOFT_OFFLINE
from .formats import GEOMETRIES, TIERS
from .geometry import PRESENT, X86_64, entry_pfn
from .kinds import BadInput, at, shown
from .machine import Machine
from .memory import ZERO_PFN
from .sharing import FileTableCache, Private

ARENA = 0x2000_0000_0000                # where address 0 of a scenario lies
# Advice that no kernel knows, or that would take pages of this computer out of use for good.
NOT_LINUX = ("noshare_tables", "share_tables", MADV_NOSHARE_TABLES, MADV_SHARE_TABLES,
             "hwpoison", "soft_offline", MADV_HWPOISON, MADV_SOFT_OFFLINE)


def simulator(sequence: dict, sharing: str | None = None, trace: bool = False) -> Machine:
    """A fresh machine as *sequence* asks for it; *sharing* "private" or "cache" overrules it.

    A machine for a hugetlb file has as many huge pages as could be touched, and always shares
    their PMD tables.

    >>> simulator({"geometry": "TINY", "cpus": 2, "ops": []}).geometry
    TINY
    """
    huge = sequence.get("huge_pages", 0)
    policy = {None: None, "private": Private(), "cache": FileTableCache(),
              "cache-pte": FileTableCache(levels=("pte",))}[sharing or sequence.get("sharing")]
    if "file_gib" in sequence:
        huge, policy = pages_wanted(sequence), None
    return Machine(GEOMETRIES[sequence.get("geometry") or X86_64.name], sharing=policy,
                   huge_pages=huge, cpus=sequence.get("cpus", 1), trace=trace)


@contextmanager
def world(sequence: dict, on: str = "sim", sharing: str | None = None):
    """A fresh world for *sequence*, "sim" or "linux", and its end; raises BadInput for what this
    world cannot be asked."""
    if on == "sim":
        yield simulator(sequence, sharing)
        return
    check_linux(sequence)
    from .linux import Linux, Lost      # only here: not every system has what it needs
    try:
        with Linux() as linux:
            yield linux
    except (Lost, OSError) as why:      # the OSError of an op is its answer: this is none
        raise BadInput(f"expected a process that answers; {why}") from None


def check_linux(sequence: dict) -> None:
    """Raise BadInput if *sequence* asks for what no Linux can do, or this one not."""
    if why := abilities.refusal():
        raise BadInput(f"--on linux: expected a kernel that can be asked: {why}")
    if sequence.get("geometry", X86_64.name) != X86_64.name:
        raise BadInput(f"expected X86_64 with --on linux, not {sequence['geometry']}",
                       'field "geometry"')
    if "sharing" in sequence:
        raise BadInput(f"expected none with --on linux, which shares tables as it does, not "
                       f"{shown(sequence['sharing'])}", 'field "sharing"')
    if sequence.get("cpus", 1) > (os.cpu_count() or 1):
        raise BadInput(f"expected at most {os.cpu_count()} with --on linux, the CPUs of this "
                       f"computer, not {sequence['cpus']}", 'field "cpus"')
    for number, op in enumerate(sequence["ops"]):
        with at(f"op {number}"):
            if op["op"] in ("shrink", "ioctl") or op.get("advice") in NOT_LINUX:
                what = op["advice"] if "advice" in op else op["op"]
                raise BadInput(f"expected what Linux can do with --on linux, not {shown(what)}")


def cannot(sequence: dict, on: str) -> dict[str, str]:
    """The tiers of *sequence* that a world has no answer to, and why."""
    if on == "sim" or abilities.refusal():
        return {}
    if "file_gib" in sequence:
        asked, free = pages_wanted(sequence), abilities.free_huge_pages()
        if free < asked:
            return dict.fromkeys(TIERS, f"up to {asked} huge pages are asked for, and the pool of "
                                        f"this kernel has {free}")
    if not abilities.frame_numbers() or "file_gib" in sequence and not abilities.map_counts():
        return {"frames": "this kernel hides the numbers of frames; only root is told them"}
    return {}


def pages_wanted(sequence: dict) -> int:
    """Huge pages that a sequence on a hugetlb file could touch."""
    return sum(op["op"] in ("load", "store") for op in sequence["ops"])


def lacking(kind=None) -> list[str]:
    """What the simulator does and the kernel of this computer does not, as far as probes tell; or
    worlds that *kind* makes."""
    from .linux import probe
    return probe.lacking(*[kind] * (kind is not None))


def recorded_on() -> dict[str, str]:
    """Kernel version and machine type of this computer, and nothing else of it."""
    version = re.match(r"[0-9]+(\.[0-9]+){0,2}", platform.release())
    return {"kernel": version[0] if version else "unknown", "machine": platform.machine()}


def arena(world) -> int:
    """The address where a scenario's address 0 lies: far from all else, or 0 if TINY."""
    return ARENA if getattr(world, "geometry", X86_64).task_size > 2 * ARENA else 0


def present(world, task) -> list[tuple[int, int]]:
    """(address, frame) of every present page of *task*, upwards; a PROT_NONE page is present."""
    if not isinstance(world, Machine):
        return task.present()
    leaves = world.tables.leaves(task.mm.pgd, 0, world.geometry.task_size)
    return [(addr, entry_pfn(entry)) for addr, _, _, entry in leaves if entry & PRESENT]


def zero_frame(world) -> int:
    """The frame of the shared zero page."""
    return ZERO_PFN if isinstance(world, Machine) else world.zero_frame


def mapcount(world, frame: int) -> int:
    """How many entries map the page in *frame*."""
    if not isinstance(world, Machine):
        return world.mapcount(frame)
    return world.memory.folio(frame).mapcount
