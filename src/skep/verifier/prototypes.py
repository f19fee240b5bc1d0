"""Prototypes of the program's own functions, as its BTF declares them.

Source: Linux 6.18 kernel/bpf/btf.c (btf_prepare_func_args, btf_validate_prog_ctx_type).
"""

from errno import ENOENT, EOPNOTSUPP
from typing import Final

from skep.btf import kinds
from skep.btf.core_types import essential_name
from skep.btf.graph import Btf
from skep.errors import BtfError
from skep.uapi.flags import AttachType, ProgType
from skep.verifier.interface import Request
from skep.verifier.values import MAYBE_NULL, RDONLY, TRUSTED, UNTRUSTED

ANYTHING: Final = 0
CONTEXT: Final = 1
MEMORY: Final = 2
DYNPTR: Final = 3
KERNEL_OBJECT: Final = 4
ARENA: Final = 5

MAX_ARGUMENTS: Final = 5
TAG_PREFIX: Final = "arg:"
TAGS: Final = frozenset(("ctx", "trusted", "untrusted", "nonnull", "nullable", "arena"))
_REGISTERS_OF_KPROBE: Final = ("bpf_user_pt_regs_t", "pt_regs", "user_regs_struct")
# program types whose context may be declared as a pointer to anything, or to u64
_ANY_CONTEXT: Final = (ProgType.TRACEPOINT, ProgType.SYSCALL, ProgType.EXT)
_WORDS: Final = (
    ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE, ProgType.LSM, ProgType.STRUCT_OPS,
)  # fmt: skip
_TRACED_WORDS: Final = (
    AttachType.TRACE_RAW_TP, AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT,
    AttachType.MODIFY_RETURN,
)  # fmt: skip


class Argument:
    """One argument.

    Args:
        kind: one of the kinds above.
        size: of MEMORY, in bytes.
        flags: of pointers: MAYBE_NULL, TRUSTED, UNTRUSTED, RDONLY.
        type_id: of KERNEL_OBJECT: the struct, in the kernel's BTF.
    """

    def __init__(self, kind: int, size: int = 0, flags: int = 0, type_id: int = 0) -> None:
        self.kind = kind
        self.size = size
        self.flags = flags
        self.type_id = type_id

    def covers(self, given: "Argument") -> bool:
        """Whether whatever may be passed as *given* may be passed as this one, too."""
        if self.kind != given.kind or self.size > given.size or self.type_id != given.type_id:
            return False
        return self.flags in (given.flags, given.flags | MAYBE_NULL)


class BadPrototype(Exception):  # noqa: N818 - turned into a verdict by the caller
    """The prototype is not one a separately verified function may have."""

    def __init__(self, detail: str, number: int = 0) -> None:
        super().__init__(detail)
        self.errno = number


class UnknownPrototype(Exception):  # noqa: N818 - turned into a verdict by the caller
    """Linux may know the prototype; skep does not."""


def arguments_of(request: Request, type_id: int) -> list[Argument]:
    """Arguments of the global function with BTF id *type_id*.

    Raises:
        BadPrototype: the kernel refuses it, in its words.
        UnknownPrototype: skep does not know one of its argument kinds.
    """
    btf = request.btf
    if btf is None or type_id == 0:
        raise BadPrototype("Global functions need valid BTF")
    try:
        return _arguments(request, btf, type_id)
    except BtfError as error:
        raise BadPrototype(str(error)) from error


def _arguments(request: Request, btf: Btf, type_id: int) -> list[Argument]:
    function = btf.type(type_id)
    if not isinstance(function, kinds.Func):
        raise BadPrototype("BTF of the function doesn't point to KIND_FUNC")
    proto = btf.func_proto(type_id)
    if len(proto.params) > MAX_ARGUMENTS:
        raise BadPrototype(
            f"Global function {function.name}() with {len(proto.params)} > {MAX_ARGUMENTS} args. "
            "Buggy compiler."
        )
    # typedefs are no modifiers here: btf_type_is_modifier() counts them as such
    returned = btf.resolved(proto.returns)
    if not isinstance(returned, (kinds.Int, kinds.Enumeration)):
        raise BadPrototype(
            f"Global function {function.name}() doesn't return scalar. Only those are supported."
        )
    return [
        _argument(request, btf, function, type_id, index, param.type)
        for index, param in enumerate(proto.params)
    ]


def _argument(
    request: Request, btf: Btf, function: kinds.Func, type_id: int, index: int, declared: int
) -> Argument:
    tags = {
        tag[len(TAG_PREFIX) :]
        for tag in btf.decl_tags(type_id, index)
        if tag.startswith(TAG_PREFIX)
    }
    if tags - TAGS:
        raise BadPrototype(f"arg#{index} has unsupported set of tags", EOPNOTSUPP)
    type_ = btf.resolved(declared)
    if isinstance(type_, kinds.Ptr):
        return _pointer(request, btf, type_, tags, index)
    if tags:
        raise BadPrototype(f"arg#{index} has pointer tag, but is not a pointer type")
    if isinstance(type_, (kinds.Int, kinds.Enumeration)):
        return Argument(ANYTHING)
    raise BadPrototype(
        f"Arg#{index} type {type_.kind.name} in {function.name}() is not supported yet."
    )


def _pointer(request: Request, btf: Btf, type_: kinds.Ptr, tags: set[str], index: int) -> Argument:
    if "ctx" in tags or is_context(request, btf, type_):
        _require_only(tags, {"ctx"}, index)
        if not (is_context(request, btf, type_) or may_stand_for_context(request, btf, type_)):
            raise BadPrototype(f"arg#{index} type is not that of the program's context")
        return Argument(CONTEXT)
    target = btf.resolved(type_.type)
    if isinstance(target, kinds.Struct) and target.name in ("bpf_dynptr", "bpf_dynptr_kern"):
        _require_only(tags, set(), index)
        return Argument(DYNPTR)
    if "trusted" in tags:
        _require_only(tags, {"trusted", "nullable", "untrusted", "arena"}, index)
        flags = TRUSTED | (MAYBE_NULL if "nullable" in tags else 0)
        return Argument(KERNEL_OBJECT, 0, flags, _kernel_type(request, btf, type_, index))
    if "untrusted" in tags:
        _require_only(tags, {"untrusted"}, index)
        return _untrusted(request, btf, type_, index)
    if "arena" in tags:
        _require_only(tags, {"arena"}, index)
        return Argument(ARENA)
    _require_only(tags, {"nonnull"}, index)
    try:
        size = btf.size_of(type_.type)
    except BtfError as error:
        kind = "UNKNOWN" if isinstance(target, kinds.Void) else target.kind.name
        name = f"{kind} {getattr(target, 'name', '')}"
        raise BadPrototype(
            f"arg#{index} reference type('{name}') size cannot be determined: -22"
        ) from error
    return Argument(MEMORY, size, 0 if "nonnull" in tags else MAYBE_NULL)


def _require_only(tags: set[str], allowed: set[str], index: int) -> None:
    if tags - allowed:
        raise BadPrototype(f"arg#{index} has invalid combination of tags")


def _untrusted(request: Request, btf: Btf, type_: kinds.Ptr, index: int) -> Argument:
    target = btf.resolved(type_.type)
    if isinstance(target, (kinds.Void, kinds.Int, kinds.Enumeration)):
        return Argument(MEMORY, 0, RDONLY | UNTRUSTED)
    return Argument(KERNEL_OBJECT, 0, UNTRUSTED, _kernel_type(request, btf, type_, index))


def _kernel_type(request: Request, btf: Btf, type_: kinds.Ptr, index: int) -> int:
    """The kernel's type of the same kind and name, whatever follows three underscores."""
    kernel = request.environment.kernel_btf
    if kernel is None:
        raise UnknownPrototype(f"arg#{index} is of a kernel type, without kernel BTF")
    target = btf.resolved(type_.type)
    if not target.name:
        raise BadPrototype(f"arg#{index} reference type has no name")
    found = kernel.by_name(essential_name(target.name), target.kind)
    if found is None:
        raise BadPrototype(f"arg#{index} reference type('{target.name}') has no matches", ENOENT)
    return found


def is_context(request: Request, btf: Btf, type_: kinds.Ptr) -> bool:
    """Whether *type_* points to the program type's context struct."""
    wanted = request.program_type.context
    inner = btf.type(btf.strip_modifiers(type_.type))
    names: list[str] = []
    if isinstance(inner, kinds.Typedef):
        names.append(inner.name)
    target = btf.resolved(type_.type)
    if isinstance(target, kinds.Struct):
        names.append(target.name)
    if wanted in _REGISTERS_OF_KPROBE:
        return any(name in _REGISTERS_OF_KPROBE for name in names)
    return wanted != "" and wanted in names


def may_stand_for_context(request: Request, btf: Btf, type_: kinds.Ptr) -> bool:
    """Whether an argument tagged as the context may be declared as *type_*."""
    kind = request.program_type.id
    target = btf.resolved(type_.type)
    if isinstance(target, kinds.Void) or (kind in _ANY_CONTEXT and target.name):
        return True
    if isinstance(target, kinds.Int) and target.size == 8:
        return kind in _WORDS or _is_traced(request, _TRACED_WORDS)
    if not isinstance(target, kinds.Struct):
        return False
    if _is_traced(request, (AttachType.TRACE_RAW_TP,)):
        return target.name == "bpf_raw_tracepoint_args"
    if _is_traced(request, (AttachType.TRACE_ITER,)):
        return target.name.startswith("bpf_iter__")
    return kind == ProgType.PERF_EVENT and target.name in _REGISTERS_OF_KPROBE


def _is_traced(request: Request, attach_types: tuple[AttachType, ...]) -> bool:
    kind = request.program_type.id
    return kind == ProgType.TRACING and request.expected_attach_type in attach_types
