"""Helpers on sockets. A world has none but the one that a test run gives its packet.

That socket is of no protocol, in state CLOSE, owned by root, in the process's cgroup, as Linux's
test runs make it. So look-ups find nothing, and no cast to a kind of socket succeeds.

Source: Linux net/core/filter.c, net/bpf/test_run.c (bpf_prog_test_run_skb).
"""

from typing import Final

from skep.base.native import load64, native
from skep.helpers.binding import Binding
from skep.maps.answer import MINUS_EINVAL, MINUS_EOPNOTSUPP
from skep.runtime.invocation import NAMESPACE, ORIGIN, SOCKET
from skep.uapi.contexts import SK_BUFF

_SKB: Final = 1
_SKB_SOCKET: Final = SK_BUFF.native_base + 8 * SK_BUFF.field("sk").slot
_NOBODY: Final = 65534  # overflowuid
_ASSIGN_FLAGS: Final = 3  # REPLACE | NO_REUSEPORT


@native
def packet_socket(run: int, context: int) -> int:
    """The socket of the run's packet, or 0."""
    if load64(run + ORIGIN) != _SKB:
        return 0
    return load64(context + _SKB_SOCKET)


@native
def find_nothing(
    run: int,  # noqa: ARG001
    context: int,  # noqa: ARG001
    tuple_: int,  # noqa: ARG001
    size: int,  # noqa: ARG001
    namespace: int,  # noqa: ARG001
    flags: int,  # noqa: ARG001
) -> int:
    """Every look-up's answer, for good arguments and bad ones: there is no such socket."""
    return 0


@native
def sk_release(run: int, sock: int) -> int:  # noqa: ARG001
    """Give a socket back."""
    return 0


@native
def sk_fullsock(run: int, sock: int) -> int:  # noqa: ARG001
    """The socket itself: it is no half-open one."""
    return sock


@native
def no_such_socket(run: int, sock: int) -> int:  # noqa: ARG001
    """A cast to TCP, UDP, UNIX, MPTCP or a listening socket: the socket is none of them."""
    return 0


@native
def sk_assign(run: int, context: int, sock: int, flags: int) -> int:  # noqa: ARG001
    """Hand the packet (tc) or the connection (sk_lookup) to a socket."""
    if load64(run + ORIGIN) == _SKB:
        if sock == 0 or flags != 0:
            return MINUS_EINVAL
        return MINUS_EOPNOTSUPP  # it is not at ingress, and the socket is in no table
    return MINUS_EINVAL if (flags & ~_ASSIGN_FLAGS) != 0 else 0


@native
def no_syncookie(
    run: int,  # noqa: ARG001
    sock: int,  # noqa: ARG001
    ip: int,  # noqa: ARG001
    ip_size: int,  # noqa: ARG001
    tcp: int,  # noqa: ARG001
    tcp_size: int,  # noqa: ARG001
) -> int:
    """Refuse to check or make a SYN cookie: the socket does not listen."""
    return MINUS_EINVAL


@native
def get_socket_cookie(run: int, context: int) -> int:
    """A number that tells the packet's socket from all others; 0 without one."""
    return load64(run + SOCKET) if packet_socket(run, context) != 0 else 0


@native
def get_socket_uid(run: int, context: int) -> int:
    """Owner of the packet's socket: root, whose the namespace is."""
    return 0 if packet_socket(run, context) != 0 else _NOBODY


@native
def get_netns_cookie(run: int, context: int) -> int:  # noqa: ARG001
    """Number of the network namespace; the world's only one is also the first one."""
    return load64(run + NAMESPACE)


_CASTS: Final = (
    "tcp_sock", "get_listener_sock", "skc_to_tcp_sock", "skc_to_tcp6_sock", "skc_to_udp6_sock",
    "skc_to_tcp_timewait_sock", "skc_to_tcp_request_sock", "skc_to_unix_sock", "skc_to_mptcp_sock",
)  # fmt: skip

BINDINGS: Final = (
    Binding("sk_lookup_tcp", find_nothing),
    Binding("sk_lookup_udp", find_nothing),
    Binding("skc_lookup_tcp", find_nothing),
    Binding("sk_release", sk_release),
    Binding("sk_fullsock", sk_fullsock),
    *(Binding(name, no_such_socket) for name in _CASTS),
    Binding("sk_assign", sk_assign),
    Binding("tcp_check_syncookie", no_syncookie),
    Binding("tcp_gen_syncookie", no_syncookie),
    Binding("get_socket_cookie", get_socket_cookie),
    Binding("get_socket_uid", get_socket_uid),
    Binding("get_netns_cookie", get_netns_cookie),
)
