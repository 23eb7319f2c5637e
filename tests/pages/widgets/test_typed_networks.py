"""Typed networks: by vectors, and that ambiguous input is refused."""

import ipaddress
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.networks import InvalidNetwork, Network
from gatepass.web.pages.widgets.typed_networks import line_of, listed_in, read_line, read_network
from tests.support.vector_files import cases

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
v4, v6 = st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda one: one.ipv4_mapped is None)
dashes = st.sampled_from([" - ", "-", " -", "- ", " – ", "–", "—", " \u2212 "])
spaces = st.sampled_from(["", " ", "\t", "  "])
# Parts of lines, in any order.
pieces = st.lists(
    st.sampled_from(
        [
            *("203.0.113.0", "203.0.113.255", "203.0.113.4", "198.51.100.0", "203.0.113.*"),
            *("255.255.255.0", "0.0.0.255", "128.0.0.0", "2001:db8::", "2001:db8::ffff"),
            *("/", "/24", "24", "-", "–", ",", ";", "#", "*", ".", ":", " ", "  ", "\t"),
            *(
                "Office",
                "to",
                "and",
                "é",
                "10:30",
                "\u200b",
                "／",
                "\\",
                "２４",
                "2nd",
                "ff",
                "0x",
                "(",
                "~",
            ),
        ]
    ),
    max_size=7,
)


@pytest.mark.parametrize("case", cases("typed_networks.yaml", "fields"))
def test_fields(case: dict[str, Any]) -> None:
    if "is" in case:
        assert str(read_network(case["text"])) == case["is"]
        return
    with pytest.raises(InvalidNetwork, match=re.escape(case["says"])):
        read_network(case["text"])


@pytest.mark.parametrize("case", cases("typed_networks.yaml", "lines"))
def test_lines(case: dict[str, Any]) -> None:
    if "is" in case:
        network, note = read_line(case["text"])
        assert (str(network), note) == (case["is"], case["note"])
        return
    with pytest.raises(InvalidNetwork, match=re.escape(case["says"])):
        read_line(case["text"])


@given(v4 | v6, st.data())
def test_a_range_is_its_network_or_refused(first: IP, data: st.DataObject) -> None:
    """Both ends are drawn near a network's own, so that many match."""
    bits = data.draw(st.integers(0, first.max_prefixlen))
    model = ipaddress.ip_network(f"{first}/{bits}", strict=False)
    low = int(model.network_address) + data.draw(st.sampled_from([0, 0, 0, 1]))
    high = int(model.broadcast_address) - data.draw(st.sampled_from([0, 0, 0, 1]))
    kind = type(first)
    ends = (kind(min(low, 2**first.max_prefixlen - 1)), kind(max(0, high)))
    if any(isinstance(end, ipaddress.IPv6Address) and end.ipv4_mapped for end in ends):
        return
    text = f"{ends[0]}{data.draw(dashes)}{ends[1]}"
    try:
        found = read_network(text)
    except InvalidNetwork:
        parts = list(ipaddress.summarize_address_range(*ends)) if ends[0] <= ends[1] else []
        assert len(parts) != 1 or parts[0].prefixlen == 0
        return
    assert (found.first, found.last) == (ends[0].packed, ends[1].packed)


@given(v4, st.integers(0, 0xFFFFFFFF) | st.integers(0, 32), spaces, st.booleans())
def test_a_mask_is_its_network_or_refused(
    address: ipaddress.IPv4Address, mask: int, space: str, slash: bool
) -> None:
    if mask <= 32:
        mask = 0xFFFFFFFF << (32 - mask) & 0xFFFFFFFF
    dotted = ipaddress.IPv4Address(mask)
    text = f"{address}{space}/{space}{dotted}" if slash else f"{address} {space}{dotted}"
    try:
        found = read_network(text)
    except InvalidNetwork:
        contiguous = bin(mask)[2:].rstrip("0").count("0") == 0 and mask.bit_length() == 32
        assert not contiguous or not slash
        return
    # As text the standard library would accept an inverse mask, too.
    first = int(address) & mask
    assert int.from_bytes(found.first, "big") == first
    assert int.from_bytes(found.last, "big") == first | (mask ^ 0xFFFFFFFF)
    assert found.bits == bin(mask).count("1")


@given(v4, st.integers(1, 3))
def test_a_wildcard_covers_every_value_of_its_parts(
    address: ipaddress.IPv4Address, stars: int
) -> None:
    kept = str(address).split(".")[: 4 - stars]
    found = read_network(".".join([*kept, *["*"] * stars]))
    assert found == read_network(
        ".".join([*kept, *["0"] * stars]) + " - " + ".".join([*kept, *["255"] * stars])
    )


@given(pieces)
def test_an_accepted_line_has_no_other_network(typed: list[str]) -> None:
    """Nothing else in the line looks like a part of a network."""
    line = "".join(typed)
    try:
        network, note = read_line(line)
    except InvalidNetwork:
        return
    before_note, _, marked = line.partition("#")
    if marked.strip() != note:
        assert re.match(r"[^\W\d_]", note) or not note
        assert not re.search(r"\d|\*|::", re.sub(r"(?<![\w/])2nd(?![\w/])", "", note))
        before_note = before_note.replace(note, "", 1) if note else before_note
    quads = re.findall(r"\d+(?:\.\d+){3}", before_note)
    assert len(quads) <= 2
    if len(quads) == 2 and "/" not in before_note and not quads[1].startswith("255."):
        assert str(ipaddress.ip_address(network.last)) == quads[1]


@given(pieces | st.lists(st.text(st.characters(), max_size=20), max_size=3))
def test_any_text_is_parsed_or_refused_with_a_sentence(typed: list[str]) -> None:
    text = " ".join(typed)
    for read in (read_network, lambda text: read_line(text)[0]):
        try:
            found = read(text)
        except InvalidNetwork:
            continue
        assert isinstance(found, Network)
    for network, note in listed_in(text):
        read_network(network)
        assert network in text
        assert note in text


@given(
    st.sampled_from(
        ["203.0.113.0/24", "203.0.113.4", "2001:db8::/32", "203.0.113.0 255.255.255.0"]
    ),
    pieces.map("".join)
    | st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=20),
)
def test_a_note_round_trips(network: str, note: str) -> None:
    """Whatever it contains, since a list can be shown as text and saved again."""
    note = note.strip()
    found, kept = read_line(line_of(network, note))
    assert found == read_network(network)
    assert kept == note


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("203.0.113.0/24 198.51.100.4", [("203.0.113.0/24", ""), ("198.51.100.4", "")]),
        ("203.0.113.0/24, 198.51.100.4;", [("203.0.113.0/24", ""), ("198.51.100.4", "")]),
        (
            "203.0.113.0 - 203.0.113.255 10.0.0.0 255.0.0.0 2001:db8::/32",
            [
                ("203.0.113.0 - 203.0.113.255", ""),
                ("10.0.0.0 255.0.0.0", ""),
                ("2001:db8::/32", ""),
            ],
        ),
        (
            "203.0.113.0/24 Office 198.51.100.4, Home",
            [("203.0.113.0/24", "Office"), ("198.51.100.4", "Home")],
        ),
        ("203.0.113.0/24 Office 2 198.51.100.4, Home", []),
        ("203.0.113.4／25 198.51.100.4", [("203.0.113.4/25", ""), ("198.51.100.4", "")]),
        ("203.0.113.0 netmask 255.255.255.0", []),
        ("203.0.113.0, 255.255.255.0", []),
        ("203.0.113.4 Netzmaske 255.255.255.0", []),
        ("203.0.113.4 to 203.0.113.20", []),
        ("203.0.113.4 bis 203.0.113.20", []),
        ("203.0.113.4 hasta 203.0.113.20", []),
        ("203.0.113.4 到 203.0.113.20", []),
        ("203.0.113.4 To 203.0.113.20", []),
        ("203.0.113.4 ... 203.0.113.20", []),
        ("203.0.113.4 ~ 203.0.113.20", []),
        ("203.0.113.4 \\24 198.51.100.4", []),
        ("203.0.113.0/24 everything except 203.0.113.20", []),
        ("203.0.113.0/24 198.51.100.4 to 20", []),
        ("203.0.113.0/24", []),
        ("203.0.113.0/24 Office", []),
        ("Office 203.0.113.0/24 198.51.100.4", []),
        ("203.0.113.0 0.0.0.255", []),
        ("203.0.113.0/24 - 203.0.115.0/24", []),
        ("203.0.113.0 300.0.0.1", []),
        ("", []),
    ],
)
def test_one_field_may_have_a_list(text: str, found: list[tuple[str, str]]) -> None:
    assert listed_in(text) == found


@pytest.mark.parametrize("piece", ["1", "1.", "1-", "1 ", "1/", ":", "*", "255.", "/", "a ", "\t"])
def test_parsing_is_linear(piece: str) -> None:
    """Quadratic parsing would time out here."""
    text = piece * (200_000 // len(piece))
    for long in (text, "203.0.113.0 " + text, "203.0.113.0 - " + text):
        with pytest.raises(InvalidNetwork):
            read_network(long)
        listed_in(long)
        with suppress(InvalidNetwork):
            read_line(long)
