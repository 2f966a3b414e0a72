"""Writes tests/data/linux-6.18-calls.json anew: `python tests/record_calls.py OUT`.

Of many drawn sequences those are kept that do what the others have not done often enough; the
kernel of this computer answers them.
"""
import json
import sys
from collections import Counter

from calls import WANTED, kinds
from fuzz import Fuzzer, Source, differs
from hypothesis import given, seed
from hypothesis import settings as choose
from strategies import sequences

from mmlib.__main__ import main

OPS, KEPT, OFTEN = 18, 66, 4            # a sequence, sequences, times that each kind is wanted


def drawn(fuzzer: Fuzzer, number: int) -> list[dict]:
    """Sequences with the kernel's answers."""
    found = []

    @seed(number)
    @choose(max_examples=1500, database=None, deadline=None, derandomize=False)
    @given(sequences(ops=OPS))
    def draw(sequence):
        told, different = fuzzer.differences(sequence, 1)
        assert not different
        if len(told["ops"]) > OPS // 2:
            found.append(told)

    draw()
    return found


def varied(found: list[dict]) -> list[dict]:
    """Those that add most to what was done, one after another."""
    done, kept = Counter(), []
    counted = [(Counter(kinds(sequence["ops"])), sequence) for sequence in found]
    while len(kept) < KEPT and counted:
        def worth(one):
            return sum(min(n, 2) * (5 if kind in WANTED else 1)
                       for kind, n in one[0].items() if done[kind] < OFTEN)
        best = max(counted, key=worth)
        counted.remove(best)
        done += best[0]
        kept.append(best[1])
    return kept


def asked(number: int, sequence: dict) -> dict:
    """A sequence as it is stored: frames at some calls alone."""
    ops = []
    for at, op in enumerate(sequence["ops"], 1):
        op = {field: value for field, value in op.items() if field not in ("expect", "frames")}
        ops.append(op | ({"frames": True} if at % 7 == 0 or at == len(sequence["ops"]) else {}))
    return sequence | {"id": f"calls-{number}", "ops": ops}


def record(out: str) -> int:
    if why := differs():
        sys.exit(f"not recorded: {why}")
    with Source() as source:
        kept = varied(drawn(Fuzzer(source), 1))
    document = {"format": "mmlib/1",
                "sequences": [asked(number, sequence) for number, sequence in enumerate(kept)]}
    with open(out, "w", encoding="ascii") as file:
        json.dump(document, file)
    return main(["replay", out, "--on", "linux", "--record", out])


if __name__ == "__main__":
    sys.exit(record(sys.argv[1]))
