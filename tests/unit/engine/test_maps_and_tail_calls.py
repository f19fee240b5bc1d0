"""Programs on real maps: look-ups in line, tail calls, callbacks; and batches of packets."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import pytest

from skep.base.memory import Block
from skep.engine import batch as words
from skep.engine.interface import Engine, Entry, HelperCode
from skep.engine.interpreter import Interpreter
from skep.engine.llvm.engine import LlvmEngine
from skep.engine.llvm.library import CompiledLibrary
from skep.engine.llvm.machine import FULL
from skep.engine.llvm.start import START
from skep.helpers import control, maps
from skep.isa.insn import Insn
from skep.isa.table import slot
from skep.maps.creation import Creation
from skep.maps.families import create_map
from skep.maps.interface import Map
from skep.runtime.invocation import CPU, ORIGIN, TAIL_CALLS, Origin
from skep.uapi.contexts import SK_BUFF, XDP_MD, Context
from skep.verifier.interface import CallFact, MapShape, Memory, Proof, Subprogram
from support.proofs import Run, prove

EXIT = slot("exit")
HASH, ARRAY, PROG_ARRAY, PERCPU_ARRAY = 1, 2, 3, 6
LIBRARY = CompiledLibrary()
HELPERS = tuple(
    HelperCode(binding.id, native=binding.native)
    for binding in (*maps.BINDINGS, *control.BINDINGS)
    if binding.native
)
ENGINES: dict[str, Callable[[], Engine]] = {
    "interpreter": lambda: Interpreter(HELPERS),
    "interpreter with machine-code helpers": lambda: Interpreter(HELPERS, library=LIBRARY),
    "start": lambda: LlvmEngine(HELPERS, library=LIBRARY, tier=START),
    "llvm": lambda: LlvmEngine(HELPERS, library=LIBRARY, tier=FULL),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    make = ENGINES[str(request.param)]
    return make()


@dataclass(frozen=True)
class Program:
    """What a prog array takes for a program."""

    address: int
    id: int = 1


def make_map(kind: int, key_size: int = 4, value_size: int = 8, **more: object) -> Map:
    fields: dict[str, object] = {"max_entries": 8, "library": LIBRARY, "cpus": 2, **more}
    return create_map(
        Creation(map_type=kind, key_size=key_size, value_size=value_size, **fields)  # type: ignore[arg-type]
    )


def counting(target: Map, key: int, *, known: bool) -> Proof:
    """Add 1 to the value at *key* and return it; -1 if there is none."""
    program = [
        slot("st_u64", 10, off=-16, imm=key),
        slot("st_u64", 10, off=-8),
        slot("ld_imm64_map_fd", 1),
        Insn(0),
        slot("mov64_reg", 2, 10),
        slot("add64_imm", 2, imm=-16),
        slot("call_helper", imm=1),
        slot("jne64_imm", 0, off=2),
        slot("mov64_imm", 0, imm=-1),
        EXIT,
        slot("mov64_imm", 1, imm=1),
        slot("atomic_add_u64", 0, 1),
        slot("ldx_u64", 0, 0),
        EXIT,
    ]
    facts = {6: CallFact(helper=1, map=cast("MapShape", target), constant_key=key)} if known else {}
    memory = bytes(11) + bytes([Memory.MAP_VALUE] * 2) + bytes(1)
    return prove(program, depth=16, map_at={2: target}, calls=facts, memory=memory)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("key_size", [4, 8, 16])
def test_a_hash_finds_what_is_there(engine: Engine, key_size: int, known: bool) -> None:
    target, run = make_map(HASH, key_size), Run()
    target.update((5).to_bytes(key_size, "little"), (40).to_bytes(8, "little"))
    present = engine.compile(counting(target, 5, known=known))
    absent = engine.compile(counting(target, 6, known=known))

    assert [present(run.address, 0), present(run.address, 0)] == [41, 42]
    assert absent(run.address, 0) == (1 << 64) - 1
    assert target.lookup((5).to_bytes(key_size, "little")) == (42).to_bytes(8, "little")


@pytest.mark.parametrize("known", [True, False])
def test_an_array_ends_where_it_ends(engine: Engine, known: bool) -> None:
    target, run = make_map(ARRAY), Run()
    last = engine.compile(counting(target, 7, known=known))
    beyond = engine.compile(counting(target, 8, known=known))

    assert [last(run.address, 0), last(run.address, 0)] == [1, 2]
    assert beyond(run.address, 0) == (1 << 64) - 1
    assert target.lookup(bytes([7, 0, 0, 0])) == (2).to_bytes(8, "little")


@pytest.mark.parametrize("known", [True, False])
def test_a_per_cpu_array_has_a_value_for_each_cpu(engine: Engine, known: bool) -> None:
    target, run = make_map(PERCPU_ARRAY), Run()
    entry = engine.compile(counting(target, 3, known=known))
    entry(run.address, 0)
    run.put(CPU, 1)

    assert [entry(run.address, 0), entry(run.address, 0)] == [1, 2]
    assert target.lookup(bytes([3, 0, 0, 0])) == bytes([1, *bytes(7), 2, *bytes(7)])


def test_a_constant_index_of_an_array_is_an_address() -> None:
    text = LlvmEngine(HELPERS, library=LIBRARY).assembly(counting(make_map(ARRAY), 3, known=True))

    assert "cmp" not in text
    assert "call" not in text


def tail_calling(programs: Map, index: int, *, add: int, known: bool = True) -> Proof:
    """Tail-call program *index*; if that fails, return *add* plus the word of the context."""
    program = [
        slot("mov64_reg", 6, 1),
        slot("ldx_u64", 7, 6),
        slot("add64_imm", 7, imm=1),
        slot("stx_u64", 6, 7),
        slot("ld_imm64_map_fd", 2),
        Insn(0),
        slot("mov64_imm", 3, imm=index),
        slot("call_helper", imm=12),
        slot("mov64_reg", 0, 7),
        slot("add64_imm", 0, imm=add),
        EXIT,
    ]
    facts = {7: CallFact(helper=12, map=cast("MapShape", programs))} if known else {}
    return prove(program, depth=0, map_at={4: programs}, calls=facts)


class Programs:
    """A prog array, filled with entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.map = make_map(PROG_ARRAY, 4, 4, resolve=lambda fd: Program(self.entries[fd].address))

    def put(self, index: int, entry: Entry) -> None:
        self.entries.append(entry)
        fd = len(self.entries) - 1
        self.map.update(index.to_bytes(4, "little"), fd.to_bytes(4, "little"))


@pytest.mark.parametrize("known", [True, False])
def test_a_tail_call_goes_on_in_the_other_program(engine: Engine, known: bool) -> None:
    programs, run = Programs(), Run()
    first = engine.compile(tail_calling(programs.map, 2, add=100, known=known))
    without = first(run.address, run.context.address)
    programs.put(2, engine.compile(tail_calling(programs.map, 99, add=1000)))

    assert without == 101
    assert first(run.address, run.context.address) == 1003
    assert run.get(TAIL_CALLS) == 1


def test_the_34th_tail_call_fails(engine: Engine) -> None:
    programs, run = Programs(), Run()
    endless = engine.compile(tail_calling(programs.map, 0, add=0))
    programs.put(0, endless)

    assert endless(run.address, run.context.address) == 34
    assert run.get(TAIL_CALLS) == 33


def test_programs_of_different_engines_call_each_other() -> None:
    programs, run = Programs(), Run()
    interpreted, compiled = ENGINES["interpreter"](), ENGINES["llvm"]()
    programs.put(0, interpreted.compile(tail_calling(programs.map, 1, add=10)))
    programs.put(1, compiled.compile(tail_calling(programs.map, 2, add=20)))
    programs.put(2, interpreted.compile(tail_calling(programs.map, 9, add=30)))
    first = compiled.compile(tail_calling(programs.map, 0, add=40))

    assert first(run.address, run.context.address) == 34


def test_a_tail_call_in_a_subprogram_answers_its_caller(engine: Engine) -> None:
    programs, run = Programs(), Run()
    programs.put(0, engine.compile(prove([slot("mov64_imm", 0, imm=7), EXIT])))
    program = [
        slot("call_local", imm=2),
        slot("add64_imm", 0, imm=100),
        EXIT,
        slot("ld_imm64_map_fd", 2),
        Insn(0),
        slot("mov64_imm", 3),
        slot("call_helper", imm=12),
        slot("mov64_imm", 0, imm=1),
        EXIT,
    ]
    parts = (Subprogram(0, 3, "main", 0), Subprogram(3, 9, "sub", 0, has_tail_call=True))
    proof = prove(program, subprograms=parts, map_at={3: programs.map})

    assert engine.compile(proof)(run.address, run.context.address) == 107


def looping(count: int, stop: int) -> Proof:
    """bpf_loop: the callback adds its number to a word of the caller's stack."""
    program = [
        slot("st_u64", 10, off=-8),
        slot("mov64_imm", 1, imm=count),
        slot("ld_imm64_func", 2),
        Insn(0),
        slot("mov64_reg", 3, 10),
        slot("add64_imm", 3, imm=-8),
        slot("mov64_imm", 4),
        slot("call_helper", imm=181),
        slot("ldx_u64", 1, 10, off=-8),
        slot("lsh64_imm", 1, imm=32),
        slot("or64_reg", 0, 1),
        EXIT,
        slot("ldx_u64", 3, 2),
        slot("add64_reg", 3, 1),
        slot("stx_u64", 2, 3),
        slot("mov64_imm", 0),
        slot("jne64_imm", 1, off=1, imm=stop),
        slot("mov64_imm", 0, imm=1),
        EXIT,
    ]
    parts = (Subprogram(0, 12, "main", 8), Subprogram(12, 19, "body", 0, is_callback=True))
    return prove(program, subprograms=parts, callback_at={2: 12}, calls={7: CallFact(181)})


def test_a_loop_calls_its_callback_until_it_says_1(engine: Engine) -> None:
    run = Run()

    assert engine.compile(looping(10, 99))(run.address, 0) == 45 << 32 | 10
    assert engine.compile(looping(10, 3))(run.address, 0) == 6 << 32 | 4


def test_a_callback_of_a_loop_is_inlined() -> None:
    text = LlvmEngine(HELPERS, library=LIBRARY).assembly(looping(10, 99))

    assert "call" not in text


@pytest.mark.parametrize(
    ("origin", "context", "kind"), [(Origin.SKB, SK_BUFF, "sched_cls"), (Origin.XDP, XDP_MD, "xdp")]
)
def test_a_batch_runs_every_packet(
    engine: Engine, origin: Origin, context: Context, kind: str
) -> None:
    """The program returns the packet's first byte and overwrites it."""
    data = context.native_base + 8 * context.field("data").slot
    program = [
        slot("ldx_u64", 2, 1, off=data),
        slot("ldx_u8", 0, 2),
        slot("st_u8", 2, imm=77),
        EXIT,
    ]
    entry = engine.compile(prove(program, depth=0, kind=kind))
    packets = [bytes([n, *range(20)]) for n in (3, 1, 250, 3)]
    run, batch = Run(), Batch(packets, context.native_size)
    run.put(ORIGIN, origin)
    entry.batch(run.address, batch.address, len(packets), batch.at("results"))

    assert batch.results() == [3, 1, 250, 3]
    assert batch.histogram() == [0, 1, 0, 3]
    assert batch.packets() == packets


class Batch:
    """Memory of one batch, laid out as skep.engine.batch says."""

    OFFSETS: ClassVar = {
        "block": 0, "addresses": 128, "lengths": 256, "context": 384, "template": 1024,
        "histogram": 2048, "results": 2176, "buffer": 2560, "packets": 3072,
    }  # fmt: skip

    def __init__(self, packets: Sequence[bytes], context_size: int) -> None:
        self.memory, self.sizes = Block(4096), [len(packet) for packet in packets]
        self.address = self.memory.address
        for offset, word in (
            (words.ADDRESSES, self.at("addresses")), (words.LENGTHS, self.at("lengths")),
            (words.CONTEXT, self.at("context")), (words.TEMPLATE, self.at("template")),
            (words.CONTEXT_SIZE, context_size), (words.HISTOGRAM, self.at("histogram")),
            (words.BINS, 4), (words.BUFFER, self.at("buffer")), (words.HEADROOM, 64),
            (words.BUFFER_SIZE, 256),
        ):  # fmt: skip
            self._put(offset, word, 8)
        where = self.OFFSETS["packets"]
        for n, packet in enumerate(packets):
            self.memory.view[where : where + len(packet)] = packet
            self._put(self.OFFSETS["addresses"] + 8 * n, self.address + where, 8)
            self._put(self.OFFSETS["lengths"] + 4 * n, len(packet), 4)
            where += len(packet)

    def at(self, name: str) -> int:
        return self.address + self.OFFSETS[name]

    def results(self) -> list[int]:
        return self._words("results", len(self.sizes))

    def histogram(self) -> list[int]:
        return self._words("histogram", 4)

    def packets(self) -> list[bytes]:
        data, found = bytes(self.memory.view[self.OFFSETS["packets"] :]), []
        for size in self.sizes:
            found.append(data[:size])
            data = data[size:]
        return found

    def _put(self, offset: int, value: int, size: int) -> None:
        self.memory.view[offset : offset + size] = value.to_bytes(size, "little")

    def _words(self, name: str, count: int) -> list[int]:
        start = self.OFFSETS[name]
        return list(struct.unpack_from(f"<{count}Q", self.memory.view, start))
