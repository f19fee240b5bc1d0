"""The program that the programs of an object are attached to, named as ``OBJ`` or ``OBJ:PROG``.

Extensions (``freplace``) replace its functions, and ``fentry`` and ``fexit`` programs trace them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skep.errors import LoadError
from skep.loader.door import ProgramRefused
from skep.loader.load import LoadedObject
from skep.loader.spec import ObjectSpec, ProgramSpec
from skep.session.listings import open_object
from skep.session.objects import target_of
from skep.syscall.subsystem import Subsystem
from skep.verifier import Rejected


@contextmanager
def program_to_attach_to(subsystem: Subsystem, named: str | None) -> Iterator[int | None]:
    """The descriptor of the program that *named* names, for the length of a ``with`` block.

    Raises:
        LoadError: there is no such program, or it cannot be loaded.
        OSError: the file cannot be read.
    """
    if named is None:
        yield None
        return
    path, name = split(named)
    spec = open_object(path)
    program = _choose(spec, name)
    with LoadedObject(spec, subsystem, target_of(subsystem), explain=False) as loaded:
        try:
            found = loaded.load_program(program)
        except ProgramRefused as refused:
            cause = refused.__cause__
            why = cause.detail if isinstance(cause, Rejected) else str(refused)
            raise LoadError(
                f"it is refused itself: {why}", source=path, name=program.name
            ) from None
        yield found.fd


def split(named: str) -> tuple[str, str]:
    """File and program of ``OBJ`` or ``OBJ:PROG``; "" for the only program."""
    path, colon, name = named.rpartition(":")
    return (path, name) if colon and not Path(named).exists() else (named, "")


def _choose(spec: ObjectSpec, name: str) -> ProgramSpec:
    fitting = [program for program in spec.programs if name in ("", program.name)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(program.name for program in spec.programs) or "none"
    asked = "no such program;" if name else "which program?"
    raise LoadError(f"{asked} there are: {there}", source=spec.source, name=name)
