"""What a packet source hands on: packets at real addresses, many at a time."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

LINKTYPE_ETHERNET: Final = 1


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as captured.

    Args:
        data: bytes from the link layer on, possibly cut to the capture length.
        length: bytes on the wire.
        timestamp_ns: nanoseconds since the epoch; 0 if unknown.
        link_type: LINKTYPE_* of the capture (1: Ethernet).
        interface: number of the interface in the capture.
    """

    data: bytes
    length: int
    timestamp_ns: int = 0
    link_type: int = LINKTYPE_ETHERNET
    interface: int = 0


@dataclass(slots=True)
class Batch:
    """Packets where the source put them.

    *addresses* and *lengths* run in step: first byte of each packet, and bytes captured. *memory*
    keeps the addresses mapped as long as the batch lives; what stands there is the packets' until
    the next batch is asked for.
    """

    memory: object = None
    addresses: "array[int]" = field(default_factory=lambda: array("Q"))
    lengths: "array[int]" = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.addresses)

    def add(self, address: int, length: int) -> None:
        """Append one packet."""
        self.addresses.append(address)
        self.lengths.append(length)


class PacketSource(Protocol):
    """Something that packets come from, a batch at a time."""

    def batches(self) -> Iterator[Batch]:
        """Yield batches until the source ends; an empty batch means that time passed."""
        ...

    def close(self) -> None:
        """Release sockets and mappings."""
        ...
