"""Files and functions stay small; what may be longer is listed with its reason."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "skep"
MAX_MODULE = 400
MAX_FUNCTION = 50

TABLES = (  # one fact a line: they grow with Linux, not with us
    "uapi/",
    "isa/table.py",
    "loader/sections.py",
)


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def test_no_module_is_longer_than_the_limit() -> None:
    long = {
        str(path.relative_to(SOURCE)): lines
        for path in modules()
        if not str(path.relative_to(SOURCE)).startswith(TABLES)
        and (lines := len(path.read_text().splitlines())) > MAX_MODULE
    }

    assert long == {}


def test_no_function_is_longer_than_the_limit() -> None:
    long = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION:
                    long[f"{path.relative_to(SOURCE)}:{node.name}"] = lines

    assert long == {}
