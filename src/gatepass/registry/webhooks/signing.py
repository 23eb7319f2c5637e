"""Secrets and signatures of webhooks, as Standard Webhooks 1.0 describes them."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> bytes:
    """A new secret: 256 random bits."""
    return secrets.token_bytes(_SECRET_BYTES)


def text_of(secret: bytes) -> str:
    """A secret as receivers configure it: ``whsec_…``."""
    return _PREFIX + base64.b64encode(secret).decode()


def signed_headers(keys: Sequence[bytes], event_id: str, now: int, payload: str) -> dict[str, str]:
    """The headers that identify and sign a request.

    Args:
        keys: the secrets; the receiver needs any one of them.
        now: the time of this attempt, Unix ms. Receivers refuse old ones.
    """
    seconds = now // 1000
    content = f"{event_id}.{seconds}.{payload}".encode()
    signatures = (
        base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys
    )
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
