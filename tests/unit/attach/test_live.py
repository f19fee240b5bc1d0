"""Packets from the loopback interface, through the ring."""

import ctypes
import os
import socket
import subprocess
import sys
import time

import pytest

from skep.attach.live import LiveInterface
from skep.errors import LoadError

PAYLOAD = b"seven packets of skep"


def may_capture() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return False
    return True


needs_capture = pytest.mark.skipif(not may_capture(), reason="no CAP_NET_RAW")


@needs_capture
def test_every_datagram_on_lo_is_seen_twice() -> None:
    live = LiveInterface("lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        for _ in range(7):
            receiver.sendto(PAYLOAD, receiver.getsockname())
    seen, deadline = 0, time.monotonic() + 5
    for batch in live.batches():
        for address, length in zip(batch.addresses, batch.lengths, strict=True):
            seen += PAYLOAD in ctypes.string_at(address, length)
        if seen >= 14 or time.monotonic() > deadline:
            break
    lost = live.lost()
    live.close()

    assert (seen, lost) == (14, 0)


@needs_capture
def test_an_unknown_interface_is_named() -> None:
    with pytest.raises(LoadError, match="nosuch0"):
        LiveInterface("nosuch0")


def test_a_namespace_of_its_own_captures_without_root() -> None:
    script = (
        "import sys\n"
        "from skep.attach.namespace import enter_own_network\n"
        "from skep.attach.live import LiveInterface\n"
        "from skep.errors import NotSupported\n"
        "try:\n    enter_own_network()\n"
        "except NotSupported as error:\n    print('no:', error)\n    sys.exit()\n"
        "LiveInterface('lo').close()\nprint('captured')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env=dict(os.environ),
    )  # fmt: skip
    if done.stdout.startswith("no:"):
        pytest.skip(done.stdout.strip())

    assert done.stdout == "captured\n"


def test_an_interface_that_goes_down_ends_the_packets() -> None:
    # The socket's error was never taken off: the reader span, and never ended.
    script = (
        "import subprocess, sys\n"
        "from skep.attach.namespace import enter_own_network\n"
        "from skep.attach.live import LiveInterface\n"
        "from skep.errors import NotSupported\n"
        "try:\n    enter_own_network()\n"
        "except NotSupported as error:\n    print('no:', error)\n    sys.exit()\n"
        "subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"
        "live = LiveInterface('lo')\n"
        "subprocess.run(['ip', 'link', 'set', 'lo', 'down'], check=True)\n"
        "print('ended', all(len(batch) < 100 for batch in live.batches()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20
    )
    if done.stdout.startswith("no:"):
        pytest.skip(done.stdout.strip())

    assert done.stdout == "ended True\n"
