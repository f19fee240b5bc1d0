"""The file system of a subsystem: folders, symbolic links, and the pins of bpffs mounts.

It holds nothing but what bpf(2) can be told by path: ``/sys/fs/bpf`` is a mount of bpffs from the
start, the folders above it are plain. A pin holds one reference to its object.

Source: Linux 6.18 kernel/bpf/inode.c, fs/namei.c, fs/libfs.c.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from skep.syscall.credentials import INITIAL, Capability, Credentials
from skep.syscall.objects import Holding
from skep.uapi import reasons_objects as reasons
from skep.uapi.reason import Reason

BPFFS: Final = "/sys/fs/bpf"
EXECUTE, WRITE, READ = 1, 2, 4
STICKY: Final = 0o1000
MAX_NAME: Final = 255
MAX_LINKS: Final = 40
FOLDER_MODE: Final = 0o755


class Delegation(NamedTuple):
    """What a mount delegates: one bit for each command, map type, program type, attach type."""

    cmds: int = 0
    maps: int = 0
    progs: int = 0
    attachs: int = 0


NOTHING: Final = Delegation()


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: of bpffs or of something plain, by the owner of a user namespace."""

    is_bpffs: bool
    namespace: int = INITIAL
    delegation: Delegation = NOTHING


@dataclass(slots=True, eq=False, kw_only=True)
class Node:
    """What a name leads to, with its owner and permissions."""

    uid: int
    gid: int
    mode: int


@dataclass(slots=True, eq=False, kw_only=True)
class Pin(Node):
    """A name of an object."""

    holding: Holding


@dataclass(slots=True, eq=False, kw_only=True)
class Symlink(Node):
    """A name of a path."""

    target: str


@dataclass(slots=True, eq=False, kw_only=True)
class Folder(Node):
    """Names; the root is its own parent."""

    mount: Mount
    parent: "Folder | None"
    is_root: bool = False  # of its mount
    names: dict[str, Node] = field(default_factory=dict)


class OpenFolder:
    """What a descriptor of a folder names."""

    def __init__(self, id: int, folder: Folder) -> None:  # noqa: A002
        self.id, self.folder = id, folder

    def close(self) -> None:
        """The folder stays."""


class PathRefused(Exception):  # noqa: N818 - an answer, told to the caller by whoever asked
    """A path leads nowhere, or not there."""

    def __init__(self, reason: Reason, path: str) -> None:
        super().__init__(f"{path}: {reason.allowed}")
        self.reason, self.path = reason, path


class Place(NamedTuple):
    """Where a path ends: the folder, the last name ("" for none), and what has it."""

    folder: Folder
    name: str
    node: Node | None


def _refuse_unless(holds: object, reason: Reason, path: str) -> None:
    if not holds:
        raise PathRefused(reason, path)


def permits(credentials: Credentials, node: Node, wanted: int) -> bool:
    """Whether the caller may do with *node* what the bits of *wanted* say."""
    if credentials.has(Capability.DAC_OVERRIDE):
        return True
    shift = 6 if credentials.uid == node.uid else 3 if credentials.gid == node.gid else 0
    return not wanted & ~(node.mode >> shift)


class Tree:
    """All paths. Callers hold the lock of the objects."""

    def __init__(self, uid: int = 0, gid: int = 0) -> None:
        plain = Mount(is_bpffs=False)
        self.root = Folder(uid=uid, gid=gid, mode=FOLDER_MODE, mount=plain, parent=None)
        self.mount(BPFFS, Mount(is_bpffs=True), Credentials(uid=uid, gid=gid))

    def mount(self, path: str, mount: Mount, owner: Credentials, mode: int = 0o1777) -> Folder:
        """Mount at *path*, whose folders are made; what was there is out of sight."""
        folder = self.root
        names = [name for name in path.split("/") if name]
        _refuse_unless(names, reasons.PATH_EMPTY, path)
        for name in names[:-1]:
            known = folder.names.get(name)
            if known is None:
                known = folder.names[name] = _folder(folder, owner, FOLDER_MODE)
            if not isinstance(known, Folder):
                raise PathRefused(reasons.PATH_FOLDER, path)
            folder = known
        made = _folder(folder, owner, mode, mount)
        folder.names[names[-1]] = made
        return made

    def find(self, path: str, credentials: Credentials, start: Folder | None = None) -> Node:
        """What *path* leads to, links followed."""
        node = self._walk(path, credentials, start, follow=True).node
        if node is None:
            raise PathRefused(reasons.PATH_ABSENT, path)
        must_be_folder = path.endswith("/")
        _refuse_unless(not must_be_folder or isinstance(node, Folder), reasons.PATH_FOLDER, path)
        return node

    def place(self, path: str, credentials: Credentials, start: Folder | None = None) -> Place:
        """Where *path* ends, and what is there, which may be nothing or a symbolic link."""
        return self._walk(path, credentials, start, follow=False)

    def _walk(
        self, path: str, credentials: Credentials, start: Folder | None, *, follow: bool
    ) -> Place:
        _refuse_unless(path, reasons.PATH_EMPTY, path)
        folder = self.root if start is None or path.startswith("/") else start
        ahead = [name for name in reversed(path.split("/")) if name]
        links = 0
        place = Place(folder, "", folder)
        while ahead:
            name = ahead.pop()
            place = self._step(place, name, path, credentials)
            if isinstance(place.node, Symlink) and (ahead or follow):
                links += 1
                _refuse_unless(links <= MAX_LINKS, reasons.PATH_LOOP, path)
                target = place.node.target
                ahead += [name for name in reversed(target.split("/")) if name]
                base = self.root if target.startswith("/") else place.folder
                place = Place(base, "", base)
            if ahead:
                _refuse_unless(place.node is not None, reasons.PATH_ABSENT, path)
        return place

    def _step(self, place: Place, name: str, path: str, credentials: Credentials) -> Place:
        """From where *place* ends one name on."""
        folder = place.node
        if not isinstance(folder, Folder):
            raise PathRefused(reasons.PATH_FOLDER, path)
        _refuse_unless(permits(credentials, folder, EXECUTE), reasons.PATH_SEARCH, path)
        if name == ".":
            return Place(folder, "", folder)
        if name == "..":
            above = folder.parent or folder
            return Place(above, "", above)
        _refuse_unless(len(name.encode("utf-8", "surrogateescape")) <= MAX_NAME,
                       reasons.NAME_LONG, path)  # fmt: skip
        reserved = folder.mount.is_bpffs and "." in name
        _refuse_unless(not reserved, reasons.PATH_DOT, path)
        return Place(folder, name, folder.names.get(name))

    def vacant(self, path: str, credentials: Credentials, start: Folder | None = None) -> Place:
        """Where *path* ends, if a file can be made there by name."""
        place = self.place(path, credentials, start)
        _refuse_unless(place.name and place.node is None, reasons.PATH_EXISTS, path)
        _refuse_unless(not path.endswith("/"), reasons.PATH_ABSENT, path)
        return place

    def pin(
        self, path: str, credentials: Credentials, holding: Holding, start: Folder | None = None
    ) -> None:
        """Give *holding* a name; its reference is the caller's to take."""
        place = self.vacant(path, credentials, start)
        _refuse_unless(place.folder.mount.is_bpffs, reasons.PIN_ELSEWHERE, path)
        self._add(place, path, credentials, Pin(
            uid=credentials.uid, gid=credentials.gid, mode=0o600 & ~credentials.umask,
            holding=holding,
        ))  # fmt: skip

    def link(self, path: str, credentials: Credentials, target: str) -> None:
        """Make a symbolic link at *path*."""
        place = self.vacant(path, credentials)
        made = Symlink(uid=credentials.uid, gid=credentials.gid, mode=0o777, target=target)
        self._add(place, path, credentials, made)

    def make_folder(self, path: str, credentials: Credentials, mode: int) -> None:
        """Make a folder at *path*."""
        place = self.place(path, credentials)
        _refuse_unless(place.name and place.node is None, reasons.PATH_EXISTS, path)
        made = _folder(place.folder, credentials, mode & ~credentials.umask)
        self._add(place, path, credentials, made)

    def _add(self, place: Place, path: str, credentials: Credentials, node: Node) -> None:
        may = permits(credentials, place.folder, WRITE | EXECUTE)
        _refuse_unless(may, reasons.PATH_WRITE, path)
        place.folder.names[place.name] = node


def _folder(parent: Folder, owner: Credentials, mode: int, mount: Mount | None = None) -> Folder:
    return Folder(
        uid=owner.uid, gid=owner.gid, mode=mode, mount=mount or parent.mount, parent=parent,
        is_root=mount is not None,
    )  # fmt: skip
