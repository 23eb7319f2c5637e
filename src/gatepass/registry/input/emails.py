"""E-mail addresses: validation and case-insensitive comparison."""

import re
import unicodedata

from gatepass.core.domains import InvalidDomain, parse_domain
from gatepass.core.errors import InvalidInput
from gatepass.registry.input.text import folded

# The longest deliverable address (RFC 5321, 4.5.3.1).
LONGEST_EMAIL = 254
_LONGEST_LOCAL = 64
# A dot-atom (RFC 5322, 3.2.3), with letters of any script (RFC 6532); no quoted strings.
_local = re.compile(r"[^\s.@\"(),:;<>\[\]\\]+(?:\.[^\s.@\"(),:;<>\[\]\\]+)*").fullmatch


def read_email(field: str, text: str) -> str:
    """Parse an e-mail address. It is stored and shown as typed, without surrounding space.

    Only sending mail shows whether it is delivered. Intranet host names are valid, too.

    Raises:
        InvalidInput: it isn't an e-mail address.
    """
    email = unicodedata.normalize("NFC", text).strip()
    if _split(email) is None:
        raise InvalidInput([(field, "Must be an e-mail address such as ada@example.com.")])
    return email


def fold_email(text: str) -> str:
    """An address for comparison: without case, with an international domain in one spelling.

    Accepts any text. Text that isn't an address folds to "", which no user has.
    """
    parts = _split(unicodedata.normalize("NFC", text).strip())
    return "" if parts is None else f"{folded(parts[0])}@{parts[1]}"


def _split(email: str) -> tuple[str, str] | None:
    """Local part and canonical domain."""
    if len(email) > LONGEST_EMAIL or not email.isprintable():
        return None
    local, _, host = email.rpartition("@")
    if len(local.encode()) > _LONGEST_LOCAL or _local(local) is None:
        return None
    if ":" in host or "*" in host:
        return None
    try:
        return local, parse_domain(host)
    except InvalidDomain:
        return None
