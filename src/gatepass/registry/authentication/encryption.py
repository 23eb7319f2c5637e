"""Encryption of stored secrets under the installation's key (AES-256-GCM).

A second factor's secret can't be stored as a digest, because codes are computed from it; nor a
webhook's, which signs. They are encrypted under a key that is not in the database, so that a copy
of the database doesn't disclose them. The key is a file in the data directory, created once, the
same on every node. Each ciphertext names its key. So a wrong key is an outage that names its cause,
and never reads as "no second factor".
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
from gatepass.log_limit import LogLimit
from gatepass.registry.storage.fsync import fsync

FILE_NAME = "sealing-key"

_KEY_BYTES = 32
_FORM = b"\x01"
_CHECK_BYTES = 8
_NONCE_BYTES = 12
_HEAD_BYTES = len(_FORM) + _CHECK_BYTES + _NONCE_BYTES

_log = logging.getLogger("gatepass.sealing")


class EncryptionKey:
    """The key in the file *path*, read at its first use.

    Ciphertext format: one format byte, the key's check value, the nonce, the AES-GCM ciphertext
    with its tag. The check value is an HMAC of a fixed text, and discloses nothing about the key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key: bytes | None = None
        self._log_limit = LogLimit()

    def __repr__(self) -> str:
        return f"EncryptionKey({str(self.path)!r})"

    def encrypt(self, secret: bytes, *, owner: str) -> bytes:
        """Encrypt *secret* for *owner* (an id), which is authenticated with it.

        Raises:
            Unavailable: there is no key, or its file can't be read.
        """
        key = self._read()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORM + _check(key) + nonce + AESGCM(key).encrypt(nonce, secret, owner.encode())

    def decrypt(self, encrypted: bytes, *, owner: str) -> bytes:
        """The secret in *encrypted*, which was encrypted for *owner*.

        Raises:
            Unavailable: there is no key, or another; or *encrypted* is damaged or of another owner.
        """
        self.require_encrypted_with(encrypted)
        secret = _decrypted(self._read(), encrypted, owner)
        if secret is None:
            raise self._unavailable(f"the encrypted secret of {owner} is damaged")
        return secret

    def decrypt_submitted(self, encrypted: bytes, *, owner: str) -> bytes | None:
        """The secret in a submitted form value; None unless this key encrypted it for *owner*.

        Anyone can submit anything, so that is neither an outage nor an error for the log.
        """
        if len(encrypted) <= _HEAD_BYTES or not self.path.exists():
            return None
        key = self._read()
        if not hmac.compare_digest(encrypted[: len(_FORM) + _CHECK_BYTES], _FORM + _check(key)):
            return None
        return _decrypted(key, encrypted, owner)

    def require_encrypted_with(self, encrypted: bytes) -> None:
        """Raise Unavailable unless *encrypted* names this key."""
        key = self._read()
        head = _FORM + _check(key)
        if len(encrypted) <= _HEAD_BYTES or not hmac.compare_digest(encrypted[: len(head)], head):
            raise self._unavailable(
                f"{self.path} isn't the key that this installation's secrets are encrypted with"
            )

    def create(self) -> None:
        """Create the key file unless it exists; of concurrent processes, one does.

        Raises:
            Misconfigured: the file can't be created.
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
                # Linking is atomic and never replaces a key that another process created first.
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
        # The user gets a plain sentence; the log has the file's name for the operator.
        if self._log_limit.left_out(why) is not None:
            _log.error("encrypted secrets can't be used: %s", why)
        return Unavailable(
            "Encrypted secrets can't be used right now. Ask the people who run this Gatepass to "
            "check its log, which says what is wrong with the encryption key."
        )


def _check(key: bytes) -> bytes:
    return hmac.digest(key, b"gatepass sealing key", hashlib.sha256)[:_CHECK_BYTES]


def _decrypted(key: bytes, encrypted: bytes, owner: str) -> bytes | None:
    nonce = encrypted[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
    try:
        return AESGCM(key).decrypt(nonce, encrypted[_HEAD_BYTES:], owner.encode())
    except InvalidTag:
        return None
