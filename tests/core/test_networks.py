"""Addresses and networks, held against the vectors and against the standard library's reading."""

import ipaddress
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.networks import (
    InvalidNetwork,
    Network,
    Networks,
    format_address,
    parse_address,
    parse_network,
)
from tests.support.vector_files import cases

SENTENCES = {
    "address": "Must be an IP address",
    "bits": "number of bits",
    "mapped": "must not be written as IPv6",
}
anything = st.text(st.characters(), max_size=60)
addresses = st.ip_addresses()
almost_addresses = st.text("0123456789abcdefABCDEFx.:/%[] \0-+", max_size=48)


def model(text: str) -> bytes | None:
    """An address as ``ipaddress`` reads it, without zone ids, unmapped."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed
    if address.scope_id is not None or "%" in text:
        return None
    return address.packed if address.ipv4_mapped is None else address.ipv4_mapped.packed


@pytest.mark.parametrize("case", cases("networks.yaml", "addresses"))
def test_addresses(case: dict[str, Any]) -> None:
    """An address is read strictly and written in one way."""
    packed = parse_address(case["text"])
    assert (None if packed is None else format_address(packed)) == case["is"]


@pytest.mark.parametrize("case", cases("networks.yaml", "networks"))
def test_networks(case: dict[str, Any]) -> None:
    """A network is stored without host bits, or refused with a sentence that names the failure."""
    if "is" in case:
        assert str(parse_network(case["text"])) == case["is"]
        assert parse_network(case["is"]) == parse_network(case["text"])
        return
    with pytest.raises(InvalidNetwork, match=SENTENCES[case["failure"]]):
        parse_network(case["text"])


@pytest.mark.parametrize("case", cases("networks.yaml", "lists"))
def test_lists(case: dict[str, Any]) -> None:
    """A list contains what one of its networks contains."""
    networks = Networks.of(parse_network(text) for text in case["networks"])
    assert bool(networks) == bool(case["networks"])
    for text in (*case["in"], *case["out"]):
        packed = parse_address(text)
        assert packed is not None
        assert networks.contains(packed) == (text in case["in"]), text


@given(anything | almost_addresses | addresses.map(str))
def test_addresses_are_read_as_the_standard_library_reads_them(text: str) -> None:
    """No text is read differently by ``ipaddress``, but for zone ids; and none raises."""
    assert parse_address(text) == model(text)


@given(addresses)
def test_addresses_round_trip(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What is written can be read back."""
    packed = parse_address(str(address))
    assert packed is not None
    assert parse_address(format_address(packed)) == packed


@given(addresses, st.integers(-1, 130))
def test_networks_are_the_standard_librarys(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int
) -> None:
    """First, last and size of a network, and that host bits are cleared."""
    width = address.max_prefixlen
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    if mapped or not 1 <= bits <= width:
        with pytest.raises(InvalidNetwork):
            parse_network(f"{address}/{bits}")
        return
    expected = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    found = parse_network(f"{address}/{bits}")
    assert str(found) == str(expected)
    assert found.first == expected.network_address.packed
    assert found.last == expected.broadcast_address.packed
    assert found.size == expected.num_addresses


@given(anything | almost_addresses)
def test_any_text_is_a_network_or_a_sentence(text: str) -> None:
    """Whatever a person types, the answer is a network or InvalidNetwork."""
    try:
        found = parse_network(text)
    except InvalidNetwork:
        return
    assert parse_network(str(found)) == found


@st.composite
def crowded(draw: st.DrawFn) -> tuple[list[Network], list[bytes]]:
    """Networks in a small space, so that they overlap and touch, and addresses near their ends."""
    networks = []
    for _ in range(draw(st.integers(0, 12))):
        base = draw(st.sampled_from(["10.0.{}.{}/{}", "2001:db8::{:x}:{:x}/{}"]))
        width = 32 if "." in base else 128
        bits = width - draw(st.integers(0, 14))
        networks.append(
            parse_network(base.format(draw(st.integers(0, 15)), draw(st.integers(0, 255)), bits))
        )
    probes = [parse_address(str(draw(addresses))) or b""]
    for found in networks:
        for end in (found.first, found.last):
            number = int.from_bytes(end, "big") + draw(st.integers(-1, 1))
            probes.append((number % (1 << 8 * len(end))).to_bytes(len(end), "big"))
    return networks, probes


@given(crowded())
def test_a_list_contains_what_its_networks_contain(
    drawn: tuple[Sequence[Network], Sequence[bytes]],
) -> None:
    """Merging and bisecting give the answer that trying each network would."""
    networks, probes = drawn
    listed = Networks.of(networks)
    models = [ipaddress.ip_network(str(found)) for found in networks]
    for probe in probes:
        address = ipaddress.ip_address(probe)
        assert listed.contains(probe) == any(address in model for model in models)


def test_intervals_are_disjoint_and_sorted() -> None:
    """What is stored of a list is merged, so that one look decides."""
    texts = ["10.0.0.0/8", "10.1.0.0/16", "9.0.0.0/8", "10.0.0.0/9", "8.8.8.8", "8.8.8.8"]
    networks = Networks.of(map(parse_network, texts))
    assert networks.v4_first == (b"\x08\x08\x08\x08", b"\x09\0\0\0", b"\x0a\0\0\0")
    assert networks.v4_last == (b"\x08\x08\x08\x08", b"\x09\xff\xff\xff", b"\x0a\xff\xff\xff")


@pytest.mark.parametrize(
    "text", ["fe80::1%1", "[::1]", "::1\0", "::1 ", "::ffff:010.0.0.1", "::1.2.3"]
)
def test_a_lenient_c_library_lets_nothing_more_in(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What some libraries read beyond RFC 4291 is refused before they are asked."""
    monkeypatch.setattr("socket.inet_pton", lambda family, text: bytes(16))
    assert parse_address("::1") == bytes(16)
    assert parse_address(text) is None


def test_a_list_of_thousands() -> None:
    """Ten thousand networks are told apart as exactly as five."""
    many = Networks.of(Network(number.to_bytes(4, "big"), 32) for number in range(0, 40_000, 4))
    assert many.contains((39_996).to_bytes(4, "big"))
    assert not many.contains((39_997).to_bytes(4, "big"))


@pytest.mark.parametrize("packed", [b"", b"\x0a", b"\x0a\0\0", bytes(5), bytes(15), bytes(17)])
def test_bytes_of_another_length_are_in_no_list(packed: bytes) -> None:
    """An address that is neither IPv4 nor IPv6 fails closed."""
    assert not Networks.of([parse_network("0.0.0.0/1"), parse_network("::/1")]).contains(packed)


@pytest.mark.parametrize("thing", [None, 0, True, 1.5, b"10.0.0.1", [], {}])
def test_what_is_no_text_is_refused(thing: object) -> None:
    """JSON's other types are refused as texts are."""
    assert parse_address(thing) is None
    with pytest.raises(InvalidNetwork):
        parse_network(thing)


@pytest.mark.parametrize("piece", ["1", ".", ":", "0:", "1.", "ffff:", "/", "/8", "\0", "\ud800"])
def test_absurdly_long_texts_are_cheap(piece: str) -> None:
    """A megabyte of anything is refused before anyone looks at all of it twice: a reading whose
    cost grew with the square would hang here."""
    text = piece * (1_000_000 // len(piece))
    assert parse_address(text) is None
    with pytest.raises(InvalidNetwork):
        parse_network(text)
    with pytest.raises(InvalidNetwork):
        parse_network("10.0.0.0/" + text)


@pytest.mark.parametrize(
    ("network", "held"),
    [
        ("203.0.113.0/24", True),
        ("203.0.113.128/25", True),
        ("203.0.112.0/23", None),
        ("203.0.0.0/16", None),
        ("203.0.114.0/24", False),
        ("10.0.0.0/8", False),
        ("240.0.0.0/4", False),
        ("2001:db8::/64", None),
        ("2001:db8::1/128", True),
        ("2001:db8:1::/64", False),
        ("cb00:7100::/32", False),
    ],
)
def test_whether_networks_hold_another(network: str, held: bool | None) -> None:
    found = Networks.of(map(parse_network, ("203.0.113.0/24", "198.51.100.7", "2001:db8::1")))
    assert found.holds(parse_network(network)) is held
