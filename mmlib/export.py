"""Write a machine as physical memory: its page tables as the bytes that an x86-64 MMU walks.

A scenario is run up to an op. DIR then holds, in the format mmimage/1, `image.bin`, which is
physical memory from address 0, and `image.json`, which says whose CR3 is whose and what must come
of accesses, so that anything that can walk page tables can check them.
"""

import argparse
import json
from pathlib import Path

from .image import check_geometry, description, write_memory
from .kinds import BadInput, at, shown
from .loading import Recording, folder, load, printable
from .scenario import Stage
from .worlds import simulator


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a recording or a scenario")
    parser.add_argument("--sequence", metavar="ID", help="which of its sequences (the first)")
    parser.add_argument("--op", metavar="N", type=int,
                        help="the last op to be run, counted from 0 (all)")
    parser.add_argument("--sharing", choices=("private", "cache"),
                        help="run with private page tables or with the file table cache")
    parser.add_argument("--out", metavar="DIR", required=True, type=folder,
                        help="the folder to write to; it is made if need be")


def run(args: argparse.Namespace) -> int:
    """The command; raises BadInput."""
    recording = load(args.file)
    with at(recording.label):
        sequence = chosen(recording, args.sequence)
        with at(f"sequence {shown(sequence['id'])}"):
            sequence = cut(sequence, args.op)
            machine = simulator(sequence, args.sharing)
            check_geometry(machine)
            stage = Stage(sequence, machine)
            for op in sequence["ops"]:
                stage.act(op)
    tasks = {str(n): task for n, task in sorted(stage.tasks.items()) if task.alive}
    try:
        told = export(machine, tasks, args.out)
    except OSError as why:
        raise BadInput(f"--out {printable(str(args.out))}: expected a folder that can be written: "
                       f"{why.strerror}") from None
    claims = sum(len(process["expect"]) for process in told["processes"])
    where, name = printable(str(args.out / "image.json")), printable(sequence["id"])
    print(f"{where}: sequence {name} after {len(sequence['ops'])} ops: {len(tasks)} processes, "
          f"{told['distinct_tables_without_roots']} page tables ({told['shared_tables']} shared), "
          f"{claims} claims")
    return 0


def chosen(recording: Recording, name: str | None) -> dict:
    """The sequence of that name; the first if there is no name."""
    for sequence in recording.sequences:
        if name in (None, sequence["id"]):
            return sequence
    raise BadInput(f"--sequence: expected the id of a sequence ({recording.sequences[0]['id']}, "
                   f"...), not {shown(name)}")


def cut(sequence: dict, last: int | None) -> dict:
    """*sequence* up to and including op *last*.

    >>> cut({"ops": ["mmap", "load", "exit"]}, 1)
    {'ops': ['mmap', 'load']}
    """
    ops = sequence["ops"]
    if last is None:
        return sequence
    if not 0 <= last < len(ops):
        raise BadInput(f"--op: expected an op, 0 to {len(ops) - 1}, not {last}")
    return sequence | {"ops": ops[:last + 1]}


def export(machine, tasks: dict, out: Path) -> dict:
    """Write image.bin and image.json into the folder *out*; returns the description.

    Raises BadInput for a geometry that no processor has, OSError where *out* cannot be written.

    >>> import tempfile
    >>> from mmlib import Machine
    >>> m = Machine(); a = m.spawn("a")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(m, {"a": a}, Path(folder))["processes"][0]["cr3"]
    8192
    """
    check_geometry(machine)
    told = description(machine, tasks)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "image.bin", "wb") as file:
        write_memory(machine, file)
    (out / "image.json").write_text(json.dumps(told) + "\n", encoding="ascii")
    return told
