"""Addresses, networks, and lists of networks with fast look-up.

An address is its packed bytes, four for IPv4 and sixteen for IPv6. An IPv4-mapped IPv6 address
(RFC 4291, 2.5.5.2) is the same machine as its IPv4 address. The parser unmaps it, so that
``::ffff:203.0.113.9`` neither bypasses nor misses an IPv4 list.
"""

import ipaddress
import re
import socket
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

# The 256 octets of strict dotted-quad: no sign, no leading zero, no digits of other scripts,
# whatever the C library accepts.
_OCTETS = {str(number): bytes((number,)) for number in range(256)}
_BITS = {str(number): number for number in range(1, 129)}
_MAPPED = bytes(10) + b"\xff\xff"
_LONGEST_V6 = len("0000:0000:0000:0000:0000:0000:255.255.255.255")
_v6_characters = re.compile(r"[0-9A-Fa-f:]+(?:[0-9.]+)?").fullmatch


class InvalidNetwork(ValueError):
    """The text isn't a network; the message is a sentence for the person who typed it."""


class Network(msgspec.Struct, frozen=True, gc=False, order=True):
    """An address and the number of bits to check; the other bits are zero."""

    address: bytes
    bits: int

    @property
    def first(self) -> bytes:
        """The lowest address in it."""
        return self.address

    @property
    def last(self) -> bytes:
        """The highest address in it."""
        number = int.from_bytes(self.address, "big") | (self.size - 1)
        return number.to_bytes(len(self.address), "big")

    @property
    def size(self) -> int:
        """The number of addresses in it."""
        return 1 << (8 * len(self.address) - self.bits)

    def __str__(self) -> str:
        return f"{format_address(self.address)}/{self.bits}"


class Networks(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A list of networks as disjoint, sorted intervals, searched by bisection.

    An empty list contains no address. "No restriction" is None, never an empty list.
    """

    v4_first: tuple[bytes, ...] = ()
    v4_last: tuple[bytes, ...] = ()
    v6_first: tuple[bytes, ...] = ()
    v6_last: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[Network]) -> "Networks":
        """Sort and merge *networks*."""
        intervals = sorted((network.first, network.last) for network in networks)
        v4 = _merged([interval for interval in intervals if len(interval[0]) == 4])
        v6 = _merged([interval for interval in intervals if len(interval[0]) == 16])
        return cls(
            tuple(first for first, _ in v4),
            tuple(last for _, last in v4),
            tuple(first for first, _ in v6),
            tuple(last for _, last in v6),
        )

    def contains(self, address: bytes) -> bool:
        """Whether *address*, as ``parse_address`` returned it, is in one of the networks."""
        if len(address) == 4:
            at = bisect_right(self.v4_first, address)
            return at > 0 and address <= self.v4_last[at - 1]
        at = bisect_right(self.v6_first, address)
        return at > 0 and address <= self.v6_last[at - 1] and len(address) == 16

    def holds(self, network: Network) -> bool | None:
        """Whether all of *network* is in these: False if none of it is, None if a part is."""
        of_v4 = len(network.address) == 4
        firsts, lasts = (self.v4_first, self.v4_last) if of_v4 else (self.v6_first, self.v6_last)
        # The last interval that begins within the network, or before it.
        at = bisect_right(firsts, network.last) - 1
        if at < 0 or lasts[at] < network.first:
            return False
        return True if firsts[at] <= network.first and network.last <= lasts[at] else None

    def __bool__(self) -> bool:
        return bool(self.v4_first or self.v6_first)


def parse_address(text: object) -> bytes | None:
    """Parse strict dotted-quad or RFC 4291 text; None for anything else.

    Zone ids, ports, brackets and surrounding space are refused. IPv4-mapped IPv6 is unmapped.
    """
    if not isinstance(text, str):
        return None
    if ":" in text:
        packed = _parse_v6(text)
        if packed is not None and packed[:12] == _MAPPED:
            return packed[12:]
        return packed
    try:
        first, second, third, fourth = text.split(".", 4)
        return _OCTETS[first] + _OCTETS[second] + _OCTETS[third] + _OCTETS[fourth]
    except (KeyError, ValueError):
        return None


def format_address(packed: bytes) -> str:
    """The canonical spelling of an address: dotted-quad, or RFC 5952."""
    return socket.inet_ntoa(packed) if len(packed) == 4 else str(ipaddress.IPv6Address(packed))


def parse_network(text: object) -> Network:
    """Parse ``address`` or ``address/bits`` as typed; clear the host bits.

    Raises:
        InvalidNetwork: it is neither, or is in the IPv4-mapped range, where it would never match.
    """
    if not isinstance(text, str):
        raise InvalidNetwork("Must be a network such as 203.0.113.0/24.")
    address_text, slash, bits_text = text.partition("/")
    if ":" in address_text:
        address = _parse_v6(address_text)
        if address is not None and address[:12] == _MAPPED:
            plain = format_address(address[12:])
            raise InvalidNetwork(f"An IPv4 address must not be written as IPv6: write {plain}.")
    else:
        address = parse_address(address_text)
    if address is None:
        raise InvalidNetwork("Must be an IP address such as 203.0.113.0 or 2001:db8::.")
    width = 8 * len(address)
    bits = _BITS.get(bits_text, 0) if slash else width
    if not 1 <= bits <= width:
        raise InvalidNetwork(
            f"The number of bits to check must be a whole number from 1 to {width}."
        )
    number = int.from_bytes(address, "big") >> (width - bits) << (width - bits)
    return Network(number.to_bytes(len(address), "big"), bits)


def _parse_v6(text: str) -> bytes | None:
    # Length and pattern exclude NULs and extensions of some C libraries (zone ids, brackets).
    if len(text) > _LONGEST_V6 or _v6_characters(text) is None:
        return None
    if "." in text and parse_address(text.rpartition(":")[2]) is None:
        return None
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return None


def _merged(intervals: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    merged: list[tuple[bytes, bytes]] = []
    for first, last in intervals:
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
