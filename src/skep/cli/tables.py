"""What ``skep verify --stats`` and ``--profile`` print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from skep.cli.output import print_json, print_table

if TYPE_CHECKING:
    from skep.session.profile import Profile
    from skep.session.statistics import Record
    from skep.session.verdicts import Verdict

HEAD: Final = ("FILE", "PROGRAM", "VERDICT", "DURATION (us)", "INSNS", "STATES", "PEAK", "RULE")
COMPARED: Final = {"verdict": "VERDICT", "duration": "DURATION", "total_insns": "INSNS",
                   "total_states": "STATES", "peak_states": "PEAK"}  # fmt: skip
WIDEST: Final = 60


def print_statistics(
    verdicts: "Sequence[Verdict]", *, sort: Sequence[str], baseline: str | None, form: str
) -> None:
    """What the verification of each program cost, alone or beside an earlier table."""
    from skep.session import statistics

    rows = statistics.ordered(map(statistics.record, verdicts), sort)
    if baseline is not None:
        _print_comparison(statistics.read_csv(baseline), rows, form, sorted_=bool(sort))
    elif form == "json":
        print_json(rows)
    elif form == "csv":
        print(statistics.to_csv(rows), end="")
    else:
        print_table(HEAD, [[row[name] for name in statistics.COLUMNS] for row in rows])


def _print_comparison(
    base: "Sequence[Record]", now: "Sequence[Record]", form: str, *, sorted_: bool
) -> None:
    from skep.session import statistics

    found = statistics.compare(base, now)
    if not sorted_:
        found.sort(key=lambda each: -each.shift)
    if form == "json":
        print_json([each.flat() for each in found])
    elif form == "csv":
        print(statistics.to_csv([each.flat() for each in found]), end="")
    else:
        sides = [f"{name} ({side})" for name in COMPARED.values() for side in ("A", "B", "DIFF")]
        rows = [
            [each.file, each.program, *(cell for name in COMPARED for cell in each.pair(name))]
            for each in found
        ]
        print_table(("FILE", "PROGRAM", *sides), rows)


def print_profiles(found: "Sequence[tuple[Verdict, Profile]]", *, rows: int, form: str) -> None:
    """Where the effort went; *rows* at most of each program, all for 0."""
    if form == "json":
        print_json([_profile_row(verdict, profile) for verdict, profile in found])
        return
    for number, (verdict, profile) in enumerate(found):
        print("\n" if number else "", end="")
        _print_profile(verdict, profile, rows)


def _profile_row(verdict: "Verdict", profile: "Profile") -> dict[str, Any]:
    about = {"file": verdict.file, "program": verdict.program, "verdict": verdict.verdict,
             "rule": verdict.rule}  # fmt: skip
    return about | profile.as_dict


def _print_profile(verdict: "Verdict", profile: "Profile", rows: int) -> None:
    rule = f", {verdict.rule}" if verdict.rule else ""
    print(
        f"{verdict.file}: {verdict.program}: {verdict.verdict}{rule}: "
        f"{profile.insns} insns, {profile.states} states"
    )
    shown = profile.rows[:rows] if rows else profile.rows
    print_table(
        ("INSNS", "SHARE", "STATES", "MOST", "PLACE", "SOURCE"),
        [(row.insns, _share(row.insns, profile.insns), row.states, row.most, row.place,
          row.text[:WIDEST]) for row in shown],
    )  # fmt: skip
    if len(shown) < len(profile.rows):
        print(f"and {len(profile.rows) - len(shown)} more (--rows 0 shows all)")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
