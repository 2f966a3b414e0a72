"""A second opinion: one scenario asked of the simulator and of a real kernel.

A scenario is a function of a world that returns a dict, question -> answer.  On a fresh Machine its
answers are the prediction; the kernel of this computer is the judge.  Where none can be asked,
there is a recording.  It holds for the calls and the questions that were recorded, and for no
others: whoever changes a scenario gets a prediction alone.
"""

from collections.abc import Callable
from pathlib import Path

from . import abilities, worlds
from .answers import Answers, Row, key, recorded, recording
from .machine import Machine
from .signals import Signal

RUNS = 3                                # only what differs in each of so many counts as different


def ask(scenario: Callable, on: str | Callable = "here", *, huge_pages: int = 0) -> Answers:
    """Run *scenario* on a Machine and compare its answers with those of a kernel.

    *on* is "here", the kernel of this computer, or the recording if it cannot be asked; "recorded",
    the recording in any case; or a function that makes another world to be asked instead.
    *huge_pages* are in the Machine's pool, and have to be in the kernel's.

    >>> def scenario(world):
    ...     task = world.spawn()
    ...     return {"page tables": task.tables, "mappings": len(task.maps())}
    >>> ask(scenario, on=Machine)
                 predicted  measured  agree
    page tables          0         0  yes
    mappings             0         0  yes
    Measured on a world made by Machine.
    """
    if on not in ("here", "recorded") and not callable(on):
        raise ValueError(f'on is "here", "recorded" or a function that makes a world, not {on!r}')
    machine = Machine(huge_pages=huge_pages)
    predicted = answers_of(scenario, machine)
    told, why, notes = recorded(machine, predicted), "", []
    old, source = told, f"Recorded on {name(recording()['recorded_on'])}"
    if old is None:
        told, source = {}, "Not measured, and no recording has these calls and questions"
    kind = on
    if callable(on):
        told, notes = measured(scenario, predicted, on)
        source = f"Measured on a world made by {getattr(on, '__name__', 'a function')}"
    elif on == "here":
        asked, why = here(lambda kernel: (kernel, *measured(scenario, predicted, kernel)),
                          huge_pages)
        if asked:
            kind, told, notes = asked
            source = f"Measured just now: {this()}"
    rows = [Row(question, answer, told.get(question)) for question, answer in predicted.items()]
    answers = Answers(rows, source + (f"; {why}." if why else "."), notes, old)
    if callable(kind) and not answers.agree:
        answers.notes += reasons(kind)
    return answers


def answers_of(scenario: Callable, world) -> dict[str, int | str]:
    """What *scenario* answers on *world*, in a form that a file can hold."""
    answers = scenario(world)
    if not isinstance(answers, dict) or not answers:
        raise TypeError("a scenario returns a dict, question -> answer, with one question at least, "
                        f"not {answers!r}")
    return {str(question): answer if isinstance(answer, (int, str)) else str(answer)
            for question, answer in answers.items()}


def measured(scenario: Callable, predicted: dict, make: Callable) -> tuple[dict, list[str]]:
    """What fresh worlds answer.  A machine that does other things besides may count a fault too
    many; so what one run of three answers as predicted is as predicted, and a note says so."""
    runs = []
    while not runs or runs[-1] != predicted and len(runs) < RUNS:
        world = make()
        try:
            runs.append(answers_of(scenario, world))
        finally:
            if hasattr(world, "close"):
                world.close()
    told, notes = {}, []
    for question in predicted:
        answers = [run.get(question) for run in runs]
        agreed = predicted[question] in answers
        told[question] = predicted[question] if agreed else answers[-1]
        if len(set(answers)) > 1:
            notes.append(f"Not every run gave the same for {question!r}: "
                         f"{', '.join(map(str, answers))}.")
    return told, notes


def reasons(kind: Callable) -> list[str]:
    """Why worlds of this *kind* may differ, a line each, as far as probes tell."""
    return [f"It may differ because it is not so here that {what}."
            for what in worlds.lacking(kind) if "promised" not in what] or \
        ["No probe knows a reason. Please report it, with the scenario."]


# who answers -----------------------------------------------------------------------------------
def refusal(huge_pages: int = 0) -> str:
    """Why the kernel of this computer cannot be asked for a scenario, or ""."""
    if why := abilities.refusal():
        return f"the kernel of this computer cannot be asked: {why}"
    free = abilities.free_huge_pages()
    return "" if free >= huge_pages else \
        f"{huge_pages} huge pages are asked for, and the pool of this computer's kernel has {free}"


def here(asking: Callable, huge_pages: int = 0) -> tuple:
    """What *asking* makes of the class of this computer's kernel, and ""; or None and why not."""
    if why := refusal(huge_pages):
        return None, why
    from .linux import Linux, Lost      # only here: not every system has what it needs
    try:
        return asking(Linux), ""
    except (OSError, Signal, Lost) as failed:
        return None, f"the kernel of this computer ended the scenario: {failed}"


def name(described: dict) -> str:
    return f"Linux {described['kernel']} on {described['machine']}"


def this() -> str:
    return name(worlds.recorded_on())


def witness() -> str:
    """Who answers, in one line.

    >>> len(witness().splitlines())
    1
    """
    if why := refusal():
        return f"Answers are those recorded on {name(recording()['recorded_on'])}; {why}."
    frames = "tells you" if abilities.frame_numbers() else "does not tell you"
    return f"This computer's kernel answers: {this()}. It {frames} in which frame a page lies."


def probed() -> str:
    """What the probes say of this computer's kernel, a line each, or why it was not asked."""
    lacking, why = here(worlds.lacking)
    if why:
        return why
    from .linux.probe import PROBES
    return "\n".join(f"{'no ' if what in lacking else 'yes'}  {what}" for what in PROBES)


def status(scenario: Callable, *names: str) -> str:
    """Lines of /proc/PID/status of the first process, after *scenario*, as this computer's kernel
    prints them, or why it was not asked."""
    def read(kernel) -> str:
        with kernel() as world:
            scenario(world)
            return Path(f"/proc/{world.tasks[0].pid}/status").read_text()

    text, why = here(read)
    return why or "\n".join(" ".join(line.split()) for line in text.splitlines()
                            if line.split(":")[0] in names)


def record(scenario: Callable, *, huge_pages: int = 0) -> dict:
    """Ask the kernel of this computer, for a recording: {key: {"scenario", "answers"}}.

    Raises OSError where it cannot be asked."""
    from .linux import Linux
    if why := refusal(huge_pages):
        raise OSError(why)
    machine = Machine(huge_pages=huge_pages)
    predicted = answers_of(scenario, machine)
    told, _ = measured(scenario, predicted, Linux)
    return {key(machine, predicted): {"scenario": scenario.__name__, "answers": told}}
