"""Real TCP and UDP traffic on the loopback interface, from a process of its own.

``with Traffic(): …`` sends at a steady rate: seven datagrams and one exchange over TCP, then a
pause of 10 ms.
"""

import socket
import subprocess
import sys
import time
from typing import Self


class Traffic:
    """Sends datagrams and bytes over a connection to itself until the ``with`` block ends."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, __file__])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def send() -> None:
    """Send for ever."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        peer, _ = server.accept()
        receiver.bind(("127.0.0.1", 0))
        while True:
            for _ in range(7):
                receiver.sendto(b"datagram", receiver.getsockname())
                receiver.recv(64)
            client.sendall(b"request")
            peer.sendall(peer.recv(64))
            client.recv(64)
            time.sleep(0.01)


if __name__ == "__main__":
    send()
