"""Verifier keys: the credentials of gateways and services that ask for decisions.

Operators manage them; an admin key may create some. A limited key decides for the companies that it
names, and to it every other token is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, select

from gatepass.core.credentials import VERIFIER_KEY, make
from gatepass.core.errors import NotFound
from gatepass.core.grants import Grant
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import companies as directory
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.text import Problems, label_problem, read_items
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.rows import (
    deactivated_by,
    find,
    mark_deactivated,
    record_of,
    status_of,
)
from gatepass.registry.storage.tables import verifier_keys

#: As many as a follower of the feed may name.
MOST_COMPANIES = 200


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """One verifier key, without its text. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its text.
        companies: the ids of the companies that it is limited to; None is no limit.
    """

    id: str
    label: str
    companies: Sequence[str] | None
    status: Literal["active", "deactivated"]
    created_at: int
    created_by: Person
    deactivated_at: int | None
    deactivated_by: Person | None


def create(
    change: Change, actor: Actor, *, label: str, companies: Sequence[str] | None = None
) -> tuple[VerifierKey, str]:
    """Create a key. Its text is returned only here.

    Args:
        companies: the ids of the companies that it is limited to; None is no limit. An admin key of
            one company must name that one.

    Raises:
        Forbidden: as ``acting`` says for the area ``verifiers``.
        NotFound: the admin key is limited to another company.
        InvalidInput: for ``label`` or ``companies``.
    """
    actor = acting(change, actor, area="verifiers")
    problems = Problems()
    problem = label_problem(label)
    if problem is not None:
        problems.add("label", problem)
    companies = None if companies is None else _read_companies(change, actor, companies, problems)
    if companies is None and actor.kind == "admin_key" and actor.company is not None:
        problems.add("companies", "Must name the admin key's company.")
    problems.settle()
    credential = make(VERIFIER_KEY)
    change.session.execute(
        insert(verifier_keys),
        {
            "id": credential.id,
            "digest": credential.digest,
            "label": label,
            "companies": companies,
            "created_at": change.now,
            "created_by": actor.user,
            "created_by_name": actor.name,
        },
    )
    row = _find(change, credential.id)
    publish(change, _grant(row))
    limits = {} if companies is None else {"companies": companies}
    _record(change, actor, "created", row, after={"label": label, **limits})
    return _key(row), credential.text


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[VerifierKey]:
    """A page of the installation's keys, newest first.

    Raises:
        Forbidden: ``operator_required``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_operator()
    page, more = newest_first(
        reading, select(verifier_keys), verifier_keys, limit=limit, cursor=cursor
    )
    return Page([_key(row) for row in page], more)


def get(reading: Reading, actor: Actor, key_id: str) -> VerifierKey:
    """One key.

    Raises:
        Forbidden: ``operator_required``.
        NotFound: there is none of that id.
    """
    actor.require_operator()
    return _key(_find(reading, key_id))


def deactivate(change: Change, actor: Actor, key_id: str) -> VerifierKey:
    """Deactivate a key for good. Idempotent.

    Raises:
        Forbidden: ``operator_required``; ``signed_in_user_required`` for an access token, and
            ``admin_key`` for an admin key.
        NotFound: there is none of that id.
    """
    actor = acting(change, actor, person=True, operator=True)
    row = _find(change, key_id)
    if row.deactivated_at is not None:
        return _key(row)
    mark_deactivated(change, actor, verifier_keys, verifier_keys.c.id == key_id)
    row = _find(change, key_id)
    publish(change, _grant(row))
    before, after = {"deactivated_at": None}, {"deactivated_at": row.deactivated_at}
    _record(change, actor, "deactivated", row, before=before, after=after)
    receipts.begin(change, [_subject(row)], company=None, embedded_too=False)
    return _key(row)


def _read_companies(reading: Reading, actor: Actor, value: object, problems: Problems) -> list[str]:
    items = read_items("companies", value, MOST_COMPANIES, problems)
    if not items and not problems.errors:
        problems.add("companies", "Must have at least one entry, or be left out.")
    for number, item in enumerate(items):
        if actor.kind == "admin_key" and actor.company not in (None, item):
            raise NotFound("There is no such company.")
        if not isinstance(item, str) or not directory.is_active(reading, item):
            problems.add(f"companies.{number}", "Must be the id of an active company.")
    return [str(item) for item in dict.fromkeys(items)]


def _find(reading: Reading, key_id: str) -> Row[Any]:
    rows = select(verifier_keys).where(verifier_keys.c.id == key_id)
    return find(reading, rows, key_id, "verifier key")


def _record(write: Write, actor: Actor, verb: str, row: Row[Any], **fields: dict[str, Any]) -> None:
    # Keys belong to the installation, so no company sees these events in its log.
    log.record(write, actor, f"verifier_key.{verb}", _subject(row), company=None, **fields)


def _subject(row: Row[Any]) -> Subject:
    return Subject("verifier_key", row.id, row.label)


def _key(row: Row[Any]) -> VerifierKey:
    return record_of(
        VerifierKey,
        row,
        status=status_of(row),
        created_by=Person(row.created_by, row.created_by_name),
        deactivated_by=deactivated_by(row),
    )


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        digest=row.digest,
        kind="verifier" if row.companies is None else "limited-verifier",
        company="",
        user="",
        label=row.label,
        permissions=frozenset(row.companies or ()),
        networks=None,
        domains=(),
        expires_at=None,
        deactivated=row.deactivated_at is not None,
    )
