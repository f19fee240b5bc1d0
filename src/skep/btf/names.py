"""Names in C: unique within their name space, and valid.

C has two name spaces at file scope: tags of structures, unions and enumerations, and all the rest.
BTF may say a name twice, where two source files meant different things by it; the second becomes
``name___2``, a flavour in the sense of CO-RE.

Invariant: a name once given to a type stays its name.
"""

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import COMPOSITES, ENUMS, Kind


def identifier(name: str) -> str:
    """*name* with all that C does not allow in a name replaced; empty stays empty."""
    if not name or (name.isidentifier() and name.isascii()):
        return name
    text = "".join(
        char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in name
    )
    return f"_{text}" if text[0].isdigit() else text


class Names:
    """Names of one BTF's types, given out in the order they are asked for."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._tags: dict[int, str] = {}
        self._ordinary: dict[int, str] = {}
        self._used_tags: dict[str, int] = {}
        self._used: dict[str, int] = {"__builtin_va_list": 1}  # compilers have it already

    def tag(self, type_id: int) -> str:
        """The tag of a structure, union, enumeration, or of a declaration of one."""
        known = self._tags.get(type_id)
        if known is None:
            definition = self._definition(type_id)
            if definition is not None:
                known = self.tag(definition)
            else:
                known = _unique(identifier(self._btf.name(type_id)), self._used_tags)
            self._tags[type_id] = known
        return known

    def _definition(self, type_id: int) -> int | None:
        """What a bare declaration declares, if it is defined."""
        type_ = self._btf.type(type_id)
        if not isinstance(type_, kinds.Fwd):
            return None
        return self._btf.by_name(type_.name, Kind.UNION if type_.is_union else Kind.STRUCT)

    def ordinary(self, type_id: int) -> str:
        """The name of a typedef."""
        known = self._ordinary.get(type_id)
        if known is None:
            known = _unique(identifier(self._btf.name(type_id)), self._used)
            self._ordinary[type_id] = known
        return known

    def enumerator(self, name: str) -> str:
        """A name for an enumerator; a new one each time, for each is a definition."""
        return _unique(identifier(name), self._used)

    def reserve(self) -> None:
        """Give names to all types in order of id, so that the first of a name has it plain."""
        for type_id, type_ in self._btf.types():
            if not type_.name:
                continue
            if type_.kind in COMPOSITES or type_.kind in ENUMS:
                self.tag(type_id)
            elif type_.kind == Kind.TYPEDEF:
                self.ordinary(type_id)


def _unique(name: str, used: dict[str, int]) -> str:
    count = used.get(name, 0) + 1
    used[name] = count
    return name if count == 1 else f"{name}___{count}"
