"""Many addresses at once: where the pages are, and what a change does to what was known."""
import numpy
import pytest

from mmlib import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, Machine, cost, translate

GIB = 1 << 30
PAGE = 4096


def test_a_change_is_seen():
    """What was made of a table is made anew when an entry changes."""
    task = Machine(trace=False).spawn()
    start = task.mmap(0, 8 * PAGE, "rw", MAP_PRIVATE | MAP_ANONYMOUS)
    pages = start + numpy.arange(8) * PAGE
    for page in pages[::-1].tolist():
        assert task.translate(page) == -1
        task.touch(page, 1, write=True)
        assert task.translate(page) >= 0
    frames = task.translate(pages).tolist()
    assert sorted(frames) == frames[::-1]
    task.munmap(start + 3 * PAGE, PAGE)
    assert task.translate(pages).tolist() == frames[:3] + [-1] + frames[4:]


def test_areas_far_apart():
    """Ranges at both ends of the address space cost what is mapped, not what lies between."""
    machine = Machine(trace=False)
    task, top = machine.spawn(), machine.geometry.task_size
    at = [PAGE * 16, GIB, 1 << 40, top - GIB]
    for addr in at:
        task.mmap(addr, 4 * PAGE, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
        task.touch(addr + PAGE, 2 * PAGE, write=True)
    lookup = translate.Lookup(machine, task.mm, 0, top)
    assert len(lookup.begin) == 3 and len(lookup.row) < 3 * translate.GAP
    for addr in at:
        got = task.translate([0, *(addr + n * PAGE + 5 for n in range(-1, 5)), top, 1 << 62])
        assert (got >= 0).tolist() == [False] * 3 + [True] * 2 + [False] * 4
        assert (got[3:5] % PAGE == 5).all()


@pytest.mark.parametrize("regime", cost.REGIMES)
def test_a_large_region(regime):
    """Before, in and after 300 GiB: each as the entry says, which holds what lies in no object."""
    machine = cost.experiment(regime, 300 * GIB, 2)
    task, at = machine.tasks[1], cost.SLOT
    asked = at + numpy.random.default_rng(1).integers(-GIB, 301 * GIB, 500)
    shift = 21 if cost.REGIMES[regime][1] else 12
    for addr, got in zip(asked.tolist(), task.translate(asked).tolist()):
        entry = machine.tables.entry_at(task.mm.pgd, addr)
        assert got == (-1 if not entry else (entry & ((1 << 52) - PAGE)) + addr % (1 << shift))


def test_a_copy_in_the_middle():
    """A page of its own among pages in a row, and the zero page."""
    machine = Machine(trace=False)
    task = machine.spawn()
    start = task.mmap(GIB, GIB, "rw", MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
    task.touch(start, GIB)
    zero = task.translate(start)
    task.touch(start + GIB // 2, 600 * PAGE, write=True)
    pages = start + numpy.arange(GIB // PAGE) * PAGE
    own = task.translate(pages) != zero
    assert own.sum() == 600 and own[GIB // 2 // PAGE:][:600].all()
    assert len(set(task.translate(pages[own]).tolist())) == 600
