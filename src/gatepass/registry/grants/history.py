"""A history that lost its end: an asynchronous replica that took over, or a backup brought back.

Changes that had been acknowledged are gone then, endings among them. The copies of the grants are
built anew by what is left; people have to be told.
"""

import logging

from sqlalchemy import func, select

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.revisions import Position
from gatepass.registry.storage.tables import audit_events, revisions

_ACTION = "history.shortened"

_log = logging.getLogger("gatepass.history")


def note_parted(write: Write, node: Subject, copy: Position, there: Position) -> bool:
    """Report that *node*'s copy was at a position which the registry, now at *there*, doesn't know.

    Returns:
        Whether a history was shortened. A copy that is merely older than what is kept is no news.
    """
    kept = write.session.execute(select(func.min(revisions.c.number))).scalar_one_or_none()
    if kept is None or copy[0] < kept:
        return False
    _log.error(
        "the database has lost changes: a copy was at revision %d (%s), and the database, now at "
        "%d (%s), never was; what was ended last may be good again",
        *(*copy, *there),
    )
    log.record(
        write,
        Actor.system(),
        _ACTION,
        node,
        company=None,
        before={"revision": copy[0]},
        after={"revision": there[0]},
    )
    return True


def times_shortened(reading: Reading) -> int:
    """How often that has been reported."""
    table = audit_events.c
    return reading.session.execute(
        select(func.count()).where(table.company_id.is_(None), table.action == _ACTION)
    ).scalar_one()
