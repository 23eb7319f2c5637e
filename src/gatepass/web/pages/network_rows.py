"""Rows of an IP address and the number of its bits to check, as people type them."""

from gatepass.core.networks import InvalidNetwork
from gatepass.web.pages.forms import Fields


def sent_rows(fields: Fields) -> list[tuple[str, str]]:
    """Address and number of bits of each row that a browser sent."""
    addresses, bits = fields.all("network_address"), fields.all("network_bits")
    # A number of bits that has lost its address is a row too: one that can't be read.
    bits += [""] * (len(addresses) - len(bits))
    addresses += [""] * (len(bits) - len(addresses))
    return [
        (address.strip(), count.strip()) for address, count in zip(addresses, bits, strict=True)
    ]


def row_of(network: str) -> tuple[str, str]:
    """The two fields of a network such as ``203.0.113.0/24``."""
    address, _, bits = network.partition("/")
    return address, bits


def joined(address: str, bits: str) -> str:
    """What the two fields of a row say together.

    Raises:
        InvalidNetwork: the number of bits is in both.
    """
    if bits and "/" in address:
        raise InvalidNetwork("The number of bits is there twice; write it once.")
    return f"{address}/{bits}" if bits else address
