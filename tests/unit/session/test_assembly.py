"""Programs as text: what the directives say, and what is wrong with others."""

import base64
from pathlib import Path

import pytest

from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.errors import AssemblyError, BtfError
from skep.session.assembly import request_of
from skep.session.verdicts import verify_file
from skep.uapi.flags import AttachType, MapFlag, ProgFlag
from skep.verifier import verify

END = "\nr0 = 0\nexit\n"


def test_directives_say_what_prog_load_would() -> None:
    text = (
        ".type cgroup_sock_addr\n.name guard\n.license Dual BSD/GPL\n.attach cgroup_inet4_connect\n"
        ".flags strict_alignment test_state_freq\n.unprivileged\n.fds 7 8\nr0 = 1\nexit\n"
    )
    wanted = request_of(text, None)

    assert (wanted.program_type.name, wanted.name) == ("cgroup_sock_addr", "guard")
    assert wanted.expected_attach_type == AttachType.CGROUP_INET4_CONNECT
    assert wanted.prog_flags == ProgFlag.STRICT_ALIGNMENT | ProgFlag.TEST_STATE_FREQ
    assert (wanted.license, wanted.privileged, wanted.fd_array) == ("Dual BSD/GPL", False, [7, 8])


def test_a_map_has_sizes_a_name_and_what_else_is_said() -> None:
    text = (
        ".map 4 array_of_maps 4 4 2 outer inner=5\n.map 5 array 4 8 1 flags=rdonly_prog frozen=0a0b"
        + END
    )
    world = request_of(text, None).environment
    outer, inner = world.map_by_fd(4), world.map_by_fd(5)

    assert outer is not None
    assert inner is not None
    assert outer.inner is inner
    assert (inner.key_size, inner.value_size, inner.max_entries) == (4, 8, 1)
    assert inner.map_flags == MapFlag.RDONLY_PROG
    assert (inner.constant(0, 4), inner.value_address(8)) == (0x0B0A, None)


def test_a_field_is_found_in_the_values_of_a_map() -> None:
    text = (
        ".type sched_cls\n.map 3 array 4 12 4 locked field=bpf_spin_lock@8\n"
        "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[fd 3]\ncall bpf_map_lookup_elem\n"
        "if r0 == 0 goto out\nr6 = r0\nr1 = r0\nr1 += 8\ncall bpf_spin_lock\n"
        "r1 = r6\nr1 += 8\ncall bpf_spin_unlock\nout: r0 = 0\nexit"
    )

    verify(request_of(text, None))


def test_functions_have_prototypes() -> None:
    text = (
        ".func static main int\n.func global twice int int\n"
        "main: r1 = 2\ncall twice\nexit\ntwice: r0 = r1\nr0 += r1\nexit"
    )
    proof = verify(request_of(text, None))

    assert [(part.name, part.is_global) for part in proof.subprograms] == [
        ("main", False), ("twice", True),
    ]  # fmt: skip


def test_lines_are_repeated() -> None:
    wanted = request_of("r0 = 0\n.repeat 3\nr0 += {n}\n.end\nexit", None)

    assert [insn.imm for insn in wanted.insns] == [0, 0, 1, 2, 0]


def test_types_come_as_base64() -> None:
    build = Builder()
    main = build.function("main", build.prototype(build.integer("int", 4)), 0)
    encoded = base64.b64encode(build.to_bytes()).decode()
    text = f".btf 1 {encoded[:8]}\n.btf 1 {encoded[8:]}\n.types 1 0:{main}{END}"

    assert verify(request_of(text, None)).subprograms[0].name == "main"


def test_the_kernels_functions_are_called_by_name() -> None:
    kernel = Btf.parse(SHIPPED.read_bytes())
    wanted = request_of(".type sched_cls\ncall kfunc[bpf_rcu_read_lock]" + END, kernel)

    assert kernel.type(wanted.insns[0].imm).name == "bpf_rcu_read_lock"
    with pytest.raises(AssemblyError, match="no_such_function"):
        request_of("call kfunc[no_such_function]" + END, kernel)


def test_an_attach_target_is_named() -> None:
    kernel = Btf.parse(SHIPPED.read_bytes())
    wanted = request_of(".type tracing\n.attach trace_fentry bpf_fentry_test1" + END, kernel)

    assert kernel.type(wanted.attach_btf_id).name == "bpf_fentry_test1"


@pytest.mark.parametrize(("text", "word"), [
    (".nothing", ".nothing"), (".type nosuch", "nosuch"), (".type", ""), (".map 1 hash x 4 4", "4"),
    (".map 1 hash 4 4 1 colour=red", "colour=red"), (".map 1 heap 4 4 1", "heap"),
    (".map 1 array_of_maps 4 4 1 inner=9", "inner=9"), (".map 1 array 4 4 1 types=1:2:3", "1"),
    (".attach nowhere", "nowhere"), (".attach trace_fentry nosuch", "nosuch"),
    (".flags fast", "fast"), (".func extern f int", "extern"), (".func static f int", "f"),
    (".func static m float", "float"), (".btf 1 !!!", ".btf 1"), (".types 3", "3"),
    ("r0 = bogus", "bogus"), (".repeat x", ".repeat x"), (".repeat 3", ".repeat"),
    (".end", ".end"), (".map 1 array 4 4 1 frozen=xy", "frozen=xy"),
])  # fmt: skip
def test_what_is_wrong_is_named(text: str, word: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        request_of(f"{text}\nm: r0 = 0\nexit", None)

    assert caught.value.token == word


def test_malformed_types_are_refused() -> None:
    with pytest.raises(BtfError):
        request_of(".btf 1 AAAA" + END, None)


def test_a_text_is_a_file_like_any_object(tmp_path: Path) -> None:
    (tmp_path / "drop.s").write_text(".type xdp\nr0 = 1\nexit\n")
    (tmp_path / "bad.s").write_text("r0 = r5\nexit\n")
    (tmp_path / "broken.s").write_text("r0 =\n")
    found = {name: next(verify_file(tmp_path / f"{name}.s")) for name in ("drop", "bad", "broken")}

    assert (found["drop"].verdict, found["drop"].type, found["drop"].program) == (
        "accepted", "xdp", "drop",
    )  # fmt: skip
    assert (found["bad"].rule, found["bad"].insn) == ("register-initialised", 0)
    assert (found["broken"].verdict, found["broken"].reason) == ("error", None)
