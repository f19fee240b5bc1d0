"""What a map's value type tells the map: fields that plain copies leave alone."""

from skep.syscall.state import BtfObject
from skep.verifier.records import LOCKS, Records


def special_fields(btf: BtfObject | None, type_id: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """(offset, size) of the special fields of a value type, and where its lock is (-1: none)."""
    record = Records(None).of_type(btf.btf, type_id) if btf is not None and type_id else None
    if record is None:
        return (), -1
    lock = record.first(LOCKS)
    spans = tuple((field.offset, field.size) for field in record.fields)
    return spans, lock.offset if lock is not None else -1
