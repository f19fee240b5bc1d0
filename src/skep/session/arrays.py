"""Maps as numpy arrays: types from BTF, many elements at a time, arrays without copying.

numpy is needed only here, and only when something of it is asked for. A structure is a structured
type at BTF's offsets; members that numpy has no type for (bit fields, integers of odd width) are
left out, members of anonymous structures and unions belong to their parent. Per-CPU values have
one dimension more, the CPUs.
"""

from typing import TYPE_CHECKING, Any, Final

from skep.btf import kinds
from skep.btf.graph import Btf
from skep.btf.layout import place
from skep.btf.values import is_text
from skep.maps.arena import Arena
from skep.maps.array import Array, PercpuArray
from skep.maps.creation import round8
from skep.uapi.flags import MapFlag

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np

    NumpyArray = np.ndarray[Any, Any]

_SIZES: Final = frozenset({1, 2, 4, 8})
_FLOAT_SIZES: Final = frozenset({2, 4, 8})
_DEEPEST: Final = 16


def load_numpy() -> "ModuleType":
    """numpy; ImportError that says how to get it."""
    try:
        import numpy as np
    except ImportError as error:
        text = "maps as arrays need numpy: pip install 'skep[numpy]'"
        raise ImportError(text, name="numpy") from error
    return np


def dtype_of(btf: Btf | None, type_id: int, size: int) -> "np.dtype[Any]":
    """The numpy type of *size* bytes of type *type_id*; without one, of a number or of bytes."""
    form: Any = None
    if btf is not None and type_id and btf.size_of(type_id) == size:
        form = _form(btf, type_id, 0)
    elif size in _SIZES:
        form = f"u{size}"
    if isinstance(form, tuple):  # numpy would make an array's dimensions the values' own
        form = {"names": ["value"], "formats": [form], "offsets": [0], "itemsize": size}
    made: np.dtype[Any] = load_numpy().dtype(f"V{size}" if form is None else form)
    return made


def _form(btf: Btf, type_id: int, depth: int) -> Any:
    """What numpy makes the type of; None if it has none."""
    type_ = btf.resolved(type_id)
    if depth > _DEEPEST:
        return None
    if isinstance(type_, kinds.Int):
        return _integer(type_)
    if isinstance(type_, kinds.Enumeration):
        return f"{'i' if type_.signed else 'u'}{type_.size}"
    if isinstance(type_, kinds.Ptr):
        return f"u{btf.size_of(type_id)}"
    if isinstance(type_, kinds.Float):
        return f"f{type_.size}" if type_.size in _FLOAT_SIZES else None
    if isinstance(type_, kinds.Array):
        if is_text(btf, type_.element):
            return f"S{type_.count}" if type_.count else None
        element = _form(btf, type_.element, depth + 1)
        return None if element is None or not type_.count else (element, (type_.count,))
    return _composite(btf, type_, depth) if isinstance(type_, kinds.Composite) else None


def _integer(type_: kinds.Int) -> str | None:
    if type_.size not in _SIZES or type_.offset or type_.bits != type_.size * 8:
        return None
    if type_.encoding & kinds.INT_BOOL and type_.size == 1:
        return "?"
    return f"{'i' if type_.signed else 'u'}{type_.size}"


def _composite(btf: Btf, type_: kinds.Composite, depth: int) -> dict[str, Any]:
    found: dict[str, tuple[Any, int]] = {}
    for member in type_.members:
        if place(btf, member).bits or member.bit_offset % 8:
            continue
        form, offset = _form(btf, member.type, depth + 1), member.bit_offset // 8
        if member.name:
            if form is not None:
                found[member.name] = form, offset
        elif isinstance(form, dict):
            rows = zip(form["names"], form["formats"], form["offsets"], strict=True)
            found.update({name: (inner, offset + more) for name, inner, more in rows})
    return {
        "names": list(found),
        "formats": [form for form, _ in found.values()],
        "offsets": [offset for _, offset in found.values()],
        "itemsize": type_.size,
    }


def view(target: Array | PercpuArray | Arena, dtype: "np.dtype[Any]") -> "NumpyArray":
    """The values of an array map where they are; read-only if the host may not write them.

    Of an arena: its bytes.
    """
    np = load_numpy()
    if isinstance(target, Arena):
        pages: NumpyArray = np.frombuffer(target.view, "u1")
        return pages
    memory = target.memory
    shape: tuple[int, ...] = (target.max_entries,)
    if isinstance(target, PercpuArray):
        shape = (target.max_entries, target.cpus)
    made: NumpyArray = np.ndarray(
        shape, dtype, memory.block.view, memory.offset, memory.strides[: len(shape)]
    )
    if target.frozen or target.map_flags & MapFlag.RDONLY:
        made.flags.writeable = False
    return made


def shaped(data: bytearray, count: int, size: int, cpus: int, dtype: Any) -> "NumpyArray":
    """*count* packed values as an array: of *size* bytes, or *cpus* copies of them (if not 0)."""
    np = load_numpy()
    if not cpus:
        made: NumpyArray = np.frombuffer(data, dtype, count) if count else np.empty(0, dtype)
        return made
    stride = round8(size)
    spaced: NumpyArray = np.ndarray((count, cpus), dtype, data, 0, (stride * cpus, stride))
    return spaced


def packed(array: Any, dtype: "np.dtype[Any]", size: int, cpus: int) -> "NumpyArray":
    """*array* as contiguous values of *dtype*, for each of *cpus* (if not 0) in a stride.

    Raises:
        TypeError: values of another kind.
        ValueError: another shape, or numbers that do not fit.
    """
    np = load_numpy()
    given = np.asarray(array)
    if given.dtype != dtype:
        given = _converted(given, dtype)
    if not cpus:
        if given.ndim != 1:
            raise ValueError(f"an array of {given.ndim} dimensions where 1 is wanted")
        return np.ascontiguousarray(given)  # type: ignore[no-any-return]
    if given.ndim != 2 or given.shape[1] != cpus:
        raise ValueError(f"an array of shape {given.shape} where (elements, {cpus}) is wanted")
    stride = round8(size)
    data = np.zeros(len(given) * cpus * stride, "u1")
    target: NumpyArray = np.ndarray(given.shape, dtype, data, 0, (stride * cpus, stride))
    target[...] = given
    return data  # type: ignore[no-any-return]


def _converted(given: "NumpyArray", dtype: "np.dtype[Any]") -> "NumpyArray":
    if dtype.kind in "iu" and given.dtype.kind in "iub":
        if given.size:
            limits = load_numpy().iinfo(dtype)
            low, high = int(given.min()), int(given.max())
            if low < limits.min or high > limits.max:
                raise ValueError(f"{low} .. {high} is not in {limits.min} .. {limits.max}")
        return given.astype(dtype)
    if dtype.kind == "V" and dtype.names is None:
        raise TypeError(f"an array of {given.dtype} where one of {dtype} is wanted")
    return given.astype(dtype, casting="same_kind")
