"""``skep.log``: what the commands of a thread were refused for."""

import json
import threading
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

import skep
from skep.errors import CommandError
from skep.loader.door import Door, Program
from skep.loader.logged import CURRENT
from skep.session.log_read import clear_end, log_truncated
from skep.syscall.log import cut
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.commands import MapCreate
from support.caller import EXIT, RETURN_ONE

OBJECTS = Path(__file__).parents[2] / "objects"
REFUSED = OBJECTS / "refused.bpf.o"
BAD_MAP = MapCreate(map_type=2, key_size=5, value_size=8, max_entries=1)


class OlderKernel:
    """A bpf(2) without common attributes: programs and BTF are logged, nothing else."""

    def __init__(self) -> None:
        self.subsystem = Subsystem()
        self.calls: list[tuple[int, bytes]] = []

    def bpf(self, cmd: int, attr: bytearray, /) -> int:
        self.calls.append((cmd, bytes(attr)))
        return self.subsystem.bpf(cmd, attr)

    def close(self, fd: int, /) -> None:
        self.subsystem.close(fd)


class NewerKernel(OlderKernel):
    """One with those of 7.2: text, and no more."""

    log_levels = 0xF

    def bpf(self, cmd: int, attr: bytearray, *common: Any) -> int:
        self.calls.append((cmd, bytes(attr)))
        return self.subsystem.bpf(cmd, attr, *common)


def exit_only() -> Program:
    return Program(name="bad", program_type=1, insns=EXIT, license="GPL")


@pytest.mark.acceptance("L12")
def test_every_command_made_within_is_logged() -> None:
    door = Door(Subsystem())
    with skep.log() as log:
        with pytest.raises(CommandError):
            door.create_map(BAD_MAP)
        with pytest.raises(CommandError):
            door.freeze(999, "map")

    assert [record.command for record in log.records] == ["MAP_CREATE", "MAP_FREEZE"]
    assert [record.field for record in log.records] == ["key_size", "map_fd"]
    assert len(log.text.splitlines()) == 2
    assert log.latest == log.text.splitlines(keepends=True)[1]
    assert log.dropped == 0


@pytest.mark.acceptance("L13")
def test_nothing_is_left_behind_and_nothing_outside_is_logged() -> None:
    subsystem = Subsystem()
    door = Door(subsystem)
    with pytest.raises(RuntimeError), skep.log() as log:
        raise RuntimeError
    with pytest.raises(CommandError):
        door.create_map(BAD_MAP)

    assert log.records == []
    assert CURRENT.get() is None
    assert "log" not in vars(subsystem)


@pytest.mark.acceptance("L12", "L13")
def test_each_thread_has_its_own_log_and_the_inner_one_counts() -> None:
    door = Door(Subsystem())

    def elsewhere() -> None:
        with pytest.raises(CommandError):
            door.create_map(BAD_MAP)

    with skep.log() as outer:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with skep.log() as inner, pytest.raises(CommandError):
            door.freeze(999, "map")

    assert outer.records == []
    assert [record.command for record in inner.records] == ["MAP_FREEZE"]


def test_a_context_may_be_handed_to_other_threads() -> None:
    door = Door(Subsystem())

    def fail() -> None:
        for _ in range(20):
            with suppress(CommandError):
                door.create_map(BAD_MAP)

    with skep.log() as log:
        threads = [threading.Thread(target=copy_context().run, args=(fail,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [record.field for record in log.records] == ["key_size"] * 80


@pytest.mark.acceptance("L12", "M47")
def test_a_refused_object_leaves_one_record_that_knows_all() -> None:
    with skep.log() as log, pytest.raises(skep.Rejected) as caught:
        skep.load(REFUSED)
    (record,) = log.records

    assert (record.rule, record.pc) == (caught.value.rule.id, caught.value.pc)
    assert (record.file, record.line) == ("./refused.bpf.c", 24)
    assert record.causes
    assert "processed" in log.text


def test_runs_are_logged_too() -> None:
    with skep.load(OBJECTS / "counter.bpf.o") as loaded:
        program = next(iter(loaded.programs.values()))
        with skep.log() as log, pytest.raises(CommandError):
            program.run(data=b"x" * 70, cpu=5, ctx=b"\1" * 5)

    assert [record.command for record in log.records] == ["PROG_TEST_RUN"]


def test_programs_that_are_accepted_are_logged_and_never_refused_for_it() -> None:
    with skep.log(level=2) as log:
        skep.load(OBJECTS / "counter.bpf.o").close()

    assert log.records == []
    assert "processed" in log.text


@pytest.mark.parametrize("kind", [OlderKernel, NewerKernel])
def test_a_kernel_gets_what_it_knows(kind: type[OlderKernel]) -> None:
    kernel = kind()
    door = Door(kernel)
    with skep.log() as log:
        with pytest.raises(CommandError):
            door.load_program(exit_only())
        with pytest.raises(CommandError):
            door.create_map(BAD_MAP)
        with pytest.raises(CommandError):
            door.load_btf(bytes(24))
    program, map_, btf = log.records

    assert (program.command, program.message, program.pc) == ("PROG_LOAD", "R0 !read_ok", 0)
    assert (map_.command, map_.errno) == ("MAP_CREATE", 22)
    assert (btf.command, btf.message) == ("BTF_LOAD", "Invalid magic")


def test_the_log_members_of_an_attr_are_as_before() -> None:
    attr = bytearray(commands.BtfLoad().encode())
    with skep.log() as log:
        log.call(OlderKernel(), commands.BTF_LOAD.number, attr)

    assert attr == bytearray(commands.BtfLoad().encode())
    assert log.records


def test_a_log_that_outgrows_the_buffer_is_asked_for_again() -> None:
    log = skep.log(level=2)
    log._buffer = bytearray(64)
    door = Door(NewerKernel())
    with log:
        fd, _ = door.load_program(Program(name="good", program_type=1, insns=RETURN_ONE + EXIT,
                                          license="GPL"))  # fmt: skip

    assert fd > 0
    assert log.text.startswith("func#0 @0")


@pytest.mark.acceptance("M47")
def test_a_program_that_is_refused_without_a_log_is_asked_about_again() -> None:
    kernel = OlderKernel()
    with pytest.raises(CommandError) as caught:
        Door(kernel).load_program(exit_only())

    levels = [commands.ProgLoad.decode(attr).log_level for _, attr in kernel.calls]
    assert levels == [0, 1]
    assert "R0 !read_ok" in str(caught.value)


def test_btf_that_is_refused_without_a_log_is_asked_about_again() -> None:
    kernel = OlderKernel()
    with pytest.raises(CommandError, match="Invalid magic"):
        Door(kernel).load_btf(bytes(24))

    levels = [commands.BtfLoad.decode(attr).btf_log_level for _, attr in kernel.calls]
    assert levels == [0, 1]


# --- the ends of a buffer


@pytest.mark.acceptance("L15")
@pytest.mark.parametrize(("length", "truncated"), [(5, False), (30, False), (32, True), (99, True)])
def test_the_last_bytes_tell_whether_a_log_was_cut(length: int, truncated: bool) -> None:
    text = b"x" * length
    buffer = bytearray(32)
    terminated = cut(text, 32, 8)
    buffer[: len(terminated)] = terminated
    plain = bytearray(32)
    plain[: min(length, 32)] = text[:32]

    assert log_truncated(buffer) == truncated
    assert log_truncated(plain, zero_terminated=False) == truncated


@pytest.mark.acceptance("L16")
def test_the_last_two_bytes_are_cleared_before_every_call() -> None:
    buffer = bytearray(b"####")
    clear_end(buffer)
    assert buffer == b"##\0\0"

    seen = []

    class Looking(NewerKernel):
        def bpf(self, cmd: int, attr: bytearray, *common: Any) -> int:
            seen.append(bytes(log._buffer[-2:]))
            log._buffer[-2:] = b"##"
            return super().bpf(cmd, attr, *common)

    log = skep.log()
    with log:
        for _ in range(2):
            with pytest.raises(CommandError):
                Door(Looking()).create_map(BAD_MAP)
    assert seen == [b"\0\0", b"\0\0"]


def test_a_buffer_of_no_bytes_was_not_cut() -> None:
    assert not log_truncated(b"")
    assert not log_truncated(b"x")
    clear_end(bytearray())


# --- renderings


def test_records_are_rendered_in_four_forms() -> None:
    with skep.log() as log, pytest.raises(skep.Rejected):
        skep.load(REFUSED)

    assert log.render().startswith("PROG_LOAD: EACCES: insn 8: ./refused.bpf.c:24: R0 invalid mem")
    assert json.loads(log.render("jsonl"))["rule"] == "access-through-pointer"
    assert "\nVerification failed: Register Type Safety: " in log.render("report")
    result = json.loads(log.render("sarif"))["runs"][0]["results"][0]
    assert result["ruleId"] == "access-through-pointer"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "refused.bpf.c"
    assert place["region"] == {"startLine": 24, "startColumn": 8}
    with pytest.raises(ValueError, match="none of text, jsonl, sarif, report"):
        log.render("xml")


def test_sarif_has_the_shape_that_its_schema_demands() -> None:
    # Checked in full against the OASIS schema of 2.1.0, which is not ours to ship.
    with skep.log() as log:
        with suppress(skep.Rejected):
            skep.load(REFUSED)
        for attr in (BAD_MAP, MapCreate(map_type=77)):
            with suppress(CommandError):
                Door(Subsystem()).create_map(attr)
    document = json.loads(log.render("sarif"))

    assert (document["version"], set(document)) == ("2.1.0", {"$schema", "version", "runs"})
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "skep"
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids)) == len(run["results"]) == 3
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert (result["level"], result["kind"]) == ("error", "fail")
        assert result["message"]["text"]
        for place in result["locations"]:
            assert set(place) <= {"physicalLocation", "logicalLocations"}
    (flow,) = run["results"][0]["codeFlows"]
    (thread,) = flow["threadFlows"]
    assert [step["executionOrder"] for step in thread["locations"]] == [1]
