"""Real packets, from captures and live interfaces, arriving at a device of a world.

Each frame takes the whole way that ``Device.receive`` describes; a program alone, in a native loop,
is much faster (``skep.session.programs``).
"""

import ctypes
from collections import Counter

from skep.attach.cgroups import Cgroup
from skep.attach.devices import Device
from skep.attach.packets import PacketSource


def arrive(
    device: Device, source: PacketSource, *, cgroup: Cgroup | None = None, count: int | None = None
) -> Counter[tuple[str, str]]:
    """Let the frames of *source* arrive at *device* until it ends, or *count* of them.

    Returns:
        Frames by verdict and by the hook that decided, as ``("dropped", "xdp")``.
    """
    found: Counter[tuple[str, str]] = Counter()
    for batch in source.batches():
        for address, length in zip(batch.addresses, batch.lengths, strict=True):
            if found.total() == count:
                return found
            delivery = device.receive(ctypes.string_at(address, length), cgroup)
            found[delivery.verdict, delivery.hook] += 1
    return found
