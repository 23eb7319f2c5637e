"""Redeeming the code of a portal session for its token: once, within a minute, by its own page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, select

from gatepass.core.credentials import ADMIN_KEY, PORTAL_CODE, PORTAL_SESSION, make, matches, parse
from gatepass.core.domains import is_one_of
from gatepass.core.errors import BrokenLink, Forbidden
from gatepass.core.grants import Grant
from gatepass.registry.actor import Actor
from gatepass.registry.directory import portal_sessions as sessions
from gatepass.registry.grants.authorization import is_operator
from gatepass.registry.grants.publishing import (
    admits,
    publish,
    published_grant,
    published_holder,
    published_rules,
)
from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import owners, portal_sessions


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A session that was redeemed, with its token's text. ``expires_at`` is Unix ms."""

    token: str
    expires_at: int


def find(reading: Reading, text: str) -> Row[Any]:
    """The session of a code, whether or not the code is still valid.

    Raises:
        BrokenLink: ``code_broken``: the text is no code, or its secret is wrong.
    """
    code = parse(text)
    if code is None or code.prefix != PORTAL_CODE:
        raise _broken()
    found = (
        select(portal_sessions, owners.c.name.label("owner_name"))
        .join(owners, owners.c.id == portal_sessions.c.owner_id)
        .where(portal_sessions.c.id == sessions.session_id(code.id))
    )
    row = reading.session.execute(found).one_or_none()
    if row is None or not matches(code, row.code_digest):
        raise _broken()
    return row


def require_redeemable(
    reading: Reading,
    row: Row[Any],
    *,
    origins: Sequence[str],
    origin: str | None,
    address: str | None,
) -> int:
    """Require that a session's code can be redeemed by a request.

    Args:
        row: as ``find`` returned it.
        origins: that may redeem it, in their canonical spelling.
        origin: the Origin header; None if it is absent.
        address: the request's source address.

    Returns:
        When the session expires if it is redeemed now (Unix ms).

    Raises:
        BrokenLink: ``code_broken``: it was redeemed, it is older than a minute, or the session's
            owner, company or opener has ended.
        Forbidden: ``origin_not_allowed``, ``company_address_not_allowed``; the code stays valid.
    """
    now = reading.now
    if row.redeemed_at is not None or row.deactivated_at is not None or now >= row.expires_at:
        raise _broken()
    holder, rules = (
        published_holder(reading, row.owner_id),
        published_rules(reading, row.company_id),
    )
    ends = _opener_ends(reading, row.created_by)
    if holder is None or not (holder.active and rules.active) or now >= ends:
        raise _broken()
    if not is_one_of(origins, origin):
        raise Forbidden("The code can't be redeemed from this page.", reason="origin_not_allowed")
    if not admits(reading, rules, address):
        raise Forbidden(
            "The company's allowlist doesn't contain this address.",
            reason="company_address_not_allowed",
        )
    expires_at: int = min(now + row.lifetime_ms, ends)
    return expires_at


def redeem(
    change: Change, text: str, *, own_origin: str, origin: str | None, address: str | None
) -> Redeemed:
    """Redeem a code; the only answer with the session's token.

    Args:
        own_origin: of this installation, whose portal page may redeem every code.
        origin, address: as ``require_redeemable`` takes them.

    Raises:
        BrokenLink, Forbidden: as ``find`` and ``require_redeemable`` say.
    """
    row = find(change, text)
    origins = (*row.origins, own_origin)
    expires_at = require_redeemable(change, row, origins=origins, origin=origin, address=address)
    token = make(PORTAL_SESSION, row.id.removeprefix(f"{PORTAL_SESSION}_"))
    update_row(
        change,
        portal_sessions,
        row.id,
        digest=token.digest,
        redeemed_at=change.now,
        expires_at=expires_at,
    )
    publish(
        change,
        Grant(
            id=row.id,
            digest=token.digest,
            kind="portal",
            company=row.company_id,
            user=row.owner_id,
            label=row.created_by_name,
            permissions=frozenset(row.permissions),
            networks=None,
            domains=origins,
            expires_at=expires_at,
            deactivated=False,
        ),
    )
    # The page isn't known to be the owner's, who is therefore the subject and not the actor.
    page = replace(Actor.system(), address=address)
    after = {"expires_at": expires_at}
    sessions.record(change, page, "redeemed", row.id, row.owner_name, row.company_id, after=after)
    return Redeemed(token.text, expires_at)


def _opener_ends(reading: Reading, opener: str | None) -> int:
    """When the admin key or operator that opened a session ends (Unix ms); 0 if it has ended."""
    if opener is None:
        return LATEST_EXPIRY
    if not opener.startswith(f"{ADMIN_KEY}_"):
        return LATEST_EXPIRY if _is_active_operator(reading, opener) else 0
    key = published_grant(reading, opener)
    if key is None or key.deactivated:
        return 0
    return LATEST_EXPIRY if key.expires_at is None else key.expires_at


def _is_active_operator(reading: Reading, user: str) -> bool:
    holder = published_holder(reading, user)
    if holder is None or not holder.active:
        return False
    return published_rules(reading, holder.company).active and is_operator(reading, user)


def _broken() -> BrokenLink:
    return BrokenLink(
        "This code is broken: used, older than a minute, or ended.", reason="code_broken"
    )
