"""Whether an address is globally reachable, by IANA's special-purpose address registries.

An IPv6 address may carry an IPv4 address, to which a translator or a tunnel forwards. It is as
reachable as the address that it carries.
"""

from gatepass.core.networks import Networks, parse_network

# The package ipaddress has such lists, but they differ between Python's releases.
_V4_SPECIAL = Networks.of(
    map(
        parse_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_V6_GLOBAL = Networks.of([parse_network("2000::/3")])
_V6_SPECIAL = Networks.of(
    map(parse_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)

_MAPPED = bytes(10) + b"\xff\xff"
_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)
_6TO4 = b"\x20\x02"
_TEREDO = b"\x20\x01\x00\x00"


def reachable(address: bytes, besides: Networks | None = None) -> bool:
    """Whether *address*, and each that it carries, is globally reachable.

    Args:
        address: four or sixteen bytes.
        besides: networks whose addresses count as reachable, too.
    """
    besides = besides or Networks()
    return besides.contains(address) or all(
        _is_global(each) or besides.contains(each) for each in _destinations(address)
    )


def _destinations(address: bytes) -> tuple[bytes, ...]:
    """The addresses at which packets to *address* may arrive."""
    if len(address) == 16:
        if address[:12] in (_MAPPED, _NAT64):
            return (address[12:],)
        if address[:2] == _6TO4:
            return (address[2:6],)
        if address[:4] == _TEREDO:
            # The server, and the client, whose bits are inverted.
            return (address[4:8], bytes(byte ^ 0xFF for byte in address[12:]))
    return (address,)


def _is_global(address: bytes) -> bool:
    if len(address) == 4:
        return not _V4_SPECIAL.contains(address)
    return _V6_GLOBAL.contains(address) and not _V6_SPECIAL.contains(address)
