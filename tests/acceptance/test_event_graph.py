"""The draft's picture of events, programs and maps, drawn with its own calls::

    tracepoint  tracepoint  tracepoint    sk_buff    sk_buff
     event A     event B     event C      on eth0    on eth1
      |             |          |            |          |
      --> tracing <--      tracing       socket      socket
           prog_1           prog_2       prog_3      prog_4
           |  |               |            |
        |---  -----|  |-------|           map_3
      map_1       map_2

Packets come over two pairs of virtual devices in a network namespace of the test's own, and, where
there may be none, from a capture.
"""

import ctypes
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from skep.attach.packets import Batch
from skep.compat2014 import (
    BPF_ADD,
    BPF_ALU64_IMM,
    BPF_CALL_FUNC,
    BPF_DW,
    BPF_EXIT_INSN,
    BPF_H,
    BPF_JEQ,
    BPF_JMP_IMM,
    BPF_JNE,
    BPF_LD_ABS,
    BPF_LD_MAP_FD,
    BPF_MAP_TYPE_HASH,
    BPF_MOV64_IMM,
    BPF_MOV64_REG,
    BPF_PROG_TYPE_SOCKET,
    BPF_PROG_TYPE_TRACING_2014,
    BPF_REG_0,
    BPF_REG_1,
    BPF_REG_2,
    BPF_REG_6,
    BPF_REG_10,
    BPF_ST_MEM,
    BPF_W,
    BPF_XADD,
    SO_ATTACH_BPF,
    SOL_SOCKET,
    Bpf2014,
    BPF_FUNC_map_lookup_elem,
)
from skep.isa.insn import Insn
from skep.session.replay import PacketRunner
from skep.syscall.loaded import LoadedProgram
from skep.syscall.objects import Kind

Groups = list[list[Insn]]
OURS = 0x88B5  # an Ethernet type for experiments
FRAME = b"\xff" * 6 + bytes(6) + OURS.to_bytes(2, "big") + bytes(50)
OTHER = FRAME[:12] + b"\x08\x06" + FRAME[14:]
RETURNED = 7
Deliver = Callable[[Bpf2014, int, int], "tuple[Counter[int], Counter[int]]"]


def add_one(map_fd: int, key: int) -> Groups:
    """map[key] += 1."""
    return [
        BPF_ST_MEM(BPF_W, BPF_REG_10, -4, key),
        BPF_LD_MAP_FD(BPF_REG_1, map_fd),
        BPF_MOV64_REG(BPF_REG_2, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -4),
        BPF_CALL_FUNC(BPF_FUNC_map_lookup_elem),
        BPF_JMP_IMM(BPF_JEQ, BPF_REG_0, 0, 2),
        BPF_MOV64_IMM(BPF_REG_1, 1),
        BPF_XADD(BPF_DW, BPF_REG_0, BPF_REG_1, 0, 0),
    ]


def returning(groups: Groups, value: int) -> Groups:
    return [*groups, BPF_MOV64_IMM(BPF_REG_0, value), BPF_EXIT_INSN()]


def of_our_type(groups: Groups) -> Groups:
    """*groups*, which end in exit, for frames of our type; others return 0."""
    skip = sum(map(len, groups))
    return [
        BPF_MOV64_REG(BPF_REG_6, BPF_REG_1),
        BPF_LD_ABS(BPF_H, 12),
        BPF_JMP_IMM(BPF_JNE, BPF_REG_0, OURS, skip),
        *groups,
        *returning([], 0),
    ]


def new_map(bpf: Bpf2014) -> int:
    fd = bpf.bpf_create_map(BPF_MAP_TYPE_HASH, 4, 8, 2)
    for key in range(2):
        assert bpf.bpf_update_elem(fd, ctypes.c_int(key), ctypes.c_longlong(0)) == 0
    return fd


def load(bpf: Bpf2014, kind: int, groups: Groups) -> int:
    program = bpf.bpf_prog_load(kind, groups, sum(map(len, groups)), "GPL")
    assert program >= 0, bpf.bpf_log_buf
    return program


def counts(bpf: Bpf2014, map_fd: int) -> tuple[int, int]:
    value, found = ctypes.c_longlong(), []
    for key in range(2):
        assert bpf.bpf_lookup_elem(map_fd, ctypes.c_int(key), value) == 0
        found.append(value.value)
    return found[0], found[1]


def draw(deliver: Deliver) -> None:
    """Make the graph, let all events happen, and look at the maps."""
    bpf = Bpf2014()
    points = bpf.subsystem.state.world.tracepoints
    a, b, c = (points.declare(f"draft:{name}", "u64 value") for name in ("a", "b", "c"))
    map_1, map_2, map_3 = (new_map(bpf) for _ in range(3))
    prog_1 = load(bpf, BPF_PROG_TYPE_TRACING_2014,
                  returning(add_one(map_1, 0) + add_one(map_2, 0), 0))  # fmt: skip
    prog_2 = load(bpf, BPF_PROG_TYPE_TRACING_2014, returning(add_one(map_2, 1), 0))
    prog_3 = load(bpf, BPF_PROG_TYPE_SOCKET, of_our_type(returning(add_one(map_3, 0), RETURNED)))
    prog_4 = load(bpf, BPF_PROG_TYPE_SOCKET, returning([], RETURNED))
    for point, program in ((a, prog_1), (b, prog_1), (c, prog_2)):
        event_fd = bpf.open(f"/sys/kernel/debug/tracing/events/draft/{point.name}/filter")
        assert bpf.write(event_fd, f"bpf-{program}".encode()) > 0
    for point, times in ((a, 2), (b, 3), (c, 7)):
        for _ in range(times):
            point.fire(0)
    on_eth0, on_eth1 = deliver(bpf, prog_3, prog_4)

    assert counts(bpf, map_1) == (5, 0)
    assert counts(bpf, map_2) == (5, 7)
    assert counts(bpf, map_3) == (11, 0)
    assert (on_eth0[RETURNED], on_eth1[RETURNED]) == (11, 13)


def from_a_capture(bpf: Bpf2014, prog_3: int, prog_4: int) -> tuple[Counter[int], Counter[int]]:
    return run(bpf, prog_3, [FRAME] * 11 + [OTHER]), run(bpf, prog_4, [FRAME] * 13)


def run(bpf: Bpf2014, program: int, frames: list[bytes]) -> Counter[int]:
    target = bpf.subsystem.state.objects.get("TEST", program, Kind.PROG).target
    assert isinstance(target, LoadedProgram)
    memory = ctypes.create_string_buffer(b"".join(frames))
    batch = Batch(memory)
    for at, frame in enumerate(frames):
        batch.add(ctypes.addressof(memory) + at * len(FRAME), len(frame))
    return PacketRunner(bpf.subsystem.state, target).run(batch)


def over_devices(bpf: Bpf2014, prog_3: int, prog_4: int) -> tuple[Counter[int], Counter[int]]:
    sockets = []
    for name, program in (("eth0", prog_3), ("eth1", prog_4)):
        sock = bpf.open_raw_sock(name)
        assert sock.setsockopt(SOL_SOCKET, SO_ATTACH_BPF, program) == 0
        sockets.append(sock)
    for name, times in (("far0", 11), ("far1", 13)):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind((name, 0))
            for _ in range(times):
                sender.send(FRAME)
    deadline = time.monotonic() + 10  # a busy machine delivers late
    while (sockets[0].results[RETURNED], sockets[1].results[RETURNED]) != (11, 13):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    for sock in sockets:
        sock.close()
    return sockets[0].results, sockets[1].results


def on_devices() -> None:
    """The graph in a network namespace of this process's own, which has nothing but the test's."""
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w") as quiet:  # noqa: PTH123
        quiet.write("1")
    for number in range(2):
        pair = f"link add eth{number} type veth peer name far{number}"
        for words in (pair, f"link set eth{number} up", f"link set far{number} up"):
            subprocess.run(["ip", *words.split()], check=True)
    draw(over_devices)
    print("drawn")


@pytest.mark.acceptance("M9")
def test_the_graph_with_packets_of_a_capture() -> None:
    draw(from_a_capture)


@pytest.mark.acceptance("M9", "M34")
@pytest.mark.skipif(shutil.which("ip") is None, reason="there is no ip(8) to make devices with")
def test_the_graph_with_packets_of_two_devices() -> None:
    script = (
        "from skep.attach.namespace import enter_own_network\n"
        "from skep.errors import NotSupported\n"
        "import runpy, sys\n"
        "try:\n    enter_own_network()\n"
        "except NotSupported as error:\n    print('no:', error)\n    sys.exit()\n"
        f"runpy.run_path({__file__!r})['on_devices']()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    if done.stdout.startswith("no:") or "Operation not permitted" in done.stderr:
        pytest.skip((done.stdout + done.stderr).strip())

    assert (done.stdout, done.stderr) == ("drawn\n", "")
