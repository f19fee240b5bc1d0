"""Indexes of large BTFs on disk."""

from pathlib import Path

import pytest

from skep.btf import cache
from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kernel import SHIPPED, kernel_btf, read_btf
from skep.btf.kinds import Kind
from skep.errors import BtfError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "skep" / "btf"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of BTF that is worth an index."""
    builder = Builder()
    for position in range(9000):
        builder.struct(f"structure_number_{position:05}", position)
    file = tmp_path / "large.btf"
    file.write_bytes(builder.to_bytes())
    assert file.stat().st_size > cache.MIN_SIZE
    return file


def lookups(btf: Btf) -> list[int | None]:
    names = ["structure_number_00000", "structure_number_08999", "number_00007", "absent"]
    return [btf.by_name(name, Kind.STRUCT) for name in names]


def test_the_second_reading_uses_the_kept_index_and_finds_the_same(large: Path, home: Path) -> None:
    first = lookups(read_btf(str(large)))
    kept = list(home.iterdir())
    second = lookups(read_btf(str(large)))

    assert first == second == [1, 9000, None, None]
    assert len(kept) == 1
    assert cache.load(large.read_bytes()) is not None


@pytest.mark.parametrize("change", ["cut", "flip", "empty", "longer"])
def test_a_damaged_file_counts_as_absent_and_is_replaced(
    large: Path, home: Path, change: str
) -> None:
    read_btf(str(large))
    file = next(home.iterdir())
    good = file.read_bytes()
    bad = {
        "cut": good[: len(good) // 2],
        "flip": good[:1000] + bytes([good[1000] ^ 1]) + good[1001:],
        "empty": b"",
        "longer": good + b"\0\0\0\0",
    }[change]
    file.write_bytes(bad)

    assert cache.load(large.read_bytes()) is None
    assert lookups(read_btf(str(large))) == [1, 9000, None, None]
    assert file.read_bytes() == good


def test_an_index_of_other_data_is_not_used(large: Path, home: Path) -> None:
    read_btf(str(large))
    changed = large.read_bytes() + b"x\0"

    assert cache.load(changed) is None
    assert len(list(home.iterdir())) == 1


def test_without_a_place_to_write_all_works(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocker))

    assert lookups(read_btf(str(large))) == [1, 9000, None, None]


def test_small_data_is_not_kept(tmp_path: Path, home: Path) -> None:
    builder = Builder()
    builder.integer("int", 4)
    file = tmp_path / "small.btf"
    file.write_bytes(builder.to_bytes())

    assert read_btf(str(file)).by_name("int") == 1
    assert not home.exists()


def test_the_shipped_types_have_contexts_and_kfuncs() -> None:
    btf = kernel_btf(str(SHIPPED))

    assert btf is not None
    btf.check()
    buff = btf.by_name("__sk_buff", Kind.STRUCT)
    assert buff is not None
    assert btf.member_path(buff, "data").offset == 76
    kfunc = btf.by_name("bpf_obj_drop_impl", Kind.FUNC)
    assert kfunc is not None
    assert "bpf_kfunc" in btf.decl_tags(kfunc)
    assert len(btf.to_bytes()) < 300_000


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BtfError, match="No such file"):
        kernel_btf(str(tmp_path / "absent"))
