"""What is let go of in an unlucky order, or while it is in use, never takes the process down."""

import gc
import subprocess
import sys

from skep.base.memory import Anchor

CYCLE = """
import gc, struct, sys
sys.path.insert(0, "tests")
from skep.uapi import commands
from skep.uapi.flags import MapType
from support.caller import EXIT, RETURN_ONE, Caller

class Owner(Caller):
    def __del__(self):
        for fd in self.fds:
            self.subsystem.close(fd)

for _ in range(3):
    owner = Owner()
    owner.fds = [owner.map(MapType.HASH), owner.program(RETURN_ONE + EXIT)]
    for kind in (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS):
        outer = owner.call(commands.MAP_CREATE, map_type=kind, key_size=4, value_size=4,
                           max_entries=4, inner_map_fd=owner.fds[0])
        assert owner.store(outer, bytes(4), struct.pack("<I", owner.fds[0])) == 0
        owner.fds.append(outer)
    owner.itself = owner
    del owner
    assert gc.collect() > 0
print("alive")
"""


def run(script: str) -> str:
    """What *script* prints; its end of life, if it is no happy one."""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    return done.stdout.strip() or f"{done.returncode}: {done.stderr[-500:]}"


def test_the_collector_may_finalize_memory_and_code_before_their_last_user() -> None:
    # A caught refusal refers to its frames, these to the object, this to its subsystem, and that
    # to the refusal: a cycle. The collector called the finalizers in its own order, memory of maps
    # and machine code were unmapped first, and closing the object wrote there: a crash.
    assert run(CYCLE) == "alive"


def test_the_collector_does_not_know_anchors() -> None:
    # It would finalize them in any order, as all objects of classes made in Python.
    assert not gc.is_tracked(Anchor(object()))
