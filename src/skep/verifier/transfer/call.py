"""What is learnt of a helper call while its arguments are checked, for its effects and result."""

from skep.btf.graph import Btf
from skep.btf.special_fields import SpecialField
from skep.uapi.helper_types import Helper
from skep.verifier.helper_prototypes import Prototype
from skep.verifier.interface import MapShape
from skep.verifier.state import StackObject


class Call:
    """One call.

    Args:
        prototype: of the helper.
    """

    def __init__(self, prototype: Prototype) -> None:
        helper = prototype.helper
        self.parameters = prototype.parameters
        self.helper: Helper = helper
        self.id: int = prototype.id
        self.map: MapShape | None = None
        self.map_uid: int = 0
        self.ref_id: int = 0  # reference among the arguments
        self.release_register: int = 0  # argument that the callee takes over
        self.fill: bool = False  # the last memory argument is filled by the callee
        self.raw_register: int = -1  # stack bytes to be overwritten
        self.raw_size: int = 0
        self.size_max: int = 0  # upper bound of the last size argument
        self.alloc_size: int = 0
        self.const_key: int = -1  # number that the key is known to hold
        self.result_btf: Btf | None = None
        self.result_id: int = 0
        self.subprogram: int = -1
        self.dynptr: StackObject | None = None
        self.kptr: SpecialField | None = None
        self.changes_packet: bool = prototype.changes_packet
        self.per_cpu_object: bool = False
