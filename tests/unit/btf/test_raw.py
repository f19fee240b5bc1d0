"""Types in bpftool's raw form."""

import shutil
import subprocess
from pathlib import Path

import pytest

from skep.btf import kinds
from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kernel import RUNNING, read_btf
from skep.btf.kinds import Enumerator, Member
from skep.btf.raw import format_all
from skep.errors import BtfError

BPFTOOL = shutil.which("bpftool")
needs_bpftool = pytest.mark.skipif(BPFTOOL is None, reason="bpftool is not installed")


def every_kind() -> Btf:
    b = Builder()
    number = b.integer("int", 4, signed=True)
    char = b.add(kinds.Int("char", 1, 8, 0, kinds.INT_CHAR))
    array = b.array(char, 3, number)
    b.enum("e", {"A": -1, "B": 5})
    b.enum("w", {"BIG": (1 << 64) - 1}, size=8)
    b.add(kinds.Enum64("sw", 8, True, (Enumerator("LOW", -(1 << 40)),)))
    struct = b.struct("s", 32, [Member("a", number, 0, 3), Member("", array, 32)])
    b.union("", 4, [Member("x", number, 0)])
    b.add(kinds.Float("double", 8))
    b.forward("fs")
    b.forward("fu", is_union=True)
    alias = b.typedef("alias", b.const(b.volatile(struct)))
    b.add(kinds.Restrict("", b.pointer(alias)))
    b.type_tag("user", struct)
    proto = b.prototype(number, [("p", alias), ("", 0)])
    function = b.function("f", proto, kinds.STATIC)
    b.function("g", proto, kinds.EXTERN)
    variable = b.variable("v", struct)
    b.section(".data", 36, [(variable, 0, 32)])
    b.decl_tag("part", struct, 1)
    b.decl_tag("whole", function)
    return b.build()


def test_a_file_without_end_that_is_no_btf_is_refused_at_once() -> None:
    with pytest.raises(BtfError, match="magic"):
        read_btf("/dev/zero")


def test_members_values_and_variables_stand_on_lines_of_their_own() -> None:
    lines = "".join(format_all(every_kind())).splitlines()

    assert "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED" in lines
    assert "\t'BIG' val=18446744073709551615ULL" in lines
    assert "\t'a' type_id=1 bits_offset=0 bitfield_size=3" in lines
    assert "[21] VAR 'v' type_id=7, linkage=global" in lines
    assert "\ttype_id=21 offset=0 size=32 (VAR 'v')" in lines


@needs_bpftool
def test_every_kind_prints_as_bpftool_prints_it(tmp_path: Path) -> None:
    btf = every_kind()
    file = tmp_path / "every.btf"
    file.write_bytes(btf.to_bytes())

    done = subprocess.run(
        [str(BPFTOOL), "btf", "dump", "file", str(file)], capture_output=True, text=True, check=True
    )

    assert "".join(format_all(btf)) == done.stdout


@needs_bpftool
@pytest.mark.slow
@pytest.mark.skipif(not RUNNING.exists(), reason="the running kernel has no BTF")
def test_the_running_kernel_prints_as_bpftool_prints_it() -> None:
    done = subprocess.run(
        [str(BPFTOOL), "btf", "dump", "file", str(RUNNING)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "".join(format_all(read_btf(str(RUNNING)))) == done.stdout
