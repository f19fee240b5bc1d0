"""Translator of the native subset of Python to LLVM IR.

``skep.base.native`` defines the subset; this module reads the source of each function with
``ast`` and writes the same meaning as IR: every value an ``i64``, every local variable a stack
slot that LLVM turns into registers. Functions that a function calls come along, transitively.
"""

import ast
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from skep.base.native import NativeFunction
from skep.engine.llvm.expressions import ARITHMETIC, Expressions
from skep.engine.llvm.text import Body
from skep.engine.source import Source, read

LINKAGE: Final = "internal "
MARK: Final = "\0"


@dataclass(frozen=True, slots=True)
class Translated:
    """One function as IR; between two marks stands a number: 0 for itself, else for a callee."""

    text: str
    callees: tuple[NativeFunction, ...]

    def named(self, linkage: str, symbol: str, callees: Sequence[str]) -> str:
        """The definition, with names in the places of numbers."""
        names = [symbol, *callees]
        parts = self.text.split(MARK)
        parts[1::2] = [names[int(number)] for number in parts[1::2]]
        return "define " + linkage + "".join(parts)


class Translator:
    """Collects native functions for one LLVM module.

    Args:
        prefix: what symbol names begin with.
    """

    def __init__(self, prefix: str = "native.") -> None:
        self._prefix = prefix
        self._symbols: dict[NativeFunction, str] = {}
        self._pending: list[tuple[NativeFunction, str]] = []
        self._exported: set[str] = set()
        self._texts: list[str] = []

    def symbol(self, function: NativeFunction, *, export: bool = False) -> str:
        """Name of *function* in the module; it is translated if it is new."""
        symbol = self._symbols.get(function)
        if symbol is None:
            symbol = f"{self._prefix}{function.__qualname__}.{len(self._symbols)}"
            self._symbols[function] = symbol
            self._pending.append((function, symbol))
        if export:
            self._exported.add(symbol)
        return symbol

    def text(self) -> str:
        """Translate what is pending and all that it calls; returns every definition."""
        while self._pending:
            function, symbol = self._pending.pop()
            linkage = "" if symbol in self._exported else LINKAGE
            translated = translate(function)
            callees = [self.symbol(callee) for callee in translated.callees]
            self._texts.append(translated.named(linkage, symbol, callees))
        return "\n".join(self._texts)


@functools.cache
def translate(function: NativeFunction) -> Translated:
    """Translate one function."""
    source = read(function)
    body = Body(len(source.parameters))
    callees: dict[NativeFunction, int] = {}

    def symbol(callee: NativeFunction) -> str:
        return f"{MARK}{callees.setdefault(callee, len(callees) + 1)}{MARK}"

    statements = _Statements(source, body, symbol)
    statements.write()
    text = body.define(f"{MARK}0{MARK}").removeprefix("define ")
    return Translated(text, tuple(callees))


class _Statements:
    def __init__(self, source: Source, body: Body, symbol: Callable[[NativeFunction], str]) -> None:
        self.source, self.body = source, body
        self.locals: dict[str, str] = {}
        self.expressions = Expressions(source, body, self.locals, symbol)
        self.loops: list[tuple[str, str]] = []  # targets of continue and of break
        self._by_type: dict[type[ast.stmt], Callable[[ast.stmt], None]] = {
            ast.Assign: self._assign,
            ast.AnnAssign: self._annotated,
            ast.AugAssign: self._augmented,
            ast.If: self._if,
            ast.While: self._while,
            ast.For: self._for,
            ast.Break: self._break,
            ast.Continue: self._continue,
            ast.Return: self._return,
            ast.Expr: self._expression,
            ast.Pass: lambda _: None,
        }

    def write(self) -> None:
        body, tree = self.body, self.source.tree
        for name in self._local_names():
            self.locals[name] = body.local(f"var.{name}")
        for n, name in enumerate(self.source.parameters):
            body.emit(f"store i64 %a{n}, ptr {self.locals[name]}")
        self._block(tree.body)
        body.end("ret i64 0")

    def _local_names(self) -> Sequence[str]:
        stored = (
            node.id
            for node in ast.walk(self.source.tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        )
        return list(dict.fromkeys((*self.source.parameters, *stored)))

    def _block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if self.body.closed:  # after return, break or continue
                return
            write = self._by_type.get(type(statement))
            if write is None:
                raise self.source.refuse(statement, f"the statement {type(statement).__name__}")
            write(statement)

    def _store(self, target: ast.expr, value: str) -> None:
        if not isinstance(target, ast.Name):
            raise self.source.refuse(target, f"assignment to {ast.unparse(target)}")
        self.body.emit(f"store i64 {value}, ptr {self.locals[target.id]}")

    def _assign(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.Assign)
        value = self.expressions.value(node.value)
        for target in node.targets:
            self._store(target, value)

    def _annotated(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.AnnAssign)
        if node.value is not None:
            self._store(node.target, self.expressions.value(node.value))

    def _augmented(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.AugAssign)
        operation = ARITHMETIC.get(type(node.op))
        if operation is None or not isinstance(node.target, ast.Name):
            raise self.source.refuse(node, f"the statement {ast.unparse(node)}")
        old = self.body.value(f"load i64, ptr {self.locals[node.target.id]}")
        value = self.expressions.value(node.value)
        self._store(node.target, self.body.value(f"{operation} i64 {old}, {value}"))

    def _if(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.If)
        body = self.body
        yes, no, done = body.fresh("then"), body.fresh("else"), body.fresh("endif")
        self.expressions.branch(node.test, yes, no if node.orelse else done)
        body.label(yes)
        self._block(node.body)
        body.jump(done)
        if node.orelse:
            body.label(no)
            self._block(node.orelse)
        body.label(done)

    def _while(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.While)
        if node.orelse:
            raise self.source.refuse(node, "else after a loop")
        body = self.body
        test, loop, done = body.fresh("while"), body.fresh("loop"), body.fresh("done")
        body.label(test)
        self.expressions.branch(node.test, loop, done)
        body.label(loop)
        self._loop(node.body, test, done)
        body.jump(test)
        body.label(done)

    def _for(self, node: ast.stmt) -> None:
        """Count in a hidden variable, so that the loop's own may be assigned to."""
        assert isinstance(node, ast.For)
        body = self.body
        start, stop, step = self._range(node)
        counter = body.local(body.fresh("counter"))
        loop, more, done = body.fresh("for"), body.fresh("next"), body.fresh("done")
        again = body.fresh("again")
        body.emit(f"store i64 {start}, ptr {counter}")
        body.fork(body.value(f"icmp ult i64 {start}, {stop}"), loop, done)
        body.label(loop)
        self._store(node.target, body.value(f"load i64, ptr {counter}"))
        self._loop(node.body, more, done)
        body.label(more)
        count = body.value(f"load i64, ptr {counter}")
        left = body.value(f"sub i64 {stop}, {count}")
        body.fork(body.value(f"icmp ugt i64 {left}, {step}"), again, done)
        body.label(again)
        body.emit(f"store i64 {body.value(f'add i64 {count}, {step}')}, ptr {counter}")
        body.jump(loop)
        body.label(done)

    def _loop(self, statements: Sequence[ast.stmt], again: str, done: str) -> None:
        self.loops.append((again, done))
        self._block(statements)
        self.loops.pop()

    def _range(self, node: ast.For) -> tuple[str, str, str]:
        bounds = node.iter
        is_range = (
            isinstance(bounds, ast.Call)
            and isinstance(bounds.func, ast.Name)
            and bounds.func.id == "range"
        )
        if node.orelse or not is_range or not isinstance(bounds, ast.Call):
            raise self.source.refuse(node, "a for loop that is not over a range")
        values = [self.expressions.value(bound) for bound in bounds.args]
        if len(values) == 1:
            return "0", values[0], "1"
        step = values[2] if len(values) == 3 else "1"
        if not step.isdigit() or step == "0":
            raise self.source.refuse(node, "a step that is not a positive constant")
        return values[0], values[1], step

    def _break(self, _: ast.stmt) -> None:
        self.body.jump(self.loops[-1][1])

    def _continue(self, _: ast.stmt) -> None:
        self.body.jump(self.loops[-1][0])

    def _return(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.Return)
        value = "0" if node.value is None else self.expressions.value(node.value)
        self.body.end(f"ret i64 {value}")

    def _expression(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.Expr)
        if isinstance(node.value, ast.Call):
            self.expressions.call(node.value)
        elif not isinstance(node.value, ast.Constant):  # a docstring
            raise self.source.refuse(node, "an expression as statement")
