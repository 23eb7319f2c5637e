"""The installation's sealing key: what has to be read again is kept encrypted under it.

A second factor's secret can't be a digest, for codes are computed from it. So that a copy of the
database doesn't hold it, it is sealed (AES-256-GCM) under a key that is not in the database: a file
in the data directory, made once, the same on every node. What is sealed says which key it needs, so
that a wrong key is an outage that names itself and never reads as "there is no second factor".
"""

import hashlib
import hmac
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.registry.storage.fsync import fsync

FILE_NAME = "sealing-key"

_KEY_BYTES = 32
_FORM = b"\x01"
_CHECK_BYTES = 8
_NONCE_BYTES = 12
_HEAD_BYTES = len(_FORM) + _CHECK_BYTES + _NONCE_BYTES

_log = logging.getLogger("gatepass.sealing")


class SealingKey:
    """The key in the file *path*, which is read when it is first needed.

    A sealed value is: a byte for its form, the key's check value, the nonce, the ciphertext and its
    tag. The check value is an HMAC of a fixed text, and tells nothing about the key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key: bytes | None = None

    def __repr__(self) -> str:
        return f"SealingKey({str(self.path)!r})"

    def seal(self, secret: bytes, *, owner: str) -> bytes:
        """*secret* sealed for *owner* (an id); nobody else's record can open it.

        Raises:
            Unavailable: there is no key, or its file can't be read.
        """
        key = self._read()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORM + _check(key) + nonce + AESGCM(key).encrypt(nonce, secret, owner.encode())

    def open(self, sealed: bytes, *, owner: str) -> bytes:
        """The secret in *sealed*.

        Raises:
            Unavailable: this isn't the key that it was sealed with, or there is none; or it was
                damaged, or sealed for someone else.
        """
        self.require(sealed)
        secret = _decrypted(self._read(), sealed, owner)
        if secret is None:
            raise self._unavailable(f"what was sealed for {owner} is damaged")
        return secret

    def brought_back(self, sealed: bytes, *, owner: str) -> bytes | None:
        """The secret in what a form brought back; None if it is nothing that this key sealed for
        *owner*. Anyone can send anything: that is no outage, and no alarm for the log."""
        if len(sealed) <= _HEAD_BYTES or not self.path.exists():
            return None
        key = self._read()
        if not hmac.compare_digest(sealed[: len(_FORM) + _CHECK_BYTES], _FORM + _check(key)):
            return None
        return _decrypted(key, sealed, owner)

    def require(self, sealed: bytes) -> None:
        """Raise Unavailable unless this is the key that *sealed* was sealed with."""
        key = self._read()
        head = _FORM + _check(key)
        if len(sealed) <= _HEAD_BYTES or not hmac.compare_digest(sealed[: len(head)], head):
            raise self._unavailable(
                f"{self.path} isn't the key that this installation's secrets are sealed with"
            )

    def make(self) -> None:
        """Make the file if there is none; of many who try at once, one does.

        Raises:
            Misconfigured: it can't be made.
        """
        if self.path.exists():
            return
        made = self.path.with_name(f"{FILE_NAME}-{secrets.token_hex(8)}")
        try:
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, secrets.token_hex(_KEY_BYTES).encode() + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            try:
                # Whole at once, and never over another's: whoever comes second keeps the first's.
                with suppress(FileExistsError):
                    os.link(made, self.path)
                fsync(self.path.parent)
            finally:
                os.unlink(made)
        except OSError as error:
            raise Misconfigured(f"{self.path} can't be made: {error.strerror}") from error

    def _read(self) -> bytes:
        if self._key is None:
            try:
                key = bytes.fromhex(self.path.read_text("ascii").strip())
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "it isn't a key"
                raise self._unavailable(f"{self.path} can't be read: {why}") from None
            if len(key) != _KEY_BYTES:
                raise self._unavailable(f"{self.path} can't be read: it isn't a key")
            self._key = key
        return self._key

    def _unavailable(self, why: str) -> Unavailable:
        # The person gets a plain sentence; whoever runs the installation finds the file's name.
        _log.error("second factors can't be used: %s", why)
        return Unavailable(
            "Second factors can't be checked right now. Tell whoever runs this Gatepass: its log "
            "says what is wrong with the sealing key."
        )


def _check(key: bytes) -> bytes:
    return hmac.digest(key, b"gatepass sealing key", hashlib.sha256)[:_CHECK_BYTES]


def _decrypted(key: bytes, sealed: bytes, owner: str) -> bytes | None:
    nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
    try:
        return AESGCM(key).decrypt(nonce, sealed[_HEAD_BYTES:], owner.encode())
    except InvalidTag:
        return None
