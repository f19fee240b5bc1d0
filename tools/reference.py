"""Writes docs/reference from the tables in the source; ``--check`` tells whether it is up to date.

usage: python tools/reference.py [--check]
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from skep.errors import errno_name
from skep.isa.table import OPS
from skep.loader.sections import SECTIONS
from skep.syscall.catalog import KFUNCS
from skep.syscall.log_request import LOGGED_BY_LINUX, OWN_LOGS
from skep.uapi import kfuncs, log_messages
from skep.uapi.commands import (
    COMMANDS,
    COMMON_ATTRS,
    LOGGED,
    USES_EXTENDED_ATTR,
    CommonAttr,
    LongRawTracepointOpen,
)
from skep.uapi.flags import AttachType, ProgType
from skep.uapi.helper_types import Arg, ArgType, Helper, Ret
from skep.uapi.helpers import HELPERS
from skep.uapi.map_types import MAP_TYPES
from skep.uapi.program_types import PROGRAM_TYPES
from skep.verifier.rules.rule import Rule

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from markdown_pages import page, table  # noqa: E402 - found there
from reference_calls import command_page, difference_page, error_page  # noqa: E402
from support.rule_examples import Example, read_case, subjects  # noqa: E402 - found there

TARGET = ROOT / "docs" / "reference"

SUBJECTS = {
    "calls": "Calls",
    "flow": "Control flow and limits",
    "memory": "Memory",
    "registers": "Pointers in registers",
    "resources": "References, locks, sections, dynptrs, iterators",
    "rule": "What the verifier does not know",
}
EXAMPLES_NOTE = (
    "The programs on their pages are in the assembly language that `skep verify` takes, "
    "with [directives](../../how-to/reduce-a-rejected-program.md#the-directives), or in C. "
    "They are verified by the tests: the refused one breaks exactly this rule."
)


# --- rules of the verifier ----------------------------------------------------------------------


def example_text(example: Example) -> str:
    """A program in a fence, in C or in assembly language."""
    language = "c" if example.object else "asm"
    return f"```{language}\n{example.shown.rstrip()}\n```"


def rule_page(subject: str, rule: Rule) -> str:
    """One rule: what it guards, a program that breaks it, one that keeps it, how to mend it."""
    case = read_case(rule.id)
    parts = [
        f"{rule.sentence[0].upper()}{rule.sentence[1:]}.",
        case.guards,
        f"PROG_LOAD answers `{errno_name(rule.errno)}` if that may not hold.",
    ]
    parts += ["## Refused", example_text(case.refused)]
    parts += ["## Accepted", example_text(case.accepted)]
    parts += ["## How to mend it", case.mend]
    source = f"src/skep/verifier/rules/{subject}.py and tests/cases/rules/{rule.id}.txt"
    return page(rule.id, source, *parts)


def rule_pages() -> dict[str, str]:
    """An index, and a page for each rule."""
    pages: dict[str, str] = {}
    tables = []
    count = 0
    for subject, rows in subjects():
        if not rows:
            continue
        count += len(rows)
        pages |= {f"rules/{rule.id}.md": rule_page(subject, rule) for rule in rows}
        head = ("rule", "what must hold", "errno")
        cells = [(f"[{r.id}]({r.id}.md)", r.sentence, errno_name(r.errno)) for r in rows]
        tables.append(f"## {SUBJECTS[subject]}\n\n{table(head, cells)}")
    pages["rules/index.md"] = page(
        "Verifier rules",
        "src/skep/verifier/rules",
        f"Every refusal names one of {count} rules; its id is stable.",
        EXAMPLES_NOTE,
        *tables,
    )
    return pages


# --- other tables -------------------------------------------------------------------------------


def instruction_page() -> str:
    """Every row of the instruction table."""
    rows = (
        (f"`{op.name}`", f"{op.code:#04x}", f"`{op.symbol}`", op.kind.value, op.sem.value, op.bits,
         op.size or "", "yes" if op.loadable else "no")
        for op in OPS
    )  # fmt: skip
    head = ("name", "opcode", "spelling", "kind", "meaning", "bits", "bytes", "loadable")
    return page("Instructions", "src/skep/isa/table.py", table(head, rows))


KFUNC_FLAGS: Final = (
    (kfuncs.ACQUIRE, "acquires"), (kfuncs.RELEASE, "releases"), (kfuncs.RET_NULL, "may be NULL"),
    (kfuncs.TRUSTED_ARGS, "trusted arguments"), (kfuncs.RCU, "RCU arguments"),
    (kfuncs.SLEEPABLE, "sleeps"), (kfuncs.RCU_PROTECTED, "in RCU sections"),
    (kfuncs.ITER_NEW, "makes an iterator"), (kfuncs.ITER_NEXT, "next of an iterator"),
    (kfuncs.ITER_DESTROY, "ends an iterator"), (kfuncs.IN_LOCK, "under spin locks too"),
)  # fmt: skip


def kfunc_page() -> str:
    """Every row of the kfunc table."""
    rows = [
        (f"`{row.name}`", "yes" if row.name in KFUNCS else "",
         ", ".join(words for flag, words in KFUNC_FLAGS if row.flags & flag),
         program_types_text(row))
        for row in sorted(kfuncs.ROWS, key=lambda row: row.name)
    ]  # fmt: skip
    return page(
        "Kernel functions",
        "src/skep/uapi/kfuncs.py",
        f"The verifier judges calls of {len(rows)} kernel functions; prototypes are those of the "
        f"BTF in force. The engines run {len(KFUNCS)} of them. What is not here, and what does not "
        "run where programs are to be run, is refused by name.",
        table(("name", "runs", "what holds", "program types"), rows),
    )


def program_types_text(row: kfuncs.Kfunc) -> str:
    """Who may call a kernel function."""
    if row.types == frozenset(int(kind) for kind in ProgType):
        return "all"
    names = ", ".join(ProgType(number).name.lower() for number in sorted(row.types))
    ways = ", ".join(AttachType(number).name.lower() for number in row.attach_types)
    return f"{names} ({ways})" if ways else names


def argument_text(argument: ArgType) -> str:
    """An argument of a helper, as ``mem(8), written``."""
    text = Arg(argument.kind).name.lower()
    size = f"({argument.size})" if argument.size else ""
    flags = [
        name for name, on in (("or null", argument.nullable), ("written", argument.writes)) if on
    ]
    return text + size + "".join(f", {flag}" for flag in flags)


def helper_row(helper: Helper) -> tuple[object, ...]:
    """A row of the table of helpers."""
    arguments = "; ".join(argument_text(argument) for argument in helper.args)
    result = Ret(helper.ret).name.lower() + (" or null" if helper.nullable else "")
    return helper.id, f"`{helper.name}`", arguments, result, "yes" if helper.gpl else "", helper.doc


def helper_page() -> str:
    """Every helper."""
    head = ("id", "name", "arguments", "result", "GPL", "what it does")
    return page("Helpers", "src/skep/uapi/helpers.py", table(head, map(helper_row, HELPERS)))


def map_page() -> str:
    """Every map type."""
    rows = (
        (
            row.id,
            f"`{row.name}`",
            f"{row.key[0]}..{row.key[1]}",
            f"{row.value[0]}..{row.value[1]}",
            "yes" if row.per_cpu else "",
            row.since,
            row.doc,
        )
        for row in MAP_TYPES
    )
    head = ("id", "name", "key bytes", "value bytes", "per CPU", "since", "what it is")
    return page("Map types", "src/skep/uapi/map_types.py", table(head, rows))


def program_page() -> str:
    """Every program type."""
    rows = (
        (row.id, f"`{row.name}`", row.context or "typed arguments", len(row.helpers))
        for row in PROGRAM_TYPES
    )
    head = ("id", "name", "context", "helpers")
    return page("Program types", "src/skep/uapi/program_types.py", table(head, rows))


def section_page() -> str:
    """Every section name."""
    rows = (
        (
            f"`{row.name}{'/…' if row.prefix else ''}`",
            ProgType(row.program_type).name.lower(),
            AttachType(row.attach_type).name.lower() if row.attach_type else "",
            "yes" if row.sleepable else "",
        )
        for row in SECTIONS
    )
    head = ("section", "program type", "attach type", "sleepable")
    return page("Sections", "src/skep/loader/sections.py", table(head, rows))


def log_page() -> str:
    """The log: types of messages, levels, ways to ask for it, and what each command logs."""
    messages = (
        (row.number, f"`{row.name}`", f"`{row.layout}`", row.meaning)
        for row in log_messages.MESSAGE_TYPES
    )
    layouts = (
        (f"`struct {struct}`", member.offset, f"`{member.name}`", f"`{member.c_type}`")
        for struct, layout in LOG_STRUCTS.items()
        for member in layout.members()
    )
    head = ("struct", "offset", "member", "type")
    return page(
        "The log",
        "src/skep/uapi/log_messages.py, src/skep/syscall/log_request.py, src/skep/uapi/commands.py",
        "Why it is so: [Logging](../explanation/logging.md).",
        "## Messages",
        "A header of six bytes, packed and in host order, `u16 type, u32 length`, stands before "
        "each payload. Strings of one payload are separated by NUL.",
        table(("type", "name", "payload", "what it says"), messages),
        "## Levels",
        table(("bit", "name", "what it asks for", "Linux has it"), LOG_LEVELS),
        "## Ways to ask",
        table(("flag of the command", "value", "what it means", "Linux has it"), LOG_FLAGS),
        table(head, layouts),
        "Other flags in `BPF_CMD_FLAGS_MASK`, `0xffff0000`, are `EINVAL`. So are bytes 16 to 63 of "
        "`struct bpf_extended_attr` that are not zero; the attr follows at byte 64.",
        "## What each command logs",
        table(("command", "text of Linux 6.18", "text of Linux 7.2", "of skep"), log_coverage()),
    )


LOG_STRUCTS = {
    "bpf_common_attr": CommonAttr,
    "bpf_extended_attr": log_messages.ExtendedHeader,
    "bpf_raw_tracepoint_open, 40 bytes": LongRawTracepointOpen,
}
LOG_LEVELS = (
    (0, "`LEVEL1`", "text: the path that was refused", "yes"),
    (1, "`LEVEL2`", "text: all paths", "yes"),
    (2, "`STATS`", "text: what verification cost", "yes"),
    (3, "`FIXED`", "text that is cut at its end, not at its front", "yes"),
    (4, "`BPF_LOG_TLV`", "messages, not in the attr's own level; bits 0 to 2: their text", "no"),
)
LOG_FLAGS = (
    ("`BPF_COMMON_ATTRS`", f"`{COMMON_ATTRS:#x}`",
     "arguments 4 and 5 are `struct bpf_common_attr` and its size", "since 7.2"),
    ("`BPF_LOGGED`", f"`{LOGGED:#x}`", "the same", "no"),
    ("`BPF_USES_EXTENDED_ATTR`", f"`{USES_EXTENDED_ATTR:#x}`",
     "argument 2 is `struct bpf_extended_attr`", "no"),
    ("none, `RAW_TRACEPOINT_OPEN`", "",
     "an attr of 40 bytes is the long one if bytes 24 to 39 are not all zero", "no"),
)  # fmt: skip


def log_coverage() -> Iterable[tuple[str, str, str, str]]:
    """What Linux and skep log of every command."""
    for command in COMMANDS:
        own = "refusals and successes" if command.number in OWN_LOGS else ""
        newer = own or ("some refusals" if command.number in LOGGED_BY_LINUX else "")
        yield f"`{command.name}`", own, newer, "every refusal" + (", successes" if own else "")


PAGES: dict[str, Callable[[], str]] = {
    "log.md": log_page,
    "instructions.md": instruction_page,
    "helpers.md": helper_page,
    "kfuncs.md": kfunc_page,
    "commands.md": command_page,
    "errors.md": error_page,
    "differences.md": difference_page,
    "map-types.md": map_page,
    "program-types.md": program_page,
    "sections.md": section_page,
}


def all_pages() -> dict[str, str]:
    """Text of every page, by path below docs/reference."""
    return rule_pages() | {name: make() for name, make in PAGES.items()}


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is stale")
    check = parser.parse_args().check
    stale = []
    try:
        pages = all_pages()
    except FileNotFoundError as missing:
        print(f"missing: {missing.filename}: see docs/how-to/add-a-verifier-rule.md")
        return 1
    for name, text in pages.items():
        path = TARGET / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in (TARGET / "rules").glob("*.md"):  # of rules that are no more
        if f"rules/{path.name}" not in pages:
            stale.append(f"rules/{path.name}")
            if not check:
                path.unlink()
    for name in stale:
        print(f"{'stale' if check else 'written'}: docs/reference/{name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
