"""TypeTable: the types of one BTF by id and by name.

Invariant: reading is lazy. Construction scans where types start; a type is decoded, and checked,
when it is first asked for. So hostile data may raise BtfError from any method, and nothing else.

A split BTF (a kernel module's) stands on a base: its ids and string offsets continue the base's.
"""

from collections.abc import Iterator
from typing import Final

from skep.btf import kinds
from skep.btf.codec import Section, decode_string, read_header, read_words, scan
from skep.btf.index import TypeIndex, find_all, make_index
from skep.btf.kinds import Kind
from skep.errors import BtfError

MAX_REMEMBERED: Final = 4096  # names, paths, walks per table: programs may ask for any


class TypeTable:
    """Types and their names.

    ``len(table)`` is the number of ids, with void and the base's: ids are ``0 .. len(table) - 1``.

    Args:
        data: a ``.BTF`` section.
        base: what it extends.
        source: whose it is, for messages ("BTF of x.bpf.o").
        index: its index, where one is at hand.
    """

    def __init__(
        self, data: bytes, base: "TypeTable | None", source: str, index: TypeIndex | None
    ) -> None:
        header = read_header(data, source)
        self.source = source
        self.parent = base
        self._data = data
        self.first_id = len(base) if base is not None else 1
        self.string_base = base.string_size if base is not None else 0
        self.strings = self._read_strings(header.size + header.string_off, header.string_size)
        offset = header.size + header.type_off
        words = read_words(data[offset : offset + header.type_size])
        if index is not None and len(index.starts) and index.starts[-1] >= len(words):
            index = None  # of other data
        starts = index.starts if index else scan(words, self.first_id, offset, source)
        self.section = Section(words, starts, self.first_id, self.string, offset, source)
        self._types: list[kinds.Type | None] = [None] * (self.section.limit - self.first_id)
        self._index = index
        self._named: dict[str, list[int]] = {}  # what names were looked up, and found

    def _read_strings(self, offset: int, size: int) -> bytes:
        strings = self._data[offset : offset + size]
        wrong = ""
        if self.parent is None and strings[:1] != b"\0":
            wrong = "no empty string at its start"
        elif strings and strings[-1] != 0:
            wrong = "no NUL at its end"
        if wrong:
            raise BtfError(
                source=self.source, where="string section", offset=offset,
                found=wrong, expected="NUL-terminated strings, the first of them empty",
            )  # fmt: skip
        return strings

    # --- ids ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.section.limit

    def __bool__(self) -> bool:
        return True

    def ids(self) -> range:
        """The ids of this BTF's own types."""
        return range(self.first_id, self.section.limit)

    def types(self) -> Iterator[tuple[int, kinds.Type]]:
        """This BTF's own types with their ids."""
        for type_id in self.ids():
            yield type_id, self.type(type_id)

    def type(self, type_id: int) -> kinds.Type:
        """The type with this id.

        Raises:
            BtfError: there is none, or it is malformed.
        """
        first = self.first_id
        if first <= type_id < self.section.limit:
            known = self._types[type_id - first]
            if known is None:
                known = self.section.decode(type_id)
                self._types[type_id - first] = known
            return known
        return kinds.VOID if type_id == 0 else self._owner(type_id).type(type_id)

    def kind(self, type_id: int) -> Kind:
        """The kind of the type with this id; cheaper than ``type(id).kind``."""
        owner = self._owner(type_id)
        return Kind.VOID if type_id == 0 else owner.section.kind(type_id)

    def has(self, type_id: int) -> bool:
        """Whether there is a type with this id."""
        return 0 <= type_id < len(self)

    def _owner(self, type_id: int) -> "TypeTable":
        if not 0 <= type_id < len(self):
            raise self.error(type_id, "no such type", f"an id below {len(self)}")
        owner = self
        while type_id < owner.first_id and owner.parent is not None:
            owner = owner.parent
        return owner

    def error(self, type_id: int, found: str, expected: str) -> BtfError:
        """An error about type *type_id*."""
        return BtfError(
            source=self.source,
            where=f"type {type_id}",
            found=found,
            expected=expected,
            type_id=type_id,
        )

    # --- names ----------------------------------------------------------------------------------

    @property
    def string_size(self) -> int:
        """Bytes of strings, with the base's: where a split BTF's strings begin."""
        return self.string_base + len(self.strings)

    def string(self, off: int) -> str:
        """The string at offset *off*; raises BtfError if there is none."""
        owner = self
        while off < owner.string_base and owner.parent is not None:
            owner = owner.parent
        start, strings = off - owner.string_base, owner.strings
        if not 0 <= start < len(strings):
            raise BtfError(
                source=self.source, where="string section", offset=max(start, 0),
                found=f"string offset {off}", expected=f"an offset below {self.string_size}",
            )  # fmt: skip
        return decode_string(strings[start : strings.find(b"\0", start)])

    def name(self, type_id: int) -> str:
        """The name of the type with this id; empty if it has none."""
        return self.type(type_id).name

    def by_name(self, name: str, *wanted: Kind) -> int | None:
        """The first type called *name*, of one of the kinds *wanted* (any, if none is given)."""
        for type_id in self._called(name):
            if not wanted or self.kind(type_id) in wanted:
                return type_id
        return None

    def all_by_name(self, name: str, *wanted: Kind) -> list[int]:
        """Every type called *name*, of one of the kinds *wanted*, in order of id."""
        ids = self._called(name)
        return [type_id for type_id in ids if not wanted or self.kind(type_id) in wanted]

    def _called(self, name: str) -> list[int]:
        known = self._named.get(name)
        if known is not None:
            return known
        ids = self._find(name.encode() + b"\0", ()) if name and "\0" not in name else []
        if len(self._named) < MAX_REMEMBERED:
            self._named[name] = ids
        return ids

    def all_by_prefix(self, prefix: str, *wanted: Kind) -> list[int]:
        """Every type whose name starts with *prefix*, of one of the kinds *wanted*."""
        return self._find(prefix.encode(), wanted) if prefix and "\0" not in prefix else []

    def _find(self, needle: bytes, wanted: tuple[Kind, ...]) -> list[int]:
        found: list[int] = []
        offsets: list[int] = []
        for table in self._chain():
            offsets += find_all(table.strings, needle, table.string_base)
            for type_id in table.index().find(offsets):
                if not wanted or table.kind(type_id) in wanted:
                    found.append(type_id)  # noqa: PERF401
        return found

    def index(self) -> TypeIndex:
        """The index over this BTF's own types, made when first asked for."""
        if self._index is None:
            self._index = make_index(self.section.words, self.section.starts, self.first_id)
        return self._index

    def _chain(self) -> "list[TypeTable]":
        chain: list[TypeTable] = []
        table: TypeTable | None = self
        while table is not None:
            chain.append(table)
            table = table.parent
        chain.reverse()
        return chain

    # --- the whole ------------------------------------------------------------------------------

    def check(self) -> None:
        """Decode every own type, so that later look-ups cannot fail; raises BtfError."""
        for type_id in self.ids():
            self.type(type_id)

    def to_bytes(self) -> bytes:
        """The ``.BTF`` section that this was parsed from."""
        return self._data
