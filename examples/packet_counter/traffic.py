"""Real TCP and UDP traffic on the loopback interface, at a modest steady rate."""

import socket
import threading
import time
from typing import Self


class Traffic:
    """Sends datagrams and bytes over a connection to itself until stopped.

    Every pause is 10 ms; seven datagrams and one exchange over TCP go between two pauses.
    """

    def __init__(self) -> None:
        self.datagrams = 0
        self.exchanges = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()) as client,
        ):
            peer, _ = server.accept()
            receiver.bind(("127.0.0.1", 0))
            with peer:
                while not self._stop.is_set():
                    for _ in range(7):
                        receiver.sendto(b"datagram", receiver.getsockname())
                        receiver.recv(64)
                        self.datagrams += 1
                    client.sendall(b"request")
                    peer.sendall(peer.recv(64))
                    client.recv(64)
                    self.exchanges += 1
                    time.sleep(0.01)
