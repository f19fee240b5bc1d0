"""LLVM IR as text, one function at a time.

Values are numbered in the order in which they are written, so a body is only ever appended to.
Text is about ten times as fast to make as llvmlite's instruction objects, and LLVM has to parse
text either way.
"""

from collections.abc import Iterable


class Body:
    """The instructions of one function; every value is an ``i64`` unless its line says otherwise.

    Args:
        parameters: how many ``i64`` parameters the function takes; they are ``%a0``, ``%a1``, …
    """

    __slots__ = ("_allocas", "_count", "_labels", "_lines", "closed", "note", "parameters")

    def __init__(self, parameters: int) -> None:
        self.parameters = parameters
        self.note = ""  # what every instruction ends in: where it comes from
        self.closed = False  # the current block already ends in a terminator
        self._allocas: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._labels = 0

    def value(self, text: str) -> str:
        """Append an instruction that has a result; returns the result's name."""
        name = f"%{self._count}"
        self._count += 1
        self._lines.append(f"  {name} = {text}{self.note}")
        return name

    def emit(self, text: str) -> None:
        """Append an instruction without a result."""
        self._lines.append(f"  {text}{self.note}")

    def end(self, text: str) -> None:
        """Append a terminator; whatever follows it before the next label is not emitted."""
        if not self.closed:
            self._lines.append(f"  {text}{self.note}")
            self.closed = True

    def jump(self, label: str) -> None:
        """End the block by a jump to *label*."""
        self.end(f"br label %{label}")

    def fork(self, condition: str, yes: str, no: str) -> None:
        """End the block by a jump on an ``i1``."""
        self.end(f"br i1 {condition}, label %{yes}, label %{no}")

    def label(self, name: str) -> None:
        """Begin the block *name*; the block before it falls into it if it has no end yet."""
        self.jump(name)
        self._lines.append(f"{name}:")
        self.closed = False

    def fresh(self, stem: str) -> str:
        """Return a label that is used nowhere else in the function."""
        self._labels += 1
        return f"{stem}.{self._labels}"

    def local(self, name: str, kind: str = "i64", align: int = 8) -> str:
        """Reserve stack memory in the entry block; returns its pointer."""
        self._allocas.append(f"  %{name} = alloca {kind}, align {align}")
        return f"%{name}"

    def pointer(self, address: str) -> str:
        """Turn an address into a pointer."""
        return self.value(f"inttoptr i64 {address} to ptr")

    def truth(self, condition: str) -> str:
        """Turn an ``i1`` into 0 or 1."""
        return self.value(f"zext i1 {condition} to i64")

    def define(self, symbol: str, attributes: str = "#0", linkage: str = "") -> str:
        """Return the whole function."""
        parameters = ", ".join(f"i64 %a{n}" for n in range(self.parameters))
        lines = [
            f'define {linkage}i64 @"{symbol}"({parameters}) {attributes} {{',
            "entry:",
            *self._allocas,
            "  br label %start",
            "start:",
            *self._lines,
        ]
        if not self.closed:
            lines.append("  unreachable")
        lines.append("}\n")
        return "\n".join(lines)


def integers(values: Iterable[str]) -> str:
    """Spell the arguments of a call."""
    return ", ".join(f"i64 {value}" for value in values)


ATTRIBUTES = """\
attributes #0 = { nounwind }
attributes #1 = { nounwind nonlazybind }
"""
EXTERNALS = """\
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare i16 @llvm.bswap.i16(i16)
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.usub.sat.i64(i64, i64)
declare i64 @llvm.ctlz.i64(i64, i1)
declare void @llvm.trap()
declare void @llvm.assume(i1)
declare i32 @memcmp(ptr, ptr, i64)
declare i32 @clock_gettime(i32, ptr)
declare i32 @sched_yield()
"""
