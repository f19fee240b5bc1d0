"""Apart: LLVM is called where no signal can interrupt it.

Python runs signal handlers in the main thread, between any two steps. llvmlite does not bear an
exception there: locks stay taken, memory is freed twice. So what the main thread wants of LLVM, a
thread that lives for it alone does, and what the main thread drops is destroyed by the next thread
that comes to LLVM. Other threads do it themselves.

The main thread waits meanwhile, and its waiting may be interrupted: what was begun is then done to
its end and dropped. A fork waits for it, since LLVM's locks would stay locked in the child. When
the interpreter ends, no thread runs any more, and no handler: the last finalizers do it themselves.
"""

import functools
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Apart:
    """Does what is to be done with LLVM."""

    def __init__(self) -> None:
        self._working = threading.Lock()
        self._last_things: deque[Callable[[], object]] = deque()

    def do(
        self, action: Callable[[], Result], ending: Callable[[], bool] = sys.is_finalizing
    ) -> Result:
        """Return what *action* returns, or raise what it raises."""
        if ending():
            return action()
        if threading.current_thread() is not threading.main_thread():
            self._destroy()
            return action()
        results: list[Result] = []
        errors: list[BaseException] = []
        done = threading.Lock()
        done.acquire()

        def work() -> None:
            try:
                with self._working:
                    self._destroy()
                    results.append(action())
            except BaseException as error:  # noqa: BLE001  # raised where it was asked for
                traceback.clear_frames(error.__traceback__)  # LLVM's objects die here
                errors.append(error)
            finally:
                done.release()

        threading.Thread(target=work, name="skep-llvm").start()
        done.acquire()
        if errors:
            raise errors[0]
        return results[0]

    def destroy(self, last: Callable[[], object]) -> None:
        """Do *last*, which destroys something of LLVM's, as soon as there is a thread for it."""
        self._last_things.append(last)
        if threading.current_thread() is not threading.main_thread():
            self._destroy()

    def _destroy(self) -> None:
        while self._last_things:
            try:
                last = self._last_things.popleft()
            except IndexError:  # another thread was quicker
                return
            last()

    def before_fork(self) -> None:
        """Wait for what is being done."""
        self._working.acquire()

    def after_fork(self) -> None:
        """Go on."""
        self._working.release()


@functools.cache
def apart() -> Apart:
    """That of this process."""
    made = Apart()
    os.register_at_fork(
        before=made.before_fork,
        after_in_parent=made.after_fork,
        after_in_child=made.after_fork,
    )
    return made
