"""Kernel functions do what the running kernel's do: the same C in both, the same results."""

import ctypes
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from skep.base.native import load64
from skep.engine.interface import Engine
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.machine import FULL, QUICK, Machine
from skep.engine.llvm.start import START
from skep.loader.door import Syscall
from skep.loader.kernel import KernelSyscall
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.target import Target, possible_cpus
from skep.runtime.block import Limits
from skep.runtime.invocation import HELD
from skep.runtime.world import World
from skep.syscall.catalog import helper_codes, kfunc_codes
from skep.syscall.subsystem import Subsystem
from support import running_kernel
from support.trial_runs import Bpf, Outcome, run
from support.verify_case import kernel_btf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(running_kernel.missing()) or kernel_btf() is None, reason=running_kernel.missing()
    ),
]

SOURCES: Final = Path(__file__).parent / "kfunc_runs"
PACKET: Final = bytes.fromhex(
    "02020202020204040404040408004501003401024000400600000a0000010a000002"
)
RUNS: Final = 3
NOTING: Final = ("metered", "interpreter")
MACHINE: Final = Machine()
Results = dict[str, Sequence[Outcome]]


def _compiled(world: World, **options: object) -> Engine:
    helpers, kfuncs = tuple(helper_codes(world)), tuple(kfunc_codes(world))
    objects = world.objects.address, world.objects.size
    return LlvmEngine(helpers, kfuncs=kfuncs, objects=objects, machine=MACHINE, **options)  # type: ignore[arg-type]


def _interpreted(world: World) -> Engine:
    helpers, kfuncs = tuple(helper_codes(world)), tuple(kfunc_codes(world))
    objects = world.objects.address, world.objects.size
    return Interpreter(helpers, kfuncs=kfuncs, objects=objects)


ENGINES: Final[dict[str, Callable[[World], Engine]]] = {
    "start": lambda world: _compiled(world, tier=START),
    "quick": lambda world: _compiled(world, tier=QUICK),
    "full": lambda world: _compiled(world, tier=FULL),
    "metered": lambda world: _compiled(world, tier=QUICK, metered=True),
    "interpreter": _interpreted,
}


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


def build(name: str, headers: Path) -> Path:
    built = headers / f"{name}.o"
    if not built.exists():
        subprocess.run(
            [
                "clang-19", "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86",
                f"-I{headers}", "-Wno-everything", "-c", str(SOURCES / f"{name}.c"),
                "-o", str(built),
            ],
            check=True,
        )  # fmt: skip
    return built


def results(built: Path, syscall: Syscall, bpf: Bpf) -> Results:
    """What every program of an object gives, run after run."""
    spec = read_object(built.read_bytes(), str(built))
    with LoadedObject(spec, syscall, Target.running(kernel_btf()), explain=True) as loaded:
        return {
            program.name: list(_runs(bpf, loaded.load_program(program).fd, program.section))
            for program in spec.programs
        }


def _runs(bpf: Bpf, fd: int, section: str) -> Iterator[Outcome]:
    for _ in range(RUNS):
        if section == "syscall":
            yield _run_without_packet(bpf, fd)
        else:
            yield run(bpf, fd, PACKET.ljust(64, b"\x5a"))


def _run_without_packet(bpf: Bpf, fd: int) -> Outcome:
    context = ctypes.create_string_buffer(64)
    attr = bytearray(80)
    struct.pack_into("<I", attr, 0, fd)
    struct.pack_into("<IIQ", attr, 40, 64, 0, ctypes.addressof(context))
    result = bpf(10, attr)
    if result < 0:
        return Outcome(errno=-result)
    return Outcome(retval=struct.unpack_from("<I", attr, 4)[0], data=context.raw)


@pytest.fixture(scope="module")
def theirs(headers: Path) -> Callable[[str], Results]:
    known: dict[str, Results] = {}

    def ask(name: str) -> Results:
        if name not in known:
            kernel = KernelSyscall()
            known[name] = results(build(name, headers), kernel, kernel.bpf)
        return known[name]

    return ask


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(path.stem for path in SOURCES.glob("*.c")))
def test_programs_give_what_the_kernel_gives(
    name: str, engine: str, headers: Path, theirs: Callable[[str], Results]
) -> None:
    limits = Limits(fuel=1 << 40) if engine in NOTING else Limits()
    world = World(cpus=possible_cpus(), limits=limits)
    subsystem = Subsystem(world, ENGINES[engine](world))
    ours = results(build(name, headers), subsystem, subsystem.bpf)

    assert ours == theirs(name)
    assert not world.objects.heap.used or world.objects.heap.live == 0
    if limits:  # all that was noted as taken was noted as given back
        assert load64(world.invocation(1).get(HELD)) == 0
