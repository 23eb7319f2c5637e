"""What GitHub's secret scanning sends to a partner, and its signature.

An array of alerts, signed with ECDSA (P-256, SHA-256) over the bytes of the body. GitHub publishes
its keys at https://api.github.com/meta/public_keys/secret_scanning; the operator saves that answer
in a file, so that this server fetches nothing.
"""

import base64
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gatepass.core.errors import InvalidInput, Unavailable
from gatepass.log_limit import LogLimit
from gatepass.web.strict_json import parse, refuse_unpaired_surrogates

_log = logging.getLogger("gatepass.reports")
_log_limit = LogLimit()


class _Key(msgspec.Struct):
    key_identifier: str
    key: str


class _Keys(msgspec.Struct):
    public_keys: list[_Key]


class Signature(msgspec.Struct, frozen=True):
    """The headers that sign a body.

    Attributes:
        key: the id of the key.
        value: the signature, base64 of its DER form.
    """

    key: str
    value: str

    @classmethod
    def of(cls, header: Callable[[str], Sequence[str]]) -> Self:
        """The signature of a request; one that never verifies if it isn't named exactly once.

        Args:
            header: returns the values of a header's lines.
        """
        names = ("github-public-key-identifier", "github-public-key-signature")
        key, value = (lines[0] if len(lines) == 1 else "" for lines in map(header, names))
        return cls(key, value)


class Alert(msgspec.Struct, frozen=True):
    """A text that was found, and GitHub's name for its kind."""

    token: str
    type: str = ""

    def answer(self, known: bool) -> dict[str, str]:
        """The feedback on the alert: by its SHA-256, which repeats no secret."""
        return {
            "token_hash": hashlib.sha256(self.token.encode()).hexdigest(),
            "token_type": self.type,
            "label": "true_positive" if known else "false_positive",
        }


def is_signed(content: bytes, signature: Signature, keys: Path) -> bool:
    """Whether *signature* is one of *content* by a key in the file.

    The file is read each time, so that an exchanged one counts at once.

    Raises:
        Unavailable: the file can't be read. The log says why.
    """
    try:
        published = msgspec.json.decode(keys.read_bytes(), type=_Keys).public_keys
        named = [each.key for each in published if each.key_identifier == signature.key]
        found = [load_pem_public_key(pem.encode()) for pem in named]
    except (OSError, ValueError, UnsupportedAlgorithm, msgspec.MsgspecError) as error:
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        if _log_limit.left_out(why) is not None:
            _log.error("GATEPASS_SECRET_SCANNING_KEYS: %s can't be read: %s", keys, why)
        raise Unavailable("Reports can't be checked right now.") from None
    try:
        raw = base64.b64decode(signature.value, validate=True)
    except ValueError:
        return False
    return any(_verifies(key, raw, content) for key in found)


def read_alerts(content: bytes) -> list[Alert]:
    """The alerts of a body.

    Raises:
        BrokenJSON, InvalidInput: it isn't an array of alerts.
    """
    value = parse(content)
    refuse_unpaired_surrogates(value)
    try:
        return msgspec.convert(value, type=list[Alert])
    except msgspec.ValidationError:
        raise InvalidInput([("body", "Must be an array of objects with a token.")]) from None


def _verifies(key: object, signature: bytes, content: bytes) -> bool:
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        return False
    try:
        key.verify(signature, content, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
