"""setsockopt(2) on the sockets of a world, as far as it is about programs.

Source: Linux 6.18 net/core/sock.c (sk_setsockopt), net/core/filter.c (sk_attach_bpf,
sk_detach_filter).
"""

from typing import Final

from skep.attach.sockets import Socket
from skep.syscall.hooked import loaded, seated
from skep.syscall.objects import Kind
from skep.syscall.state import State
from skep.uapi import reasons_hooks as reasons
from skep.uapi import reasons_links
from skep.uapi.flags import ProgType
from skep.uapi.reason import Refusal

NAME: Final = "SETSOCKOPT"
SOL_SOCKET: Final = 1
SO_DETACH_BPF: Final = 27
SO_LOCK_FILTER: Final = 44
SO_ATTACH_BPF: Final = 50


def set_option(state: State, socket: Socket, level: int, option: int, value: int) -> None:
    """Set *option* of *socket* to *value*, a descriptor of a program for SO_ATTACH_BPF.

    Raises:
        Refusal: EPERM, the filter is locked; ENOENT, there is none; EBADF, EINVAL, the value is
            no descriptor of a socket filter; ENOPROTOOPT, the option is about something else.
    """
    with state.objects.lock:
        if level != SOL_SOCKET or option not in (SO_ATTACH_BPF, SO_DETACH_BPF, SO_LOCK_FILTER):
            raise Refusal(NAME, reasons.OPTION, f"level {level}, option {option}")
        if option == SO_DETACH_BPF:
            socket.set_filter(None)
        elif option == SO_LOCK_FILTER:
            if socket.locked and not value:
                raise Refusal(NAME, reasons.FILTER_LOCKED)
            socket.locked = bool(value)
        else:
            _attach(state, socket, value)


def _attach(state: State, socket: Socket, fd: int) -> None:
    if socket.locked:
        raise Refusal(NAME, reasons.FILTER_LOCKED)
    holding = state.objects.get(NAME, fd, Kind.PROG, "value")
    found = loaded(holding).type
    if found.id != ProgType.SOCKET_FILTER:
        raise Refusal(NAME, reasons_links.PROGRAM_TYPE, f"a {found.name} program", "value")
    with seated(state, holding) as seat:
        socket.set_filter(seat)
