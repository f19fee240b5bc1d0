"""The public names: few, listed, importable, documented."""

import ast
import subprocess
import sys
from pathlib import Path

import skep

ROOT = Path(__file__).parents[2]


def test_there_are_few_public_names_and_each_can_be_imported() -> None:
    assert len(skep.__all__) <= 25
    assert list(skep.__all__) == sorted(skep.__all__)
    assert all(hasattr(skep, name) for name in skep.__all__)


def definition(name: str) -> ast.ClassDef | ast.FunctionDef:
    """Where a public name is defined, from the sources: compiled classes keep no docstrings."""
    path = ROOT / "src" / Path(*skep._HOME[name].split("."))
    source = path / "report.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
    raise AssertionError(f"{name} is not defined in {source}")


def test_every_public_name_has_a_docstring_and_so_have_its_methods() -> None:
    bare = []
    for name in skep.__all__:
        node = definition(name)
        bare += [name] if not ast.get_docstring(node) else []
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            public = isinstance(member, ast.FunctionDef) and not member.name.startswith("_")
            if public and not ast.get_docstring(member):
                bare.append(f"{name}.{member.name}")

    assert bare == []


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "src/skep/__init__.py").read_text())
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }

    assert typed == set(skep.__all__)


def test_importing_skep_or_its_command_line_loads_neither_llvm_nor_elf() -> None:
    script = (
        "import sys, skep, skep.cli.main\n"
        "heavy = {'llvmlite', 'elftools', 'skep.verifier', 'skep.session'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_every_package_is_given_a_place_in_the_layers() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    packages = {path.parent.name for path in (ROOT / "src/skep").glob("*/__init__.py")}

    assert [name for name in sorted(packages) if name not in text] == []
