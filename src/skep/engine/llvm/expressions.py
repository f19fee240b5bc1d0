"""Expressions of the native subset to LLVM IR.

``value`` gives an ``i64``; ``branch`` jumps on truth, so that conditions cost no 0 or 1.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Final

from skep.base.bits import S64_MIN, U64
from skep.base.native import NativeFunction, is_native
from skep.engine.llvm.intrinsics import LOWER, VOID
from skep.engine.llvm.text import Body, integers
from skep.engine.source import INTRINSIC_NAMES, Source, arity

ARITHMETIC: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "udiv", ast.Mod: "urem",
    ast.LShift: "shl", ast.RShift: "lshr", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
}  # fmt: skip
COMPARISON: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "ult", ast.LtE: "ule", ast.Gt: "ugt", ast.GtE: "uge",
}  # fmt: skip


class Expressions:
    """Writes expressions of one function into its body.

    Args:
        source: the function.
        body: where instructions go.
        locals_: pointer of each local variable.
        symbol: gives the LLVM name of another native function, and sees that it is translated.
    """

    def __init__(
        self,
        source: Source,
        body: Body,
        locals_: dict[str, str],
        symbol: Callable[[NativeFunction], str],
    ) -> None:
        self.source, self.body, self.locals, self.symbol = source, body, locals_, symbol
        self._by_type: dict[type[ast.expr], Callable[[ast.expr], str]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.Attribute: self._name,
            ast.BinOp: self._arithmetic,
            ast.UnaryOp: self._unary,
            ast.BoolOp: self._short_circuit,
            ast.IfExp: self._choose,
            ast.Compare: self._compare,
            ast.Call: self._call_value,
        }

    def value(self, node: ast.expr) -> str:
        """Write *node*; returns the name of its 64-bit result."""
        lower = self._by_type.get(type(node))
        if lower is None:
            raise self.source.refuse(node, f"the expression {type(node).__name__}")
        return lower(node)

    def branch(self, node: ast.expr, yes: str, no: str) -> None:
        """Jump to *yes* if *node* is true, else to *no*."""
        body = self.body
        if isinstance(node, ast.BoolOp):
            conjunction = isinstance(node.op, ast.And)
            for operand in node.values[:-1]:
                more = body.fresh("more")
                self.branch(operand, *((more, no) if conjunction else (yes, more)))
                body.label(more)
            self.branch(node.values[-1], yes, no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.branch(node.operand, no, yes)
        elif isinstance(node, ast.Compare):
            self._branch_compare(node, yes, no)
        else:
            body.fork(body.value(f"icmp ne i64 {self.value(node)}, 0"), yes, no)

    def call(self, node: ast.Call) -> str:
        """Write a call; returns its result, or "" for an intrinsic that has none."""
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self.source.refuse(node, "a keyword or starred argument")
        target = self.source.meaning(node.func)
        args = [self.value(argument) for argument in node.args]
        intrinsic = INTRINSIC_NAMES.get(id(target))
        if intrinsic is not None:
            return LOWER[intrinsic](self.body, args)
        if is_native(target) and callable(target):
            return self._call_native(node, target, args)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "int" and len(args) == 1:
            return args[0]
        if name in {"min", "max"} and len(args) == 2:
            return self.body.value(f"call i64 @llvm.u{name}.i64({integers(args)})")
        raise self.source.refuse(node, f"a call to {ast.unparse(node.func)}")

    def _call_native(self, node: ast.Call, target: NativeFunction, args: list[str]) -> str:
        if len(args) != arity(target):
            raise self.source.refuse(node, f"a call with {len(args)} arguments")
        return self.body.value(f'call i64 @"{self.symbol(target)}"({integers(args)})')

    def _call_value(self, node: ast.expr) -> str:
        assert isinstance(node, ast.Call)
        target = INTRINSIC_NAMES.get(id(self.source.meaning(node.func)))
        if target in VOID:
            raise self.source.refuse(node, f"the value of {target}")
        return self.call(node)

    def _constant(self, node: ast.expr) -> str:
        assert isinstance(node, ast.Constant)
        if not isinstance(node.value, int):
            raise self.source.refuse(node, f"the constant {node.value!r}")
        return self._integer(node, node.value)

    def _name(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name) and node.id in self.locals:
            return self.body.value(f"load i64, ptr {self.locals[node.id]}")
        constant = self.source.meaning(node)
        if not isinstance(constant, int):
            raise self.source.refuse(node, f"the name {ast.unparse(node)}")
        return self._integer(node, constant)

    def _integer(self, node: ast.expr, value: int) -> str:
        if not S64_MIN <= value <= U64:
            raise self.source.refuse(node, f"the constant {value:#x}, wider than 64 bits,")
        return str(int(value))

    def _arithmetic(self, node: ast.expr) -> str:
        assert isinstance(node, ast.BinOp)
        operation = ARITHMETIC.get(type(node.op))
        if operation is None:
            raise self.source.refuse(node, f"the operator {type(node.op).__name__}")
        x, y = self.value(node.left), self.value(node.right)
        return self.body.value(f"{operation} i64 {x}, {y}")

    def _unary(self, node: ast.expr) -> str:
        assert isinstance(node, ast.UnaryOp)
        if isinstance(node.op, ast.Not):
            return self._as_truth(node)
        operand = self.value(node.operand)
        if isinstance(node.op, ast.Invert):
            return self.body.value(f"xor i64 {operand}, -1")
        if isinstance(node.op, ast.USub):
            return self.body.value(f"sub i64 0, {operand}")
        return operand

    def _compare(self, node: ast.expr) -> str:
        assert isinstance(node, ast.Compare)
        if len(node.ops) > 1:
            return self._as_truth(node)
        return self.body.truth(self._one_compare(node, node.ops[0], node.left, node.comparators[0]))

    def _one_compare(self, node: ast.expr, op: ast.cmpop, x: ast.expr, y: ast.expr) -> str:
        return self._predicate(node, op, self.value(x), self.value(y))

    def _predicate(self, node: ast.expr, op: ast.cmpop, x: str, y: str) -> str:
        predicate = COMPARISON.get(type(op))
        if predicate is None:
            raise self.source.refuse(node, f"the comparison {type(op).__name__}")
        return self.body.value(f"icmp {predicate} i64 {x}, {y}")

    def _branch_compare(self, node: ast.Compare, yes: str, no: str) -> None:
        x = self.value(node.left)
        for op, operand in zip(node.ops[:-1], node.comparators[:-1], strict=True):
            y = self.value(operand)
            more = self.body.fresh("more")
            self.body.fork(self._predicate(node, op, x, y), more, no)
            self.body.label(more)
            x = y
        y = self.value(node.comparators[-1])
        self.body.fork(self._predicate(node, node.ops[-1], x, y), yes, no)

    def _as_truth(self, node: ast.expr) -> str:
        """A condition as 0 or 1, through branches."""
        body, slot = self.body, self._slot()
        yes, no, done = body.fresh("yes"), body.fresh("no"), body.fresh("done")
        self.branch(node, yes, no)
        for label, truth in ((yes, 1), (no, 0)):
            body.label(label)
            body.emit(f"store i64 {truth}, ptr {slot}")
            body.jump(done)
        body.label(done)
        return body.value(f"load i64, ptr {slot}")

    def _short_circuit(self, node: ast.expr) -> str:
        """``a or b``: the value of the operand that decides, as in Python."""
        assert isinstance(node, ast.BoolOp)
        body, slot, done = self.body, self._slot(), self.body.fresh("done")
        for operand in node.values[:-1]:
            value, more = self.value(operand), body.fresh("more")
            body.emit(f"store i64 {value}, ptr {slot}")
            truth = body.value(f"icmp ne i64 {value}, 0")
            body.fork(truth, *((more, done) if isinstance(node.op, ast.And) else (done, more)))
            body.label(more)
        body.emit(f"store i64 {self.value(node.values[-1])}, ptr {slot}")
        body.label(done)
        return body.value(f"load i64, ptr {slot}")

    def _choose(self, node: ast.expr) -> str:
        assert isinstance(node, ast.IfExp)
        body, slot = self.body, self._slot()
        yes, no, done = body.fresh("yes"), body.fresh("no"), body.fresh("done")
        self.branch(node.test, yes, no)
        for label, operand in ((yes, node.body), (no, node.orelse)):
            body.label(label)
            body.emit(f"store i64 {self.value(operand)}, ptr {slot}")
            body.jump(done)
        body.label(done)
        return body.value(f"load i64, ptr {slot}")

    def _slot(self) -> str:
        return self.body.local(self.body.fresh("slot"))
