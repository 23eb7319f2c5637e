"""Credential texts: made, read and digested.

A text is ``PREFIX_``, then 16 characters id, 32 characters secret and 6 characters checksum, all
base62. Prefix and id name it in lists and logs; the secret never leaves the text. The checksum
lets a mistyped text be told from a real one without a look-up; it proves nothing.
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

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIXES = frozenset(
    prefix + "_"
    for prefix in (
        *(ACCESS_TOKEN, LOGIN_TOKEN, VERIFIER_KEY),
        *(INVITATION, PASSWORD_RESET, EMAIL_CHANGE),
    )
)
ID_LENGTH = 5 + 16
_SECRET_END = ID_LENGTH + 32
LENGTH = _SECRET_END + 6
# All two-digit numbers in base 62: three look-ups write a checksum, where six divisions would.
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


class Credential(msgspec.Struct, frozen=True, gc=False):
    """What is known of a well-formed text: nothing of it is looked up yet.

    Attributes:
        id: the first 21 characters, prefix included; may be shown and logged.
        digest: SHA-256 of the secret's 32 characters.
    """

    id: str
    digest: bytes

    @property
    def prefix(self) -> str:
        """The four letters that say what kind of credential it is."""
        return self.id[:4]

    def __repr__(self) -> str:
        return f"Credential(id={self.id!r})"


class NewCredential(msgspec.Struct, frozen=True, gc=False):
    """A credential just made: ``text`` goes to its owner once, ``id`` and ``digest`` are kept."""

    text: str
    id: str
    digest: bytes

    def __repr__(self) -> str:
        return f"NewCredential(id={self.id!r})"


def make(prefix: str) -> NewCredential:
    """Make a credential with 190 bits of secret from the system's generator.

    Raises:
        ValueError: *prefix* is none of this module's prefixes.
    """
    if prefix + "_" not in _PREFIXES:
        raise ValueError(f"unknown credential prefix {prefix!r}")
    identifier = f"{prefix}_{_random(16)}"
    secret = _random(32)
    body = identifier + secret
    return NewCredential(body + _checksum(body.encode("ascii")), identifier, _digest(secret))


def parse(text: object) -> Credential | None:
    """Read a credential text exactly as it stands; None if it is not one.

    Anything may be handed in, also what came out of JSON. Nothing is trimmed or folded: a text
    that differs in one character is another text, so every credential has exactly one spelling.
    """
    if not isinstance(text, str) or len(text) != LENGTH or text[:5] not in _PREFIXES:
        return None
    # isalnum alone would let other scripts' letters and digits in.
    if not text.isascii() or not text[5:].isalnum():
        return None
    body = text[:_SECRET_END]
    if text[_SECRET_END:] != _checksum(body.encode("ascii")):
        return None
    return Credential(text[:ID_LENGTH], _digest(text[ID_LENGTH:_SECRET_END]))


def matches(credential: Credential, digest: bytes) -> bool:
    """Whether the credential's secret is the one behind *digest*, compared in constant time."""
    return hmac.compare_digest(credential.digest, digest)


def new_id(prefix: str) -> str:
    """A fresh record id such as ``usr_4fT0…``: the prefix and 16 random characters (95 bits)."""
    return f"{prefix}_{_random(16)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def _checksum(body: bytes) -> str:
    number = zlib.crc32(body)
    return _PAIRS[number // 14_776_336] + _PAIRS[number // 3_844 % 3_844] + _PAIRS[number % 3_844]
