"""PROG_TEST_RUN here and in the running kernel: results, packets, contexts and refusals."""

import ctypes
import random
import struct
from collections.abc import Iterator
from errno import EOPNOTSUPP

import pytest

from skep.syscall.subsystem import Subsystem
from skep.uapi import program_types
from skep.uapi.access import access
from skep.uapi.contexts import SK_BUFF, XDP_MD, Context, Points
from support.running_kernel import EXIT, RETURN_ONE, RunningKernel, insn, missing

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

PROG_LOAD, TEST_RUN = 5, 10
LOAD = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
MAC = bytes(6)
IPV4 = bytes.fromhex("4500002e000000004011000001020304050607080102000900000000") + bytes(18)
IPV6 = bytes.fromhex("600000000008114020010db8" + "00" * 11 + "01" + "fe80" + "00" * 13 + "02")
FRAMES = {
    "ipv4": MAC + MAC + b"\x08\x00" + IPV4,
    "ipv6": MAC + MAC + b"\x86\xdd" + IPV6 + bytes(8),
    "arp to all": b"\xff" * 6 + MAC + b"\x08\x06" + bytes(28),
    "multicast": b"\x01\x00\x5e\x00\x00\x01" + MAC + b"\x08\x00" + IPV4,
    "to another": b"\x02\x00\x00\x00\x00\x01" + MAC + b"\x08\x00" + IPV4,
    "llc": MAC + MAC + b"\x00\x10" + bytes(30),
    "novell": MAC + MAC + b"\x00\x10\xff\xff" + bytes(30),
    "header only": MAC + MAC + b"\x12\x34",
    "short ipv4": MAC + MAC + b"\x08\x00" + IPV4[:19],
    "short ipv6": MAC + MAC + b"\x86\xdd" + IPV6[:39],
    "too short": bytes(13),
    "nothing": b"",
    "large": MAC + MAC + b"\x08\x00" + IPV4 + bytes(3500),
    "larger": MAC + MAC + b"\x08\x00" + IPV4 + bytes(3800),
    "huge": MAC + MAC + b"\x08\x00" + IPV4 + bytes(9000),
}
SKB_TYPES = (1, 3, 4, 8, 10, 11, 12)
XDP = 6
STORE_MARK = insn(0x62, 1, 0, 8, 0x1234)
STORE_CB = insn(0x7A, 1, 0, 56, 0x77)


class Twins:
    """One program on both sides."""

    def __init__(self) -> None:
        self.kernel, self.skep = RunningKernel(), Subsystem()
        self.fds = (-1, -1)

    def load(self, kind: int, insns: bytes, attach_type: int = 0, flags: int = 0) -> None:
        self.close()
        code = ctypes.create_string_buffer(insns, len(insns))
        license_ = ctypes.create_string_buffer(b"GPL")
        attr = bytearray(168)
        struct.pack_into(
            "<IIQQ",
            attr,
            0,
            kind,
            len(insns) // 8,
            ctypes.addressof(code),
            ctypes.addressof(license_),
        )
        struct.pack_into("<I", attr, 44, flags)
        struct.pack_into("<I", attr, 68, attach_type)
        self.fds = (
            self.kernel.bpf(PROG_LOAD, bytearray(attr)),
            self.skep.bpf(PROG_LOAD, bytearray(attr)),
        )
        assert min(self.fds) >= 0, (self.fds, self.skep.last_error)

    def close(self) -> None:
        if self.fds[0] >= 0:
            self.kernel.close(self.fds[0])
        if self.fds[1] >= 0:
            self.skep.close(self.fds[1])
        self.fds = (-1, -1)

    def run(self, data: bytes = b"", **rest: object) -> tuple[object, object]:
        return (
            run(self.kernel.bpf, self.fds[0], data, **rest),
            run(self.skep.bpf, self.fds[1], data, **rest),
        )


@pytest.fixture
def twins() -> Iterator[Twins]:
    both = Twins()
    yield both
    both.close()


def run(
    bpf: object,
    fd: int,
    data: bytes,
    *,
    ctx: bytes = b"",
    out: int = 16384,
    ctx_out: int = 0,
    size_out: int | None = None,
    words: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> tuple[object, ...]:
    """Errno, retval, sizes, data and context; *words* are repeat, flags, cpu, batch_size."""
    packet, result = ctypes.create_string_buffer(data, len(data) + 1), (ctypes.c_char * (out + 1))()
    context, answer = ctypes.create_string_buffer(ctx, len(ctx) + 1), (ctypes.c_char * 512)()
    repeat, flags, cpu, batch = words
    attr = bytearray(
        struct.pack(
            "<IIIIQQIIIIQQIII4x",
            fd,
            0,
            len(data),
            out if size_out is None else size_out,
            ctypes.addressof(packet) if data else 0,
            ctypes.addressof(result) if out else 0,
            repeat,
            0,
            len(ctx),
            ctx_out,
            ctypes.addressof(context) if ctx else 0,
            ctypes.addressof(answer) if ctx_out else 0,
            flags,
            cpu,
            batch,
        )
    )
    errno = bpf(TEST_RUN, attr)  # type: ignore[operator]
    retval, size, ctx_size = (struct.unpack_from("<I", attr, at)[0] for at in (4, 12, 44))
    return errno, retval, size, ctx_size, result.raw, answer.raw, context.raw


def readable(kind: int, context: Context) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of what programs may load, pointers aside."""
    for offset in range(0, context.size, 4):
        for size in (1, 4, 8):
            field = access(context, kind, 0, offset, size, False)
            if field is not None and field.points is Points.SCALAR:
                yield field.name, offset, size


@pytest.mark.parametrize("kind", SKB_TYPES, ids=lambda kind: program_types.by_id(kind).name)
def test_fields_of_an_skb_are_those_of_the_kernel(twins: Twins, kind: int) -> None:
    different = []
    for name, offset, size in readable(kind, SK_BUFF):
        body = insn(LOAD[size], 0, 1, offset)
        if kind == 8:  # cgroup_skb returns 0 or 1: store the value where it comes back
            cb = insn(0xBF, 2, 0) + insn(0x7B, 1, 2, 56)
            twins.load(kind, body + cb + insn(0xB7, 0, 0, 0, 1) + EXIT)
        else:
            twins.load(kind, body + EXIT)
        for frame in ("ipv4", "ipv6", "arp to all", "multicast", "to another", "llc", "novell"):
            ctx = bytes(192)
            for given in (b"", ctx):
                theirs, ours = twins.run(FRAMES[frame], ctx=given, ctx_out=192 if given else 0)
                if theirs != ours:
                    different.append((name, offset, size, frame, theirs[:4], ours[:4]))

    assert not different, different[:20]


@pytest.mark.parametrize("kind", [*SKB_TYPES, XDP, 22], ids=lambda k: program_types.by_id(k).name)
def test_frames_of_all_sizes_answer_as_in_the_kernel(twins: Twins, kind: int) -> None:
    twins.load(kind, RETURN_ONE + EXIT)
    different = []
    for name, frame in FRAMES.items():
        for out, size_out in ((16384, None), (20, None), (16384, 0), (0, None), (0, 8)):
            theirs, ours = twins.run(frame, out=out, size_out=size_out)
            if theirs != ours:
                different.append((name, out, size_out, theirs[:4], ours[:4]))

    assert not different, different[:20]


@pytest.mark.parametrize("kind", SKB_TYPES, ids=lambda kind: program_types.by_id(kind).name)
def test_contexts_of_an_skb_answer_as_in_the_kernel(twins: Twins, kind: int) -> None:
    stores = b"" if kind == 1 else STORE_MARK
    twins.load(kind, stores + STORE_CB + RETURN_ONE + EXIT)
    rng, different = random.Random(kind), []
    for _ in range(400):
        ctx = bytearray(rng.choice((192, 192, 192, 192, 8, 100, 191, 200, 256)))
        for _ in range(rng.choice((0, 1, 1, 2))):
            at = 4 * rng.randrange(len(ctx) // 4)
            value = rng.choice((1, 2, 54, 60, 65535, 65536, 70000, 2**32 - 1))
            struct.pack_into("<I", ctx, at, value)
        ctx_out = rng.choice((0, 192, 192, 192, 100, 300))
        words = rng.choice(((0, 0, 0, 0), (0, 0, 0, 0), (3, 0, 0, 0), (1, 1, 0, 0), (1, 4, 0, 0)))
        theirs, ours = twins.run(
            FRAMES[rng.choice(("ipv4", "ipv6"))], ctx=bytes(ctx), ctx_out=ctx_out, words=words
        )
        if theirs != ours:
            different.append((bytes(ctx).hex(), ctx_out, words, theirs[:4], ours[:4]))

    assert not different, different[:20]


def test_contexts_of_xdp_answer_as_in_the_kernel(twins: Twins) -> None:
    loads = insn(0x61, 2, 1, 0) + insn(0x61, 3, 1, 4) + insn(0x61, 4, 1, 8)
    size = insn(0xBF, 0, 3) + insn(0x1F, 0, 2) + insn(0x67, 0, 0, 0, 12)
    meta = insn(0xBF, 5, 2) + insn(0x1F, 5, 4) + insn(0x4F, 0, 5)
    twins.load(XDP, loads + size + meta + EXIT)
    rng, different = random.Random(1), []
    for _ in range(400):
        ctx = bytearray(rng.choice((24, 24, 24, 24, 8, 20, 32)))
        frame = rng.choice([*FRAMES.values()])
        end = rng.choice((len(frame), len(frame), len(frame), 14, 0, len(frame) + 1))
        words = [rng.choice((0, 4, 8, 32, 252, 3, 216, 220)), end, 0, 0, 0, 0]
        if rng.random() < 0.3:
            words[rng.choice((2, 3, 4, 5))] = rng.choice((1, 7777))
        struct.pack_into(f"<{min(len(ctx) // 4, 6)}I", ctx, 0, *words[: len(ctx) // 4])
        ctx_out, run_words = rng.choice((0, 24, 24, 12)), rng.choice(((0, 0, 0, 0), (2, 0, 0, 0)))
        theirs, ours = twins.run(frame, ctx=bytes(ctx), ctx_out=ctx_out, words=run_words)
        if theirs != ours:
            different.append((words, len(ctx), len(frame), theirs[:4], ours[:4]))

    assert not different, different[:20]


def test_fields_of_xdp_are_those_of_the_kernel(twins: Twins) -> None:
    for name, offset, size in readable(XDP, XDP_MD):
        twins.load(XDP, insn(LOAD[size], 0, 1, offset) + EXIT)
        theirs, ours = twins.run(FRAMES["ipv4"])

        assert theirs == ours, name


@pytest.mark.parametrize(
    ("offset", "size"), [(4, 4), (24, 4), (28, 4), (44, 4), (48, 2), (52, 4), (72, 4), (76, 4)]
)
def test_the_socket_of_an_skb_is_that_of_the_kernel(twins: Twins, offset: int, size: int) -> None:
    common = insn(0x79, 0, 1, 168) + insn(0x55, 0, 0, 2, 0) + RETURN_ONE + EXIT
    code = insn(LOAD[size], 0, 0, offset) + EXIT
    twins.load(3, common + code)
    for frame in ("ipv4", "ipv6", "arp to all"):
        theirs, ours = twins.run(FRAMES[frame])

        assert theirs == ours


def test_flow_dissectors_answer_as_in_the_kernel(twins: Twins) -> None:
    keys = insn(0x79, 2, 1, 144)
    bodies = [
        keys + insn(0x6A, 2, 0, 0, nhoff) + insn(0x6A, 2, 0, 2, thoff) + insn(0x62, 2, 0, 16, 99)
        for nhoff in (0, 14, 20, 5000)
        for thoff in (0, 14, 34, 54, 60000)
    ]
    for body in bodies:
        twins.load(22, body + RETURN_ONE + EXIT)
        for flags in (0, 1, 7):
            ctx = bytes(48) + struct.pack("<II", flags, 0)
            theirs, ours = twins.run(FRAMES["ipv4"], ctx=ctx, ctx_out=56)

            assert theirs == ours
        theirs, ours = twins.run(FRAMES["ipv4"], ctx=b"\1" * 56)

        assert theirs == ours


def test_socket_look_ups_answer_as_in_the_kernel(twins: Twins) -> None:
    rng, different = random.Random(2), []
    for offset in (8, 12, 16, 20, 36, 40, 44, 60, 64):
        low_bit = insn(LOAD[4], 0, 1, offset) + insn(0x57, 0, 0, 0, 1)
        twins.load(30, low_bit + EXIT, attach_type=36)
        for _ in range(60):
            ctx = bytearray(rng.choice((72, 72, 72, 40, 80)))
            struct.pack_into("<QII", ctx, 0, 0, rng.choice((2, 10, 1)), rng.choice((6, 17)))
            at = 4 * rng.randrange(len(ctx) // 4)
            struct.pack_into("<I", ctx, at, rng.choice((1, 2, 10, 80, 70000)))
            ctx_out = rng.choice((0, 72, 72, 8))
            data = rng.choice((b"", b"", b"", b"x"))
            theirs, ours = twins.run(
                data, out=rng.choice((0, 0, 0, 5)), ctx=bytes(ctx), ctx_out=ctx_out
            )
            if theirs != ours:
                different.append((offset, bytes(ctx).hex(), ctx_out, theirs[:4], ours[:4]))

    assert not different, different[:20]


@pytest.mark.parametrize(("kind", "flags"), [(17, 0), (31, 1 << 4)])
def test_programs_on_plain_words_answer_as_in_the_kernel(
    twins: Twins, kind: int, flags: int
) -> None:
    rng, different = random.Random(kind), []
    for offset in (0, 8, 40, 88):
        store = insn(0x7A, 1, 0, 0, 5) if kind == 31 else b""
        twins.load(kind, insn(0x79, 0, 1, offset) + store + EXIT, flags=flags)
        for _ in range(80):
            ctx = rng.randbytes(rng.choice((0, 8, 16, 48, 96, 96, 104, 4)))
            words = rng.choice(
                ((0, 0, 0, 0), (0, 0, 0, 0), (2, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0))
            )
            theirs, ours = twins.run(
                rng.choice((b"", b"", b"", b"x")),
                out=rng.choice((0, 0, 0, 8)),
                ctx=ctx,
                ctx_out=rng.choice((0, 0, 0, 8)),
                words=tuple(words),
            )
            if theirs != ours:
                different.append((offset, len(ctx), words, theirs[:4], ours[:4]))

    assert not different, different[:20]


def test_types_without_test_runs_are_refused_as_in_the_kernel(twins: Twins) -> None:
    different = []
    for row in program_types.PROGRAM_TYPES:
        if not row.context or row.name == "lirc_mode2":
            continue
        attach_type = row.attach_types[0] if row.attach_checked else 0
        twins.load(row.id, RETURN_ONE + EXIT, attach_type, (1 << 4) if row.sleepable_only else 0)
        theirs, ours = twins.run(b"")
        if theirs[0] != ours[0] and ours[0] != -EOPNOTSUPP:
            different.append((row.name, theirs[0], ours[0]))

    assert not different, different
