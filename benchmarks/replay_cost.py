"""(e) Replaying a capture: packets a second, beside tcpdump and the kernel's test runs.

``tcpdump -r FILE -w /dev/null FILTER`` and a program with the same filter read the same capture of
a million small packets, in turn; both must find as many. skep is timed from opening the file, on
one thread and on two, and once more as the whole process ``skep run``, which also starts Python,
verifies and compiles. The kernel has no replay: its figure is one packet run again and again, so
it neither reads a file nor misses a cache. Times are wall clock; the least of the rounds counts,
since whatever else the machine does only makes them longer.
"""

import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import skep
from program_cost import HERE
from sides import kernel_side
from skep.attach.capture import Capture

OBJECT: Final = HERE / "branches.bpf.o"
PROGRAM: Final = "tcp_dst_443"
FILTER: Final = "tcp dst port 443"
DIFFERENT: Final = 4096
TIMES: Final = 256
PACKETS: Final = DIFFERENT * TIMES
MATCH: Final = 2  # XDP_PASS


def write_capture(path: Path) -> None:
    """A million packets of 60 to 128 bytes, TCP and UDP, to a few ports."""
    chance = random.Random(1)
    records = []
    for number in range(DIFFERENT):
        protocol = chance.choice((6, 6, 17))
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 48, 0, 0x4000, 64, protocol, 0)
        ports = struct.pack(">HH", chance.randrange(1024, 65536), chance.choice((80, 443, 53, 443)))
        packet = bytes(12) + b"\x08\x00" + ip + chance.randbytes(8) + ports + bytes(100)
        size = chance.choice((60, 66, 74, 90, 128))
        records.append(struct.pack("<4I", 1_700_000_000, number, size, size) + packet[:size])
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for _ in range(TIMES):
            file.write(b"".join(records))


def tcpdump(path: Path) -> int:
    """What tcpdump finds."""
    command = ["tcpdump", "-n", "-r", str(path), "-w", "/dev/null", FILTER]
    subprocess.run(command, check=True, capture_output=True)
    return 0


def matches(path: Path) -> int:
    """How many packets tcpdump finds."""
    command = ["tcpdump", "-n", "-r", str(path), "--count", FILTER]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(printed.split()[0])


def replayed(path: Path, program: Any, jobs: int) -> int:
    """Open the capture, replay it; how many packets matched."""
    capture = Capture(path)
    try:
        return int(program.replay(capture, jobs=jobs)["returns"][MATCH])
    finally:
        capture.close()


def run_process(path: Path) -> int:
    """The whole ``skep run``."""
    command = [sys.executable, "-m", "skep", "run", str(OBJECT), "-p", PROGRAM, "--pcap", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return 0


def measure(kernel: bool, rounds: int) -> list[dict[str, Any]]:
    """Print the table; its rows for JSON."""
    ways: dict[str, Callable[[Path], int]] = {}
    with tempfile.TemporaryDirectory() as folder, skep.load(OBJECT, programs=[PROGRAM]) as loaded:
        path = Path(folder, "capture.pcap")
        write_capture(path)
        program = loaded.programs[PROGRAM]
        if shutil.which("tcpdump"):
            ways["tcpdump -r"] = tcpdump
        ways["skep, 1 thread"] = lambda path: replayed(path, program, 1)
        ways["skep, 2 threads"] = lambda path: replayed(path, program, 2)
        ways["skep run, process"] = run_process
        found = matches(path) if "tcpdump -r" in ways else replayed(path, program, 1)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                matched = way(path)
                times[name].append(time.perf_counter() - began)
                if matched not in (0, found):
                    raise ValueError(f"{name}: {matched} packets match, not {found}")
    rates = {name: PACKETS / min(spent) for name, spent in times.items()}
    side = kernel_side([OBJECT]) if kernel else None
    if side is not None:
        rates["kernel, TEST_RUN"] = 1e9 / min(side.run(PROGRAM, 100_000)[0] for _ in range(rounds))
        side.close()
    print(f"replay of {PACKETS} packets, {found} match '{FILTER}'")
    least = rates.get("tcpdump -r")
    for name, rate in rates.items():
        beside = f"   {rate / least:6.2f} of tcpdump's" if least else ""
        print(f"  {name:24} {rate / 1e6:8.2f} million packets/s{beside}")
    return [{"name": name, "unit": "packets/s", "skep": rate} for name, rate in rates.items()]
