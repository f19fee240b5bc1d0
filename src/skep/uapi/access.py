"""Whether a program may touch some bytes of its context: the context table, read.

A pure function of its arguments. It answers as the kernel's ``*_is_valid_access`` do; a conformance
test compares the two for every offset, size and direction.

Source: Linux 6.18 net/core/filter.c, kernel/trace/bpf_trace.c, kernel/bpf/cgroup.c.
"""

from skep.uapi.contexts import Context, Field, Points


def access(
    context: Context, program_type: int, attach_type: int, offset: int, size: int, write: bool
) -> Field | None:
    """The field that a program may load from or store to there, or None if it may not.

    Args:
        context: the struct; of a pointer from ``STRUCTS``, pass any program type.
        program_type: number of the program type.
        attach_type: expected attach type, as ``effective_attach_type`` gives it.
        offset: bytes from the start of the struct.
        size: bytes: 1, 2, 4 or 8.
        write: a store, or a load.
    """
    if offset < 0 or offset >= context.size or (offset % size and not context.unaligned):
        return None
    for field in context.fields:
        if field.offset <= offset and offset + size <= field.offset + field.size:
            allowed = _may_write if write else _may_read
            if allowed(field, program_type, attach_type, offset, size):
                return field
    return None


def _may_read(field: Field, program_type: int, attach_type: int, offset: int, size: int) -> bool:
    return (
        size in field.reads
        and not (field.at_start and offset != field.offset)
        and (not field.readers or program_type in field.readers)
        and (not field.read_on or attach_type in field.read_on)
    )


def _may_write(field: Field, program_type: int, attach_type: int, offset: int, size: int) -> bool:
    del offset
    return (
        size in field.writes
        and (not field.writers or program_type in field.writers)
        and (not field.write_on or attach_type in field.write_on)
    )


def may_sign_extend(field: Field) -> bool:
    """Tell whether a sign-extending load of the field is allowed: not of a pointer."""
    return field.points is Points.SCALAR
