"""The Linux eBPF subsystem in user space: bpf(2), maps, verifier, JIT, BTF and CO-RE.

``skep.load("x.bpf.o")`` loads an object; ``skep.Subsystem().bpf(cmd, attr)`` is the system call.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skep.session.log import log as log
    from skep.session.log_read import log_truncated as log_truncated
    from skep.session.maps import Map as Map
    from skep.session.objects import Object as Object
    from skep.session.objects import load as load
    from skep.session.programs import Program as Program
    from skep.session.programs import RunResult as RunResult
    from skep.session.ring import RingReader as RingReader
    from skep.session.verdicts import Verdict as Verdict
    from skep.session.verdicts import verify_file as verify_file
    from skep.syscall.subsystem import Subsystem as Subsystem
    from skep.verifier import Rejected as Rejected

_HOME = {
    "Map": "skep.session.maps",
    "Object": "skep.session.objects",
    "Program": "skep.session.programs",
    "Rejected": "skep.verifier",
    "RingReader": "skep.session.ring",
    "RunResult": "skep.session.programs",
    "Subsystem": "skep.syscall.subsystem",
    "Verdict": "skep.session.verdicts",
    "load": "skep.session.objects",
    "log": "skep.session.log",
    "log_truncated": "skep.session.log_read",
    "verify_file": "skep.session.verdicts",
}
__all__ = [
    "Map",
    "Object",
    "Program",
    "Rejected",
    "RingReader",
    "RunResult",
    "Subsystem",
    "Verdict",
    "load",
    "log",
    "log_truncated",
    "verify_file",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `skep --help` needs none of them."""
    if name not in _HOME:
        raise AttributeError(f"module 'skep' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
