"""Detects that committed revisions were lost (failover to a lagging replica, or a restored backup).

Acknowledged changes, revocations among them, are missing then. Copies of the grants are rebuilt
from the database; operators must be alerted.
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


def report_divergence(write: Write, node: Subject, copy: Position, latest: Position) -> bool:
    """Report that *node*'s copy has a position that the registry, now at *latest*, doesn't know.

    Returns:
        Whether revisions were lost. A copy older than the revisions kept isn't reported.
    """
    kept = write.session.execute(select(func.min(revisions.c.number))).scalar_one_or_none()
    if kept is None or copy[0] < kept:
        return False
    _log.error(
        "the database has lost changes: a copy was at revision %d (%s), and the database, now at "
        "%d (%s), never was; recent deactivations may be undone",
        *(*copy, *latest),
    )
    log.record(
        write,
        Actor.system(),
        _ACTION,
        node,
        company=None,
        before={"revision": copy[0]},
        after={"revision": latest[0]},
    )
    return True


def divergence_count(reading: Reading) -> int:
    """The number of divergences reported so far."""
    table = audit_events.c
    return reading.session.execute(
        select(func.count()).where(table.company_id.is_(None), table.action == _ACTION)
    ).scalar_one()
