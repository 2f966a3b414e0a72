"""Count what a database costs: many processes share one region, under each way to share tables.

The first process writes every page, each of the others reads every page. Tables (top-level ones
too), their bytes and the faults are counted by the machine that the notebooks step through.
"""

import argparse
import gc
import json
import re
import sys
import time
from contextlib import contextmanager

from .abi import MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, MSHAREFS_CREATE_MAPPING
from .geometry import X86_64
from .kinds import BadInput
from .machine import Machine
from .msharefile import MshareCreate
from .sharing import FileTableCache, Private

PAGE, HUGE, SLOT = X86_64.page_size, X86_64.huge_size, X86_64.entry_span(4)
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
LEVELS = ("pte", "pmd", "pud", "pgd")

# regime: (the policy, is the file of huge pages, are the clients threads)
REGIMES = {
    "private": (Private, False, False),
    "threads": (Private, False, True),
    "private-2M": (Private, True, False),
    "hugetlb": (lambda: None, True, False),
    "cache-pte": (lambda: FileTableCache(("pte",)), False, False),
    "cache": (FileTableCache, False, False),
    "mshare": (Private, False, False),
}
KNOWN = REGIMES | {"mshare-2025": REGIMES["mshare"]}    # is asked for by name: `all` is the others
MOST = 1 << 22                          # processes: no kernel has more (PID_MAX_LIMIT)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=size, default=300 << 30, help="of the region (300GiB)")
    parser.add_argument("--processes", type=int, default=1500, help="how many share it (1500)")
    parser.add_argument("--misalign", type=size, default=0, metavar="BYTES",
                        help="shift the start against the file's offset 0, by whole pages")
    parser.add_argument("--diverge", type=int, default=0, metavar="N",
                        help="each process then makes N pages its own")
    parser.add_argument("--sharing", choices=(*KNOWN, "all"), default="all", metavar="REGIME",
                        help=f"{', '.join(KNOWN)}, or all but the last (default)")
    parser.add_argument("--on", choices=("sim", "linux"), default="sim",
                        help="the simulator (default) or, private only, this computer's kernel")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def size(text: str) -> int:
    """Bytes, as a number with a unit.

    >>> size("300GiB"), size("12KiB"), size("4096")
    (322122547200, 12288, 4096)
    """
    found = re.fullmatch(r"([0-9]{1,18})\s*(|B|KiB|MiB|GiB|TiB)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected bytes such as 300GiB, not {text!r}")
    return int(found[1]) * UNITS[found[2]]


def run(args: argparse.Namespace) -> int:
    """The command; raises BadInput."""
    check(args)
    rows = [on_linux(args)] if args.on == "linux" else [measure(
        regime, args.size, args.processes, args.misalign, args.diverge, progress)
        for regime in (REGIMES if args.sharing == "all" else [args.sharing])]
    told = {"size": args.size, "processes": args.processes, "misalign": args.misalign,
            "peak_rss_bytes": peak(), "rows": rows}
    print(json.dumps(told) if args.json else table(told))
    return 0


def check(args: argparse.Namespace) -> None:
    """Raises BadInput for what cannot be mapped."""
    for name, least in (("size", 1), ("processes", 1), ("diverge", 0)):
        if (value := getattr(args, name)) < least:
            raise BadInput(f"--{name}: expected at least {least}, not {value}")
    if args.processes > MOST:
        raise BadInput(f"--processes: expected at most {MOST}, not {args.processes}")
    if args.size % PAGE or args.misalign % PAGE:
        raise BadInput(f"--size, --misalign: expected multiples of {PAGE}, not {args.size} and "
                       f"{args.misalign}")
    if args.misalign + args.size > X86_64.task_size - 2 * SLOT:
        raise BadInput(f"--size: expected a region that fits the address space, not {args.size}")
    if args.diverge * args.processes > args.size // HUGE:
        raise BadInput(f"--diverge: expected at most {args.size // HUGE // args.processes}, one "
                       f"page in each 2 MiB of the region, not {args.diverge}")
    if args.on == "linux" and (args.sharing not in ("private", "all") or args.diverge):
        raise BadInput("--on linux: expected --sharing private, without --diverge")


def measure(regime: str, size: int, processes: int, misalign: int = 0, diverge: int = 0,
            watch=None) -> dict:
    """One row: the tables, bytes and faults of *regime*; *watch* is as `progress`.

    >>> row = measure("cache", 1 << 30, 3); row["tables"], row["faults"]
    ({'pgd': 3, 'pud': 3, 'pmd': 1, 'pte': 512}, 262146)
    """
    huge = KNOWN[regime][1]
    if huge and (size % HUGE or misalign % HUGE):
        what = "start" if misalign % HUGE else "length"
        return {"regime": regime,
                "skipped": f"EINVAL: the {what} is not a multiple of {HUGE}, the size of a page"}
    if regime.startswith("mshare") and diverge:
        return {"regime": regime, "skipped": "EINVAL: a page within a region is everybody's"}
    start = time.perf_counter()
    with collector_off():
        machine = experiment(regime, size, processes, misalign, diverge, watch)
    counts = machine.tables.counts
    return {"regime": regime, "page_size": HUGE if huge else PAGE,
            "tables": {name: counts[level] for level, name
                       in reversed(list(enumerate(LEVELS, 1)))},
            "total_tables": sum(counts), "bytes": sum(counts) * PAGE,
            "faults": machine.counters["faults"],
            "seconds": round(time.perf_counter() - start, 3)}


@contextmanager
def collector_off():
    """Without the garbage collector: a run makes little garbage, but much to look at."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def experiment(regime: str, size: int, processes: int, misalign: int = 0,
               diverge: int = 0, watch=None, cpus: int = 1) -> Machine:
    """The machine after the run; the processes are dealt out to its CPUs in turn."""
    policy, huge, threads = KNOWN[regime]
    machine = Machine(sharing=policy(), trace=False, cpus=cpus,
                      huge_pages=(size // HUGE + diverge * processes) * huge)
    if huge:
        machine.mount("hugetlbfs", "/huge")
        file = machine.open("/huge/db")
        file.truncate(size)
    else:
        file = machine.memfd("db", size)
    at, first, length, page = SLOT + misalign, None, size, HUGE if huge else PAGE
    if regime.startswith("mshare"):     # a region of its own, made of whole slots: no file offset
        machine.mount("msharefs", "/mshare", version=2025 if regime == "mshare-2025" else 2022)
        file, at, length = machine.open("/mshare/db"), SLOT, -(-size // SLOT) * SLOT
        if regime == "mshare-2025":
            file.truncate(length)
            inside = MshareCreate(0, size, 0, "rw", MAP_SHARED | MAP_FIXED)
            file.ioctl(MSHAREFS_CREATE_MAPPING, inside)
    numbers = range(processes)
    for number in watch(regime, numbers) if watch else numbers:
        task = (first.clone if threads and first else machine.spawn)(f"p{number}")
        if not threads or not first:
            task.mmap(at, length, "rw", MAP_SHARED | MAP_FIXED_NOREPLACE, file)
        task.run_on(number % cpus)
        task.touch(at, size, write=first is None)
        first = first or task
    stride = size // (diverge * processes or 1) // HUGE * HUGE
    for number, task in enumerate(machine.tasks if diverge else ()):
        for n in range(diverge):
            offset = (n * processes + number) * stride
            task.mmap(at + offset, page, "rw", MAP_PRIVATE | MAP_FIXED, file, offset)
            task.touch(at + offset, 1, write=True)
    return machine


def progress(regime: str, numbers):
    """*numbers*, and on stderr how far they are, once a second."""
    last, told = time.monotonic(), False
    for number in numbers:
        yield number
        if time.monotonic() - last > 1:
            last, told = time.monotonic(), True
            print(f"\r{regime}: {number + 1} of {len(numbers)}", end="", file=sys.stderr,
                  flush=True)
    if told:
        print(file=sys.stderr)


def on_linux(args: argparse.Namespace) -> dict:
    """The private row of this computer's kernel."""
    from .linux.cost import row
    try:
        return row(SLOT + args.misalign, args.size, args.processes, progress)
    except OSError as why:
        raise BadInput(f"--on linux: {why.strerror}") from None


def peak() -> int | None:
    """The most bytes that this process ever had, not its parent (getrusage); None: unknown."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) << 10 for line in status if line[:5] == "VmHWM")
    except (OSError, StopIteration):
        return None


def table(told: dict) -> str:
    """The rows for people."""
    lines = [f"{told['size']:,} bytes, {told['processes']:,} processes, "
             f"start shifted by {told['misalign']:,} bytes",
             f"{'regime':12}{'PGD':>8}{'PUD':>8}{'PMD':>12}{'PTE':>16}{'tables':>16}"
             f"{'GiB':>10}{'faults':>18}{'s':>8}"]
    for row in told["rows"]:
        if "skipped" in row:
            lines.append(f"{row['regime']:12}{row['skipped']}")
            continue
        pgd, pud, pmd, pte = (f"{row['tables'][name]:,}" if row["tables"] else "?"
                              for name in reversed(LEVELS))
        lines.append(f"{row['regime']:12}{pgd:>8}{pud:>8}{pmd:>12}{pte:>16}"
                     f"{row['total_tables']:>16,}{row['bytes'] / (1 << 30):>10.3f}"
                     f"{row['faults']:>18,}{row['seconds']:>8.3f}")
    if told["peak_rss_bytes"]:
        lines.append(f"memory of this process: at most {told['peak_rss_bytes'] >> 20} MiB")
    return "\n".join(lines)
