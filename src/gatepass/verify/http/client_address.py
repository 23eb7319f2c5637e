"""The client's address: the socket peer's, or what a trusted proxy says of it.

The header to be wary of is X-Forwarded-For: everything left of the last trusted hop was written by
whoever called. So it is read from the right, and only as far as trust goes.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Self

import msgspec

from gatepass.core.networks import Network, Networks, parse_address, parse_network

#: The entry of a list of trusted proxies that trusts peers on a Unix socket.
UNIX_SOCKET: Final = "unix:"

_LONGEST_ADDRESS = len("0000:0000:0000:0000:0000:0000:255.255.255.255")
_LONGEST_ENTRY = _LONGEST_ADDRESS + len("[]:65535")
_parsed = lru_cache(maxsize=4_096)(parse_address)
_with_port = re.compile(r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]):([1-9][0-9]{0,4})").fullmatch


class TrustedProxies(msgspec.Struct, frozen=True, gc=False):
    """The peers whose X-Forwarded-For is believed.

    Attributes:
        networks: their addresses.
        unix: whether a peer on a Unix socket, which has no address, is among them.
    """

    networks: Networks = Networks()
    unix: bool = False

    @classmethod
    def of(cls, entries: Iterable[str | Network]) -> Self:
        """Read networks, as text or parsed, and ``unix:``.

        Raises:
            InvalidNetwork: an entry is neither.
        """
        networks, unix = [], False
        for entry in entries:
            if entry == UNIX_SOCKET:
                unix = True
            else:
                networks.append(entry if isinstance(entry, Network) else parse_network(entry))
        return cls(Networks.of(networks), unix)

    def contains(self, peer: bytes | None) -> bool:
        """Whether *peer* is trusted; None is a peer on a Unix socket."""
        return self.unix if peer is None else self.networks.contains(peer)


def client_address(
    peer: bytes | None, forwarded: Sequence[str | None], trusted: TrustedProxies
) -> tuple[bytes | None, bool]:
    """Determine the address that counts.

    Args:
        peer: the socket peer's address, packed; None for a peer that is known to be on a Unix
            socket. A peer whose address the server doesn't tell, or tells unreadably, is not that:
            such a call has no address, and this function is not asked.
        forwarded: the values of the X-Forwarded-For lines in order; None for a line whose bytes
            couldn't be read.
        trusted: the peers that may speak for another address.

    Returns:
        The packed address, and whether the header is garbage. The address is the peer's unless the
        peer is trusted; then it is the right-most forwarded entry that isn't itself trusted, the
        left-most if all are, the peer's (on a Unix socket: none) if there is no header. Garbage is
        an empty or unreadable entry between the right end and the one that counts; there is no
        address then.
    """
    if not forwarded or not trusted.contains(peer):
        return peer, False
    networks = trusted.networks
    if len(forwarded) == 1 and forwarded[0] is not None and "," not in forwarded[0]:
        # The usual case: the only entry counts, whether it is trusted or not.
        address = _read_entry(forwarded[0].strip(" \t"))
        return address, address is None
    address = None
    for line in reversed(forwarded):
        if line is None:
            return None, True
        for entry in reversed(line.split(",")):
            address = _read_entry(entry.strip(" \t"))
            if address is None:
                return None, True
            if not networks.contains(address):
                return address, False
    return address, False


def read_address(text: str) -> bytes | None:
    """``parse_address``, which is the dearest part of a cached decision, remembered.

    Callers come from few addresses. Only what can be an address is remembered: a stranger's
    megabytes must not fill the memory.
    """
    return _parsed(text) if len(text) <= _LONGEST_ADDRESS else None


def _read_entry(text: str) -> bytes | None:
    """Read an X-Forwarded-For entry: an address, or as some gateways write it, with its port.

    An IPv6 address with a port is in brackets, so that no address can be read in two ways.
    """
    if ":" not in text or (text[0] != "[" and text.count(":") > 1):
        return read_address(text)
    match = _with_port(text) if len(text) <= _LONGEST_ENTRY else None
    if match is None or int(match[3]) > 65_535:
        return None
    address = match[1] or match[2]
    # Brackets are for IPv6 alone.
    return read_address(address) if (":" in address) == (match[2] is not None) else None
