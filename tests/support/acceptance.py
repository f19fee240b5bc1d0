"""A pytest plugin: which rows of the acceptance list the tests that ran show, and their state.

``make acceptance`` loads it; the run fails unless every row is shown by a test that passes.
"""

from collections import Counter
from collections.abc import Iterable

import pytest

from acceptance.rows import ROWS

MARKER = "acceptance"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Rows(), "acceptance-rows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note each test's rows where a report carries them, also between processes."""
    for item in items:
        for mark in item.iter_markers(MARKER):
            unknown = set(mark.args) - ROWS.keys()
            if unknown:
                raise pytest.UsageError(f"{item.nodeid}: no acceptance row {sorted(unknown)}")
            item.user_properties.extend((MARKER, row) for row in mark.args)


class Rows:
    """The outcome of every test, by row."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = {row: Counter() for row in ROWS}
        self.reasons: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        for key, row in report.user_properties:
            if key == MARKER and isinstance(row, str):
                self.outcomes[row][report.outcome] += 1
                if not report.passed:
                    self.reasons[row] = _reason(report)

    def state(self, row: str) -> str:
        """A row passes if a test that shows it passed and none failed."""
        counts = self.outcomes[row]
        if counts["failed"]:
            return f"FAILED   {self.reasons[row]}"
        if counts["passed"]:
            return f"passed   {counts['passed']} tests"
        return f"skipped  {self.reasons[row]}" if counts["skipped"] else "untested"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("acceptance")
        for row, text in ROWS.items():
            terminalreporter.write_line(f"{row:4} {text:72} {self.state(row)}")
        states = Counter(self.state(row).split()[0] for row in ROWS)
        terminalreporter.write_line(_sum(states.items()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if any(not self.state(row).startswith("passed") for row in ROWS):
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple | list):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.nodeid


def _sum(states: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in sorted(states))
