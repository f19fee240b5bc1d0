"""Values of ``__kconfig`` externs.

Source: libbpf 1.x, ``set_kcfg_value_tri``, ``set_kcfg_value_str``, ``set_kcfg_value_num``.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.errors import ExternError
from skep.loader.spec import Extern, ExternSpec
from skep.loader.target import Target

_TRISTATE: Final = "libbpf_tristate"
_TRISTATES: Final = {"n": 0, "y": 1, "m": 2}
_U64: Final = 0xFFFF_FFFF_FFFF_FFFF


class _Type(Enum):
    BOOL = "a bool"
    TRISTATE = "a tristate"
    CHAR = "a char"
    INT = "an integer"
    STRING = "a string"


def kconfig_data(externs: Iterable[ExternSpec], btf: Btf, target: Target, size: int) -> bytes:
    """What the kconfig map holds for *target*.

    Raises:
        ExternError: a value does not fit its type, or a strong extern has none.
    """
    data = bytearray(size)
    for extern in externs:
        if extern.kind is Extern.KCONFIG:
            value = _value(extern, btf, target)
            data[extern.offset : extern.offset + extern.size] = value.ljust(extern.size, b"\0")
    return bytes(data)


def _virtual(name: str, target: Target) -> int | None:
    """Externs that are no configuration: the loader answers them."""
    known = {
        "LINUX_KERNEL_VERSION": target.version,
        "LINUX_HAS_BPF_COOKIE": 1,
        "LINUX_HAS_SYSCALL_WRAPPER": 1,
    }
    return known.get(name)


def _value(extern: ExternSpec, btf: Btf, target: Target) -> bytes:
    def wrong(why: str) -> ExternError:
        return ExternError(why, source=btf.source, name=f"kconfig extern {extern.name}")

    type_, signed = _type(btf, extern.type)
    if type_ is None:
        raise wrong("of a type that no configuration value has")
    virtual = _virtual(extern.name, target)
    if virtual is not None:
        return _number(extern, type_, virtual, signed=signed)
    if not extern.name.startswith("CONFIG_"):
        if extern.weak and extern.name.startswith("LINUX_"):
            return b""
        raise wrong("neither CONFIG_… nor a virtual LINUX_… that is known")
    text = target.config().get(extern.name)
    if text is None:
        if extern.weak:
            return b""
        raise wrong("not in the kernel's configuration")
    if not text:
        raise wrong("without a value in the kernel's configuration")
    return _configured(extern, type_, text, signed=signed)


def _configured(extern: ExternSpec, type_: _Type, text: str, *, signed: bool) -> bytes:
    if text[0] in _TRISTATES:
        return _tristate(extern, type_, text[0])
    if text[0] == '"':
        if type_ is not _Type.STRING or len(text) < 2 or text[-1] != '"':
            raise _mismatch(extern, type_, text)
        return text[1:-1].encode()[: extern.size - 1]
    try:
        number = int(text, 0)
    except ValueError:
        raise _mismatch(extern, type_, text) from None
    if type_ not in (_Type.INT, _Type.CHAR):
        raise _mismatch(extern, type_, text)
    return _number(extern, type_, number, signed=signed)


def _mismatch(extern: ExternSpec, type_: _Type, text: str) -> ExternError:
    return ExternError(
        f"the configuration says {text}, which {type_.value} cannot hold",
        name=f"kconfig extern {extern.name}",
    )


def _tristate(extern: ExternSpec, type_: _Type, letter: str) -> bytes:
    if type_ is _Type.BOOL and letter != "m":
        return bytes((letter == "y",))
    if type_ is _Type.TRISTATE:
        return _TRISTATES[letter].to_bytes(extern.size, "little")
    if type_ is _Type.CHAR:
        return letter.encode()
    raise _mismatch(extern, type_, letter)


def _number(extern: ExternSpec, type_: _Type, number: int, *, signed: bool) -> bytes:
    bits = extern.size * 8
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    numeric = type_ in (_Type.INT, _Type.CHAR, _Type.BOOL)
    if not numeric or (type_ is _Type.BOOL and number not in (0, 1)) or not low <= number < high:
        raise _mismatch(extern, type_, str(number))
    return (number & _U64).to_bytes(8, "little")[: extern.size]


def _type(btf: Btf, type_id: int) -> tuple[_Type | None, bool]:
    """How the variable is typed, and whether it is signed."""
    type_ = btf.resolved(type_id)
    if isinstance(type_, kinds.Int):
        return _integer(type_)
    if isinstance(type_, kinds.Enumeration):
        return (_Type.TRISTATE if type_.name == _TRISTATE else None), False
    if isinstance(type_, kinds.Array) and type_.count:
        element, _ = _type(btf, type_.element)
        return (_Type.STRING if element is _Type.CHAR else None), False
    return None, False


def _integer(type_: kinds.Int) -> tuple[_Type | None, bool]:
    if type_.encoding & kinds.INT_BOOL:
        return (_Type.BOOL if type_.size == 1 else None), False
    if type_.size == 1:
        return _Type.CHAR, type_.signed
    return (_Type.INT if type_.size in (2, 4, 8) else None), type_.signed
