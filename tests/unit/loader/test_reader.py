import struct
from pathlib import Path

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.errors import ElfError, ExternError, LoadError, RelocationError, SectionError
from skep.isa.assembler import assemble
from skep.loader.reader import read_object
from skep.loader.spec import Content, Extern, ObjectSpec, Target
from skep.uapi.flags import MapFlag, MapType, ProgType
from support.elf_writer import ObjectWriter

OBJECTS = Path(__file__).parents[2] / "objects"


def shipped(name: str) -> ObjectSpec:
    return read_object((OBJECTS / f"{name}.bpf.o").read_bytes(), f"{name}.bpf.o")


def read(writer: ObjectWriter) -> ObjectSpec:
    return read_object(writer.to_bytes(), "test.o")


# --- programs -------------------------------------------------------------------------------------


def test_the_same_bytes_give_equal_specs() -> None:
    assert shipped("counter") == shipped("counter")


def test_a_section_may_hold_several_programs() -> None:
    spec = shipped("counter")

    assert [(p.name, p.section) for p in spec.programs] == [
        ("count", "xdp"),
        ("drop", "xdp"),
        ("later", "tc"),
    ]
    assert [p.autoload for p in spec.programs] == [True, True, False]
    assert spec.license == "GPL"


def test_used_subprograms_follow_their_program_in_order_of_first_call() -> None:
    writer = ObjectWriter()
    text = writer.code(".text", "r0 = 1\nexit\nr0 = 2\nexit\ncall 0\nexit")
    f = writer.function("f", text, 0, 2)
    writer.function("g", text, 2, 2)
    h = writer.function("h", text, 4, 2)
    main = writer.code("xdp", "call +0\ncall +0\nexit")
    writer.function("main", main)
    for section, slot, target in ((main, 0, h), (main, 1, f), (text, 4, f)):
        data = bytearray(writer.parts[section].data)
        data[slot * 8 : slot * 8 + 8] = struct.pack("<BBhi", 0x85, 0x10, 0, -1)
        writer.parts[section].data = bytes(data)
        writer.relocate(section, slot, target, 10)

    program = read(writer).program("main")

    assert program.problem is None
    expected = assemble("call h\ncall f\nexit\nh: call f\nexit\nf: r0 = 1\nexit")
    assert list(program.insns) == expected


def test_a_call_within_the_section_needs_no_relocation() -> None:
    writer = ObjectWriter()
    code = writer.code("xdp", "call +1\nexit\nr0 = 3\nexit")
    writer.function("main", code, 0, 2)
    writer.function("part", code, 2, 2, bind=0)

    spec = read(writer)

    assert [p.name for p in spec.programs] == ["main"]
    assert list(spec.programs[0].insns) == assemble("call +1\nexit\nr0 = 3\nexit")


def test_a_static_function_that_nothing_calls_is_a_program() -> None:
    writer = ObjectWriter()
    writer.function("tail", writer.code("tc", "r0 = 0\nexit"), bind=0)

    assert [p.name for p in read(writer).programs] == ["tail"]


def test_a_function_constant_becomes_a_distance() -> None:
    program = shipped("externs").program("read_config")
    wide = [at for at, insn in enumerate(program.insns) if insn.code == 0x18 and insn.src == 4]

    assert len(wide) == 1
    assert wide[0] + 1 + program.insns[wide[0]].imm == program.functions[1][0]


def test_records_of_btf_follow_their_instructions() -> None:
    spec = shipped("counter")
    program = spec.program("count")
    assert spec.btf is not None
    names = [spec.btf.name(type_id) for _, type_id in program.functions]

    assert names == ["count", "add", "bump"]
    assert program.functions[0][0] == 0
    assert all(line.pc < len(program.insns) for line in program.lines)
    assert [line.pc for line in program.lines] == sorted(line.pc for line in program.lines)


def test_core_records_point_at_the_linked_instructions() -> None:
    program = shipped("core").program("who")

    assert len(program.relocations) == 7
    assert all(record.offset < len(program.insns) * 8 for record in program.relocations)


def test_an_unknown_section_waits_in_its_program() -> None:
    program = shipped("legacy").program("peek")

    assert isinstance(program.problem, SectionError)
    assert program.program_type == ProgType.UNSPEC
    assert program.insns


@pytest.mark.parametrize(
    ("text", "slot", "kind", "why"),
    [
        ("r1 = 5\nexit", 0, 1, "cannot refer"),
        ("call +0\nexit", 0, 10, "a call into"),
        ("r1 = 8 ll\nexit", 0, 1, "no map begins"),
    ],
)
def test_a_senseless_relocation_waits_in_its_program(
    text: str, slot: int, kind: int, why: str
) -> None:
    writer = ObjectWriter()
    maps = writer.section("maps", struct.pack("<5I", 2, 4, 4, 1, 0))
    writer.symbol("m", maps)
    section = writer.symbol("", maps, kind=3, bind=0)
    code = writer.code("xdp", text)
    writer.function("main", code)
    writer.relocate(code, slot, section, kind)

    problem = read(writer).program("main").problem

    assert isinstance(problem, RelocationError)
    assert why in str(problem)


def test_a_call_into_the_middle_of_a_function_is_refused() -> None:
    writer = ObjectWriter()
    code = writer.code("xdp", "call +1\nexit\nr0 = 3\nr0 = 4\nexit")
    writer.function("main", code, 0, 2)
    writer.function("part", code, 3, 2, bind=0)

    assert isinstance(read(writer).program("main").problem, RelocationError)


def test_functions_that_call_each_other_are_linked_once() -> None:
    writer = ObjectWriter()
    code = writer.code("xdp", "call +1\nexit\ncall -1\nexit")
    writer.function("main", code, 0, 2)
    writer.function("part", code, 2, 2, bind=0)

    assert len(read(writer).program("main").insns) == 4


def test_an_exception_callback_is_linked_though_nothing_calls_it() -> None:
    spec = shipped("throws")
    assert spec.btf is not None
    names = [spec.btf.name(type_id) for _, type_id in spec.program("guarded").functions]

    assert names == ["guarded", "handler"]


def test_programs_of_a_struct_ops_table_know_their_member() -> None:
    spec = shipped("ops")

    assert [(p.name, p.attach_target, p.attach_member) for p in spec.programs] == [
        ("half", "tcp_congestion_ops___short", "ssthresh"),
        ("undo", "tcp_congestion_ops___short", "undo_cwnd"),
        ("lonely", "", ""),
    ]
    assert [(each.name, each.structure, each.linked) for each in spec.tables] == [
        ("table", "tcp_congestion_ops___short", True)
    ]


# --- maps -----------------------------------------------------------------------------------------


def test_every_field_of_a_definition_is_read() -> None:
    bloom = shipped("maps").map("bloom")

    assert bloom.map_type == MapType.BLOOM_FILTER
    assert (bloom.key_size, bloom.value_size, bloom.max_entries) == (0, 4, 100)
    assert (bloom.map_extra, bloom.pinned, bloom.map_flags) == (3, True, MapFlag.NUMA_NODE)


def test_initial_values_name_maps_and_programs() -> None:
    spec = shipped("maps")
    outer = spec.map("outer")

    assert outer.slots == {1: "red", 3: "blue"}
    assert spec.map("jumps").slots == {1: "leaf"}
    assert outer.inner is not None
    assert (outer.inner.map_type, outer.inner.max_entries, outer.inner.value_size) == (2, 4, 8)


def test_a_ring_is_rounded_up_to_pages() -> None:
    assert shipped("maps").map("ring").max_entries == 8192


def test_sections_of_variables_are_maps() -> None:
    maps = {m.section: m for m in shipped("counter").maps}

    assert maps[".rodata"].name == "counter.rodata"
    assert maps[".rodata"].content is Content.CONSTANTS
    assert maps[".rodata"].map_flags == MapFlag.RDONLY_PROG | MapFlag.MMAPABLE
    assert maps[".data"].data == struct.pack("<Q", 40)
    assert maps[".bss"].data == b""
    assert maps[".bss"].value_size == 16
    assert maps[".data.custom"].name == ".data.custom"
    assert maps[".rodata.custom"].data == struct.pack("<i", 1000)


def test_variables_get_their_offsets_in_btf() -> None:
    spec = shipped("counter")
    assert spec.btf is not None
    section = spec.btf.type(spec.map("counter.bss").value_type)
    assert isinstance(section, kinds.DataSec)
    offsets = {spec.btf.name(entry.type): entry.offset for entry in section.entries}

    assert section.size == 16
    assert offsets == {"hidden_state": 0, "seen": 8}


def test_a_hidden_function_is_static_in_btf() -> None:
    spec = shipped("counter")
    assert spec.btf is not None
    linkage = {
        name: type_.linkage
        for name in ("busy", "bump", "add")
        if isinstance(type_ := spec.btf.type(spec.btf.by_name(name) or 0), kinds.Func)
    }

    assert linkage == {"busy": kinds.STATIC, "bump": kinds.GLOBAL, "add": kinds.STATIC}


def test_a_variable_is_a_place_in_its_map() -> None:
    spec = shipped("counter")
    program = spec.program("drop")
    places = {
        (spec.maps[ref.index].section, ref.offset)
        for ref in program.references
        if ref.target is Target.VALUE
    }

    assert places == {
        (".data.custom", 0), (".bss.custom", 0), (".data", 0), (".bss", 0)
    }  # fmt: skip


def test_legacy_definitions_are_read_from_both_kinds_of_section() -> None:
    spec = shipped("legacy")

    assert [(m.name, m.map_type, m.key_size, m.value_size, m.max_entries) for m in spec.maps] == [
        ("first", MapType.ARRAY, 4, 8, 2),
        ("second", MapType.HASH, 8, 4, 16),
        ("third", MapType.ARRAY, 4, 4, 1),
    ]


def legacy(*definitions: bytes) -> ObjectWriter:
    writer = ObjectWriter()
    section = writer.section("maps", b"".join(definitions))
    offset = 0
    for number, definition in enumerate(definitions):
        writer.symbol(f"m{number}", section, offset)
        offset += len(definition)
    return writer


def test_a_short_legacy_definition_ends_in_zeros() -> None:
    spec = read(legacy(struct.pack("<4I", 1, 4, 8, 3)))

    assert (spec.maps[0].max_entries, spec.maps[0].map_flags) == (3, 0)


def test_a_long_legacy_definition_must_end_in_zeros() -> None:
    assert read(legacy(struct.pack("<6I", 1, 4, 8, 3, 1, 0))).maps[0].map_flags == 1
    with pytest.raises(LoadError, match="not zero"):
        read(legacy(struct.pack("<6I", 1, 4, 8, 3, 1, 5)))


def test_the_inner_map_of_kernel_samples_is_named_by_index() -> None:
    inner = struct.pack("<7I", 2, 4, 4, 5, 0, 0, 0)
    spec = read(legacy(inner, struct.pack("<7I", 12, 4, 4, 2, 0, 0, 0)))

    assert spec.maps[1].inner is not None
    assert spec.maps[1].inner.max_entries == 5


def test_the_inner_map_of_iproute2_is_named_by_id() -> None:
    inner = struct.pack("<9I", 2, 4, 4, 5, 0, 77, 0, 0, 0)
    spec = read(legacy(inner, struct.pack("<9I", 13, 4, 4, 2, 0, 1, 2, 77, 0)))

    assert spec.maps[1].inner is not None
    assert spec.maps[1].inner.max_entries == 5
    assert spec.maps[1].pinned


def test_a_legacy_definition_that_is_too_short_is_refused() -> None:
    with pytest.raises(LoadError, match="12 bytes"):
        read(legacy(bytes(12)))


def test_an_inner_map_that_is_none_is_refused() -> None:
    with pytest.raises(LoadError, match="inner map"):
        read(legacy(struct.pack("<7I", 12, 4, 4, 2, 0, 9, 0)))


def defined(**fields: int) -> bytes:
    """A ``.maps`` object with one map; a field N becomes a pointer to an array of N."""
    types = Builder()
    integer = types.integer("int", 4, signed=True)
    members = []
    for at, (name, number) in enumerate(fields.items()):
        array = types.array(integer, number, integer)
        members.append(kinds.Member(name, types.pointer(array), at * 64))
    struct_id = types.struct("", len(members) * 8, members)
    variable = types.variable("m", struct_id)
    types.section(".maps", 0, [(variable, 0, len(members) * 8)])
    writer = ObjectWriter()
    writer.section(".BTF", types.to_bytes())
    section = writer.section(".maps", bytes(len(members) * 8), flags=3)
    writer.symbol("m", section, 0, len(members) * 8)
    return writer.to_bytes()


def test_a_definition_by_sizes_is_enough() -> None:
    spec = read_object(defined(type=1, key_size=4, value_size=8, max_entries=2))

    assert (spec.maps[0].key_size, spec.maps[0].value_size, spec.maps[0].key_type) == (4, 8, 0)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"key_size": 4}, "type is not specified"),
        ({"type": 1, "colour": 3}, "unknown field `colour`"),
        ({"type": 1, "pinning": 2}, "unknown pinning 2"),
        ({"type": 1, "key": 4}, ""),
        ({"type": 1, "values": 4}, "`values` is no __array()"),
    ],
)
def test_a_wrong_definition_is_refused_with_its_field(fields: dict[str, int], why: str) -> None:
    if not why:  # a pointer to an array is a type like any other
        assert read_object(defined(**fields)).maps[0].key_size == 16
        return
    with pytest.raises(LoadError) as caught:
        read_object(defined(**fields))

    assert why in str(caught.value)
    assert caught.value.name == "map m"


def test_maps_without_btf_are_refused() -> None:
    writer = ObjectWriter()
    writer.section(".maps", bytes(8), flags=3)

    with pytest.raises(LoadError, match="without BTF"):
        read(writer)


# --- externs and the rest -------------------------------------------------------------------------


def test_externs_are_ordered_and_laid_out_as_libbpf_does() -> None:
    externs = shipped("externs").externs

    assert [(e.name, e.offset, e.size) for e in externs if e.kind is Extern.KCONFIG] == [
        ("CONFIG_HZ", 0, 8),
        ("CONFIG_BPF", 8, 4),
        ("CONFIG_NO_SUCH_THING", 12, 4),
        ("LINUX_KERNEL_VERSION", 16, 4),
        ("CONFIG_BPF_SYSCALL", 20, 1),
        ("CONFIG_NET", 21, 1),
        ("CONFIG_DEFAULT_HOSTNAME", 22, 16),
    ]
    assert [(e.name, e.kind, e.type != 0) for e in externs[7:]] == [
        ("bpf_prog_put", Extern.VARIABLE, False),
        ("no_such_function", Extern.FUNCTION, True),
        ("no_such_variable", Extern.VARIABLE, True),
    ]


def test_an_undefined_symbol_is_a_problem_of_those_who_use_it() -> None:
    writer = ObjectWriter()
    symbol = writer.symbol("missing", 0, kind=0)
    code = writer.code("xdp", "call +0\nexit\nr0 = 0\nexit")
    writer.function("uses", code, 0, 2)
    writer.function("other", code, 2, 2)
    writer.relocate(code, 0, symbol, 10)

    spec = read(writer)

    assert isinstance(spec.program("uses").problem, ExternError)
    assert spec.program("other").problem is None


def test_the_version_is_read_and_must_have_four_bytes() -> None:
    assert shipped("externs").kernel_version == 0x060C00
    writer = ObjectWriter()
    writer.section("version", b"12345")
    with pytest.raises(ElfError, match="4 bytes"):
        read(writer)


def test_broken_btf_is_left_out_where_nothing_needs_it() -> None:
    writer = ObjectWriter()
    writer.section(".BTF", b"\x9f\xeb" + bytes(10))
    writer.function("main", writer.code("xdp", "r0 = 2\nexit"))

    spec = read(writer)

    assert spec.btf is None
    assert spec.refused[0].startswith("BTF")
    assert spec.program("main").problem is None
