"""Sequences of calls around programs on functions of other programs, for any bpf(2).

Each scenario is a function that returns what was answered; a kernel and skep must say the same.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from skep.uapi import commands, infos
from support.caller import insn
from support.functions import (
    CGROUP_SKB,
    CONTEXTS,
    EXT,
    FENTRY,
    FEXIT,
    MODIFY_RETURN,
    SCHED_CLS,
    TRACING,
    XDP,
    Fn,
    Loaded,
    link,
    load_on,
    load_target,
    number,
    product,
    run,
    tracer,
)
from support.opener import Opener

ADD, SUM = Fn("add", "int, int"), Fn("sum", "int, int", code=number(100))
MULTIPLY = Fn("other", "int, int", code=product())
FIRST: Final = insn(0x61, 0, 1) + number(1)  # reads the first word of the context
CHANGE: Final = insn(0xB7, 2, imm=0) + insn(0x85, imm=44) + number(1)  # bpf_xdp_adjust_head
Results = list[Any]


def target(caller: Opener, **members: Any) -> Loaded:
    """The usual target."""
    return load_target(caller, (ADD, SUM), **members)


def extends(caller: Opener, on: Loaded, name: str = "add", fn: Fn = MULTIPLY) -> int:
    """The descriptor of an extension."""
    return load_on(caller, on, name, fn).fd


def traces(caller: Opener, on: Loaded, name: str = "add", attach_type: int = FENTRY,
           code: bytes = b"") -> Loaded:  # fmt: skip
    """A tracing program."""
    return load_on(caller, on, name, tracer(code), TRACING, expected_attach_type=attach_type)


def sign(value: int) -> int:
    """0 for a descriptor."""
    return min(value, 0)


def ask(caller: Opener, *fds: int) -> Results:
    """Of descriptors, whether they are some."""
    del caller
    return [sign(fd) for fd in fds]


def one_at_a_time(caller: Opener) -> Results:
    on = target(caller)
    first, second = extends(caller, on), extends(caller, on)
    held = link(caller, first)
    found = [sign(held), sign(link(caller, second)), run(caller, on.fd)]
    caller.close(held)
    return [*found, run(caller, on.fd), sign(link(caller, second)), run(caller, on.fd)]


def extended_or_traced(caller: Opener) -> Results:
    on = target(caller)
    extension, sees = extends(caller, on), traces(caller, on)
    held = link(caller, extension)
    found = [sign(link(caller, sees.fd, attach_type=FENTRY))]
    caller.close(held)
    held = link(caller, sees.fd, attach_type=FENTRY)
    found += [sign(held), sign(link(caller, extends(caller, on)))]
    caller.close(held)
    found.append(sign(link(caller, sees.fd, attach_type=FENTRY)))
    return [*found, sign(link(caller, extends(caller, on))), run(caller, on.fd)]


def another_target(caller: Opener) -> Results:
    on, other, alien = target(caller), target(caller), target(caller, kind=SCHED_CLS)
    extension, add = extends(caller, on), on.functions["add"]
    held = link(caller, extension, other.fd, add)
    found = [sign(held), run(caller, on.fd), run(caller, other.fd)]
    for fd, type_id in ((0, 0), (on.fd, 0), (0, add), (alien.fd, add), (on.fd, 1),
                        (on.fd, on.functions["main"]), (on.fd, 99), (extension, add),
                        (9999, add), (on.btf_fd, add)):  # fmt: skip
        found.append(sign(link(caller, extension, fd, type_id)))
    found += [sign(link(caller, extension, on.fd, add)), run(caller, on.fd)]
    return [*found, sign(link(caller, extension, on.fd, on.functions["sum"])), run(caller, on.fd)]


def the_first_target_by_name(caller: Opener) -> Results:
    on = target(caller)
    extension = extends(caller, on)
    held = link(caller, extension, on.fd, on.functions["add"])
    found = [sign(held), run(caller, on.fd), sign(link(caller, extension))]
    caller.close(held)
    return [*found, sign(link(caller, extension)), run(caller, on.fd)]


def tracing_stays(caller: Opener) -> Results:
    on, other = target(caller), target(caller)
    sees = traces(caller, on)
    found = [sign(link(caller, sees.fd, other.fd, on.functions["add"], attach_type=FENTRY))]
    found.append(sign(link(caller, sees.fd, attach_type=FEXIT)))
    held = link(caller, sees.fd, attach_type=FENTRY)
    found += [sign(held), sign(link(caller, sees.fd, attach_type=FENTRY))]
    caller.close(held)
    return [*found, sign(link(caller, sees.fd, attach_type=FENTRY))]


def arrays(caller: Opener) -> Results:
    on, array = target(caller), caller.map(3, value=4)
    slot, first = struct.pack("<I", on.fd), bytes(4)
    extension = extends(caller, on)
    found = [caller.store(array, first, struct.pack("<I", extension))]
    held = link(caller, extension)
    found += [sign(held), caller.store(array, first, slot)]
    caller.close(held)
    found.append(caller.store(array, first, slot))
    other = extends(caller, on)
    found.append(sign(link(caller, other)))
    found.append(caller.call(commands.MAP_DELETE_ELEM, map_fd=array, key=caller.keep(first)))
    return [*found, sign(link(caller, other)), run(caller, on.fd)]


def tail_calls(caller: Opener) -> Results:
    """An extension may use program arrays of its target's type; its own attach type counts 0."""
    found: Results = []
    for attach_type in (0, 37):
        on = load_target(
            caller, (Fn("look", "ctx", code=CHANGE),), expected_attach_type=attach_type
        )
        array = caller.map(3, value=4)
        code = insn(0x18, 2, 1, imm=array) + insn(0) + insn(0xB7, 3) + insn(0x85, imm=12)
        fn = Fn("other", "ctx", code=code + number(5))
        first = load_on(caller, on, "look", fn)
        callee = load_target(caller, (), expected_attach_type=0)
        same = load_target(caller, (), expected_attach_type=37)
        found += [sign(first.fd), *(caller.store(array, bytes(4), struct.pack("<I", each.fd))
                                    for each in (callee, same))]  # fmt: skip
        found += [sign(link(caller, first.fd)), run(caller, on.fd)]
    return found


def nested(caller: Opener) -> Results:
    on = target(caller)
    first = traces(caller, on)
    second = traces(caller, first, "tracer")
    third = traces(caller, second, "tracer")
    extension = load_on(caller, on, "add", MULTIPLY)
    over = load_on(caller, extension, "other", MULTIPLY)
    sees = traces(caller, extension, "other")
    patch = load_on(caller, first, "tracer", Fn("other", "u64*"))
    return ask(caller, first.fd, second.fd, third.fd, extension.fd, over.fd, sees.fd, patch.fd)


def old_way(caller: Opener) -> Results:
    on = target(caller)
    extension = extends(caller, on)
    opened = caller.call(commands.RAW_TRACEPOINT_OPEN, prog_fd=extension)
    found = [sign(opened), run(caller, on.fd)]
    found.append(sign(caller.call(commands.RAW_TRACEPOINT_OPEN, prog_fd=extension)))
    name = caller.keep(b"add\0")
    sees = traces(caller, on, "sum")
    found.append(sign(caller.call(commands.RAW_TRACEPOINT_OPEN, prog_fd=sees.fd, name=name)))
    return [*found, sign(caller.call(commands.RAW_TRACEPOINT_OPEN, prog_fd=sees.fd))]


def told(caller: Opener) -> Results:
    on = target(caller)
    extension = extends(caller, on)
    found: Results = []
    for attach_type in (0, FENTRY):
        members = {} if not found else {"target": on.fd, "type_id": on.functions["sum"]}
        held = link(caller, extension, attach_type=attach_type, word24=77, **members)
        info = caller.info(held, infos.TracingLinkInfo)
        of = caller.info(on.fd, infos.ProgInfo)
        assert isinstance(info, infos.TracingLinkInfo)
        assert isinstance(of, infos.ProgInfo)
        found += [info.type, info.target_obj_id == of.id, info.target_btf_id]
    return found


def info_of_program(caller: Opener) -> Results:
    on = target(caller)
    extension = extends(caller, on)
    found: Results = []
    for _ in range(2):
        of = caller.info(extension, infos.ProgInfo)
        its = caller.info(on.fd, infos.ProgInfo)
        assert isinstance(of, infos.ProgInfo)
        assert isinstance(its, infos.ProgInfo)
        same = of.attach_btf_obj_id == its.btf_id
        found += [of.type, of.attach_btf_id, bool(of.attach_btf_obj_id), same]
        link(caller, extension)
    return found


def changes_of_links(caller: Opener) -> Results:
    on = target(caller)
    first, second = extends(caller, on), extends(caller, on)
    held = link(caller, first)
    found = [caller.call(commands.LINK_UPDATE, link_fd=held, new_prog_fd=second)]
    found.append(caller.call(commands.LINK_DETACH, link_fd=held))
    return [*found, run(caller, first), run(caller, on.fd)]


def loads(caller: Opener) -> Results:
    on = target(caller)
    add = on.functions["add"]
    found: Results = []
    for kind, members in (
        (EXT, {"attach_prog_fd": 0}), (EXT, {"attach_btf_id": 0}), (EXT, {"attach_prog_fd": 9999}),
        (EXT, {"attach_prog_fd": on.btf_fd}), (EXT, {"expected_attach_type": 37}),
        (EXT, {"attach_btf_id": 1 << 20}), (EXT, {"attach_btf_id": 0xFFFFF}),
        (EXT, {"attach_btf_id": 1}), (EXT, {"prog_ifindex": 1}), (EXT, {"prog_flags": 1 << 5}),
        (EXT, {"prog_flags": 1 << 4}), (XDP, {}), (XDP, {"attach_btf_id": 0}), (SCHED_CLS, {}),
        (29, {"expected_attach_type": 27}), (27, {}), (TRACING, {}), (31, {}),
        (TRACING, {"expected_attach_type": FENTRY, "attach_btf_id": 0}),
        (TRACING, {"expected_attach_type": FENTRY, "prog_flags": 1 << 4}),
        (TRACING, {"expected_attach_type": MODIFY_RETURN}),
    ):  # fmt: skip
        named: dict[str, Any] = {"attach_btf_id": add} | members
        found.append(sign(load_on(caller, on, "add", MULTIPLY, kind, **named).fd))
    return found


def packets(caller: Opener) -> Results:
    """What changes packets replaces only what does."""
    found: Results = []
    for own in (number(1), CHANGE):
        on = load_target(caller, (Fn("look", "ctx", code=own),))
        for code in (number(2), CHANGE):
            loaded = load_on(caller, on, "look", Fn("other", "ctx", code=code))
            found += [sign(on.fd), sign(loaded.fd)]
    return found


def returns(caller: Opener) -> Results:
    """The main function of an extension returns what programs of the target's type may."""
    found: Results = []
    for kind, attach_type in ((CGROUP_SKB, 0), (CGROUP_SKB, 1), (XDP, 0), (17, 0), (9, 2)):
        on = load_target(caller, (ADD,), kind, expected_attach_type=attach_type)
        found.append(sign(on.fd))
        for value in (0, 1, 2, 3, 4):
            found.append(
                sign(extends(caller, on, "add", Fn("other", "int, int", code=number(value))))
            )
    return found


def orders(caller: Opener) -> Results:
    """In which order programs on one function run: each writes its number behind the others'."""
    on, array = target(caller), caller.map(2, value=8, entries=1)
    for each, attach_type in enumerate((FENTRY, FENTRY, FEXIT, FEXIT, FENTRY, FEXIT), 1):
        code = insn(0x18, 1, 2, imm=array) + insn(0) + insn(0x79, 0, 1) + insn(0x27, 0, imm=10)
        code += insn(0x07, 0, imm=each) + insn(0x7B, 1, 0) + number(0)
        sees = traces(caller, on, "add", attach_type, code)
        link(caller, sees.fd, attach_type=attach_type)
    return [run(caller, on.fd), caller.fetch(array, bytes(4)).hex()]  # type: ignore[union-attr]


def words(caller: Opener) -> Results:
    """What fentry and fexit programs see, on functions whose types can be relied on or not."""
    found: Results = []
    odd = Fn("odd", "pair*, int", linkage=0)
    for fn, seen_words in ((ADD, (0, 1, 2)), (odd, (0, 1, 5))):
        for word in seen_words:
            on, array = load_target(caller, (fn,)), caller.map(2, value=8, entries=1)
            code = insn(0x79, 6, 1, off=8 * word) + insn(0x18, 1, 2, imm=array) + insn(0)
            code += insn(0x7B, 1, 6) + number(0)
            sees = traces(caller, on, fn.name, FEXIT, code)
            held = link(caller, sees.fd, attach_type=FEXIT)
            run(caller, on.fd)
            seen = caller.fetch(array, bytes(4))
            assert isinstance(seen, bytes)
            pointer = fn is odd and word == 0
            found += [sign(sees.fd), sign(held), pointer or seen[:4].hex()]
    return found


def many(caller: Opener) -> Results:
    on = target(caller)
    found = [sign(link(caller, traces(caller, on).fd, attach_type=FENTRY)) for _ in range(40)]
    return [found.count(0), *(each for each in found if each)]


def traced_extensions(caller: Opener) -> Results:
    """What traces an extension sees its arguments, the context as that of the target."""
    on, array = load_target(caller, (Fn("look", "ctx, int"),)), caller.map(2, value=8, entries=1)
    patch = load_on(caller, on, "look", Fn("other", "ctx, int", code=number(33)))
    store = insn(0x18, 1, 2, imm=array) + insn(0) + insn(0x7B, 1, 6) + number(0)
    deep = traces(caller, patch, "other", FENTRY, insn(0x79, 1, 1) + insn(0x79, 0, 1) + number(0))
    beyond = traces(caller, patch, "other", FENTRY, insn(0x79, 0, 1, off=16) + number(0))
    ends = traces(caller, patch, "other", FEXIT, insn(0x79, 6, 1, off=16) + store)
    found = ask(caller, patch.fd, deep.fd, beyond.fd, ends.fd)
    for sees, attach_type in ((patch, 0), (ends, FEXIT)):
        found.append(sign(link(caller, sees.fd, attach_type=attach_type)))
    return [*found, run(caller, on.fd), caller.fetch(array, bytes(4)).hex()]  # type: ignore[union-attr]


KINDS: Final = (
    (1, 0), (2, 0), (3, 0), (4, 0), (6, 0), (7, 0), (8, 0), (8, 1), (9, 2), (10, 0), (11, 0),
    (12, 0), (13, 3), (14, 5), (15, 6), (16, 7), (17, 0), (18, 8), (18, 10), (18, 19), (19, 0),
    (21, 34), (22, 17), (23, 18), (24, 0), (25, 21), (25, 22), (30, 36), (32, 45),
)  # fmt: skip


def kinds(caller: Opener) -> Results:
    """Programs of every type whose context has a name are extended, and traced."""
    found: Results = []
    for kind, attach_type in KINDS:
        on = load_target(caller, (Fn("look", "ctx, int"), ADD), kind,
                         expected_attach_type=attach_type)  # fmt: skip
        context = CONTEXTS[kind]
        found += [f"{kind}.{attach_type}", sign(on.fd)]
        if on.fd < 0:
            continue
        for name, takes in (("look", "ctx, int"), ("main", "ctx"), ("add", "int, int")):
            for value in (0, 1, 2, 4):
                patch = load_on(caller, on, name, Fn("other", takes, code=number(value)),
                                context=context)  # fmt: skip
                found.append(sign(patch.fd))
            found.append(sign(link(caller, patch.fd)))
        read = load_on(caller, on, "look", Fn("other", "ctx, int", code=FIRST), context=context)
        other = load_on(caller, on, "look", Fn("other", "ctx, int"), context="alien")
        sees = traces(caller, on, "main", FENTRY, insn(0x79, 1, 1) + insn(0x79, 0, 1) + number(0))
        looks = traces(caller, on, "look", FEXIT, insn(0x79, 0, 1, off=16) + number(0))
        found += ask(caller, read.fd, other.fd, sees.fd, looks.fd)
        found.append(sign(link(caller, looks.fd, attach_type=FEXIT)))
        caller.close_all()
    return found


SCENARIOS: Final[Mapping[str, Callable[[Opener], Results]]] = {
    each.__name__: each
    for each in (
        one_at_a_time, extended_or_traced, another_target, the_first_target_by_name, tracing_stays,
        arrays, tail_calls, nested, old_way, told, info_of_program, changes_of_links, loads,
        packets, returns, orders, words, many, kinds,
        traced_extensions,
    )
}  # fmt: skip
