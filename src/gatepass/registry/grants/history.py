"""A history that lost its end: an asynchronous replica that took over, or a backup brought back.

Changes that had been acknowledged are gone then, endings among them. The copies of the grants are
built anew by what is left; people have to be told.
"""

import logging

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.storage.revisions import Position
from gatepass.registry.storage.tables import audit_events, revisions

_ACTION = "history.shortened"

_log = logging.getLogger("gatepass.history")


def note_parted(session: Session, node: Subject, copy: Position, there: Position) -> bool:
    """Report that *node*'s copy was at a position which the registry, now at *there*, doesn't know;
    within ``counting``.

    Returns:
        Whether a history was shortened. A copy that is merely older than what is kept is no news.
    """
    kept = session.execute(select(func.min(revisions.c.number))).scalar_one_or_none()
    if kept is None or copy[0] < kept:
        return False
    _log.error(
        "the database has lost changes: a copy was at revision %d (%s), and the database, now at "
        "%d (%s), never was; what was ended last may be good again",
        *(*copy, *there),
    )
    log.record(
        session,
        Actor.system(),
        _ACTION,
        node,
        company=None,
        before={"revision": copy[0]},
        after={"revision": there[0]},
    )
    return True


def times_shortened(session: Session) -> int:
    """How often that has been reported."""
    table = audit_events.c
    return session.execute(
        select(func.count()).where(table.company_id.is_(None), table.action == _ACTION)
    ).scalar_one()
