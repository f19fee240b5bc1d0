"""What every refusal says in the log, and that ids stay apart."""

import ctypes
from collections import Counter
from typing import Any

import pytest

from contract.refusals.bench import Bench, Driver
from contract.test_refusals import ROWS, drivers
from skep.session.log_report import write_reports
from skep.session.log_tlv import read_tlv
from skep.syscall.log_records import CATEGORIES, OTHER_CATEGORIES, category_of
from skep.syscall.log_tlv import extended_code
from skep.syscall.subsystem import Subsystem
from skep.uapi.commands import COMMANDS, COMMON_ATTRS, CommonAttr
from skep.uapi.log_messages import MESSAGE_TYPES, TLV
from skep.uapi.reason import Reason
from skep.verifier.rules.rule import Rule

SIZE = 1 << 16
NAMES = {command.name for command in COMMANDS}  # other calls have no buffer for a log
WITHOUT = ("log/", "call/attr-", "call/unknown-command")  # refused before the log is known
RULES = {
    row.id: row for module, _ in CATEGORIES for row in vars(module).values()
    if isinstance(row, Rule)
}  # fmt: skip


class Logged(Subsystem):
    """A subsystem whose callers all ask for a log of messages."""

    def __init__(self) -> None:
        super().__init__()
        self.log = b""

    def bpf(self, cmd: int, attr: Any, size: Any = None, *common: Any) -> int:
        if common:
            return super().bpf(cmd, attr, size, *common)
        buffer = ctypes.create_string_buffer(SIZE)
        asked = CommonAttr(log_buf=ctypes.addressof(buffer), log_size=SIZE, log_level=TLV)
        result = super().bpf(cmd | COMMON_ATTRS, attr, size, bytearray(asked.encode()[:16]))
        self.log = buffer.raw
        return result


@pytest.mark.acceptance("L2", "L3")
@pytest.mark.parametrize(
    ("row", "driver"),
    [pair for pair in drivers() if not pair[0].id.startswith(WITHOUT)],
    ids=lambda part: getattr(part, "id", ""),
)
def test_the_log_says_why_the_call_is_refused(row: Reason, driver: Driver) -> None:
    bench = Bench()
    bench.subsystem = Logged()
    driver(bench)
    records = bench.subsystem.last_records

    assert records, "nothing is said"
    record = records[0]
    assert (record.rule, -record.errno) == (row.id, bench.result)
    assert record.message
    assert record.allowed
    assert record.field == row.field or not row.field
    if record.command in NAMES:
        assert record.offset >= 0 or not row.field
        if isinstance(bench.subsystem, Logged):  # else the driver has a subsystem of its own
            assert read_tlv(bench.subsystem.log).records == records
    assert record.rule in write_reports(records)


def test_no_two_rules_share_an_extended_code() -> None:
    names = {row.id for _, _, row in ROWS} | set(RULES)
    codes = Counter(map(extended_code, names))

    assert [code for code, times in codes.items() if times > 1] == []
    assert 0 not in codes


def test_every_rule_of_the_verifier_has_a_category() -> None:
    assert sorted(set(OTHER_CATEGORIES) - set(RULES) - {"not-supported"}) == []
    assert {category_of(row) for row in RULES.values()} == {
        "Memory Safety", "Register Type Safety", "Call Type Safety", "Resource Lifetime Safety",
        "Execution Context Safety", "Program Structure", "Policy", "Verifier Limit",
    }  # fmt: skip


def test_message_types_have_numbers_of_their_own() -> None:
    assert [row.number for row in MESSAGE_TYPES] == list(range(1, len(MESSAGE_TYPES) + 1))
