"""Parses networks in the notations that people type and paste, without guessing.

``core.networks`` and the REST API accept an address with its number of bits. Pages also accept
masks, ranges and wildcards, and notes after them. Text that denotes exactly one network is
accepted; anything else is an error. A note without ``#`` must not be able to be part of a network:
a list that silently contains one address instead of the intended range locks out everyone else.
"""

import re
import unicodedata

from gatepass.core.networks import (
    InvalidNetwork,
    Network,
    format_address,
    parse_address,
    parse_network,
)

#: The hyphens, dashes and minus signs that editors put between two addresses.
_DASH_SIGNS = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_DASHES = re.escape(_DASH_SIGNS)
#: The fraction, division and full-width slashes; each is read as a slash.
_SLASHES = "/\u2044\u2215\uff0f"
_plain_slashes = str.maketrans(dict.fromkeys(_SLASHES, "/"))
#: The longest network with a note, and the longest list in one field. The limits bound the time
#: that regular expressions take.
_LONGEST_LINE, _LONGEST_LIST = 1_000, 50_000
#: The most parts that an error message lists.
_MOST_PARTS = 6
_TOO_LONG = f"Must have at most {_LONGEST_LINE:,} characters."

_word = rf"[^\s{_SLASHES},;{_DASHES}]+"
_range = re.compile(rf"({_word})\s*[{_DASHES}]\s*({_word})").fullmatch
_slash = re.compile(r"([^\s/]+)\s*/\s*([^\s/]+)").fullmatch
# A mask after a space must begin with 255: anything else may be a second address.
_mask = re.compile(r"([^\s/]+)\s+(255(?:\.[0-9]{1,3}){3})").fullmatch
_dotted_quad = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
# The longest beginning that can be a network. After a dash, text that begins like an address
# belongs to it.
_begins = re.compile(
    rf"{_word}(?:\s*[{_SLASHES}]\s*[^\s{_SLASHES},;]+"
    rf"|\s*[{_DASHES}]\s*(?=[0-9]|[0-9A-Fa-f]*[:.])[^\s,;]+"
    r"|\s+255(?:\.[0-9]{1,3}){3}(?![^\s,;]))?"
).match
_ordinals = re.compile(r"(?<![^\s(])[0-9]+(?:st|nd|rd|th)(?![^\s,;.)])", re.IGNORECASE).sub
_wildcard_or_v6 = re.compile(r"\*|(?:[a-f]{0,4}:){2}").search
_hexadecimal_word = re.compile(r"\b[a-f]+\b").search
_NOTE_UNCLEAR = (
    "Must be one network per line. "
    "Put # before a note that contains an address, a mask or a number."
)
# Between two networks on one line, these words relate the two, so the line isn't a list.
_relation = re.compile(
    r"\b(?:to|bis|through|thru|until|\w*mask\w*|wildcard|bits?|prefix\w*|except|not|and|or|minus"
    r"|plus|without)\b"
).search
_separators = " \t,;"
_address = re.compile(
    r"(?<![^\s,;])(?:[0-9]{1,3}(?:\.[0-9*]{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:)"
).finditer


def read_network(text: str) -> Network:
    """One network: ``a``, ``a/24``, ``a/255.255.255.0``, ``a 255.255.255.0``, ``a - b``,
    ``203.0.113.*``. Host bits may be typed in, but for the ends of a range.

    Raises:
        InvalidNetwork: *text* is not one network; with a message for the user.
    """
    if len(text) > _LONGEST_LINE:
        raise InvalidNetwork(_TOO_LONG)
    text = _seen(text)
    if "*" in text:
        return _wildcard(text)
    ends = _range(text)
    if ends is not None:
        return _network_of_range(ends[1], ends[2])
    with_mask = _slash(text) or _mask(text)
    if with_mask is not None and _dotted_quad.fullmatch(with_mask[2]):
        return parse_network(f"{with_mask[1]}/{_bits_of_mask(with_mask[2])}")
    if with_mask is not None:
        return parse_network(f"{with_mask[1]}/{with_mask[2]}")
    if len(text.split()) > 1:
        raise InvalidNetwork("Must be one network alone, such as 203.0.113.0/24.")
    return parse_network(text)


def is_network(text: str) -> bool:
    """Whether ``read_network`` accepts *text*."""
    try:
        read_network(text)
    except InvalidNetwork:
        return False
    return True


def is_plain(text: str, network: Network) -> bool:
    """Whether *text* denotes *network* in the notation of ``core.networks``."""
    try:
        return parse_network(text) == network
    except InvalidNetwork:
        return False


def read_line(line: str) -> tuple[Network, str]:
    """A network and the note after it. After ``#``, any note is accepted.

    Raises:
        InvalidNetwork: *line* doesn't begin with a network, or the note could be part of one.
    """
    if len(line) > _LONGEST_LINE:
        raise InvalidNetwork(_TOO_LONG)
    text, rest = _parted(line)
    network = read_network(text)
    if rest.startswith("#"):
        return network, rest[1:].strip()
    if rest and not _is_words(rest, network):
        raise InvalidNetwork(_NOTE_UNCLEAR)
    return network, rest


def line_of(network: str, note: str) -> str:
    """The line that ``read_line`` reads as *network* and *note*."""
    plain = f"{network} {note}".strip()
    try:
        if not note or read_line(plain)[1] == note:
            return plain
    except InvalidNetwork:
        pass
    return f"{network} # {note}"


def listed_in(text: str) -> list[tuple[str, str]]:
    """The networks that one line lists, each with the note after it. Browsers join lines pasted
    into one field. Empty unless there are at least two networks, all valid.

    The line may have meant something else, such as a range, so the result must be shown to the
    user for confirmation.
    """
    if len(text) > _LONGEST_LIST:
        return []
    starts = [found.start() for found in _address(text)]
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(starts):
        start = starts[at]
        begins = _begins(text, start)
        end = begins.end() if begins else start
        # A mask or the end of a range belongs to the address before it.
        at = next((later for later in range(at, len(starts)) if starts[later] >= end), len(starts))
        until = starts[at] if at < len(starts) else len(text)
        network, note = _seen(text[start:end]), text[end:until].strip(_separators)
        # An address that begins with 255 or 0 is the mask of the one before it.
        if network.startswith(("255.", "0.")) or not _is_listed(network, note):
            return []
        found.append((network, note))
    first = starts[0] if starts else 0
    return found if len(found) > 1 and not text[:first].strip(_separators) else []


def _parted(line: str) -> tuple[str, str]:
    """The beginning that can be a network, and the text after the separator."""
    line = line.strip().lstrip("\ufeff\u200b")
    begins = _begins(line)
    end = begins.end() if begins else len(line)
    return _seen(line[:end]), line[end:].lstrip(_separators).strip()


def _seen(text: str) -> str:
    """*text* trimmed, with plain slashes, and without the zero-width characters that text copied
    from web pages contains."""
    text = text.translate(_plain_slashes)
    return "".join(sign for sign in text if unicodedata.category(sign) != "Cf").strip()


def _is_words(note: str, network: Network) -> bool:
    """Whether *note* consists of words, which can't change the meaning of *network*.

    It must begin with a letter and contain no number of any script except ordinals such as 2nd: any
    other number may be a mask or the end of a range. For IPv6, ``ff`` is a number too.
    """
    seen = _seen(note)
    if not seen[:1].isalpha() or any(
        unicodedata.category(sign)[0] == "N" for sign in _ordinals("", seen)
    ):
        return False
    text = unicodedata.normalize("NFKC", seen).casefold()
    if len(network.address) > 4 and _hexadecimal_word(text):
        return False
    return not _wildcard_or_v6(text)


def _is_listed(text: str, note: str) -> bool:
    """Whether *text* is a network and *note* its name. Words that relate a network to the next one
    rarely begin with a capital letter, in any language."""
    try:
        network = read_network(text)
    except InvalidNetwork:
        return False
    if not note:
        return True
    return note[0].isupper() and _is_words(note, network) and not _relation(note.casefold())


def _bits_of_mask(mask: str) -> int:
    packed = parse_address(mask)
    if packed is None:
        raise InvalidNetwork(f"{mask} must be a mask such as 255.255.255.0, or a number of bits.")
    number = int.from_bytes(packed, "big")
    inverse = number ^ 0xFFFFFFFF
    if inverse & (inverse + 1) == 0:
        return number.bit_count()
    if number & (number + 1) == 0:
        plain = format_address(inverse.to_bytes(4, "big"))
        raise InvalidNetwork(f"{mask} is an inverse mask. Must be {plain}, or a number of bits.")
    raise InvalidNetwork(
        f"{mask} must be a mask whose bits that are checked stand first, such as 255.255.255.0."
    )


def _wildcard(text: str) -> Network:
    parts = text.split(".")
    kept = [part for part in parts if part != "*"]
    if len(parts) != 4 or parts[: len(kept)] != kept or any("*" in part for part in kept):
        raise InvalidNetwork("Wildcards must be whole parts at the end, such as 203.0.113.*.")
    if not kept:
        raise InvalidNetwork("Must have at least one part that isn't *.")
    zeros = ["0"] * (4 - len(kept))
    return parse_network(f"{'.'.join(kept + zeros)}/{8 * len(kept)}")


def _network_of_range(first_text: str, last_text: str) -> Network:
    first, last = (parse_network(text).address for text in (first_text, last_text))
    if len(first) != len(last):
        raise InvalidNetwork("A range must be of two IPv4 addresses or of two IPv6 addresses.")
    if first > last:
        raise InvalidNetwork("A range must begin with its lower address.")
    parts = _parts(first, last)
    if len(parts) > 1:
        raise InvalidNetwork(
            "A range must be a single network, as 203.0.113.0 - 203.0.113.255 is. "
            f"This one takes {_listed(parts)}."
        )
    (network,) = parts
    # Parsing again checks the number of bits: 0 bits is not a network.
    return parse_network(str(network))


def _parts(first: bytes, last: bytes) -> list[Network]:
    """The fewest networks that together cover exactly the range."""
    at, end, width = int.from_bytes(first, "big"), int.from_bytes(last, "big"), 8 * len(first)
    found = []
    while at <= end:
        free = min((at & -at).bit_length() - 1 if at else width, (end - at + 1).bit_length() - 1)
        found.append(Network(at.to_bytes(len(first), "big"), width - free))
        at += 1 << free
    return found


def _listed(parts: list[Network]) -> str:
    if len(parts) > _MOST_PARTS:
        return f"{len(parts)} networks"
    return f"{', '.join(map(str, parts[:-1]))} and {parts[-1]}"
