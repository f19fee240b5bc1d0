"""The library of compiled native functions, as several threads ask it."""

import subprocess
import sys

TOGETHER = """
import threading, time
from skep.engine.llvm.library import CompiledLibrary
from skep.engine.llvm.machine import Machine
from skep.maps.array_code import array_lookup

begun = threading.Event()

class Slow(Machine):
    def load(self, *arguments, **named):
        begun.set()
        time.sleep(0.2)
        return super().load(*arguments, **named)

library = CompiledLibrary(Slow())
compiles = threading.Thread(target=library.bind, args=(array_lookup,))
compiles.start()
begun.wait()
library.callers
compiles.join()
print("done")
"""


def test_threads_that_need_the_library_at_once_do_not_wait_for_each_other_for_good() -> None:
    # One held the lock of a cached property and waited for the library's, the other the reverse.
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.stdout, done.stderr) == ("done\n", "")
