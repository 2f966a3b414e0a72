"""Exercises of notebook 05: share an mm with threads."""

from ..abi import MAP_SHARED
from ..geometry import TINY
from ..machine import Machine
from ..signals import Segfault
from ..verdict import Verdict
from .exercise import ANON, Exercise


def process(pages: int = 3, cpus: int = 1) -> Machine:
    """A process that has stored to some pages of private memory."""
    machine = Machine(TINY, cpus=cpus)
    task = machine.spawn("db")
    task.mmap(0x4000, pages * 4096, "rw", ANON)
    task.touch(0x4000, pages * 4096, write=True)
    return machine


def tables_with_threads(threads: int = 5) -> int:
    machine = process()
    for _ in range(threads):
        machine.tasks[0].clone().touch(0x4000, 0x3000, write=True)
    return machine.table_count


def faults_of_the_thread() -> int:
    """db touches two of four pages of a file, then its thread touches all."""
    machine = Machine(TINY)
    db = machine.spawn("db")
    db.mmap(0x4000, 0x4000, "rw", MAP_SHARED, machine.memfd("data", 0x4000))
    db.touch(0x4000, 0x2000, write=True)
    thread = db.clone()
    thread.touch(0x4000, 0x4000, write=True)
    return thread.minor_faults


def targets_of_munmap() -> int:
    """Four CPUs; threads have run on three of them; one call unmaps three pages."""
    machine = process(cpus=4)
    for cpu in (1, 2):
        thread = machine.tasks[0].clone()
        thread.run_on(cpu)
        thread.touch(0x4000, 0x3000)
    machine.tasks[0].munmap(0x4000, 0x3000)
    return machine.counters["flush_targets"]


def copies_after_an_exit() -> int:
    """A worker forks, the first thread exits, then worker and child store to one page."""
    machine = process()
    db = machine.tasks[0]
    worker = db.clone("worker")
    child = worker.fork("child")
    db.exit()
    worker.store(0x4000, b"x")
    child.store(0x4000, b"y")
    return machine.counters["copies"]


def check_taken_away(answer) -> Verdict:
    """Run the reader's script: does a task lose what it could access, without a call of its own?"""
    return taken_away(Machine(TINY, cpus=2), answer)


def taken_away(machine: Machine, answer) -> Verdict:
    """Does the script *answer* end in SIGSEGV, at an access that has gone well before?"""
    try:
        answer(machine)
    except Segfault:
        pass
    else:
        return Verdict(False, "Your script ended without SIGSEGV.")
    last = machine.trace[-1]
    before = [step for step in machine.trace[:-1] if step.actor == last.actor]
    if len(machine.trace) < 2 or not before or before[-1].call != last.call \
            or before[-1].addr != last.addr or before[-1].error is not None:
        return Verdict(False, f"The last call before {last.action} that {last.actor} made has to "
                       "be the same access, and to go well.")
    return Verdict(True, "Another thread changed the layout, and there is only one layout. A "
                   "process of its own could not have done that to its neighbour.")


EXERCISES = {
    "05.1": Exercise(
        tables_with_threads, "One mm, one tree: a thread brings no table along.",
        lambda: {18: "So it would be if each were a process that had stored to the pages.",
                 8: "Does a thread have a table of its own?",
                 4: "VmPTE does not count the top-level table."},
        "How many address spaces are there?"),
    "05.2": Exercise(
        faults_of_the_thread, "The entries of the other two were there already: its mm has them.",
        lambda: {4: "That is what a process would pay.",
                 0: "Nobody has touched the last two pages before."},
        "Which of the four entries are still empty when the thread comes?"),
    "05.3": Exercise(
        targets_of_munmap, "One flush for the whole range, on each CPU that this mm has run on.",
        lambda: {4: "One of the CPUs has never run this mm and remembers nothing of it.",
                 9: "A range is flushed at once, not page by page.",
                 1: "Who tells the other CPUs?",
                 2: "The CPU that makes the call has to forget, too."},
        "Which CPUs may remember translations of this mm?"),
    "05.4": Exercise(
        copies_after_an_exit, "The mm lives on in the worker, so the page had two owners when the "
        "worker stored, and one when the child did.",
        lambda: {0: "Did the memory go when the first thread exited?",
                 2: "Who else had the page when the second of them stored?"},
        "How many address spaces have the page after the fork, and after the exit?"),
    "05.5": check_taken_away,
}
