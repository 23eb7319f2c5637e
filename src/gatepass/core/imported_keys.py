"""Keys that another system issued, and that are verified as they are until they are replaced.

What is stored of one is the SHA-256 of its whole text. Its id derives from that, so a text leads to
its grant without a table of digests. A company declares the prefixes of its keys' texts: no text
without one of them is looked up.
"""

import hashlib
import re

from gatepass.core.credentials import Credential, base62
from gatepass.core.grants import Grant

#: The prefix of ids; no text has it.
IMPORTED_KEY = "gpim"
#: The kind of a grant that declares a prefix. It is no credential: nothing accepts its kind.
PREFIX = "prefix"
#: The bounds of the ids of such grants.
PREFIX_IDS = ("gpim/", "gpim0")
SHORTEST, LONGEST = 32, 512

_ID_CHARACTERS = 16
_DOMAIN = b"gatepass key id\0"
_visible = re.compile(r"[!-~]*", re.ASCII).fullmatch
_prefix = re.compile(r"[A-Za-z0-9_-]{3,20}", re.ASCII).fullmatch
# The beginning of a text of ours, of any kind there may ever be.
_ours = re.compile(r"gp[a-z]([a-z](_|\Z)|\Z)", re.ASCII).match


def parse(text: str, prefixes: tuple[str, ...]) -> Credential | None:
    """Parse the text of a key that may have been imported; None for anything else.

    Args:
        prefixes: all that are declared.
    """
    if not SHORTEST <= len(text) <= LONGEST or not text.startswith(prefixes):
        return None
    return of_digest(hashlib.sha256(text.encode("ascii")).digest()) if _visible(text) else None


def of_digest(digest: bytes) -> Credential:
    """The credential of a text with this SHA-256."""
    # 95 bits, of a digest of its own: the id is shown, and no part of the stored digest is.
    derived = hashlib.sha256(_DOMAIN + digest).digest()
    number = int.from_bytes(derived, "big") % 62**_ID_CHARACTERS
    return Credential(f"{IMPORTED_KEY}_{base62(number, _ID_CHARACTERS)}", digest)


def is_imported(token: str) -> bool:
    """Whether the id of an access token is an imported key's."""
    return token.startswith(IMPORTED_KEY)


def prefix_problem(value: object) -> str | None:
    """Why *value* can't be declared as the prefix of texts; None if it can."""
    if not isinstance(value, str) or not _prefix(value):
        return "Must be 3 to 20 letters, digits, _ or -."
    return "Must not begin like Gatepass's own credentials." if _ours(value) else None


def overlap(one: str, other: str) -> bool:
    """Whether a text could have both prefixes."""
    return one.startswith(other) or other.startswith(one)


def declaration(prefix: str, company: str) -> Grant:
    """The grant that declares the prefix of a company's keys. No text ever leads to it."""
    return Grant(
        id=PREFIX_IDS[0] + prefix,
        digest=b"",
        kind=PREFIX,
        company=company,
        user="",
        label=prefix,
        permissions=frozenset(),
        networks=None,
        domains=(),
        expires_at=None,
        deactivated=True,
    )
