"""Iterator programs in assembly, for tests and for the comparison with the running kernel."""

from typing import Final

from skep.btf.graph import Btf
from skep.btf.kinds import Kind

TRACING: Final = 26
TRACE_ITER: Final = 28


def target_id(btf: Btf, target: str) -> int:
    """The attach_btf_id of programs that iterate over *target*."""
    found = btf.by_name(f"bpf_iter_{target}", Kind.FUNC)
    assert found, target
    return found


def offset(btf: Btf, struct: str, path: str) -> int:
    """Where the member at *path* of *struct* lies."""
    found = btf.by_name(struct, Kind.STRUCT)
    assert found, struct
    return btf.member_path(found, path).offset


def write(size: int, at: str = "r10 - 32") -> str:
    """Code that writes *size* bytes of the stack; r6 holds the context."""
    register, _, distance = at.partition(" - ")
    return f"""
        r1 = *(u64 *)(r6 + 0)
        r1 = *(u64 *)(r1 + 0)
        r2 = {register}
        r2 += -{distance}
        r3 = {size}
        call 127"""


def numbers(btf: Btf, struct: str, *paths: str) -> str:
    """A program that writes seq_num and 32-bit members of each object; 8 bytes of ff at the end."""
    loads = "\n".join(
        f"r1 = *(u32 *)(r7 + {offset(btf, struct, path)})\n*(u32 *)(r10 - {24 - 4 * at}) = r1"
        for at, path in enumerate(paths)
    )
    size = 8 + 4 * len(paths)
    return f"""
        r6 = r1
        r7 = *(u64 *)(r6 + 8)
        if r7 == 0 goto last
        r1 = *(u64 *)(r6 + 0)
        r1 = *(u64 *)(r1 + {offset(btf, "bpf_iter_meta", "seq_num")})
        *(u64 *)(r10 - 32) = r1
        {loads}
        {write(size)}
        r0 = 0
        exit
        last:
        r1 = -1
        *(u64 *)(r10 - 32) = r1
        {write(8)}
        r0 = 0
        exit"""


def elements(key: int, value: int) -> str:
    """A program that writes each key and value of a map, in *key* and *value* bytes of 4 or 8."""
    return f"""
        r6 = r1
        r7 = *(u64 *)(r6 + 16)
        r8 = *(u64 *)(r6 + 24)
        if r7 == 0 goto last
        if r8 == 0 goto last
        r1 = *(u{8 * key} *)(r7 + 0)
        *(u64 *)(r10 - 32) = r1
        r1 = *(u{8 * value} *)(r8 + 0)
        *(u64 *)(r10 - 24) = r1
        {write(16)}
        r0 = 0
        exit
        last:
        r1 = -1
        *(u64 *)(r10 - 32) = r1
        {write(8)}
        r0 = 0
        exit"""
