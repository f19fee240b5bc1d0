"""Btf: types with look-up by id and name; seam version."""


class Btf:
    """A BTF object; see btf/README in ARCHITECTURE.md for its full surface."""
