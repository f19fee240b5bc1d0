"""Longest-prefix match."""

import ipaddress

import pytest

from skep.errors import CommandError
from skep.maps.creation import Creation, NativeLibrary
from skep.maps.families import create_map
from skep.maps.trie import Trie


def trie_of(library: NativeLibrary, key_size: int = 8, entries: int = 8) -> Trie:
    made = create_map(
        Creation(
            map_type=11, key_size=key_size, value_size=1, max_entries=entries, map_flags=1,
            library=library,
        )
    )  # fmt: skip
    assert isinstance(made, Trie)
    return made


def prefix(text: str) -> bytes:
    network = ipaddress.ip_network(text, strict=False)
    address = ipaddress.ip_interface(text).ip
    return network.prefixlen.to_bytes(4, "little") + address.packed


def test_the_longest_prefix_wins(library: NativeLibrary) -> None:
    made = trie_of(library)
    for text, value in (("0.0.0.0/0", b"0"), ("10.0.0.0/8", b"8"), ("10.1.0.0/16", b"s")):
        made.update(prefix(text), value)
    found = [
        made.lookup(prefix(text)) for text in ("10.1.2.3", "10.2.0.1", "9.9.9.9", "10.1.0.0/12")
    ]

    assert found == [b"s", b"8", b"0", b"8"]


def test_longer_prefixes_come_first_in_the_walk(library: NativeLibrary) -> None:
    made = trie_of(library)
    texts = ("192.168.0.0/16", "192.168.0.0/24", "192.168.128.0/24", "192.168.1.0/24")
    for text in texts:
        made.update(prefix(text), b"x")

    assert [prefix(texts[at]) for at in (1, 3, 2, 0)] == list(made.keys())


def test_deleting_an_inner_prefix_keeps_what_is_below(library: NativeLibrary) -> None:
    made = trie_of(library)
    for text in ("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9"):
        made.update(prefix(text), b"x")
    made.delete(prefix("10.0.0.0/8"))

    assert len(made) == 2
    assert made.lookup(prefix("10.200.0.1")) == b"x"
    with pytest.raises(CommandError) as refusal:
        made.delete(prefix("10.0.0.0/8"))
    assert refusal.value.errno_name == "ENOENT"


def test_a_full_trie_is_enospc_and_still_replaces(library: NativeLibrary) -> None:
    made = trie_of(library, entries=2)
    made.update(prefix("1.0.0.0/8"), b"1")
    made.update(prefix("2.0.0.0/8"), b"2")
    with pytest.raises(CommandError) as refusal:
        made.update(prefix("3.0.0.0/8"), b"3")
    made.update(prefix("2.0.0.0/8"), b"4")

    assert refusal.value.errno_name == "ENOSPC"
    assert made.lookup(prefix("2.3.4.5")) == b"4"


def test_prefixes_longer_than_the_key_are_einval(library: NativeLibrary) -> None:
    made = trie_of(library)
    long = (33).to_bytes(4, "little") + bytes(4)
    answers = []
    for operation in (lambda: made.update(long, b"x"), lambda: made.delete(long)):
        with pytest.raises(CommandError) as refusal:
            operation()
        answers.append(refusal.value.errno_name)

    assert answers == ["EINVAL", "EINVAL"]


def test_nodes_are_used_again_without_end(library: NativeLibrary) -> None:
    made = trie_of(library, key_size=20, entries=3)
    for number in range(300):
        made.update(prefix(f"2001:db8:{number:x}::/48"), b"x")
        made.update(prefix(f"2001:db8:{number:x}:1::/64"), b"y")
        made.delete(prefix(f"2001:db8:{number:x}::/48"))
        made.delete(prefix(f"2001:db8:{number:x}:1::/64"))

    assert len(made) == 0
    assert list(made.keys()) == []


@pytest.mark.parametrize(("key_size", "flags"), [(4, 1), (261, 1), (8, 0), (8, 1 | 1 << 6)])
def test_creations_that_linux_refuses(key_size: int, flags: int, library: NativeLibrary) -> None:
    with pytest.raises(CommandError) as refusal:
        create_map(
            Creation(
                map_type=11, key_size=key_size, value_size=1, max_entries=1, map_flags=flags,
                library=library,
            )
        )  # fmt: skip

    assert refusal.value.errno_name == "EINVAL"
