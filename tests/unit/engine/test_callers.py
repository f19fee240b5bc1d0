"""Machine code as Python functions: conversion, errors, lifetime, the interpreter lock."""

import gc
import threading
from collections.abc import Callable

import pytest

from skep.base.bits import U64
from skep.base.memory import Block
from skep.base.native import load64, native, relax, store64, wrap
from skep.engine.llvm.library import CompiledLibrary


@native
def combine(x: int, y: int, z: int) -> int:
    return wrap(x * 10_000 + y * 100 + z)


@native
def nothing() -> int:
    return 5


@native
def wait_for(address: int) -> int:
    while load64(address) == 0:
        relax()
    return load64(address)


@pytest.fixture(scope="module")
def library() -> CompiledLibrary:
    return CompiledLibrary()


def test_arguments_keep_their_order_and_wrap(library: CompiledLibrary) -> None:
    function = library.bind(combine)

    assert function(1, 2, 3) == 10203
    assert function(0, 0, -1) == U64
    assert function(0, 0, (1 << 64) + 9) == 9
    assert library.bind(nothing)() == 5


@pytest.mark.parametrize("arguments", [(), (1, 2), (1, 2, 3, 4), (1, "2", 3), (1, 2, None)])
def test_what_is_not_three_ints_is_a_type_error(
    library: CompiledLibrary, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(TypeError):
        library.bind(combine)(*arguments)


def test_a_function_outlives_its_library() -> None:
    function: Callable[..., int] = CompiledLibrary().bind(combine)
    gc.collect()

    assert function(4, 5, 6) == 40506


def test_other_threads_run_while_machine_code_does(library: CompiledLibrary) -> None:
    block, results = Block(8), list[int]()
    waiting = library.bind(wait_for)
    thread = threading.Thread(target=lambda: results.append(waiting(block.address)))
    thread.start()
    store64(block.address, 7)
    thread.join(10)

    assert results == [7]
