"""``skep run``: run a program on packets or contexts, and show what it did."""

import argparse
import time
from typing import TYPE_CHECKING, Final

from skep.cli.output import print_json
from skep.errors import NotSupported

if TYPE_CHECKING:
    from skep.session.objects import Object
    from skep.session.programs import Program

EPILOG: Final = """exit status: 0 ran, 1 rejected by the verifier, 2 a file, name or option is bad

examples:
  skep run prog.bpf.o --pcap capture.pcap
  skep run prog.bpf.o --pcap capture.pcap -j 4
  skep run prog.bpf.o --packet "$(cat packet.hex)" --repeat 1000000
  skep run prog.bpf.o --live lo --duration 5 --json
"""
MOST_REPEATS: Final = 0xFFFF_FFFF
LONGEST: Final = 1e9  # seconds; sleep(2) takes no more than some times that
MOST_CONTEXT: Final = 1 << 16  # bytes; no context is as long


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "run",
        help="run a program on real packets or given contexts",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("object", metavar="OBJ", help="compiled BPF object")
    verb.add_argument("--program", "-p", help="its name; needed if the object has several")
    source = verb.add_mutually_exclusive_group()
    source.add_argument("--pcap", metavar="FILE", help="every packet of a pcap or pcapng file")
    source.add_argument("--live", metavar="IF", help="packets of an interface")
    source.add_argument("--packet", metavar="HEX", help="one packet, as hex digits")
    source.add_argument("--ctx", metavar="FILE", help="one context, as bytes of a file")
    verb.add_argument("--repeat", type=repeats, default=1, metavar="N", help="runs of each packet")
    verb.add_argument("--count", type=positive, metavar="N", help="stop after N packets")
    verb.add_argument("--duration", type=seconds, metavar="S", help="stop after S seconds")
    verb.add_argument("--jobs", "-j", type=positive, default=1, metavar="N",
                      help="threads for --pcap, at most one for each CPU")  # fmt: skip
    verb.add_argument("--later", type=seconds, default=0.0, metavar="S",
                      help="let S seconds pass afterwards, in which timers fire")  # fmt: skip
    verb.add_argument("--btf", metavar="FILE", help="kernel BTF in force")
    verb.add_argument("--json", action="store_true", help="one JSON document")
    verb.set_defaults(execute=execute)


def positive(text: str) -> int:
    """A whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def repeats(text: str) -> int:
    """How often a program runs: what fits into 32 bits."""
    value = positive(text)
    if value > MOST_REPEATS:
        raise argparse.ArgumentTypeError(f"{text} is more than {MOST_REPEATS}")
    return value


def seconds(text: str) -> float:
    """A time above zero that can be waited for."""
    value = float(text)
    if not 0 < value < LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not a time above zero, below {LONGEST:g}")
    return value


def execute(arguments: argparse.Namespace) -> int:
    """Run and report; returns the exit status."""
    import skep

    with skep.load(arguments.object, btf=arguments.btf, programs=names(arguments)) as loaded:
        program = loaded.only_program(arguments.program)
        outcome = perform(program, arguments)
        time.sleep(arguments.later)
        loaded.world.agenda.settle()  # what was deferred shows in maps and lines
        document = summary(loaded, program, outcome)
    if arguments.json:
        print_json(document)
    else:
        report(document)
    return 0


def names(arguments: argparse.Namespace) -> list[str] | None:
    """The programs to load: the one named, or all."""
    return [arguments.program] if arguments.program else None


def perform(program: "Program", arguments: argparse.Namespace) -> dict[str, object]:
    """Run the program on what the options name."""
    if arguments.jobs > 1 and not arguments.pcap:
        raise NotSupported("--jobs without --pcap", "only the packets of a capture stay in memory")
    if arguments.pcap or arguments.live:
        return replay(program, arguments)
    from pathlib import Path

    from skep.attach.capture import parse_hex

    data = parse_hex(arguments.packet) if arguments.packet else b""
    context = None
    if arguments.ctx:
        with Path(arguments.ctx).open("rb") as file:
            context = file.read(MOST_CONTEXT)
    result = program.run(data=data, ctx=context, repeat=arguments.repeat)
    return {
        "returns": {result.retval: arguments.repeat},
        "runs": arguments.repeat,
        "ns_per_run": result.duration_ns,
        "data_out": result.data_out,
        "ctx_out": result.ctx_out,
    }


def replay(program: "Program", arguments: argparse.Namespace) -> dict[str, object]:
    """Run the program on every packet of a capture or an interface."""
    from skep.attach.capture import Capture
    from skep.attach.live import LiveInterface

    source = Capture(arguments.pcap) if arguments.pcap else LiveInterface(arguments.live)
    try:
        return program.replay(
            source,
            repeat=arguments.repeat,
            count=arguments.count,
            duration=arguments.duration,
            jobs=arguments.jobs,
        )
    finally:
        source.close()


def summary(loaded: "Object", program: "Program", outcome: dict[str, object]) -> dict[str, object]:
    """Everything that the run left behind, ready for JSON."""
    return {
        "object": loaded.source,
        "program": program.name,
        "type": program.type_name,
        **outcome,
        "printk": loaded.printk(),
        "maps": {name: map_.dump() for name, map_ in loaded.maps.items()},
    }


def report(document: dict[str, object]) -> None:
    """The same for people."""
    returns = document["returns"]
    assert isinstance(returns, dict)
    print(f"{document['program']} ({document['type']}): {document['runs']} runs", end="")
    nanoseconds = document["ns_per_run"]
    assert isinstance(nanoseconds, int | float)
    print(f", {nanoseconds:.1f} ns per run", end="")
    seconds, packets = document.get("seconds"), document.get("packets")
    if isinstance(seconds, float) and isinstance(packets, int) and document.get("jobs") != 1:
        rate = packets / max(seconds, 1e-9)
        print(f", {rate:.0f} packets per second on {document['jobs']} threads", end="")
    print()
    for value, times in sorted(returns.items()):
        print(f"  returned {value}: {times}")
    for key in ("data_out", "ctx_out"):
        value = document.get(key)
        if isinstance(value, bytes) and value:
            print(f"  {key}: {value.hex()}")
    printk = document["printk"]
    assert isinstance(printk, list)
    for line in printk:
        print(f"  printk: {line}")
    maps = document["maps"]
    assert isinstance(maps, dict)
    for name, elements in maps.items():
        print(f"map {name}: {len(elements)} elements")
        for element in elements:
            print(f"  {element['key']}: {element['value']}")
