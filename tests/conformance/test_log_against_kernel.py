"""What the running kernel logs, read as records; and the shortest log of both, byte for byte."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

import skep
from conformance.table import CORPUS
from conformance.test_corpus import Target, harness
from skep.engine.proof_only import ProofEngine
from skep.errors import CommandError
from skep.loader.door import Door
from skep.loader.kernel import KernelSyscall
from skep.runtime.world import World
from skep.session.log_text import read_text
from skep.uapi.commands import MapCreate
from support.running_kernel import missing

WHY = missing()
pytestmark = [
    pytest.mark.skipif(bool(WHY), reason=WHY),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the corpus' runner leaves files open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NEEDS_CORPUS = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")
LAST_INSN = re.compile(r"^(\d+): \(", re.MULTILINE)


def logs(target: Callable[[dict[str, Any]], Any], level: int) -> dict[str, tuple[str, str]]:
    """Verdict and log of every verifier test of the corpus, by id."""
    runner = harness()
    load = runner["prog_load"]
    runner["prog_load"] = lambda t, kind, code, _=0, *more: load(t, kind, code, level, *more)
    corpus = json.loads((CORPUS / "verifier_dev.json").read_text())
    served, vmlinux = target(runner), runner["Vmlinux"]()
    cases = [case for case in corpus["tests"] if case["kernel"]["status"] != "env"]
    return {case["id"]: runner["run"](served, corpus, case, vmlinux)[:3:2] for case in cases}


@NEEDS_CORPUS
@pytest.mark.slow
@pytest.mark.parametrize("level", [1, 2])
def test_text_of_the_kernel_becomes_one_record_a_refusal(level: int) -> None:
    wrong = []
    for name, (verdict, log) in logs(lambda runner: runner["Kernel"](), level).items():
        found = read_text(log).records
        if verdict == "REJECT" and log:
            slots = LAST_INSN.findall(log)
            lines = [line for line in log.splitlines() if not line.startswith("processed ")]
            good = (
                len(found) == 1
                and found[0].message.splitlines()[-1] == lines[-1]
                and found[0].pc == (int(slots[-1]) if slots else -1)
            )
        else:
            good = verdict == "REJECT" or found == ()
        wrong += [] if good else [(name, verdict, found)]

    assert wrong == []


@NEEDS_CORPUS
@pytest.mark.slow
@pytest.mark.acceptance("L21")
def test_the_shortest_log_of_a_refusal_is_the_kernels_byte_for_byte() -> None:
    def ours(_: dict[str, Any]) -> Target:
        return Target(ProofEngine(), World())

    kernel = logs(lambda runner: runner["Kernel"](), 8)
    skeps = logs(ours, 8)
    both = [
        (kernel[name][1], skeps[name][1])
        for name in kernel
        if kernel[name][0] == skeps[name][0] == "REJECT" and kernel[name][1]
    ]
    same = sum(theirs == mine for theirs, mine in both)

    assert len(both) > 300
    assert same >= 0.95 * len(both)


@pytest.mark.acceptance("L12")
def test_the_running_kernel_is_asked_for_what_it_knows() -> None:
    kernel = KernelSyscall()
    door = Door(kernel)
    with skep.log() as log:
        with pytest.raises(CommandError):
            door.load_btf(bytes(24))
        with pytest.raises(CommandError):
            door.create_map(MapCreate(map_type=2, key_size=4, value_size=8, max_entries=1,
                                      map_name=b"a b"))  # fmt: skip
    btf, map_ = log.records

    assert (btf.command, btf.errno, btf.message) == ("BTF_LOAD", 22, "Invalid magic")
    assert (map_.command, map_.errno) == ("MAP_CREATE", 22)
    if kernel.log_levels:
        assert map_.message == "Invalid map_name."
