"""Identifiers that may be used once in the whole installation, such as a logout token's."""

import hashlib

from sqlalchemy import text
from sqlalchemy.engine import CursorResult

from gatepass.registry.storage.database import Write

# Two requests with one identifier wait for each other here, and one of them inserts.
_INSERT = text(
    "INSERT INTO used_once (digest, expires_at) VALUES (:digest, :expires_at) "
    "ON CONFLICT DO NOTHING"
)


def use(write: Write, kind: str, identifier: str, *, kept_ms: int) -> bool:
    """Use *identifier* up, in this transaction; whether it wasn't used before.

    Args:
        kind: identifiers of different kinds never clash.
        kept_ms: for how long it is remembered; afterwards it must be refused by its age.
    """
    digest = hashlib.sha256(f"{kind}\0{identifier}".encode()).digest()
    result = write.session.execute(_INSERT, {"digest": digest, "expires_at": write.now + kept_ms})
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
