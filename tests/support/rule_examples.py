"""Examples of the verifier's rules: ``tests/cases/rules/<id>.txt``, one file a rule.

A file has four parts, each a word with a colon on a line of its own and indented text below:

* ``guards``: what the rule is good for;
* ``refused``: a program that this rule refuses;
* ``accepted``: one like it that is accepted;
* ``mend``: what to do about it.

Programs are in assembly language (``skep.session.assembly``), or ``object: NAME FUNCTION`` names a
function of ``tests/objects/NAME.bpf.c``. They are judged with the shipped kernel BTF.
"""

import importlib
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skep.verifier import rules
from skep.verifier.rules.rule import Rule

TESTS: Final = Path(__file__).resolve().parent.parent
CASES: Final = TESTS / "cases" / "rules"
PARTS: Final = ("guards", "refused", "accepted", "mend")


@dataclass(frozen=True, slots=True)
class Example:
    """One program: text in assembly language, or a function of an object."""

    text: str
    object: str = ""
    function: str = ""

    @property
    def shown(self) -> str:
        """The program for people: as it is, or its source in C."""
        if not self.object:
            return self.text
        source = (TESTS / "objects" / f"{self.object}.bpf.c").read_text()
        match = re.search(
            rf"^SEC\([^)]*\)\n[^\n]*\b{self.function}\(.*?^}}\n", source, re.MULTILINE | re.DOTALL
        )
        assert match is not None, f"{self.function} in {self.object}.bpf.c"
        return match[0]


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule's file says."""

    guards: str
    refused: Example
    accepted: Example
    mend: str


def read_case(rule_id: str) -> Case:
    """The file of one rule.

    Raises:
        FileNotFoundError: it has none: every rule needs one.
    """
    text = (CASES / f"{rule_id}.txt").read_text()
    found = dict.fromkeys(PARTS, "")
    part = ""
    for line in text.splitlines():
        if line.rstrip(":") in PARTS and line.endswith(":"):
            part = line[:-1]
        else:
            found[part] += line + "\n"
    parts = {name: textwrap.dedent(text).strip("\n") for name, text in found.items()}
    assert all(parts.values()), f"parts of {rule_id}.txt"
    return Case(
        parts["guards"],
        _example(parts["refused"]),
        _example(parts["accepted"]),
        parts["mend"],
    )


def _example(text: str) -> Example:
    if not text.startswith("object: "):
        return Example(text + "\n")
    _, name, function = text.split()
    return Example("", name, function)


def subjects() -> Iterator[tuple[str, list[Rule]]]:
    """The rows of every module of ``skep.verifier.rules``, by subject."""
    for info in pkgutil.iter_modules(rules.__path__):
        module = importlib.import_module(f"{rules.__name__}.{info.name}")
        rows = {value.id: value for value in vars(module).values() if isinstance(value, Rule)}
        if info.name != "rule":
            rows.pop("not-supported", None)
        yield info.name, sorted(rows.values(), key=lambda rule: rule.id)


def all_rules() -> list[Rule]:
    """Every rule."""
    return [rule for _, rows in subjects() for rule in rows]
