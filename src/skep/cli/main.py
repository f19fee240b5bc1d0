"""``skep``: one subcommand a verb; every one has ``--json``, an example and documented exit codes.

Exit status: 0 accepted or done, 1 rejected, 2 bad input (file, name, option), 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final, Protocol

from skep.cli import btf, disasm, explain, feature, log, reduce, run, show, verify
from skep.cli.output import installed_version

ACCEPTED: Final = 0
REJECTED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130

EPILOG: Final = """exit status: 0 accepted or done, 1 rejected, 2 bad input

examples:
  skep verify prog.bpf.o              would the kernel accept it, and if not, why
  skep run prog.bpf.o --pcap x.pcap   run it on packets and show its maps
  skep btf dump vmlinux --format c    the kernel's types as a header
"""


class Verb(Protocol):
    """A module of this package that adds one verb."""

    def add(self, verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Declare the verb's options; ``execute`` is set as its default."""
        ...


VERBS: Final[tuple[Verb, ...]] = (verify, explain, reduce, run, disasm, btf, show, feature, log)


def parser() -> argparse.ArgumentParser:
    """The command line, whole."""
    top = argparse.ArgumentParser(
        prog="skep",
        description="The Linux eBPF subsystem in user space: verify, run, look at BPF programs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and stop")
    verbs = top.add_subparsers(metavar="VERB", title="verbs")
    for verb in VERBS:
        verb.add(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status and prints no traceback for bad input."""
    top = parser()
    arguments = top.parse_args(argv)
    if arguments.version:
        print(f"skep {installed_version()}")
        return ACCEPTED
    if not hasattr(arguments, "execute"):
        top.print_help()
        return BAD_INPUT
    return guarded(arguments)


def guarded(arguments: argparse.Namespace) -> int:
    """Execute the verb; a refusal becomes one line on standard error and a status."""
    from skep.errors import BpfError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files may be no text
            stream.reconfigure(errors="backslashreplace")
    try:
        return flushed(int(arguments.execute(arguments)))
    except BpfError as error:
        print(f"skep: {error}", file=sys.stderr)
        return REJECTED if is_rejection(error) else BAD_INPUT
    except FileNotFoundError as error:
        print(f"skep: {error.filename}: no such file", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        sys.stderr.close()
        return ACCEPTED
    except OSError as error:
        where = "standard output" if error.filename is None else error.filename
        print(f"skep: {where}: {error.strerror}", file=sys.stderr)
        if error.filename is None:
            sys.stdout = None  # else what it holds is tried again at the end
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


def flushed(status: int) -> int:
    """*status*, once all that was printed is written."""
    if sys.stdout is not None:  # it was closed before we began
        sys.stdout.flush()
    return status


def is_rejection(error: Exception) -> bool:
    """Whether the verifier said no; it is imported only once something was refused."""
    from skep.verifier import Rejected

    return isinstance(error, Rejected)


if __name__ == "__main__":
    sys.exit(main())
