"""(f) Memory: resident size of loading, of each program and each map, beside the kernel's memlock.

Each figure comes from a process of its own, which does the thing many times and divides what its
resident size grew by. ``memlock`` is what the kernel's fdinfo charges for the same map.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from skep.loader.kernel import KernelSyscall
from skep.uapi.commands import MAP_CREATE, MapCreate

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MAPS: Final = (
    ("array 64Ki x 8", 2, 4, 8, 65536),
    ("hash 64Ki x 8+8", 1, 8, 8, 65536),
    ("lru_hash 64Ki x 8+8", 9, 8, 8, 65536),
    ("percpu_array 4Ki x 8", 6, 4, 8, 4096),
)
LARGE: Final = 10_000_000  # entries
LARGE_MAPS: Final = (  # name, type, sizes of key and value, flags
    ("hash 8+8", 1, 8, 8, 0),
    ("hash 8+8, not preallocated", 1, 8, 8, 1),
    ("lru_hash 8+8", 9, 8, 8, 0),
    ("lpm_trie 4+8", 11, 8, 8, 1),
    ("array 8", 2, 4, 8, 0),
)
START: Final = """
import ctypes, gc, sys
sys.path.insert(0, {here!r})
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * {page}
bare = resident()
import skep
from load_cost import program
from skep.session.objects import new_subsystem
from skep.uapi.commands import MAP_CREATE, PROG_LOAD, MapCreate, ProgLoad
imported = resident()
bpf = new_subsystem()
license = ctypes.create_string_buffer(b"GPL")
def load(size, seed):
    code = program(size, seed)
    room = ctypes.create_string_buffer(code, len(code))
    attr = ProgLoad(prog_type=6, insn_cnt=len(code) // 8, insns=ctypes.addressof(room),
                    license=ctypes.addressof(license)).encode()
    assert bpf.bpf(PROG_LOAD.number, bytearray(attr)) > 0
load(100, 1)
first = resident()
"""
BASE: Final = START + "print(bare, imported - bare, first - imported)"
PROGRAMS: Final = (
    START
    + """
for seed in range({count}):
    load({size}, seed + 2)
print((resident() - first) // {count})
"""
)
MAP: Final = (
    START
    + """
import os
from skep.uapi.commands import MAP_UPDATE_BATCH, MapBatch
size = {value} * (os.cpu_count() if {kind} == 6 else 1)
keys = b"".join(n.to_bytes({key}, "little") for n in range({entries}))
room = [ctypes.create_string_buffer(data) for data in (keys, b"1" * size * {entries})]
where = [ctypes.addressof(each) for each in room]
def make(fill):
    attr = MapCreate(map_type={kind}, key_size={key}, value_size={value}, max_entries={entries})
    fd = bpf.bpf(MAP_CREATE.number, bytearray(attr.encode()))
    attr = MapBatch(keys=where[0], values=where[1], count={entries}, map_fd=fd)
    assert fd > 0 and (not fill or bpf.bpf(MAP_UPDATE_BATCH.number, bytearray(attr.encode())) == 0)
make(True)
grown = []
for fill in (False, True):
    before = resident()
    for _ in range({count}):
        make(fill)
    grown.append((resident() - before) // {count})
print(*grown)
"""
)

LARGE_MAP: Final = (
    START
    + """
import numpy
from skep.session.maps import Map
from skep.syscall.maps import as_map
from skep.syscall.objects import Kind
attr = MapCreate(map_type={kind}, key_size={key}, value_size={value}, max_entries={entries},
                 map_flags={flags})
before = resident()
fd = bpf.bpf(MAP_CREATE.number, bytearray(attr.encode()))
target = as_map(bpf.state.objects.get("BENCH", fd, Kind.MAP))
map_ = Map(target, fd, "large")
portion = 100_000
for first in range(0, {entries}, portion):
    numbers = numpy.arange(first, first + portion, dtype="u8")
    if {kind} == 11:
        data = numbers.astype("u4").byteswap().astype("u8")
        numbers = data << numpy.uint64(32) | numpy.uint64(32)
    keys = numbers.astype("u4") if {key} == 4 else numbers
    map_.update_many(keys, numbers)
print(resident() - before, target.memory_bytes)
"""
)


def figures(code: str, **names: object) -> list[int]:
    """What a process that runs *code* prints."""
    here = str(Path(__file__).parent)
    text = code.format(here=here, page=PAGE, **names)
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def memlock(kind: int, key: int, value: int, entries: int, flags: int = 0) -> int | None:
    """Bytes that the running kernel charges for such a map, or None."""
    kernel = KernelSyscall()
    attr = MapCreate(map_type=kind, key_size=key, value_size=value, max_entries=entries,
                     map_flags=flags)  # fmt: skip
    fd = kernel.bpf(MAP_CREATE.number, bytearray(attr.encode()))
    if fd < 0:
        return None
    found = re.search(r"memlock:\s*(\d+)", Path(f"/proc/self/fdinfo/{fd}").read_text())
    kernel.close(fd)
    return int(found.group(1)) if found else None


def show(name: str, ours: int, kernel: int | None = None) -> dict[str, Any]:
    """Print one row; the row for JSON."""
    text = f"memory {name:32} {ours / 1024:12.1f} KiB"
    print(text + (f"   kernel's memlock {kernel / 1024:12.1f} KiB" if kernel else ""), flush=True)
    return {"name": f"memory {name}", "unit": "bytes", "skep": ours, "kernel": kernel}


def measure(kernel: bool) -> list[dict[str, Any]]:
    """Print the table; its rows for JSON."""
    bare, imported, first = figures(BASE)
    rows = [show("Python and ctypes", bare), show("import skep, reading kernel types", imported),
            show("subsystem, LLVM, first program", first)]  # fmt: skip
    for size, count in ((100, 200), (1000, 40)):
        (each,) = figures(PROGRAMS, size=size, count=count)
        rows.append(show(f"a program of {size} instructions", each))
    for name, kind, key, value, entries in MAPS:
        empty, full = figures(MAP, kind=kind, key=key, value=value, entries=entries, count=4)
        charged = memlock(kind, key, value, entries) if kernel else None
        rows.append(show(f"map {name}, empty", empty, charged))
        rows.append(show(f"map {name}, full", full, charged))
    return rows + [large(*each, kernel=kernel) for each in LARGE_MAPS]


def large(
    name: str, kind: int, key: int, value: int, flags: int, *, kernel: bool
) -> dict[str, Any]:
    """A full map of ten million entries: what each takes, beside what the kernel charges.

    The kernel charges maps that are not preallocated by their elements; of tries it leaves out
    joints, and what its allocator adds.
    """
    sizes = {"kind": kind, "key": key, "value": value, "flags": flags}
    held, told = figures(LARGE_MAP, entries=LARGE, **sizes)
    charged = memlock(kind, key, value, LARGE, flags) if kernel and not flags else None
    theirs = f"   kernel's memlock {charged / LARGE:6.1f}" if charged else ""
    text = f"memory 10M {name:28} {held / LARGE:6.1f} B an entry, accounted {told / LARGE:6.1f}"
    print(text + theirs, flush=True)
    return {"name": f"memory 10M {name}", "unit": "bytes", "skep": held, "kernel": charged}
