"""Element callers: how the host reaches the elements of a map, bytes in and bytes out.

Three native functions speak CPython's vector-call convention. Each takes the address and sizes of
its map from bytes that the function object holds, runs machine code on the bytes that it is given,
and makes the bytes that it returns; the interpreter lock is held throughout, so the machine code
must not wait for anything that needs it.

Source: https://docs.python.org/3/c-api/bytes.html, structures.html (METH_FASTCALL).
"""

import ctypes
import struct
from collections.abc import Callable
from typing import Any, Final

from skep.engine.llvm.callers import METH_FASTCALL, MethodDef, address_of_function
from skep.engine.llvm.machine import Loaded, Machine
from skep.maps.creation import ElementCalls

_FRAME: Final = struct.Struct("=4Q")  # code, map, key size, value size
_API: Final = {
    "PyTuple_GetItem": "ptr (ptr, i64)",
    "PyBytes_AsString": "ptr (ptr)",
    "PyBytes_AsStringAndSize": "i32 (ptr, ptr, ptr)",
    "PyBytes_FromStringAndSize": "ptr (ptr, i64)",
    "PyErr_Clear": "void ()",
    "PyErr_Occurred": "ptr ()",
    "PyErr_BadArgument": "i32 ()",
    "PyLong_AsUnsignedLongLongMask": "i64 (ptr)",
    "PyLong_FromUnsignedLongLong": "ptr (i64)",
    "Py_IncRef": "void (ptr)",
    "Py_DecRef": "void (ptr)",
}
_NAMES: Final = ("fetch", "store", "drop")
_BYTES: Final = """\
define internal i64 @bytes_at(ptr %object, i64 %wanted) #0 {
  %place = alloca ptr
  %size = alloca i64
  %status = call i32 @PyBytes_AsStringAndSize(ptr %object, ptr %place, ptr %size)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %check, label %clear
check:
  %length = load i64, ptr %size
  %fits = icmp eq i64 %length, %wanted
  %address = load i64, ptr %place
  %result = select i1 %fits, i64 %address, i64 0
  ret i64 %result
clear:
  call void @PyErr_Clear()
  ret i64 0
}
"""
_FETCH: Final = """\
  %size.place = getelementptr i64, ptr %frame, i64 3
  %size = load i64, ptr %size.place
  %value = call ptr @PyBytes_FromStringAndSize(ptr null, i64 %size)
  %made = icmp ne ptr %value, null
  br i1 %made, label %read, label %fail
read:
  %bytes = call ptr @PyBytes_AsString(ptr %value)
  %target = ptrtoint ptr %bytes to i64
  %answer = call i64 %code(i64 %this, i64 %key, i64 %target, i64 0)
  %there = icmp eq i64 %answer, 0
  br i1 %there, label %give, label %forget
give:
  ret ptr %value
forget:
  call void @Py_DecRef(ptr %value)
  br label %refused
refused:
  call void @Py_IncRef(ptr @none)
  ret ptr @none
"""
_STORE: Final = """\
  %size.place = getelementptr i64, ptr %frame, i64 3
  %size = load i64, ptr %size.place
  %second = getelementptr ptr, ptr %args, i64 1
  %value.object = load ptr, ptr %second
  %value = call i64 @bytes_at(ptr %value.object, i64 %size)
  %sized = icmp ne i64 %value, 0
  br i1 %sized, label %flag, label %refused
flag:
  %third = getelementptr ptr, ptr %args, i64 2
  %flags.object = load ptr, ptr %third
  %flags = call i64 @PyLong_AsUnsignedLongLongMask(ptr %flags.object)
  %error = call ptr @PyErr_Occurred()
  %good = icmp eq ptr %error, null
  br i1 %good, label %write, label %fail
write:
  %answer = call i64 %code(i64 %this, i64 %key, i64 %value, i64 %flags)
  %number = call ptr @PyLong_FromUnsignedLongLong(i64 %answer)
  ret ptr %number
refused:
  %one = call ptr @PyLong_FromUnsignedLongLong(i64 1)
  ret ptr %one
"""
_DROP: Final = """\
  %answer = call i64 %code(i64 %this, i64 %key)
  %number = call ptr @PyLong_FromUnsignedLongLong(i64 %answer)
  ret ptr %number
refused:
  %one = call ptr @PyLong_FromUnsignedLongLong(i64 1)
  ret ptr %one
"""


class ElementCallers:
    """Makes the functions.

    Args:
        machine: compiles what all of them share.
    """

    def __init__(self, machine: Machine) -> None:
        declarations = [
            f"declare {signature.split(' ', 1)[0]} @{name}{signature.split(' ', 1)[1]} #1\n"
            for name, signature in _API.items()
        ]
        callers = map(_caller, _NAMES, (1, 3, 1), (_FETCH, _STORE, _DROP))
        text = "".join([*declarations, "@none = external global i8\n", _BYTES, *callers])
        imports = {name: address_of_function(getattr(ctypes.pythonapi, name)) for name in _API}
        self._loaded = machine.load(text, map(_symbol, _NAMES), {**imports, "none": id(None)})
        self._addresses = [self._loaded.address(_symbol(name)) for name in _NAMES]
        self._new = ctypes.pythonapi.PyCFunction_NewEx
        self._new.restype = ctypes.py_object
        self._new.argtypes = [ctypes.POINTER(MethodDef), ctypes.py_object, ctypes.py_object]

    def calls(
        self, codes: tuple[Loaded, ...], addresses: tuple[int, ...], shape: tuple[int, int, int]
    ) -> ElementCalls:
        """Functions on one map.

        Args:
            codes: what to keep in memory.
            addresses: of the machine code that fetches, stores and drops.
            shape: address of the map, its key size, its value size.
        """
        made = map(self._function, range(len(_NAMES)), codes, addresses, [shape] * len(_NAMES))
        return ElementCalls(*made)

    def _function(
        self, number: int, code: Loaded, address: int, shape: tuple[int, int, int]
    ) -> Callable[..., Any]:
        name = _NAMES[number].encode()
        method = MethodDef(name, self._addresses[number], METH_FASTCALL, None)
        keep = (_FRAME.pack(address, *shape), code, method, self._loaded)
        made: Callable[..., Any] = self._new(ctypes.byref(method), keep, "skep")
        return made


def _symbol(name: str) -> str:
    return f"element.{name}"


def _caller(name: str, count: int, body: str) -> str:
    """The function *name* of *count* arguments; *body* goes on with the code, map and key."""
    return f"""\
define ptr @"{_symbol(name)}"(ptr %self, ptr %args, i64 %given) #0 {{
  %fits = icmp eq i64 %given, {count}
  br i1 %fits, label %begin, label %wrong
wrong:
  %ignored = call i32 @PyErr_BadArgument()
  br label %fail
begin:
  %bytes.object = call ptr @PyTuple_GetItem(ptr %self, i64 0)
  %frame = call ptr @PyBytes_AsString(ptr %bytes.object)
  %code.word = load i64, ptr %frame
  %code = inttoptr i64 %code.word to ptr
  %this.place = getelementptr i64, ptr %frame, i64 1
  %this = load i64, ptr %this.place
  %key.place = getelementptr i64, ptr %frame, i64 2
  %key.size = load i64, ptr %key.place
  %key.object = load ptr, ptr %args
  %key = call i64 @bytes_at(ptr %key.object, i64 %key.size)
  %keyed = icmp ne i64 %key, 0
  br i1 %keyed, label %go, label %refused
go:
{body}fail:
  ret ptr null
}}
"""
