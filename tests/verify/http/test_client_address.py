"""Which address a request comes from."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass.core.networks import (
    InvalidNetwork,
    format_address,
    parse_address,
    parse_network,
)
from gatepass.verify.http.client_address import TrustedProxies, client_address
from tests.support.vector_files import cases, load

PROXIES = load("client_address.yaml")["proxies"]
TRUSTED = TrustedProxies.of(PROXIES)


def packed(text: str) -> bytes:
    address = parse_address(text)
    assert address is not None
    return address


@pytest.mark.parametrize("case", cases("client_address.yaml", "cases"))
def test_client_address(case: dict[str, Any]) -> None:
    """As the vectors say."""
    assert read(packed(case["peer"]), case) == case["address"]


@pytest.mark.parametrize("case", cases("client_address.yaml", "sockets"))
def test_client_address_of_a_peer_on_a_unix_socket(case: dict[str, Any]) -> None:
    """As the vectors say."""
    assert read(None, case) == case["address"]


def read(peer: bytes | None, case: dict[str, Any]) -> str:
    trusted = TrustedProxies.of(case.get("trusted", PROXIES))
    found, garbage = client_address(peer, case.get("forwarded", []), trusted)
    if found is None:
        return "garbage" if garbage else "none"
    assert not garbage
    return format_address(found)


def test_the_entries_of_trusted_proxies() -> None:
    """Networks as text or parsed, and the one word for Unix sockets, spelt exactly."""
    trusted = TrustedProxies.of(["10.0.0.0/8", parse_network("::1"), "unix:"])
    assert (trusted.unix, trusted.contains(None)) == (True, True)
    assert trusted.contains(packed("10.1.2.3"))
    assert trusted.contains(packed("::1"))
    assert not trusted.contains(packed("11.1.2.3"))
    assert not TrustedProxies.of([]).contains(None)
    assert not TrustedProxies.of(["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]).contains(None)
    for wrong in ("unix", "UNIX:", " unix:", "unix:/run/gatepass.sock", "10.0.0.0/33", ""):
        with pytest.raises(InvalidNetwork):
            TrustedProxies.of([wrong])


addresses = st.ip_addresses().map(str)
lines = st.lists(
    st.none()
    | st.text(max_size=40)
    | st.lists(
        addresses
        | st.sampled_from(
            ["127.0.0.1", "10.1.2.3", "::1", "", " ", "unknown", "\t1.2.3.4 ", "1.2.3.4:5"]
        ),
        max_size=6,
    ).map(",".join),
    max_size=4,
)


@given(lines, addresses)
@example([None], "127.0.0.1")
def test_it_is_the_peer_or_an_entry_or_garbage(forwarded: list[str | None], peer: str) -> None:
    """Nothing is raised, and no address is made up."""
    found, garbage = client_address(packed(peer), forwarded, TRUSTED)
    entries = {
        parse_address(entry.strip(" \t").removesuffix(":5"))
        for line in forwarded
        if line is not None
        for entry in line.split(",")
    }
    assert garbage == (found is None)
    assert found is None or found == packed(peer) or found in entries


@given(lines, addresses.filter(lambda text: not TRUSTED.contains(packed(text))))
def test_the_address_of_an_untrusted_peer_is_its_own(
    forwarded: list[str | None], peer: str
) -> None:
    """Whatever it writes into the header."""
    assert client_address(packed(peer), forwarded, TRUSTED) == (packed(peer), False)


@given(lines, addresses.filter(lambda text: not TRUSTED.contains(packed(text))))
def test_nothing_written_to_the_left_changes_what_a_proxy_added(
    forwarded: list[str | None], added: str
) -> None:
    """A caller can prepend what it likes; the entry that our proxy appended counts, whether it is
    put on the last line or on one of its own."""
    peer = packed("127.0.0.1")
    counts = (packed(added), False)
    ported = f"[{added}]:51008" if ":" in added else f"{added}:51008"
    for written in (added, ported):
        assert client_address(peer, [*forwarded, written], TRUSTED) == counts
        *before, last = forwarded or [""]
        if last is not None:
            assert client_address(peer, [*before, f"{last}, {written}"], TRUSTED) == counts
