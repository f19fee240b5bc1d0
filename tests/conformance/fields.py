"""Random BTF with special fields, well placed and not, and chains of types that own each other."""

import random
from typing import NamedTuple

from skep.btf import kinds
from skep.btf.build import Builder

SIZES = {
    "bpf_spin_lock": 4, "bpf_res_spin_lock": 4, "bpf_timer": 16, "bpf_wq": 16, "bpf_task_work": 8,
    "bpf_list_head": 16, "bpf_list_node": 24, "bpf_rb_root": 16, "bpf_rb_node": 32,
    "bpf_refcount": 4,
}  # fmt: skip
ROOTS = ("bpf_list_head", "bpf_rb_root")
TAGS = ("kptr_untrusted", "kptr", "percpu_kptr", "uptr", "user", "kptr")
TARGETS = ("task_struct", "cgroup", "bpf_cpumask", "sk_buff", "prog_test_ref_kfunc", "own", "")


class Types(NamedTuple):
    """BTF, and the ids of types that a map's values may have with their sizes; *key* is an int."""

    data: bytes
    key: int
    values: tuple[tuple[int, int], ...]


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng, self.builder = rng, Builder()
        self.int = self.builder.integer("int", 4)
        self.long = self.builder.integer("long", 8)
        self.structs: list[tuple[int, int]] = []  # id, size
        self.names: list[str] = []
        self.marks = {name: self._mark(name, size) for name, size in SIZES.items()}
        self.pointers = [self._pointer() for _ in range(rng.randrange(1, 4))]

    def _mark(self, name: str, size: int) -> int:
        wrong = self.rng.random() < 0.02
        size = size + 8 if wrong else size
        member = self.builder.array(self.int, size // 4, self.int)
        return self.builder.struct(name, size, [kinds.Member("opaque", member, 0)])

    def _pointer(self) -> int:
        builder, rng = self.builder, self.rng
        name = rng.choice(TARGETS)
        size = rng.choice((0, 8, 4096, 8192)) if rng.random() < 0.3 else 8
        members = [kinds.Member("a", self.long, 0)] if size >= 8 else []
        target = builder.struct(name or "other", size, members)
        if rng.random() < 0.1:
            target = rng.choice(
                (builder.forward("task_struct"), self.int, builder.union("u", 8), 0)
            )
        if rng.random() < 0.15:
            target = rng.choice((builder.const, builder.volatile))(target)
        tag = rng.choice(TAGS)
        if rng.random() < 0.1:
            target = builder.type_tag(rng.choice(TAGS), target)
        if rng.random() < 0.95:
            target = builder.type_tag(tag, target)
        pointer = builder.pointer(target)
        if rng.random() < 0.2:
            pointer = rng.choice((builder.const, builder.volatile))(pointer)
        return pointer

    def member(self) -> tuple[int, int, str]:
        """A type, its size, and whether it is a root."""
        rng, builder = self.rng, self.builder
        roll = rng.random()
        root = ""
        if roll < 0.5:
            name = rng.choice(tuple(SIZES))
            found, size = self.marks[name], SIZES[name]
            root = name if name in ROOTS else ""
        elif roll < 0.7:
            found, size = rng.choice(self.pointers), 8
        elif roll < 0.85 and self.structs:
            found, size = rng.choice(self.structs)
        else:
            found, size = rng.choice(((self.int, 4), (self.long, 8)))
        if rng.random() < 0.12:
            count = rng.choice((0, 1, 2, 3, 11, 12))
            found, size = builder.array(found, count, self.int), size * count
        elif rng.random() < 0.04:
            wrap = rng.choice((builder.const, lambda kind: builder.typedef("bpf_timer", kind)))
            found = wrap(found)
        return found, size, root

    def struct(self) -> None:
        """Add a struct, with what its roots contain."""
        rng, builder = self.rng, self.builder
        name = rng.choice(("node", "value", f"s{len(self.structs)}", f"s{len(self.structs)}"))
        at, members, roots = 0, [], []
        parts = [self.member() for _ in range(rng.randrange(1, 5))]
        if any(root for _, _, root in parts) and rng.random() < 0.9:
            parts.append((self.marks["bpf_spin_lock"], 4, ""))
        for number, (type_id, size, root) in enumerate(parts):
            align = 8 if rng.random() < 0.97 else 4
            at = -(-at // align) * align
            members.append(
                kinds.Member(rng.choice(("n", f"m{number}", f"m{number}")), type_id, 8 * at)
            )
            if root:
                roots.append(number)
            at += size if rng.random() < 0.97 else size // 2
        end = max(
            (
                part.bit_offset // 8 + size
                for part, (_, size, _) in zip(members, parts, strict=True)
            ),
            default=0,
        )
        size = -(-end // 8) * 8
        made = builder.struct(name, size, members)
        for number in roots:
            for _ in range(rng.choice((1, 1, 1, 1, 1, 1, 0, 2))):
                builder.decl_tag(self.tag(), made, number)
        self.structs.append((made, size))
        self.names.append(name)

    def tag(self) -> str:
        """What a root is said to contain."""
        rng = self.rng
        if rng.random() < 0.1:
            return rng.choice(
                ("contains:node", "contains:node:", "contains:nobody:n", "holds:node:n")
            )
        name = rng.choice((*self.names, "node", f"s{len(self.structs)}", "good_list", "good_tree"))
        return f"contains:{name}:{rng.choice(('n', 'm0', 'm1', 'm2'))}"

    def good(self) -> None:
        """Add structs that lists and trees may hold, so that tags often are right."""
        builder = self.builder
        for name, mark in (("good_list", "bpf_list_node"), ("good_tree", "bpf_rb_node")):
            members = [
                kinds.Member(member, self.marks[mark], 8 * SIZES[mark] * place)
                for place, member in enumerate(("n", "m0", "m1", "m2"))
            ]
            builder.struct(name, 4 * SIZES[mark], members)

    def sections(self) -> list[tuple[int, int]]:
        """Data sections of the types so far."""
        builder, rng = self.builder, self.rng
        at, entries = 0, []
        for number in range(rng.randrange(1, 4)):
            type_id, size, root = self.member()
            var = builder.variable(f"v{number}", type_id)
            if root:
                builder.decl_tag(self.tag(), var)
            said = size if rng.random() < 0.95 else size + 8
            entries.append((var, at, max(said, 1)))
            at += -(-max(said, 1) // 8) * 8
        return [(builder.section(".data", at, entries), at)]


def random_types(seed: int) -> Types:
    """Random types; the same for the same seed."""
    rng = random.Random(seed)
    maker = _Maker(rng)
    if rng.random() < 0.7:
        maker.good()
    for _ in range(rng.randrange(1, 4)):
        maker.struct()
    values = [value for value in maker.structs if value[1]]
    if rng.random() < 0.3:
        values += maker.sections()
    return Types(maker.builder.to_bytes(), maker.int, tuple(values))


def random_owners(seed: int) -> Types:
    """Structs that own each other by lists, trees and kptrs; some of them in a ring."""
    rng = random.Random(seed)
    maker = _Maker(rng)
    builder, marks = maker.builder, maker.marks
    names = [f"o{number}" for number in range(rng.randrange(1, 12))]
    made: list[int] = []
    for name in names:
        members = [kinds.Member("lock", marks["bpf_spin_lock"], 0)]
        members.append(kinds.Member("n", marks["bpf_list_node"], 64))
        at, roots = 32, []
        for number in range(rng.choice((0, 1, 1, 1, 2))):
            members.append(kinds.Member(f"h{number}", marks["bpf_list_head"], 8 * at))
            roots.append(len(members) - 1)
            at += 16
        if rng.random() < 0.3:
            members.append(kinds.Member("r", marks["bpf_rb_node"], 8 * at))
            members.append(kinds.Member("c", marks["bpf_refcount"], 8 * at + 256))
            at += 40
        kptr = made and rng.random() < 0.4
        if kptr:
            tag = builder.type_tag(rng.choice(("kptr", "percpu_kptr")), rng.choice(made))
            members.append(kinds.Member("k", builder.pointer(tag), 8 * at))
            at += 8
        made.append(builder.struct(name, at, members))
        for number in roots:
            later = names[len(made) :] or names
            target = rng.choice(later if rng.random() < 0.9 else names)
            builder.decl_tag(f"contains:{target}:n", made[-1], number)
        maker.structs.append((made[-1], at))
    return Types(builder.to_bytes(), maker.int, tuple(maker.structs[:2]))
