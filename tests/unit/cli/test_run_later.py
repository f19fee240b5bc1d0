"""`skep run --later`: timers fire and work is done before the maps are shown."""

import json
import struct
from pathlib import Path

import pytest

from skep.cli.main import main
from support.engines import OBJECTS


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, program: str, after: int, *options: str
) -> dict[str, int]:
    context = folder / "request.bin"
    context.write_bytes(struct.pack("<iiQQiI", 5, 0, after, 0, 0, 0))
    status = main(
        ["run", str(OBJECTS / "deferred.bpf.o"), "-p", program, "--ctx", str(context), "--json",
         *options]
    )  # fmt: skip
    assert status == 0
    maps = json.loads(capsys.readouterr().out)["maps"]
    return {name: maps["deferred.bss"][0]["value"][name] for name in ("fired", "worked")}


def test_a_timer_fires_in_the_time_that_is_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(capsys, tmp_path, "start_in_table", 1 << 50) == {"fired": 0, "worked": 0}
    later = run(capsys, tmp_path, "start_in_table", 30_000_000, "--later", "0.5")
    assert later == {"fired": 1, "worked": 0}


def test_work_is_done_before_maps_are_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(capsys, tmp_path, "queue_work", 0) == {"fired": 0, "worked": 1}


@pytest.mark.parametrize("later", ["0", "-1", "nan", "inf", "1e10", "1e300", "soon"])
def test_what_is_no_time_is_refused_in_a_line(
    capsys: pytest.CaptureFixture[str], later: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", str(OBJECTS / "counter.bpf.o"), "-p", "count", "--packet", "00" * 64,
              "--later", later])  # fmt: skip
    assert ended.value.code == 2
    assert "--later" in capsys.readouterr().err
