"""Authentications: what became of each sign-in. See ``sign_in`` for how one comes about."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select, tuple_, update

from gatepass.core.errors import NotFound
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication.session_records import (
    STORED,
    Authentication,
    authentication_of,
    grant_of,
)
from gatepass.registry.directory import users
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.text import storable
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.tables import authentications

__all__ = [
    "Authentication",
    "deactivate",
    "deactivate_others",
    "get",
    "list_",
    "other_active",
    "sign_out",
]

_DEACTIVATED = "authentication.deactivated"


def get(reading: Reading, actor: Actor, authentication_id: str) -> Authentication:
    """One's own, or with ``users:manage`` anyone's of the company.

    Raises:
        NotFound: there is none, or it isn't the actor's to see.
    """
    return authentication_of(_visible(reading, actor, authentication_id), reading.now, actor)


def list_(
    reading: Reading,
    actor: Actor,
    *,
    user: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Authentication]:
    """Sign-ins, newest first.

    Args:
        user: None for one's own; a user's id or ``all`` with ``users:manage``.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token; without ``users:manage``.
        NotFound: there is no such user in the company.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_signed_in()
    after, limit = read_cursor(cursor), read_limit(limit)
    wanted: list[Any] = []
    if actor.company is not None:
        wanted.append(authentications.c.company_id == actor.company)
    if user is None:
        wanted.append(authentications.c.user_id == actor.user)
    else:
        actor.require("users:manage")
        if user != "all":
            _require_colleague(reading, actor, user)
            wanted.append(authentications.c.user_id == user)
    key = tuple_(authentications.c.created_at, authentications.c.id)
    if after is not None:
        wanted.append(key < tuple_(after.number, after.id))
    rows = reading.session.execute(
        STORED.where(*wanted)
        .order_by(authentications.c.created_at.desc(), authentications.c.id.desc())
        .limit(limit + 1)
    ).all()
    page = rows[:limit]
    more = str(Cursor(page[-1].created_at, page[-1].id)) if len(rows) > limit else None
    now = reading.now
    return Page([authentication_of(row, now, actor) for row in page], more)


def deactivate(change: Change, actor: Actor, authentication_id: str) -> Authentication:
    """End one's own, or with ``users:manage`` anyone's of the company, for good.

    Repeating it changes nothing.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token; ``operator_required`` for
            someone else's who is an operator.
        NotFound: there is none, or it isn't the actor's to end.
    """
    actor = acting(change, actor, person=True)
    whose: str = _visible(change, actor, authentication_id).user_id
    if whose != actor.user:
        users.require_no_operator(actor, users.get(change, whose))
    return _end(change, actor, authentication_id, _DEACTIVATED)


def other_active(reading: Reading, actor: Actor) -> int:
    """How many of the actor's own sign-ins are good besides the one in use.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token.
    """
    actor.require_signed_in()
    return len(_others(reading, actor))


def deactivate_others(change: Change, actor: Actor) -> int:
    """End all of the actor's own sign-ins for good but the one in use; how many there were.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token.
    """
    actor = acting(change, actor, person=True)
    return end_others(change, actor)


def end_others(change: Change, actor: Actor) -> int:
    """End all of the actor's own sign-ins but the one in use, on the word of whoever calls: that
    the actor is who they are has been settled. How many there were."""
    return _end_all(change, actor, _others(change, actor))


def end_of_user(change: Change, actor: Actor, user_id: str) -> int:
    """End all sign-ins of a user of the actor's company, on the word of whoever calls: that the
    actor may has been settled. How many there were."""
    return _end_all(change, actor, _active(change, user_id))


def sign_out(change: Change, actor: Actor) -> Authentication:
    """End the authentication in use.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
    """
    actor.require_user()
    return _end(change, actor, str(actor.credential), "authentication.ended")


def _others(reading: Reading, actor: Actor) -> list[str]:
    return [each for each in _active(reading, actor.user) if each != actor.credential]


def _active(reading: Reading, user_id: str | None) -> Sequence[str]:
    table = authentications.c
    return reading.session.scalars(
        select(table.id).where(
            table.user_id == user_id,
            table.deactivated_at.is_(None),
            table.expires_at > reading.now,
        )
    ).all()


def _end_all(change: Change, actor: Actor, authentication_ids: Sequence[str]) -> int:
    for authentication_id in authentication_ids:
        _end(change, actor, authentication_id, _DEACTIVATED)
    return len(authentication_ids)


def _end(change: Change, actor: Actor, authentication_id: str, action: str) -> Authentication:
    now = change.now
    row = _visible(change, actor, authentication_id)
    if row.deactivated_at is None:
        change.session.execute(
            update(authentications)
            .where(authentications.c.id == row.id)
            .values(deactivated_at=now, deactivated_by=actor.user, deactivated_by_name=actor.name)
        )
        row = _visible(change, actor, authentication_id)
        publish(change, grant_of(row))
        subject = Subject("authentication", row.id, row.user_name)
        log.record(
            change,
            actor,
            action,
            subject,
            company=row.company_id,
            before={"deactivated_at": None},
            after={"deactivated_at": now},
        )
        # Whoever signs out gives the token up, and nobody wonders about it any more.
        if action == _DEACTIVATED:
            receipts.begin(change, [subject], company=row.company_id)
    return authentication_of(row, now, actor)


def _visible(reading: Reading, actor: Actor, authentication_id: str) -> Row[Any]:
    wanted = [authentications.c.id == authentication_id]
    if actor.company is not None:
        wanted.append(authentications.c.company_id == actor.company)
    if not actor.may("users:manage"):
        # Of colleagues' sign-ins one isn't even told that they exist.
        wanted.append(authentications.c.user_id == actor.user)
    fit = storable(authentication_id)
    row = reading.session.execute(STORED.where(*wanted)).one_or_none() if fit else None
    if row is None:
        raise NotFound("There is no such authentication.")
    return row


def _require_colleague(reading: Reading, actor: Actor, user: str) -> None:
    if actor.company not in (None, users.get(reading, user).company):
        raise NotFound("There is no such user.")
