"""Places: everything in a subsystem's world that programs can be attached to.

There are cgroups by path, devices by name and index, one network namespace, socket maps, and
single sockets. All of it is the subsystem's own and begins as Linux does: a root cgroup and ``lo``.

Source: Linux cgroups(7), netdevice(7), network_namespaces(7).
"""

import posixpath
from collections.abc import Callable
from typing import Final

from skep.attach.cgroups import Cgroup
from skep.attach.devices import Device
from skep.attach.hooks import Occasion
from skep.attach.netns import NetworkNamespace
from skep.attach.sockets import Socket, SocketMaps
from skep.runtime.world import World

ROOT: Final = "/"
LOOPBACK: Final = "lo"
FIRST_NAMESPACE: Final = 0xF000_0000  # PROC_DYNAMIC_FIRST


class Places:
    """See the module.

    Args:
        world: where programs run.
        timed: whether runs are counted and timed at present.
    """

    def __init__(self, world: World, timed: Callable[[], bool]) -> None:
        self._occasion = Occasion(world, timed)
        self._last_cgroup = 1
        self._root = Cgroup(1, ROOT, None, self._occasion)
        self._devices: dict[str, Device] = {}
        self._last_index = 0
        self.netns = NetworkNamespace(FIRST_NAMESPACE, self._occasion)
        self.socket_maps = SocketMaps()
        self.device(LOOPBACK)

    # --- cgroups ----------------------------------------------------------------------------------

    def cgroup(self, path: str = ROOT) -> Cgroup:
        """The cgroup at *path*, made with all above it if it is not there."""
        found = self._root
        for name in _parts(path):
            below = found.children.get(name)
            if below is None:
                self._last_cgroup += 1
                below_path = posixpath.join(found.path, name)
                below = Cgroup(self._last_cgroup, below_path, found, self._occasion)
                found.children[name] = below
            found = below
        return found

    def remove_cgroup(self, path: str) -> None:
        """Remove the cgroup at *path*, and with it what is attached there.

        Raises:
            KeyError: there is none. ValueError: it is the root, or has others below it.
        """
        *above, name = _parts(path) or [""]
        parent = self._root
        for each in above:
            parent = parent.children[each]
        if not name or parent.children[name].children:
            raise ValueError(f"cgroup {path} is the root, or has others below it")
        parent.children.pop(name).leave()

    # --- devices ----------------------------------------------------------------------------------

    def device(self, name: str, *, native: bool = False) -> Device:
        """The device called *name*, made if it is not there; *native*: it has native XDP."""
        found = self._devices.get(name)
        if found is None:
            self._last_index += 1
            found = Device(self._last_index, name, self._occasion, native=native)
            self._devices[name] = found
        return found

    def netkit(self, primary: str, peer: str) -> tuple[Device, Device]:
        """A new pair of netkit devices: what one sends the other receives."""
        one, other = self.device(primary), self.device(peer)
        one.peer, other.peer, one.primary = other, one, True
        one.is_netkit = other.is_netkit = True
        return one, other

    def device_at(self, index: int) -> Device | None:
        """The device number *index*."""
        return next((each for each in self._devices.values() if each.index == index), None)

    def remove_device(self, name: str) -> None:
        """Remove a device, and with it what is attached there; KeyError if there is none."""
        device = self._devices.pop(name)
        device.leave()
        if device.peer is not None:
            device.peer.peer = None

    def socket(self) -> Socket:
        """A new socket."""
        return Socket(self._occasion)


def _parts(path: str) -> list[str]:
    clean = posixpath.normpath(f"/{path}")
    return [part for part in clean.split("/") if part]
