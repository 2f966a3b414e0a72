"""Problems without end: a topic and a seed make one, and a rule answers it, with its reasoning.

No machine is asked here: the answer comes from the rule that a reader could follow by hand.
(tests/test_problem.py runs the script of each problem, and compares.)
"""

import argparse
import dataclasses
import json
import random

from ..kinds import BadInput
from . import (cost, faults, flush, fork, mprotect, mshare, order, shareable, sharers, tables,
               translate, window)
from .question import Lines, Problem

TOPICS = {module.__name__.rpartition(".")[2]: module for module in (
    translate, tables, faults, order, fork, mprotect, window, cost, shareable, sharers, flush,
    mshare)}


def problem(topic: str, seed: int = 0) -> Problem:
    """The problem that *seed*, a whole number from 0 on, makes of *topic*.

    ValueError for an unknown topic, with the known ones, and for what is no seed.

    >>> p = problem("fork", seed=3)
    >>> p.check(1000)
    Not yet. Follow each page: how many processes have it, and may the one that stores?
    """
    if topic not in TOPICS:
        raise ValueError(f"there is no topic {topic!r}; there are {', '.join(TOPICS)}")
    if type(seed) is not int or seed < 0:
        raise ValueError(f"a seed is a whole number from 0 on, not {seed!r}")
    made = TOPICS[topic].make(random.Random(f"{topic} {seed}"))
    return dataclasses.replace(made, topic=topic, seed=seed)


def topics() -> Lines:
    """The topics, a line each."""
    width = max(map(len, TOPICS))
    return Lines(f"{name:{width}}  {module.__doc__.splitlines()[0]}"
                 for name, module in TOPICS.items())


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="print the topics")
    parser.add_argument("--topic", metavar="T", help="one of them")
    parser.add_argument("--seed", metavar="N", type=int, help="a whole number from 0 on")
    parser.add_argument("--answer", action="store_true",
                        help="print the answer as well, why it is so, and how to ask a machine")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """The command; raises BadInput."""
    if args.list:
        print(json.dumps({name: module.__doc__.splitlines()[0] for name, module in TOPICS.items()})
              if args.json else topics())
        return 0
    if args.topic is None or args.seed is None:
        raise BadInput(f"expected --topic T --seed N, or --list; topics are {', '.join(TOPICS)}")
    try:
        made = problem(args.topic, args.seed)
    except ValueError as why:
        raise BadInput(str(why)) from None
    print(json.dumps(told(made, args.answer)) if args.json else text(made, args.answer))
    return 0


def text(made: Problem, answer: bool) -> str:
    """For people."""
    if not answer:
        return repr(made)
    asked = made.script if not made.shows_code else Lines(made.ask.splitlines())
    lines = "\n".join(f"    {line}" for line in asked)
    return (f"{made}\n\nAnswer: {made.form.format(made.answer)}\n\n{made.reason}\n\nTo ask a "
            f"machine, run {'the lines above and then ' * made.shows_code}these:\n\n{lines}")


def told(made: Problem, answer: bool) -> dict:
    """For programs."""
    fields = {"topic": made.topic, "seed": made.seed, "question": repr(made)}
    if answer:
        fields |= {"answer": made.answer, "reason": made.why, "script": made.script}
    return fields
