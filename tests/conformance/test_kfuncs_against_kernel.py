"""Kernel functions: the verdicts of the running kernel, on our own C and on random programs."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from conformance import fuzz_deferred
from conformance.fuzz_kfuncs import PROGRAMS, Pair, run
from skep.btf import kinds
from skep.btf.kinds import Kind
from skep.loader.door import ProgramRefused
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.target import Target
from skep.session.verdicts import verify_file
from skep.uapi import kfuncs
from support import running_kernel
from support.verify_case import kernel_btf

pytestmark = pytest.mark.skipif(
    bool(running_kernel.missing()) or kernel_btf() is None, reason=running_kernel.missing()
)

SOURCES: Final = Path(__file__).parent / "kfuncs"
# What Linux 6.18 accepts and we do not, and why we are right.
UNSOUND_THERE: Final = {
    "dyn_ring_after": "a slice of a ring buffer record is used after the record is submitted",
    "throw_g_ref": "what a global function throws leaks the reference of its caller",
    "s_rcu_ref_after": "an object is counted up after the RCU section that kept it alive",
    "throw_g_rcu": "what a global function throws leaves the RCU section of its caller open",
}

# Programs in which Linux sees another thing wrong first.
OTHER_ERRNO: Final = {"push_rcu", "pc_wrong2"}


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("headers")
    command = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]
    try:
        types = subprocess.run(command, check=True, capture_output=True).stdout
        subprocess.run(["clang-19", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"clang-19 and bpftool are needed: {error}")
    (folder / "vmlinux.h").write_bytes(types)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["collections", "kernel_pointers", "resources", "exceptions", "deferred"]
)
def test_programs_in_c_get_the_kernels_verdicts(name: str, headers: Path) -> None:
    built = headers / f"{name}.o"
    subprocess.run(
        [
            "clang-19", "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86",
            f"-I{headers}", "-Wno-everything", "-c", str(SOURCES / f"{name}.c"), "-o", str(built),
        ],
        check=True,
    )  # fmt: skip
    theirs = dict(_kernel_verdicts(built))
    ours = {
        verdict.program: getattr(errno, verdict.errno) if verdict.errno else 0
        for verdict in verify_file(built)
    }

    assert [name for name in ours if ours[name] == 0 and theirs[name]] == []
    assert [name for name in ours if ours[name] == errno.EOPNOTSUPP] == []
    assert {n for n in ours if ours[n] and not theirs[n]} <= set(UNSOUND_THERE)
    assert {n for n in ours if ours[n] != theirs[n]} <= set(UNSOUND_THERE) | OTHER_ERRNO


def _kernel_verdicts(built: Path) -> Iterator[tuple[str, int]]:
    """The errno of each program, 0 if the kernel accepts it."""
    spec = read_object(built.read_bytes(), str(built))
    target = Target.running(kernel_btf())
    with LoadedObject(spec, KernelSyscall(), target, explain=False, partial=True) as loaded:
        for program in spec.programs:
            try:
                loaded.load_program(program)
            except ProgramRefused as refused:
                yield program.name, getattr(refused.__cause__, "errno", refused.errno)
            else:
                yield program.name, 0


def test_random_programs_get_the_kernels_verdicts() -> None:
    outcomes = run(20260103, 500)

    assert outcomes["FALSE ACCEPT"] == 0
    assert outcomes["both accept"] > 30
    # errnos differ where Linux sees two things wrong in another order
    assert outcomes.total() - outcomes["both accept"] - outcomes["both refuse"] <= 5


@pytest.mark.slow
def test_random_programs_with_deferred_work_get_the_kernels_verdicts(headers: Path) -> None:
    outcomes = fuzz_deferred.run(20261121, 120, headers)

    assert outcomes["both accept"] > 20
    assert outcomes.total() == outcomes["both accept"] + outcomes["both refuse"]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair()


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_functions_can_be_called(program: str, pair: Pair) -> None:
    numbers = "\n".join(f"r{register} = 0" for register in range(1, 6))
    found = []
    for row in kfuncs.ROWS:
        if pair.btf.by_name(row.name, Kind.FUNC) is None:
            continue
        theirs, ours, words = pair.verdicts(f"{numbers}\nkfunc {row.name}\nr0 = 0\nexit", program)
        if ours in (theirs, errno.EOPNOTSUPP):
            continue
        found.append(f"{row.name}: kernel {theirs}, skep {ours}: {words}")

    assert found == []


def test_functions_of_the_kernel_without_a_row_are_few(pair: Pair) -> None:
    missing = set()
    for type_id, type_ in pair.btf.types():
        if isinstance(type_, kinds.Func) and "bpf_kfunc" in pair.btf.decl_tags(type_id):
            missing |= {type_.name} - set(kfuncs.KFUNCS)

    assert len(missing) <= 12, sorted(missing)
