"""Offsets of the info structs, as in the kernel's headers."""

import pytest

from skep.base.layout import Layout
from skep.uapi.infos import BtfInfo, LinkInfo, MapInfo, ProgInfo


@pytest.mark.parametrize(
    ("layout", "member", "offset"),
    [
        (ProgInfo, "load_time", 40),
        (ProgInfo, "name", 64),
        (ProgInfo, "gpl_compatible", 84),
        (ProgInfo, "btf_id", 128),
        (ProgInfo, "line_info", 152),
        (ProgInfo, "run_time_ns", 192),
        (ProgInfo, "verified_insns", 216),
        (ProgInfo, "attach_btf_id", 224),
        (MapInfo, "name", 24),
        (MapInfo, "btf_id", 64),
        (MapInfo, "map_extra", 80),
        (MapInfo, "hash_size", 96),
        (BtfInfo, "name", 16),
        (BtfInfo, "kernel_btf", 28),
        (LinkInfo, "prog_id", 8),
    ],
)
def test_members_lie_where_the_kernel_has_them(
    layout: type[Layout], member: str, offset: int
) -> None:
    assert layout.member(member).offset == offset
