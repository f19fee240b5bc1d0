"""The tables agree with each other and with themselves."""

import pytest

from skep.uapi import (
    attach_types,
    commands,
    contexts,
    helpers,
    link_types,
    map_types,
    program_types,
)
from skep.uapi.access import access, may_sign_extend
from skep.uapi.contexts import Context, Points
from skep.uapi.flags import AttachType, MapType, ProgType
from skep.uapi.helpers import Arg, Ret

HELPER = {row.name: row.id for row in helpers.HELPERS}
SIZES = {Arg.CONST_SIZE, Arg.CONST_SIZE_OR_ZERO}


def test_helpers_are_numbered_from_1_to_211() -> None:
    assert [row.id for row in helpers.HELPERS] == list(range(1, 212))
    assert helpers.by_id(0) is None
    assert helpers.by_id(212) is None


@pytest.mark.parametrize("row", helpers.HELPERS, ids=lambda row: row.name)
def test_memory_of_no_fixed_size_is_followed_by_its_size(row: helpers.Helper) -> None:
    for argument, after in zip(row.args, (*row.args, None)[1:], strict=True):
        if argument.kind is Arg.MEM and not argument.size:
            assert after is not None
            assert after.kind in SIZES


@pytest.mark.parametrize("row", helpers.HELPERS, ids=lambda row: row.name)
def test_a_helper_row_is_complete(row: helpers.Helper) -> None:
    assert len(row.args) <= 5
    assert row.doc.endswith(".")
    assert row.since
    assert (row.ret is Ret.BTF_ID) <= bool(row.ret_btf or row.name == "kptr_xchg")


@pytest.mark.parametrize(
    ("name", "program_type", "first"),
    [
        ("get_cgroup_classid", 3, Arg.CTX),
        ("get_socket_cookie", 26, Arg.BTF_ID_SOCK_COMMON),
        ("get_socket_cookie", 1, Arg.CTX),
        ("xdp_get_buff_len", 31, Arg.BTF_ID),
        ("setsockopt", 25, Arg.BTF_ID_SOCK_COMMON),
        ("setsockopt", 13, Arg.CTX),
    ],
)
def test_some_helpers_take_other_arguments_in_some_programs(
    name: str, program_type: int, first: Arg
) -> None:
    row = helpers.prototype(HELPER[name], program_type)

    assert row is not None
    assert row.args[0].kind is first


def test_a_variant_is_of_a_helper_that_the_program_type_may_call() -> None:
    for (helper, program_type), row in helpers.VARIANTS.items():
        kind = program_types.by_id(program_type)

        assert kind is not None
        assert row.id == helper
        assert helper in kind.helpers


def test_program_types_have_the_kernels_numbers() -> None:
    assert {row.name.upper(): row.id for row in program_types.PROGRAM_TYPES} == {
        kind.name: kind.value for kind in ProgType if kind
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [("socket_filter", 88), ("xdp", 104), ("sched_cls", 139), ("netfilter", 74), ("syscall", 99)],
)
def test_helper_sets_have_the_sizes_that_were_measured(name: str, count: int) -> None:
    row = program_types.by_name(name)

    assert row is not None
    assert len(row.helpers) == count


def test_bind_is_for_connecting_sockets_only() -> None:
    row = program_types.CGROUP_SOCK_ADDR

    assert program_types.may_call(row, HELPER["bind"], AttachType.CGROUP_INET4_CONNECT)
    assert not program_types.may_call(row, HELPER["bind"], AttachType.CGROUP_INET4_BIND)


def test_socket_options_are_for_iterators_over_sockets_only() -> None:
    row, iterate = program_types.TRACING, AttachType.TRACE_ITER

    assert program_types.may_call(row, HELPER["setsockopt"], iterate, "bpf_iter_tcp")
    assert not program_types.may_call(row, HELPER["setsockopt"], iterate, "bpf_iter_udp")


@pytest.mark.parametrize(
    ("name", "attach_type", "low", "high"),
    [
        ("cgroup_skb", AttachType.CGROUP_INET_EGRESS, 0, 3),
        ("cgroup_skb", AttachType.CGROUP_INET_INGRESS, 0, 1),
        ("cgroup_sock_addr", AttachType.CGROUP_UDP4_RECVMSG, 1, 1),
        ("cgroup_sock_addr", AttachType.CGROUP_INET6_BIND, 0, 3),
        ("tracing", AttachType.TRACE_FEXIT, 0, 0),
        ("tracing", AttachType.TRACE_ITER, 0, 1),
        ("kprobe", AttachType.TRACE_KPROBE_SESSION, 0, 1),
    ],
)
def test_return_ranges_depend_on_the_attach_type(
    name: str, attach_type: int, low: int, high: int
) -> None:
    row = program_types.by_name(name)
    assert row is not None
    found = program_types.return_range(row, attach_type)

    assert found is not None
    assert (found.low, found.high) == (low, high)


def test_most_programs_may_return_anything() -> None:
    assert program_types.return_range(program_types.XDP, 0) is None
    assert program_types.return_range(program_types.KPROBE, 0) is None
    assert program_types.return_range(program_types.RAW_TRACEPOINT, 0) is None


def test_every_context_that_a_program_type_names_exists() -> None:
    for row in program_types.PROGRAM_TYPES:
        assert bool(row.context) == (contexts.by_name(row.context) is not None)


@pytest.mark.parametrize("context", contexts.CONTEXTS, ids=lambda row: row.name)
def test_pointers_and_only_pointers_have_slots_of_their_own(context: Context) -> None:
    slots = [field.slot for field in context.fields if field.points is not Points.SCALAR]

    assert sorted(slots) == list(range(len(slots)))
    assert all(field.slot == -1 for field in context.fields if field.points is Points.SCALAR)
    assert context.native_size == context.native_base + 8 * len(slots)


def test_the_packet_is_the_classifiers_and_not_the_socket_filters() -> None:
    data = contexts.SK_BUFF.field("data").offset
    assert access(contexts.SK_BUFF, ProgType.SOCKET_FILTER, 0, data, 4, write=False) is None
    field = access(contexts.SK_BUFF, ProgType.SCHED_CLS, 0, data, 4, write=False)

    assert field is not None
    assert field.points is Points.PACKET
    assert not may_sign_extend(field)


def test_fields_of_an_address_family_are_for_its_attach_types() -> None:
    def may(attach_type: int) -> bool:
        return access(contexts.SOCK_ADDR, 18, attach_type, 4, 4, write=True) is not None

    assert may(AttachType.CGROUP_INET4_CONNECT)
    assert not may(AttachType.CGROUP_INET6_CONNECT)


def test_sockets_without_a_full_sock_hide_some_fields() -> None:
    assert access(contexts.SOCKET, 0, 0, 8, 4, write=False) is not None
    assert access(contexts.SOCK_COMMON, 0, 0, 8, 4, write=False) is None


def test_map_types_have_the_kernels_numbers() -> None:
    known = {kind.name: kind.value for kind in MapType if 0 < kind < MapType.INSN_ARRAY}

    assert {row.name.upper(): row.id for row in map_types.MAP_TYPES} == known


@pytest.mark.parametrize(
    ("helper", "map_type", "taken"),
    [
        ("map_lookup_elem", "hash", True),
        ("map_lookup_elem", "queue", False),
        ("map_lookup_elem", "array_of_maps", True),
        ("map_update_elem", "array_of_maps", False),
        ("tail_call", "prog_array", True),
        ("tail_call", "array", False),
        ("ringbuf_output", "ringbuf", True),
        ("ringbuf_output", "hash", False),
        ("map_push_elem", "bloom_filter", True),
        ("map_pop_elem", "bloom_filter", False),
        ("map_lookup_percpu_elem", "percpu_array", True),
        ("map_lookup_percpu_elem", "array", False),
        ("for_each_map_elem", "hash", True),
        ("perf_event_output", "perf_event_array", True),
        ("perf_event_output", "ringbuf", False),
        ("redirect_map", "devmap", True),
        ("kptr_xchg", "sk_storage", True),
    ],
)
def test_maps_go_to_the_helpers_made_for_them(helper: str, map_type: str, *, taken: bool) -> None:
    row = map_types.by_name(map_type)

    assert row is not None
    assert map_types.takes_map(HELPER[helper], row.id) is taken


def test_some_programs_may_update_sockmaps() -> None:
    update, sockmap = HELPER["map_update_elem"], map_types.SOCKMAP.id

    assert map_types.takes_map(update, sockmap, ProgType.SCHED_CLS)
    assert not map_types.takes_map(update, sockmap, ProgType.KPROBE)
    assert map_types.takes_map(update, sockmap, ProgType.TRACING, AttachType.TRACE_ITER)
    assert not map_types.takes_map(update, sockmap, ProgType.TRACING, AttachType.TRACE_FENTRY)


@pytest.mark.parametrize("row", commands.COMMANDS, ids=lambda row: row.name)
def test_the_last_member_of_a_command_is_one_of_its_own(row: commands.Command) -> None:
    assert row.layout.member(row.last).end <= commands.ATTR_SIZE


def test_every_attach_type_of_6_18_has_a_program_type() -> None:
    without = [
        row.name
        for row in attach_types.ATTACH_KINDS
        if not row.program_types and row.id <= attach_types.LAST_IN_6_18
    ]

    assert without == []


def test_attach_types_are_made_into_links_of_one_kind() -> None:
    tcx = link_types.of_attach_type(AttachType.TCX_EGRESS)

    assert tcx is not None
    assert tcx.name == "tcx"
    assert link_types.of_attach_type(AttachType.LIRC_MODE2) is None
    assert link_types.by_name("sockmap") is link_types.by_id(14)
