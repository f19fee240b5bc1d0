"""Logs of text as records. The first were written by Linux 6.18; the reports have 7.3's form."""

import pytest

from skep.session.log_read import parse
from skep.session.log_report import write_reports
from skep.session.log_text import read_text
from skep.uapi.record import LogCause, LogRecord

PROCESSED = (
    "processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 "
    "mark_read 0\n"
)
PLAIN = """\
0: R1=ctx() R10=fp0
; int key = 0; @ slots.bpf.c:20
0: (b7) r1 = 0                        ; R1=0
1: (63) *(u32 *)(r10 -4) = r1         ; R1=0 R10=fp0 fp-8=0000????
2: (bf) r2 = r10                      ; R2=fp0 R10=fp0
3: (07) r2 += -4                      ; R2=fp-4
4: (18) r1 = 0xffff8f0c41d2a400       ; R1=map_ptr(map=slots,ks=4,vs=8)
6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=slots,ks=4,vs=8)
; *slot = 1; @ slots.bpf.c:24
7: (7a) *(u64 *)(r0 +0) = 1
R0 invalid mem access 'map_value_or_null'
"""
TWO_LINES = """\
8: (7a) *(u64 *)(r0 +48) = 4
invalid access to map value, value_size=48 off=48 size=8
R0 min value is outside of the allowed memory range
"""
LEVEL_TWO = """\
func#0 @0
Live regs before insn:
      0: .1........ (61) r2 = *(u32 *)(r1 +0)
  1   1: ..2....... (15) if r2 == 0x0 goto pc+1
0: R1=ctx() R10=fp0
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=scalar(smin=0,smax=umax=0xffffffff)
mark_precise: frame0: last_idx 1 first_idx 0 subseq_idx -1

from 1 to 3: R1=ctx() R2=0 R10=fp0
3: R2=0
3: (95) exit
R0 !read_ok
"""
ACCEPTED = """\
func#0 @0
0: R1=ctx() R10=fp0
0: (b7) r0 = 1                        ; R0=1
1: (95) exit
(0) frame 0 insn 4 +live -8
(0) live stack update done in 2 iterations
from 2 to 4: safe
Func#1 ('twice') is safe for any args that match its prototype
verification time 12 usec
stack depth 0
"""
TOO_LARGE = "BPF program is too large. Processed 1000001 insn\n"
REPORT = """\
; sum += total; @ sums.bpf.c:41
3: (79) r0 = *(u64 *)(r10 -8)
invalid read from stack off -8+4 size 8

Verification failed: Memory Safety: Uninitialized stack read

Reason:
  The stack bytes that this instruction reads were never written on this path, and reading them
  would show old contents.

At:
  add_up @ sums.bpf.c:41:9
  Source context:
      40 | struct total total;
  >>> 41 |   sum += total;
         |   ^-- error: uninitialized stack read, which goes
         |       on in a second line
  Instruction context:
       2 | (bf) r6 = r1
  >>>  3 | (79) r0 = *(u64 *)(r10 -8)

Causal path:
  insn 1
       | ^-- branch: took the true branch of this conditional, goto followed
  Instruction context:
  >>>  1 | (15) if r1 == 0x0 goto pc+1

  sums.bpf.c:39:2
  Source context:
  >>> 39 |   if (!sum)
         |   ^-- update: R1 changed from context pointer at offset 0 to integer scalar value 1
  Instruction context:
  >>>  2 | (b7) r1 = 1

Suggestion:
  Write all bytes before
  they are read.

"""


def only(text: str) -> LogRecord:
    (record,) = read_text(text).records
    return record


def test_the_reason_stands_behind_the_last_instruction() -> None:
    record = only(PLAIN + PROCESSED)

    assert record == LogRecord(
        "R0 invalid mem access 'map_value_or_null'",
        pc=7, insn="*(u64 *)(r0 +0) = 1", file="slots.bpf.c", line=24, text="*slot = 1;",
    )  # fmt: skip


def test_a_reason_may_have_several_lines() -> None:
    record = only(TWO_LINES + PROCESSED)

    assert record.message.splitlines() == TWO_LINES.splitlines()[1:]
    assert record.pc == 8


def test_level_two_is_read_too() -> None:
    record = only(LEVEL_TWO + PROCESSED)

    assert (record.message, record.pc, record.insn) == ("R0 !read_ok", 3, "exit")


@pytest.mark.parametrize("text", [ACCEPTED + PROCESSED, PROCESSED, ""])
def test_a_program_that_was_accepted_has_no_record(text: str) -> None:
    assert read_text(text).records == ()


def test_a_program_may_be_refused_as_a_whole() -> None:
    assert only(TOO_LARGE + PROCESSED) == LogRecord(TOO_LARGE.strip())


def test_a_line_about_a_member_names_it() -> None:
    assert only("map_flags = 24: RDONLY or WRONLY, not both\n") == LogRecord(
        "RDONLY or WRONLY, not both", field="map_flags", found="24"
    )
    assert only("Invalid map_name.\n") == LogRecord("Invalid map_name.")


@pytest.mark.parametrize(
    ("line", "message", "type_id"),
    [
        ("[2] PTR (anon) type_id=9 Invalid type_id\n", "Invalid type_id", 2),
        ("[2] STRUCT s size=4 vlen=1\n\tx type_id=1 bits_offset=0\nInvalid member\n",
         "Invalid member", 2),
        ("[2] FLOAT f size=3 Invalid type_size\n", "Invalid type_size", 2),
        ("[2] FUNC f type_id=1 vlen != 0\n", "vlen != 0", 2),
        ("String section is not at the end", "String section is not at the end", 1),
    ],
)  # fmt: skip
def test_the_log_of_types_ends_in_what_is_wrong(line: str, message: str, type_id: int) -> None:
    head = (
        "magic: 0xeb9f\nversion: 1\n[1] INT int size=4 bits_offset=0 nr_bits=32 encoding=(none)\n"
    )

    assert only(head + line) == LogRecord(message, type_id=type_id)
    assert read_text(head).records == ()


@pytest.mark.acceptance("L17")
def test_a_report_of_seven_three_has_sections() -> None:
    record = only(REPORT + PROCESSED)

    assert record.category == "Memory Safety"
    assert record.message == "Uninitialized stack read"
    assert record.found.startswith("The stack bytes that this instruction reads")
    assert record.found.endswith("would show old contents.")
    assert record.hint == "Write all bytes before they are read."
    assert (record.pc, record.insn) == (3, "(79) r0 = *(u64 *)(r10 -8)")
    assert (record.file, record.line, record.column) == ("sums.bpf.c", 41, 9)
    assert record.text == "sum += total;"
    assert record.causes == (
        LogCause(1, "(15) if r1 == 0x0 goto pc+1",
                 "took the true branch of this conditional, goto followed"),
        LogCause(2, "(b7) r1 = 1",
                 "R1 changed from context pointer at offset 0 to integer scalar value 1",
                 "sums.bpf.c:39"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        LogRecord(
            "invalid read from stack", "PROG_LOAD", 13, "stack-initialised", "Memory Safety",
            found="4 of 8 bytes are unwritten", allowed="a stack byte is written before it is read",
            hint="zero the object", pc=3, insn="r0 = *(u64 *)(r10 -8)", file="x.bpf.c", line=41,
            column=9, text="sum += total;",
            causes=(LogCause(1, "r1 = 0", "R1=0", "x.bpf.c:40"), LogCause(2, "r2 = 0", "R2=0")),
        ),
        LogRecord(
            "Too many, by far: " + "very " * 30 + "many", "MAP_CREATE", 7, "map-create/entries",
            "Limit", "max_entries", 12, found="9", allowed="a " + "word " * 40 + "or two",
        ),
        LogRecord("No such thing", "OBJ_GET", 2, "obj-get/absent", "Reference", allowed="a path"),
    ],
)  # fmt: skip
def test_reports_are_read_as_they_were_written(record: LogRecord) -> None:
    found = parse(write_reports([record]))

    assert found.records == (record,)


def test_several_reports_are_several_records() -> None:
    records = tuple(
        LogRecord(f"Message {name}", f"MAP_{name}", 22, "a/b", "Argument", allowed="nothing")
        for name in "AB"
    )

    assert parse(write_reports(records)).records == records
