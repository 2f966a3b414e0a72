"""Exercises of notebook 01: walk an address."""

import random
from collections.abc import Iterator

from ..abi import MAP_HUGETLB
from ..geometry import PS, TINY, X86_64, P, entry_pfn
from ..machine import Machine
from ..verdict import Verdict
from .exercise import ANON, Case, Code, Exercise

ADDRESS = 0x7F12_3456_7ABC              # of exercise 1
INDICES, OFFSET = (1, 2, 3, 0), 0x10    # of exercise 2
HUGE = 0x80000                          # where exercise 4 has a huge page


def address_of(indices: tuple[int, ...], offset: int) -> int:
    """The address in TINY that is cut into *indices*, top level first."""
    return next(a for a in range(0, TINY.task_size, TINY.page_size)
                if TINY.indices(a) == indices) + offset


def entries_read() -> int:
    """Entries that the MMU reads for loads of two pages, each loaded twice, after their faults."""
    machine = Machine(TINY, cpus=2)
    task = machine.spawn()
    task.mmap(0x4000, 0x2000, "rw", ANON)
    task.touch(0x4000, 0x2000, write=True)
    task.run_on(1)                      # a CPU whose TLB is empty
    before = len(machine.trace)
    for addr in (0x4000, 0x5000, 0x4000, 0x5000):
        task.load(addr)
    return sum(e.kind == "walk" for step in machine.trace[before:] for e in step.events)


def machines() -> Iterator[Machine]:
    """Random machines: holes, pages that nobody may touch, and a huge page."""
    for seed in range(6):
        rng = random.Random(seed)
        machine = Machine(TINY, huge_pages=1, trace=False)
        task = machine.spawn()
        for start in rng.sample(range(0x10000, TINY.task_size, 0x10000), 4):
            if start != HUGE:
                task.mmap(start, 0x4000, "rw", ANON)
                task.touch(start + 0x1000, 0x2000, write=True)
        task.mprotect(task.mm.vmas[0].start + 0x1000, 0x1000, "")
        task.mmap(HUGE, TINY.huge_size, "rw", ANON | MAP_HUGETLB)
        task.store(HUGE, b"x")
        yield machine


def walks() -> Iterator[Case]:
    """Addresses, and where the MMU ends for each."""
    for number, machine in enumerate(machines()):
        mm, rng = machine.tasks[0].mm, random.Random(number)

        def read(pfn: int, index: int, tables=machine.tables) -> int:
            return tables.get(tables.by_pfn[pfn], index)

        edges = [addr for vma in mm.vmas for addr in (vma.start + 0x1008, vma.end - 1)]
        for addr in [HUGE, HUGE + 0x2345, *edges, *(rng.randrange(TINY.task_size)
                                                    for _ in range(50))]:
            table, _, entry = machine.tables.walk(mm.pgd, addr)[-1]
            right = (entry_pfn(entry) << 12) + addr % TINY.entry_span(table.level) \
                if entry & P else None
            yield Case(f"for {addr:#x}", (read, mm.pgd.pfn, addr), right,
                       lambda got, entry=entry: where(entry))


def where(entry: int) -> str:
    """What the walk should have met."""
    if not entry:
        return "Nothing is mapped there: one of the entries is empty."
    if not entry & P:
        return "The last entry is not empty, but it is not present: nobody may touch the page."
    if entry & PS:
        return "A huge page is mapped there: an entry above the PTE table has the PS bit."
    return "A page is mapped there; is the offset in the page added?"


def check_one_bit(answer) -> Verdict:
    """Two addresses, one bit apart, whose walks have only the top-level table in common."""
    if not (isinstance(answer, tuple) and len(answer) == 2
            and all(isinstance(a, int) and 0 <= a < X86_64.task_size for a in answer)):
        return Verdict(False, "Give a tuple of two user-space addresses of X86_64.")
    one, two = answer
    if (one ^ two).bit_count() != 1:
        return Verdict(False, f"They differ in {(one ^ two).bit_count()} bits.")
    if X86_64.index(one, 4) == X86_64.index(two, 4):
        return Verdict(False, "Their top-level index is the same, so the next table is, too.")
    return Verdict(True, "One bit of the top-level index, and everything below is different.")


EXERCISES = {
    "01.1": Exercise(
        lambda: X86_64.index(ADDRESS, 2), "Nine bits, after the page offset and the PTE index.",
        lambda: {X86_64.index(ADDRESS, 1): "That is the index into the PTE table.",
                 X86_64.index(ADDRESS, 3): "That is the index into the PUD.",
                 X86_64.index(ADDRESS, 4): "That is the index into the top-level table."},
        "Which bits are left when the offset and the PTE index are shifted out?"),
    "01.2": Exercise(
        lambda: address_of(INDICES, OFFSET), "Each index is two bits in TINY, above 12 of offset.",
        lambda: {address_of(INDICES, 0): "And the offset within the page?",
                 address_of(INDICES[::-1], OFFSET): "The first index is that of the top level."},
        "Put the pieces together again: index by index, two bits each, then the offset."),
    "01.3": Exercise(
        entries_read, "Two walks of four entries; the TLB answers the other two loads.",
        lambda: {4 * entries_read() // 2: "Does the second load of a page walk again?",
                 entries_read() // 2: "Does the TLB entry of one page translate its neighbour?",
                 2: "That is the number of walks. How many entries does a walk read?"},
        "How many of the four loads find their page in the TLB?"),
    "01.4": Code(walks, "Your walk agrees with the MMU at {tried} addresses of six random "
                 "machines, in holes and in huge pages too."),
    "01.5": check_one_bit,
}
