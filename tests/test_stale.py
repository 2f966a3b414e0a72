"""What an access through a stale translation does: the machine must go on, whatever it hits."""
import pytest
from dense import dense_machine
from regions import create, unmap

from mmlib import (
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    TINY,
    X86_64,
    FileTableCache,
    Machine,
    validate,
)


def sharers():
    """A machine that flushes the caller only, and two processes that share a table."""
    machine = Machine(TINY, sharing=FileTableCache())
    file, out = machine.memfd("f", 0x4000), []
    for name in ("a", "b"):
        task = machine.spawn(name)
        task.mmap(0x40000, 0x4000, "rw", MAP_SHARED, file)
        task.store(0x40000, b"data")
        out.append(task)
    machine.flush_sharers = False
    return machine, *out


def test_a_stale_translation_to_a_free_frame():
    """Nobody has the frame: zeros are read and a store is lost; validate complains."""
    machine, a, b = sharers()
    a.madvise(0x40000, 0x1000, MADV_REMOVE)
    assert b.load(0x40000, 4) == bytes(4)
    b.store(0x40000, b"lost")
    assert b.load(0x40000, 4) == bytes(4)
    with pytest.raises(AssertionError):
        validate(machine)


def test_a_stale_translation_to_a_page_table():
    """The frame is a table now: the table is neither read nor changed."""
    machine, a, b = sharers()
    frame = a.pagemap(0x40000, 0x1000)[0].pfn
    a.madvise(0x40000, 0x1000, MADV_REMOVE)
    assert machine.spawn("c").mm.pgd.pfn == frame
    b.store(0x40000, b"lost")
    assert b.load(0x40000, 4) == bytes(4) and not machine.tables.present(machine.tasks[2].mm.pgd)


def test_a_stale_translation_to_another_process_s_page():
    """That is what a missing flush costs: its private memory is read."""
    machine, a, b = sharers()
    c = machine.spawn("c")
    c.mmap(0x4000, 0x2000, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    c.store(0x5000, b"public")
    a.madvise(0x40000, 0x1000, MADV_REMOVE)
    c.store(0x4000, b"secret")
    assert b.load(0x40000, 6) == b"secret"


@pytest.mark.parametrize("told_again", [False, True])
def test_a_stale_translation_at_the_head_of_a_long_row(told_again):
    """A hit is no fault, also where a row of 300 pages is accessed by one call."""
    seen, slot = [], X86_64.span(3)
    for make in (Machine, dense_machine):
        machine = make(trace=False)
        machine.mount("msharefs", "/ms", version=2025)
        file, guest = machine.open("/ms/r"), machine.spawn("guest")
        file.truncate(slot)
        create(file, 0, 300)
        guest.mmap(slot, slot, "rw", MAP_SHARED | MAP_FIXED, file)
        guest.touch(slot, 32 * 0x1000, write=True)
        machine.flush_sharers = False
        unmap(file, 0, 300), create(file, 0, 300)       # nobody tells the guest's CPU
        machine.flush_sharers = told_again
        guest.touch(slot, 300 * 0x1000, write=True)
        seen.append((guest.page_faults, dict(machine.counters)))
    assert seen[0] == seen[1]
