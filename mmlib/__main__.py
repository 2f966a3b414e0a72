"""The command line: python -m mmlib COMMAND.

Exit status 0 is ok, 1 a difference or a failed check, 2 bad input, which is told in one line:
file, place, what was expected; 130 where SIGINT ended it.
"""

import argparse
import importlib
import os
import sys

from .kinds import BadInput

# Each command is a module with options(parser) and run(args) -> exit status; it is imported when
# it is called, so that none needs what another one uses.
COMMANDS = {
    "doctor": "is everything here that the notebooks need?",
    "notebooks": "write the notebooks into a folder, over nothing that is there",
    "replay": "run recorded scenarios and compare the answers",
    "cost": "count tables, bytes and faults of a large shared region",
    "problem": "make a problem of a topic by a seed, with its answer by rule",
    "export": "write page tables as bytes that an MMU can walk",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str):
        from .loading import printable  # only here: `doctor` has no use for it
        raise BadInput(f"{self.prog}: {printable(message)}")


def main(argv: list[str] | None = None) -> int:
    """Carry out a command; its exit status.

    >>> main(["replay", "--on", "mars", "x.json"])
    2
    """
    command, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        if command in ("-h", "--help"):
            print(usage())
            return 0
        if command not in COMMANDS:
            raise BadInput(f"expected a command ({', '.join(COMMANDS)}), not {command!r}")
        module = importlib.import_module(f".{command}", __package__)
        parser = Parser(prog=f"python -m mmlib {command}", description=module.__doc__,
                        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
        module.options(parser)
        return module.run(parser.parse_args(rest))
    except BadInput as why:
        print(why, file=sys.stderr)
        return 2
    except KeyboardInterrupt:           # as a shell tells it of a program that SIGINT ended
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:             # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def usage() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(["python -m mmlib COMMAND ... (COMMAND --help tells more)", *(
        f"  {name:{width}}  {what}" for name, what in COMMANDS.items())])


if __name__ == "__main__":
    sys.exit(main())
