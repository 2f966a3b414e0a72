"""Malformed inputs, thousands of them: files, command lines, answers, arguments of calls.

Each must end in a result or in an error of one line; none may run code, ask the network, write a
file or take more memory than is allowed. Run as a program: counts, as JSON.
"""
import argparse
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from documents import SMALL, changed
from test_loading import HUGE, JUNK, OWN, REGION, mutated

import mmlib
from mmlib import TINY, X86_64, Killed, Machine, exercises
from mmlib.__main__ import main as command
from mmlib.signals import Signal
from mmlib.views import dot, still, text  # noqa: F401  what a picture needs is imported now

MEMORY = 3 << 30                        # bytes of address space
SECONDS = 60                            # for one input; it is there to end a loop without end
CANARY = "hostile-canary"
TEXTS = [f"__import__('os').system('touch {CANARY}')", f"$(touch {CANARY})", f"`touch {CANARY}`",
         "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "{0.__class__}", "%s%n",
         "../../etc/passwd", "/etc/passwd\0", "a\nb", "\x1b[2J", "\u202e", "\ud800", "x" * 5000,
         "", " ", "rw; rm -rf /", "-1", "1e999", "nan", "0x", "999999999999999999999999TiB",
         "300GiB", "--json", "--out", "=", "1,2", "semantics,nothing", "\U0001f4a5"]
VALUES = [*JUNK, *TEXTS, -1 << 80, 1 << 80, 1 << 48, (1 << 47) - 4096, 4095, 3.5, b"", b"x" * 5000,
          (), (1, [2]), {1}, [[]] * 3, object, Ellipsis, float("inf"), 1j]
ANON = mmlib.MAP_PRIVATE | mmlib.MAP_ANONYMOUS
# Anything else would start a program, ask the network or run a text as code.
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "compile",
             "socket.", "ctypes.dlopen", "shutil.", "urllib.")


class Broke(Exception):
    """What an input did that none may."""


def forbid(event, args):
    if FORBID and event.startswith(FORBIDDEN):
        raise Broke(f"an input caused {event} {args!r:.200}")


FORBID = False


def one_line(error):
    if "\n" in str(error) or "\r" in str(error):
        raise Broke(f"an error of more than one line: {str(error)!r:.300}")


# the four kinds --------------------------------------------------------------------------------
def content(rng):
    """A file: a document changed at random, its bytes changed, or no document at all."""
    base = rng.choice([SMALL, OWN, HUGE, REGION])
    kind = rng.randrange(4)
    if kind < 2:
        made = mutated(rng, base)
        if kind:                        # and a hostile text in the place of some string
            words = [*strings(made)]
            if words:
                made = changed(rng.choice(words), rng.choice(TEXTS), made)
        return json.dumps(made).encode()
    data = bytearray(json.dumps(base).encode())
    if kind == 3:
        return rng.randbytes(rng.randrange(200)) if rng.randrange(2) else \
            json.dumps(rng.choice(VALUES), default=str).encode()
    for _ in range(rng.randint(1, 5)):
        start = rng.randrange(len(data))
        data[start:start + rng.randrange(9)] = rng.choice(
            [b"", b"99999999999", b"-", b"\xff", b"[" * 50, b"}", b'"', b"1e999", b"\\u0000", b"NaN"])
    return bytes(data)


def strings(node, way=()):
    """The places of the strings of a document."""
    items = node.items() if isinstance(node, dict) else \
        enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        if isinstance(inner, str):
            yield (*way, key)
        else:
            yield from strings(inner, (*way, key))


def a_file(rng, folder):
    """replay or export of a malformed file."""
    path = folder / "input.json"
    path.write_bytes(content(rng))
    args = rng.choice([["replay", str(path)], ["replay", "--json", str(path)],
                       ["replay", "--sharing", "cache", str(path)],
                       ["export", str(path), "--out", str(folder / "image")]])
    return run(args)


def a_command_line(rng, folder):
    """Words that belong to no command, or in the wrong place."""
    words = [rng.choice(["replay", "export", "cost", "doctor", "notebooks", *TEXTS])]
    words += [rng.choice(["--json", "--size", "--op", "--sequence", "--sharing", "--tiers", "--on",
                          "--processes", "--misalign", "--diverge", "sim", *TEXTS, "7"])
              for _ in range(rng.randrange(5))]
    if words[0] == "cost":              # else it counts for 1500 processes, which takes a while
        words[1:1] = ["--processes", "2", "--size", "1GiB"]
    if words[0] in ("doctor", "notebooks"):
        words.append("--no-such-option")        # those two would do what they are for
    return run(words)


def run(args):
    """One command: its exit status; status 2 comes with one line and prints nothing else."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            status = command(args)
        except SystemExit as end:       # --help
            status = end.code
    if status not in (0, 1, 2) or status == 2 and not err.getvalue():
        raise Broke(f"{args!r:.300}: exit status {status}, {err.getvalue()!r:.200}")
    if status == 2:
        one_line(err.getvalue().removesuffix("\n"))
    return f"exit status {status}"


def an_answer(rng, folder):
    """A learner's answer to an exercise, of any kind; or an exercise that is none."""
    name = rng.choice([*exercises.EXERCISES] if rng.randrange(8) else TEXTS)
    value = rng.choice(VALUES)
    answer = rng.choice([value, value, (value, rng.choice(VALUES)), lambda *args: value,
                         lambda machine: machine.spawn(value)])
    try:
        one_line(exercises.check(name, answer))
    except ValueError as error:
        if name in exercises.EXERCISES:
            raise Broke(f"check({name!r}, {answer!r:.100}): {error!r:.200}") from error
        one_line(error)
        return "refused"
    return "told"


def a_call(rng, folder):
    """Calls of a machine with arguments of any kind; then its picture and its text."""
    machine, came = Machine(rng.choice([TINY, X86_64])), "refused"
    task = machine.spawn()
    calls = [machine.spawn, machine.memfd, machine.mount, machine.open] + [
        getattr(task, name) for name in ("mmap", "munmap", "mprotect", "madvise", "mremap", "load",
        "store", "fork", "clone", "msync", "mincore", "memfd", "open", "pagemap")]
    file = machine.memfd("db", 0x4000)
    for _ in range(rng.randint(1, 12)):
        args = [rng.choice([0x4000, 0x1000, "rw", ANON, file, rng.choice(VALUES)])
                for _ in range(rng.randrange(6))]
        if not rng.randrange(4):        # what a call takes, but for one argument
            args = [0x4000, 0x1000, "rw", ANON]
            args[rng.randrange(4)] = rng.choice(VALUES)
        try:
            rng.choice(calls)(*args)
            came = "accepted"
        except (OSError, ValueError, TypeError, Signal, Killed) as error:
            one_line(error)
    text.describe(machine.snapshot())
    mmlib.validate(machine)
    return came


KINDS = (a_file, a_file, a_file, a_command_line, an_answer, a_call)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    global FORBID
    import resource                     # only here: not every system that collects tests has them
    import signal
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.addaudithook(forbid)
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(Broke("no end")))
    counts, broken = Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in ("cost", "replay", "export", "doctor", "notebooks"):
            run([name, "--help"])       # imports
        for number in range(args.inputs):
            seed = args.seed + number
            rng = random.Random(seed)
            kind = rng.choice(KINDS)
            signal.alarm(SECONDS)
            FORBID = True
            try:
                counts[f"{kind.__name__}: {kind(rng, Path(folder))}"] += 1
            except BaseException as error:
                broken.append(f"seed {seed}, {kind.__name__}: {type(error).__name__}: {error}")
            finally:
                FORBID = False
                signal.alarm(0)
        left = sorted(set(os.listdir(folder)) - {"input.json", "image"})
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"inputs": args.inputs, "counts": counts, "broken": broken[:40],
                      "broken_in_all": len(broken), "files": left, "peak_mib": rss}, indent=1))


if __name__ == "__main__":
    main()
