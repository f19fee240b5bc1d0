"""Object code on disk: what was stored comes back, what was damaged does not."""

import os
import random
from pathlib import Path

import pytest

from skep.base.native import native
from skep.engine.llvm.cache import DiskCache, default_folder
from skep.engine.llvm.library import CompiledLibrary
from skep.engine.llvm.machine import FULL, STRAIGHT, Machine, cpu


@native
def answer() -> int:
    return 42


def test_stored_code_is_found_again(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "new")
    cache.put(b"key", b"code")

    assert cache.get(b"key") == b"code"
    assert cache.get(b"other") is None


def test_a_damaged_entry_is_ignored_and_replaced(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put(b"key", b"code")
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")

    assert cache.get(b"key") is None
    cache.put(b"key", b"code")
    assert cache.get(b"key") == b"code"


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, limit=100)
    for n, key in enumerate((b"a", b"b", b"c")):
        before = set(tmp_path.iterdir())
        cache.put(key, bytes(10))
        (path,) = set(tmp_path.iterdir()) - before
        os.utime(path, (n, n))
    cache.get(b"a")
    cache.prune()

    assert [cache.get(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]


def test_many_writers_readers_and_sweepers_get_whole_entries_or_none(tmp_path: Path) -> None:
    """Four processes over one folder, which holds a tenth of what they store."""
    codes = {bytes([n]): bytes([n]) * 1000 for n in range(40)}

    def work(seed: int) -> bool:
        chance, cache = random.Random(seed), DiskCache(tmp_path, limit=4 * 1032)
        found = 0
        for _ in range(300):
            key = bytes([chance.randrange(40)])
            cache.put(key, codes[key])
            known = cache.get(key)
            if known not in (None, codes[key]):
                return False
            found += known is not None
            if chance.randrange(4) == 0:
                cache.prune()
        return found > 0

    children = []
    for seed in range(4):
        child = os.fork()
        if child == 0:
            os._exit(0 if work(seed) else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]

    DiskCache(tmp_path, limit=4 * 1032).prune()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert set(sizes) == {1032}
    assert len(sizes) <= 4


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 500])
def test_an_entry_that_was_cut_is_ignored(tmp_path: Path, size: int) -> None:
    cache = DiskCache(tmp_path)
    cache.put(b"key", bytes(1000))
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:size])

    assert cache.get(b"key") is None


def test_code_for_another_processor_or_tier_is_another_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, text = Machine(DiskCache(tmp_path)), "define i64 @f() { ret i64 1 }"
    machine.compile(text, FULL)
    machine.compile(text, STRAIGHT)
    known = len(list(tmp_path.iterdir()))
    name, features = cpu()
    monkeypatch.setattr("skep.engine.llvm.machine.cpu", lambda: (name, features + ",-aes"))
    machine.compile(text, FULL)

    assert (known, len(list(tmp_path.iterdir()))) == (2, 3)


def test_a_folder_that_cannot_be_made_means_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = DiskCache(tmp_path / "file" / "folder")
    cache.put(b"key", b"code")

    assert cache.get(b"key") is None


def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    cache.put(b"key", b"code")
    tmp_path.chmod(0o777)

    assert cache.get(b"key") is None
    cache.put(b"other", b"code")
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")

    assert default_folder() == Path("/somewhere/skep/code")


def test_a_second_machine_runs_code_that_the_first_compiled(tmp_path: Path) -> None:
    def stored() -> set[tuple[str, int]]:
        return {(path.name, path.stat().st_ino) for path in tmp_path.iterdir()}

    first = CompiledLibrary(Machine(DiskCache(tmp_path))).bind(answer)()
    entries = stored()

    assert CompiledLibrary(Machine(DiskCache(tmp_path))).bind(answer)() == first == 42
    assert stored() == entries != set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    # In a container with a user of its own number, no program could be loaded.
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setuid(54321)
            cache = DiskCache()
            cache.put(b"key", b"code")
            status = int(cache.get(b"key") is not None)
        finally:
            os._exit(status)

    assert os.waitpid(child, 0)[1] == 0
