"""Credentials: who calls bpf(2), and what they may do.

A capability counts in a user namespace and in those below it. The initial namespace is 0; every
other one is taken to lie right below it.

Source: Linux 6.18 include/linux/bpf.h (bpf_capable, …), kernel/bpf/token.c (bpf_token_capable),
kernel/capability.c.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

INITIAL: Final = 0  # the user namespace in which all others lie


class Capability(IntEnum):
    """The capabilities that bpf(2) and its file system look at."""

    DAC_OVERRIDE = 1
    FOWNER = 3
    NET_ADMIN = 12
    SYS_ADMIN = 21
    PERFMON = 38
    BPF = 39


ALL: Final = frozenset(Capability)


class Delegate(Protocol):
    """As much of a token as capabilities need."""

    namespace: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who calls.

    Attributes:
        uid, gid: owner of what is made.
        capabilities: what the caller has in *namespace*.
        namespace: the user namespace that the caller is in.
        umask: permissions that files are not made with.
        unprivileged_disabled: ``kernel.unprivileged_bpf_disabled``: 0 lets everyone make what
            needs no capability; 1 and 2 let no one without CAP_BPF.
    """

    uid: int = 0
    gid: int = 0
    capabilities: frozenset[Capability] = ALL
    namespace: int = INITIAL
    umask: int = 0o022
    unprivileged_disabled: int = 2

    def has(self, capability: Capability, namespace: int = INITIAL) -> bool:
        """Whether the capability counts in *namespace*."""
        return self.namespace in {INITIAL, namespace} and capability in self.capabilities

    def may(self, capability: Capability, token: Delegate | None = None) -> bool:
        """Whether BPF lets the caller do what needs *capability*; CAP_SYS_ADMIN stands for all.

        A token lets capabilities count that the caller has in the token's namespace only.
        """
        place = INITIAL if token is None else token.namespace
        return self.has(capability, place) or self.has(Capability.SYS_ADMIN, place)


PRIVILEGED: Final = Credentials()
