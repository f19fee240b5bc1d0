"""Programs begin in the start tier and go on with better code, unnoticed."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from skep.base.native import call, native, store64
from skep.engine.llvm.background import Background, background
from skep.engine.llvm.cache import DiskCache
from skep.engine.llvm.engine import CompiledEntry, LlvmEngine
from skep.engine.llvm.gates import Gates
from skep.engine.llvm.machine import QUICK, Machine
from skep.engine.llvm.tiers import RUNS, Code, Growth
from skep.isa.table import slot
from skep.runtime.invocation import TAIL_CALLS
from skep.verifier.interface import Proof, Subprogram
from support.programs import Generator
from support.proofs import Run, prove

EXIT = slot("exit")


def returning(number: int) -> Proof:
    return prove([slot("mov64_imm", 0, imm=number), EXIT], depth=0)


@native
def run_at(run: int, address: int) -> int:
    return call(address, run, 0)


@native
def run_often(run: int, address: int, count: int, expected: int) -> int:
    """Runs that gave something else."""
    wrong = 0
    for _ in range(count):
        wrong += call(address, run, 0) != expected
    return wrong


def engine() -> LlvmEngine:
    return LlvmEngine(machine=Machine())


def has_grown(entry: CompiledEntry) -> bool:
    """Whether it runs better code than it began with: whoever runs it often needs no gate."""
    return entry.hot(0) != entry.address


def test_better_code_takes_over_after_some_runs() -> None:
    entry, run = engine().compile(returning(7)), Run()
    address = entry.address
    first = [entry(run.address, 0) for _ in range(RUNS)]
    background().settle()

    assert {*first, entry(run.address, 0)} == {7}
    assert has_grown(entry)
    assert entry.address == address
    assert [part.address for part in entry.parts] == [entry.hot(1)]


def test_a_program_that_hardly_runs_is_not_optimised() -> None:
    entry, run = engine().compile(returning(7)), Run()
    for _ in range(RUNS - 1):
        entry(run.address, 0)
    background().settle()

    assert not has_grown(entry)


def test_a_program_with_a_loop_is_optimised_when_it_first_runs() -> None:
    loop = [slot("add64_imm", 0, imm=1), slot("jlt64_imm", 0, off=-2, imm=100)]
    entry = engine().compile(prove([slot("mov64_imm", 0), *loop, EXIT], depth=0))
    assert entry(Run().address, 0) == 100
    background().settle()

    assert has_grown(entry)


def test_who_asks_for_machine_code_gets_it() -> None:
    entry = engine().compile(returning(7))
    (part,) = entry.parts

    assert has_grown(entry)
    assert (part.start, part.address) == (0, entry.hot(1))
    assert len(entry.places()) > 0


def test_a_metered_program_starts_with_quick_code() -> None:
    entry, run = LlvmEngine(machine=Machine(), metered=True).compile(returning(7)), Run()
    (part,) = entry.parts

    assert not has_grown(entry)
    assert part.address != entry.address
    entry(run.address, 0)
    background().settle()
    assert has_grown(entry)


def test_a_large_metered_program_has_to_run_more_often() -> None:
    body = [slot("add64_imm", 0, imm=1)] * 1000
    proof = prove([slot("mov64_imm", 0), *body, EXIT], depth=0)
    entry, run = LlvmEngine(machine=Machine(), metered=True).compile(proof), Run()
    entry(run.address, 0)
    background().settle()
    assert not has_grown(entry)

    entry.hot(1000)
    background().settle()
    assert has_grown(entry)
    assert entry(run.address, 0) == 1000


def test_many_runs_in_a_row_go_on_in_better_code() -> None:
    """The gate is where they go: what it leads to changes in the midst of them."""
    compiler, run = engine(), Run()
    entry = compiler.compile(returning(7))
    address = entry.hot(1_000_000)
    before = compiler.library.bind(run_at)(run.address, address)
    background().settle()

    assert address == entry.address
    assert (before, compiler.library.bind(run_at)(run.address, address)) == (7, 7)


def test_a_tail_call_goes_on_in_the_best_code() -> None:
    compiler, run = engine(), Run()
    entry = compiler.compile(returning(7))
    through_gate = compiler.library.bind(run_at)
    before = through_gate(run.address, entry.address)
    entry.hot(RUNS)
    background().settle()
    after = through_gate(run.address, entry.address)

    assert (before, after) == (7, 7)


@pytest.mark.parametrize("seed", range(8))
def test_first_and_better_code_do_the_same(seed: int) -> None:
    proof = Generator(seed).program(60, subprograms=True)
    entry = engine().compile(proof)
    outcomes = []
    for _ in range(3):
        run = Run(context=bytes(range(200)))
        store64(run.context.address + 216, run.packet.address)
        store64(run.address + TAIL_CALLS, 0)
        result = entry(run.address, run.context.address)
        outcomes.append((result, bytes(run.context.view[:128]), bytes(run.packet.view)))
        entry.hot(1000)
        background().settle()

    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_many_threads_run_while_the_code_changes() -> None:
    compiler = engine()
    wrong: list[int] = []

    def work(entry: CompiledEntry, number: int) -> None:
        run = Run()
        wrong.extend(r for _ in range(2000) if (r := entry(run.address, 0)) != number)

    for number in range(20):
        entry = compiler.compile(returning(number))
        threads = [threading.Thread(target=work, args=(entry, number)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_threads_in_the_midst_of_runs_go_over_to_better_code() -> None:
    """Without the interpreter lock, through the gate: stack, loop and function of each its own."""
    program = [
        slot("mov64_imm", 1, imm=20),
        slot("mov64_imm", 6, imm=0),
        slot("stx_u64", 10, 1, off=-8),
        slot("call_local", imm=6),
        slot("add64_reg", 6, 0),
        slot("ldx_u64", 1, 10, off=-8),
        slot("sub64_imm", 1, imm=1),
        slot("jne64_imm", 1, off=-6),
        slot("mov64_reg", 0, 6),
        EXIT,
        slot("stx_u64", 10, 1, off=-16),
        slot("atomic_fetch_add_u64", 10, 1, off=-16),
        slot("ldx_u64", 0, 10, off=-16),
        EXIT,
    ]
    parts = (Subprogram(0, 10, "main", 8), Subprogram(10, 14, "twice", 16))
    compiler = engine()
    entry = compiler.compile(prove(program, subprograms=parts))
    often, wrong, runs = compiler.library.bind(run_often), list[int](), [Run(), Run()]
    expected = entry(runs[0].address, 0)

    def work(run: Run) -> None:
        while not has_grown(entry):
            wrong.append(often(run.address, entry.address, 1000, expected))
        wrong.append(often(run.address, entry.address, 1000, expected))

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert expected == sum(2 * n for n in range(1, 21))
    assert not any(wrong)


def test_code_on_disk_is_what_better_code_comes_from(tmp_path: Path) -> None:
    def grown() -> int:
        entry = LlvmEngine(machine=Machine(DiskCache(tmp_path))).compile(returning(7))
        entry.hot(RUNS)
        background().settle()
        assert has_grown(entry)
        return entry(Run().address, 0)

    first, stored = grown(), {path: path.stat().st_ino for path in tmp_path.iterdir()}

    assert (first, grown()) == (7, 7)
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == stored


def test_a_program_that_went_is_not_compiled_again() -> None:
    begun, go, improved = threading.Event(), threading.Event(), []

    def wait() -> None:
        begun.set()
        go.wait()

    machine = Machine()
    code = LlvmEngine(machine=machine, tier=QUICK).compile(returning(7))
    known = Code(machine.load("", []), code.address, code, QUICK)

    def improve() -> Code:
        improved.append(1)
        return known

    background().ask(wait)
    begun.wait()
    growths = [Growth(known, Gates(machine).make(code.address), 1, improve) for _ in range(2)]
    for growth in reversed(growths):
        growth.count(1)
    del growths[1]
    go.set()
    background().settle()
    assert improved == [1]


def test_a_request_that_raises_does_not_stop_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: reported.append(hook.exc_type))
    requests, done = Background(), threading.Event()

    def fail() -> None:
        raise ZeroDivisionError

    requests.ask(fail)
    requests.ask(done.set)
    assert done.wait(10)
    requests.settle()
    assert reported == [ZeroDivisionError]


SCRIPT = """
import os, sys
sys.path.insert(0, "tests")
from skep.engine.llvm.background import background
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import Machine
from skep.isa.table import slot
from support.proofs import Run, prove
engine, run = LlvmEngine(machine=Machine()), Run()
body = [slot("add64_imm", 0, imm=1)] * 1000
for n in range(20):
    entry = engine.compile(prove([slot("mov64_imm", 0, imm=n), *body, slot("exit")], depth=0))
    entry.hot(100)
"""


def test_the_process_ends_in_the_midst_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_of_a_fork_compiles_for_itself() -> None:
    child = """
import os
pid = os.fork()
if pid == 0:
    entry = engine.compile(prove([slot("mov64_imm", 0, imm=5), slot("exit")], depth=0))
    ok = entry(run.address, 0) == 5
    background().settle()
    os._exit(0 if ok and entry(run.address, 0) == 5 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + child],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
