"""Credential texts: create, parse and digest them.

A text is ``PREFIX_``, an id of 16 characters, a secret of 32 and a checksum of 6, all base62.
Prefix and id identify it in lists and logs; the secret is only in the text. The checksum detects a
mistyped text without a look-up; it proves nothing.
"""

import hashlib
import hmac
import secrets
import string
import zlib

import msgspec

ACCESS_TOKEN = "gpat"  # noqa: S105 - a prefix, not a secret
LOGIN_TOKEN = "gplt"  # noqa: S105 - a prefix, not a secret
INVITATION = "gpiv"
PASSWORD_RESET = "gprs"  # noqa: S105 - a prefix, not a secret
EMAIL_CHANGE = "gpec"
VERIFIER_KEY = "gpvk"
ADMIN_KEY = "gpak"
PORTAL_SESSION = "gpps"
PORTAL_CODE = "gppc"

#: Of every kind of credential.
PREFIXES = (
    *(ACCESS_TOKEN, LOGIN_TOKEN, VERIFIER_KEY, ADMIN_KEY),
    *(PORTAL_SESSION, PORTAL_CODE),
    *(INVITATION, PASSWORD_RESET, EMAIL_CHANGE),
)
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_STARTS = frozenset(prefix + "_" for prefix in PREFIXES)
ID_LENGTH = 5 + 16
_SECRET_END = ID_LENGTH + 32
LENGTH = _SECRET_END + 6
# All two-digit numbers in base 62, which halve the divisions.
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


class Credential(msgspec.Struct, frozen=True, gc=False):
    """A parsed, well-formed text. Nothing of it has been looked up.

    Attributes:
        id: the first 21 characters, with the prefix; may be shown and logged.
        digest: SHA-256 of the secret's 32 characters.
    """

    id: str
    digest: bytes

    @property
    def prefix(self) -> str:
        """The four letters of the kind of credential."""
        return self.id[:4]

    def __repr__(self) -> str:
        return f"Credential(id={self.id!r})"


class NewCredential(msgspec.Struct, frozen=True, gc=False):
    """A new credential: its owner gets ``text`` once; ``id`` and ``digest`` are stored."""

    text: str
    id: str
    digest: bytes

    def __repr__(self) -> str:
        return f"NewCredential(id={self.id!r})"


def make(prefix: str, number: str | None = None) -> NewCredential:
    """Create a credential with a secret of 190 bits from the system's generator.

    Args:
        number: the 16 characters of its id after the prefix; a new one by default.

    Raises:
        ValueError: *prefix* isn't one of this module's prefixes.
    """
    if prefix not in PREFIXES:
        raise ValueError(f"unknown credential prefix {prefix!r}")
    identifier = f"{prefix}_{number or _random(16)}"
    secret = _random(32)
    body = identifier + secret
    return NewCredential(body + _checksum(body.encode("ascii")), identifier, _digest(secret))


def parse(text: object) -> Credential | None:
    """Parse a credential text; None for anything else, of any type.

    Nothing is trimmed or case-folded, so every credential has exactly one spelling.
    """
    if not isinstance(text, str) or len(text) != LENGTH or text[:5] not in _STARTS:
        return None
    # isalnum alone accepts letters and digits of other scripts.
    if not text.isascii() or not text[5:].isalnum():
        return None
    body = text[:_SECRET_END]
    if text[_SECRET_END:] != _checksum(body.encode("ascii")):
        return None
    return Credential(text[:ID_LENGTH], _digest(text[ID_LENGTH:_SECRET_END]))


def matches(credential: Credential, digest: bytes) -> bool:
    """Whether *digest* is of the credential's secret, compared in constant time."""
    return hmac.compare_digest(credential.digest, digest)


def base62(number: int, length: int) -> str:
    """*number* in *length* base62 digits, the most significant first.

    Args:
        number: from 0 up to 62 to the power of *length*, exclusive.
    """
    digits = []
    for _ in range(length // 2):
        number, pair = divmod(number, 62 * 62)
        digits.append(_PAIRS[pair])
    if length % 2:
        digits.append(_ALPHABET[number])
    return "".join(reversed(digits))


def new_id(prefix: str) -> str:
    """A new record id such as ``usr_4fT0…``: the prefix and 16 random characters (95 bits)."""
    return f"{prefix}_{_random(16)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def _checksum(body: bytes) -> str:
    number = zlib.crc32(body)
    return _PAIRS[number // 14_776_336] + _PAIRS[number // 3_844 % 3_844] + _PAIRS[number % 3_844]
