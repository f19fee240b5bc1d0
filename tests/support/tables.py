"""Values of struct_ops maps for tcp_congestion_ops, as the BTF in force lays them out."""

from typing import Final

from skep.btf.graph import Btf
from skep.btf.kinds import Kind

STRUCT_OPS: Final = 26
LINK: Final = 1 << 13
ATTACH: Final = 44  # BPF_STRUCT_OPS
NEEDED: Final = ("ssthresh", "undo_cwnd", "cong_avoid")


class Layout:
    """The structure *name*, and the one that wraps it in values."""

    def __init__(self, btf: Btf, name: str = "tcp_congestion_ops") -> None:
        self.wrapper = btf.by_name(f"bpf_struct_ops_{name}", Kind.STRUCT) or 0
        self.inner = btf.by_name(name, Kind.STRUCT) or 0
        self.size = btf.size_of(self.wrapper)
        start = btf.members(self.wrapper)[1].bit_offset // 8
        self.start = start
        self.spans = {
            each.name: (start + each.bit_offset // 8, btf.size_of(each.type))
            for each in btf.members(self.inner)
        }

    def number(self, member: str) -> int:
        """Which member it is."""
        return list(self.spans).index(member)

    def value(self, name: bytes, **members: int) -> bytearray:
        """A value with these members."""
        data = bytearray(self.size)
        for member, number in members.items():
            place, size = self.spans[member]
            data[place : place + size] = number.to_bytes(size, "little", signed=number < 0)
        if "name" in self.spans:
            place, _ = self.spans["name"]
            data[place : place + len(name)] = name
        return data

    def filled(self, value: bytes) -> list[str]:
        """Names of the members that are not 0."""
        spans = self.spans.items()
        return [name for name, (place, size) in spans if any(value[place : place + size])]
