"""The main job of skep, live: count the packets of a real interface with a verified program.

As root it listens on the host's ``lo``, as an ordinary user on the ``lo`` of a network namespace of
its own; where the system allows no namespace it reads the capture beside this file, and says so.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import skep
from skep.attach.capture import Capture
from skep.attach.live import LiveInterface
from skep.attach.namespace import enter_own_network
from skep.attach.packets import PacketSource
from skep.errors import LoadError, NotSupported
from traffic import Traffic

HERE = Path(__file__).parent
OBJECT = HERE / "packet_counter.bpf.o"
TCP, UDP = 6, 17


def source() -> tuple[PacketSource, str]:
    """Packets, and where they come from, in words."""
    try:
        if os.geteuid():
            enter_own_network()
            return LiveInterface("lo"), "lo of a network namespace of its own"
        return LiveInterface("lo"), "the host's lo"
    except (LoadError, NotSupported) as reason:
        print(f"no live interface here ({reason}); reading the shipped capture instead")
        return Capture(HERE / "lo.pcap"), "lo.pcap"


def traffic(packets: PacketSource) -> contextlib.AbstractContextManager[object]:
    """Traffic to look at, unless the packets come from a file."""
    return Traffic() if isinstance(packets, LiveInterface) else contextlib.nullcontext()


def ticks(seconds: int) -> Iterator[float]:
    """The points in time at which a line is printed."""
    start = time.monotonic()
    yield from (start + second for second in range(1, seconds + 1))


def main() -> None:
    """Load, count for some seconds, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5)
    seconds = parser.parse_args().seconds
    packets, place = source()
    with skep.load(OBJECT) as program_object, traffic(packets):
        counts = program_object.maps["counts"]
        program = program_object.programs["count_packets"]
        print(f"{program.name}: {program.summary}")
        print(f"counting on {place} for {seconds} s")
        counts[TCP] = counts[UDP] = 0
        total, run_ns = count(program, counts, packets, seconds)
        print(f"TCP {counts[TCP]} UDP {counts[UDP]} packets in all, {total} seen, ", end="")
        print(f"{run_ns / max(total, 1):.0f} ns of CPU a packet")
    packets.close()


def count(
    program: skep.Program, counts: skep.Map, packets: PacketSource, seconds: int
) -> tuple[int, int]:
    """Run *program* on *packets*, a line a second; packets seen and nanoseconds spent."""
    total = run_ns = 0
    last = {TCP: 0, UDP: 0}
    deadlines = ticks(seconds)
    deadline = next(deadlines)
    for batch in packets.batches():
        began = time.thread_time_ns()
        program.run_batch(batch)
        if total:  # the first batch also compiles the loop
            run_ns += time.thread_time_ns() - began
        total += len(batch)
        if time.monotonic() < deadline:
            continue
        now = {TCP: counts[TCP], UDP: counts[UDP]}
        rates = {key: now[key] - last[key] for key in now}
        print(f"TCP {now[TCP]:6} ({rates[TCP]:5}/s)   UDP {now[UDP]:6} ({rates[UDP]:5}/s)")
        last = now
        following = next(deadlines, None)
        if following is None:
            break
        deadline = following
    return total, run_ns


if __name__ == "__main__":
    main()
