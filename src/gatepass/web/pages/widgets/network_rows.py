"""Rows of an IP address and the number of its bits to check, as people type and paste them."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from gatepass.core.networks import InvalidNetwork
from gatepass.web.pages.text.forms import Fields
from gatepass.web.pages.widgets.typed_networks import is_network, listed_in, read_line

#: What is said where one line held several networks: such a line may have meant a range, too.
SPLIT = "One row contained several networks. Each now has its own row: check them and save again."
#: What ends a line in a form, and nothing else: U+2028 and U+0085 are refused with their note.
line_breaks = re.compile(r"\r\n|\r|\n")


class Row(NamedTuple):
    """What the fields of a row say. ``note`` is "" where rows have none."""

    address: str
    bits: str
    note: str


@dataclass(frozen=True)
class SentRows:
    """The rows that a browser sent.

    Attributes:
        regrouped: they aren't row by row those of the page that was sent.
        split: one line held several networks (``SPLIT``).
    """

    rows: list[Row]
    regrouped: bool
    split: bool


def sent_rows(fields: Fields, *, noted: bool = False) -> SentRows:
    """The rows that a browser sent.

    Several lines pasted into one field make a row each, and so does a list on one line: without
    scripts that is what a browser makes of pasted lines.

    Args:
        noted: the rows have notes, and what is pasted may have some behind its networks.
    """
    addresses, bits = fields.all("network_address"), fields.all("network_bits")
    notes = fields.all("network_note") if noted else []
    # A number of bits that has lost its address is a row too: one that can't be read.
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
    """What the two fields of a row say together; a mask may stand in the second.

    Raises:
        InvalidNetwork: the number of bits is in both.
    """
    bits = bits.removeprefix("/").strip()
    if bits and "/" in address:
        raise InvalidNetwork("Must have the number of bits only once.")
    return f"{address}/{bits}" if bits else address


def _apart(row: Row, *, noted: bool) -> Row:
    """*row*; or where a note was pasted behind its network, those two apart."""
    if not noted or row.note or row.bits or is_network(row.address):
        return row
    try:
        network, note = read_line(row.address)
    except InvalidNetwork:
        return row
    return Row(*row_of(str(network)), note)
