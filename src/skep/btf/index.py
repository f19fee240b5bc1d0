"""Names to type ids: an index over one BTF, without its base.

Invariant: ids come out in ascending order. No string is read to build the index: a look-up searches
the string section for the bytes of the name, and the index for types whose name starts there.
"""

from collections.abc import Sequence


class NameIndex:
    """Types by the offset of their name.

    Args:
        words: the type section.
        starts: where each type starts, in words.
        first: id of the first type.
        strings: the string section.
        string_base: offset of its first byte: the size of the base's strings.
    """

    def __init__(
        self,
        words: Sequence[int],
        starts: Sequence[int],
        first: int,
        strings: bytes,
        string_base: int,
    ) -> None:
        self._strings = strings
        self._string_base = string_base
        self._by_offset: dict[int, list[int]] = {}
        by_offset = self._by_offset
        for type_id, start in enumerate(starts, first):
            off = words[start]
            if off:
                known = by_offset.get(off)
                if known is None:
                    by_offset[off] = [type_id]
                else:
                    known.append(type_id)

    def find(self, offsets: Sequence[int]) -> list[int]:
        """Ids of the types whose name starts at one of *offsets*."""
        found: list[int] = []
        for off in offsets:
            found += self._by_offset.get(off, ())
        return sorted(found)

    def offsets(self, needle: bytes) -> list[int]:
        """Every offset at which this string section says *needle*, inside longer strings too."""
        found: list[int] = []
        at = self._strings.find(needle)
        while at >= 0:
            found.append(at + self._string_base)
            at = self._strings.find(needle, at + 1)
        return found
