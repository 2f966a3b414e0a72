"""Runs of numbers: what is alike in a row is kept as one.

Frames, the pages of a file and page tables come by the million and are mostly alike.  A `Runs`
keeps them as ranges with one value each; whatever makes one of them different cuts it out.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator


class Runs:
    """Ranges [lo, hi) of whole numbers, apart and in order, each with a value.

    *shift(value, n)* is the value n numbers further on, so that a range can be cut and joined
    again; without it all numbers of a range have the same value.

    >>> r = Runs(lambda value, n: value + n)
    >>> r.add(0, 4, 100); r.add(4, 8, 104); list(r)
    [(0, 8, 100)]
    >>> r.take(2, 3), list(r)
    ([(2, 3, 102)], [(0, 2, 100), (3, 8, 103)])
    """

    __slots__ = ("_los", "_runs", "_shift")

    def __init__(self, shift=lambda value, n: value):
        self._los: list[int] = []
        self._runs: list[tuple] = []
        self._shift = shift

    def __iter__(self) -> Iterator[tuple]:
        return iter(self._runs)

    def __bool__(self) -> bool:
        return bool(self._runs)

    def total(self) -> int:
        """How many numbers are in it."""
        return sum(hi - lo for lo, hi, _ in self._runs)

    def find(self, x: int) -> tuple | None:
        """The (lo, hi, value) that *x* is in."""
        i = bisect_right(self._los, x) - 1
        return self._runs[i] if i >= 0 and x < self._runs[i][1] else None

    def at(self, x: int):
        """The value of *x*; None if it is in no range."""
        run = self.find(x)
        return None if run is None else self._from(run, x)

    def _from(self, run: tuple, x: int):
        """The value of *x*, which is in *run*; that of its first number needs no shift."""
        lo, _, value = run
        return value if x == lo else self._shift(value, x - lo)

    def within(self, lo: int, hi: int) -> list[tuple]:
        """The ranges that meet [lo, hi), cut to it; none if that is empty."""
        if lo >= hi:
            return []
        found = self._runs[max(bisect_right(self._los, lo) - 1, 0):bisect_left(self._los, hi)]
        if found and found[0][1] <= lo:
            del found[0]
        if found and found[-1][1] > hi:
            found[-1] = (found[-1][0], hi, found[-1][2])
        if found and found[0][0] < lo:
            found[0] = (lo, found[0][1], self._from(found[0], lo))
        return found

    def stretch(self, lo: int, hi: int) -> tuple[int, object]:
        """(upto, value): up to where, at most *hi*, *lo* and what follows are in one range, or
        (value None) in none."""
        i = bisect_right(self._los, lo)
        if i and lo < self._runs[i - 1][1]:
            run = self._runs[i - 1]
            return min(run[1], hi), self._from(run, lo)
        return min(self._los[i], hi) if i < len(self._los) else hi, None

    def add(self, lo: int, hi: int, value=None) -> None:
        """Put in a range that meets no other; it joins neighbours that it continues."""
        if lo >= hi:
            return
        i = bisect_left(self._los, lo)
        if i and self._runs[i - 1][1] == lo:
            a, _, before = self._runs[i - 1]
            if self._shift(before, lo - a) == value:
                lo, value, i = a, before, i - 1
                del self._los[i], self._runs[i]
        if i < len(self._runs) and self._runs[i][0] == hi:
            _, b, after = self._runs[i]
            if self._shift(value, hi - lo) == after:
                hi = b
                del self._los[i], self._runs[i]
        self._los.insert(i, lo)
        self._runs.insert(i, (lo, hi, value))

    def alter(self, lo: int, hi: int, change: Callable) -> None:
        """Let each value in [lo, hi) be what *change* makes of it."""
        i = bisect_right(self._los, lo) - 1
        if i >= 0 and self._runs[i][:2] == (lo, hi) and self._apart(i):
            self._runs[i] = lo, hi, change(self._runs[i][2])
            return
        for a, b, value in self.take(lo, hi):
            self.add(a, b, change(value))

    def _apart(self, i: int) -> bool:
        """Does range *i* touch none of its neighbours, so that it cannot join them?"""
        lo, hi, _ = self._runs[i]
        return (not i or self._runs[i - 1][1] < lo) and (
            i + 1 == len(self._runs) or hi < self._los[i + 1])

    def take(self, lo: int, hi: int) -> list[tuple]:
        """Take [lo, hi) out; the ranges that were in it."""
        if lo >= hi:
            return []
        first = max(bisect_right(self._los, lo) - 1, 0)
        if first < len(self._runs) and self._runs[first][1] <= lo:
            first += 1
        last = bisect_left(self._los, hi)
        taken, rest = self._runs[first:last], []
        if not taken:
            return taken
        head, tail = taken[0], taken[-1]
        if tail[1] > hi:
            taken[-1] = (tail[0], hi, tail[2])
        if head[0] < lo:
            rest.append((head[0], lo, head[2]))
            taken[0] = (lo, taken[0][1], self._from(head, lo))
        if tail[1] > hi:
            rest.append((hi, tail[1], self._from(tail, hi)))
        self._runs[first:last], self._los[first:last] = rest, [run[0] for run in rest]
        return taken


class PageSet:
    """A set of page numbers, each a multiple of *step*, that come in long ranges.

    >>> s = PageSet(2); n = s.update(0, 8); s.discard(4); n, list(s), 4 in s
    (4, [0, 2, 6], False)
    """

    def __init__(self, step: int = 1):
        self.step, self._runs = step, Runs()

    def __contains__(self, page: int) -> bool:
        return page % self.step == 0 and self._runs.find(page) is not None

    def __len__(self) -> int:
        return self._runs.total() // self.step

    def __iter__(self) -> Iterator[int]:
        for lo, hi, _ in self._runs:
            yield from range(lo, hi, self.step)

    def ranges(self) -> list[tuple[int, int]]:
        return [(lo, hi) for lo, hi, _ in self._runs]

    def within(self, lo: int, hi: int) -> list[tuple[int, int]]:
        return [(a, b) for a, b, _ in self._runs.within(lo, hi)]

    def update(self, lo: int, hi: int) -> int:
        """Put in every page of [lo, hi); how many are new."""
        there = sum(b - a for a, b, _ in self._runs.take(lo, hi))
        self._runs.add(lo, hi)
        return (hi - lo - there) // self.step

    def remove_range(self, lo: int, hi: int) -> int:
        """Take out the pages of [lo, hi); how many there were."""
        return sum(b - a for a, b, _ in self._runs.take(lo, hi)) // self.step

    def clear(self) -> None:
        for lo, hi in self.ranges():
            self.remove_range(lo, hi)

    def add(self, page: int) -> None:
        self.update(page, page + self.step)

    def discard(self, page: int) -> None:
        self.remove_range(page, page + self.step)


class Free:
    """Free frames, as a heap of *ranges*: handed out lowest first, *step* at a time."""

    def __init__(self, step: int = 1):
        self.step, self.ranges = step, []

    def __len__(self) -> int:
        return sum(hi - lo for lo, hi in self.ranges) // self.step

    def push(self, lo: int, hi: int) -> None:
        if lo < hi:
            heapq.heappush(self.ranges, (lo, hi))

    def pop(self) -> int:
        """The lowest; IndexError if there is none."""
        lo, hi = self.ranges[0]
        if hi - lo == self.step:
            heapq.heappop(self.ranges)
        else:
            heapq.heapreplace(self.ranges, (lo + self.step, hi))
        return lo

    def pop_range(self, frames: int) -> int | None:
        """The lowest range of so many frames in a row, if there is one."""
        fits = [(lo, hi) for lo, hi in self.ranges if hi - lo >= frames]
        if not fits:
            return None
        lo, hi = min(fits)
        self.ranges.remove((lo, hi))
        heapq.heapify(self.ranges)
        self.push(lo + frames, hi)
        return lo
