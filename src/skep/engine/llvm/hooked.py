"""Functions of a program that have hooks, as LLVM IR.

The function itself gets another name, and a wrapper takes its own::

    define i64 @"sub.24"(run, r1 .. r5)  ->  define internal i64 @"sub.24.body"(run, r1 .. r5)
                                             define internal i64 @"sub.24"(run, r1 .. r5)
"""

from typing import Final

from skep.engine.hooks import REGISTERS, FunctionHooks, Tracer
from skep.engine.llvm.linkage import Linkage
from skep.engine.llvm.text import Body, integers
from skep.runtime.invocation import COOKIE, FAULT, TAIL_CALLS

PARAMETERS: Final = REGISTERS + 1
RUN: Final = "%a0"


def with_hooks(text: str, symbol: str, hooks: FunctionHooks, linkage: Linkage) -> str:
    """The definition *text* of function *symbol*, and its wrapper; only that if it is replaced."""
    scope = "" if symbol == "main" else "internal "
    if hooks.instead is not None:
        return _replaced(symbol, scope, linkage.program(hooks.instead.address))
    head = f'define {scope}i64 @"{symbol}"('
    assert text.startswith(head), "a function begins with its name"
    body = f'define internal i64 @"{symbol}.body"({text.removeprefix(head)}'
    return body + "\n" + _traced(symbol, scope, hooks, linkage)


def _replaced(symbol: str, scope: str, program: str) -> str:
    body = Body(PARAMETERS)
    arguments = integers(f"%a{number}" for number in range(PARAMETERS))
    result = body.value(f'musttail call i64 @"{program}"({arguments})')
    body.end(f"ret i64 {result}")
    return body.define(symbol, "#0", scope)


def _traced(symbol: str, scope: str, hooks: FunctionHooks, linkage: Linkage) -> str:
    body = Body(PARAMETERS)
    words = body.local("words", f"[{REGISTERS + 2} x i64]")
    _put(body, words, 0, str(hooks.arguments))
    for number in range(1, hooks.arguments + 1):
        _put(body, words, number, f"%a{number}")
    context = body.value(f"ptrtoint ptr {_place(body, words, 1)} to i64")
    kept = [_load(body, offset) for offset in (COOKIE, TAIL_CALLS)]
    for tracer in hooks.before:
        _call(body, tracer, context, linkage)
    _keep(body, kept)
    arguments = integers(f"%a{number}" for number in range(PARAMETERS))
    result = body.value(f'call i64 @"{symbol}.body"({arguments})')
    if hooks.after:
        _leave_if_thrown(body, result)
    _put(body, words, hooks.arguments + 1, result)
    kept[1] = _load(body, TAIL_CALLS)
    for tracer in hooks.after:
        _call(body, tracer, context, linkage)
    _keep(body, kept)
    body.end(f"ret i64 {result}")
    return body.define(symbol, "#0", scope)


def _leave_if_thrown(body: Body, result: str) -> None:
    """Nobody sees a function end that something was thrown through."""
    thrown, ended = body.fresh("thrown"), body.fresh("ended")
    body.fork(body.value(f"icmp ne i64 {_load(body, FAULT)}, 0"), thrown, ended)
    body.label(thrown)
    body.end(f"ret i64 {result}")
    body.label(ended)


def _call(body: Body, tracer: Tracer, context: str, linkage: Linkage) -> None:
    """Run *tracer*: it has its own cookie, and makes its own tail calls."""
    _keep(body, [str(tracer.cookie), "0"])
    program = linkage.program(tracer.entry.address)
    arguments = integers([RUN, context, *["0"] * (REGISTERS - 1)])
    body.value(f'call i64 @"{program}"({arguments})')


def _keep(body: Body, words: list[str]) -> None:
    for offset, word in zip((COOKIE, TAIL_CALLS), words, strict=True):
        place = body.pointer(body.value(f"add i64 {RUN}, {offset}"))
        body.emit(f"store i64 {word}, ptr {place}")


def _load(body: Body, offset: int) -> str:
    place = body.pointer(body.value(f"add i64 {RUN}, {offset}"))
    return body.value(f"load i64, ptr {place}")


def _place(body: Body, words: str, index: int) -> str:
    return body.value(f"getelementptr i64, ptr {words}, i64 {index}")


def _put(body: Body, words: str, index: int, value: str) -> None:
    body.emit(f"store i64 {value}, ptr {_place(body, words, index)}")
