"""The diagram of a network: one cell per bit of the address, with the checked bits filled.

It consists of two SVG paths, so it needs neither inline styles nor a script.
``network_diagram.js`` draws the same diagram while a network is typed.
"""

from dataclasses import dataclass

from gatepass.core.networks import InvalidNetwork, Network, format_address
from gatepass.web.pages.widgets.typed_networks import read_network

HEIGHT = 10
#: Above this, a number of addresses is shown as a power of two.
_LARGEST_COUNT = 1 << 32
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class _Layout:
    cell: int
    gap: int
    group: int
    group_gap: int


# The cells of an IPv4 address are apart, in groups of 8; those of IPv6 touch, in groups of 16.
_LAYOUTS = {4: _Layout(7, 1, 8, 6), 16: _Layout(2, 0, 16, 4)}


@dataclass(frozen=True)
class NetworkDiagram:
    """The parts of the drawing.

    Attributes:
        network: canonical text, such as ``203.0.113.0/24``.
        width: of the drawing, in its own units; the height is ``HEIGHT``.
        kept, free: SVG path data of the checked and of the unchecked cells.
        words: the range in words: ``203.0.113.0 – 203.0.113.255 · 256 addresses``.
    """

    network: str
    width: int
    kept: str
    free: str
    words: str


def network_diagram(text: str) -> NetworkDiagram | None:
    """The diagram of the network *text*; None if it is not a network."""
    try:
        network = read_network(text)
    except InvalidNetwork:
        return None
    layout = _LAYOUTS[len(network.address)]
    total = 8 * len(network.address)
    return NetworkDiagram(
        network=str(network),
        width=_left(layout, total - 1) + layout.cell,
        kept=_cells(layout, 0, network.bits),
        free=_cells(layout, network.bits, total),
        words=range_in_words(network),
    )


def range_in_words(network: Network) -> str:
    """The first and last address, and how many there are."""
    first = format_address(network.first)
    if network.size == 1:
        return f"{first} · this address only"
    count = f"{network.size:,}"
    if network.size > _LARGEST_COUNT:
        count = "2" + str(network.size.bit_length() - 1).translate(_SUPERSCRIPT)
    return f"{first} – {format_address(network.last)} · {count} addresses"


def _cells(layout: _Layout, start: int, end: int) -> str:
    return "".join(
        f"M{_left(layout, bit)} 0h{layout.cell}v{HEIGHT}h-{layout.cell}z"
        for bit in range(start, end)
    )


def _left(layout: _Layout, bit: int) -> int:
    return bit * (layout.cell + layout.gap) + bit // layout.group * layout.group_gap
