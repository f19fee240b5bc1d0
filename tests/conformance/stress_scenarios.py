"""What is done to maps under stress, and what must hold afterwards: one scenario a kind of map."""

import ctypes
import struct
import time
from collections.abc import Callable
from errno import ENOENT
from typing import Any, Final

import numpy as np

from conformance.stress_round import COUNTED, PASSING, TAG, WORD, Round, Scenario, consecutive
from skep.errors import CommandError
from skep.maps.stream import RingBuffer
from skep.uapi.commands import MAP_CREATE, MAP_LOOKUP_AND_DELETE_BATCH, MapBatch, MapCreate
from skep.uapi.flags import MapType, UpdateFlag

LOCKED: Final = struct.Struct("=IIQQQ")
BATCH: Final = 600  # elements that one batch takes out
LOCK: Final = int(UpdateFlag.LOCK)
IN_PLACE: Final = int(UpdateFlag.LOCK | UpdateFlag.EXIST)
PASSING_KEYS: Final = np.arange(COUNTED, COUNTED + PASSING, dtype="u8")


def fill_counted(name: str, *, copies: bool = False) -> Callable[[Round], None]:
    """Counters at 0 for the keys that stay."""

    def prepare(round_: Round) -> None:
        zero: Any = [0] * round_.object.world.cpus if copies else 0
        for key in range(COUNTED):
            round_.maps[name][key] = zero

    return prepare


def churn_and_walk(name: str) -> Callable[[Round], None]:
    """Walk all elements, whose counters only grow; add and remove those that come and go."""

    def host(round_: Round) -> None:
        map_, last = round_.maps[name], [0] * COUNTED
        while round_.busy:
            some = round_.rng.sample(range(PASSING), 40)
            map_.update_many(PASSING_KEYS[some], np.zeros(40, "u8"))
            seen = 0
            for key, value in map_.items():
                if key < COUNTED:
                    seen += 1
                    round_.require(value >= last[key], f"{key} fell from {last[key]} to {value}")
                    last[key] = value
                else:
                    round_.require(value == 0, f"{key} has {value}, not 0")
            round_.require(seen == COUNTED, f"a walk saw {seen} elements of {COUNTED} that stay")
            map_.delete_many(PASSING_KEYS[some[:20]])
            keys, _ = map_.to_numpy()
            round_.require(len(np.unique(keys)) == len(keys), "a key came twice")

    return host


def counts_exact(name: str) -> Callable[[Round], None]:
    """What was counted is there."""

    def check(round_: Round) -> None:
        found = sum(value for key, value in round_.maps[name].items() if key < COUNTED)
        done = round_.total("done")
        round_.require(found == done, f"{done} were counted, {found} are there")

    return check


def watch_cells(round_: Round) -> None:
    """Counters grow, seen through a view of their memory."""
    view = round_.maps["cells"].view()
    grow = np.arange(COUNTED) % 4 != 2
    last = view.copy()
    while round_.busy:
        seen = view.copy()
        round_.require((seen[grow] >= last[grow]).all(), "a counter fell")
        last = seen
        time.sleep(0.001)


def cells_exact(round_: Round) -> None:
    """What was added, and not taken out, is there."""
    found, wanted = int(round_.maps["cells"].view().sum()), round_.total("sum")
    round_.require(found & WORD == wanted, f"the sum is {found}, not {wanted}")


def fill_locked(round_: Round) -> None:
    """Every locked value is there."""
    for key in range(8):
        round_.maps["locked_hash"].target.update(key.to_bytes(8, "little"), LOCKED.pack(*[0] * 5))


def use_locked(round_: Round) -> None:
    """Read all locked values under their locks, and write those that programs only read."""
    tables = ((round_.maps["locked_array"].target, 4, 4), (round_.maps["locked_hash"].target, 8, 8))
    count = 0
    while round_.busy:
        count += 1
        for table, size, keys in tables:
            for key in range(keys):
                place = key.to_bytes(size, "little")
                if key >= keys // 2:
                    table.update(place, LOCKED.pack(0, 0, count, count, count), IN_PLACE)
                words = LOCKED.unpack(table.lookup(place, LOCK))[2:]
                round_.require(len(set(words)) == 1, f"a locked value is torn: {words}")


def locked_exact(round_: Round) -> None:
    """Every addition is there."""
    found = 0
    for name, size, keys in (("locked_array", 4, 2), ("locked_hash", 8, 4)):
        for key in range(keys):
            data = round_.maps[name].target.lookup(key.to_bytes(size, "little"), LOCK)
            found += LOCKED.unpack(data)[2]
    done = round_.total("done")
    round_.require(found == done, f"{done} were added, {found} are there")


def watch_own(round_: Round) -> None:
    """Add and remove elements of the per-CPU hash; sums of all CPUs' counters only grow."""
    table, last = round_.maps["own_hash"], [0] * COUNTED
    zeros = np.zeros((PASSING, round_.object.world.cpus), "u8")
    while round_.busy:
        table.update_many(PASSING_KEYS, zeros)
        for key, values in table.items():
            if key < COUNTED:
                round_.require(sum(values) >= last[key], f"{key} fell to {sum(values)}")
                last[key] = sum(values)
        table.delete_many(PASSING_KEYS[::2])


def own_exact(round_: Round) -> None:
    """The sums of all CPUs are what was counted."""
    found = sum(sum(value) for value in round_.maps["own_array"].values())
    found += sum(sum(value) for key, value in round_.maps["own_hash"].items() if key < COUNTED)
    done = round_.total("done")
    round_.require(found == done, f"{done} were counted, {found} are there")


def watch_recent(round_: Round) -> None:
    """Values belong to their keys; no walk sees a key twice."""
    tables = [round_.maps[name] for name in ("recent", "recent_own")]
    while round_.busy:
        for table in tables:
            keys, values = table.to_numpy()
            round_.require(len(np.unique(keys)) == len(keys), "a key came twice")
            expected = keys * np.uint64(TAG)
            for member in ("first", "second"):
                got = values[member]
                if got.ndim > 1:  # one CPU stored it; the copies of the others are 0
                    got, own = got.max(axis=1), got
                    round_.require(((own == got[:, None]) | (own == 0)).all(), "a torn copy")
                round_.require((got == expected).all(), "a value is another key's, or torn")
            table.pop(round_.rng.randrange(400), None)


def room_kept(round_: Round) -> None:
    """No map is over its size, and every element is in it once."""
    for name in ("recent", "recent_own"):
        table = round_.maps[name]
        keys, _ = table.to_numpy()
        round_.require(len(keys) == len(table) <= 128, f"{len(keys)} keys, {len(table)} counted")


def take_out(round_: Round) -> None:
    """Empty the map by MAP_LOOKUP_AND_DELETE_BATCH again and again."""
    taken: list[np.ndarray[Any, Any]] = round_.kept.setdefault("taken", [])
    while round_.busy:
        drain(round_, taken)


def drain(round_: Round, taken: list[np.ndarray[Any, Any]]) -> None:
    """Take all elements out, in batches."""
    room = (ctypes.c_uint64 * BATCH)(), (ctypes.c_uint64 * BATCH)()
    where = ctypes.c_uint32(0)
    first, answer = 0, 0
    while answer != -ENOENT:
        attr = bytearray(
            MapBatch(
                map_fd=round_.maps["added"].fd, count=BATCH, keys=ctypes.addressof(room[0]),
                values=ctypes.addressof(room[1]), in_batch=first, out_batch=ctypes.addressof(where),
            ).encode()
        )  # fmt: skip
        answer = round_.object.subsystem.bpf(MAP_LOOKUP_AND_DELETE_BATCH.number, attr)
        if answer not in (0, -ENOENT):
            raise OSError(-answer, "MAP_LOOKUP_AND_DELETE_BATCH")
        count = MapBatch.decode(bytes(attr)).count
        keys, values = (np.array(each[:count], "u8") for each in room)
        round_.require((keys * np.uint64(TAG) == values).all(), "a value is another key's, or torn")
        taken.append(keys)
        first = ctypes.addressof(where)


def take_one(round_: Round) -> None:
    """Take elements out, one at a time."""
    taken: list[int] = round_.kept.setdefault("single", [])
    while round_.busy:
        try:
            key, value = round_.maps["added"].popitem()
        except KeyError:
            continue
        round_.require(key * TAG & WORD == value, "a value is another key's, or torn")
        taken.append(key)


def taken_once(round_: Round) -> None:
    """What was added came out, each once."""
    drain(round_, round_.kept["taken"])
    found = np.concatenate([*round_.kept["taken"], np.array(round_.kept["single"], "u8")])
    found.sort()
    done = [each["done"] for each in round_.workers()]
    wanted = np.concatenate(
        [np.arange(n << 40, (n << 40) + count, dtype="u8") for n, count in enumerate(done)]
    )
    same = np.array_equal(found, wanted)
    round_.require(same, f"{len(wanted)} were added, {len(found)} came out")


def store_fallback(round_: Round) -> None:
    """The route that matches everything."""
    round_.maps["routes"].target.update(bytes(8), bytes(8))


def walk_routes(round_: Round) -> None:
    """Values belong to their keys, no walk sees a key twice; the host has routes of its own."""
    table, mine = round_.maps["routes"].target, round_.threads
    while round_.busy:
        key = struct.pack("=I4B", 16 + round_.rng.randrange(8), mine, round_.rng.randrange(256), 0,
                          0)  # fmt: skip
        value = mine << 32 | key[0]
        table.update(key, value.to_bytes(8, "little"))
        found = table.find(key)
        round_.require(found == value.to_bytes(8, "little"), "a route of the host's own is lost")
        table.delete(key)
        seen = set()
        for place in table.keys():  # noqa: SIM118 - no mapping
            round_.require(place not in seen, "a route came twice")
            seen.add(place)
            found = table.find(place)
            number = int.from_bytes(found or b"", "little")
            good = not number or number >> 32 == place[4]
            round_.require(good, f"{place.hex()} has the value {number:#x}")


def balanced(name: str) -> Callable[[Round], None]:
    """What was pushed and not popped is there."""

    def check(round_: Round) -> None:
        total, count = round_.total("sum"), round_.total("done")
        while True:
            try:
                value = round_.maps[name].pop()
            except KeyError:
                break
            total, count = total - value * (value | 1) & WORD, count - 1 & WORD
        round_.require(not total and not count, f"{count} values too few or many, sum {total}")

    return check


def consume(round_: Round) -> None:
    """Pop what workers push, and after them the rest."""
    words: list[int] = round_.kept.setdefault("words", [])
    while True:
        going = round_.busy
        try:
            words.append(round_.maps["line"].pop())
        except KeyError:
            if not going:
                return


def all_consumed(round_: Round) -> None:
    """Each worker's values came out in order, and all of them."""
    while len(round_.maps["line"].target):  # type: ignore[arg-type]  # a queue has a length
        round_.kept["words"].append(round_.maps["line"].pop())
    consecutive(round_, round_.kept["words"])


def use_filter(round_: Round) -> None:
    """What the host pushed is there."""
    table, count = round_.maps["filter"].target, 0
    while round_.busy:
        value = struct.pack("=Q", 1 << 62 | count % 4000)
        table.update(b"", value)
        count += 1
        for old in (value, struct.pack("=Q", 1 << 62 | round_.rng.randrange(min(count, 4000)))):
            try:
                table.lookup(old)
            except CommandError:
                round_.require(False, "a value of the filter is lost")


def read_records(name: str) -> Callable[[Round], None]:
    """Take records as they come."""

    def host(round_: Round) -> None:
        reader = round_.kept["reader"] if "reader" in round_.kept else round_.object.ring(name)
        round_.kept["reader"] = reader
        words: list[int] = round_.kept.setdefault("words", [])
        while round_.busy:
            words.extend(int.from_bytes(record[:8], "little") for record in reader)

    return host


def open_events(round_: Round) -> None:
    """Rings are there before the first event."""
    round_.kept["reader"] = round_.object.ring("events")


def all_read(round_: Round) -> None:
    """Records came in order and complete; those without room are counted."""
    reader, words = round_.kept["reader"], round_.kept["words"]
    words.extend(int.from_bytes(record[:8], "little") for record in reader)
    consecutive(round_, words)
    lost = round_.total("lost")
    round_.require(reader.lost == lost, f"{lost} found no room, {reader.lost} are counted")
    target = round_.maps["records"].target
    assert isinstance(target, RingBuffer)
    round_.require(not target.unread, f"{target.unread} bytes stay unread")


def write_requests(number: int) -> Callable[[Round], None]:
    """Write records for programs."""

    def host(round_: Round) -> None:
        writer, count, total = round_.object.writer("requests"), 0, 0
        while round_.busy:
            value = number << 48 | count
            size = 8 + round_.rng.randrange(5) * 8
            try:
                record = writer.reserve(size, 0.05)
            except CommandError:
                continue
            if round_.rng.random() < 0.1:
                record.discard()
                continue
            record.data[:8] = struct.pack("=Q", value)
            record.submit()
            count, total = count + 1, total + value * (value | 1)
        round_.kept[f"written {number}"] = count, total

    return host


def all_drained(round_: Round) -> None:
    """Each record reached one program, once."""
    while round_.object.writer("requests").unread:
        round_.step("draining")
    written = [value for name, value in round_.kept.items() if name.startswith("written")]
    count, total = (sum(each) for each in zip(*written, strict=True))
    got = round_.total("done"), round_.total("sum")
    round_.require(got == (count, total & WORD), f"{count} were written, {got[0]} came")


def replace_inner(round_: Round) -> None:
    """Put ever new maps in, whose two elements belong together."""
    bpf, count, outer = round_.object.subsystem.bpf, 0, round_.maps["outer"]
    while round_.busy:
        count += 1
        attr = MapCreate(map_type=int(MapType.ARRAY), key_size=4, value_size=8, max_entries=2)
        fd = bpf(MAP_CREATE.number, bytearray(attr.encode()))
        assert fd >= 0
        target: Any = round_.object.subsystem.state.objects.get("STRESS", fd).target
        for index, value in enumerate((count, count * TAG & WORD)):
            target.update(index.to_bytes(4, "little"), value.to_bytes(8, "little"))
        outer[0] = fd
        round_.object.subsystem.close(fd)


def replace_target(round_: Round) -> None:
    """Put programs in and take them out."""
    programs, targets = round_.object.programs, round_.maps["targets"]
    while round_.busy:
        targets[0] = programs["land_here"]
        targets[0] = programs["land_there"]
        if round_.rng.random() < 0.5:
            del targets[0]


def jumps_exact(round_: Round) -> None:
    """Each jump landed somewhere."""
    landed = sum(sum(each["seen"]) for each in round_.workers()) + round_.total("lost")
    done = round_.total("done")
    round_.require(landed == done, f"{done} jumps, {landed} landings")


SCENARIOS: Final = (
    Scenario("hash", ("count_hash", "count_hash", "visiting"), (churn_and_walk("counts"),),
             counts_exact("counts"), fill_counted("counts")),
    Scenario("hash dynamic", ("count_dynamic",), (churn_and_walk("counts_dynamic"),),
             counts_exact("counts_dynamic"), fill_counted("counts_dynamic")),
    Scenario("walk from programs", ("visiting", "count_hash"), (churn_and_walk("counts"),),
             counts_exact("counts"), fill_counted("counts")),
    Scenario("array with atomics", ("atomics",), (watch_cells,), cells_exact),
    Scenario("spin locks", ("lock_and_add",), (use_locked,), locked_exact, fill_locked),
    Scenario("per-CPU", ("count_per_cpu",), (watch_own,), own_exact,
             fill_counted("own_hash", copies=True)),
    Scenario("LRU", ("forget",), (watch_recent,), room_kept),
    Scenario("hash emptied", ("add",), (take_out, take_one), taken_once),
    Scenario("LPM trie", ("routing",), (walk_routes,), prepare=store_fallback),
    Scenario("queue", ("use_queue",), (), balanced("line")),
    Scenario("stack", ("use_stack",), (), balanced("pile")),
    Scenario("queue in order", ("produce",), (consume,), all_consumed),
    Scenario("bloom filter", ("filtering",), (use_filter,)),
    Scenario("ring buffer", ("sending",), (read_records("records"),), all_read),
    Scenario("perf rings", ("notifying",), (read_records("events"),), all_read, open_events),
    Scenario("user ring buffer", ("draining",), (write_requests(1), write_requests(2)),
             all_drained),
    Scenario("maps of maps", ("following",), (replace_inner,)),
    Scenario("tail calls", ("jump",), (replace_target,), jumps_exact,
             also=("land_here", "land_there")),
)  # fmt: skip
