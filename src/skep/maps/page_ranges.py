"""PageRanges: which pages of an arena are free, as ranges.

The range that an allocation takes is the one Linux takes: the least that is large enough, the one
that came into being last if several are. So the same requests give the same addresses.

Source: Linux 6.18 kernel/bpf/range_tree.c.
"""

from bisect import bisect_left, bisect_right, insort


class PageRanges:
    """Free pages among *count*; all are at first."""

    def __init__(self, count: int) -> None:
        self._age = 0
        self._starts: list[int] = []
        self._found: dict[int, tuple[int, int]] = {}  # start: end, minus age
        self._by_size: list[tuple[int, int, int]] = []  # size, minus age, start
        self._insert(0, count)

    def _insert(self, start: int, end: int) -> None:
        self._age += 1
        insort(self._starts, start)
        insort(self._by_size, (end - start, -self._age, start))
        self._found[start] = end, -self._age

    def _remove(self, start: int) -> int:
        """Forget the range at *start*; where it ended."""
        end, age = self._found.pop(start)
        del self._starts[bisect_left(self._starts, start)]
        del self._by_size[bisect_left(self._by_size, (end - start, age, start))]
        return end

    def _overlapping(self, start: int, end: int) -> int | None:
        """Start of the first range that has a page of ``start … end - 1``, or None."""
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self._found[self._starts[at]][0] > start:
            return self._starts[at]
        at += 1
        return self._starts[at] if at < len(self._starts) and self._starts[at] < end else None

    def find(self, count: int) -> int | None:
        """First of *count* free pages in a row, or None."""
        at = bisect_left(self._by_size, (count,))
        return self._by_size[at][2] if at < len(self._by_size) else None

    def is_free(self, start: int, count: int) -> bool:
        """Whether all of *count* pages from *start* on are free."""
        found = self._overlapping(start, start + count)
        return found is not None and found <= start and self._found[found][0] >= start + count

    def take(self, start: int, count: int) -> None:
        """Let *count* pages from *start* on not be free any more."""
        end = start + count
        while (first := self._overlapping(start, end)) is not None:
            last = self._remove(first)
            if first < start:
                self._insert(first, start)
            if last > end:
                self._insert(end, last)

    def give(self, start: int, count: int) -> None:
        """Let *count* pages from *start* on be free."""
        if self.is_free(start, count):
            return
        self.take(start, count)
        end = start + count
        before = self._overlapping(start - 1, start) if start else None
        if end in self._found:
            end = self._remove(end)
        if before is not None:
            self._remove(before)
            start = before
        self._insert(start, end)

    @property
    def free(self) -> int:
        """How many pages are free."""
        return sum(size for size, _, _ in self._by_size)
