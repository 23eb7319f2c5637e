"""The content of a mail that warns of the end of access tokens, as it is when it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_, select

from gatepass.core.catalogue import ADMIN
from gatepass.core.token_policy import DAY_MS
from gatepass.core.token_warnings import UNUSED_WARN_DAYS, EndingToken, days_left
from gatepass.registry.notifications.expiry_warnings import WHILE_MS, unused_ends
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import access_tokens, companies, owners, token_use, users
from gatepass.registry.tokens.calls import observed_calls

#: A mail has so many tokens; of others it says the number.
MOST = 20
#: Callers within this time use a token.
CALLERS_MS = 86_400_000

_token = access_tokens.c


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of the mail.

    Attributes:
        tokens: the first to end first.
        others: how many more there are.
        user: the reader's id.
    """

    user: str
    user_name: str
    company_name: str
    tokens: tuple[EndingToken, ...]
    others: int


def letter(reading: Reading, subject: str) -> Letter | None:
    """The content of a mail; None if its reader ended, or there is nothing left to say.

    A token of which its owner was warned again since is in that mail.

    Args:
        subject: the mail's, from ``expiry_warnings.subject_of``.
    """
    user, _, until = subject.partition(":")
    reader = reading.session.execute(
        select(users.c.id, users.c.name, users.c.role, users.c.company_id, companies.c.name)
        .join(companies, companies.c.id == users.c.company_id)
        .where(users.c.id == user, users.c.deactivated_at.is_(None))
        .where(companies.c.deactivated_at.is_(None))
    ).one_or_none()
    if reader is None:
        return None
    _, user_name, role, company, company_name = reader
    which = _told_of(user, role, company, int(until))
    number = reading.session.scalar(_joined(func.count()).where(*which)) or 0
    rows = reading.session.execute(
        _joined(
            *(_token.id, _token.label, _token.expires_at, _token.warned_of, token_use.c.last_at),
            owners.c.name.label("owner_name"),
        )
        .outerjoin(token_use, token_use.c.token_id == _token.id)
        .where(*which)
        .order_by(_token.expires_at.is_(None), _token.expires_at, _token.id)
        .limit(MOST)
    ).all()
    tokens = _endings(reading, rows)
    if not tokens:
        return None
    return Letter(user, user_name, company_name, tokens, number - len(rows))


def _joined(*columns: Any) -> Any:
    return (
        select(*columns)
        .select_from(access_tokens)
        .outerjoin(owners, owners.c.id == _token.owner_id)
    )


def _told_of(user: str, role: str, company: str, until: int) -> Sequence[ColumnElement[bool]]:
    """The tokens of which a user is told by the mail of the while until then."""
    own = _token.owner_id == user
    return [
        _token.company_id == company,
        *(_token.warned_at >= until - WHILE_MS, _token.warned_at < until),
        _token.warned_of.is_not(None),
        *(_token.deactivated_at.is_(None), _token.replaced_by.is_(None)),
        or_(own, owners.c.id.is_not(None)) if role == ADMIN.id else own,
    ]


def _endings(reading: Reading, rows: Sequence[Row[Any]]) -> tuple[EndingToken, ...]:
    """The tokens that end, the first one first; not those that were used since."""
    unused = unused_ends(reading, [row.id for row in rows if row.warned_of == "unused"])
    latest = reading.now + max(UNUSED_WARN_DAYS) * DAY_MS
    found = []
    for row in rows:
        at = row.expires_at if row.warned_of == "expiry" else unused.get(row.id)
        if at is not None and (row.warned_of == "expiry" or at <= latest):
            found.append(_ending(reading, row, at))
    return tuple(sorted(found, key=lambda token: (token.ends_at, token.id)))


def _ending(reading: Reading, row: Row[Any], at: int) -> EndingToken:
    callers = 0
    if row.last_at is not None and row.last_at > reading.now - CALLERS_MS:
        since = {row.id: reading.now - CALLERS_MS}
        callers = len(observed_calls.callers(reading, since)[row.id])
    return EndingToken(
        id=row.id,
        label=row.label,
        owner=row.owner_name,
        ends_at=at,
        because=row.warned_of,
        days=days_left(at, reading.now),
        last_used_at=row.last_at,
        callers=callers,
    )
