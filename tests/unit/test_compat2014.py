"""The example of the 2014 draft of bpf(2), in its own words, with real datagrams."""

import ctypes
import errno
import socket
import subprocess
import sys

import pytest

from skep.compat2014 import (
    BPF_ADD,
    BPF_ALU64_IMM,
    BPF_B,
    BPF_CALL_FUNC,
    BPF_DW,
    BPF_EXIT_INSN,
    BPF_JEQ,
    BPF_JMP_IMM,
    BPF_LD_ABS,
    BPF_LD_MAP_FD,
    BPF_MAP_TYPE_HASH,
    BPF_MOV64_IMM,
    BPF_MOV64_REG,
    BPF_PROG_TYPE_SOCKET,
    BPF_REG_0,
    BPF_REG_1,
    BPF_REG_2,
    BPF_REG_6,
    BPF_REG_10,
    BPF_STX_MEM,
    BPF_W,
    BPF_XADD,
    SO_ATTACH_BPF,
    SOL_SOCKET,
    Bpf2014,
    BPF_FUNC_map_lookup_elem,
)
from skep.isa.insn import Insn


def counting_program(map_fd: int) -> list[list[Insn]]:
    """map[skb->ip->proto]++, as the draft writes it."""
    return [
        BPF_MOV64_REG(BPF_REG_6, BPF_REG_1),
        BPF_LD_ABS(BPF_B, 14 + 9),
        BPF_STX_MEM(BPF_W, BPF_REG_10, BPF_REG_0, -4),
        BPF_MOV64_REG(BPF_REG_2, BPF_REG_10),
        BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -4),
        BPF_LD_MAP_FD(BPF_REG_1, map_fd),
        BPF_CALL_FUNC(BPF_FUNC_map_lookup_elem),
        BPF_JMP_IMM(BPF_JEQ, BPF_REG_0, 0, 2),
        BPF_MOV64_IMM(BPF_REG_1, 1),
        BPF_XADD(BPF_DW, BPF_REG_0, BPF_REG_1, 0, 0),
        BPF_MOV64_IMM(BPF_REG_0, 0),
        BPF_EXIT_INSN(),
    ]


def count_datagrams() -> tuple[int, int]:
    """TCP and UDP packets that the draft's program counts while five datagrams cross lo."""
    bpf = Bpf2014()
    key, value, seen = ctypes.c_int(), ctypes.c_longlong(0), ctypes.c_longlong()
    map_fd = bpf.bpf_create_map(BPF_MAP_TYPE_HASH, 4, 8, 2)
    for protocol in (6, 17):
        key.value = protocol
        assert bpf.bpf_update_elem(map_fd, key, value) == 0
    prog_fd = bpf.bpf_prog_load(BPF_PROG_TYPE_SOCKET, counting_program(map_fd), 13, "GPL")
    assert prog_fd >= 0, bpf.bpf_log_buf
    sock = bpf.open_raw_sock("lo")
    sock.setsockopt(SOL_SOCKET, SO_ATTACH_BPF, prog_fd)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        for _ in range(5):
            sender.sendto(b"datagram", sender.getsockname())
    sock.close()
    counts = []
    for protocol in (6, 17):
        assert bpf.bpf_lookup_elem(map_fd, ctypes.c_int(protocol), seen) == 0
        counts.append(seen.value)
    return counts[0], counts[1]


@pytest.mark.acceptance("M13", "M37")
def test_the_draft_counts_what_the_kernel_counts() -> None:
    """Five datagrams over lo are ten packets: 6.18 says UDP 10, TCP 0."""
    script = (
        "from skep.attach.namespace import enter_own_network\n"
        "from skep.errors import NotSupported\n"
        "import runpy, sys\n"
        "try:\n    enter_own_network()\n"
        "except NotSupported as error:\n    print('no:', error)\n    sys.exit()\n"
        f"print(runpy.run_path({__file__!r})['count_datagrams']())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    if done.stdout.startswith("no:"):
        pytest.skip(done.stdout.strip())

    assert (done.stdout, done.stderr) == ("(0, 10)\n", "")


@pytest.mark.acceptance("M13", "M38")
def test_the_wrappers_answer_minus_one_and_errno() -> None:
    bpf = Bpf2014()
    key, value = ctypes.c_int(1), ctypes.c_longlong()
    map_fd = bpf.bpf_create_map(BPF_MAP_TYPE_HASH, 4, 8, 1)

    assert (bpf.bpf_lookup_elem(map_fd, key, value), bpf.errno) == (-1, errno.ENOENT)
    assert bpf.bpf_update_elem(map_fd, key, value) == 0
    assert bpf.bpf_get_next_key(map_fd, ctypes.c_int(9), key) == 0
    assert (bpf.bpf_get_next_key(map_fd, key, key), bpf.errno) == (-1, errno.ENOENT)
    assert bpf.bpf_update_elem(map_fd, ctypes.c_int(2), value) == -1
    assert bpf.errno == errno.E2BIG
    assert bpf.bpf_delete_elem(map_fd, key) == 0
    assert (bpf.bpf_create_map(0, 4, 8, 1), bpf.errno) == (-1, errno.EINVAL)


@pytest.mark.acceptance("M13")
def test_an_unsafe_program_leaves_its_reason_in_the_log() -> None:
    bpf = Bpf2014()
    prog = [BPF_MOV64_REG(BPF_REG_0, BPF_REG_2), BPF_EXIT_INSN()]

    assert bpf.bpf_prog_load(BPF_PROG_TYPE_SOCKET, prog, 2, "GPL") == -1
    assert bpf.errno == errno.EACCES
    assert "R2 !read_ok" in bpf.bpf_log_buf
