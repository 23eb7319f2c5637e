"""Which address a request comes from: the socket's peer, or what a trusted proxy says of it.

The header to be wary of is X-Forwarded-For: everything left of the last trusted hop was written by
whoever called. So it is read from the right, and only as far as trust goes.
"""

from collections.abc import Sequence
from functools import lru_cache

from gatepass.core.networks import Networks, parse_address

_LONGEST_ADDRESS = len("0000:0000:0000:0000:0000:0000:255.255.255.255")
_parsed = lru_cache(maxsize=4_096)(parse_address)


def client_address(peer: bytes, forwarded: Sequence[str | None], trusted: Networks) -> bytes | None:
    """The address that counts.

    Args:
        peer: the socket peer, packed.
        forwarded: the values of the X-Forwarded-For lines in order; None for a line whose bytes
            couldn't be read.
        trusted: who may speak for another address.

    Returns:
        The packed address: the peer's unless it is trusted; then the right-most forwarded entry
        that isn't itself trusted, the left-most if all are, the peer if there is no header. None
        for garbage: an empty or unreadable entry between the right end and the one that counts.
    """
    if not forwarded or not trusted.contains(peer):
        return peer
    if len(forwarded) == 1 and forwarded[0] is not None and "," not in forwarded[0]:
        # The usual case: the only entry counts, whether it is trusted or not.
        return read_address(forwarded[0].strip(" \t"))
    address: bytes | None = None
    for line in reversed(forwarded):
        if line is None:
            return None
        for entry in reversed(line.split(",")):
            address = read_address(entry.strip(" \t"))
            if address is None:
                return None
            if not trusted.contains(address):
                return address
    return address


def read_address(text: str) -> bytes | None:
    """``parse_address``, which is the dearest part of a cached decision, remembered.

    Callers come from few addresses. Only what can be an address is remembered: a stranger's
    megabytes must not fill the memory.
    """
    return _parsed(text) if len(text) <= _LONGEST_ADDRESS else None
