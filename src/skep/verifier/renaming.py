"""Which id of one state is which of another.

Source: Linux 6.18 kernel/bpf/verifier.c (check_ids, check_scalar_ids).
"""

from skep.verifier.scalar import Scalar


class Renaming:
    """Which id of the old state is which of the new one; one to one. Ids are few."""

    __slots__ = ("_count", "_fresh", "_new", "_old")

    def __init__(self, fresh: int) -> None:
        self._old: list[int] = []
        self._new: list[int] = []
        self._count: int = 0  # of the pairs in force; the lists are kept for the next comparison
        self._fresh: int = fresh

    def forget(self, fresh: int) -> None:
        """Start over; *fresh* is above all ids in use."""
        self._count = 0
        self._fresh = fresh

    def forget_pairs(self) -> None:
        """Start over."""
        self._count = 0

    def same(self, old: int, new: int) -> bool:
        """Whether *old* can stand for *new*; remembers that it does."""
        if old == 0 or new == 0:
            return old == new
        olds, news = self._old, self._new
        for index in range(self._count):
            if olds[index] == old:
                return news[index] == new
            if news[index] == new:
                return False
        if self._count == len(olds):
            olds.append(old)
            news.append(new)
        else:
            olds[self._count] = old
            news[self._count] = new
        self._count += 1
        return True

    def same_scalar(self, old: Scalar, new: Scalar) -> bool:
        """Whether the new scalar is linked to all that the old one was linked to."""
        if old.id == 0:
            return True
        other: int = new.id
        if other == 0:
            self._fresh += 1
            other = self._fresh
        return self.same(old.id, other)
