"""Comparing what a world answered with what was recorded, tier by tier."""

import json
from typing import NamedTuple

from .formats import TIERS
from .scenario import joined

# What does not depend on which tables are shared.
INVISIBLE = ("semantics", "maps", "frames")


class Difference(NamedTuple):
    """One field of an op, counted from 0, that was answered otherwise than recorded."""

    op: int
    field: str
    wanted: object
    got: object


def differences(sequence: dict, answers: list[dict], tiers=tuple(TIERS), other_sharing=False,
                ) -> tuple[list[Difference], int]:
    """(what *answers* to the ops of *sequence* differ in from each `expect`, how many fields were
    compared).  A field that an `expect` does not hold is not compared.

    With *other_sharing* page tables are shared now and were not when recorded, or the reverse:
    faults and tables are not compared, and frames only where both have a page.

    >>> sequence = {"ops": [{"op": "load", "expect": {"result": "ok", "value": 7, "minflt": 1}}]}
    >>> answers = [{"result": "ok", "value": 7, "minflt": 0}]
    >>> differences(sequence, answers)
    ([Difference(op=0, field='minflt', wanted=1, got=0)], 3)
    >>> differences(sequence, answers, ["semantics"])
    ([], 2)
    """
    found, compared = [], 0
    for number, (op, answer) in enumerate(zip(sequence["ops"], answers)):
        for tier in tiers:
            if other_sharing and (tier not in INVISIBLE or op["op"] == "shrink"):
                continue
            for field in TIERS[tier]:
                if field not in op.get("expect", ()):
                    continue
                wanted, got = op["expect"][field], answer.get(field)
                compared += 1
                if not same(field, wanted, got, other_sharing):
                    found.append(Difference(number, field, wanted, got))
    return found, compared


def same(field: str, wanted, got, other_sharing: bool) -> bool:
    if field == "maps" and wanted and len(wanted[0]) == 5:
        return joined(wanted) == got
    if field == "frames" and other_sharing and got is not None:
        return alike_where_both_present(wanted, got)
    return wanted == got


def alike_where_both_present(wanted: dict, got: dict) -> bool:
    """Do the same pages share a frame, looking only at pages that both have?

    >>> alike_where_both_present({"0": [[0, 0], [1, 1]]}, {"0": [[0, 5], [1, 6], [2, 6]]})
    True
    >>> alike_where_both_present({"0": [[0, 0], [1, 1]]}, {"0": [[0, 5], [1, 5]]})
    False
    """
    ours = {(process, page): frame for process, rows in got.items() for page, frame in rows}
    there, back = {}, {}
    return all(there.setdefault(frame, ours[process, page]) == ours[process, page]
               and back.setdefault(ours[process, page], frame) == frame
               for process, rows in wanted.items() for page, frame in rows
               if (process, page) in ours)


def contrast(wanted, got) -> tuple[str, str]:
    """Both values for people: only the rows that the other does not have, and not too long.

    >>> contrast({"0": 3, "1": 3}, {"0": 3, "1": 4})
    ('{"1": 3}', '{"1": 4}')
    >>> contrast([[0, 1, "r--p"], [2, 3, "rw-p"]], [[0, 1, "r--p"]])
    ('[[2, 3, "rw-p"]]', '[]')
    """
    return tuple(line if len(line) <= 160 else line[:157] + "..."
                 for line in map(json.dumps, only_different(wanted, got)))


def only_different(wanted, got) -> tuple:
    if isinstance(wanted, dict) and isinstance(got, dict):
        pairs = {key: only_different(wanted.get(key), got.get(key))
                 for key in wanted | got if wanted.get(key) != got.get(key)}
        return ({k: w for k, (w, _) in pairs.items() if k in wanted},
                {k: g for k, (_, g) in pairs.items() if k in got})
    if isinstance(wanted, list) and isinstance(got, list) and wanted and got \
            and isinstance(wanted[0], list):
        left, right = set(map(json.dumps, wanted)), set(map(json.dumps, got))
        return ([row for row in wanted if json.dumps(row) not in right],
                [row for row in got if json.dumps(row) not in left])
    return wanted, got
