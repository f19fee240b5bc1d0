"""Test runs on packets: __sk_buff, XDP and the flow dissector.

Source: Linux 6.18 net/bpf/test_run.c.
"""

from collections.abc import Mapping
from typing import Final

from skep.attach import contexts
from skep.attach.contexts import ETHERNET, Stage
from skep.syscall.trial import PAGE, Trial, check_device
from skep.uapi import reasons_runs as reasons
from skep.uapi.contexts import FLOW_KEYS, SK_BUFF, XDP_MD
from skep.uapi.flags import AttachType, TestRunFlag

MAX_FRAGMENTS: Final = 17
MAX_GSO_SIZE: Final = 65536
MAX_GSO_SEGMENTS: Final = 65535
MAX_META: Final = 255 & ~3
LINK_LAYER: Final = frozenset({"sched_cls", "sched_act"})
# what the caller may set in an __sk_buff; all else must be zero
SKB_SETTABLE: Final = (
    "mark", "priority", "ingress_ifindex", "ifindex", "cb", "tstamp", "wire_len", "gso_segs",
    "gso_size", "hwtstamp",
)  # fmt: skip
SKB_SHOWN: Final = (
    "mark", "priority", "ingress_ifindex", "ifindex", "tstamp", "cb", "wire_len", "gso_segs",
    "hwtstamp",
)  # fmt: skip


def run_skb(trial: Trial) -> None:
    """A frame as an __sk_buff, received on a device."""
    attr = trial.call.attr
    trial.unused("cpu", "batch_size")
    checksum = int(TestRunFlag.SKB_CHECKSUM_COMPLETE)
    trial.check(not attr.flags & ~checksum, reasons.FLAGS, f"only {checksum}")
    packet = trial.data(ETHERNET)
    context = trial.context(SK_BUFF.size)
    given = _skb_fields(context)
    ifindex = given.get("ifindex", 0)
    if ifindex > 1:
        check_device(trial, ifindex)
    trial.check(contexts.packet_family(packet) is not None, reasons.PACKET)
    link_layer = trial.program.type.name in LINK_LAYER
    stage = contexts.skb(packet, link_layer=link_layer, ifindex=max(ifindex, 1))
    stage.sum_known = bool(attr.flags & checksum)
    if context is not None:
        _take_skb(trial, stage, context, given)
    trial.execute(stage, attr.repeat)
    before = packet if link_layer else bytes(ETHERNET) + packet[ETHERNET:]
    after = trial.packet if link_layer else bytes(ETHERNET) + trial.packet
    if attr.flags & checksum and after != before:
        raise trial.call.refusal(reasons.CHECKSUM)
    if context is not None:
        for name in SKB_SHOWN:
            field = SK_BUFF.field(name)
            context[field.offset : field.offset + field.size] = stage.read(field.offset, field.size)
    trial.finish(after)
    trial.finish_context(context)


def _skb_fields(context: bytearray | None) -> dict[str, int]:
    if context is None:
        return {}
    found = {}
    for name in SKB_SETTABLE:
        field = SK_BUFF.field(name)
        found[name] = int.from_bytes(context[field.offset : field.offset + field.size], "little")
    return found


def _take_skb(trial: Trial, stage: Stage, context: bytearray, given: Mapping[str, int]) -> None:
    rest = bytearray(context)
    for name in SKB_SETTABLE:
        field = SK_BUFF.field(name)
        rest[field.offset : field.offset + field.size] = bytes(field.size)
    only = f"only {', '.join(SKB_SETTABLE)} may be set"
    trial.check(not any(rest), reasons.CONTEXT, only)
    length = stage.get("len")
    wire = given["wire_len"] or length
    trial.check(length <= wire <= MAX_GSO_SIZE, reasons.CONTEXT, f"wire_len {wire}")
    segments = given["gso_segs"]
    trial.check(segments <= MAX_GSO_SEGMENTS, reasons.CONTEXT, f"gso_segs {segments}")
    for name, value in given.items():
        if name != "ifindex":
            stage.put(name, value)
    stage.put("wire_len", wire)


def run_xdp(trial: Trial) -> None:
    """A frame as an XDP program gets it, with metadata and fragments."""
    attr = trial.call.attr
    attach_type = trial.program.proof.request.expected_attach_type
    special = (AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP)
    trial.check(attach_type not in special, reasons.XDP_TARGET)
    live = int(TestRunFlag.XDP_LIVE_FRAMES)
    trial.check(not attr.flags & ~live, reasons.FLAGS, f"only {live}")
    trial.check(not attr.flags & live, reasons.LIVE_FRAMES)
    trial.unused("batch_size")
    context = trial.context(XDP_MD.size)
    meta, linear, ifindex, queue = 0, attr.data_size_in, 0, 0
    if context is not None:
        meta, linear, ifindex, queue = _take_xdp(trial, context)
    most = PAGE - (contexts.XDP_HEADROOM - meta) - contexts.SHARED_INFO
    linear = min(linear, most)
    trial.check(attr.data_size_in - meta >= ETHERNET, reasons.DATA_SIZE, "too short")
    most = linear + MAX_FRAGMENTS * PAGE
    data = trial.call.read("data_in", min(attr.data_size_in, most))  # Linux finds out on the way
    trial.check(attr.data_size_in <= most, reasons.DATA_LONG)
    stage = contexts.xdp(data[:linear], meta=meta, ifindex=ifindex or 1, queue=queue)
    trial.execute(stage, attr.repeat)
    front = trial.metadata + trial.packet
    if context is not None:
        sizes = len(trial.metadata), len(front)
        context[0:8] = b"".join(size.to_bytes(4, "little") for size in sizes)
    trial.finish(front, data[linear:])
    trial.finish_context(context)


def _take_xdp(trial: Trial, context: bytearray) -> tuple[int, int, int, int]:
    """Size of metadata, linear bytes, device and queue that the caller's xdp_md asks for."""
    words = [int.from_bytes(context[at : at + 4], "little") for at in range(0, XDP_MD.size, 4)]
    data, end, meta, ifindex, queue, egress = words
    good = meta == 0 and end <= trial.call.attr.data_size_in and data <= end
    trial.check(good, reasons.CONTEXT, "needs data_meta 0 and data <= data_end <= size")
    good = data % 4 == 0 and data <= contexts.XDP_HEADROOM - contexts.XDP_FRAME_HEADER
    trial.check(good and data <= MAX_META, reasons.CONTEXT, f"{data} bytes of metadata")
    trial.check(not egress, reasons.CONTEXT, "egress_ifindex must be 0")
    trial.check(ifindex or not queue, reasons.CONTEXT, "rx_queue_index without ingress_ifindex")
    if ifindex:
        check_device(trial, ifindex)
        trial.check(not queue, reasons.CONTEXT, "the device has one queue")
    return data, end, ifindex, queue


def run_flow(trial: Trial) -> None:
    """A frame through a flow dissector; the flow keys are the data that come back."""
    trial.unused("flags", "cpu", "batch_size")
    packet = trial.data(ETHERNET, PAGE)
    given = trial.context(FLOW_KEYS.size)
    flags = 0
    if given is not None:
        flags = int.from_bytes(given[48:52], "little")
        rest = given[:48] + given[52:]
        trial.check(not any(rest), reasons.CONTEXT, "only flags may be set")
    stage = contexts.flow(packet, flags)
    trial.execute(stage, trial.call.attr.repeat)
    keys = bytearray(stage.attachment_bytes(FLOW_KEYS.size))
    network = _clamp(int.from_bytes(keys[0:2], "little"), ETHERNET, len(packet))
    transport = _clamp(int.from_bytes(keys[2:4], "little"), network, len(packet))
    keys[0:4] = network.to_bytes(2, "little") + transport.to_bytes(2, "little")
    trial.finish(bytes(keys))
    trial.finish_context(given)


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
