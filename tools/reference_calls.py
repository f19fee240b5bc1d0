"""Pages about calls of bpf(2): the commands, what they refuse, and where Linux does not."""

import importlib
import pkgutil
from collections.abc import Iterable

import skep.uapi
from conformance.differences import DIFFERENCES
from conformance.verdict_differences import VERDICT_DIFFERENCES
from markdown_pages import page, table
from skep.errors import errno_name
from skep.syscall.log_request import OWN_LOGS
from skep.syscall.routes import ROUTES
from skep.uapi.commands import ALWAYS, ATTR_SIZE, COMMANDS, Command
from skep.uapi.reason import Reason

FLAGS_NOTE = (
    "Every command may carry the flags of [The log](log.md#ways-to-ask): `BPF_COMMON_ATTRS`, "
    "`BPF_LOGGED` and `BPF_USES_EXTENDED_ATTR`."
)
SIZE_NOTE = (
    f"Linux 6.18 knows {ATTR_SIZE} bytes of the attr. A shorter one counts as if zeros followed; "
    "a longer one, up to a page, must end in zeros. Bytes behind the last member that a command "
    "uses must be zero."
)
REFUSES = "It checks its arguments, and then refuses by name: skep cannot do what it asks for."


def command_page() -> str:
    """Every command of bpf(2): its members, its result, its errnos."""
    refusing = {route.command.number for route in ROUTES if route.refuses}
    overview = (
        (row.number, f"[`{row.name}`](#{row.name.lower()})", row.result, used(row))
        for row in COMMANDS
    )
    return page(
        "Commands",
        "src/skep/uapi/commands.py",
        SIZE_NOTE,
        FLAGS_NOTE,
        "Why each of them refuses a call, by reason: [Errors](errors.md).",
        table(("number", "name", "returns", "bytes of its attr"), overview),
        "## Any command",
        table(("errno", "when"), ((f"`{errno_name(n)}`", why) for n, why in ALWAYS.items())),
        *(part for row in COMMANDS for part in command_parts(row, row.number in refusing)),
    )


def command_parts(command: Command, refuses: bool) -> Iterable[str]:
    """The section about one command."""
    last = used(command)
    yield f"## {command.name}"
    yield f"Command {command.number}; uses {last} bytes of the attr; returns {command.result}."
    if refuses:
        yield REFUSES
    if command.number in OWN_LOGS:
        yield "It has a log of its own."
    yield table(
        ("offset", "bytes", "member", "type"),
        (
            (member.offset, member.size, f"`{member.name}`", f"`{member.c_type}`")
            for member in command.layout.members()
            if member.end <= last
        ),
    )
    if command.fails:
        rows = ((f"`{errno_name(number)}`", why) for number, why in command.fails.items())
        yield table(("errno", "when"), rows)


def used(command: Command) -> int:
    """How many bytes of the attr the command uses."""
    return command.layout.member(command.last).end


def error_page() -> str:
    """Every reason for a refusal."""
    parts = []
    count = 0
    for found in pkgutil.iter_modules(skep.uapi.__path__):
        if found.name.startswith("reasons_"):
            module = importlib.import_module(f"skep.uapi.{found.name}")
            rows = [row for row in vars(module).values() if isinstance(row, Reason)]
            count += len(rows)
            title = str(module.__doc__).partition("\n\n")[0].removeprefix("Reasons ").strip(".")
            parts.append(f"## {title[0].upper()}{' '.join(title[1:].split())}")
            head = ("reason", "errno", "member", "allowed", "hint", "log of Linux")
            parts.append(table(head, map(reason_row, sorted(rows))))
    return page(
        "Errors",
        "src/skep/uapi/reasons_*.py",
        f"A call of bpf(2) that is refused is refused for one of {count} reasons, or by a "
        "[rule of the verifier](rules/index.md). The id of a reason is stable; "
        "`Subsystem.last_error` has it as `rule`, with the member, its offset, the value found, "
        "what is allowed, and a hint. All of it stands in [the log](log.md), too.",
        "Each reason is driven by a call in `tests/contract/refusals`.",
        *parts,
    )


def reason_row(row: Reason) -> tuple[object, ...]:
    """One reason, as cells."""
    text = f"`{row.text.rstrip()}`" if row.text else ""
    field = f"`{row.field}`" if row.field else ""
    return f"`{row.id}`", f"`{errno_name(row.errno)}`", field, row.allowed, row.hint, text


def difference_page() -> str:
    """Where skep answers otherwise than Linux."""
    rows = (
        (row.id, ", ".join(f"`{name}`" for name in row.commands), place(row.members, row.rule),
         row.linux, row.skep, row.why)
        for row in DIFFERENCES
    )  # fmt: skip
    head = ("difference", "commands", "where", "Linux 6.18", "skep", "why")
    return page(
        "Differences to Linux",
        "tests/conformance/differences.py and verdict_differences.py",
        "`tests/conformance/test_attrs_against_kernel.py` asks the running kernel and skep the "
        "same: 2 000 mutated attrs of every command, with each member, size, tail, flag, kind of "
        "descriptor and bad pointer. What they answer otherwise, errno or attr, is one of these.",
        table(head, rows),
        "## Verdicts",
        "`make conformance` compares the verdicts on the shared corpus; there they are the same, "
        "and nothing is accepted that Linux refuses. Generators of random programs found kinds "
        "that Linux 6.18 accepts and skep refuses. They are refused on purpose, each for what "
        "would go wrong if it ran:",
        verdict_table(),
        "## Logs",
        "Log, instruction counts and statistics are Linux 6.18's, except where the search for "
        "exact values goes further here for the reasons above, and where a callback is a loop of "
        "its own: that shows at log level 2 only.",
        "What exists in Linux and not here at all: "
        "[What we leave out](../explanation/what-we-leave-out.md).",
    )


def verdict_table() -> str:
    """What skep refuses and Linux accepts."""
    rows = (
        (row.id, f"[{row.rule}](rules/{row.rule}.md)", row.program, row.why)
        for row in VERDICT_DIFFERENCES
    )
    return table(("difference", "rule", "a program that", "why not"), rows)


def place(members: object, rule: str) -> str:
    """Which attrs a difference is about."""
    assert isinstance(members, dict)
    taken = (
        f"`{name}` {' or '.join(map(str, sorted(values)))}" for name, values in members.items()
    )
    return ", ".join([*taken, *([f"`{rule}`"] if rule else [])]) or "any attr"
