"""What is learnt of a kfunc call while its arguments are checked, for its effects and result."""

from skep.btf.graph import Btf
from skep.btf.special_fields import SpecialField
from skep.uapi.kfuncs import Kfunc
from skep.verifier.interface import MapShape
from skep.verifier.state import StackObject
from skep.verifier.values import Value


class KfuncCall:
    """One call.

    Args:
        row: the function's row.
        btf: kernel BTF.
        type_id: its FUNC there.
    """

    __slots__ = (
        "btf", "constant", "dynptr", "flags", "head", "iter_frame", "iter_spi", "map", "map_uid",
        "name", "object_btf", "object_id", "object_owned", "proto", "ref_id", "release_register",
        "row", "subprogram",
    )  # fmt: skip

    def __init__(self, row: Kfunc, btf: Btf, type_id: int) -> None:
        self.row = row
        self.name: str = row.name
        self.flags: int = row.flags
        self.btf = btf
        self.proto = btf.func_proto(type_id)
        self.ref_id: int = 0  # reference among the arguments
        self.release_register: int = 0  # argument that the callee takes over
        self.constant: int = -1  # of the argument that must be constant
        self.dynptr: StackObject | None = None
        self.iter_frame: int = -1
        self.iter_spi: int = -1
        self.subprogram: int = -1  # callback
        self.map: MapShape | None = None
        self.map_uid: int = 0
        self.head: SpecialField | None = None  # list or tree
        self.object_btf: Btf | None = None  # type of the allocated object among the arguments
        self.object_id: int = 0
        self.object_owned: bool = False

    def has(self, flags: int) -> bool:
        """Whether the function has one of *flags*."""
        return self.flags & flags != 0


class Argument:
    """One argument as it is checked.

    Args:
        number: from 0.
        name: of the parameter.
        target: BTF id of what a pointer points to, modifiers stripped; 0 for void.
        value: what the register holds; None if it was never written.
    """

    __slots__ = ("name", "number", "register", "target", "value")

    def __init__(self, number: int, name: str, target: int, value: Value | None) -> None:
        self.number = number
        self.register: int = number + 1
        self.name = name
        self.target = target
        self.value = value
