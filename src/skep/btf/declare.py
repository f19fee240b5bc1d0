"""Types as C spells them: declarators inside out, and bodies of structures and enumerations.

Invariant: what is written for a structure has its members at their BTF offsets (see
``skep.btf.layout``). Anonymous types are written out where they are used.
"""

from collections.abc import Mapping
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import COMPOSITES, ENUMS, KINDS, Kind
from skep.btf.layout import Layouts, place
from skep.btf.names import Names, identifier

MAX_NESTING: Final = 64
MAX_INLINE: Final = 10_000  # anonymous types written out in one declaration
MAX_GAP: Final = 16  # whole words of padding in a row; more become an array

_QUALIFIERS: Final[Mapping[Kind, str]] = {
    Kind.CONST: "const",
    Kind.VOLATILE: "volatile",
    Kind.RESTRICT: "restrict",
}
_MODES: Final[Mapping[int, str]] = {1: "byte", 2: "HI", 8: "word"}


class Speller:
    """Writes types of one BTF.

    Args:
        btf: the types.
        names: how types and enumerators are called, where names clash.
    """

    def __init__(self, btf: Btf, names: Names | None = None) -> None:
        self.btf = btf
        self.names = names if names is not None else Names(btf)
        self._layouts = Layouts(btf)
        self._depth = 0
        self._inlined = 0

    def declare(self, type_id: int, name: str = "", indent: str = "") -> str:
        """Declare *name* (nothing, for a type name alone) to be of a type: ``int *x[3]``."""
        if self._depth == 0:
            self._inlined = 0
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self.btf.error(type_id, "types that nest without end", "nesting that ends")
        text = self._declare(type_id, name, indent)
        self._depth -= 1
        return text

    def _declare(self, type_id: int, inner: str, indent: str) -> str:
        qualifiers: list[str] = []
        seen = 0
        while True:
            type_ = self.btf.type(type_id)
            seen += 1
            if seen > MAX_NESTING:
                raise self.btf.error(type_id, "types that refer in a cycle", "an end")
            if isinstance(type_, kinds.Ptr):
                inner = "*" + _joined([*qualifiers, inner])
                qualifiers = []
                type_id = type_.type
                if self._binds_tighter(type_id):
                    inner = f"({inner})"
            elif isinstance(type_, kinds.Array):
                inner += f"[{type_.count}]"
                type_id = type_.element
            elif isinstance(type_, kinds.FuncProto):
                inner += f"({self._params(type_, indent)})"
                qualifiers = []
                type_id = type_.returns
            elif isinstance(type_, kinds.TypeTag):
                qualifiers.append(_tag(type_))
                type_id = type_.type
            elif isinstance(type_, (kinds.Const, kinds.Volatile, kinds.Restrict)):
                if _QUALIFIERS[type_.kind] not in qualifiers:
                    qualifiers.append(_QUALIFIERS[type_.kind])
                type_id = type_.type
            else:
                return _joined([*qualifiers, self._base(type_id, type_, indent), inner])

    def _binds_tighter(self, type_id: int) -> bool:
        return self.btf.kind(self.btf.strip_modifiers(type_id)) in {Kind.ARRAY, Kind.FUNC_PROTO}

    def _params(self, type_: kinds.FuncProto, indent: str) -> str:
        parts = [
            self.declare(param.type, identifier(param.name), indent) if param.type else "..."
            for param in type_.params
        ]
        return ", ".join(parts) or "void"

    def _base(self, type_id: int, type_: kinds.Type, indent: str) -> str:
        if type_.kind in COMPOSITES or type_.kind in ENUMS:
            if type_.name:
                return f"{KINDS[type_.kind].keyword} {self.names.tag(type_id)}"
            self._inlined += 1
            if self._inlined > MAX_INLINE:
                raise self.btf.error(type_id, "anonymous types without end", "fewer of them")
            return self.define(type_id, indent)
        if isinstance(type_, kinds.Fwd):
            return f"{'union' if type_.is_union else 'struct'} {self.names.tag(type_id)}"
        if type_.kind == Kind.TYPEDEF:
            return self.names.ordinary(type_id)
        if type_.kind == Kind.VOID:
            return "void"
        return " ".join(identifier(word) for word in type_.name.split()) or "int"

    # --- definitions ----------------------------------------------------------------------------

    def define(self, type_id: int, indent: str = "") -> str:
        """Write out a structure, union or enumeration, without what it declares."""
        type_ = self.btf.type(type_id)
        head = KINDS[type_.kind].keyword
        if type_.name:
            head += f" {self.names.tag(type_id)}"
        if isinstance(type_, kinds.Enumeration):
            return f"{head} {self._enumerators(type_, indent)}"
        if isinstance(type_, kinds.Composite):
            return f"{head} {self._members(type_id, type_, indent)}"
        raise self.btf.error(type_id, type_.kind.name, "a structure, union or enumeration")

    def _enumerators(self, type_: kinds.Enumeration, indent: str) -> str:
        wide = type_.kind == Kind.ENUM64
        suffix = ("LL" if type_.signed else "ULL") if wide else ""
        text = "{\n"
        for item in type_.values:
            name = self.names.enumerator(item.name)
            text += f"{indent}\t{name} = {_number(item.value, suffix)},\n"
        if not type_.values:
            text += f"{indent}\t{self.names.enumerator('__empty')},\n"  # C wants one at least
        text += f"{indent}}}"
        if type_.size in _MODES:
            text += f" __attribute__((mode({_MODES[type_.size]})))"
        return text

    def _members(self, type_id: int, type_: kinds.Composite, indent: str) -> str:
        layout = self._layouts.of(type_id)
        inner = indent + "\t"
        lines: list[str] = []
        for member, gap in zip(type_.members, layout.gaps, strict=False):
            lines += _padding(gap, len(lines))
            bits = place(self.btf, member).bits
            text = self.declare(member.type, identifier(member.name), inner)
            lines.append(f"{text}: {bits};" if bits else f"{text};")
        if layout.gaps:
            lines += _padding(layout.gaps[-1], len(lines))
        if layout.fill:
            lines.append(f"unsigned char __fill[{layout.fill}];")
        body = "".join(f"{inner}{line}\n" for line in lines)
        end = "} __attribute__((packed))" if layout.packed else "}"
        return f"{{\n{body}{indent}{end}" if body else f"{{{end}"

    def statement(self, type_id: int) -> str:
        """A whole declaration at file scope, with its semicolon."""
        type_ = self.btf.type(type_id)
        if isinstance(type_, kinds.Typedef):
            return f"typedef {self.declare(type_.type, self.names.ordinary(type_id))};"
        if isinstance(type_, (kinds.Composite, kinds.Enumeration)):
            return f"{self.define(type_id)};"
        if isinstance(type_, (kinds.Func, kinds.Var)):
            return f"{self.declare(type_.type, identifier(type_.name))};"
        return f"{self.declare(type_id)};"


def _joined(parts: list[str]) -> str:
    return " ".join(part for part in parts if part)


def _tag(type_: kinds.TypeTag) -> str:
    text = type_.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'__attribute__((btf_type_tag("{text}")))'


def _number(value: int, suffix: str) -> str:
    if value == -(1 << 63):
        return "(-9223372036854775807LL - 1)"
    return f"{value}{suffix}"


def _padding(gap: list[int], number: int) -> list[str]:
    """Unnamed bit fields; a long row of whole words becomes an array."""
    whole = sum(1 for width in gap if width == 64)
    if whole < MAX_GAP:
        return [f"long: {width};" for width in gap]
    before = gap[: gap.index(64)]
    after = gap[len(before) + whole :]
    words = [f"unsigned long __pad{number}[{whole}];"]
    return [f"long: {w};" for w in before] + words + [f"long: {w};" for w in after]


def format_type(btf: Btf, type_id: int, name: str = "") -> str:
    """A type name, or the declaration of *name*, in C: ``const struct sk_buff *skb``."""
    return Speller(btf).declare(type_id, name)


def format_declaration(btf: Btf, type_id: int) -> str:
    """One type as a whole declaration in C."""
    return Speller(btf).statement(type_id)
