"""Files: what mkdir(2), unlink(2), readdir(3), … are to the paths of a subsystem.

bpf(2) pins and opens; making, removing and listing folders and names is done here, by the rules of
Linux's file systems.

Source: Linux 6.18 fs/namei.c (may_delete, …), kernel/bpf/inode.c.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EBUSY, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM
from typing import NamedTuple

from skep.errors import CommandError
from skep.syscall.credentials import INITIAL, Capability, Credentials
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.syscall.tree import (
    EXECUTE,
    NOTHING,
    READ,
    STICKY,
    WRITE,
    Delegation,
    Folder,
    Mount,
    Node,
    OpenFolder,
    PathRefused,
    Pin,
    Place,
    permits,
)


class Pinned(NamedTuple):
    """One pin: its path, and the kind and id of its object."""

    path: str
    kind: Kind
    id: int


class Files:
    """The paths of a subsystem, as one caller may change them.

    Every method raises CommandError with the errno that Linux gives; its command is the name of
    the method.
    """

    def __init__(self, state: State, credentials: Credentials) -> None:
        self._state, self._who = state, credentials

    def mount(
        self,
        path: str,
        delegation: Delegation = NOTHING,
        namespace: int = INITIAL,
        mode: int = 0o1777,
    ) -> None:
        """Mount a bpffs, which the user namespace owns, at *path*, and make the folders above.

        Args:
            path: absolute; what was there is out of sight.
            delegation: what tokens that are made of the mount allow.
            namespace: the user namespace that it belongs to.
            mode: permissions of its root.
        """
        with self._doing("MOUNT"):
            mounted = Mount(is_bpffs=True, namespace=namespace, delegation=delegation)
            self._state.tree.mount(path, mounted, self._who, mode)

    def make_folder(self, path: str, mode: int = 0o777, *, parents: bool = False) -> None:
        """Make a folder; with *parents* those above it as well, and it may exist."""
        with self._doing("MKDIR"):
            tree, names = self._state.tree, path.strip("/").split("/")
            for count in range(1, len(names)) if parents else ():
                above = "/" + "/".join(names[:count])
                if tree.place(above, self._who).node is None:
                    tree.make_folder(above, self._who, mode)
            if not parents or tree.place(path, self._who).node is None:
                tree.make_folder(path, self._who, mode)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link to *target* at *path*."""
        with self._doing("SYMLINK"):
            self._state.tree.link(path, self._who, target)

    def unlink(self, path: str) -> None:
        """Take a name away: the object goes if nothing else refers to it."""
        with self._doing("UNLINK"):
            place, node = self._removable("UNLINK", path)
            if isinstance(node, Folder):
                raise CommandError("UNLINK", EISDIR, f"{path} is a folder")
            del place.folder.names[place.name]
        if isinstance(node, Pin):
            self._state.objects.leave(node.holding)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        with self._doing("RMDIR"):
            place, node = self._removable("RMDIR", path)
            if not isinstance(node, Folder):
                raise CommandError("RMDIR", ENOTDIR, f"{path} is no folder")
            if node.is_root:
                raise CommandError("RMDIR", EBUSY, f"{path} is a mount")
            if node.names:
                raise CommandError("RMDIR", ENOTEMPTY, f"{path} is not empty")
            del place.folder.names[place.name]

    def names(self, path: str) -> list[str]:
        """The names in a folder, in order."""
        with self._doing("READDIR"):
            folder = self._folder("READDIR", path)
            if not permits(self._who, folder, READ):
                raise CommandError("READDIR", EACCES, f"{path} may not be read")
            return sorted(folder.names)

    def change_mode(self, path: str, mode: int) -> None:
        """Change the permissions of what is at *path*."""
        with self._doing("CHMOD"):
            node = self._state.tree.find(path, self._who)
            self._require_owner("CHMOD", node, path)
            node.mode = mode

    def change_owner(self, path: str, uid: int, gid: int) -> None:
        """Give what is at *path* to somebody else; only the privileged may."""
        with self._doing("CHOWN"):
            node = self._state.tree.find(path, self._who)
            if not self._who.has(Capability.DAC_OVERRIDE):
                raise CommandError("CHOWN", EPERM, f"{path} stays its owner's")
            node.uid, node.gid = uid, gid

    def open_folder(self, path: str) -> int:
        """A descriptor of a folder, as open(2) with O_PATH gives one."""
        with self._doing("OPEN"):
            opened = OpenFolder(self._state.new_id(Kind.FOLDER), self._folder("OPEN", path))
            return self._state.objects.install(Kind.FOLDER, opened)

    def pins(self, path: str = "/") -> Iterator[Pinned]:
        """All pins below a folder, in order of their paths, whoever may see them."""
        with self._doing("READDIR"):
            folder = self._folder("READDIR", path)
            found = list(_pins(folder, path.rstrip("/")))
        yield from found

    @contextmanager
    def _doing(self, command: str) -> Iterator[None]:
        with self._state.objects.lock:
            try:
                yield
            except PathRefused as refused:
                reason = refused.reason
                raise CommandError(command, reason.errno, str(refused)) from None

    def _folder(self, command: str, path: str) -> Folder:
        node = self._state.tree.find(path, self._who)
        if not isinstance(node, Folder):
            raise CommandError(command, ENOTDIR, f"{path} is no folder")
        return node

    def _removable(self, command: str, path: str) -> tuple[Place, Node]:
        """Where the name stands and what it leads to, if the caller may remove it."""
        place = self._state.tree.place(path, self._who)
        if not place.name:
            raise CommandError(command, EISDIR if command == "UNLINK" else EINVAL, path)
        if place.node is None:
            raise CommandError(command, ENOENT, f"{path} does not exist")
        if path.endswith("/") and not isinstance(place.node, Folder):
            raise CommandError(command, ENOTDIR, f"{path} is no folder")
        if not permits(self._who, place.folder, WRITE | EXECUTE):
            raise CommandError(command, EACCES, f"the folder of {path} may not be written to")
        if place.folder.mode & STICKY and self._who.uid != place.folder.uid:
            self._require_owner(command, place.node, path)
        return place, place.node

    def _require_owner(self, command: str, node: Node, path: str) -> None:
        if self._who.uid != node.uid and not self._who.has(Capability.FOWNER):
            raise CommandError(command, EPERM, f"{path} is somebody else's")


def _pins(folder: Folder, path: str) -> Iterator[Pinned]:
    for name, node in sorted(folder.names.items()):
        if isinstance(node, Pin):
            yield Pinned(f"{path}/{name}", node.holding.kind, node.holding.id)
        elif isinstance(node, Folder):
            yield from _pins(node, f"{path}/{name}")
