"""Every refusal of bpf(2) is a row of a table, and every row is driven: none silent or untested."""

import ast
import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest

import skep.uapi
from contract import refusals
from contract.refusals.bench import Bench, Driver
from skep.errors import errno_name
from skep.uapi import commands
from skep.uapi.reason import Reason

SOURCE = Path(__file__).parents[2] / "src" / "skep"
ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*")
TABLES = {
    module.name: importlib.import_module(f"skep.uapi.{module.name}")
    for module in pkgutil.iter_modules(skep.uapi.__path__)
    if module.name.startswith("reasons_")
}
ROWS = [
    (table, name, row)
    for table, module in TABLES.items()
    for name, row in vars(module).items()
    if isinstance(row, Reason)
]


def driver_modules() -> list[object]:
    names = [module.name for module in pkgutil.iter_modules(refusals.__path__)]
    return [importlib.import_module(f"contract.refusals.{name}") for name in names]


def drivers() -> list[tuple[Reason, Driver]]:
    return [pair for module in driver_modules() for pair in getattr(module, "DRIVERS", {}).items()]


@pytest.mark.acceptance("M14", "M40", "M41", "M42", "M43", "M44", "M45", "M48", "M49")
@pytest.mark.parametrize(("row", "driver"), drivers(), ids=lambda part: getattr(part, "id", ""))
def test_the_call_is_refused_for_the_reason(row: Reason, driver: Driver) -> None:
    bench = Bench()
    driver(bench)
    error = bench.subsystem.last_error

    assert error is not None, "the last call was not refused"
    assert (getattr(error, "rule", ""), bench.result) == (row.id, -row.errno), error
    if row.field:
        assert getattr(error, "field", "") == row.field
    if bench.command is not None and getattr(error, "command", "") == bench.command.name:
        assert row.errno in {**bench.command.fails, **commands.ALWAYS}


def test_every_reason_has_one_driver() -> None:
    driven = Counter(row.id for row, _ in drivers())
    listed = {row.id for _, _, row in ROWS}

    assert sorted(listed - driven.keys()) == []
    assert sorted(driven.keys() - listed) == []
    assert [name for name, times in driven.items() if times > 1] == []


def test_every_reason_has_an_id_of_its_own() -> None:
    ids = Counter(row.id for _, _, row in ROWS)

    assert [id_ for id_, times in ids.items() if times > 1] == []
    assert [id_ for id_ in ids if not ID.fullmatch(id_)] == []


def test_every_reason_says_what_is_allowed_and_has_a_known_errno() -> None:
    assert [row.id for _, _, row in ROWS if not row.allowed] == []
    assert [row.id for _, _, row in ROWS if errno_name(row.errno).isdigit()] == []


def test_every_reason_is_given_somewhere() -> None:
    used = {name for path in SOURCE.rglob("*.py") for name in reasons_of(path)}

    assert sorted({(table, name) for table, name, _ in ROWS} - used) == []


def reasons_of(path: Path) -> set[tuple[str, str]]:
    """The rows that a module names, as (table, constant)."""
    tree = ast.parse(path.read_text())
    tables: dict[str, str] = {}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "skep.uapi":
            known = [alias for alias in node.names if alias.name in TABLES]
            tables |= {alias.asname or alias.name: alias.name for alias in known}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skep.uapi.reas"):
            table = str(node.module).rpartition(".")[2]
            found |= {(table, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add((tables.get(node.value.id, ""), node.attr))
    return found


# What is raised without a row, and why that is right.
WITHOUT_ROW = {
    ("syscall/call.py", "write"): "the door gives it a row: memory that cannot be written",
    ("maps/stored.py", "check_key"): "the door reads keys of the right size: a mistake in Python",
    ("maps/stored.py", "check_value"): "the same of values",
    ("maps/perf.py", "__init__"): "no command: the ring's owner makes it in Python",
    ("maps/user_ring.py", "reserve"): "no command: user space writes its records in Python",
    ("syscall/object_types.py", "_object_type"): "asked by the engine; the door gives it a row",
    ("syscall/object_types.py", "_cpumask_type"): "the same",
}
BARE = {"CommandError", "NotSupported", "Fault"}


def test_no_handler_refuses_without_a_row() -> None:
    found = {
        (str(path.relative_to(SOURCE)), function.name)
        for folder in ("syscall", "maps")
        for path in (SOURCE / folder).glob("*.py")
        if path.name != "files.py"  # calls of the file system, which are no commands
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef) and any(map(is_bare, ast.walk(function)))
    }

    assert sorted(found - WITHOUT_ROW.keys()) == []
    assert sorted(WITHOUT_ROW.keys() - found) == []


def is_bare(node: ast.AST) -> bool:
    """Whether *node* makes a refusal that has no row."""
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in BARE
