"""Objects whose programs are for functions of another program: loaded, attached, verified."""

from pathlib import Path

import pytest

import skep
from skep.cli.main import main
from skep.engine.interpreter import Interpreter
from skep.errors import CommandError, LoadError
from skep.runtime.world import World
from skep.session.objects import Object
from skep.syscall.catalog import helper_codes, kfunc_codes
from skep.syscall.subsystem import Subsystem

OBJECTS = Path(__file__).parents[2] / "objects"
EXTENDED, EXTENSION = OBJECTS / "extended.bpf.o", OBJECTS / "extension.bpf.o"
FITTING = ["dearer", "never", "least", "pass", "thrown", "summed", "asked", "answered"]
PLAIN = 3 + 4 + 20


def interpreted() -> Subsystem:
    world = World()
    codes = tuple(helper_codes(world)), tuple(kfunc_codes(world))
    return Subsystem(world, Interpreter(codes[0], kfuncs=codes[1]))


@pytest.fixture(name="target", params=["compiled", "interpreted"])
def _target(request: pytest.FixtureRequest) -> Object:
    subsystem = interpreted() if request.param == "interpreted" else None
    return skep.load(EXTENDED, subsystem=subsystem)


def result(target: Object) -> int:
    return target.programs["route"].run(bytes(64)).retval


def extension(target: Object, *programs: str) -> Object:
    return skep.load(EXTENSION, programs=programs or FITTING, attach_to=target.programs["route"])


@pytest.mark.parametrize(
    ("name", "changed"),
    [("dearer", 1200 + 20), ("never", 1), ("least", 3 + 4 + 1), ("pass", 2), ("thrown", 55 + 20),
     ("summed", 21 + 20)],
)  # fmt: skip
def test_an_attached_extension_replaces_the_function_that_its_section_names(
    target: Object, name: str, changed: int
) -> None:
    with extension(target) as other, other.attach(name):
        during = result(target)

    assert (during, result(target)) == (changed, PLAIN)


def test_tracing_programs_of_a_section_trace_the_function(target: Object) -> None:
    with extension(target) as other, other.attach("asked"), other.attach("answered"):
        during = result(target)

        assert (during, other.bss.seen) == (PLAIN, 3004 + 7_000_000)


def test_an_extension_counts_its_calls_in_its_own_globals(target: Object) -> None:
    with extension(target) as other, other.attach("dearer"):
        for _ in range(5):
            result(target)

        assert other.bss.calls == 5


def test_an_extension_goes_on_another_program_that_is_named(target: Object) -> None:
    other = skep.load(EXTENDED, subsystem=target.subsystem)
    with extension(target) as patch, patch.attach("least", on=other.programs["route"]):
        assert (result(target), result(other)) == (PLAIN, 3 + 4 + 1)


def test_what_traces_does_not_go_on_another_program(target: Object) -> None:
    other = skep.load(EXTENDED, subsystem=target.subsystem)
    with extension(target) as patch, pytest.raises(LoadError, match="does not go on"):
        patch.attach("asked", on=other.programs["route"])


def test_what_does_not_fit_is_refused_with_the_reason(target: Object) -> None:
    with pytest.raises(CommandError, match=r"too_few\(\) has 1 args while price\(\) has 2 args"):
        extension(target, "too_few")


def test_an_extension_without_a_target_says_how_to_name_one() -> None:
    with pytest.raises(LoadError, match="nothing says of which"):
        skep.load(EXTENSION, programs=["dearer"])


def test_a_function_that_the_target_has_not_is_refused() -> None:
    other = skep.load(OBJECTS / "counter.bpf.o")
    with pytest.raises(LoadError, match="has no function price"):
        skep.load(EXTENSION, programs=["dearer"], attach_to=next(iter(other.programs.values())))


# --- verdicts -------------------------------------------------------------------------------------


def verdicts(attach_to: str | None) -> dict[str, str]:
    found = skep.verify_file(EXTENSION, attach_to=attach_to)
    return {verdict.program: verdict.verdict for verdict in found}


@pytest.mark.parametrize("named", [str(EXTENDED), f"{EXTENDED}:route"])
def test_verify_file_judges_extensions_against_their_target(named: str) -> None:
    assert verdicts(named) == {**dict.fromkeys(FITTING, "accepted"), "too_few": "rejected"}


def test_verify_file_without_the_target_says_that_it_is_missing() -> None:
    rows = list(skep.verify_file(EXTENSION, programs=["dearer"]))

    assert [(row.verdict, row.errno) for row in rows] == [("error", "ENOENT")]
    assert "--attach-to OBJ:PROG" in rows[0].message


def test_a_target_that_is_refused_itself_is_an_error() -> None:
    refused = OBJECTS / "refused.bpf.o"
    name = next(row.program for row in skep.verify_file(refused) if row.verdict == "rejected")

    with pytest.raises(LoadError, match="it is refused itself: "):
        verdicts(f"{refused}:{name}")


def test_the_command_line_names_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["verify", "--attach-to", f"{EXTENDED}:route", "-p", "dearer", str(EXTENSION)])

    assert status == 0
    assert "accepted" in capsys.readouterr().out


def test_the_command_line_says_which_target_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["verify", "--attach-to", f"{EXTENDED}:none", str(EXTENSION)])

    assert status == 2
    assert "none" in capsys.readouterr().err


def test_a_program_as_text_goes_on_no_other(tmp_path: Path) -> None:
    text = tmp_path / "text.s"
    text.write_text("r0 = 0\nexit\n")

    (verdict,) = skep.verify_file(text, attach_to="missing.bpf.o")
    assert (verdict.verdict, verdict.rule) == ("rejected", "not-supported")
    assert "a program to attach to is not supported" in verdict.message
