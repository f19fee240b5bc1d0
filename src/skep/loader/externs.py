"""What an object wants of the kernel: ``__kconfig`` and ``__ksym`` externs.

Invariant: kconfig externs come first and lie one behind the other in the kconfig map, by
alignment, size and name; kernel symbols follow by name.

Source: libbpf 1.x, ``bpf_object__collect_externs``.
"""

from dataclasses import dataclass, replace
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import BpfError, ExternError
from skep.loader.elf import WEAK, Elf, Symbol
from skep.loader.spec import Extern, ExternSpec
from skep.loader.typefix import KCONFIG, KSYMS


@dataclass(frozen=True, slots=True)
class Externs:
    """The externs of an object.

    Args:
        specs: in order.
        by_symbol: index of a symbol to index in *specs*.
        problems: index of a symbol to why it cannot be understood.
    """

    specs: tuple[ExternSpec, ...]
    by_symbol: dict[int, int]
    problems: dict[int, BpfError]


_MAX_SIZE: Final = 4096  # of a kconfig extern; the longest values are short strings


def collect(elf: Elf, btf: Btf | None) -> Externs:
    """Find the externs among the symbols, and what BTF says of them."""
    sections = _sections(btf) if btf is not None else {}
    found: list[tuple[Symbol, ExternSpec, int]] = []
    problems: dict[int, BpfError] = {}
    for symbol in elf.symbols:
        if not symbol.is_extern or not symbol.name:
            continue
        try:
            spec, align = _extern(elf, btf, symbol, sections)
            found.append((symbol, spec, align))
        except BpfError as error:
            problems[symbol.index] = error
    found.sort(key=_order)
    return _place(found, problems)


def _order(item: tuple[Symbol, ExternSpec, int]) -> tuple[bool, int, int, str]:
    _, spec, align = item
    if spec.kind is Extern.KCONFIG:
        return False, -align, spec.size, spec.name
    return True, 0, 0, spec.name


def _place(found: list[tuple[Symbol, ExternSpec, int]], problems: dict[int, BpfError]) -> Externs:
    specs: list[ExternSpec] = []
    by_symbol: dict[int, int] = {}
    offset = 0
    for symbol, spec, align in found:
        by_symbol[symbol.index] = len(specs)
        if spec.kind is not Extern.KCONFIG:
            specs.append(spec)
            continue
        offset = -(-offset // align) * align
        specs.append(replace(spec, offset=offset))
        offset += spec.size
    return Externs(tuple(specs), by_symbol, problems)


def _sections(btf: Btf) -> dict[int, str]:
    """Id of a VAR or FUNC to the name of the section that declares it."""
    found: dict[int, str] = {}
    for type_id in btf.ids():
        if btf.kind(type_id) == Kind.DATASEC:
            section = btf.type(type_id)
            assert isinstance(section, kinds.DataSec)
            for entry in section.entries:
                found.setdefault(entry.type, section.name)
    return found


def _extern(
    elf: Elf, btf: Btf | None, symbol: Symbol, sections: dict[int, str]
) -> tuple[ExternSpec, int]:
    """The extern behind *symbol*, and its alignment."""

    def wrong(why: str) -> ExternError:
        return ExternError(why, source=elf.source, name=symbol.name)

    type_id = btf.by_name(symbol.name, Kind.VAR, Kind.FUNC) if btf is not None else None
    if btf is None or type_id is None:
        raise wrong("undefined, and BTF does not declare it")
    type_ = btf.type(type_id)
    assert isinstance(type_, (kinds.Var, kinds.Func))
    if type_.linkage != kinds.EXTERN:
        raise wrong("BTF does not declare it as an extern")
    weak = symbol.bind == WEAK
    section = sections.get(type_id, "")
    if section == KSYMS:
        kind = Extern.FUNCTION if isinstance(type_, kinds.Func) else Extern.VARIABLE
        return ExternSpec(symbol.name, kind, btf.resolve(type_.type), weak), 0
    if section != KCONFIG:
        raise wrong(f"extern in section {section!r}; neither __ksym nor __kconfig")
    if isinstance(type_, kinds.Func):
        raise wrong("a function cannot be a kconfig extern")
    size, align = btf.size_of(type_.type), btf.align_of(type_.type)
    if not 0 < size <= _MAX_SIZE:
        raise wrong(f"a kconfig extern of {size} bytes")
    return ExternSpec(symbol.name, Extern.KCONFIG, type_.type, weak, 0, size), align
