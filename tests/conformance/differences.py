"""Where skep answers an attr otherwise than the running kernel, and why: all that is known."""

from collections.abc import Mapping
from errno import E2BIG
from typing import NamedTuple

from skep.uapi.commands import ENOTSUPP, Command

HOOKS = ("PROG_ATTACH", "PROG_DETACH", "PROG_QUERY", "LINK_CREATE")


class Difference(NamedTuple):
    """One difference.

    Attributes:
        id: its name.
        commands: where it shows.
        linux: what Linux 6.18 does.
        skep: what skep does.
        why: the reason.
        rule: id of the reason that skep refuses for; "" if that is left open.
        members: members of the attr, and the values that it takes; empty for any attr.
        errno: what Linux answers; 0 if that is left open.
    """

    id: str
    commands: tuple[str, ...]
    linux: str
    skep: str
    why: str
    rule: str = ""
    members: Mapping[str, frozenset[int]] = {}
    errno: int = 0


DIFFERENCES = (
    Difference(
        "cpumap-size", ("MAP_CREATE",),
        "E2BIG for more CPUs than it was built for (CONFIG_NR_CPUS)",
        "E2BIG for more than 8192",
        "skep answers as a kernel built for the most CPUs there can be",
        members={"map_type": frozenset({16})},
        errno=E2BIG,
    ),
    Difference(
        "core-relocation", ("PROG_LOAD",),
        "relocates, or says what is wrong with the records",
        "EOPNOTSUPP",
        "loaders relocate before they load; only light skeletons leave it to the kernel",
        rule="prog-load/core-relo-cnt",
    ),
    Difference(
        "live-frames", ("PROG_TEST_RUN",),
        "sends what XDP programs pass through the network stack",
        "EOPNOTSUPP",
        "there are no devices to send frames to",
        rule="test-run/live-frames",
    ),
    Difference(
        "runs-on-kernel-objects", ("PROG_TEST_RUN",),
        "calls functions of its own for fentry and fexit programs, and runs netfilter programs",
        "EOPNOTSUPP",
        "the objects that such programs get are not there",
        rule="test-run/kernel-objects",
    ),
    Difference(
        "runs-on-events", ("PROG_TEST_RUN",),
        "ENOTSUPP for kprobe, tracepoint, perf_event and cgroup_device programs",
        "runs them, if ctx_in gives the context",
        "a context is all that they need",
        errno=ENOTSUPP,
    ),
    Difference(
        "typed-tracing", ("RAW_TRACEPOINT_OPEN",),
        "attaches fentry, fexit and lsm programs to the kernel; EPERM for iterators",
        "EOPNOTSUPP",
        "there are no functions of a kernel to attach to",
        rule="trace/function",
    ),
    Difference(
        "netkit", HOOKS,
        "EINVAL where it was built without CONFIG_NETKIT, as the kernel of the tests",
        "looks for the device first",
        "skep answers as a kernel that has netkit",
        members={"attach_type": frozenset({54, 55})},
    ),
    Difference(
        "lsm-cgroup", HOOKS,
        "EINVAL where it was built without CONFIG_BPF_LSM, as the kernel of the tests",
        "answers as for any other hook of a cgroup",
        "skep answers as a kernel that has it",
        members={"attach_type": frozenset({43})},
    ),
    Difference(
        "lsm-programs", ("PROG_LOAD",),
        "EPERM or EINVAL where it was built without CONFIG_BPF_LSM, as the kernel of the tests",
        "answers as for any other typed program",
        "skep answers as a kernel that has it",
        members={"prog_type": frozenset({29})},
    ),
    Difference(
        "struct-ops-association", ("PROG_ASSOC_STRUCT_OPS",),
        "EINVAL: the command came with 7.x",
        "checks its arguments, and refuses with EOPNOTSUPP",
        "skep has the commands of 7.x",
    ),
)  # fmt: skip


def explained(
    command: Command, errno: int, error: Exception | None, members: Mapping[str, object]
) -> Difference | None:
    """The row that explains why *command* with *members* ended in *errno* there, in *error* here.

    Either may be a success: 0, None.
    """
    rule = getattr(error, "rule", "")
    for row in DIFFERENCES:
        fits = all(members.get(name) in values for name, values in row.members.items())
        fits = fits and row.rule in {"", rule} and row.errno in {0, errno}
        if fits and command.name in row.commands:
            return row
    return None
