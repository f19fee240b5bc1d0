"""The translator gives native functions the meaning that they have as Python."""

import random
import threading
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from skep.base import native as intrinsics
from skep.base.bits import U64
from skep.base.memory import Block
from skep.base.native import (
    NativeFunction,
    atomic_add32,
    atomic_add64,
    atomic_xchg64,
    call,
    clock_ns,
    cmpxchg32,
    cmpxchg64,
    copy,
    fill,
    leading_zeros64,
    load8,
    load16,
    load32,
    load64,
    load_acquire32,
    load_acquire64,
    move,
    native,
    relax,
    same,
    sle,
    slt,
    store8,
    store16,
    store32,
    store64,
    store_release32,
    store_release64,
    swap16,
    swap32,
    swap64,
    wrap,
    wrap32,
)  # fmt: skip
from skep.engine.library import PlainLibrary
from skep.engine.llvm.intrinsics import LOWER
from skep.engine.llvm.library import CompiledLibrary
from skep.errors import InternalError

LIMIT: Final = 7


class Color(IntEnum):
    RED = 3


class Scale:
    UNIT: Final = 1000


@pytest.fixture(scope="module")
def library() -> CompiledLibrary:
    return CompiledLibrary()


def agree(
    library: CompiledLibrary, function: NativeFunction, *arguments: tuple[int, ...]
) -> list[int]:
    compiled = library.bind(function)
    expected = [int(function(*values)) for values in arguments]

    assert expected == [compiled(*values) for values in arguments]
    return expected


@native
def branches(x: int, y: int) -> int:
    """Every form of a condition."""
    if (x < y and not x == 3) or y == 9:  # noqa: SIM201
        r = 1
    elif x <= y <= 20:
        r = 2
    elif not (x > 30 or y != 4):
        r = 3
    else:
        r = 4 if x >= y else 5
    return r * 10 + (x < y) + (2 * (x or y)) + (x and y) + (not x)


@native
def loops(n: int, stop: int) -> int:
    total = 0
    for i in range(n):
        if i == stop:
            break
        if i & 1:
            continue
        i += 100  # noqa: PLW2901
        total += i
    for i in range(3, n, 4):
        total += i
    for j in range(n, stop):
        total += 2 * j
    while True:
        total += 1
        if total % 5 == 0:
            return total
        if total > 10_000:
            pass


@native
def last_value(n: int) -> int:
    i = 77
    for i in range(n):  # noqa: B007
        n = 0
    return i * 100 + n


@native
def constants(x: int) -> int:
    return x + LIMIT + Color.RED + Scale.UNIT + int(True)


@native
def factorial(n: int) -> int:
    return 1 if n < 2 else wrap(n * factorial(n - 1))


@native  # noqa: RET503 - falls off its end on purpose
def early(x: int) -> int:  # type: ignore[return]
    if x:
        return 5


def specialised(size: int) -> NativeFunction:
    @native
    def scale(x: int) -> int:
        return wrap(x * size)

    return scale


twice, thrice = specialised(2), specialised(3)


@native
def both(x: int) -> int:
    return twice(x) + thrice(x)


EDGES = (0, 1, 2, 3, 4, 5, 7, 9, 20, 21, 31, 100)


def test_conditions_choose_the_same_branch(library: CompiledLibrary) -> None:
    agree(library, branches, *((x, y) for x in EDGES for y in EDGES))


def test_loops_run_as_often(library: CompiledLibrary) -> None:
    agree(library, loops, *((n, stop) for n in EDGES for stop in EDGES))


def test_a_loop_variable_keeps_its_last_value(library: CompiledLibrary) -> None:
    assert agree(library, last_value, (0,), (1,), (5,)) == [7700, 0, 400]


def test_a_range_that_ends_near_the_greatest_number_ends(library: CompiledLibrary) -> None:
    assert agree(library, count_from, (U64 - 10, U64), (U64 - 9, U64), (U64, 3)) == [2, 2, 0]


@native
def count_from(start: int, stop: int) -> int:
    count = 0
    for _ in range(start, stop, 5):
        count += 1
    return count + (start + 5 == stop) if start < stop - 1 else 0


def test_names_of_constants_are_resolved(library: CompiledLibrary) -> None:
    assert agree(library, constants, (1,)) == [1 + 7 + 3 + 1000 + 1]


def test_recursion_works(library: CompiledLibrary) -> None:
    agree(library, factorial, (0,), (5,), (30,))


def test_a_function_without_return_gives_0(library: CompiledLibrary) -> None:
    assert [library.bind(early)(x) for x in (0, 1)] == [0, 5]


def test_functions_that_differ_only_in_their_closure_stay_apart(library: CompiledLibrary) -> None:
    assert agree(library, both, (10,)) == [50]


@native
def memory(a: int, x: int) -> int:
    store64(a, x)
    store32(a + 9, x)
    store16(a + 14, x)
    store8(a + 17, x)
    fill(a + 20, x, 4)
    copy(a + 25, a, 16)
    move(a + 26, a + 25, 16)
    store_release32(a + 48, x)
    store_release64(a + 56, x)
    r = load8(a + 1) + load16(a + 3) + load32(a + 9) + load_acquire32(a + 48)
    r += same(a, a + 25, 1) + 2 * same(a, a + 26, 16)
    return wrap(r + load64(a + 13) + load_acquire64(a + 56))


@native
def atomics(a: int, x: int) -> int:
    store64(a, x)
    store64(a + 8, x)
    r = atomic_add32(a, 0xFFFF_FFFF)
    r = wrap(r * 31 + atomic_add64(a + 8, wrap(0 - 3)))
    r = wrap(r * 31 + cmpxchg32(a, wrap32(x - 1), 77))
    r = wrap(r * 31 + cmpxchg64(a + 8, 5, 99))
    return wrap(r * 31 + atomic_xchg64(a + 8, r))


@native
def bits(x: int, y: int) -> int:
    r = swap16(x) + swap32(x) + leading_zeros64(x) + slt(x, y) + 2 * sle(x, y)
    r = wrap(r * 3 + (min(x, y) ^ max(x, 7)))
    return wrap(r + swap64(x) + (x & ~y) + wrap(-y) + wrap32(x))


WORDS = (0, 1, 5, 8, 0xFF, 0x1234_5678_9ABC_DEF0, 0x8000_0000, 1 << 63, U64)


@pytest.mark.parametrize("function", [memory, atomics])
def test_memory_is_left_the_same(library: CompiledLibrary, function: NativeFunction) -> None:
    block, compiled = Block(64), library.bind(function)
    for word in WORDS:
        block.view[:] = bytes(64)
        expected = function(block.address, word), bytes(block.view)
        block.view[:] = bytes(64)

        assert expected == (compiled(block.address, word), bytes(block.view))


def test_bit_intrinsics_agree(library: CompiledLibrary) -> None:
    agree(library, bits, *((x, y) for x in WORDS for y in WORDS))


def test_every_intrinsic_has_a_lowering() -> None:
    assert {function.__name__ for function in intrinsics.INTRINSICS} == set(LOWER)


@native
def now(clock: int) -> int:
    relax()
    return clock_ns(clock)


def test_the_clock_ticks_between_two_readings_of_python(library: CompiledLibrary) -> None:
    before, between, after = clock_ns(1), library.bind(now)(1), clock_ns(1)

    assert before <= between <= after


@native
def apply(address: int, x: int) -> int:
    return call(address, x, 2) + 1


@native
def multiply(x: int, y: int) -> int:
    return wrap(x * y)


def test_a_compiled_function_is_called_by_address(library: CompiledLibrary) -> None:
    assert library.bind(apply)(library.address(multiply), 21) == 43


@native
def count_up(a: int, times: int) -> int:
    for _ in range(times):
        atomic_add64(a, 1)
    return 0


def test_threads_run_at_once_and_lose_no_atomic_addition(library: CompiledLibrary) -> None:
    block, compiled = Block(8), library.bind(count_up)
    threads = [threading.Thread(target=compiled, args=(block.address, 300_000)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert load64(block.address) == 900_000


class Expression:
    """A random expression over x, y and z that stays within the subset's promises."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(("x", "y", "z", str(self.random.getrandbits(64)), "3"))
        return self.random.choice(self.FORMS)(self, depth - 1)

    def binary(self, depth: int) -> str:
        operator = self.random.choice(("+", "-", "*", "&", "|", "^"))
        return f"wrap({self.text(depth)} {operator} {self.text(depth)})"

    def divide(self, depth: int) -> str:
        operator = self.random.choice(("//", "%"))
        return f"({self.text(depth)} {operator} ({self.text(depth)} | 1))"

    def shift(self, depth: int) -> str:
        operator = self.random.choice(("<<", ">>"))
        return f"wrap({self.text(depth)} {operator} ({self.text(depth)} & 63))"

    def compare(self, depth: int) -> str:
        operator = self.random.choice(("<", "<=", ">", ">=", "==", "!="))
        return f"({self.text(depth)} {operator} {self.text(depth)})"

    def chain(self, depth: int) -> str:
        return f"({self.text(0)} <= {self.text(depth)} < {self.text(0)})"

    def logic(self, depth: int) -> str:
        operator = self.random.choice(("and", "or"))
        return f"({self.text(depth)} {operator} {self.text(depth)})"

    def choose(self, depth: int) -> str:
        return f"({self.text(depth)} if {self.text(depth)} else {self.text(depth)})"

    def unary(self, depth: int) -> str:
        form = self.random.choice(
            (
                "wrap(~{})",
                "wrap(-{})",
                "(not {})",
                "swap32({})",
                "leading_zeros64({})",
                "wrap32({})",
            )
        )
        return form.format(self.text(depth))

    def signed(self, depth: int) -> str:
        return f"{self.random.choice(('slt', 'sle'))}({self.text(depth)}, {self.text(depth)})"

    FORMS: tuple[Callable[["Expression", int], str], ...] = (
        binary, divide, shift, compare, chain, logic, choose, unary, signed,
    )  # fmt: skip


def module_of(path: Path, text: str) -> ModuleType:
    path.write_text(text)
    module = ModuleType(path.stem)
    vars(module).update(vars(intrinsics))
    exec(compile(text, str(path), "exec"), vars(module))
    return module


def test_random_expressions_agree(library: CompiledLibrary, tmp_path: Path) -> None:
    expressions = [Expression(seed).text(4) for seed in range(60)]
    body = "".join(f"    r = wrap(r * 31 + {text})\n" for text in expressions)
    text = f"@native\ndef mix(x: int, y: int, z: int) -> int:\n    r = 0\n{body}    return r\n"
    function = module_of(tmp_path / "mix.py", text).mix
    values = random.Random(1)

    arguments = [
        (values.choice(WORDS), values.getrandbits(64), values.getrandbits(8)) for _ in range(200)
    ]
    agree(library, function, *arguments)


@pytest.mark.parametrize(
    ("body", "construct"),
    [
        ("return x / 2", "the operator Div"),
        ("return [x]", "the expression List"),
        ("return 1.5", "the constant 1.5"),
        ("return unheard", "the name unheard"),
        ("return store8(x, 1)", "the value of store8"),
        ("return print(x)", "a call to print"),
        ("return x in 3", "the comparison In"),
        ("return wrap(value=x)", "a keyword or starred argument"),
        ("return helper(x, x)", "a call with 2 arguments"),
        ("x.y = 1", "assignment to x.y"),
        ("raise x", "the statement Raise"),
        ("for i in x: pass", "a for loop that is not over a range"),
        ("for i in range(1, x, 0): pass", "a step that is not a positive constant"),
        ("x", "an expression as statement"),
        ("return 99999999999999999999", "wider than 64 bits"),
    ],
)
def test_what_is_outside_the_subset_is_named(
    library: CompiledLibrary, tmp_path: Path, body: str, construct: str
) -> None:
    text = (
        "@native\ndef helper(x: int) -> int:\n    return x\n\n"
        f"@native\ndef wrong(x: int) -> int:\n    {body}\n"
    )
    function = module_of(tmp_path / "wrong.py", text).wrong

    with pytest.raises(InternalError, match=construct) as caught:
        library.bind(function)
    assert "wrong.py:7: wrong: " in str(caught.value)


def test_a_function_that_is_not_marked_is_refused(library: CompiledLibrary) -> None:
    with pytest.raises(InternalError, match="not a function marked @native"):
        library.bind(lambda: 0)
    with pytest.raises(InternalError, match="not a function marked @native"):
        PlainLibrary().bind(lambda: 0)


def test_the_plain_library_runs_python() -> None:
    assert PlainLibrary().bind(multiply)(6, 7) == 42
    assert PlainLibrary().address(multiply) == 0
