"""Which address a request comes from."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass.core.networks import Networks, format_address, parse_address, parse_network
from gatepass.verify.client_address import client_address
from vector_files import cases, load

PROXIES = load("client_address.yaml")["proxies"]
TRUSTED = Networks.of(map(parse_network, PROXIES))


def packed(text: str) -> bytes:
    address = parse_address(text)
    assert address is not None
    return address


@pytest.mark.parametrize("case", cases("client_address.yaml", "cases"))
def test_client_address(case: dict[str, Any]) -> None:
    """As the vectors say."""
    trusted = Networks.of(map(parse_network, case.get("trusted", PROXIES)))
    found = client_address(packed(case["peer"]), case.get("forwarded", []), trusted)
    assert ("garbage" if found is None else format_address(found)) == case["address"]


addresses = st.ip_addresses().map(str)
lines = st.lists(
    st.none()
    | st.text(max_size=40)
    | st.lists(
        addresses
        | st.sampled_from(["127.0.0.1", "10.1.2.3", "::1", "", " ", "unknown", "\t1.2.3.4 "]),
        max_size=6,
    ).map(",".join),
    max_size=4,
)


@given(lines, addresses)
@example([None], "127.0.0.1")
def test_it_is_the_peer_or_an_entry_or_garbage(forwarded: list[str | None], peer: str) -> None:
    """Nothing is raised, and no address is made up."""
    found = client_address(packed(peer), forwarded, TRUSTED)
    entries = {
        parse_address(entry.strip(" \t"))
        for line in forwarded
        if line is not None
        for entry in line.split(",")
    }
    assert found is None or found == packed(peer) or found in entries


@given(lines, addresses.filter(lambda text: not TRUSTED.contains(packed(text))))
def test_whom_nobody_trusts_comes_from_where_it_comes(
    forwarded: list[str | None], peer: str
) -> None:
    """Whatever it writes into the header."""
    assert client_address(packed(peer), forwarded, TRUSTED) == packed(peer)


@given(lines, addresses.filter(lambda text: not TRUSTED.contains(packed(text))))
def test_nothing_written_to_the_left_changes_what_a_proxy_added(
    forwarded: list[str | None], added: str
) -> None:
    """A caller can prepend what it likes; the entry that our proxy appended counts, whether it is
    put on the last line or on one of its own."""
    peer = packed("127.0.0.1")
    assert client_address(peer, [*forwarded, added], TRUSTED) == packed(added)
    *before, last = forwarded or [""]
    if last is not None:
        assert client_address(peer, [*before, f"{last}, {added}"], TRUSTED) == packed(added)
