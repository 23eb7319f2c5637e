"""Warns of the end of access tokens, by events and mail: each time once.

A token has the time of its next warning, by which an index finds it. The transaction that warns of
it writes the events, enqueues the mail and moves that time on. So there is all of that or nothing,
whatever happens to the process, and of several nodes one does it.

One mail tells a person of all tokens of a while. It is composed when it is sent
(``expiry_letters``).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, Text, bindparam, select, type_coerce, update

from gatepass.core.token_policy import DAY_MS
from gatepass.core.token_warnings import End, days_left, due, next_moment, of_expiry, of_unused
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.users import administrators
from gatepass.registry.membership import outbox
from gatepass.registry.storage.batches import in_batches
from gatepass.registry.storage.database import (
    AdvisoryLock,
    Database,
    Reading,
    Write,
    take_advisory_lock,
)
from gatepass.registry.storage.tables import (
    access_tokens,
    companies,
    owners,
    token_policies,
    users,
)
from gatepass.registry.tokens.ending import unused
from gatepass.registry.tokens.input import MOST_UNUSED_DAYS
from gatepass.registry.tokens.policy import token_policies as policies

#: The kind of the mail.
MAIL = "access_tokens_ending"
#: One mail tells a person of all warnings of so long a while.
WHILE_MS = 20_000

_AT_ONCE = 500
_MOST_ADMINISTRATORS = 20
# The next warning replaces what is late.
_MAIL_EXPIRES_MS = 7 * 86_400_000

_token = access_tokens.c
_policy = token_policies.c
#: Tokens to look at, with what ends them or their warnings.
_ROWS: Select[*tuple[Any, ...]] = (
    select(
        *(_token.id, _token.company_id, _token.owner_id, _token.label),
        *(_token.created_at, _token.expires_at, _token.unused_days, _token.replaced_by),
        _token.warned_at,
        users.c.email,
        users.c.deactivated_at.label("user_ended"),
        owners.c.deactivated_at.label("owner_ended"),
        companies.c.deactivated_at.label("company_ended"),
    )
    .join(companies, companies.c.id == _token.company_id)
    .outerjoin(users, users.c.id == _token.owner_id)
    .outerjoin(owners, owners.c.id == _token.owner_id)
    .where(_token.deactivated_at.is_(None))
    .order_by(_token.expires_at, _token.id)
)
_TO_LOOK_AT = _token.warn_at.is_not(None)


@dataclass(frozen=True, slots=True)
class _Warning:
    row: Row[Any]
    end: End


def warn(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Warn of all that is due (``in_batches``); returns the number of tokens that were looked at.

    Several nodes may run it.
    """
    for policy in _changed_policies(database, now):
        if not _follow_policy(database, now, pause, policy.company_id, policy.warn_days):
            return 0
    return in_batches(
        database,
        now,
        pause,
        any_due=lambda reading: bool(reading.session.scalars(_due(reading).limit(1)).first()),
        write=database.auxiliary_write,
        batch=lambda write: _look_at(write, _due(write).limit(_AT_ONCE)),
    )


def subject_of(user: str, until: int) -> str:
    """The subject of a mail to a user (an id), of the warnings of the while until then."""
    return f"{user}:{until}"


def _due(reading: Reading) -> Select[str]:
    lives = (_TO_LOOK_AT, _token.deactivated_at.is_(None))
    return select(_token.id).where(*lives, _token.warn_at <= reading.now).order_by(_token.warn_at)


def _look_at(write: Write, which: Select[str]) -> int:
    """Look at tokens: warn of those that are due, and set the times of all others.

    Returns:
        How many; not those that another transaction is changing. 0 if the mail of this while is
        being composed already.
    """
    take_advisory_lock(write, AdvisoryLock.warnings)
    ids = write.session.scalars(which.with_for_update(skip_locked=True)).all()
    rows: Sequence[Row[Any]] = write.session.execute(_ROWS.where(_token.id.in_(ids))).all()
    ends = _ends(write, rows)
    warnings = [
        _Warning(row, end)
        for row in rows
        if not _is_ended(row)
        and (end := due(ends[row.id], since=_told_until(row), now=write.now)) is not None
    ]
    if not _enqueue_mail(write, warnings):
        return 0
    _record(write, warnings)
    said = {warning.row.id: warning.end.because for warning in warnings}
    times = [{"token": row.id, "next_at": next_moment(ends[row.id], write.now)} for row in rows]
    _update(write, [each for each in times if each["token"] not in said])
    _update(
        write,
        [each | {"of": said[each["token"]]} for each in times if each["token"] in said],
        warned_at=write.now,
        warned_of=bindparam("of"),
    )
    return len(ids)


def _update(write: Write, rows: Sequence[Mapping[str, Any]], **values: Any) -> None:
    """Set ``warn_at`` of each token to its ``next_at``, and *values*."""
    if rows:
        of_each = update(access_tokens).where(_token.id == bindparam("token"))
        write.session.execute(of_each.values(warn_at=bindparam("next_at"), **values), rows)


def _ends(reading: Reading, rows: Sequence[Row[Any]]) -> dict[str, list[End]]:
    """The ends of each token; none of one that was replaced, which closes because of that."""
    days = {of: policies.of(reading, of).warn_days for of in {row.company_id for row in rows}}
    ends: dict[str, list[End]] = {row.id: [] for row in rows}
    lives = [row for row in rows if row.replaced_by is None]
    for row in lives:
        if row.expires_at is not None:
            ends[row.id].append(of_expiry(row.expires_at, days[row.company_id]))
    for id, at in unused_ends(reading, [row.id for row in lives if row.unused_days]).items():
        ends[id].append(of_unused(at))
    return ends


def unused_ends(reading: Reading, ids: Collection[str]) -> dict[str, int]:
    """When each of those tokens ends unless somebody uses it (Unix ms), by id."""
    if not ids:
        return {}
    latest = reading.now + (MOST_UNUSED_DAYS + 1) * DAY_MS
    return {each.token: each.at for each in unused.endings(reading, latest, ids)}


def _told_until(row: Row[Any]) -> int:
    created_at: int = row.created_at
    return max(created_at, row.warned_at or 0)


def _is_ended(row: Row[Any]) -> bool:
    """Whether its calls are refused already, because its owner or company ended."""
    return any(at is not None for at in (row.user_ended, row.owner_ended, row.company_ended))


def _enqueue_mail(write: Write, warnings: Sequence[_Warning]) -> bool:
    """Enqueue a mail to each person that is to be told; False if one is being composed already."""
    until = write.now - write.now % WHILE_MS + WHILE_MS
    recipients = {
        subject_of(user, until): (company, email)
        for user, company, email in _recipients(write, warnings)
    }
    unsent = outbox.unsent(write, sorted(recipients)) if recipients else {}
    if not all(unsent.values()):
        return False
    for subject in sorted(recipients.keys() - unsent.keys()):
        company, email = recipients[subject]
        outbox.enqueue(
            write,
            kind=MAIL,
            subject=subject,
            company=company,
            recipient=email,
            due_at=until,
            expires_at=until + _MAIL_EXPIRES_MS,
        )
    return True


def _recipients(reading: Reading, warnings: Iterable[_Warning]) -> Iterable[tuple[str, str, str]]:
    """Ids, companies and addresses of the people to tell: the owners, or administrators."""
    without_user = set()
    for row in (warning.row for warning in warnings):
        if row.email is not None:
            yield row.owner_id, row.company_id, row.email
        else:
            without_user.add(row.company_id)
    for company in sorted(without_user):
        for user, _, email in administrators(reading, company, most=_MOST_ADMINISTRATORS):
            yield user, company, email


def _record(write: Write, warnings: Iterable[_Warning]) -> None:
    together: dict[tuple[str, str], list[_Warning]] = defaultdict(list)
    for warning in warnings:
        action = "access_token.expired" if warning.end.at <= write.now else "access_token.expiring"
        together[warning.row.company_id, action].append(warning)
    for (company, action), these in together.items():
        log.record_each(
            write,
            Actor.system(),
            action,
            [Subject("access_token", warning.row.id, warning.row.label) for warning in these],
            company=company,
            own=[_fields(warning.end, write.now) for warning in these],
        )


def _fields(end: End, now: int) -> dict[str, Any]:
    days = days_left(end.at, now)
    return {"ends_at": end.at, "because": end.because} | ({"days": days} if days else {})


# --- policies ------------------------------------------------------------------------------------


def _changed_policies(database: Database, now: Callable[[], int]) -> Sequence[Any]:
    """The companies, and warning days, of policies that tokens don't have their times by."""
    with database.read(now()) as reading:
        by = type_coerce(_policy.warnings_by, Text)
        changed = by.is_distinct_from(type_coerce(_policy.warn_days, Text))
        return reading.session.execute(
            select(_policy.company_id, _policy.warn_days).where(changed)
        ).all()


def _follow_policy(
    database: Database,
    now: Callable[[], int],
    pause: Callable[[], bool],
    company: str,
    days: Collection[int],
) -> bool:
    """Look at a company's tokens, whose times may be too late by a new policy; False to stop."""
    after, complete = "", True
    while True:
        with database.read(now()) as reading:
            ids = reading.session.scalars(
                select(_token.id)
                .where(_token.company_id == company, _token.id > after)
                .where(_TO_LOOK_AT, _token.deactivated_at.is_(None))
                .order_by(_token.id)
                .limit(_AT_ONCE)
            ).all()
        if not ids:
            break
        with database.auxiliary_write(now()) as write:
            looked_at = _look_at(write, select(_token.id).where(_token.id.in_(ids)))
        complete = complete and looked_at == len(ids)
        after = ids[-1]
        if not pause():
            return False
    if complete:
        with database.auxiliary_write(now()) as write:
            write.session.execute(
                update(token_policies)
                .where(_policy.company_id == company, _policy.warn_days == list(days))
                .values(warnings_by=list(days))
            )
    return True
