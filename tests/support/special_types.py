"""BTF with special fields, made from a few words: for tests of maps and objects that have some."""

from collections.abc import Mapping, Sequence

from skep.btf import kinds
from skep.btf.build import Builder

SIZES = {
    "bpf_spin_lock": 4, "bpf_res_spin_lock": 4, "bpf_timer": 16, "bpf_wq": 16, "bpf_task_work": 8,
    "bpf_list_head": 16, "bpf_list_node": 24, "bpf_rb_root": 16, "bpf_rb_node": 32,
    "bpf_refcount": 4, "int": 4, "long": 8,
}  # fmt: skip
MEMBER_ALIGN = 8


class SpecialTypes:
    """Structs with special fields.

    A member is named by its type: one of ``SIZES``, a struct that was made before, or a pointer
    ``tag*struct``. ``type contains:struct:node`` tags it. Each is at the next multiple of 8, or
    where ``type@offset`` says.
    """

    def __init__(self, sizes: Mapping[str, int] = SIZES) -> None:
        self.builder = Builder()
        self.ids = {"int": self.builder.integer("int", 4), "long": self.builder.integer("long", 8)}
        self.sizes = dict(sizes)
        for name, size in sizes.items():
            if name not in self.ids:
                self._opaque(name, size)

    def _opaque(self, name: str, size: int) -> None:
        array = self.builder.array(self.ids["int"], size // 4, self.ids["int"])
        self.ids[name] = self.builder.struct(name, size, [kinds.Member("opaque", array, 0)])

    def struct(self, name: str, members: Sequence[str], size: int = 0) -> int:
        """Add a struct whose members are called m0, m1, …; returns its id."""
        at, parts, tags = 0, [], []
        for number, text in enumerate(members):
            word, _, tag = text.partition(" ")
            kind, _, place = word.partition("@")
            at = int(place) if place else -(-at // MEMBER_ALIGN) * MEMBER_ALIGN
            parts.append(kinds.Member(f"m{number}", self.member_type(kind), 8 * at))
            at += self.sizes[kind]
            tags += [(tag, number)] if tag else []
        self.sizes[name] = max(size, -(-at // MEMBER_ALIGN) * MEMBER_ALIGN)
        self.ids[name] = self.builder.struct(name, self.sizes[name], parts)
        for tag, number in tags:
            self.builder.decl_tag(tag, self.ids[name], number)
        return self.ids[name]

    def member_type(self, kind: str) -> int:
        """The id of a member's type, made if it is a pointer."""
        if kind not in self.ids:
            tag, _, struct = kind.partition("*")
            target = self.ids.get(struct) or self.builder.struct(struct, 8)
            self.ids[kind] = self.builder.pointer(self.builder.type_tag(tag, target))
            self.sizes[kind] = 8
        return self.ids[kind]

    def to_bytes(self) -> bytes:
        """The BTF."""
        return self.builder.to_bytes()


def types_of(*structs: Sequence[str], size: int = 0) -> bytes:
    """BTF of structs s0, s1, … with these members; the last one is at least *size* bytes."""
    types = SpecialTypes()
    for number, members in enumerate(structs):
        types.struct(f"s{number}", members, size if number == len(structs) - 1 else 0)
    return types.to_bytes()
