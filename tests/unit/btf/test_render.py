"""Types as C; clang confirms that what is written has BTF's layout."""

import shutil
import subprocess
from collections.abc import Iterable

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.declare import format_declaration, format_type
from skep.btf.graph import Btf
from skep.btf.kernel import RUNNING, read_btf
from skep.btf.kinds import Kind, Member
from skep.btf.names import Names, identifier
from skep.btf.render import format_header
from skep.errors import BtfError

CLANG = shutil.which("clang-19") or shutil.which("clang")
needs_clang = pytest.mark.skipif(CLANG is None, reason="clang is not installed")


@pytest.fixture
def b() -> Builder:
    return Builder()


def compile_c(text: Iterable[str]) -> str:
    """What clang has to say of *text*; empty if it compiles."""
    done = subprocess.run(
        [str(CLANG), "-target", "bpf", "-fsyntax-only", "-ferror-limit=5", "-x", "c", "-"],
        input="".join(text), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


def assertions(btf: Btf) -> Iterable[str]:
    """Sizes of all named structures, and offsets of their members."""
    names = Names(btf)
    names.reserve()
    for type_id, type_ in btf.types():
        if not isinstance(type_, kinds.Composite) or not type_.name:
            continue
        tag = f"{'union' if type_.kind == Kind.UNION else 'struct'} {names.tag(type_id)}"
        yield f'_Static_assert(sizeof({tag}) == {type_.size}, "size of {tag}");\n'
        for member in type_.members:
            if member.name and not member.bitfield_size:
                place = f"__builtin_offsetof({tag}, {member.name})"
                yield f'_Static_assert({place} == {member.offset}, "{tag}.{member.name}");\n'


def checked(btf: Btf) -> str:
    """The header of *btf*, after clang has confirmed it."""
    text = "".join(format_header(btf))
    assert compile_c([text, *assertions(btf)]) == ""
    return text


def test_declarators_are_written_inside_out(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    struct = b.struct("s", 0)
    text = b.pointer(b.const(b.integer("char", 1)))
    proto = b.prototype(number, [("name", text), ("", 0)])
    handlers = b.array(b.pointer(proto), 4, number)
    row = b.pointer(b.array(b.pointer(struct), 3, number))
    stuck = b.const(b.pointer(b.volatile(number)))
    both = b.pointer(stuck)
    btf = b.build()

    assert format_type(btf, handlers, "h") == "int (*h[4])(const char *name, ...)"
    assert format_type(btf, row, "r") == "struct s *(*r)[3]"
    assert format_type(btf, stuck, "p") == "volatile int *const p"
    assert format_type(btf, both, "q") == "volatile int *const *q"
    assert format_type(btf, b.first_id) == "int"
    assert format_type(btf, 0) == "void"
    assert format_type(btf, proto) == "int (const char *name, ...)"


def test_a_declaration_ends_with_a_semicolon(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    struct = b.struct("s", 8, [Member("a", number, 0), Member("b", number, 32, 3)])
    alias = b.typedef("s_t", struct)
    function = b.function("f", b.prototype(0, [("x", alias)]))
    btf = b.build()

    assert format_declaration(btf, struct) == "struct s {\n\tint a;\n\tint b: 3;\n};"
    assert format_declaration(btf, alias) == "typedef struct s s_t;"
    assert format_declaration(btf, function) == "void f(s_t x);"


@needs_clang
def test_definitions_stand_after_what_they_need(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    outer = b.struct("outer", 0)
    pointer = b.pointer(outer)
    callback = b.typedef("callback", b.pointer(b.prototype(0, [("o", pointer)])))
    inner = b.struct("inner", 16, [Member("f", callback, 0), Member("o", pointer, 64)])
    alias = b.typedef("inner_t", inner)
    b.replace(outer, kinds.Struct("outer", 20, (Member("i", alias, 0), Member("n", number, 128))))

    text = checked(b.build())

    assert text.index("struct outer;") < text.index("typedef void (*callback)(struct outer *o);")
    assert text.index("struct inner {") < text.index("struct outer {")


@needs_clang
def test_gaps_are_filled_and_tight_structures_packed(b: Builder) -> None:
    byte, word = b.integer("unsigned char", 1), b.integer("unsigned int", 4)
    long = b.integer("unsigned long", 8)
    b.struct("gap", 64, [Member("a", byte, 0), Member("b", word, 96), Member("c", byte, 200)])
    b.struct("cache", 1024, [Member("a", long, 0), Member("b", long, 512)])
    tight = b.struct("tight", 5, [Member("a", byte, 0), Member("b", word, 8)])
    b.struct("holds", 13, [Member("a", long, 0), Member("t", tight, 64)])
    b.struct(
        "bits", 8, [Member("a", word, 1, 3), Member("b", word, 30, 2), Member("c", byte, 37, 2)]
    )
    b.struct("across", 6, [Member("a", word, 0, 20), Member("b", word, 20, 20)])
    b.union("wide", 64, [Member("a", byte, 0)])
    b.union("odd", 5, [Member("t", tight, 0), Member("w", word, 0)])
    b.struct("flexible", 8, [Member("n", word, 0), Member("rest", b.array(long, 0, word), 64)])
    b.struct("none", 0)

    text = checked(b.build())

    assert "__attribute__((packed))" in text
    assert "unsigned int a: 3;" in text


@needs_clang
def test_anonymous_types_are_written_where_they_are_used(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    inner = b.struct("", 8, [Member("x", number, 0), Member("y", number, 32)])
    either = b.union("", 8, [Member("", inner, 0), Member("z", number, 0)])
    choice = b.enum("", {"RED": 0, "BLUE": 5})
    b.struct("s", 24, [Member("", either, 0), Member("c", choice, 64), Member("i", inner, 96)])
    b.typedef("pair", inner)
    b.enum("", {"LONE": 1})

    text = checked(b.build())

    assert "enum {\n\tLONE = 1,\n};" in text
    assert text.count("RED") == 1


@needs_clang
def test_second_uses_of_a_name_are_numbered(b: Builder) -> None:
    number = b.integer("int", 4, signed=True)
    for size in (4, 8):
        struct = b.struct("twice", size, [Member("a", number, 0)])
        b.typedef("alias", struct)
        b.enum("e", {"VALUE": size})
    b.union("twice", 4, [Member("a", number, 0)])

    text = checked(b.build())

    assert "struct twice___2 {" in text
    assert "union twice___3 {" in text
    assert "typedef struct twice___2 alias___2;" in text
    assert "VALUE___2 = 8" in text


@needs_clang
def test_enumerations_have_their_size_and_values(b: Builder) -> None:
    low = kinds.Enumerator("LOW", -(1 << 63))
    b.add(kinds.Enum64("wide", 8, True, (low,)))
    b.enum("big", {"TOP": (1 << 64) - 1}, size=8)
    small = b.enum("small", {"A": 1}, size=1)
    middle = b.enum("middle", {"B": 1}, size=2)
    b.struct("s", 4, [Member("a", small, 0), Member("b", middle, 16)])
    b.enum("empty", {})

    text = checked(b.build())

    assert "LOW = (-9223372036854775807LL - 1)" in text
    assert "TOP = 18446744073709551615ULL" in text


@needs_clang
def test_declarations_of_structures_and_unions_stay_declarations(b: Builder) -> None:
    struct, union = b.forward("s"), b.forward("u", is_union=True)
    b.typedef("sp", b.pointer(struct))
    b.typedef("up", b.pointer(union))

    text = checked(b.build())

    assert "typedef struct s *sp;" in text
    assert "typedef union u *up;" in text


@pytest.mark.parametrize(
    ("name", "valid"),
    [("ok_1", "ok_1"), ("a.b", "a_b"), ("1x", "_1x"), ("x\ny;", "x_y_"), ("", "")],
)
def test_names_that_c_does_not_allow_are_changed(name: str, valid: str) -> None:
    assert identifier(name) == valid


def test_a_structure_that_contains_itself_is_refused(b: Builder) -> None:
    number = b.integer("int", 4)
    b.struct("s", 8, [Member("n", number, 0), Member("again", 2, 32)])

    with pytest.raises(BtfError, match=r"itself|end"):
        "".join(format_header(b.build()))


def test_an_anonymous_structure_that_points_to_itself_is_refused(b: Builder) -> None:
    inner = b.struct("", 8)
    pointer = b.pointer(inner)
    b.replace(inner, kinds.Struct("", 8, (Member("next", pointer, 0),)))
    b.struct("s", 8, [Member("first", pointer, 0)])

    with pytest.raises(BtfError, match="end"):
        "".join(format_header(b.build()))


@needs_clang
@pytest.mark.slow
@pytest.mark.skipif(not RUNNING.exists(), reason="the running kernel has no BTF")
def test_clang_confirms_every_size_and_offset_of_the_running_kernel() -> None:
    checked(read_btf(str(RUNNING)))
