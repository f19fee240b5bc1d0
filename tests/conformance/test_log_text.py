"""The verifier's log beside the running kernel's, line by line, at levels 1 and 2.

Addresses of maps differ by nature and are masked.
"""

import json
import re
from collections import Counter
from typing import Any

import pytest

from conformance.table import CORPUS
from conformance.test_corpus import Target, harness
from skep.engine.proof_only import ProofEngine
from skep.runtime.world import World
from support.running_kernel import missing

WHY = missing() or ("" if CORPUS.exists() else f"no corpus at {CORPUS}")
pytestmark = [
    pytest.mark.skipif(bool(WHY), reason=WHY),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the corpus' runner leaves files open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ADDRESS = re.compile(r"(\(18\) r\d+ = )0x[0-9a-f]{9,} *")


def comparable(log: str) -> str:
    """*log* without what differs by nature."""
    return ADDRESS.sub(r"\1address ", log)


def logs(target: str, level: int) -> dict[str, tuple[str, str]]:
    """Verdict and log of every verifier test of the corpus, by id."""
    runner = harness()
    load = runner["prog_load"]

    def logged(served: Any, kind: int, code: bytes, wanted: int = 0, *more: Any) -> Any:
        return load(served, kind, code, level if wanted else 0, *more)

    runner["prog_load"] = logged
    corpus = json.loads((CORPUS / "verifier_dev.json").read_text())
    served = runner["Kernel"]() if target == "kernel" else Target(ProofEngine(), World())
    vmlinux = runner["Vmlinux"]()
    found = {}
    for case in corpus["tests"]:
        if case["kernel"]["status"] != "env":
            verdict, _, log, _ = runner["run"](served, corpus, {**case, "runs": -1}, vmlinux)
            found[case["id"]] = (verdict, log)
    return found


@pytest.mark.parametrize(
    ("level", "verdict", "share"),
    [(1, "REJECT", 1.0), (2, "REJECT", 0.98), (1, "ACCEPT", 1.0), (2, "ACCEPT", 0.91)],
)
def test_the_log_is_the_kernels_line_by_line(level: int, verdict: str, share: float) -> None:
    kernel, ours = logs("kernel", level), logs("skep", level)
    count: Counter[bool] = Counter()
    differing = []
    for name, (judged, log) in kernel.items():
        if judged == verdict == ours[name][0] and log:
            same = comparable(log) == comparable(ours[name][1])
            count[same] += 1
            differing += [] if same else [name]
    print(f"level {level}, {verdict}: {count[True]} of {count.total()} the same")

    assert count[True] >= share * count.total(), differing
