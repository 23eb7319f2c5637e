"""Which stored secrets are encrypted with the installation's key."""

from sqlalchemy import select

from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import users, webhooks

_COLUMNS = (users.c.totp_sealed, webhooks.c.secret_sealed)


def ensure_key(reading: Reading, key: EncryptionKey) -> None:
    """Create the encryption key if nothing is encrypted yet; else require the key in use.

    A node that lacks the others' key file must not create a key of its own.

    Raises:
        Unavailable: this machine has another key, or none.
        Misconfigured: the key can't be created.
    """
    encrypted = any_encrypted(reading)
    if encrypted is None:
        key.create()
    else:
        key.require_encrypted_with(encrypted)


def any_encrypted(reading: Reading) -> bytes | None:
    """Any one secret encrypted with the installation's key; None if there is none."""
    for column in _COLUMNS:
        found: bytes | None = reading.session.execute(
            select(column).where(column.is_not(None)).limit(1)
        ).scalar_one_or_none()
        if found is not None:
            return found
    return None
