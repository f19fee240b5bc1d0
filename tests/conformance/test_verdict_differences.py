"""What skep refuses on purpose, Linux 6.18 accepts: else the row can go."""

from dataclasses import replace
from textwrap import dedent

import pytest

from conformance.verdict_differences import VERDICT_DIFFERENCES, VerdictDifference
from skep.session.assembly import request_of
from skep.verifier import Rejected, Request, verify
from skep.verifier.check import PROG_F_TEST_STATE_FREQ
from skep.verifier.rules.rule import Rule
from support import kernel
from support.rule_examples import all_rules
from support.running_kernel import missing

PROGRAMS = [row for row in VERDICT_DIFFERENCES if row.text]


def _request(row: VerdictDifference) -> Request:
    request = request_of(dedent(row.text), None)
    return replace(request, prog_flags=PROG_F_TEST_STATE_FREQ, expected_attach_type=row.attach_type)


@pytest.mark.parametrize("row", PROGRAMS, ids=lambda row: row.id)
def test_it_is_refused_here(row: VerdictDifference) -> None:
    with pytest.raises(Rejected) as caught:
        verify(_request(row))

    assert caught.value.rule.id == row.rule


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("row", PROGRAMS, ids=lambda row: row.id)
def test_linux_accepts_it(row: VerdictDifference) -> None:
    request = _request(row)
    verdict = kernel.load(
        request.insns, request.program_type.id, flags=request.prog_flags,
        expected_attach_type=row.attach_type,
    )  # fmt: skip

    assert verdict.errno == 0, verdict.log


def test_rows_name_rules() -> None:
    rules: set[str] = {rule.id for rule in all_rules() if isinstance(rule, Rule)}

    assert {row.rule for row in VERDICT_DIFFERENCES} <= rules
