"""A program as text that `skep verify` takes: instructions, and directives for all around them.

::

    .type xdp
    .map 5 hash 4 8 16 counters             descriptor, type, key, value, entries, name
    r1 = map[fd 5]
    ...

A directive stands on a line of its own:

====================================  ============================================================
``.type NAME``                        program type (``socket_filter`` without)
``.name NAME``, ``.license TEXT``     as PROG_LOAD takes them
``.attach TYPE [FUNCTION]``           expected attach type, function or tracepoint of the kernel
``.flags NAME…``                      program flags, as ``sleepable``
``.unprivileged``                     the loader has no capabilities
``.map FD TYPE KEY VALUE ENTRIES …``  a map; then its name, or ``flags=A,B``, ``frozen=HEX``,
                                      ``inner=FD``, ``field=STRUCT@OFFSET`` (``kptr:STRUCT@OFFSET``
                                      for a pointer), ``types=BTF:KEY:VALUE``
``.fds FD…``                          the array that ``map[idx N]`` counts in
``.func LINKAGE NAME RESULT ARGS…``   prototype of the function at label NAME; ``tag=TEXT`` tags it
``.btf NUMBER BASE64``                types; lines of the same number are joined
``.types BTF [PC:ID]…``               which of them the program has, and those of its functions
``.repeat COUNT``, ``.end``           the lines in between, COUNT times; ``{n}`` counts from 0
====================================  ============================================================

``call kfunc[NAME]`` and ``btf[NAME]`` name what is in the kernel's BTF. Otherwise the language is
that of ``skep.isa.assembler``, with names of helpers.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from skep.btf.graph import Btf
from skep.btf.kinds import Kind
from skep.errors import AssemblyError, BtfError
from skep.isa.assembler import Assembly, parse
from skep.session.assembly_types import field_value, functions_of
from skep.session.assembly_world import TextMap, TextWorld
from skep.uapi import helpers, map_types, program_types
from skep.uapi.flags import AttachType, MapFlag, ProgFlag
from skep.verifier.interface import FunctionInfo, Request

TEXT_SUFFIX: Final = ".s"
MAX_TEXT: Final = 64 << 20
MAX_REPEAT: Final = 1 << 20
PREFIXES: Final[Mapping[int, str]] = {
    AttachType.TRACE_RAW_TP: "btf_trace_",
    AttachType.LSM_MAC: "bpf_lsm_",
    AttachType.LSM_CGROUP: "bpf_lsm_",
    AttachType.TRACE_ITER: "bpf_iter_",
}
_NAMED: Final = re.compile(r"\b(kfunc|btf)\[(?!id\b)([A-Za-z_]\w*)")


class Directives:
    """What the directives of one text say, line by line."""

    def __init__(self, kernel: Btf | None) -> None:
        self.world = TextWorld(kernel)
        self.type = program_types.SOCKET_FILTER
        self.name, self.license = "", "GPL"
        self.attach_type, self.attach_name = 0, ""
        self.flags, self.privileged = 0, True
        self.fds: list[int] = []
        self.functions: list[tuple[str, list[str]]] = []
        self.infos: list[FunctionInfo] = []
        self.types = 0
        self._encoded: dict[int, str] = {}
        self._inner: dict[int, int] = {}
        self._typed: dict[int, tuple[int, int, int]] = {}
        self._btfs: dict[int, Btf] = {}

    def read(self, words: list[str], line: int) -> None:
        """Take in one directive.

        Raises:
            AssemblyError: it is none, or a word of it is wrong.
        """
        try:
            _handler(words[0])(self, words[1:])
        except ValueError as error:
            token, expected = error.args if len(error.args) == 2 else (words[-1], "a number")
            raise AssemblyError(line=line, column=1, token=token, expected=expected) from None
        except IndexError:
            raise AssemblyError(
                line=line, column=1, token="", expected=f"more words after {words[0]}"
            ) from None

    # --- the directives -----------------------------------------------------------------------

    def type_(self, words: list[str]) -> None:
        """Program type."""
        row = program_types.by_name(words[0])
        if row is None:
            raise ValueError(words[0], "a program type, as xdp")
        self.type = row

    def name_(self, words: list[str]) -> None:
        """Name."""
        self.name = words[0]

    def license_(self, words: list[str]) -> None:
        """License."""
        self.license = " ".join(words)

    def attach(self, words: list[str]) -> None:
        """Attach type, and target."""
        self.attach_type = _number_of(words[0], AttachType.__members__, "an attach type")
        self.attach_name = words[1] if len(words) > 1 else ""

    def flags_(self, words: list[str]) -> None:
        """Program flags."""
        for word in words:
            self.flags |= _number_of(word, ProgFlag.__members__, "a program flag")

    def unprivileged(self, _words: list[str]) -> None:
        """The loader has no capabilities."""
        self.privileged = False

    def fds_(self, words: list[str]) -> None:
        """The array of descriptors."""
        self.fds += [int(word, 0) for word in words]

    def func(self, words: list[str]) -> None:
        """Prototype of a function."""
        if words[0] not in ("static", "global"):
            raise ValueError(words[0], "static or global")
        self.functions.append((words[1], [words[0], *words[2:]]))

    def btf(self, words: list[str]) -> None:
        """Part of some types."""
        number = int(words[0], 0)
        self._encoded[number] = self._encoded.get(number, "") + words[1]

    def types_(self, words: list[str]) -> None:
        """The program's types."""
        self.types = int(words[0], 0)
        for word in words[1:]:
            pc, _, type_id = word.partition(":")
            self.infos.append(FunctionInfo(int(pc, 0), int(type_id, 0)))

    def map(self, words: list[str]) -> None:
        """A map."""
        fd = int(words[0], 0)
        row = map_types.by_name(words[1])
        if row is None:
            raise ValueError(words[1], "a map type, as hash")
        key, value, entries = (int(word, 0) for word in words[2:5])
        made = TextMap(fd, row.id, key, value, entries)
        self.world.maps[fd] = made
        for word in words[5:]:
            self._map_word(made, word)

    def _map_word(self, made: TextMap, word: str) -> None:
        kind, equals, value = word.partition("=")
        if not equals:
            made.name = word
        elif kind == "flags":
            for name in value.split(","):
                made.map_flags |= _number_of(name, MapFlag.__members__, "a map flag")
        elif kind == "frozen":
            made.frozen, made.data = True, made.data + bytes.fromhex(value)
        elif kind == "inner":
            self._inner[made.id] = int(value, 0)
        elif kind == "types":
            number, key_id, value_id = (int(part, 0) for part in value.split(":"))
            self._typed[made.id] = number, key_id, value_id
        elif kind == "field":
            struct, _, offset = value.partition("@")
            made.btf, made.btf_value_type_id = field_value(
                struct, int(offset, 0), made.value_size, self.world.kernel_btf
            )
        else:
            raise ValueError(word, "a name, flags=, frozen=, inner=, field= or types=")

    # --- the end ------------------------------------------------------------------------------

    def join(self) -> None:
        """Connect what later directives completed."""
        for number, text in self._encoded.items():
            try:
                data = base64.b64decode(text, validate=True)
            except binascii.Error:
                raise _missing(f".btf {number}", "base64") from None
            self._btfs[number] = Btf.parse(data, source=f".btf {number}")
        for fd, inner in self._inner.items():
            template = self.world.maps.get(inner)
            if template is None:
                raise _missing(f"inner={inner}", "a descriptor of a map")
            self.world.maps[fd].inner = template
        for fd, (number, key_id, value_id) in self._typed.items():
            made = self.world.maps[fd]
            made.btf, made.btf_key_type_id = self._types_of(number), key_id
            made.btf_value_type_id = value_id

    def _types_of(self, number: int) -> Btf:
        if number not in self._btfs:
            raise _missing(str(number), "the number of a .btf")
        return self._btfs[number]

    def program_types(self, assembly: Assembly) -> tuple[Btf | None, list[FunctionInfo]]:
        """The program's BTF and the types of its functions."""
        if self.types:
            return self._types_of(self.types), self.infos
        if not self.functions:
            return None, []
        try:
            return functions_of(self.functions, assembly.labels)
        except ValueError as error:
            raise _missing(*error.args) from None


_DIRECTIVES: Final[dict[str, Callable[[Directives, list[str]], None]]] = {
    ".type": Directives.type_,
    ".name": Directives.name_,
    ".license": Directives.license_,
    ".attach": Directives.attach,
    ".flags": Directives.flags_,
    ".unprivileged": Directives.unprivileged,
    ".map": Directives.map,
    ".fds": Directives.fds_,
    ".func": Directives.func,
    ".btf": Directives.btf,
    ".types": Directives.types_,
}


def _handler(word: str) -> Callable[[Directives, list[str]], None]:
    if word not in _DIRECTIVES:
        raise ValueError(word, "a directive: " + " ".join(_DIRECTIVES))
    return _DIRECTIVES[word]


def _missing(token: str, expected: str) -> AssemblyError:
    return AssemblyError(line=1, column=1, token=token, expected=expected)


def _number_of(word: str, members: Mapping[str, int], what: str) -> int:
    if word.isdecimal():
        return int(word)
    if word.upper() not in members:
        raise ValueError(word, what)
    return int(members[word.upper()])


def _helper_id(name: str) -> int | None:
    row = helpers.by_name(name.removeprefix("bpf_"))
    return row.id if row is not None else None


def _kernel_ids(text: str, kernel: Btf | None) -> str:
    """*text* with the kernel's names as ids of its BTF."""

    def numbered(match: re.Match[str]) -> str:
        word, name = match[1], match[2]
        found = kernel.by_name(name, Kind.VAR) if kernel is not None and word == "btf" else None
        if found is None and kernel is not None:
            found = kernel.by_name(name, Kind.FUNC)
        if found is None:
            raise _missing(name, "a name in the kernel's BTF")
        return f"kfunc[{found}" if word == "kfunc" else f"btf[id {found}"

    return _NAMED.sub(numbered, text)


def _attach_id(name: str, attach_type: int, kernel: Btf | None) -> int:
    if not name:
        return 0
    full = PREFIXES.get(attach_type, "") + name
    kinds = (Kind.TYPEDEF, Kind.FUNC, Kind.STRUCT)
    for kind in kinds if kernel is not None else ():
        assert kernel is not None
        found = kernel.by_name(full, kind) or kernel.by_name(name, kind)
        if found is not None:
            return found
    raise _missing(name, "a function, tracepoint or struct in the kernel's BTF")


def _repeated(lines: list[str]) -> list[str]:
    """*lines* with those between ``.repeat`` and ``.end`` written out."""
    found: list[str] = []
    block: list[str] | None = None
    count = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words[:1] == [".repeat"] and block is None:
            if len(words) != 2 or not words[1].isdecimal() or int(words[1]) > MAX_REPEAT:
                raise AssemblyError(
                    line=number, column=1, token=line, expected=f"a count up to {MAX_REPEAT}"
                )
            block, count = [], int(words[1])
        elif words == [".end"] and block is not None:
            found += [each.replace("{n}", str(n)) for n in range(count) for each in block]
            block = None
        else:
            (found if block is None else block).append(line)
    if block is not None:
        raise _missing(".repeat", ".end behind it")
    return found


def request_of(text: str, kernel: Btf | None, name: str = "program") -> Request:
    """What *text* asks of the verifier.

    Raises:
        AssemblyError: it is no such text.
        BtfError: types that it holds are malformed.
    """
    directives = Directives(kernel)
    lines = _repeated(text.splitlines())
    for number, line in enumerate(lines):
        if line.startswith(".") and not line.startswith(".quad"):
            directives.read(line.split(), number + 1)
            lines[number] = ""
    directives.join()
    assembly = parse(_kernel_ids("\n".join(lines), kernel), _helper_id)
    btf, infos = directives.program_types(assembly)
    attach_type = program_types.effective_attach_type(directives.type, directives.attach_type)
    attach_id = _attach_id(directives.attach_name, attach_type, kernel)
    return Request(
        insns=assembly.insns,
        program_type=directives.type,
        environment=directives.world,
        expected_attach_type=attach_type,
        prog_flags=directives.flags,
        license=directives.license,
        name=directives.name or name,
        btf=btf,
        function_infos=infos,
        attach_btf=kernel if attach_id else None,
        attach_btf_id=attach_id,
        fd_array=directives.fds or None,
        privileged=directives.privileged,
    )


def read_text(path: str | Path, kernel: Btf | None) -> Request:
    """Read a file; see request_of().

    Raises:
        AssemblyError: it is no such text.
        BtfError: types that it holds are malformed.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(MAX_TEXT)
    try:
        return request_of(data.decode(errors="replace"), kernel, Path(path).stem)
    except BtfError as error:
        raise BtfError(
            source=str(path), where=error.where, found=error.found, expected=error.expected
        ) from None
