"""What callers without all capabilities may do, compared with the running kernel."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from errno import EPERM
from pathlib import Path

import pytest

from skep.syscall.credentials import Capability, Credentials
from skep.syscall.subsystem import Subsystem
from support import rights
from support.caller import Caller
from support.running_kernel import missing

TESTS = Path(__file__).parents[1]
DISABLED = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON) or os.getuid() != 0, reason=REASON or "needs root")


def of_kernel(capabilities: tuple[int, ...]) -> Mapping[str, int]:
    arguments = [str(capability) for capability in capabilities]
    found = subprocess.run(
        [sys.executable, "-m", "support.rights", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    answers: Mapping[str, int] = json.loads(found.stdout)
    return answers


def of_skep(capabilities: tuple[int, ...]) -> Mapping[str, int]:
    caller = Caller(Subsystem())
    made = rights.Objects(caller)
    who = Credentials(
        uid=1000, gid=1000, capabilities=frozenset(map(Capability, capabilities)),
        unprivileged_disabled=int(DISABLED.read_text()),
    )  # fmt: skip
    caller.subsystem = caller.subsystem.as_user(who)
    return {**rights.answers(caller, made), **rights.lengths(caller, made)}


@pytest.mark.parametrize("name", rights.SETS)
@pytest.mark.acceptance("M39", "M50")
def test_callers_with_some_capabilities_are_refused_what_linux_refuses(name: str) -> None:
    kernel, skep = of_kernel(rights.SETS[name]), of_skep(rights.SETS[name])

    told = {what: (kernel[what], skep[what]) for what in kernel}
    about_types = {what: pair for what, pair in told.items() if " type " in f" {what}"}
    # of types that a kernel was built without, rights are all that can be compared
    assert {
        what: pair
        for what, pair in about_types.items()
        if (pair[0] == -EPERM) != (pair[1] == -EPERM)
    } == {}
    rest = told.keys() - about_types.keys()
    assert {what: told[what] for what in rest if told[what][0] != told[what][1]} == {}
