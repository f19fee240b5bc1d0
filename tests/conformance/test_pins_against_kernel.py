"""Pins: the same steps in a bpffs of the running kernel and in skep's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skep.syscall.credentials import Credentials
from skep.syscall.subsystem import Subsystem
from support import pinning
from support.caller import Caller
from support.running_kernel import missing

TESTS = Path(__file__).parents[1]
REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON) or os.getuid() != 0, reason=REASON or "needs root")


def test_every_step_on_paths_answers_what_linux_answers() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "support.pinning"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    kernel = json.loads(found.stdout)
    caller = Caller(Subsystem(credentials=Credentials()))
    skep = pinning.run(caller, pinning.SkepFiles(caller))

    rows = zip(range(len(kernel)), pinning.STEPS, kernel, skep, strict=True)
    assert [row for row in rows if row[2] != row[3]] == []
