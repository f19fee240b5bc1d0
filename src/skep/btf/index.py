"""The index of one BTF: where its types start, and which start with which name.

Invariant: ids come out in ascending order. No string is read to build the index: a look-up searches
the string section for the bytes of the name, and the index for types whose name starts there.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence


class TypeIndex:
    """Where types start, and types in order of where their names start.

    Args:
        starts: the start of each type, in words.
        name_offs: offsets of names, ascending.
        name_ids: for each, a type; ids of one name ascend.
    """

    def __init__(
        self, starts: "array[int]", name_offs: "array[int]", name_ids: "array[int]"
    ) -> None:
        self.starts = starts
        self.name_offs = name_offs
        self.name_ids = name_ids

    def find(self, offsets: Sequence[int]) -> list[int]:
        """Ids of the types whose name starts at one of *offsets*."""
        found: list[int] = []
        for off in offsets:
            at = bisect_left(self.name_offs, off)
            while at < len(self.name_offs) and self.name_offs[at] == off:
                found.append(self.name_ids[at])
                at += 1
        return sorted(found)


def make_index(words: "array[int]", starts: "array[int]", first: int) -> TypeIndex:
    """Index the types of a section.

    Args:
        words: the type section.
        starts: where each type starts, in words.
        first: id of the first type.
    """
    offs = [words[start] for start in starts]
    order = sorted([n for n, off in enumerate(offs) if off], key=offs.__getitem__)
    name_offs = array("I", [offs[position] for position in order])
    return TypeIndex(starts, name_offs, array("I", [first + position for position in order]))


def find_all(data: bytes, needle: bytes, base: int) -> list[int]:
    """Every offset at which *data*, which begins at *base*, says *needle*; inside words too."""
    found: list[int] = []
    at = data.find(needle)
    while at >= 0:
        found.append(at + base)
        at = data.find(needle, at + 1)
    return found
