"""Machine code as Python functions, several times as fast to call as through ctypes.

One small native function for each number of arguments speaks CPython's vector-call convention:
it turns Python ints into words, lets go of the interpreter lock, calls the machine code, and turns
the result back into an int. ``ctypes`` only serves to hand it to the interpreter.

Source: https://docs.python.org/3/c-api/structures.html (METH_FASTCALL).
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

from skep.engine.llvm.machine import Loaded, Machine

METH_FASTCALL: Final = 0x0080
MOST_ARGUMENTS: Final = 12
API: Final = {
    "PyTuple_GetItem": "ptr (ptr, i64)",
    "PyLong_AsUnsignedLongLongMask": "i64 (ptr)",
    "PyErr_Occurred": "ptr ()",
    "PyErr_BadArgument": "i32 ()",
    "PyEval_SaveThread": "ptr ()",
    "PyEval_RestoreThread": "void (ptr)",
    "PyLong_FromUnsignedLongLong": "ptr (i64)",
}


class MethodDef(ctypes.Structure):
    """A PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Callers:
    """Makes Python functions of machine code.

    Args:
        machine: compiles the callers, once for all functions.
    """

    def __init__(self, machine: Machine) -> None:
        symbols = [f"caller.{count}" for count in range(MOST_ARGUMENTS + 1)]
        text = "".join(_declarations()) + "\n".join(map(_caller, range(MOST_ARGUMENTS + 1)))
        api = {name: address_of_function(getattr(ctypes.pythonapi, name)) for name in API}
        self._loaded = machine.load(text, symbols, api)
        self._addresses = [self._loaded.address(symbol) for symbol in symbols]
        self._new = ctypes.pythonapi.PyCFunction_NewEx
        self._new.restype = ctypes.py_object
        self._new.argtypes = [ctypes.POINTER(MethodDef), ctypes.py_object, ctypes.py_object]

    def function(self, name: str, code: Loaded, address: int, count: int) -> Callable[..., int]:
        """A function of *count* ints that calls *address* in *code*, and keeps the code alive.

        Ints are taken modulo 2**64; anything else is a TypeError.
        """
        method = MethodDef(name.encode(), self._addresses[count], METH_FASTCALL, None)
        keep = (address, code, method, self._loaded)
        made: Callable[..., int] = self._new(ctypes.byref(method), keep, "skep")
        return made


def address_of_function(function: Any) -> int:
    """Address of a function that ctypes knows."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _declarations() -> list[str]:
    split = (signature.split(" ", 1) for signature in API.values())
    return [
        f"declare {result} @{name}{arguments} #1\n"
        for name, (result, arguments) in zip(API, split, strict=True)
    ]


def _caller(count: int) -> str:
    """The caller for *count* arguments; *self* is a tuple that begins with the address."""
    loads = "".join(_argument(n) for n in range(count))
    words = ", ".join(f"i64 %word.{n}" for n in range(count))
    return f"""\
define ptr @"caller.{count}"(ptr %self, ptr %args, i64 %given) #0 {{
  %fits = icmp eq i64 %given, {count}
  br i1 %fits, label %convert, label %refuse
convert:
  %target = call ptr @PyTuple_GetItem(ptr %self, i64 0)
  %address = call i64 @PyLong_AsUnsignedLongLongMask(ptr %target)
{loads}  %error = call ptr @PyErr_Occurred()
  %good = icmp eq ptr %error, null
  br i1 %good, label %run, label %fail
run:
  %thread = call ptr @PyEval_SaveThread()
  %code = inttoptr i64 %address to ptr
  %result = call i64 %code({words})
  call void @PyEval_RestoreThread(ptr %thread)
  %number = call ptr @PyLong_FromUnsignedLongLong(i64 %result)
  ret ptr %number
refuse:
  %ignored = call i32 @PyErr_BadArgument()
  br label %fail
fail:
  ret ptr null
}}
"""


def _argument(n: int) -> str:
    return (
        f"  %place.{n} = getelementptr ptr, ptr %args, i64 {n}\n"
        f"  %object.{n} = load ptr, ptr %place.{n}\n"
        f"  %word.{n} = call i64 @PyLong_AsUnsignedLongLongMask(ptr %object.{n})\n"
    )
