"""`make bench`: what the simulator costs, as ratios against a yardstick in the same run.

Each round runs a candidate and then its yardstick, with the garbage collector off; the ratio is
the median of the rounds, and of three tries the best.  Above a *gate* the program ends with
status 1; a *goal* is what would be good.  Ratios travel from one computer to another, times do
not, and no test looks at them.
"""

import argparse
import gc
import importlib.util
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy

from mmlib import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, X86_64, Machine, Task, __version__, cost, image
from mmlib.geometry import RW

ROOT = Path(__file__).resolve().parent.parent
JSON, PAGE_OF_DOCS = ROOT / "docs/benchmarks.json", ROOT / "docs/benchmarks.md"
PAGES, AT, GIB = 1 << 14, 1 << 30, 1 << 30
ANON = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


@dataclass
class Benchmark:
    """*candidate* and *yardstick* give the seconds of one round, each made ready on its own."""

    id: str
    what: str
    gate: float | None                  # None: told, but not judged
    goal: float | None
    candidate: Callable[[], float]
    yardstick: Callable[[], float]
    rounds: int = 7


def seconds(action: Callable, *args) -> float:
    start = time.perf_counter()
    action(*args)
    return time.perf_counter() - start


def task(size: int | None = None, trace: bool = False) -> Task:
    """A process with private memory at AT, of PAGES if not told else."""
    size = size or PAGES * 4096
    one = Machine(X86_64, trace=trace).spawn()
    one.mmap(AT, size, "rw", ANON)
    return one


# one at a time ------------------------------------------------------------------------------------
def touches(one: Task, pages: int | None = None, step: int = 4096, write: bool = True) -> None:
    for n in range(pages or PAGES):
        one.touch(AT + step * n, 1, write)


def dict_stores() -> float:
    """One entry for each page in an empty dict."""
    def stores():
        table = {}
        for page in range(PAGES):
            table[page] = page
    return seconds(stores)


class Hits:
    """Pages that are there: touched one by one before, or all at once."""

    def __init__(self, one_by_one: bool):
        self.task, self.top = task(), {}
        touches(self.task) if one_by_one else self.task.touch(AT, PAGES * 4096, write=True)
        touches(self.task, write=False)
        for addr in range(AT, AT + PAGES * 4096, 4096):
            table = self.top
            for level in (4, 3, 2):
                table = table.setdefault(X86_64.index(addr, level), {})
            table[X86_64.index(addr, 1)] = addr

    def candidate(self) -> float:
        return seconds(touches, self.task, PAGES, 4096, False)

    def yardstick(self) -> float:
        """The four levels as dicts in dicts, and nothing else."""
        def walks(top):
            for n in range(PAGES):
                addr = AT + 4096 * n
                top[addr >> 39 & 511][addr >> 30 & 511][addr >> 21 & 511][addr >> 12 & 511]
        return seconds(walks, self.top)


def first_touches() -> float:
    return seconds(touches, task())


def traced_touch() -> float:
    """One call for all pages; faults are counted in its event."""
    return seconds(task(trace=True).touch, AT, PAGES * 4096, True)


def steps() -> float:
    """A Step, with events and a snapshot, for each of 64 pages."""
    one = task(trace=True)
    return seconds(touches, one, 64) * PAGES / 64


def sparse_touches() -> float:
    return seconds(touches, task(PAGES << 21), PAGES, 1 << 21)


def nested_stores() -> float:
    """A new dict in dicts for each page."""
    def stores():
        top = {}
        for n in range(PAGES):
            addr = AT + (n << 21)
            top.setdefault(addr >> 39 & 511, {}).setdefault(addr >> 30 & 511, {}) \
               .setdefault(addr >> 21 & 511, {})[addr >> 12 & 511] = addr
    return seconds(stores)


def copies() -> float:
    """Stores of a child to pages that it has from its parent."""
    one = task()
    touches(one)
    child = one.fork()
    return seconds(touches, child)


# many at once -------------------------------------------------------------------------------------
def populate() -> float:
    return seconds(task(GIB).touch, AT, GIB, True)


ENTRIES = numpy.arange(1 << 18)


def copyto() -> float:
    """The 2 MiB of entries of 1 GiB, copied."""
    return seconds(numpy.copyto, numpy.empty_like(ENTRIES), ENTRIES)


def fork() -> float:
    one = task(GIB)
    one.touch(AT, GIB, True)
    return seconds(one.fork)


def write_protect() -> float:
    """The same, write-protected and copied by numpy."""
    return seconds(lambda: (ENTRIES & ~RW).copy())


class Translate:
    """A million random addresses in 1 GiB; every PTE table is an object of its own."""

    def __init__(self, one_by_one: bool):
        self.task = task(GIB)
        if one_by_one:
            pages = numpy.random.default_rng(1).permutation(GIB // 4096).tolist()
            for page in pages:
                self.task.touch(AT + page * 4096, 1, True)
        else:
            self.task.touch(AT, GIB, True)
        self.asked = numpy.random.default_rng(2).integers(AT, AT + GIB, 1 << 20)
        self.pages = self.asked - AT >> 12

    def candidate(self) -> float:
        return seconds(self.task.translate, self.asked)

    def yardstick(self) -> float:
        """One take of numpy."""
        return seconds(ENTRIES.take, self.pages)


# the headline -------------------------------------------------------------------------------------
def python(*args: str) -> float:
    """A whole process; compiled modules are kept, as those of numpy are."""
    env = {name: value for name, value in os.environ.items()
           if name != "PYTHONDONTWRITEBYTECODE"}
    return seconds(lambda: subprocess.run(
        [sys.executable, *args], cwd=ROOT, check=True, env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def import_numpy() -> float:
    """A whole process: python -c "import numpy"."""
    return python("-c", "import numpy")


def peak(code: str) -> int:
    """The most memory of a process, in MiB."""
    told = "\nfrom mmlib import cost; print(cost.peak())"
    done = subprocess.run([sys.executable, "-c", code + told], cwd=ROOT, check=True, text=True,
                          stdout=subprocess.PIPE)
    return int(done.stdout.split()[-1]) >> 20


def experiment(size: int = 300 * GIB, processes: int = 300, diverge: int = 0) -> float:
    return seconds(lambda: [cost.measure(regime, size, processes, diverge=diverge)
                            for regime in cost.REGIMES])


def diverging() -> float:
    """The private row, and then 10 pages of its own for each of 1500 processes."""
    return seconds(cost.measure, "private", 300 * GIB, 1500, 0, 10)


def sparse_with_collector() -> float:
    gc.enable()
    try:
        return seconds(touches, task(PAGES << 21), PAGES, 1 << 21)
    finally:
        gc.disable()


def benchmarks() -> list[Benchmark]:
    """Their names are those of the project's design notes."""
    hits, rows, dense, runs = Hits(True), Hits(False), Translate(True), Translate(False)
    return [
        Benchmark("B1", "16,384 touches that hit / dicts in dicts", 4, 2.5,
                  hits.candidate, hits.yardstick),
        Benchmark("B1r", "the same, of pages that were mapped by one call", None, None,
                  rows.candidate, rows.yardstick),
        Benchmark("B2", "16,384 first touches / stores to a dict", 20, 12,
                  first_touches, dict_stores),
        Benchmark("B2e", "one traced touch of 16,384 pages / stores to a dict", 25, 15,
                  traced_touch, dict_stores),
        Benchmark("B2s", "a Step for each touch, with snapshot / stores to a dict", None, None,
                  steps, dict_stores),
        Benchmark("B3", "a first touch in each of 16,384 PTE tables / dicts in dicts", 5, 3.5,
                  sparse_touches, nested_stores),
        Benchmark("B4", "16,384 copies on write / stores to a dict", 25, 12,
                  copies, dict_stores),
        Benchmark("B5", "touch of 1 GiB / numpy copies its entries", .6, .2, populate, copyto),
        Benchmark("B6r", "fork of 1 GiB / numpy write-protects its entries", .2, .05,
                  fork, write_protect),
        Benchmark("B7", "translate a million addresses / one take of numpy", 10, 3,
                  dense.candidate, dense.yardstick),
        Benchmark("B7r", "the same, of memory mapped by one call", None, None,
                  runs.candidate, runs.yardstick),
        Benchmark("B8", "mmlib cost, a whole process / import numpy", 4, 2,
                  lambda: python("-m", "mmlib", "cost"), import_numpy),
        Benchmark("B8d", "300 GiB x 1500 private, then 10 own pages each / without", None, None,
                  diverging, lambda: seconds(cost.measure, "private", 300 * GIB, 1500), 3),
        Benchmark("B9a", "all regimes at 30,000 GiB / at 300 GiB", 2, 1.1,
                  lambda: experiment(30_000 * GIB), experiment, 5),
        Benchmark("B9b", "all regimes with 3000 processes / with 300", 15, 10,
                  lambda: experiment(processes=3000), experiment, 3),
        Benchmark("B14", "import mmlib / import numpy, whole processes", 1.5, 1.1,
                  lambda: python("-c", "import mmlib"), import_numpy),
        Benchmark("B17", "16,384 sparse faults with the garbage collector / without", 1.5, 1.1,
                  sparse_with_collector, sparse_touches, 3),
        *peers(),
    ]


class Peers:
    """Other people's walkers on the same tables, as an exported image: what one access or
    translation costs, against a touch that hits."""

    def __init__(self):
        self.hits = Hits(True)
        self.addresses = [AT + 4096 * n for n in range(0, PAGES, 16)]
        self.cr3 = self.hits.task.mm.pgd.pfn << 12
        memory = io.BytesIO()
        image.write_memory(self.hits.task.machine, memory)
        self.memory = memory.getvalue()

    def yardstick(self) -> float:
        return seconds(touches, self.hits.task, len(self.addresses), 4096 * 16, False)

    def unicorn(self) -> Callable[[], float]:
        """Loads by the CPU of Unicorn."""
        import mmu
        cpu = mmu.Mmu(mmu.Image({"levels": 4}, bytearray(self.memory)))
        return lambda: seconds(lambda: [cpu.access(self.cr3, addr, "r") for addr in
                                        self.addresses])

    def volatility(self) -> Callable[[], float]:
        """Translations by the layer of volatility3."""
        from volatility3.framework.contexts import Context
        from volatility3.framework.layers.intel import Intel32e
        from volatility3.framework.layers.physical import BufferDataLayer
        context = Context()
        context.add_layer(BufferDataLayer(context, "base", "base", self.memory))
        context.config["intel.memory_layer"] = "base"
        context.config["intel.page_map_offset"] = self.cr3
        layer = Intel32e(context, "intel", "intel")
        return lambda: seconds(lambda: [layer.translate(addr) for addr in self.addresses])


def peers() -> list[Benchmark]:
    """Those that are installed."""
    known = {"unicorn": "a load by Unicorn's MMU / a touch that hits",
             "volatility3": "translate of volatility3 / a touch that hits"}
    found = {name: what for name, what in known.items() if importlib.util.find_spec(name)}
    them = Peers() if found else None
    return [Benchmark(f"P{n}", what, None, None, getattr(them, name.rstrip("3"))(), them.yardstick)
            for n, (name, what) in enumerate(found.items(), 1)]


def measure(one: Benchmark) -> float:
    """The ratio: the median of the rounds, of three tries the best."""
    tries = []
    for _ in range(3):
        ratios = []
        for _ in range(one.rounds):
            gc.collect()
            gc.disable()
            try:
                ratios.append(one.candidate() / one.yardstick())
            finally:
                gc.enable()
        tries.append(statistics.median(ratios))
        if one.gate is None or tries[-1] <= (one.goal or 0):
            break
    return min(tries)


# what is told -------------------------------------------------------------------------------------
def computer() -> dict[str, str]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines()
                  if line.startswith("model name")]
        model = models[0] if models else model
    return {"CPU": f"{model}, {os.cpu_count()} cores", "system": f"{platform.system()} "
            f"{platform.release().partition('-')[0]} on {platform.machine().replace('_', '-')}",
            "Python": platform.python_version(), "numpy": numpy.__version__,
            "mmlib": __version__}


def run(wanted: list[str]) -> dict:
    """The results of all benchmarks, or of those in *wanted*."""
    rows = []
    for one in benchmarks():
        if wanted and one.id not in wanted:
            continue
        print(f"{one.id:5}{one.what} ...", end="", file=sys.stderr, flush=True)
        ratio = measure(one)
        print(f" {ratio:.3g}", file=sys.stderr)
        rows.append({"id": one.id, "what": one.what, "measured": float(f"{ratio:.3g}"),
                     "gate": one.gate, "goal": one.goal})
    if not wanted:
        code = "import contextlib, io; from mmlib.__main__ import main\n" \
            "with contextlib.redirect_stdout(io.StringIO()): main(['cost'])"
        more = peak(code) - peak("import numpy")
        rows.append({"id": "B8m", "what": "mmlib cost, peak memory above that of import numpy, MiB",
                     "measured": more, "gate": 25, "goal": 8})
    return {"date": time.strftime("%Y-%m-%d"), "computer": computer(), "rows": rows}


def verdict(row: dict) -> str:
    if row["gate"] is None:
        return ""
    return "over the gate" if row["measured"] > row["gate"] else \
        "goal" if row["measured"] <= row["goal"] else "gate"


def table(told: dict) -> str:
    """The results as a table in Markdown."""
    def cell(value):
        return "" if value is None else f"{value:g}"
    lines = ["| id | measured / yardstick | ratio | gate | goal | reached |",
             "|---|---|---|---|---|---|"]
    lines += [f"| {row['id']} | {row['what']} | {row['measured']:g} | {cell(row['gate'])} | "
              f"{cell(row['goal'])} | {verdict(row)} |" for row in told["rows"]]
    return "\n".join(lines)


def page(told: dict) -> str:
    """docs/benchmarks.md: what stands there outside the markers is kept."""
    begin, end = "<!-- written by make bench -->\n", "<!-- end -->\n"
    text = PAGE_OF_DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition(begin)
    machine = "; ".join(f"{name} {value}" for name, value in told["computer"].items())
    return f"{head}{begin}Measured on {told['date']}: {machine}.\n\n{table(told)}\n{end}" \
        f"{rest.partition(end)[2]}"


def main() -> int:
    parser = argparse.ArgumentParser(description="ratios of the simulator to yardsticks")
    parser.add_argument("id", nargs="*", help="only these, and nothing is written")
    parser.add_argument("--write", action="store_true", help="store the results in docs/")
    args = parser.parse_args()
    told = run(args.id)
    print(table(told))
    if args.write and not args.id:
        JSON.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        PAGE_OF_DOCS.write_text(page(told), encoding="utf-8")
    return int(any(verdict(row) == "over the gate" for row in told["rows"]))


if __name__ == "__main__":
    sys.exit(main())
