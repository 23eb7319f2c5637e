"""Form rows of an IP address and the number of bits to check, as typed or pasted."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from gatepass.core.networks import InvalidNetwork
from gatepass.web.pages.text.forms import Fields
from gatepass.web.pages.widgets.typed_networks import is_network, listed_in, read_line

#: The message if one line had several networks: the line may have meant a range.
SPLIT = "One row contained several networks. Each now has its own row: check them and save again."
#: Line ends in a form. Others, such as U+2028 and U+0085, are refused with the note they are in.
line_breaks = re.compile(r"\r\n|\r|\n")


class Row(NamedTuple):
    """The fields of a row. ``note`` is "" in rows without notes."""

    address: str
    bits: str
    note: str


@dataclass(frozen=True)
class SentRows:
    """The rows of a submitted form.

    Attributes:
        regrouped: whether the rows no longer match those on the page, one to one.
        split: whether one line had several networks (``SPLIT``).
    """

    rows: list[Row]
    regrouped: bool
    split: bool


def sent_rows(fields: Fields, *, noted: bool = False) -> SentRows:
    """The rows of the form *fields*.

    Lines pasted into one field become a row each. So do the networks listed on one line, because
    without scripts browsers join pasted lines.

    Args:
        noted: whether rows have notes, which pasted lines may contain after their networks.
    """
    addresses, bits = fields.all("network_address"), fields.all("network_bits")
    notes = fields.all("network_note") if noted else []
    # A number of bits without an address is a row too, an invalid one.
    count = max(len(addresses), len(bits))
    columns = ([*column, *[""] * count][:count] for column in (addresses, bits, notes))
    found: list[Row] = []
    split = False
    for sent in zip(*columns, strict=True):
        row = Row(*(field.strip() for field in sent))
        lines = [line.strip() for line in line_breaks.split(row.address) if line.strip()]
        for line in lines or [""]:
            listed = [] if row.bits else listed_in(line)
            if listed and (noted or not any(note for _, note in listed)):
                split = True
                found += [Row(network, "", row.note or note) for network, note in listed]
            else:
                found.append(_apart(row._replace(address=line), noted=noted))
    return SentRows(found, len(found) != count, split)


def row_of(network: str) -> tuple[str, str]:
    """The two fields of a network such as ``203.0.113.0/24``."""
    address, _, bits = network.partition("/")
    return address, bits


def joined(address: str, bits: str) -> str:
    """The network of a row's two fields; the second may contain a mask.

    Raises:
        InvalidNetwork: both contain the number of bits.
    """
    bits = bits.removeprefix("/").strip()
    if bits and "/" in address:
        raise InvalidNetwork("Must have the number of bits only once.")
    return f"{address}/{bits}" if bits else address


def _apart(row: Row, *, noted: bool) -> Row:
    """*row*, with a note that was pasted after its network split off."""
    if not noted or row.note or row.bits or is_network(row.address):
        return row
    try:
        network, note = read_line(row.address)
    except InvalidNetwork:
        return row
    return Row(*row_of(str(network)), note)
