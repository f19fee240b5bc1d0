import pytest

from skep.errors import SectionError
from skep.loader.sections import SECTIONS, match, nearest
from skep.uapi.flags import AttachType, ProgFlag, ProgType


@pytest.mark.parametrize(
    ("name", "program_type", "attach_type", "target"),
    [
        ("xdp", ProgType.XDP, AttachType.XDP, ""),
        ("xdp.frags/devmap", ProgType.XDP, AttachType.XDP_DEVMAP, ""),
        ("tc", ProgType.SCHED_CLS, 0, ""),
        ("tcx/egress", ProgType.SCHED_CLS, AttachType.TCX_EGRESS, ""),
        ("kprobe/do_unlinkat", ProgType.KPROBE, 0, "do_unlinkat"),
        ("kprobe", ProgType.KPROBE, 0, ""),
        ("tp/syscalls/sys_enter_open", ProgType.TRACEPOINT, 0, "syscalls/sys_enter_open"),
        ("fentry.s/f", ProgType.TRACING, AttachType.TRACE_FENTRY, "f"),
        ("iter/task", ProgType.TRACING, AttachType.TRACE_ITER, "task"),
        ("cgroup/connect_unix", ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_CONNECT, ""),
        ("struct_ops.s/init", ProgType.STRUCT_OPS, 0, "init"),
    ],
)
def test_a_section_name_gives_type_attach_type_and_target(
    name: str, program_type: int, attach_type: int, target: str
) -> None:
    found = match(name)

    assert (found.row.program_type, found.row.attach_type, found.target) == (
        program_type,
        attach_type,
        target,
    )


def test_flags_follow_from_the_section() -> None:
    assert match("iter.s/task").row.flags == ProgFlag.SLEEPABLE
    assert match("xdp.frags").row.flags == ProgFlag.XDP_HAS_FRAGS
    assert match("lsm.s/f").row.attach_btf
    assert match("usdt").row.usdt


@pytest.mark.parametrize(
    "name", ["", "xdp/", "xdp1", "kprobex", "tc/x", "socket/1", "kprobe.multi"]
)
def test_only_whole_names_and_targets_behind_a_slash_match(name: str) -> None:
    if name == "kprobe.multi":
        assert match(name).row.name == "kprobe.multi"
        return
    with pytest.raises(SectionError):
        match(name)


def test_an_unknown_section_names_the_nearest_known() -> None:
    with pytest.raises(SectionError) as caught:
        match("tracepont/x/y")

    assert caught.value.name == "tracepont/x/y"
    assert "tracepoint" in caught.value.hint
    assert nearest("xdp_prog7") == "xdp"
    assert nearest("zzzzzz") == ""


def test_the_table_has_every_row_of_libbpf_once() -> None:
    assert len(SECTIONS) == 116
    assert len({row.name for row in SECTIONS}) == len(SECTIONS)
