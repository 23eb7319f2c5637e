"""Looking up one row, comparing its version, and marking it as deactivated."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, Select

from gatepass.core.errors import Conflict, NotFound
from gatepass.registry.actor import Actor
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Reading, Write


def find(reading: Reading, rows: Select[Any], record_id: str, what: str) -> Row[Any]:
    """The one row that *rows* selects by *record_id*.

    Args:
        what: names the record in the error, such as ``user``.

    Raises:
        NotFound: there is none. No record has an id with characters that can't be stored.
    """
    row = reading.session.execute(rows).one_or_none() if storable(record_id) else None
    if row is None:
        raise NotFound(f"There is no such {what}.")
    return row


def require_unchanged(
    current: object, etag: str, if_match: Collection[str] | None, what: str
) -> None:
    """Require that *if_match* names the present version of a record.

    Args:
        current: the record; the error carries it.
        etag: its present version.
        if_match: the accepted versions; None accepts any.
        what: names the record in the error, such as ``this user``.

    Raises:
        Conflict: ``changed_meanwhile``, with the ``current`` record.
    """
    if if_match is not None and etag not in if_match:
        raise Conflict(
            f"Someone changed {what} meanwhile.", reason="changed_meanwhile", current=current
        )


def deactivation(write: Write, actor: Actor) -> dict[str, Any]:
    """The ``deactivated_*`` columns of a row that *actor* deactivates in this transaction."""
    return {
        "deactivated_at": write.now,
        "deactivated_by": actor.user,
        "deactivated_by_name": actor.name,
    }
