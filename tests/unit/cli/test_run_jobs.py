"""skep run -j: a capture on several threads."""

import json
from pathlib import Path

import pytest

from skep.attach.capture import write_pcap
from skep.attach.packets import Packet
from skep.cli.main import main

OBJECT = str(Path(__file__).parents[3] / "benchmarks" / "programs" / "branches.bpf.o")
IPV4 = bytes(12) + b"\x08\x00" + bytes.fromhex("4500003000000000400600007f0000017f000001")
TO_443 = IPV4 + bytes.fromhex("9c4001bb") + bytes(26)
TO_80 = IPV4 + bytes.fromhex("9c400050") + bytes(26)
RUN = ["run", OBJECT, "-p", "tcp_dst_443"]


@pytest.fixture
def capture(tmp_path: Path) -> str:
    path = tmp_path / "x.pcap"
    write_pcap(path, [Packet(data, len(data)) for data in (TO_443, TO_80, TO_80) * 50])
    return str(path)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_any_number_of_jobs_gives_the_same_counts(
    capture: str, jobs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--pcap", capture, "-j", jobs, "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["returns"] == {"1": 100, "2": 50}
    assert document["packets"] == 150


def test_jobs_without_a_capture_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "--packet", TO_80.hex(), "-j", "2"]) == 2
    assert "--jobs without --pcap" in capsys.readouterr().err


def test_no_job_is_no_number_of_jobs(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*RUN, "--pcap", capture, "-j", "0"])

    assert ended.value.code == 2
    assert "0 is not above zero" in capsys.readouterr().err
