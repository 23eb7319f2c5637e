"""The client's address: the socket peer's, or the one a trusted proxy forwards.

A caller can write anything into X-Forwarded-For left of the last trusted hop. So the header is read
from the right, and only past trusted hops.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Self

import msgspec

from gatepass.core.networks import Network, Networks, parse_address, parse_network

#: The entry in a list of trusted proxies for peers on a Unix socket.
UNIX_SOCKET: Final = "unix:"

_LONGEST_ADDRESS = len("0000:0000:0000:0000:0000:0000:255.255.255.255")
_LONGEST_ENTRY = _LONGEST_ADDRESS + len("[]:65535")
_with_port = re.compile(r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]):([1-9][0-9]{0,4})").fullmatch


class TrustedProxies(msgspec.Struct, frozen=True, gc=False):
    """The peers whose X-Forwarded-For is trusted.

    Attributes:
        networks: their addresses.
        unix: whether peers on a Unix socket, which have no address, are trusted.
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
    """Determine the client's address.

    Args:
        peer: the socket peer's address, packed; None only for a peer on a Unix socket. A call whose
            peer address the server doesn't pass, or passes unreadably, has no address: don't call
            this function for it.
        forwarded: the values of the X-Forwarded-For lines in order; None for a line with unreadable
            bytes.
        trusted: the peers that may forward another address.

    Returns:
        The packed address, and whether the header is garbage. The address is the peer's unless the
        peer is trusted. Then it is the right-most forwarded entry that isn't trusted itself, or the
        left-most if all are, or the peer's (on a Unix socket: none) without a header. The header is
        garbage if an entry between its right end and the selected one is empty or unreadable; then
        there is no address.
    """
    if not forwarded or not trusted.contains(peer):
        return peer, False
    networks = trusted.networks
    if len(forwarded) == 1 and forwarded[0] is not None and "," not in forwarded[0]:
        # The usual case: a single entry is selected, trusted or not.
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


def _read_entry(text: str) -> bytes | None:
    """Parse an X-Forwarded-For entry: an address, or an address with a port, as some gateways send.

    An IPv6 address with a port must be in brackets, so that no entry is ambiguous.
    """
    if ":" not in text or (text[0] != "[" and text.count(":") > 1):
        return parse_address(text)
    match = _with_port(text) if len(text) <= _LONGEST_ENTRY else None
    if match is None or int(match[3]) > 65_535:
        return None
    address = match[1] or match[2]
    # Only IPv6 addresses have brackets.
    return parse_address(address) if (":" in address) == (match[2] is not None) else None
