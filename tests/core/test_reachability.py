"""Which addresses are globally reachable, in each spelling."""

import socket

import pytest

from gatepass.core.networks import Networks, parse_address, parse_network
from gatepass.core.reachability import reachable

GLOBAL = (
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.0.1"),
    *("198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"),
    # Addresses inside: mapped, NAT64, 6to4, Teredo (server 65.54.227.120, client 192.167.0.45).
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
    "2001:0:4136:e378:8000:63bf:3f58:ffd2",
)
NOT_GLOBAL = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.171", "192.0.2.1"),
    *("192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe"),
    *("::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::8.8.8.8"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1", "100::1", "2001:db8::1", "2001:2::1"),
    *("2001:20::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1"),
    "ff02::1",
    # Teredo: a private client (10.0.0.1), a private server.
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "2001:0:a00:1:8000:63bf:3f58:ffd2",
)


def packed(text: str) -> list[bytes]:
    """An address as the resolver gives it, and as we parse it (which unmaps)."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    parsed = parse_address(text)
    assert parsed is not None
    return [socket.inet_pton(family, text), parsed]


@pytest.mark.parametrize("text", GLOBAL)
def test_addresses_of_the_internet(text: str) -> None:
    assert all(map(reachable, packed(text)))


@pytest.mark.parametrize("text", NOT_GLOBAL)
def test_other_addresses(text: str) -> None:
    assert not any(map(reachable, packed(text)))


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "fd00::7"]
)
def test_networks_that_count_as_reachable(text: str) -> None:
    besides = Networks.of(map(parse_network, ("127.0.0.0/8", "fd00::/16")))
    other = Networks.of([parse_network("10.0.0.0/8")])
    assert all(reachable(each, besides) for each in packed(text))
    assert not any(reachable(each, other) for each in packed(text))
