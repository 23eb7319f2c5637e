"""Authentications: listing and deactivating sign-ins. ``sign_in`` creates them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, select

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
from gatepass.registry.directory.user_privileges import require_no_operator
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.rows import find, mark_deactivated, of_company
from gatepass.registry.storage.tables import authentications

_DEACTIVATED = "authentication.deactivated"


def get(reading: Reading, actor: Actor, authentication_id: str) -> Authentication:
    """One authentication: the actor's own, or with ``users:manage`` any of the company.

    Raises:
        NotFound: there is none, or the actor may not see it.
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
    """A page of authentications, newest first.

    Args:
        user: None for the actor's own; a user's id or ``all`` with ``users:manage``.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token; without ``users:manage``.
        NotFound: there is no such user in the company.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_signed_in()
    wanted = of_company(actor, authentications)
    if user is None:
        wanted.append(authentications.c.user_id == actor.user)
    else:
        actor.require("users:manage")
        if user != "all":
            _require_colleague(reading, actor, user)
            wanted.append(authentications.c.user_id == user)
    page, more = newest_first(
        reading, STORED.where(*wanted), authentications, limit=limit, cursor=cursor
    )
    return Page([authentication_of(row, reading.now, actor) for row in page], more)


def deactivate(change: Change, actor: Actor, authentication_id: str) -> Authentication:
    """Deactivate one's own, or with ``users:manage`` any of the company. Idempotent.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token; ``operator_required`` for
            another user who is an operator.
        NotFound: there is none, or the actor may not see it.
    """
    actor = acting(change, actor, person=True)
    whose: str = _visible(change, actor, authentication_id).user_id
    if whose != actor.user:
        require_no_operator(actor, users.get(change, whose))
    return _end(change, actor, authentication_id, _DEACTIVATED)


def other_active(reading: Reading, actor: Actor) -> int:
    """How many active authentications the actor has besides the one in use.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token.
    """
    actor.require_signed_in()
    return len(_others(reading, actor))


def deactivate_others(change: Change, actor: Actor) -> int:
    """Deactivate all of the actor's authentications but the one in use; returns their number.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token.
    """
    actor = acting(change, actor, person=True)
    return end_others(change, actor)


def end_others(change: Change, actor: Actor) -> int:
    """As ``deactivate_others``. Performs no permission check; the caller must have done it."""
    return end_each(change, actor, _others(change, actor))


def end_of_user(change: Change, actor: Actor, user_id: str) -> int:
    """Deactivate all authentications of a user of the actor's company; returns their number.

    Performs no permission check; the caller must have done it.
    """
    return end_each(change, actor, _active(change, user_id))


def end_of_provider(change: Change, actor: Actor, user_id: str) -> int:
    """Deactivate a user's sign-ins with the OIDC provider, but not the actor's own in use.

    Performs no permission check; the caller must have done it.
    """
    # Sign-ins with a password have no value there.
    by_provider = authentications.c.provider_second_factor.is_not(None)
    found = [each for each in _active(change, user_id, by_provider) if each != actor.credential]
    return end_each(change, actor, found)


def sign_out(change: Change, actor: Actor) -> Authentication:
    """Deactivate the authentication in use.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
    """
    actor.require_user()
    return _end(change, actor, str(actor.credential), "authentication.ended")


def _others(reading: Reading, actor: Actor) -> list[str]:
    return [each for each in _active(reading, actor.user) if each != actor.credential]


def _active(reading: Reading, user_id: str | None, *more: ColumnElement[bool]) -> Sequence[str]:
    table = authentications.c
    return reading.session.scalars(
        select(table.id).where(
            table.user_id == user_id,
            table.deactivated_at.is_(None),
            table.expires_at > reading.now,
            *more,
        )
    ).all()


def end_each(change: Change, actor: Actor, authentication_ids: Sequence[str]) -> int:
    """Deactivate authentications that the actor may see; returns their number.

    Performs no further permission check; the caller must have done it.
    """
    for authentication_id in authentication_ids:
        _end(change, actor, authentication_id, _DEACTIVATED)
    return len(authentication_ids)


def _end(change: Change, actor: Actor, authentication_id: str, action: str) -> Authentication:
    now = change.now
    row = _visible(change, actor, authentication_id)
    if row.deactivated_at is None:
        mark_deactivated(change, actor, authentications, authentications.c.id == row.id)
        row = _visible(change, actor, authentication_id)
        publish(change, grant_of(row))
        subject = Subject("authentication", row.id, row.user_name)
        before, after = {"deactivated_at": None}, {"deactivated_at": now}
        company = row.company_id
        log.record(change, actor, action, subject, company=company, before=before, after=after)
        # No receipt for signing out: the user gave up the token.
        if action == _DEACTIVATED:
            receipts.begin(change, [subject], company=company)
    return authentication_of(row, now, actor)


def _visible(reading: Reading, actor: Actor, authentication_id: str) -> Row[Any]:
    wanted = [authentications.c.id == authentication_id, *of_company(actor, authentications)]
    if not actor.may("users:manage"):
        # Without users:manage, colleagues' authentications must look as if they didn't exist.
        wanted.append(authentications.c.user_id == actor.user)
    return find(reading, STORED.where(*wanted), authentication_id, "authentication")


def _require_colleague(reading: Reading, actor: Actor, user: str) -> None:
    if actor.company not in (None, users.get(reading, user).company):
        raise NotFound("There is no such user.")
