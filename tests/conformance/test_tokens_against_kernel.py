"""Tokens: rights of the running kernel, delegated into a namespace, and skep's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skep.syscall.credentials import Credentials
from skep.syscall.subsystem import Subsystem
from support import delegating
from support.caller import Caller
from support.running_kernel import missing

TESTS = Path(__file__).parents[1]
REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON) or os.getuid() != 0, reason=REASON or "needs root")


def test_calls_with_and_without_a_token_answer_what_linux_answers() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "support.delegating"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if found.returncode or not found.stdout:
        pytest.skip(f"no namespace to delegate to: {found.stderr[-200:]}")
    root = Subsystem()
    root.files.mount("/run/token", delegating.DELEGATION, namespace=1)
    folder = root.files.open_folder("/run/token")
    inside = Caller(root.as_user(Credentials(namespace=1)))

    assert delegating.plain(delegating.answers(inside, folder)) == json.loads(found.stdout)
