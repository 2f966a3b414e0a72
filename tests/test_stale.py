"""What an access through a stale translation does: the machine must go on, whatever it hits."""
import pytest

from mmlib import (
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    TINY,
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
