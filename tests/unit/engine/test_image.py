"""Images hold a program's slots, and behind them what slots lead to."""

import pytest

from skep.engine.interface import HelperCode
from skep.engine.llvm.handlers import GUARDED
from skep.engine.llvm.image import Function, Reach, write
from skep.errors import NotSupported
from skep.isa.codec import encode
from skep.isa.insn import Insn
from skep.isa.table import slot
from skep.verifier.interface import Memory, Proof
from support.proofs import prove

EXIT = slot("exit")
HELPERS = {5: HelperCode(5, upcall=lambda *_: 0), 7: HelperCode(7, upcall=lambda *_: 0)}


def image(proof: Proof, objects: tuple[int, int] = (0, 0)) -> list[bytes]:
    """Words of the image."""

    def address_of(code: Function) -> int:
        assert isinstance(code, HelperCode)
        return 0x1000 + code.id

    whole = write(proof, Reach(HELPERS, {}, address_of, objects), lambda start: 0x7000 + start)
    return [whole[place : place + 8] for place in range(0, len(whole), 8)]


def distance(word: bytes) -> int:
    return int.from_bytes(word[4:], "little", signed=True) // 8


def test_plain_instructions_stay_as_they_are() -> None:
    insns = [slot("mov64_imm", 0, imm=-7), slot("ldx_u8", 1, 10, off=-8), EXIT]

    assert b"".join(image(prove(insns))) == encode(insns)


def test_calls_lead_to_the_address_of_what_they_call() -> None:
    calls = [slot("call_helper", imm=helper) for helper in (5, 7, 5)]
    words = image(prove([*calls, EXIT]))
    targets = [int.from_bytes(words[pc + distance(words[pc])], "little") for pc in range(3)]

    assert targets == [0x1005, 0x1007, 0x1005]
    assert len(words) == 4 + 2 * 2  # calls of one helper share it


def test_what_no_path_reaches_ends_the_process_and_is_not_missed() -> None:
    insns = [slot("ja", off=1), slot("call_helper", imm=999), EXIT]
    words = image(prove(insns, seen=bytes([1, 0, 1])))

    assert [word[0] for word in words] == [insns[0].code, 0, EXIT.code]


def test_a_load_of_a_kernel_object_leads_to_the_bounds_of_their_region() -> None:
    load = slot("ldx_u32", 3, 4, off=-2)
    words = image(prove([load, EXIT], memory=bytes([Memory.BTF, 0])), objects=(4096, 100))

    assert words[0][:4] == bytes([load.code ^ GUARDED]) + encode([load])[1:4]
    bounds = words[distance(words[0]) :]
    assert [int.from_bytes(word, "little") for word in bounds] == [4096, 4196]


def test_a_callback_is_the_address_of_its_entrance() -> None:
    insns = [slot("ld_imm64_func", 2, imm=2), Insn(0), EXIT]
    words = image(prove(insns, seen=bytes([1, 0, 1]), callback_at={0: 2}))

    assert words[0] == bytes([0x18, 2, 0, 0]) + (0x7002).to_bytes(4, "little")
    assert words[1] == bytes(8)


def test_a_helper_without_code_is_refused_by_name() -> None:
    with pytest.raises(NotSupported, match="map_lookup_elem"):
        image(prove([slot("call_helper", imm=1), EXIT]))
