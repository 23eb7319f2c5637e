"""Encryption of the state that a browser keeps while its user is at the provider.

The key derives from the client's secret, which all nodes have: an answer may reach another node
than the one that sent the user away.
"""

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class FlowEncryption:
    """AES-256-GCM, for one issuer and client."""

    def __init__(self, *, issuer: str, client: str, secret: str) -> None:
        info = f"gatepass sign-in flow\0{issuer}\0{client}".encode()
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode())
        self._cipher = AESGCM(key)

    def encrypt(self, plain: bytes) -> str:
        """*plain* as text for a cookie."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        encrypted = nonce + self._cipher.encrypt(nonce, plain, None)
        # Without padding: "=" in a cookie would be quoted.
        return base64.urlsafe_b64encode(encrypted).rstrip(b"=").decode("ascii")

    def decrypt(self, text: str) -> bytes | None:
        """What was encrypted to *text*; None if it wasn't, with this issuer and client."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            encrypted = base64.b64decode(padded, b"-_", validate=True)
            nonce, rest = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, rest, None)
        except (binascii.Error, UnicodeEncodeError, ValueError, InvalidTag):
            return None
