"""The background: programs that run are compiled again, harder, while they run.

One thread for the process carries out requests in turn and ends with the last; LLVM works without
the interpreter lock. When the process ends the request under way is finished and the others are
dropped, as is what finalizers ask for later: no thread begins any more. A fork waits for the
request under way, since LLVM's locks would stay locked in the child.
"""

import functools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable

Request = Callable[[], None]


class Background:
    """Carries out requests one after another, in a thread of its own."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._working = threading.Lock()
        self._forks = 0  # threads that are about to fork

    def ask(self, request: Request) -> None:
        """Carry out *request* some time; what it raises is reported as of any thread."""
        if sys.is_finalizing():
            return
        with self._changed:
            self._requests.append(request)
            if self._thread is None:
                self._start()

    def settle(self) -> None:
        """Wait until all that was asked for is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="skep-optimiser")
        self._thread.start()

    def _work(self) -> None:
        try:
            while request := self._next():
                with self._working:
                    request()
        finally:
            with self._changed:
                self._thread = None
                if self._requests:  # what came meanwhile, or after a request that raised
                    self._start()
                self._changed.notify_all()

    def _next(self) -> Request | None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forks)
            if not threading.main_thread().is_alive():
                self._requests.clear()
            return self._requests.popleft() if self._requests else None

    def before_fork(self) -> None:
        """Hold the thread between two requests."""
        with self._changed:
            self._forks += 1
        self._working.acquire()

    def after_fork(self) -> None:
        """Let the thread go on."""
        self._working.release()
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def in_child(self) -> None:
        """Begin anew: the thread stayed with the parent."""
        self.__init__()  # type: ignore[misc]


@functools.cache
def background() -> Background:
    """The background of this process."""
    made = Background()
    os.register_at_fork(
        before=made.before_fork, after_in_parent=made.after_fork, after_in_child=made.in_child
    )
    return made
