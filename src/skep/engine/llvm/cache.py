"""Object code on disk, between processes.

One file for each entry under ``$XDG_CACHE_HOME/skep/code``, named by the hash of its key: a
digest, then the code. Files appear by atomic rename; one whose digest does not fit is ignored and
rebuilt. When the folder outgrows its limit the entries that were used longest ago go first. Any
failure of the file system, or a folder that others may write to, means no cache, never an error.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

DIGEST_SIZE: Final = 32
DEFAULT_LIMIT: Final = 64 << 20
NOWHERE: Final = Path("/nonexistent")
PRUNE_EVERY: Final = 64  # stores between two looks at the folder's size


def default_folder() -> Path:
    """Where the cache is, by the XDG base directory specification."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:  # neither HOME nor an entry in passwd: a user of a container
            base = NOWHERE
    return base / "skep" / "code"


class DiskCache:
    """Object code by key.

    Args:
        folder: where the files are; made when first needed, for the owner alone.
        limit: bytes that all files may take together.
    """

    def __init__(self, folder: Path | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self._folder, self._limit = folder or default_folder(), limit
        self._stores = 0

    def has(self, key: bytes) -> bool:
        """Whether something is stored under *key*; it may yet turn out to be damaged."""
        try:
            return self._path(key).exists()
        except OSError:
            return False

    def get(self, key: bytes) -> bytes | None:
        """Code that was stored under *key*, or None."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            if not self._is_private():
                return None
        except OSError:
            return None
        digest, code = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
        if hashlib.sha256(code).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return code

    def put(self, key: bytes, code: bytes) -> None:
        """Store *code* under *key*."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_private():
                return
            self._write(self._path(key), hashlib.sha256(code).digest() + code)
            if self._stores % PRUNE_EVERY == 0:
                self.prune()
        except OSError:
            return
        self._stores += 1

    def prune(self) -> None:
        """Delete what was used longest ago until the folder fits its limit."""
        entries = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):  # another process prunes too
                state = path.stat()
                entries.append((state.st_mtime_ns, state.st_size, path))
        size = sum(entry[1] for entry in entries)
        for _, bytes_, path in sorted(entries):
            if size <= self._limit:
                return
            path.unlink(missing_ok=True)
            size -= bytes_

    def _is_private(self) -> bool:
        """Code runs as whoever loads it, so nobody else may have written it."""
        state = self._folder.stat()
        return state.st_uid == os.geteuid() and not state.st_mode & 0o022

    def _path(self, key: bytes) -> Path:
        return self._folder / hashlib.sha256(key).hexdigest()

    def _write(self, path: Path, content: bytes) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
