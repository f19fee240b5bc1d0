"""A caller that attaches: programs that return a number, commands on hooks, what stands there."""

import ctypes
import struct

from skep.uapi import commands
from skep.uapi.flags import AttachType, ProgType
from support.caller import EXIT, Caller, insn

SAMPLE = bytes(range(12)) + b"\x88\xb5" + bytes(50)  # a frame of no known protocol
IPV4 = (
    bytes(12) + b"\x08\x00" + bytes.fromhex("4500002800010000400600007f0000017f000001") + bytes(20)
)


class HookCaller(Caller):
    """See the module."""

    def returning(self, value: int, kind: int, attach_type: int = 0) -> int:
        """A new program that returns *value*."""
        code = insn(0xB7, imm=value) + EXIT
        fd = self.program(code, kind, expected_attach_type=attach_type)
        assert fd >= 0, self.subsystem.last_error
        return fd

    def classifier(self, value: int = 0) -> int:
        """A new classifier that returns *value*."""
        return self.returning(value, ProgType.SCHED_CLS)

    def attach(self, target: int, prog: int, as_: AttachType, **members: int) -> int:
        """PROG_ATTACH."""
        return self.call(
            commands.PROG_ATTACH, target_fd=target, attach_bpf_fd=prog, attach_type=as_, **members
        )

    def detach(self, target: int, prog: int, as_: AttachType, **members: int) -> int:
        """PROG_DETACH."""
        return self.call(
            commands.PROG_DETACH, target_fd=target, attach_bpf_fd=prog, attach_type=as_, **members
        )

    def link(self, target: int, prog: int, as_: AttachType, **members: int) -> int:
        """LINK_CREATE."""
        return self.call(
            commands.LINK_CREATE, target_fd=target, prog_fd=prog, attach_type=as_, **members
        )

    def good_link(self, target: int, prog: int, as_: AttachType, **members: int) -> int:
        """LINK_CREATE, which must succeed."""
        fd = self.link(target, prog, as_, **members)
        assert fd >= 0, self.subsystem.last_error
        return fd

    def update(self, link: int, new: int, **members: int) -> int:
        """LINK_UPDATE."""
        return self.call(commands.LINK_UPDATE, link_fd=link, new_prog_fd=new, **members)

    def unlink(self, link: int) -> int:
        """LINK_DETACH."""
        return self.call(commands.LINK_DETACH, link_fd=link)

    def ids(self, target: int, as_: AttachType, flags: int = 0) -> list[int]:
        """PROG_QUERY: ids of the programs on a hook, in order; what else it says is in ``attr``."""
        place = self.keep(b"", 4 * 80)
        found = self.call(
            commands.PROG_QUERY, target_fd=target, attach_type=as_, query_flags=flags,
            prog_ids=place, prog_cnt=80,
        )  # fmt: skip
        assert found == 0, self.subsystem.last_error
        count = self.attr.prog_cnt  # type: ignore[attr-defined]  # a ProgQuery
        return list(struct.unpack(f"<{count}I", ctypes.string_at(place, 4 * count)))

    def id_of(self, fd: int) -> int:
        """The id of the program, map or link that *fd* names."""
        place = self.keep(b"", 256)
        found = self.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=fd, info_len=64, info=place)
        assert found == 0, self.subsystem.last_error
        return int.from_bytes(ctypes.string_at(place + 4, 4), "little")

    def words(self, fd: int) -> tuple[int, ...]:
        """The info of *fd* as sixteen 32-bit words."""
        place = self.keep(b"", 64)
        found = self.call(commands.OBJ_GET_INFO_BY_FD, bpf_fd=fd, info_len=64, info=place)
        assert found == 0, self.subsystem.last_error
        return struct.unpack("<16I", ctypes.string_at(place, 64))
