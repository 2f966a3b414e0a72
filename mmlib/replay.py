"""Run recorded scenarios and compare the answers, op by op, with those that were recorded.

A file is of the format mmoracle/1, mmoracle-hugetlb/1 or mmlib/1.  The last line counts sequences;
the exit status is 0 when all agree, 1 on a difference, 2 on bad input.
"""

import argparse
import json
import sys
from collections import Counter

from . import worlds
from .compare import TIERS, contrast, differences
from .kinds import BadInput, at, shown
from .loading import Recording, load
from .scenario import run as answers_of

SHOWN = 10                              # differences of a sequence that people are shown


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="a recording or a scenario")
    parser.add_argument("--on", choices=("sim", "linux"), default="sim",
                        help="the simulator (default) or the kernel of this computer")
    parser.add_argument("--sharing", choices=("private", "cache"),
                        help="run with private page tables or with the file table cache; if it was "
                             "recorded otherwise, faults and tables are told and not compared")
    parser.add_argument("--tiers", metavar="T,T", type=tiers, default=tuple(TIERS),
                        help=f"compare only these: {','.join(TIERS)}")
    parser.add_argument("--record", metavar="OUT",
                        help="write FILE again with the answers of this run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def tiers(text: str) -> tuple[str, ...]:
    """The tiers that a comma-separated list names.

    >>> tiers("maps,minflt")
    ('maps', 'minflt')
    """
    names = tuple(text.split(","))
    if not set(names) <= set(TIERS):
        raise argparse.ArgumentTypeError(f"expected some of {','.join(TIERS)}, not {text!r}")
    return names


def run(args: argparse.Namespace) -> int:
    """The command; raises BadInput."""
    if args.record and len(args.files) > 1:
        raise BadInput(f"--record: expected one FILE, not {len(args.files)}")
    if args.on == "linux" and args.sharing == "cache":
        raise BadInput("--sharing cache: expected --on sim; Linux has no file table cache")
    recordings = [load(path) for path in args.files]
    report = Report(args)
    for recording in recordings:
        with at(recording.label):
            answers = [report.replay(recording, sequence) for sequence in recording.sequences]
        report.end_file(recording)
        if args.record:
            write(recording, answers, args)
    return report.finish()


def known(args: argparse.Namespace, sequence: dict, cannot: dict) -> list[dict]:
    """What a fresh world answers to *sequence*, without the tiers that it *cannot* answer."""
    with worlds.world(sequence, args.on, args.sharing) as world:
        answers = answers_of(sequence, world)
    unknown = [field for tier in cannot for field in TIERS[tier]]
    return [{field: told for field, told in answer.items() if field not in unknown}
            for answer in answers]


class Report:
    """What one command found: sequences counted, differences, and what could not be compared."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.passed = self.failed = self.compared = 0
        self.expected = False           # did any op say what to expect?
        self.found: list[dict] = []
        self.declined: dict[str, str] = {}      # in this file: tier -> why it was not compared
        self.told = Counter()                   # in this file: sums that are not compared

    def say(self, line: str) -> None:
        """A line for people; beside a JSON object it is no part of the output."""
        print(line, file=sys.stderr if self.args.json else sys.stdout)

    def replay(self, recording: Recording, sequence: dict) -> list[dict]:
        """Run *sequence* and compare; the answers."""
        args, expected = self.args, any("expect" in op for op in sequence["ops"])
        cannot = worlds.cannot(sequence, args.on)
        with at(f"sequence {shown(sequence['id'])}"):
            if len(cannot) < len(TIERS):
                answers = known(args, sequence, cannot)
            elif args.record or not expected:
                raise BadInput(f"expected a kernel that can answer: {cannot['semantics']}")
            else:
                answers = []
        other = args.sharing is not None and "file_gib" not in sequence and \
            args.sharing != sequence.get("sharing", "private")
        found, compared = differences(
            sequence, answers, [t for t in args.tiers if t not in cannot], other)
        self.expected |= expected
        self.compared += compared
        self.failed += bool(found)
        self.passed += not found and (compared > 0 or not expected)
        for tier in args.tiers:
            asked = any(f in op.get("expect", ()) for op in sequence["ops"] for f in TIERS[tier])
            if asked and tier in cannot:
                self.declined[tier] = cannot[tier]
        if other:
            self.add_up(sequence, answers)
        self.show(recording, sequence, found)
        return answers

    def add_up(self, sequence: dict, answers: list[dict]) -> None:
        """Sum up what is told and not compared: faults of all ops, tables after the last."""
        wanted = [op.get("expect", {}) for op in sequence["ops"]]
        for whose, all_of in (("recorded", wanted), ("here", answers)):
            self.told["minflt", whose] += sum(one.get("minflt", 0) for one in all_of)
            last = [one["tables"] for one in all_of if "tables" in one][-1:]
            self.told["tables", whose] += sum(sum(tables.values()) for tables in last)

    def show(self, recording: Recording, sequence: dict, found) -> None:
        for number, difference in enumerate(found):
            self.found.append({"file": recording.path, "sequence": sequence["id"]}
                              | difference._asdict())
            if number < SHOWN and not self.args.json:
                op, (wanted, got) = difference.op, contrast(difference.wanted, difference.got)
                print(f"{recording.label}: sequence {shown(sequence['id'])}, op {op} "
                      f"({sequence['ops'][op]['op']}), {difference.field}: wanted {wanted}, "
                      f"got {got}")
        if len(found) > SHOWN and not self.args.json:
            print(f"... and {len(found) - SHOWN} more in this sequence (--json tells all)")

    def end_file(self, recording: Recording) -> None:
        """Say what of this file was not compared."""
        for why in dict.fromkeys(self.declined.values()):
            declined = ", ".join(t for t in self.declined if self.declined[t] == why)
            self.say(f"{recording.label}: {declined} not compared: {why}")
        if self.told:
            faults, tables = (" and ".join(f"{self.told[field, whose]} {whose}" for whose in
                                           ("recorded", "here")) for field in ("minflt", "tables"))
            self.say(f"{recording.label}: minflt not compared: {faults}, page tables are shared "
                     f"otherwise; tables neither: {tables}")
        self.declined, self.told = {}, Counter()

    def finish(self) -> int:
        """The last line, and the exit status."""
        if self.expected and not self.compared:
            raise BadInput("nothing left to compare")
        if self.failed and self.args.on == "linux":
            for what in worlds.lacking():
                self.say(f"This kernel may differ because it is not so here that {what}.")
        if self.args.json:
            print(json.dumps({"passed": self.passed, "failed": self.failed,
                              "differences": self.found}))
        else:
            print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def write(recording: Recording, answers: list[list[dict]], args: argparse.Namespace) -> None:
    """Write the recording again, each `expect` replaced by what this run answered."""
    sequences = [sequence | {"ops": [op | {"expect": answer}
                                     for op, answer in zip(sequence["ops"], told)]}
                 for sequence, told in zip(recording.sequences, answers)]
    document = recording.document | {"sequences": sequences}
    if args.on == "linux":
        document["recorded_on"] = worlds.recorded_on()
    try:
        with open(args.record, "w", encoding="ascii") as out:
            json.dump(document, out, separators=(",", ":"))
            out.write("\n")
    except (OSError, ValueError) as why:
        raise BadInput(f"--record {args.record}: expected a file that can be written: "
                       f"{getattr(why, 'strerror', None) or why}") from None
