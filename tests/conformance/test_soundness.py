"""What runs lies inside of what was proved; see ``soundness``. SKEP_SECONDS makes it longer."""

import json
import os
import random
from typing import Any

import pytest

from conformance.soundness import CheckedInterpreter, Checker, Memory, Recorder, run
from conformance.table import CORPUS
from conformance.test_corpus import harness
from skep.base.memory import Block
from skep.runtime.invocation import RUN_SIZE
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes
from skep.syscall.subsystem import Subsystem
from skep.verifier import passes
from skep.verifier.scalar import const
from skep.verifier.state import new_frame

SECONDS = float(os.environ.get("SKEP_SECONDS", "8"))

pytestmark = pytest.mark.skipif(
    not passes.__file__.endswith(".py"), reason="pruning is turned off from outside: compiled"
)


@pytest.mark.slow
def test_random_programs_stay_inside_of_their_states(capsys: pytest.CaptureFixture[str]) -> None:
    tally = run(random.SystemRandom().randrange(1 << 40), SECONDS, 3)

    assert tally["compared"] > SECONDS
    assert "HOLE" not in tally, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_programs_of_the_corpus_stay_inside_of_their_states() -> None:
    world = World()
    engine = CheckedInterpreter(helper_codes(world))
    target: Any = Subsystem(world, engine)
    runner, corpus = harness(), json.loads((CORPUS / "verifier_dev.json").read_text())
    vmlinux = runner["Vmlinux"]()
    found = []
    for case in corpus["tests"]:
        if case["kernel"]["verdict"] == "ACCEPT":
            runner["run"](target, corpus, case, vmlinux)
            found += [(case["id"], what) for what in engine.complaints]
            engine.complaints.clear()

    assert engine.steps > 1000
    assert found == []


def test_a_number_outside_of_every_state_is_noticed() -> None:
    """Were it not, the tests above could not fail."""
    frame = new_frame(0, 0, -1)
    frame.regs[0] = const(7)
    recorder = Recorder()
    state: Any = type("State", (), {"frames": [frame]})()
    recorder.arrive(type("Check", (), {"pc": 3, "state": state})())
    block = Block(RUN_SIZE)
    checker = Checker(recorder, Memory(0, block.address, {}))
    registers = [7, *[0] * 10]
    checker.step(3, registers)
    assert checker.complaint == ""

    registers[0] = 8
    checker.step(3, registers)
    assert "r0=0x8" in checker.complaint
