"""Whatever bytes an object file holds, reading it gives a spec or a typed error."""

import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from skep.btf.kernel import kernel_btf
from skep.errors import BpfError
from skep.loader.load import LoadedObject
from skep.loader.reader import read_object
from skep.loader.spec import ObjectSpec
from skep.loader.target import Target

OBJECTS = Path(__file__).parents[1] / "objects"
NAMES = ("counter", "maps", "externs", "legacy", "core", "ops", "throws")
TARGET = Target(kernel_btf(), 0x061200, dict, cpus=2)
ROUNDS = int(os.environ.get("SKEP_FUZZ", "100"))


def sections(data: bytes) -> list[tuple[int, int]]:
    """Where the parts of the file lie: mutations there are worth more than in between."""
    start = int.from_bytes(data[40:48], "little")
    count = int.from_bytes(data[60:62], "little")
    found = [(0, 64), (start, count * 64)]
    for at in range(start, start + count * 64, 64):
        offset = int.from_bytes(data[at + 24 : at + 32], "little")
        size = int.from_bytes(data[at + 32 : at + 40], "little")
        if size and offset + size <= len(data):
            found.append((offset, size))
    return found


def mutate(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    places = sections(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        offset, size = chance.choice(places)
        at = offset + chance.randrange(size)
        value = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        width = chance.choice((1, 1, 2, 4))
        changed[at : at + width] = bytes((value,)) * len(changed[at : at + width])
    if chance.random() < 0.1:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


class Yes:
    """A bpf(2) that grants everything."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.count = 0

    def bpf(self, cmd: int, _attr: bytearray, /) -> int:
        if cmd not in {0, 5, 18}:
            return 0
        self.count += 1
        self.open.add(self.count)
        return self.count

    def close(self, fd: int, /) -> None:
        self.open.remove(fd)


def load_all(spec: ObjectSpec) -> None:
    """Make all commands for an object, as far as it goes; nothing may stay open."""
    syscall = Yes()
    try:
        with LoadedObject(spec, syscall, TARGET) as loaded:
            for program in spec.programs:
                with suppress(BpfError):
                    loaded.load_program(program)
    except BpfError:
        pass
    assert not syscall.open


@pytest.mark.parametrize("name", NAMES)
def test_mutated_objects_give_a_spec_or_a_typed_error(name: str) -> None:
    data = (OBJECTS / f"{name}.bpf.o").read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for seed in range(ROUNDS):
        mutant = mutate(data, random.Random(seed))
        try:
            spec = read_object(mutant, name)
        except BpfError:
            outcomes["refused"] += 1
        except Exception as error:
            error.add_note(f"{name}, seed {seed}")
            raise
        else:
            outcomes["read"] += 1
            load_all(spec)

    assert min(outcomes.values()) > 0, outcomes


@pytest.mark.parametrize("name", NAMES)
def test_objects_cut_off_anywhere_give_a_spec_or_a_typed_error(name: str) -> None:
    data = (OBJECTS / f"{name}.bpf.o").read_bytes()
    for size in range(0, len(data), max(1, len(data) // 100)):
        with pytest.raises(BpfError):
            read_object(data[:size], name)
