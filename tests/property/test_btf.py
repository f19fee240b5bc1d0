"""Laws of BTF: round trips, hostile bytes, relocation against itself."""

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.core_spec import RelocationKind
from skep.btf.declare import format_declaration
from skep.btf.ext import BtfExt, CoreRecord
from skep.btf.graph import Btf
from skep.btf.kinds import Kind, Member
from skep.btf.raw import format_all
from skep.btf.relocate import Relocator
from skep.btf.render import format_header
from skep.btf.show import show
from skep.btf.validate import validate
from skep.btf.values import decode, encode
from skep.errors import BtfError, RelocationError
from support.btf_ext_writer import ext
from support.btf_oracle import btf_load, why_not

NAMES = st.sampled_from(["", "a", "b", "x_1", "task", "task___v2", "tail"])
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def any_type(limit: int) -> st.SearchStrategy[kinds.Type]:
    """A type of any kind, that refers to ids below *limit*; rarely a sensible one."""
    target, size = st.integers(0, limit - 1), st.integers(0, 40)
    number = st.integers(-(1 << 31), (1 << 31) - 1)
    members = st.lists(
        st.builds(Member, NAMES, target, st.integers(0, 300), st.integers(0, 9)), max_size=4
    ).map(tuple)
    values = st.lists(st.builds(kinds.Enumerator, NAMES, number), max_size=4).map(tuple)
    params = st.lists(st.builds(kinds.Param, NAMES, target), max_size=3).map(tuple)
    entries = st.lists(st.builds(kinds.SectionEntry, target, size, size), max_size=3).map(tuple)
    return st.one_of(
        st.builds(kinds.Int, NAMES, st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 8),
                  st.just(0), st.sampled_from([0, 1, 2, 4])),
        st.builds(kinds.Ptr, NAMES, target),
        st.builds(kinds.Array, NAMES, target, target, st.integers(0, 5)),
        st.builds(kinds.Struct, NAMES, size, members, st.just(True)),
        st.builds(kinds.Union, NAMES, size, members, st.just(True)),
        st.builds(kinds.Enum, NAMES, st.just(4), st.just(True), values),
        st.builds(kinds.Enum64, NAMES, st.just(8), st.just(True), values),
        st.builds(kinds.Fwd, NAMES, st.booleans()),
        st.builds(kinds.Typedef, NAMES, target),
        st.builds(kinds.Const, NAMES, target),
        st.builds(kinds.Volatile, NAMES, target),
        st.builds(kinds.Restrict, NAMES, target),
        st.builds(kinds.Func, NAMES, target, st.integers(0, 3)),
        st.builds(kinds.FuncProto, NAMES, target, params),
        st.builds(kinds.Var, NAMES, target, st.integers(0, 3)),
        st.builds(kinds.DataSec, NAMES, size, entries),
        st.builds(kinds.Float, NAMES, st.sampled_from([2, 4, 8, 16])),
        st.builds(kinds.DeclTag, NAMES, target, st.integers(-1, 3), st.booleans()),
        st.builds(kinds.TypeTag, NAMES, target, st.booleans()),
    )  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Builder, list[kinds.Type]]:
    """A BTF of up to twelve types that refer to each other at will."""
    count = draw(st.integers(1, 12))
    types = draw(st.lists(any_type(count + 1), min_size=count, max_size=count))
    builder = Builder()
    for type_ in types:
        builder.add(type_)
    return builder, types


@given(graphs())
@SETTINGS
def test_what_is_built_is_read_back(graph: tuple[Builder, list[kinds.Type]]) -> None:
    builder, types = graph
    btf = builder.build()

    assert [type_ for _, type_ in btf.types()] == types
    assert len(list(format_all(btf))) == len(types)
    for type_id, type_ in btf.types():
        if type_.name:
            assert type_id in btf.all_by_name(type_.name)
            assert type_id in btf.all_by_name(type_.name, type_.kind)


def use(btf: Btf) -> None:
    """Ask everything of every type; only BtfError may come of it."""
    for type_id in btf.ids():
        for question in (
            btf.size_of, btf.align_of, btf.resolve, btf.members, btf.func_proto, btf.enum_values,
            btf.type_tags, btf.decl_tags, btf.array_elems,
        ):  # fmt: skip
            try:
                question(type_id)
            except BtfError:
                continue
        try:
            format_declaration(btf, type_id)
        except BtfError:
            continue
    try:
        "".join(format_header(btf))
    except BtfError:
        return


@given(graphs())
@SETTINGS
def test_types_in_any_tangle_raise_only_btf_errors(
    graph: tuple[Builder, list[kinds.Type]],
) -> None:
    use(graph[0].build())


@given(graphs(), st.data())
@SETTINGS
def test_values_round_trip_and_print(
    graph: tuple[Builder, list[kinds.Type]], data: st.DataObject
) -> None:
    btf = graph[0].build()
    for type_id in btf.ids():
        try:
            size = btf.size_of(type_id)
        except BtfError:
            continue
        if size > 200:
            continue
        blob = data.draw(st.binary(min_size=size, max_size=size))
        for flags in (0, 15):
            try:
                show(btf, type_id, blob, flags)
            except BtfError:
                break
        try:
            value = decode(btf, type_id, blob)
        except (BtfError, ValueError):
            continue
        if is_plain(btf, type_id):
            assert decode(btf, type_id, encode(btf, type_id, value)) == value


def is_plain(btf: Btf, type_id: int) -> bool:
    """Whether values of the type do not overlap each other and have distinct names."""
    type_ = btf.resolved(type_id)
    if isinstance(type_, kinds.Array):
        return is_plain(btf, type_.element)
    return type_.kind in {Kind.INT, Kind.PTR, Kind.ENUM, Kind.ENUM64}


@given(graphs(), st.data())
@SETTINGS
def test_changed_bytes_raise_only_btf_errors(
    graph: tuple[Builder, list[kinds.Type]], data: st.DataObject
) -> None:
    blob = bytearray(graph[0].to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    hostile = bytes(
        blob[: data.draw(st.integers(0, len(blob)))] if data.draw(st.booleans()) else blob
    )
    log: list[str] = []
    try:
        validate(hostile, log=log.append)
    except BtfError as error:
        assert error.errno > 0
    try:
        btf = Btf.parse(hostile)
        btf.check()
    except BtfError:
        return
    use(btf)


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "the kernel answers")
@given(graphs(), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=2))
@SETTINGS
def test_btf_load_answers_as_the_kernel_does(
    graph: tuple[Builder, list[kinds.Type]], changes: list[tuple[int, int]]
) -> None:
    blob = bytearray(graph[0].to_bytes())
    for at, value in changes:
        blob[at % len(blob)] = value
    log: list[str] = []
    code = 0
    try:
        validate(bytes(blob), log=log.append)
    except BtfError as error:
        code = error.errno

    assert (code, "".join(log)) == btf_load(bytes(blob))


@given(st.data())
@SETTINGS
def test_changed_ext_sections_raise_only_btf_errors(data: st.DataObject) -> None:
    b = Builder()
    b.function("f", b.prototype(0))
    text = b.string("0:1")
    section = ext(b, [("a", [(0, 2)])], [("a", [(0, text, text, 5)])], [("a", [(8, 1, text, 0)])])
    blob = bytearray(section)
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        BtfExt.parse(bytes(blob), b.build())
    except BtfError as error:
        assert error.offset >= 0


@st.composite
def fields(draw: st.DrawFn) -> tuple[Btf, int, list[tuple[str, int]]]:
    """A structure of nested ones: BTF and id, and access string and bit offset of each leaf."""
    b = Builder()
    number = b.integer("unsigned int", 4)
    table = b.array(number, 3, number)
    leaves: list[tuple[str, int]] = []

    def structure(name: str, path: str, at: int, depth: int) -> tuple[int, int]:
        members: list[Member] = []
        end = 0
        for position in range(draw(st.integers(1, 3))):
            here = f"{path}:{position}"
            choice = draw(st.integers(0, 3 if depth < 3 else 1))
            label = f"m{depth}_{len(leaves)}_{position}"
            if choice == 0:
                leaves.append((here, at + end))
                members.append(Member(label, number, end))
                end += 32
            elif choice == 1:
                leaves.append((f"{here}:2", at + end + 64))
                members.append(Member(label, table, end))
                end += 96
            else:
                inner, size = structure("" if choice == 2 else label, here, at + end, depth + 1)
                members.append(Member("" if choice == 2 else label, inner, end))
                end += size
        return b.struct(name, end // 8, members), end

    root, _ = structure("root", "0", 0, 0)
    return b.build(), root, leaves


@given(fields())
@SETTINGS
def test_relocation_against_itself_changes_nothing(
    made: tuple[Btf, int, list[tuple[str, int]]],
) -> None:
    btf, root, leaves = made
    relocator = Relocator(btf, btf)
    for access, bit in leaves:
        load = ((0x61, 1, 2, bit // 8, 0),)
        record = CoreRecord(0, root, access, RelocationKind.FIELD_BYTE_OFFSET)
        assert relocator.relocate(record, load) == load
        for kind in (RelocationKind.FIELD_BYTE_SIZE, RelocationKind.FIELD_EXISTS):
            resolution = relocator.resolve(CoreRecord(0, root, access, kind))
            assert resolution.new == resolution.old
    for kind in (RelocationKind.TYPE_MATCHES, RelocationKind.TYPE_SIZE):
        resolution = relocator.resolve(CoreRecord(0, root, "0", kind))
        assert resolution.new == resolution.old


@given(graphs(), graphs(), st.data())
@SETTINGS
def test_relocations_between_any_types_raise_only_the_documented_errors(
    mine: tuple[Builder, list[kinds.Type]],
    its: tuple[Builder, list[kinds.Type]],
    data: st.DataObject,
) -> None:
    local, target = mine[0].build(), its[0].build()
    relocator = Relocator(local, target)
    for type_id in local.ids():
        kind = data.draw(st.sampled_from(list(RelocationKind)))
        access = data.draw(st.sampled_from(["0", "0:0", "0:1", "1", "0:0:0", "0:1:2"]))
        try:
            relocator.resolve(CoreRecord(0, type_id, access, kind))
        except (RelocationError, BtfError):
            continue
