"""A native function as the translator sees it: its syntax tree and what its names mean.

A construct outside the subset is an ``InternalError`` that names the file, the line and the
construct: native functions are part of skep, so this is never the user's mistake.
"""

import ast
import inspect
import linecache
import textwrap
from dataclasses import dataclass
from types import FunctionType
from typing import Final, cast

from skep.base.native import INTRINSICS, NativeFunction, is_native
from skep.errors import InternalError

INTRINSIC_NAMES: Final = {id(function): function.__name__ for function in INTRINSICS}


@dataclass(frozen=True, slots=True)
class Source:
    """One native function, parsed."""

    function: FunctionType
    tree: ast.FunctionDef
    file: str
    line: int  # of the first line of the parsed text
    names: dict[str, object]  # closure over globals

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(argument.arg for argument in self.tree.args.args)

    def refuse(self, node: ast.AST, construct: str) -> InternalError:
        """Make the error for *construct* at *node*."""
        line = self.line + getattr(node, "lineno", 1) - 1
        return InternalError(
            f"{self.file}:{line}: {self.function.__qualname__}: "
            f"{construct} is outside the native subset"
        )

    def meaning(self, node: ast.expr) -> object:
        """What a global name, or an attribute of one, stands for; None if nothing."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            return getattr(self.meaning(node.value), node.attr, None)
        return None


def arity(function: NativeFunction) -> int:
    """How many parameters *function* takes."""
    return cast("FunctionType", function).__code__.co_argcount


def names_of(function: FunctionType) -> dict[str, object]:
    """What every name means in *function*: its closure, then its globals."""
    cells = function.__closure__ or ()
    closure = {
        name: cell.cell_contents
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True)
    }
    return {**function.__globals__, **closure}


def _text(function: FunctionType) -> str:
    """Source of *function*: from its first line to the last one that any instruction has.

    ``inspect.getsource`` finds the end by reading tokens, which costs more than all the rest.
    """
    code = function.__code__
    ends = [end for _, end, _, _ in code.co_positions() if end is not None]
    if not ends:  # python -X no_debug_ranges
        return inspect.getsource(function)
    lines = linecache.getlines(code.co_filename, function.__globals__)
    return "".join(lines[code.co_firstlineno - 1 : max(ends)])


def read(function: NativeFunction) -> Source:
    """Parse *function*, which must be marked ``@native``."""
    if not isinstance(function, FunctionType) or not is_native(function):
        raise InternalError(f"{function!r} is not a function marked @native")
    file, line = function.__code__.co_filename, function.__code__.co_firstlineno
    text = textwrap.dedent(_text(function))
    tree = ast.parse(text).body[0] if text else None
    if not isinstance(tree, ast.FunctionDef):
        raise InternalError(f"{file}:{line}: {function.__qualname__} has no source")
    source = Source(function, tree, file, line, names_of(function))
    _check_signature(source)
    return source


def _check_signature(source: Source) -> None:
    given = source.tree.args
    if given.vararg or given.kwarg or given.kwonlyargs or given.defaults:
        raise source.refuse(source.tree, "a parameter that is not plain and positional")


def weight(function: NativeFunction) -> int:
    """Bytes of bytecode of *function* and all it calls: how much inlining it would cost."""
    seen: set[FunctionType] = set()
    pending = [cast("FunctionType", function)]
    while pending:
        found = pending.pop()
        if found in seen:
            continue
        seen.add(found)
        names = names_of(found)
        used = (names.get(name) for name in (*found.__code__.co_names, *found.__code__.co_freevars))
        pending += [value for value in used if isinstance(value, FunctionType) and is_native(value)]
    return sum(len(each.__code__.co_code) for each in seen)
