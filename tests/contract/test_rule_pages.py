"""Every rule of the verifier has a page whose examples are true: refused by it, and accepted."""

import pytest

from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED
from skep.session.assembly import request_of
from skep.session.verdicts import verify_file
from skep.verifier import Rejected, verify
from skep.verifier.rules.rule import Rule
from support.rule_examples import CASES, TESTS, Example, all_rules, read_case

SLOW = ("insn-budget", "jump-sequence")


@pytest.fixture(name="kernel", scope="module")
def _kernel() -> Btf:
    return Btf.parse(SHIPPED.read_bytes())


def rule_broken_by(example: Example, kernel: Btf) -> str:
    """Id of the rule that refuses a program; "" if it is accepted."""
    if example.object:
        file = TESTS / "objects" / f"{example.object}.bpf.o"
        (verdict,) = verify_file(file, programs=[example.function], btf=kernel)
        assert verdict.verdict != "error", verdict.message
        return verdict.rule
    try:
        verify(request_of(example.text, kernel))
    except Rejected as rejected:
        return rejected.rule.id
    return ""


@pytest.mark.parametrize("rule", [
    pytest.param(rule, id=rule.id, marks=[pytest.mark.slow] if rule.id in SLOW else [])
    for rule in all_rules()
])  # fmt: skip
def test_a_rule_has_an_example_that_it_refuses_and_one_that_is_accepted(
    rule: Rule, kernel: Btf
) -> None:
    case = read_case(rule.id)
    assert rule_broken_by(case.refused, kernel) == rule.id
    assert rule_broken_by(case.accepted, kernel) == ""
    assert case.refused.shown != case.accepted.shown


def test_every_example_belongs_to_a_rule() -> None:
    assert {path.stem for path in CASES.glob("*.txt")} == {rule.id for rule in all_rules()}


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_a_rule_says_what_it_guards_and_how_to_mend_it(rule: Rule) -> None:
    case = read_case(rule.id)

    for text in (case.guards, case.mend):
        assert text[0].isupper() or text.startswith(("`", "clang", "r10"))
        assert text.rstrip("`").endswith((".", "…`", ")"))
