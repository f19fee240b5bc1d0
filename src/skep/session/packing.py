"""Packing: a BTF type as one format of ``struct``, and how Python values become its numbers.

Unions, bit fields, integers of odd width and sections have no such form. Where a type has one,
it gives the values of ``skep.btf.values``; it takes those that are complete and as expected, and
raises one of UNEXPECTED for all others.
"""

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.layout import place
from skep.btf.values import is_text, text

UNEXPECTED: Final = (struct.error, OverflowError, KeyError, TypeError, IndexError, AttributeError)

_NUMBERS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FLOATS: Final = {2: "e", 4: "f", 8: "d"}
_MOST_ELEMENTS: Final = 1 << 16
_DEEPEST: Final = 16

Build = Callable[[Iterator[Any]], Any]
Spread = Callable[[Any, list[Any]], None]


class Packing(NamedTuple):
    """A type's form.

    Attributes:
        format: of ``struct``; within another type without byte order.
        build: makes the value of an iterator over what was unpacked; ``next`` for a number.
        spread: appends the numbers of a value.
        names: of a structure's members, if all of them are numbers; else empty.
    """

    format: str
    build: Build
    spread: Spread
    names: tuple[str, ...] = ()


def number(letter: str) -> Packing:
    """The form of a number; *letter* is its format."""
    return Packing(letter, next, _append)


def packing(btf: Btf, type_id: int) -> Packing | None:
    """The form of *type_id*; None if it has none."""
    part = _part(btf, type_id, 0)
    return None if part is None else part._replace(format="=" + part.format)


def _append(value: Any, numbers: list[Any]) -> None:
    numbers.append(value)


def _part(btf: Btf, type_id: int, depth: int) -> Packing | None:
    """The form of a type within another."""
    type_ = btf.resolved(type_id)
    if depth > _DEEPEST:
        return None
    if isinstance(type_, kinds.Int):
        return _integer(type_)
    if isinstance(type_, kinds.Enumeration):
        return _whole(type_.size, signed=type_.signed)
    if isinstance(type_, kinds.Ptr):
        return _whole(btf.size_of(type_id), signed=False)
    if isinstance(type_, kinds.Float):
        return number(_FLOATS[type_.size]) if type_.size in _FLOATS else None
    if isinstance(type_, kinds.Array):
        return _array(btf, type_, depth)
    return _structure(btf, type_, depth) if isinstance(type_, kinds.Struct) else None


def _whole(size: int, *, signed: bool) -> Packing | None:
    letter = _NUMBERS.get(size)
    if letter is None:
        return None
    return number(letter.lower() if signed else letter)


def _integer(type_: kinds.Int) -> Packing | None:
    if type_.offset or type_.bits != type_.size * 8:
        return None
    found = _whole(type_.size, signed=type_.signed)
    if found is None or not type_.encoding & kinds.INT_BOOL:
        return found
    return found._replace(build=_truth)


def _truth(numbers: Iterator[Any]) -> Any:
    found = next(numbers)
    return found == 1 if 0 <= found < 2 else found


def _array(btf: Btf, type_: kinds.Array, depth: int) -> Packing | None:
    count = type_.count
    if is_text(btf, type_.element):
        return _characters(count)
    element = _part(btf, type_.element, depth + 1)
    if element is None or len(element.format) * count > _MOST_ELEMENTS:
        return None
    form, build, spread, _ = element

    def spread_all(value: Any, numbers: list[Any]) -> None:
        if not isinstance(value, list | tuple) or len(value) != count:
            raise TypeError(value)
        for each in value:
            spread(each, numbers)

    if build is next:
        form = f"{count}{form}" if count else ""
        return Packing(form, lambda numbers: list(islice(numbers, count)), spread_all)
    return Packing(form * count, lambda numbers: [build(numbers) for _ in range(count)], spread_all)


def _characters(count: int) -> Packing:
    def spread(value: Any, numbers: list[Any]) -> None:
        raw = value.encode() if isinstance(value, str) else value
        if not isinstance(raw, bytes) or len(raw) > count:
            raise TypeError(value)
        numbers.append(raw)

    return Packing(f"{count}s", lambda numbers: text(next(numbers)), spread)


def _structure(btf: Btf, type_: kinds.Struct, depth: int) -> Packing | None:
    found = _members(btf, type_, depth)
    if found is None:
        return None
    form, members = found
    whole = all(name for name, _ in members)

    def build(numbers: Iterator[Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, part in members:
            if name:
                values[name] = part.build(numbers)
            else:
                values.update(part.build(numbers))
        return values

    def spread(value: Any, numbers: list[Any]) -> None:
        if not whole or len(value) != len(members):
            raise TypeError(value)
        for name, part in members:
            part.spread(value[name], numbers)

    names = [name for name, part in members if part.build is next]
    flat = whole and members and len(names) == len(members)
    return Packing(form, build, spread, tuple(names) if flat else ())


def _members(
    btf: Btf, type_: kinds.Struct, depth: int
) -> tuple[str, list[tuple[str, Packing]]] | None:
    """Format of a structure, and the forms of its members."""
    form, members, at = "", list[tuple[str, Packing]](), 0
    for member in type_.members:
        part = _part(btf, member.type, depth + 1)
        offset = member.bit_offset // 8
        if part is None or place(btf, member).bits or member.bit_offset % 8 or offset < at:
            return None
        if not member.name and not isinstance(btf.resolved(member.type), kinds.Struct):
            return None
        form += f"{offset - at}x{part.format}" if offset > at else part.format
        members.append((member.name, part))
        at = offset + btf.size_of(member.type)
    if at > type_.size:
        return None
    return form + (f"{type_.size - at}x" if type_.size > at else ""), members
