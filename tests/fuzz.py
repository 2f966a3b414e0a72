"""The differential fuzzer: the simulator and the kernel of this computer answer the same calls.

    python tests/fuzz.py --minutes 10 --seed 1

draws sequences of calls, asks both, shrinks a difference to the shortest script that shows it, and
writes that as a file that `python -m mmlib replay` runs.  At the end it says how many calls were
made, by call and outcome.
"""
import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from calls import WANTED, kinds
from casting import shortest
from hypothesis import HealthCheck, Phase, given, seed, settings
from strategies import sequences

from mmlib import abilities, validate
from mmlib.compare import TIERS, Difference, differences
from mmlib.linux import Linux, probe
from mmlib.linux.files import Folder
from mmlib.linux.task import Task
from mmlib.scenario import run
from mmlib.worlds import cannot, recorded_on, simulator

REPEATS = 3                             # a difference counts if that many runs show it
SETTINGS = settings(database=None, deadline=None, derandomize=False, report_multiple_bugs=False,
                    phases=(Phase.generate,), suppress_health_check=list(HealthCheck))


class Found(AssertionError):
    """The two worlds differ: *document* holds the sequence and what the kernel answered."""

    def __init__(self, sequence: dict, differences: list[Difference], form: str):
        self.ops = sequence["ops"]
        self.document = {"format": form, "recorded_on": recorded_on(), "sequences": [sequence]}
        self.told = "\n".join(
            [" ".join(f"{k} {v}" for k, v in op.items() if k not in ("expect", "frames"))
             for op in self.ops]
            + [f"op {d.op}, {d.field}: the kernel {d.wanted}, the simulator {d.got}"
               for d in differences])
        super().__init__(f"{self.told}\n{json.dumps(self.document)}")


class Source:
    """One bare process, of which each sequence gets a fork: that is faster than a fresh one.

    Whoever asks stays on its CPU meanwhile, or each answer would have to wake another."""

    def __init__(self):
        self.cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(self.cpus)})
        self.linux = Linux()
        self.task = self.linux.spawn("source")
        self.linux.zero_frame           # known from now on
        self.folder = None

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_) -> None:
        if self.folder:
            self.folder.remove()
        self.linux.close()
        os.sched_setaffinity(0, self.cpus)

    def world(self) -> "Forked":
        return Forked(self)


class Forked(Linux):
    """A kernel whose first process is a fork of *source*'s."""

    def __init__(self, source: Source):
        super().__init__()
        self.source, self._zero_frame = source, source.linux.zero_frame

    def spawn(self, name: str | None = None) -> Task:
        bare = self.source.task
        process = bare.ask(bare.mm.fork, bare.line, self.timeout)
        self.processes.append(process)
        return self.add(Task(self, name, process, process.lines[0], process.pid, bare.cpu, []))

    @property
    def folder(self) -> Folder:
        if not self.folders:
            self.source.folder = self.source.folder or Folder()
            self.folders.append(self.source.folder)
        return self.folders[0]

    def __exit__(self, *_) -> None:
        if self.folders:
            for path in Path(self.folders.pop().path).iterdir():
                path.unlink()
        self.close()


class Fuzzer:
    """Asks both worlds and counts: *counts* by kind of call and outcome, *calls* in all, and
    *noise*, differences that a repeat did not show."""

    def __init__(self, source: Source, form: str = "mmlib/1"):
        self.source, self.form = source, form
        self.counts, self.calls, self.sequences, self.noise = Counter(), 0, 0, 0

    def differences(self, sequence: dict, repeats: int) -> tuple[dict, list[Difference]]:
        """(*sequence* with what the kernel answered, what the simulator answers otherwise as often
        as it is asked)."""
        machine = simulator(sequence)
        answers = run(sequence, machine)
        validate(machine)
        tiers = [tier for tier in TIERS if tier not in cannot(sequence, "linux")]
        for repeat in range(repeats):
            with self.source.world() as linux:
                real = run(sequence, linux)
            told = sequence | {"ops": [op | {"expect": expect}
                                       for op, expect in zip(sequence["ops"], real)]}
            found, _ = differences(told, answers, tiers)
            if not found:
                self.noise += repeat > 0
                break
        return told, found

    def check(self, sequence: dict) -> None:
        """Raise Found if the worlds differ about *sequence*, with the shortest that shows it."""
        told, found = self.differences(sequence, REPEATS)
        if not found:
            self.count(told["ops"])
            return
        cut = sequence | {"ops": sequence["ops"][:found[0].op + 1]}
        short = shortest(cut, lambda fewer: bool(self.differences(fewer, 1)[1]))
        shorter, still = self.differences(short, REPEATS)
        raise Found(shorter, still, self.form) if still else Found(told, found, self.form)

    def count(self, ops: list[dict]) -> None:
        self.sequences, self.calls = self.sequences + 1, self.calls + len(ops)
        for kind, outcome in kinds(ops):
            self.counts[kind, outcome] += 1

    def look(self, strategy, number: int, examples: int, until: float = float("inf")) -> None:
        """Check *examples* drawn with the seed *number*; Found ends it."""
        caught = []

        @seed(number)
        @settings(SETTINGS, max_examples=examples)
        @given(strategy)
        def examine(sequence):
            if not caught and time.monotonic() < until:
                try:
                    self.check(sequence)
                except Found as found:      # else hypothesis would ask for it again
                    caught.append(found)

        examine()
        if caught:
            raise caught[0]


def differs() -> str:
    """Why this kernel cannot be compared with the simulator, in one line, or ""."""
    if why := abilities.refusal():
        return f"no kernel to be asked: {why}"
    lacking = [what for what in probe.lacking() if "promised" not in what]     # nobody asks for it
    return f"it is not so on this kernel that {lacking[0]}" if lacking else ""


def table(fuzzer: Fuzzer) -> str:
    """How often each kind of call had each outcome."""
    lines = []
    for kind in sorted({kind for kind, _ in fuzzer.counts}):
        told = {o: n for (k, o), n in fuzzer.counts.items() if k == kind}
        lines.append(f"{kind:32}" + ", ".join(
            f"{o} {n}" for o, n in sorted(told.items(), key=lambda one: (-one[1], one[0]))))
    least = min(WANTED, key=lambda one: fuzzer.counts[one])
    return "\n".join([*lines, f"{fuzzer.calls} calls in {fuzzer.sequences} sequences; of what is "
                      f"wanted, least often: {' '.join(least)}, {fuzzer.counts[least]} times; "
                      f"{fuzzer.noise} differences that a repeat did not show"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the first 100 sequences")
    parser.add_argument("--out", default="build", help="folder for the scripts of differences")
    args = parser.parse_args()
    if why := differs():
        print(f"skipped: {why}")
        return 0
    until, number, found = time.monotonic() + 60 * args.minutes, args.seed, 0
    with Source() as source:
        fuzzer = Fuzzer(source)
        while time.monotonic() < until:
            try:
                fuzzer.look(sequences(), number, 100, until)
            except Found as difference:
                found += 1
                out = Path(args.out) / f"fuzz-{number}.json"
                out.parent.mkdir(exist_ok=True)
                out.write_text(json.dumps(difference.document) + "\n")
                print(f"seed {number}: {difference.told}\nwritten to {out}", flush=True)
            number += 1
    print(table(fuzzer))
    print(f"{found} differences; seeds {args.seed} to {number - 1}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
