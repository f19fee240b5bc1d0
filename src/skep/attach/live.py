"""Packets from a live interface: an AF_PACKET socket with a memory-mapped ring.

The ring (TPACKET_V3) is shared with the kernel: packets are run where the kernel put them, a
block of many at a time. Needs CAP_NET_RAW in the network namespace of the interface: root, or an
ordinary user in a user and network namespace of its own (``skep.attach.namespace``).

Source: Documentation/networking/packet_mmap.rst; include/uapi/linux/if_packet.h.
"""

import ctypes
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from skep.attach.packets import Batch
from skep.errors import LoadError

ETH_P_ALL: Final = 3
SOL_PACKET: Final = 263
PACKET_RX_RING: Final = 5
PACKET_STATISTICS: Final = 6
PACKET_VERSION: Final = 10
TPACKET_V3: Final = 2
TP_STATUS_USER: Final = 1
BLOCK_SIZE: Final = 1 << 18
FRAME_SIZE: Final = 1 << 11
BLOCK_TIMEOUT_MS: Final = 20
STATUS_OFFSET: Final = 8  # block_status, behind version and offset_to_priv
HEADER: Final = struct.Struct("<IIIIIIHH")  # head of struct tpacket3_hdr


class LiveInterface:
    """One interface, read through a ring.

    Args:
        name: interface, as ``lo``.
        blocks: size of the ring in blocks of 256 KiB.
        wait: seconds after which an empty batch is given, so that the reader can look at a clock.
    """

    def __init__(self, name: str, blocks: int = 16, wait: float = 0.1) -> None:
        self.name, self.wait = name, wait
        self._blocks, self._next = blocks, 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise LoadError(
                "a packet socket needs CAP_NET_RAW", name=name,
                hint="run as root, or in a network namespace of your own: unshare -Urn",
            ) from None  # fmt: skip
        try:
            self._open_ring()
        except OSError as error:
            self._socket.close()
            raise LoadError(os.strerror(error.errno or 0), source="interface", name=name) from None

    def _open_ring(self) -> None:
        self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        request = struct.pack(
            "=7I", BLOCK_SIZE, self._blocks, FRAME_SIZE,
            BLOCK_SIZE // FRAME_SIZE * self._blocks, BLOCK_TIMEOUT_MS, 0, 0,
        )  # fmt: skip
        self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        self._ring = mmap.mmap(self._socket.fileno(), BLOCK_SIZE * self._blocks, mmap.MAP_SHARED)
        self._anchor = ctypes.c_char.from_buffer(self._ring)
        self._address = ctypes.addressof(self._anchor)
        self._socket.bind((self.name, ETH_P_ALL))

    def batches(self) -> Iterator[Batch]:
        """Yield what arrived, one ring block a batch; empty after *wait* seconds of silence.

        Ends when the interface goes down or away, after the last of its packets.
        """
        poller, is_up = select.poll(), True
        poller.register(self._socket.fileno(), select.POLLIN | select.POLLERR)
        while True:
            start = self._next * BLOCK_SIZE
            if is_up and not self._is_filled(start):
                poller.poll(self.wait * 1000)
                is_up = not self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not is_up:
                    time.sleep(2 * BLOCK_TIMEOUT_MS / 1000)  # the kernel closes the open block
            if self._is_filled(start):
                yield self._block(start)
                struct.pack_into("=I", self._ring, start + STATUS_OFFSET, 0)  # to the kernel
                self._next = (self._next + 1) % self._blocks
            elif is_up:
                yield Batch()
            else:
                return

    def _is_filled(self, start: int) -> bool:
        (status,) = struct.unpack_from("=I", self._ring, start + STATUS_OFFSET)
        return bool(status & TP_STATUS_USER)

    def _block(self, start: int) -> Batch:
        batch = Batch(self._anchor)
        count, first = struct.unpack_from("=II", self._ring, start + STATUS_OFFSET + 4)
        position = start + first
        for _ in range(count):
            step, _, _, captured, _, _, mac, _ = HEADER.unpack_from(self._ring, position)
            batch.add(self._address + position + mac, captured)
            position += step
        return batch

    def lost(self) -> int:
        """Packets that found the ring full since the last call."""
        raw = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        return int(struct.unpack("=3I", raw)[1])

    def close(self) -> None:
        """Close the socket, and unmap the ring once no batch of it is left."""
        self.__dict__.pop("_anchor", None)
        with suppress(BufferError):  # the mapping goes with the last batch
            self._ring.close()
        self._socket.close()
