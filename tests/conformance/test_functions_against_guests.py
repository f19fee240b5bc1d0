"""Programs on functions of other programs: verdict, errno, links and runs as in 6.12 and 7.2.

The running kernel loads no such programs; the guests answer random ones and whole scenarios. What
differs must be known: the target is 6.18, between the two.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.functions_cases import answers, scenes
from skep.syscall.subsystem import Subsystem
from support.opener import Opener

GUEST = Path(os.environ.get("SKEP_GUEST", "/work/shared/oracle/guest.py"))
COUNT = int(os.environ.get("SKEP_FUNCTIONS", "300"))
SEED = int(os.environ.get("SKEP_SEED", "1"))
ROOT = Path(__file__).parents[2]

# what the guest says, what skep says, why
KNOWN: dict[str, tuple[tuple[str, str, str], ...]] = {
    "6.12": (("unsupported set of tags", "", "arguments tagged untrusted came with 6.17"),),
    "7.2": (
        ("not void or scalar", "doesn't return scalar", "functions may return void since 7.0"),
        ("R0 !read_ok", "doesn't return scalar", "functions may return void since 7.0"),
        ("stack arg", "", "more than five arguments since 7.1"),
        ("^36$", "^38$", "room for 36 programs on a function since 7.1"),
    ),
}
EVERYWHERE = (
    ("", "attach type is one of LSM programs", "ENOTSUPP, which Linux finds at the program's end"),
)


def ask_guest(kernel: str, folder: Path) -> dict[str, list[Any]]:
    """The guest's answers by label; skips if there is no guest."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))
    done = subprocess.run(
        [
            sys.executable, str(GUEST), "--kernel", kernel, "--share", str(folder), "--",
            "env", f"PYTHONPATH={paths}", "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-m",
            "conformance.functions_cases", str(SEED), str(COUNT), str(folder / "answers"),
        ],
        capture_output=True, text=True, timeout=900, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode or not (folder / "answers").exists():
        pytest.skip(f"no guest {kernel}: {(done.stdout + done.stderr)[-300:]}")
    rows = map(json.loads, (folder / "answers").read_text().splitlines())
    return {label: answer for label, *answer in rows}


def is_known(kernel: str, theirs: list[Any], ours: list[Any]) -> bool:
    """Whether there is a reason for a difference."""
    return any(
        any(re.search(theirs_, str(part)) for part in theirs)
        and any(re.search(ours_, str(part)) for part in ours)
        for theirs_, ours_, _ in (*KNOWN[kernel], *EVERYWHERE)
    )


@pytest.mark.slow
@pytest.mark.skipif(not GUEST.exists(), reason=f"no guests: {GUEST} is not there")
@pytest.mark.parametrize("kernel", ["7.2", "6.12"])
def test_functions_of_programs_are_extended_and_traced_as_in_the_guest(
    kernel: str, tmp_path: Path
) -> None:
    theirs = ask_guest(kernel, tmp_path)
    caller = Opener(Subsystem())

    differing, accepted = [], 0
    for label, *ours in (*scenes(caller), *answers(caller, SEED, COUNT)):
        random_ = "." in label
        same = (theirs[label][:-1], ours[:-1]) if random_ else (theirs[label], ours)
        accepted += random_ and len(ours) > 2 and ours[1] == 0
        if same[0] != same[1] and not is_known(kernel, theirs[label], ours):
            differing.append((label, theirs[label], ours))

    assert differing == []
    assert accepted > COUNT // 20
