"""Ranges with values are numbers with values, told in fewer words: a dict is the judge."""
import random

import pytest

from mmlib.runs import PageSet, Runs


def ranges(numbers: dict, moves: bool) -> list[tuple]:
    """The fewest ranges that tell *numbers*; with *moves* a value grows with its number."""
    found = []
    for x in sorted(numbers):
        if found and found[-1][1] == x and \
                found[-1][2] + (x - found[-1][0]) * moves == numbers[x]:
            found[-1] = (found[-1][0], x + 1, found[-1][2])
        else:
            found.append((x, x + 1, numbers[x]))
    return found


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("seed", range(100))
def test_every_operation_by_the_number(seed, moves):
    """Empty ranges too, and such as end before they begin."""
    rng, there = random.Random(seed), {}
    runs = Runs(lambda value, n: value + n * moves)
    for _ in range(60):
        lo = rng.randrange(20)
        hi = lo + rng.randrange(-2, 8)
        within = {x: there[x] for x in range(lo, hi) if x in there}
        what = rng.choice(["add", "take", "alter", "within", "stretch"])
        if what == "add" and not within:
            value = rng.randrange(3)
            runs.add(lo, hi, value)
            there |= {x: value + (x - lo) * moves for x in range(lo, hi)}
        elif what == "take":
            assert runs.take(lo, hi) == ranges(within, moves)
            for x in within:
                del there[x]
        elif what == "alter":
            runs.alter(lo, hi, lambda value: value + 1)
            there |= {x: value + 1 for x, value in within.items()}
        elif what == "within":
            assert runs.within(lo, hi) == ranges(within, moves)
        elif lo < hi:
            upto, value = runs.stretch(lo, hi)
            assert value == there.get(lo) == runs.at(lo)
            assert lo < upto <= hi and all((x in there) == (value is not None)
                                           for x in range(lo, upto))
        assert list(runs) == ranges(there, moves) and runs.total() == len(there)


@pytest.mark.parametrize("step", [1, 4])
def test_a_set_of_pages(step):
    """As a set of multiples of *step*; how many are new, and how many were there."""
    rng, pages, told = random.Random(step), PageSet(step), set()
    for _ in range(300):
        lo = rng.randrange(30) * step
        some = set(range(lo, lo + rng.randrange(6) * step, step))
        hi = max(some, default=lo - step) + step
        if rng.random() < 0.5:
            assert pages.update(lo, hi) == len(some - told)
            told |= some
        else:
            assert pages.remove_range(lo, hi) == len(some & told)
            told -= some
        assert list(pages) == sorted(told) and len(pages) == len(told)
        assert all((page in pages) == (page in told) for page in range(30 * step))
