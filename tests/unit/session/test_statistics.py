"""Tables of costs: veristat's columns, read back, sorted, compared."""

from pathlib import Path

import pytest

from skep.errors import FormatError
from skep.session.statistics import (
    COLUMNS,
    Record,
    column,
    compare,
    ordered,
    read_csv,
    record,
    to_csv,
)
from skep.session.verdicts import verify_file

OBJECTS = Path(__file__).parents[2] / "objects"


def rows_of(name: str) -> list[Record]:
    return [record(verdict) for verdict in verify_file(OBJECTS / f"{name}.bpf.o")]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = rows_of("refused")
    (tmp_path / "a.csv").write_text(to_csv(rows))

    assert read_csv(str(tmp_path / "a.csv")) == rows
    assert tuple(rows[0]) == COLUMNS
    assert [row["verdict"] for row in rows] == ["success", "failure", "failure"]


def test_a_table_of_veristat_is_a_baseline(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(
        "file_name,prog_name,verdict,duration,total_insns,total_states,peak_states,size\n"
        "refused.bpf.o,accepted,success,10,4,0,0,2\n"
    )
    (both, *alone) = compare(read_csv(str(tmp_path / "v.csv")), rows_of("refused"))

    assert both.pair("verdict") == ("success", "success", "MATCH")
    assert both.pair("total_insns") == (4, 2, "-2 (-50.00%)")
    assert alone[0].pair("total_insns") == ("N/A", 8, "N/A")
    assert both.flat()["total_insns_diff"] == "-2 (-50.00%)"


def test_what_is_gone_comes_last() -> None:
    found = compare(rows_of("session"), rows_of("refused"))

    assert [each.now is None for each in found] == [False] * 3 + [True] * 3
    assert found[-1].pair("verdict") == ("success", "N/A", "N/A")


def test_numbers_are_sorted_from_the_greatest_and_texts_from_a() -> None:
    rows = rows_of("refused")

    assert [row["total_insns"] for row in ordered(rows, ["insns"])] == [8, 2, 2]
    assert [row["total_insns"] for row in ordered(rows, ["^insns"])] == [2, 2, 8]
    names = [row["prog_name"] for row in ordered(rows, ["verdict", "program"])]
    assert names == ["no_bounds_check", "no_null_check", "accepted"]


def test_a_column_has_a_short_name() -> None:
    assert (column("insns"), column("peak_states")) == ("total_insns", "peak_states")
    with pytest.raises(KeyError):
        column("speed")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "file_name,prog_name\n",
    "file_name,prog_name,verdict,total_insns\nx,y,success,many\n"])  # fmt: skip
def test_another_file_is_no_baseline(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)

    with pytest.raises(FormatError):
        read_csv(str(tmp_path / "x.csv"))
