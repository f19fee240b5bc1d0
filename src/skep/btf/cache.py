"""Indexes of large BTFs, kept on disk between runs.

A file is named by the hash of the data it indexes, and holds a hash of itself; whatever is wrong
with it, it counts as absent. Writers work on files of their own and rename them when complete, so
readers never meet half of one.

Invariant: nothing here raises for what the disk does; without a cache all works, more slowly.
"""

import hashlib
import os
import struct
import sys
import tempfile
from array import array
from pathlib import Path
from typing import Final

from skep.btf.index import TypeIndex

MIN_SIZE: Final = 256 << 10  # smaller data is indexed faster than its index is found

_MAGIC: Final = b"skepbtf1" if sys.byteorder == "little" else b"SKEPBTF1"
_HASH_SIZE: Final = 32
_HEAD_SIZE: Final = len(_MAGIC) + _HASH_SIZE


def directory() -> Path:
    """Where indexes are kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not home.is_absolute():
        home = Path(os.environ.get("HOME", "/nonexistent")) / ".cache"
    return home / "skep" / "btf"


def load(data: bytes) -> TypeIndex | None:
    """The kept index of *data*, or None."""
    try:
        content = _path(data).read_bytes()
    except OSError:
        return None
    payload = content[_HEAD_SIZE:]
    if content[:_HEAD_SIZE] != _MAGIC + hashlib.sha256(payload).digest() or len(payload) < 8:
        return None
    types, names = struct.unpack_from("=II", payload)
    if len(payload) != 8 + 4 * (types + 2 * names):
        return None
    words: array[int] = array("I")
    words.frombytes(payload[8:])
    return TypeIndex(words[:types], words[types : types + names], words[types + names :])


def store(data: bytes, index: TypeIndex) -> None:
    """Keep the index of *data*, if the disk lets us."""
    payload = struct.pack("=II", len(index.starts), len(index.name_offs))
    payload += index.starts.tobytes() + index.name_offs.tobytes() + index.name_ids.tobytes()
    target = _path(data)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(payload).digest() + payload)
        Path(name).replace(target)
    except OSError:
        _remove(Path(name))


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        return


def _path(data: bytes) -> Path:
    return directory() / hashlib.sha256(data).hexdigest()
