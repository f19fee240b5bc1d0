"""The tables hold together: what one names, another has; every meaning has every reading."""

from skep.engine.llvm import alu
from skep.isa.meaning import COMPARE, EVAL
from skep.isa.table import OPS as ROWS
from skep.isa.table import Kind, Sem
from skep.maps.families import FAMILIES
from skep.syscall.catalog import BINDINGS, IMPLEMENTED, KFUNC_BINDINGS
from skep.syscall.routes import HANDLERS
from skep.uapi import commands, contexts, helpers, map_types, program_types
from skep.verifier.transfer.alu import TRANSFER


def test_every_arithmetic_meaning_has_every_reading() -> None:
    meanings = {row.sem for row in ROWS if row.kind is Kind.ALU}
    meanings -= {Sem.PERCPU}  # only the kernel's own rewriting makes it; programs may not

    assert meanings <= set(EVAL)
    assert meanings <= set(TRANSFER)
    assert meanings <= set(alu.LOWER)


def test_every_comparison_can_be_evaluated() -> None:
    assert {row.sem for row in ROWS if row.kind is Kind.JUMP} <= set(COMPARE)


def test_every_command_has_a_handler() -> None:
    assert set(HANDLERS) == {row.number for row in commands.COMMANDS}
    assert [row.number for row in commands.COMMANDS] == list(range(39))


def test_there_are_211_helpers_and_each_program_type_names_real_ones() -> None:
    numbers = {row.id for row in helpers.HELPERS}

    assert numbers == set(range(1, 212))
    assert all(row.helpers <= numbers for row in program_types.PROGRAM_TYPES)
    assert numbers >= IMPLEMENTED


def test_no_helper_is_bound_twice() -> None:
    ids = [binding.id for binding in BINDINGS]

    assert len(ids) == len(set(ids))


def test_no_kernel_function_is_bound_twice() -> None:
    names = [binding.name for binding in KFUNC_BINDINGS]

    assert len(names) == len(set(names))


def test_every_context_of_a_program_type_exists() -> None:
    named = {row.context for row in program_types.PROGRAM_TYPES if row.context}

    assert {name for name in named if contexts.by_name(name) is None} == set()


def test_every_map_class_stands_for_a_known_type() -> None:
    assert set(FAMILIES) <= {row.id for row in map_types.MAP_TYPES}


def test_every_meaning_belongs_to_an_instruction() -> None:
    assert {row.sem for row in ROWS} == set(Sem)
