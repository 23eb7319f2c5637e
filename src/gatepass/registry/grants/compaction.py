"""Lets go of what nobody can need any more, about once an hour, a little at a time.

* Grants of login tokens that expired or were deactivated more than a day ago: they opened nothing
  any more, and there are as many as there were sign-ins. The authentications stay listed; their
  texts are ``token_invalid`` from then on, like any other that isn't known.
* The history older than seven days: what followers read on from. One that is older builds its copy
  anew.
* Settled mail, and links to new passwords and e-mail addresses, a month after they came to nothing.

Each step is a short transaction of its own, so that nothing waits behind it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from sqlalchemy import ColumnClause, Table, column, delete, or_, select, table
from sqlalchemy.engine import CursorResult

from gatepass.core.credentials import LOGIN_TOKEN
from gatepass.registry.grants.publishing import withdraw_grants
from gatepass.registry.storage.database import Database, Reading, Turn, Write, wait_for_turn
from gatepass.registry.storage.tables import (
    authentications,
    changed_records,
    email_changes,
    outgoing_mail,
    password_resets,
    revisions,
)

_DAY_MS = 86_400_000
GRANTS_KEPT_MS = _DAY_MS
HISTORY_KEPT_MS = 7 * _DAY_MS
MAIL_KEPT_MS = 30 * _DAY_MS

_grant_id: ColumnClause[str] = column("id")
_grants = table("grants", _grant_id)
# A deactivation waits for no more than one change of so many grants: some milliseconds.
_GRANTS_AT_ONCE = 100
_LOOKED_AT = 5_000
_AT_ONCE = 1_000
# Ids are in order, and those of login tokens lie between their prefix and what would follow it.
_LOGINS = (f"{LOGIN_TOKEN}_", f"{LOGIN_TOKEN}`")


@dataclass(frozen=True, slots=True)
class Compacted:
    """How much was let go of."""

    grants: int
    revisions: int
    mail: int
    password_resets: int
    email_changes: int


def compact(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> Compacted:
    """Let go of all that is due. Several nodes may do so at once: each finds what another left.

    Args:
        now: the time in Unix ms, asked anew for each transaction.
        pause: called between two transactions; it says whether to go on.

    Raises:
        Unavailable: the database can't be used now. What was done is done.
    """
    return Compacted(
        grants=_withdraw(database, now, pause),
        revisions=_repeat(_forget_history, database, now, pause),
        mail=_repeat(_forget_mail, database, now, pause),
        password_resets=_repeat(_forget_resets, database, now, pause),
        email_changes=_repeat(_forget_email_changes, database, now, pause),
    )


def _withdraw(database: Database, now: Callable[[], int], pause: Callable[[], bool]) -> int:
    withdrawn = 0
    last = _LOGINS[0]
    going_on = True
    while going_on:
        # Looked for without holding anything up: what is over stays over.
        with database.read(now()) as reading:
            looked_at = reading.session.scalars(
                select(_grant_id)
                .select_from(_grants)
                .where(_grant_id > last, _grant_id < _LOGINS[1])
                .order_by(_grant_id)
                .limit(_LOOKED_AT)
            ).all()
            over = _over(reading, looked_at)
        for start in range(0, len(over), _GRANTS_AT_ONCE):
            batch = over[start : start + _GRANTS_AT_ONCE]
            with database.write(now()) as change:
                # Another node may have been here meanwhile.
                left = change.session.scalars(
                    select(_grant_id).select_from(_grants).where(_grant_id.in_(batch))
                ).all()
                withdraw_grants(change, left)
            withdrawn += len(left)
            going_on = pause()
            if not going_on:
                break
        if len(looked_at) < _LOOKED_AT:
            break
        last = looked_at[-1]
    return withdrawn


def _over(reading: Reading, ids: Sequence[str]) -> list[str]:
    those = authentications.c
    before = reading.now - GRANTS_KEPT_MS
    return list(
        reading.session.scalars(
            select(those.id)
            .where(
                those.id.in_(ids),
                or_(those.expires_at <= before, those.deactivated_at <= before),
            )
            .order_by(those.id)
        )
    )


def _repeat(
    step: Callable[[Write], int],
    database: Database,
    now: Callable[[], int],
    pause: Callable[[], bool],
) -> int:
    done = 0
    while True:
        with database.auxiliary_write(now()) as write:
            wait_for_turn(write, Turn.compaction)
            some = step(write)
        done += some
        if not some or not pause():
            return done


def _forget_history(write: Write) -> int:
    """Forget some of the oldest revisions, and what changed at them, in one transaction: a position
    that is known always has all that came after it. The latest revision stays, however old."""
    before = write.now - HISTORY_KEPT_MS
    oldest = write.session.execute(
        select(revisions.c.number, revisions.c.at).order_by(revisions.c.number).limit(_AT_ONCE + 1)
    ).all()
    over = list(takewhile(lambda row: row.at <= before, oldest[:-1]))
    if over:
        last = over[-1].number
        write.session.execute(delete(changed_records).where(changed_records.c.revision <= last))
        write.session.execute(delete(revisions).where(revisions.c.number <= last))
    return len(over)


def _forget_mail(write: Write) -> int:
    # Past its time, mail is sent no more, whatever became of it.
    return _forget(write, outgoing_mail)


def _forget_resets(write: Write) -> int:
    return _forget(write, password_resets)


def _forget_email_changes(write: Write) -> int:
    return _forget(write, email_changes)


def _forget(write: Write, records: Table) -> int:
    before = write.now - MAIL_KEPT_MS
    some = select(records.c.id).where(records.c.expires_at <= before).limit(_AT_ONCE)
    result = write.session.execute(delete(records).where(records.c.id.in_(some)))
    assert isinstance(result, CursorResult)
    return result.rowcount
