"""Paths: what pinning, opening, making and removing answer, for skep, and in a child for a kernel.

Run as a program, it mounts a bpffs of its own in a mount namespace of its own, and prints a JSON
list of results.
"""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from skep.errors import CommandError
from skep.syscall.credentials import Credentials
from skep.uapi import commands
from skep.uapi.flags import MapFlag
from support.caller import EXIT, RETURN_ONE, Caller
from support.running_kernel import RunningKernel

ROOT: Final = "/sys/fs/bpf"
PATH_FD: Final = int(MapFlag.PATH_FD)
RDONLY, WRONLY = int(MapFlag.RDONLY), int(MapFlag.WRONLY)
STEPS: Final[Sequence[tuple[str, ...]]] = (
    ("pin map", "m"), ("pin map", "m"), ("pin prog", "m"), ("pin prog", "p"),
    ("pin btf", "b"), ("pin none", "b"), ("pin map", "absent/m"), ("pin map", "m/x"),
    ("pin map", "a.b"), ("pin map", "."), ("pin map", ".."), ("pin map", ""), ("pin map", "new/"),
    ("pin map", "m/"), ("pin map", "n" * 255), ("pin map", "n" * 256), ("pin map", "/m"),
    ("pin map", "/nowhere/m"), ("pin map", "/sys/fs/m"), ("pin map", f"{ROOT}/deep//m2"),
    ("get", "m"), ("get", "p"), ("get", "absent"), ("get", "m/"), ("get", "m/x"), ("get", ""),
    ("get", "."), ("get", "a.b"), ("get", "/"), ("get", "n" * 256), ("get", "/" + "x/" * 2500),
    ("get r", "m"), ("get w", "m"), ("get rw", "m"), ("get r", "p"), ("get unknown", "m"),
    ("get with fd", "m"), ("pin with flags", "m3"), ("pin with path fd", "m3"),
    ("mkdir", "d"), ("mkdir", "d"), ("mkdir", "d/"), ("mkdir", "d2/"), ("mkdir", "a.b"),
    ("mkdir", "m"), ("mkdir", "absent/d"), ("mkdir", "m/d"), ("mkdir", "."),
    ("pin map", "d/m"), ("pin map", "d/../up"), ("pin map", "./here"), ("get", "d/m"),
    ("get", "d/./m"), ("get", "d/../d/m"), ("get", "d"),
    ("symlink", "l", "d"), ("symlink", "l", "d"), ("symlink", "lm", "d/m"), ("get", "l/m"),
    ("get", "lm"), ("get", "lm/"), ("pin map", "l/through"), ("get", "d/through"),
    ("pin map", "lm"), ("symlink", "loop", "loop"), ("get", "loop"), ("get", "loop/x"),
    ("symlink", "abs", f"{ROOT}/d/m"), ("get", "abs"), ("symlink", "dangling", "absent"),
    ("get", "dangling"), ("pin map", "dangling"), ("symlink", "x.y", "d"),
    ("at pin", "d", "rel"), ("at get", "d", "rel"), ("at get", "d", "absent"),
    ("at get", "d", "../m"), ("at get", "d", f"{ROOT}/m"), ("at get closed", "d", "m"),
    ("at get closed", "d", f"{ROOT}/m"),
    ("pin map", "lm/"), ("mkdir", "l/"), ("mkdir", "dangling/"),
    ("chmod 0", "d"), ("chmod 755", "d"), ("chmod 0", "m"), ("get", "m"), ("list", "d"),
    ("list", "m"), ("list", "absent"), ("unlink", "absent"), ("unlink", "d"), ("unlink", "m/"),
    ("unlink", "d/"), ("unlink", "."), ("unlink", "lm"), ("get", "d/m"), ("rmdir", "d"),
    ("rmdir", "m"), ("rmdir", "absent"), ("rmdir", "."), ("rmdir", "l"), ("unlink", "d/m"),
    ("get", "d/m"), ("unlink", "d/m"), ("unlink", "d/through"), ("unlink", "d/rel"),
    ("rmdir", "d"), ("rmdir", "d"), ("pin map", "l/x"), ("mkdir", "private"),
    ("chmod 700", "private"), ("pin map", "private/m"), ("mkdir", "open"), ("chmod 755", "open"),
    ("pin map", "open/m"), ("mkdir", "shared"), ("chmod 777", "shared"), ("pin map", "shared/m"),
    ("pin prog", "public"), ("chmod 644", "public"), ("pin map", "writable"),
    ("chmod 666", "writable"),
    ("user",),
    ("get", "private/m"), ("pin map", "private/x"), ("pin map", "open/x"), ("pin map", "open/m"),
    ("get", "open/m"), ("pin map", "shared/x"), ("get", "shared/x"), ("get", "public"),
    ("get r", "public"), ("get w", "public"), ("get", "writable"), ("get r", "writable"),
    ("unlink", "shared/m"), ("unlink", "public"), ("unlink", "open/m"), ("mkdir", "open/d"),
    ("mkdir", "shared/d"), ("rmdir", "private"), ("rmdir", "shared/d"), ("list", "private"),
    ("list", "open"), ("chmod 777", "open"), ("pin map", "mine"), ("unlink", "mine"),
    ("chmod 600", "shared/x"), ("get", "shared/x"), ("at get", "private", "m"),
    ("symlink", "open/l", "m"), ("symlink", "shared/l", "x"), ("get", "shared/l"),
)  # fmt: skip


class Files(Protocol):
    """What changes paths; every method answers 0 or -errno."""

    def act(self, verb: str, path: str, other: str) -> int:
        """Make, remove, list or change."""
        ...

    def open(self, path: str) -> int:
        """A descriptor of a folder."""
        ...

    def become_user(self) -> None:
        """Go on as user 1000 without capabilities."""
        ...


def run(caller: Caller, files: Files) -> list[int]:
    """What each step answers: 0, or -errno."""
    objects = {
        "map": caller.map(2),
        "prog": caller.program(RETURN_ONE + EXIT),
        "btf": caller.call(commands.BTF_LOAD, btf=caller.keep(INT), btf_size=len(INT)),
        "none": 0x7FFF_FFF0,
    }
    return [min(0, _step(caller, files, objects, step)) for step in STEPS]


INT: Final = (
    b"\x9f\xeb\1\0" + b"".join(n.to_bytes(4, "little") for n in (24, 0, 16, 16, 5))
    + b"".join(n.to_bytes(4, "little") for n in (1, 1 << 24, 4, 32)) + b"\0int\0"
)  # fmt: skip
GETS: Final = {
    "get": {}, "get r": {"file_flags": RDONLY}, "get w": {"file_flags": WRONLY},
    "get rw": {"file_flags": RDONLY | WRONLY}, "get unknown": {"file_flags": 1},
    "get with fd": {"bpf_fd": 3},
}  # fmt: skip


def _step(caller: Caller, files: Files, objects: dict[str, int], step: tuple[str, ...]) -> int:
    verb, path, other = (*step, "", "")[:3]
    text = path if path.startswith("/") or not path else f"{ROOT}/{path}"
    if verb == "user":
        files.become_user()
        return 0
    if verb in GETS:
        place = caller.keep(text.encode() + b"\0")
        return caller.call(commands.OBJ_GET, pathname=place, **GETS[verb])
    if verb.startswith("at "):
        return _relative(caller, files, objects, verb, text, other)
    if verb.startswith("pin"):
        members = {"pin with flags": {"file_flags": 1}, "pin with path fd": {"path_fd": 4}}
        fd = objects.get(verb.split()[1], objects["map"])
        place = caller.keep(text.encode() + b"\0")
        return caller.call(commands.OBJ_PIN, pathname=place, bpf_fd=fd, **members.get(verb, {}))
    return files.act(verb, text, other)


def _relative(
    caller: Caller, files: Files, objects: dict[str, int], verb: str, folder: str, path: str
) -> int:
    fd = 0x7FFF_FFF0 if verb.endswith("closed") else files.open(folder)
    if fd < 0:
        return fd
    command = commands.OBJ_PIN if "pin" in verb else commands.OBJ_GET
    return caller.call(
        command, pathname=caller.keep(path.encode() + b"\0"), file_flags=PATH_FD, path_fd=fd,
        bpf_fd=objects["map"] if "pin" in verb else 0,
    )  # fmt: skip


class SkepFiles:
    """The files of the caller's subsystem."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def act(self, verb: str, path: str, other: str) -> int:
        """Make, remove, list or change."""
        files = self._caller.subsystem.files
        doing: dict[str, Callable[[], object]] = {
            "mkdir": lambda: files.make_folder(path, 0o777),
            "rmdir": lambda: files.remove_folder(path),
            "unlink": lambda: files.unlink(path),
            "list": lambda: files.names(path),
            "symlink": lambda: files.link(path, other),
            "chmod": lambda: files.change_mode(path, int(verb.split()[1], 8)),
        }
        try:
            doing[verb.split(maxsplit=1)[0]]()
        except CommandError as error:
            return -error.errno
        return 0

    def open(self, path: str) -> int:
        """A descriptor of a folder."""
        try:
            return self._caller.subsystem.files.open_folder(path)
        except CommandError as error:
            return -error.errno

    def become_user(self) -> None:
        """Go on as user 1000 without capabilities."""
        nobody = Credentials(uid=1000, gid=1000, capabilities=frozenset())
        self._caller.subsystem = self._caller.subsystem.as_user(nobody)


class KernelFiles:
    """The files of this process."""

    def act(self, verb: str, path: str, other: str) -> int:
        """Make, remove, list or change."""
        doing: dict[str, Callable[[], object]] = {
            "mkdir": lambda: os.mkdir(path, 0o777),  # noqa: PTH102 - Path drops slashes
            "rmdir": lambda: os.rmdir(path),  # noqa: PTH106 - Path drops slashes
            "unlink": lambda: os.unlink(path),  # noqa: PTH108 - Path drops slashes
            "list": lambda: os.listdir(path),  # noqa: PTH208 - Path drops slashes
            "symlink": lambda: os.symlink(other, path),  # noqa: PTH211 - Path drops slashes
            "chmod": lambda: os.chmod(path, int(verb.split()[1], 8)),  # noqa: PTH101 - Path drops slashes
        }
        try:
            doing[verb.split(maxsplit=1)[0]]()
        except OSError as error:
            return -(error.errno or 0)
        return 0

    def open(self, path: str) -> int:
        """A descriptor of a folder."""
        try:
            return os.open(path, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            return -(error.errno or 0)

    def become_user(self) -> None:
        """Go on as user 1000 without capabilities."""
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)


def main() -> None:
    """Answer for the running kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, private = 0x2_0000, 1 << 18 | 1 << 14
    if libc.unshare(new_mounts) or libc.mount(b"none", b"/", None, private, None):
        raise OSError(ctypes.get_errno(), "unshare")
    if libc.mount(b"bpf", ROOT.encode(), b"bpf", 0, b"mode=1777"):
        raise OSError(ctypes.get_errno(), "mount")
    os.umask(0o022)
    caller = Caller(RunningKernel())  # type: ignore[arg-type]  # as much of one as it uses
    sys.stdout.write(json.dumps(run(caller, KernelFiles())))


if __name__ == "__main__":
    main()
