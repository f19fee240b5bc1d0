"""Maps for the verifier's unit tests: descriptions without storage, some with special fields."""

from skep.btf.build import Builder
from skep.btf.graph import Btf
from skep.btf.kinds import Member
from skep.uapi.flags import MapFlag, MapType
from support.verify_case import Shape

HASH, ARRAY, RING, PROGRAMS, LOCKED, FROZEN, TIMED, READ_ONLY, WRITE_ONLY, NESTED = range(10, 20)


def shape(number: int, map_type: int, sizes: tuple[int, int, int], flags: int = 0) -> Shape:
    """A map with *sizes*: of key, of value, and number of entries."""
    row = {
        "map_type": map_type,
        "key_size": sizes[0],
        "value_size": sizes[1],
        "max_entries": sizes[2],
        "map_flags": flags,
    }
    return Shape(number, row, None)


class Constant(Shape):
    """A frozen read-only array of one value."""

    data = b""

    def constant(self, offset: int, size: int) -> int | None:
        """See MapShape."""
        return int.from_bytes(self.data[offset : offset + size].ljust(size, b"\0"), "little")


def special(name: str, size: int) -> tuple[Btf, int]:
    """``struct value { int plain; struct <name> field; }`` and its id; the field is at 8."""
    build = Builder()
    plain = build.integer("int", 4)
    field = build.struct(name, size, [Member("val", plain, 0)])
    members = [Member("plain", plain, 0), Member("field", field, 64)]
    value = build.struct("value", 8 + size, members)
    return build.build(), value


def all_maps() -> dict[int, Shape]:
    """One map of each sort, by descriptor."""
    locked = shape(LOCKED, MapType.ARRAY, (4, 12, 4))
    locked.btf, locked.btf_value_type_id = special("bpf_spin_lock", 4)
    timed = shape(TIMED, MapType.ARRAY, (4, 24, 4))
    timed.btf, timed.btf_value_type_id = special("bpf_timer", 16)
    row = {"map_type": 2, "key_size": 4, "value_size": 16, "max_entries": 1}
    frozen = Constant(FROZEN, row | {"map_flags": int(MapFlag.RDONLY_PROG)}, None)
    frozen.frozen, frozen.data = True, b"%d of %d\0\xff\xff\xff\xff\xff\xff\xff"
    nested = shape(NESTED, MapType.ARRAY_OF_MAPS, (4, 4, 4))
    nested.inner = shape(NESTED + 100, MapType.ARRAY, (4, 8, 4))
    return {
        HASH: shape(HASH, MapType.HASH, (8, 48, 4)),
        ARRAY: shape(ARRAY, MapType.ARRAY, (4, 48, 4)),
        RING: shape(RING, MapType.RINGBUF, (0, 0, 4096)),
        PROGRAMS: shape(PROGRAMS, MapType.PROG_ARRAY, (4, 4, 4)),
        LOCKED: locked,
        FROZEN: frozen,
        TIMED: timed,
        READ_ONLY: shape(READ_ONLY, MapType.ARRAY, (4, 48, 4), MapFlag.RDONLY_PROG),
        WRITE_ONLY: shape(WRITE_ONLY, MapType.ARRAY, (4, 48, 4), MapFlag.WRONLY_PROG),
        NESTED: nested,
    }


def look_up(fd: int, then: str) -> str:
    """A program that looks up an unknown key in map *fd* and, if it is there, does *then*."""
    return f"""
        r6 = r1
        r7 = *(u32 *)(r1 + 0)
        *(u64 *)(r10 - 8) = r7
        r2 = r10
        r2 += -8
        r1 = map[fd {fd}]
        call 1
        if r0 == 0 goto out
        {then}
        out: r0 = 0
        exit
    """
