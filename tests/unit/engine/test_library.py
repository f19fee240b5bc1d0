"""The library of compiled native functions, as several threads ask it."""

import subprocess
import sys

TOGETHER = """
import threading, time
from skep.engine.llvm.library import CompiledLibrary
from skep.maps.array_code import array_lookup
from skep.maps.hash_code import hash_lookup
for function in (array_lookup, hash_lookup):
    library = CompiledLibrary()
    compiles = threading.Thread(target=library.bind, args=(function,))
    compiles.start()
    time.sleep(0.002)
    assert library.callers is library.callers
    compiles.join()
print("done")
"""


def test_threads_that_need_the_library_at_once_do_not_wait_for_each_other_for_good() -> None:
    # One held the lock of a cached property and waited for the library's, the other the reverse.
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.stdout, done.stderr) == ("done\n", "")
