"""The roadblocks on the way to shared page tables: more columns for a `Matrix`, and a lottery.

Each question is asked of a machine on which both processes have touched every page of the file.
"""

from collections.abc import Callable
from random import Random

from .abi import MADV_DONTNEED, MAP_SHARED
from .accounts import bill
from .geometry import TINY, X86_64
from .machine import Machine
from .matrix import NOTHING, both, spelled
from .regimes import PAGE, SIZE, START
from .sharing import FileTableCache
from .task import Task

LOWEST, RANDOM_BITS = 1 << 46, 28       # of mappings; pages by which they move (mmap_rnd_bits)


def after(change: Callable[[Task, int], None]) -> Callable[[str], str]:
    """A question: faults that the first process takes to read everything again, after it has done
    *change* to one page (one huge page), of the length given."""
    def question(regime: str) -> str:
        _, first, _ = both(regime)
        try:
            change(first, TINY.huge_size if regime == "hugetlb" else PAGE)
        except OSError as error:
            return spelled(error)
        before = first.page_faults
        first.touch(START, SIZE)
        taken = first.page_faults - before
        return f"{taken} fault{'s' * (taken != 1)}"
    return question


def entries_of_a_page(regime: str) -> int:
    """Entries that map a page that both have read: so many accessed bits, and such a mapcount."""
    world, first, _ = both(regime)
    rows, _ = world.machine.rmap(first.pagemap(START, PAGE)[0].pfn)
    return len({(row.table, row.index) for row in rows})


def billed(reported: str, true: str) -> Callable[[str], str]:
    """A question: what the kernel's rules report of all processes, in percent of the truth."""
    def question(regime: str) -> str:
        machine = both(regime)[0].machine
        names, rows = {task.mm.name for task in machine.tasks}, bill(machine)
        whole = sum(getattr(row, true) for row in rows)
        told = sum(getattr(row, reported) for row in rows if row.mm in names)
        return f"{round(100 * told / whole)} %" if whole else NOTHING
    return question


def exit_clears(regime: str) -> int:
    """Entries that the exit of the second process clears."""
    world, _, second = both(regime)
    second.exit()
    return sum(event.entries for event in world.machine.trace[-1].events if event.kind == "zap")


def left_behind(regime: str) -> int:
    """Page tables that are there when both have exited."""
    world, first, second = both(regime)
    first.exit(), second.exit()
    return world.machine.table_count


ROADBLOCKS: dict[str, Callable[[str], object]] = {
    "mprotect a page": after(lambda task, size: task.mprotect(START, size, "r")),
    "DONTNEED a page": after(lambda task, size: task.madvise(START, size, MADV_DONTNEED)),
    "entries of a page": entries_of_a_page,
    "PSS told": billed("pss", "true_pss"), "VmPTE told": billed("tables", "true_tables"),
    "exit clears": exit_clears, "tables left": left_behind}


def lottery(dice: Random, step: int, *, clients: int, size: int) -> tuple[int, int]:
    """Page tables under address randomisation, on x86-64 with `FileTableCache`.

    Each of *clients* maps *size* bytes of a file at a page that *dice* draws, rounded down to
    *step* bytes, and loads from what each PTE table maps.  Returns how many addresses are
    congruent with the offset modulo that span, and the tables of all.

    >>> lottery(Random(1), 2 << 20, clients=10, size=4 << 20)
    (10, 22)
    """
    machine, span, fit = Machine(X86_64, sharing=FileTableCache(), trace=False), X86_64.span(1), 0
    file, tasks = machine.memfd("db", size), [machine.spawn() for _ in range(clients)]
    for task in tasks:
        start = LOWEST + draw(dice) * X86_64.page_size
        start -= start % step
        task.mmap(start, size, "r", MAP_SHARED, file)
        fit += start % span == 0
        for offset in range(0, size, span):
            task.load(start + offset)
    return fit, machine.table_count


def draw(dice: Random) -> int:
    """The page at which a mapping starts, counted from LOWEST."""
    return dice.randrange(1 << RANDOM_BITS)
