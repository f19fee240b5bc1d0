"""The shared corpus: nothing that the kernel rejects is accepted; what runs gives what it gave."""

import json
from typing import Any

import pytest

from conformance.table import CORPUS, Row, object_rows
from skep.engine.interface import Engine
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.subsystem import Subsystem
from skep.verifier import passes

pytestmark = [
    pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the corpus' runner leaves files open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Target:
    """A subsystem as verdicts.py wants it."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._subsystem = Subsystem(world, engine)
        self.bpf = self._subsystem.bpf
        self.close = self._subsystem.close


def harness() -> dict[str, Any]:
    """The corpus' own runner, as a module that does not start by itself."""
    source = (CORPUS / "verdicts.py").read_text().removesuffix("\nmain()\n")
    module: dict[str, Any] = {"__name__": "verdicts"}
    exec(compile(source, "verdicts.py", "exec"), module)
    return module


@pytest.mark.parametrize("engine", [LlvmEngine, Interpreter])
def test_verifier_tests_agree_and_run_alike(engine: Any) -> None:
    runner, world = harness(), World()
    corpus = json.loads((CORPUS / "verifier_dev.json").read_text())
    target, vmlinux = Target(engine(tuple(helper_codes(world))), world), runner["Vmlinux"]()
    cases = [case for case in corpus["tests"] if case["kernel"]["status"] != "env"]
    accepted, wrong, same = [], [], 0
    for case in cases:
        verdict, _, _, runs = runner["run"](target, corpus, case, vmlinux)
        kernel = case["kernel"]
        same += verdict == kernel["verdict"]
        if verdict == "ACCEPT" != kernel["verdict"]:
            accepted.append(case["id"])
        want = [run.get("retval", -run["errno"]) for run in kernel.get("test_run", [])]
        if verdict == "ACCEPT" and runs and not runner["agree"](case, runs, want):
            wrong.append((case["id"], runs, want))

    assert (accepted, wrong) == ([], [])
    assert same >= 0.93 * len(cases)


@pytest.mark.skipif(
    passes.__file__.endswith(".py"), reason="uncompiled, the objects take a quarter of an hour"
)
def test_real_objects_get_the_kernels_verdicts() -> None:
    rows = object_rows("", 2)
    wrong: list[Row] = [row for row in rows if row.kind == "FALSE ACCEPT"]
    refused = [row for row in rows if row.kind != "same" and row.truth == "ACCEPT"]

    assert wrong == []
    assert len(refused) <= 0.05 * len(rows)
