"""Helpers on the tunnel that a packet goes through: its key and its options.

Packets come without tunnel metadata; what skb_set_tunnel_key sets, the same run can read. The run
block points to it::

    0  SET     0: there is none       24  TTL      40  remote address (16, as in bpf_tunnel_key)
    4  ID      12  FLAGS (TUNNEL_*)   28  LABEL    56  local address (16)
    8  SIXTH   20  TOS                32  LENGTH of options, 36  whether there are any; 96: they

Source: Linux net/core/filter.c, include/net/ip_tunnels.h.
"""

from typing import Final

from skep.base.native import (
    copy,
    fill,
    load8,
    load16,
    load32,
    load64,
    native,
    store8,
    store16,
    store32,
    swap16,
)
from skep.helpers.binding import Binding
from skep.maps.answer import MINUS_EINVAL, MINUS_ENOENT, MINUS_ENOMEM, MINUS_EPROTO
from skep.runtime.invocation import SCRATCH, TUNNEL

_LOW: Final = 0xFFFF_FFFF

_SET: Final = 0
_ID: Final = 4
_SIXTH: Final = 8
_FLAGS: Final = 12
_TOS: Final = 20
_TTL: Final = 24
_LABEL: Final = 28
_LENGTH: Final = 32
_PRESENT: Final = 36
_REMOTE: Final = 40
_LOCAL: Final = 56
_OPTIONS: Final = 96

# struct bpf_tunnel_key: offsets, and the sizes that older programs pass
_KEY_REMOTE: Final = 4
_KEY_TOS: Final = 20
_KEY_TTL: Final = 21
_KEY_EXT: Final = 22
_KEY_LABEL: Final = 24
_KEY_LOCAL: Final = 28
_KEY_SIZE: Final = 44
_ONLY_REMOTE: Final = 8

_IPV6: Final = 1
_NO_SUM: Final = 2
_DONT_FRAGMENT: Final = 4
_SEQUENCE: Final = 8
_WITH_FLAGS: Final = 16  # to get
_NO_KEY: Final = 16  # to set
_FLAGS_TO_SET: Final = 0x1F
_FLAGS_TO_GET: Final = _IPV6 | _WITH_FLAGS

# TUNNEL_*
_T_SUM: Final = 0x0001
_T_KEY: Final = 0x0004
_T_SEQUENCE: Final = 0x0008
_T_DONT_FRAGMENT: Final = 0x0100
_T_NOCACHE: Final = 0x2000
_T_OPTIONS: Final = 0x0800 | 0x1000 | 0x4000 | 0x8000  # Geneve, VXLAN, ERSPAN, GTP

_MOST_OPTIONS: Final = 255
_MOST_LABEL: Final = 0x000F_FFFF


@native
def is_key_size(size: int) -> int:
    """Whether programs may pass a key of *size* bytes: a whole one, or one of older shape."""
    whole = size == _KEY_SIZE or size == _KEY_LOCAL  # noqa: PLR1714 - the subset has no "in"
    return whole or size == _KEY_LABEL or size == _KEY_EXT or size == _ONLY_REMOTE  # noqa: PLR1714


@native
def tunnel_flags(flags: int) -> int:
    """The TUNNEL_* flags that the BPF_F_* flags of skb_set_tunnel_key ask for."""
    found = _T_NOCACHE
    if (flags & _DONT_FRAGMENT) != 0:
        found |= _T_DONT_FRAGMENT
    if (flags & _NO_SUM) == 0:
        found |= _T_SUM
    if (flags & _SEQUENCE) != 0:
        found |= _T_SEQUENCE
    if (flags & _NO_KEY) == 0:
        found |= _T_KEY
    return found


@native
def skb_set_tunnel_key(run: int, context: int, source: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Send the packet through a tunnel with this key."""
    size &= _LOW
    if (flags & ~_FLAGS_TO_SET) != 0 or is_key_size(size) == 0:
        return MINUS_EINVAL
    key = load64(run + SCRATCH)
    fill(key, 0, _KEY_SIZE)
    copy(key, source, size)
    label = load32(key + _KEY_LABEL)
    sixth = flags & _IPV6
    if (sixth == 0 and label != 0) or load16(key + _KEY_EXT) != 0:
        return MINUS_EINVAL
    tunnel = load64(run + TUNNEL)
    fill(tunnel, 0, _OPTIONS)
    store32(tunnel + _SET, 1)
    store32(tunnel + _ID, load32(key))
    store32(tunnel + _SIXTH, sixth)
    store32(tunnel + _FLAGS, tunnel_flags(flags))
    store32(tunnel + _TOS, load8(key + _KEY_TOS))
    store32(tunnel + _TTL, load8(key + _KEY_TTL))
    store32(tunnel + _LABEL, label & _MOST_LABEL)
    width = 16 if sixth != 0 else 4
    copy(tunnel + _REMOTE, key + _KEY_REMOTE, width)
    copy(tunnel + _LOCAL, key + _KEY_LOCAL, width)
    return 0


@native
def tunnel_answer(tunnel: int, size: int, flags: int) -> int:
    """Why there is no key to read; 0 if there is one."""
    if load32(tunnel + _SET) == 0 or (flags & ~_FLAGS_TO_GET) != 0:
        return MINUS_EINVAL
    sixth = load32(tunnel + _SIXTH)
    if sixth != (flags & _IPV6):
        return MINUS_EPROTO
    if is_key_size(size) == 0 or (size == _ONLY_REMOTE and sixth != 0):
        return MINUS_EINVAL
    return 0


@native
def skb_get_tunnel_key(run: int, context: int, target: int, size: int, flags: int) -> int:  # noqa: ARG001
    """Read the key of the tunnel; what was local to the sender is remote here."""
    size &= _LOW
    tunnel = load64(run + TUNNEL)
    answer = tunnel_answer(tunnel, size, flags)
    if answer != 0:
        fill(target, 0, size)
        return answer
    key = load64(run + SCRATCH)
    store32(key, load32(tunnel + _ID))
    copy(key + _KEY_REMOTE, tunnel + _LOCAL, 16)
    store8(key + _KEY_TOS, load32(tunnel + _TOS))
    store8(key + _KEY_TTL, load32(tunnel + _TTL))
    extra = load32(tunnel + _FLAGS) if (flags & _WITH_FLAGS) != 0 else 0
    store16(key + _KEY_EXT, swap16(extra))
    store32(key + _KEY_LABEL, load32(tunnel + _LABEL))
    copy(key + _KEY_LOCAL, tunnel + _REMOTE, 16)
    copy(target, key, size)
    return 0


@native
def skb_set_tunnel_opt(run: int, context: int, source: int, size: int) -> int:  # noqa: ARG001
    """Give the tunnel options; it must have a key first."""
    size &= _LOW
    tunnel = load64(run + TUNNEL)
    if load32(tunnel + _SET) == 0 or (size & 3) != 0:
        return MINUS_EINVAL
    if size > _MOST_OPTIONS:
        return MINUS_ENOMEM
    copy(tunnel + _OPTIONS, source, size)
    store32(tunnel + _LENGTH, size)
    store32(tunnel + _PRESENT, 1)
    store32(tunnel + _FLAGS, load32(tunnel + _FLAGS) | _T_OPTIONS)
    return 0


@native
def skb_get_tunnel_opt(run: int, context: int, target: int, size: int) -> int:  # noqa: ARG001
    """Read the tunnel's options; returns how many bytes they are."""
    size &= _LOW
    tunnel = load64(run + TUNNEL)
    if load32(tunnel + _SET) == 0 or load32(tunnel + _PRESENT) == 0:
        fill(target, 0, size)
        return MINUS_ENOENT
    length = load32(tunnel + _LENGTH)
    if size < length:
        fill(target, 0, size)
        return MINUS_ENOMEM
    copy(target, tunnel + _OPTIONS, length)
    fill(target + length, 0, size - length)
    return length


BINDINGS: Final = (
    Binding("skb_set_tunnel_key", skb_set_tunnel_key),
    Binding("skb_get_tunnel_key", skb_get_tunnel_key),
    Binding("skb_set_tunnel_opt", skb_set_tunnel_opt),
    Binding("skb_get_tunnel_opt", skb_get_tunnel_opt),
)
