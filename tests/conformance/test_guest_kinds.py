"""Kinds of programs that the running kernel does not load get the verdicts of 6.12 and 7.2.

These are fentry, fexit, fmod_ret, LSM hooks (for cgroups, too) and probes of many functions. The
guests answer thousands of small programs in one run each, skep judges them against the guest's
types. What differs must be known: the target is 6.18, between the two.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.guest_load import Loader, read_jobs
from conformance.guest_programs import Jobs
from skep.btf.graph import Btf
from skep.engine.proof_only import ProofEngine
from skep.syscall.subsystem import Subsystem

GUEST = Path(os.environ.get("SKEP_GUEST", "/work/shared/oracle/guest.py"))
WALKS = int(os.environ.get("SKEP_WALKS", "600"))
LOAD = Path(__file__).with_name("guest_load.py")

# label, what the guest says, why skep says something else
KNOWN: dict[str, tuple[tuple[str, str, str], ...]] = {
    "6.12": (
        ("(bare|argument) 17 ", "", "bpf_get_cgroup_classid is for all programs since 6.17"),
        ("walk", "R1 invalid mem access 'scalar'", "untrusted memory can be read since 6.17"),
        (r"__x64_sys_", "(sleepable|modifiable)", "since 7.0, without error injection"),
        ("inode_(post_)?removexattr", "not sleepable", "these may sleep since 6.14"),
        ("walk", "invalid bpf_context access", "pointers to const void are numbers since 6.16"),
        ("file_alloc_security", "", "a disabled hook since 6.13"),
        ("bdev_(alloc|free)_security", "", "their arguments are untrusted in later kernels only"),
        ("getsecid", "", "hooks whose programs may not sleep any more"),
        ("return (2|-1) uprobe.session", "", "sessions came with 6.13"),
    ),
    "7.2": (
        ("(bare|argument) 187 ", "not a scalar", "6.18 takes any argument"),
        ("odd 26 (27|43)", "", "6.18 answers ENOTSUPP to tracing programs of LSM's attach types"),
        ("walk", "", "pointers to pointers and to functions are numbers since 7.0"),
        ("bdev_", "", "these may sleep since 7.0"),
        ("(bare|argument) 18[345] tp_btf", "", "since 7.0 raw tracepoints, too"),
    ),
}  # fmt: skip
EVERYWHERE = (
    ("", "The address of function .* cannot be found", "types of functions that were inlined"),
    ("(bare|argument) 36 ", "", "the running 6.18 does not offer bpf_probe_write_user"),
)


def run_guest(kernel: str, folder: Path, *command: str) -> None:
    """Run a command in the guest, skip if there is none."""
    done = subprocess.run(
        [sys.executable, str(GUEST), "--kernel", kernel, "--share", str(folder), "--", *command],
        capture_output=True, text=True, timeout=600, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no guest {kernel}: {(done.stdout + done.stderr)[-300:]}")


def answers_of(path: Path) -> dict[int, dict[str, Any]]:
    """What the guest said, by number."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["number"]: row for row in rows}


class Ours(Loader):
    """Loads into skep."""

    def __init__(self, btf: Btf) -> None:
        self.subsystem = Subsystem(engine=ProofEngine(), kernel_btf=btf)
        super().__init__(self.subsystem.bpf)

    def close(self, fd: int) -> None:
        """Forget a program."""
        self.subsystem.close(fd)


def is_known(kernel: str, label: str, answer: str) -> bool:
    """Whether there is a reason for a difference."""
    return any(
        re.search(of, label) and re.search(said, answer)
        for of, said, _ in (*KNOWN[kernel], *EVERYWHERE)
    )


@pytest.mark.slow
@pytest.mark.skipif(not GUEST.exists(), reason=f"no guests: {GUEST} is not there")
@pytest.mark.parametrize("kernel", ["7.2", "6.12"])
def test_programs_for_trampolines_get_the_verdict_of_the_guest(kernel: str, tmp_path: Path) -> None:
    run_guest(kernel, tmp_path, "cp", "/sys/kernel/btf/vmlinux", "vmlinux")
    btf = Btf.parse((tmp_path / "vmlinux").read_bytes(), source="vmlinux")
    jobs = list(Jobs(btf, random.Random(WALKS)).all(WALKS))
    (tmp_path / "jobs").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    (tmp_path / "load.py").write_text(LOAD.read_text())
    run_guest(kernel, tmp_path, sys.executable, "load.py", "jobs", "answers")
    theirs = answers_of(tmp_path / "answers")

    ours = Ours(btf)
    labels = {job["number"]: job["label"] for job in jobs if "number" in job}
    differing = []
    for row in ours.answers(read_jobs(str(tmp_path / "jobs"))):
        label, answer = labels[row["number"]], theirs[row["number"]]
        same = row["errno"] == answer["errno"]
        if not same and not is_known(kernel, label, answer["log"]):
            differing.append((label, row["errno"], row["log"], answer["errno"], answer["log"]))

    assert len(theirs) > 5000
    assert differing == []
