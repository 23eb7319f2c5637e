"""Portal sessions: a platform lets a customer manage an owner's access tokens on its own page.

The platform's backend opens one and hands its code to the page. The page redeems the code
(``authentication.portal_codes``) for the session's token, which reaches the owner's access tokens
alone, for a while, from the session's origins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import ColumnElement, insert, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import PORTAL_CODE, PORTAL_SESSION, make
from gatepass.core.domains import parse_page_origin
from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import companies, owner_records
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.directory.owner_roles import require_open
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import deactivate_grants, published_roles
from gatepass.registry.input.permissions import read_token_permissions
from gatepass.registry.input.text import Problems, read_items, storable
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.rows import mark_deactivated
from gatepass.registry.storage.tables import portal_sessions

CODE_LIFETIME_MS = 60_000
LONGEST_LIFETIME_S = 3_600
MOST_ORIGINS = 10

_BATCH = 500


@dataclass(frozen=True, slots=True)
class PortalSession:
    """A portal session that was opened. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its token.
        code_expires_at: until then its code can be redeemed.
    """

    id: str
    code_expires_at: int


def create(
    change: Change,
    actor: Actor,
    *,
    catalogue: Catalogue,
    company: str,
    owner: str,
    origins: Sequence[str],
    expires_in: int,
    permissions: Sequence[str] | None = None,
) -> tuple[PortalSession, str]:
    """Open a session; return it with its code's text, which is returned only here.

    Args:
        company: an id.
        owner: the id of a service account or an external owner; or ``ext:`` and its external id.
        origins: of the pages that may use it, such as ``https://shop.example.com``.
        expires_in: its lifetime in seconds, from the redeeming of its code.
        permissions: what tokens that it creates or changes may hold; None is all that the owner's
            role has of the catalogue file.

    Raises:
        Forbidden: as ``acting`` says for the area ``portal``.
        NotFound: there is no such company or owner, or the admin key is limited to another company.
        Conflict: ``company_deactivated``, ``owner_deactivated``.
        InvalidInput: with all errors of ``origins``, ``permissions`` and ``expires_in``.
    """
    actor = acting(change, actor, area="portal")
    found = companies.find_active(change, actor, company)
    whose = owner_records.find(change, found.id, owner)
    owner_records.require_active(whose)
    problems = Problems()
    may_hold = _read_permissions(change, permissions, catalogue, whose, problems)
    values = {
        "origins": _read_origins(origins, problems),
        "permissions": may_hold,
        "lifetime_ms": _read_lifetime(expires_in, problems),
    }
    problems.settle()
    require_open(may_hold)
    code = make(PORTAL_CODE)
    session = PortalSession(session_id(code.id), change.now + CODE_LIFETIME_MS)
    change.session.execute(
        insert(portal_sessions),
        {
            **values,
            "id": session.id,
            "company_id": found.id,
            "owner_id": whose.id,
            "code_digest": code.digest,
            "expires_at": session.code_expires_at,
            "created_at": change.now,
            "created_by": actor.credential if actor.kind == "admin_key" else actor.user,
            "created_by_name": actor.name,
        },
    )
    after = {
        "owner": whose.id,
        "origins": values["origins"],
        "permissions": values["permissions"],
        "lifetime_ms": values["lifetime_ms"],
    }
    record(change, actor, "created", session.id, whose.name, found.id, after=after)
    return session, code.text


def session_id(code_id: str) -> str:
    """The id of the session that a code with that id opens."""
    return PORTAL_SESSION + code_id.removeprefix(PORTAL_CODE)


def origins_of(reading: Reading, session: str) -> tuple[str, ...]:
    """The origins of the session with that id; none if there is no such session."""
    if not storable(session):
        return ()
    found = select(portal_sessions.c.origins).where(portal_sessions.c.id == session)
    return tuple(reading.session.scalar(found) or ())


def end_opened_by(change: Change, actor: Actor, opener: str) -> None:
    """Deactivate the live sessions that an admin key or a user, by id, opened.

    Performs no permission check; the operation that deactivates the opener has done it.
    """
    _end(change, actor, portal_sessions.c.created_by == opener)


def end_each(change: Change, actor: Actor, ids: Sequence[str]) -> None:
    """Deactivate the live ones of these sessions. Performs no permission check."""
    _end(change, actor, portal_sessions.c.id.in_(ids))


def _end(change: Change, actor: Actor, condition: ColumnElement[bool]) -> None:
    its = portal_sessions.c
    live = select(its.id, its.company_id, tables.owners.c.name).where(
        condition,
        its.expires_at > change.now,
        its.deactivated_at.is_(None),
        tables.owners.c.id == its.owner_id,
    )
    rows = change.session.execute(live.order_by(its.company_id, its.id)).all()
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        ids = [row.id for row in batch]
        mark_deactivated(change, actor, portal_sessions, its.id.in_(ids))
        deactivate_grants(change, ids)
        for company, ended in groupby(batch, lambda row: row.company_id):
            log.record_each(
                change,
                actor,
                "portal_session.deactivated",
                [Subject("portal_session", row.id, row.name) for row in ended],
                company=company,
                before={"deactivated_at": None},
                after={"deactivated_at": change.now},
            )


def record(
    write: Write,
    actor: Actor,
    what: str,
    session: str,
    owner_name: str,
    company: str,
    *,
    after: Mapping[str, object],
) -> None:
    """Write the audit event ``portal_session.{what}`` of the session with that id."""
    subject = Subject("portal_session", session, owner_name)
    log.record(write, actor, f"portal_session.{what}", subject, company=company, after=after)


def _read_origins(value: object, problems: Problems) -> list[str]:
    found: dict[str, None] = {}
    items = read_items("origins", value, MOST_ORIGINS, problems)
    for number, item in enumerate(items):
        origin = parse_page_origin(item)
        if origin is None:
            problems.add(
                f"origins.{number}",
                "Must be an origin such as https://shop.example.com; http only for localhost.",
            )
        else:
            found[origin] = None
    if value in ([], ()):
        problems.add("origins", "Must have at least one.")
    return list(found)


def _read_permissions(
    reading: Reading, value: object, catalogue: Catalogue, owner: Owner, problems: Problems
) -> list[str]:
    role = published_roles(reading, owner.company).get(owner.role, frozenset())
    if value is None:
        return sorted(name for name in catalogue.for_external if covers(role, name))
    found = read_token_permissions(value, catalogue, owner.type, problems)
    for number, name in enumerate(found):
        if not covers(role, name):
            problems.add(
                f"permissions.{number}", "Must be a permission that the owner's role grants."
            )
    return found


def _read_lifetime(value: object, problems: Problems) -> int:
    if type(value) is int and 1 <= value <= LONGEST_LIFETIME_S:
        return value * 1_000
    problems.add("expires_in", f"Must be a whole number from 1 to {LONGEST_LIFETIME_S}.")
    return 0
