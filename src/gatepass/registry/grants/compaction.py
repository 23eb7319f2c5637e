"""Hourly garbage collection in small batches: expired login grants, old revisions, finished mail.

* Grants of login tokens and portal sessions that expired or were deactivated more than a day ago.
  They are refused already, and each sign-in leaves one. Their authentications stay listed; their
  texts become ``token_invalid``, like unknown ones.
* Portal sessions, with their grants.
* Revisions older than seven days. A follower whose position is older rebuilds its copy.
* Mail, and links for passwords and e-mail addresses, 30 days after they expired.
* Answers to requests with an idempotency key, after a day.
* Identifiers that may be used once, when they expire.
* Deliveries to webhooks, 30 days after their events.
* Observed calls, 90 days after the day on which they were made; the counts of an hour after two
  days.
* Access requests, 90 days after they could be answered; their audit events stay.

Each batch is a short transaction of its own, so that other writes don't wait for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from sqlalchemy import ColumnClause, Table, column, delete, exists, or_, select, table, tuple_
from sqlalchemy.engine import CursorResult

from gatepass.core.credentials import LOGIN_TOKEN, PORTAL_SESSION
from gatepass.registry.grants.publishing import withdraw_grants
from gatepass.registry.storage.database import (
    AdvisoryLock,
    Database,
    Reading,
    Write,
    take_advisory_lock,
)
from gatepass.registry.storage.idempotent_answers import KEPT_MS
from gatepass.registry.storage.tables import (
    access_requests,
    authentications,
    changed_records,
    email_changes,
    idempotent_answers,
    observed_calls,
    outgoing_mail,
    password_resets,
    portal_sessions,
    revisions,
    token_call_hours,
    used_once,
    webhook_deliveries,
)

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
GRANTS_KEPT_MS = _DAY_MS
HISTORY_KEPT_MS = 7 * _DAY_MS
MAIL_KEPT_MS = 30 * _DAY_MS
DELIVERIES_KEPT_MS = 30 * _DAY_MS
CALLS_KEPT_DAYS = 90
HOURS_KEPT = 48
REQUESTS_KEPT_MS = 90 * _DAY_MS

_grant_id: ColumnClause[str] = column("id")
_grants = table("grants", _grant_id)
# A deactivation waits for one batch of grants at most: some milliseconds.
_GRANTS_AT_ONCE = 100
_SCANNED_AT_ONCE = 5_000
_AT_ONCE = 1_000
# Whose grants are deleted, by the prefix of their ids.
_SHORT_LIVED = {LOGIN_TOKEN: authentications, PORTAL_SESSION: portal_sessions}


@dataclass(frozen=True, slots=True)
class Compacted:
    """Numbers of records that were deleted."""

    grants: int
    portal_sessions: int
    revisions: int
    mail: int
    password_resets: int
    email_changes: int
    idempotent_answers: int
    used_once: int
    webhook_deliveries: int
    observed_calls: int
    call_hours: int
    access_requests: int


def compact(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> Compacted:
    """Delete all that is due. Several nodes may run it concurrently.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.

    Raises:
        Unavailable: the database can't be used now. Committed batches stay deleted.
    """
    return Compacted(
        grants=sum(
            _delete_grants(prefix, records, database, now, pause)
            for prefix, records in _SHORT_LIVED.items()
        ),
        portal_sessions=_repeat(_delete_portal_sessions, database, now, pause),
        revisions=_repeat(_delete_revisions, database, now, pause),
        mail=_repeat(partial(_delete_expired, outgoing_mail), database, now, pause),
        password_resets=_repeat(partial(_delete_expired, password_resets), database, now, pause),
        email_changes=_repeat(partial(_delete_expired, email_changes), database, now, pause),
        idempotent_answers=_repeat(_delete_answers, database, now, pause),
        used_once=_repeat(_delete_used, database, now, pause),
        webhook_deliveries=_repeat(_delete_deliveries, database, now, pause),
        observed_calls=_repeat(_delete_calls, database, now, pause),
        call_hours=_repeat(_delete_hours, database, now, pause),
        access_requests=_repeat(
            partial(_delete_expired, access_requests, kept_ms=REQUESTS_KEPT_MS),
            database,
            now,
            pause,
        ),
    )


def _delete_grants(
    prefix: str,
    records: Table,
    database: Database,
    now: Callable[[], int],
    pause: Callable[[], bool],
) -> int:
    deleted = 0
    # The ids sort between these two.
    last, end = f"{prefix}_", f"{prefix}`"
    running = True
    while running:
        # Scanned outside the write transaction: what has expired stays expired.
        with database.read(now()) as reading:
            scanned = reading.session.scalars(
                select(_grant_id)
                .select_from(_grants)
                .where(_grant_id > last, _grant_id < end)
                .order_by(_grant_id)
                .limit(_SCANNED_AT_ONCE)
            ).all()
            expired = _expired(reading, records, scanned)
        for start in range(0, len(expired), _GRANTS_AT_ONCE):
            batch = expired[start : start + _GRANTS_AT_ONCE]
            with database.write(now()) as change:
                # Another node may have deleted some meanwhile.
                left = change.session.scalars(
                    select(_grant_id).select_from(_grants).where(_grant_id.in_(batch))
                ).all()
                withdraw_grants(change, left)
            deleted += len(left)
            running = pause()
            if not running:
                break
        if len(scanned) < _SCANNED_AT_ONCE:
            break
        last = scanned[-1]
    return deleted


def _expired(reading: Reading, records: Table, ids: Sequence[str]) -> list[str]:
    table = records.c
    before = reading.now - GRANTS_KEPT_MS
    return list(
        reading.session.scalars(
            select(table.id)
            .where(
                table.id.in_(ids),
                or_(table.expires_at <= before, table.deactivated_at <= before),
            )
            .order_by(table.id)
        )
    )


def _repeat(
    step: Callable[[Write], int],
    database: Database,
    now: Callable[[], int],
    pause: Callable[[], bool],
) -> int:
    deleted = 0
    while True:
        with database.auxiliary_write(now()) as write:
            take_advisory_lock(write, AdvisoryLock.compaction)
            some = step(write)
        deleted += some
        if not some or not pause():
            return deleted


def _delete_revisions(write: Write) -> int:
    """Delete a batch of the oldest revisions, together with their changes.

    So a known position always has all changes after it. The latest revision is kept, however old.
    """
    before = write.now - HISTORY_KEPT_MS
    oldest = write.session.execute(
        select(revisions.c.number, revisions.c.at).order_by(revisions.c.number).limit(_AT_ONCE + 1)
    ).all()
    expired = list(takewhile(lambda row: row.at <= before, oldest[:-1]))
    if expired:
        last = expired[-1].number
        write.session.execute(delete(changed_records).where(changed_records.c.revision <= last))
        write.session.execute(delete(revisions).where(revisions.c.number <= last))
    return len(expired)


def _delete_portal_sessions(write: Write) -> int:
    table = portal_sessions.c
    due = [table.expires_at <= write.now - GRANTS_KEPT_MS, ~exists().where(_grant_id == table.id)]
    some = select(table.id).where(*due).limit(_AT_ONCE)
    result = write.session.execute(delete(portal_sessions).where(table.id.in_(some)))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _delete_answers(write: Write) -> int:
    table = idempotent_answers.c
    key = (table.credential, table.key_digest, table.path_digest)
    before = write.now - KEPT_MS
    some = select(*key).where(table.at <= before).limit(_AT_ONCE)
    result = write.session.execute(delete(idempotent_answers).where(tuple_(*key).in_(some)))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _delete_used(write: Write) -> int:
    table = used_once.c
    some = select(table.digest).where(table.expires_at <= write.now).limit(_AT_ONCE)
    result = write.session.execute(delete(used_once).where(table.digest.in_(some)))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _delete_deliveries(write: Write) -> int:
    # The oldest first: what is left of a subject's is still in order.
    table = webhook_deliveries.c
    some = (
        select(table.number)
        .where(table.created_at <= write.now - DELIVERIES_KEPT_MS)
        .order_by(table.created_at)
        .limit(_AT_ONCE)
    )
    result = write.session.execute(delete(webhook_deliveries).where(table.number.in_(some)))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _delete_calls(write: Write) -> int:
    table = observed_calls.c
    key = (table.token_id, table.day, table.call)
    before = write.now // _DAY_MS - CALLS_KEPT_DAYS
    some = select(*key).where(table.day < before).limit(_AT_ONCE)
    result = write.session.execute(delete(observed_calls).where(tuple_(*key).in_(some)))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _delete_hours(write: Write) -> int:
    table = token_call_hours.c
    key = (table.hour, table.token_id)
    before = write.now // _HOUR_MS - HOURS_KEPT
    some = select(*key).where(table.hour < before).order_by(*key).limit(_AT_ONCE)
    oldest = write.session.execute(some).all()
    if not oldest:
        return 0
    # A range of the key: for a list of keys, PostgreSQL may read the whole table each time.
    until = tuple_(*oldest[-1], types=[column.type for column in key])
    result = write.session.execute(delete(token_call_hours).where(tuple_(*key) <= until))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _delete_expired(records: Table, write: Write, *, kept_ms: int = MAIL_KEPT_MS) -> int:
    # Expired mail isn't sent any more, whatever its state.
    before = write.now - kept_ms
    some = select(records.c.id).where(records.c.expires_at <= before).limit(_AT_ONCE)
    result = write.session.execute(delete(records).where(records.c.id.in_(some)))
    assert isinstance(result, CursorResult)
    return result.rowcount
