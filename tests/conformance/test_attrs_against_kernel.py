"""Mutated attrs of every command: the errno and the answers of the running kernel.

``SKEP_CASES=2000`` asks each command so often; a few dozen times is what a quick run does.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.attr_sides import CGROUPS, PINS
from skep.uapi import commands
from support.running_kernel import missing

CASES = os.environ.get("SKEP_CASES", "40")
FUZZER = Path(__file__).with_name("fuzz_attrs.py")
WHY = missing()
if not WHY and not (os.geteuid() == 0 and (CGROUPS / "cgroup.controllers").exists()):
    WHY = "no root, or no cgroups"
if not WHY and not os.access(PINS, os.W_OK):
    WHY = "nothing can be pinned"


pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What the fuzzer says of each command; one process asks of all."""
    done = subprocess.run(
        [sys.executable, FUZZER, "--count", CASES, "--seed", "1"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    lines = done.stdout.splitlines()
    return {
        command.name: "\n".join(line for line in lines if line.startswith(f"{command.name} "))
        for command in commands.COMMANDS
    }


@pytest.mark.parametrize("name", [command.name for command in commands.COMMANDS])
def test_mutated_attrs_answer_as_the_kernel(told: dict[str, str], name: str) -> None:
    assert "same" in told[name] or "known" in told[name], told
    assert "different" not in told[name], told[name]
