"""A whole BTF as a C header: ``vmlinux.h``.

Invariant: it compiles for the BPF target, and every structure has its BTF layout. Each definition
stands after those it needs: a member's type whole, a pointer's only declared.
"""

from collections.abc import Iterator
from typing import Final

from skep.btf import kinds
from skep.btf.declare import Speller
from skep.btf.graph import Btf
from skep.btf.kinds import COMPOSITES, ENUMS, Kind
from skep.btf.names import Names

MAX_DEPTH: Final = 200

_HEAD: Final = """\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

"""
_TAIL: Final = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
"""


def format_header(btf: Btf) -> Iterator[str]:
    """All types of *btf*, and what they need of its base, as a C header, piece by piece.

    Raises:
        BtfError: a type is malformed, or contains itself.
    """
    yield _HEAD
    yield from _Header(btf).write()
    yield _TAIL


class _Header:
    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        names = Names(btf)
        names.reserve()
        self._speller = Speller(btf, names)
        self._declared: set[int] = set()
        self._defined: set[int] = set()
        self._out: list[str] = []

    def write(self) -> Iterator[str]:
        embedded = self._embedded()
        for wanted in (ENUMS, COMPOSITES | {Kind.TYPEDEF, Kind.FWD}):
            for type_id in self._btf.ids():
                kind = self._btf.kind(type_id)
                if kind not in wanted:
                    continue
                if self._btf.name(type_id):
                    self._need(type_id, 0, whole=True)
                elif kind in ENUMS and type_id not in embedded:
                    self._statement(type_id)
                yield from self._out
                self._out.clear()

    def _embedded(self) -> set[int]:
        """Anonymous enumerations that will be written out inside other types."""
        used: set[int] = set()
        for _, type_ in self._btf.types():
            used.update(_references(type_))
        return used

    def _statement(self, type_id: int) -> None:
        self._out.append(self._speller.statement(type_id) + "\n\n")

    def _need(self, type_id: int, depth: int, *, whole: bool) -> None:
        """Write what must stand before *type_id* is named; *whole*: before it is a member."""
        if depth > MAX_DEPTH:
            raise self._btf.error(type_id, "types that nest without end", "nesting that ends")
        type_ = self._btf.type(type_id)
        if isinstance(type_, kinds.Typedef):
            self._need_typedef(type_id, type_, depth, whole=whole)
        elif type_.kind in COMPOSITES:
            self._need_composite(type_id, depth, whole=whole)
        elif type_.kind == Kind.FWD:
            self._declare(type_id)
        elif type_.kind in ENUMS:
            if type_.name and type_id not in self._defined:
                self._defined.add(type_id)
                self._statement(type_id)
        else:
            through = isinstance(type_, kinds.Reference) and whole
            inside = isinstance(type_, kinds.Array)
            for target in _references(type_):
                self._need(target, depth + 1, whole=through or inside)

    def _need_typedef(self, type_id: int, type_: kinds.Typedef, depth: int, *, whole: bool) -> None:
        if type_id not in self._defined:
            self._defined.add(type_id)
            self._need(type_.type, depth + 1, whole=False)
            self._statement(type_id)
        if whole:
            self._need(type_.type, depth + 1, whole=True)

    def _need_composite(self, type_id: int, depth: int, *, whole: bool) -> None:
        named = self._btf.name(type_id) != ""
        if named and not whole:
            self._declare(type_id)
            return
        if type_id in self._defined:
            return
        self._defined.add(type_id)
        for member in self._btf.members(type_id):
            self._need(member.type, depth + 1, whole=True)
        if named:
            self._declared.add(type_id)
            self._statement(type_id)

    def _declare(self, type_id: int) -> None:
        if type_id not in self._declared:
            self._declared.add(type_id)
            self._out.append(f"{self._speller.declare(type_id)};\n\n")


def _references(type_: kinds.Type) -> list[int]:
    """The types that *type_* is written with."""
    if isinstance(type_, (kinds.Ptr, kinds.Reference, kinds.Var)):
        return [type_.type]
    if isinstance(type_, kinds.Array):
        return [type_.element]
    if isinstance(type_, kinds.Composite):
        return [member.type for member in type_.members]
    if isinstance(type_, kinds.FuncProto):
        return [type_.returns, *(param.type for param in type_.params)]
    return []
