"""The command line: what it prints, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skep.attach.capture import write_pcap
from skep.attach.packets import Packet
from skep.cli.main import main

OBJECTS = Path(__file__).parents[2] / "objects"
SESSION = str(OBJECTS / "session.bpf.o")
REFUSED = str(OBJECTS / "refused.bpf.o")
FIELDS = {
    "file", "program", "section", "type", "verdict", "errno", "rule", "insn", "source", "message",
    "insns_processed", "states", "peak_states", "verify_us",
}  # fmt: skip


def test_verify_json_has_one_object_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["verify", "--json", REFUSED])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert status == 1
    assert all(set(row) == FIELDS for row in rows)
    assert [row["verdict"] for row in rows] == ["accepted", "rejected", "rejected"]


def test_verify_of_good_programs_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", SESSION]) == 0
    assert "accepted" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [
    ["verify", "/nonexistent.o"],
    ["verify", __file__],
    ["verify", "--program", "nosuch", SESSION],
    ["run", SESSION],
    ["run", SESSION, "--program", "nosuch"],
    ["run", SESSION, "--program", "count", "--packet", "xyz"],
    ["run", SESSION, "--program", "count", "--pcap", __file__],
    ["run", SESSION, "--program", "count", "--live", "nosuch0"],
    ["disasm", __file__],
    ["btf", "dump", __file__],
    ["prog", "dump", SESSION],
    ["map", "show", "/nonexistent.o"],
    [],
])  # fmt: skip
def test_bad_input_ends_with_2_and_no_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_run_on_a_packet_prints_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["run", SESSION, "-p", "count", "--packet", "00" * 64, "--repeat", "3", "--json"])
    found = json.loads(capsys.readouterr().out)

    assert status == 0
    assert (found["returns"], found["runs"]) == ({"42": 3}, 3)
    assert found["printk"] == ["counted 3", "counted 6", "counted 9"]


def test_run_on_a_capture_counts_return_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.pcap"
    write_pcap(path, [Packet(bytes(size), size) for size in (60, 70, 80)])
    status = main(["run", SESSION, "-p", "record", "--pcap", str(path), "--count", "2", "--json"])
    found = json.loads(capsys.readouterr().out)

    assert status == 0
    assert (found["returns"], found["packets"]) == ({"2": 2}, 2)


def test_run_of_a_refused_program_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", REFUSED, "-p", "no_null_check", "--packet", "00" * 64]) == 1
    assert "map_value_or_null" in capsys.readouterr().err


def test_disasm_shows_the_source_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disasm", SESSION, "--program", "record"]) == 0
    out = capsys.readouterr().out

    assert "bpf_ringbuf_submit(place, 0)" in out
    assert "call" in out


def test_btf_dump_gives_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["btf", "dump", SESSION, "--format", "c"]) == 0
    assert "struct stats {" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [
    ["prog", "show", SESSION], ["map", "show", SESSION], ["map", "dump", SESSION],
    ["prog", "dump", SESSION, "-p", "count"], ["disasm", SESSION], ["btf", "dump", SESSION],
    ["feature", "probe"],
])  # fmt: skip
def test_every_verb_prints_json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("form", ["xlated", "jited", "llvm"])
def test_prog_dump_shows_each_form(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prog", "dump", SESSION, "-p", "count", "--what", form]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m skep btf dump {SESSION} | head -1"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )

    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["verify", "run", "disasm", "btf dump", "prog show", "map dump",
                                  "feature probe"])  # fmt: skip
def test_help_has_an_example_and_the_exit_status(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main([*verb.split(), "--help"])
    out = capsys.readouterr().out

    assert raised.value.code == 0
    assert "exit status" in out
    assert "skep " in out.split("example")[1]


@pytest.mark.parametrize("verb", [["verify"], ["verify", "--json"], ["run"], ["disasm"]])
def test_a_file_without_end_is_bad_input(
    verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # It was read until no memory was left.
    assert main([*verb, "/dev/zero"]) != 0
    captured = capsys.readouterr()

    assert "/dev/zero" in captured.err + captured.out


def test_a_full_disk_is_said_in_one_line_and_is_no_rejection() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "skep", "verify", SESSION],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (2, "skep: standard output: No space left on device\n")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_names_of_files_may_be_no_text(tmp_path: Path, options: list[str]) -> None:
    name = os.fsencode(tmp_path) + b"/line\nbreak\xff.o"
    Path(os.fsdecode(name)).write_bytes(Path(SESSION).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "skep", "verify", *options, name],
        check=False, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    lines = done.stdout.decode().splitlines()

    assert done.returncode == 0
    assert all("line\\nbreak\\udcff.o" in line for line in lines[not options :])


def test_more_repeats_than_fit_are_a_bad_option() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", SESSION, "--repeat", str(1 << 32)])

    assert ended.value.code == 2
