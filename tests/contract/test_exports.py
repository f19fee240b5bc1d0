"""The public names: few, listed, importable, documented."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import skep

ROOT = Path(__file__).parents[2]


def test_there_are_few_public_names_and_each_can_be_imported() -> None:
    assert len(skep.__all__) <= 25
    assert list(skep.__all__) == sorted(skep.__all__)
    assert all(hasattr(skep, name) for name in skep.__all__)


def test_every_public_name_has_a_docstring_and_so_have_its_methods() -> None:
    bare = []
    for name in skep.__all__:
        thing = getattr(skep, name)
        bare += [name] if not thing.__doc__ else []
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and inspect.isfunction(value) and not value.__doc__:
                bare.append(f"{name}.{member}")

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
