"""Verifier keys: what a gateway or service shows when it asks for decisions. Operators only."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, select, tuple_, update

from gatepass.core.credentials import VERIFIER_KEY, make
from gatepass.core.errors import NotFound
from gatepass.core.grants import Grant
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.text import read_label, storable
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.tables import verifier_keys


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """One verifier key, without its text. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its text.
    """

    id: str
    label: str
    status: Literal["active", "deactivated"]
    created_at: int
    created_by: Person
    deactivated_at: int | None
    deactivated_by: Person | None


def create(change: Change, actor: Actor, *, label: str) -> tuple[VerifierKey, str]:
    """Make a key; its text is returned here and nowhere else, ever.

    Raises:
        Forbidden: ``operator_required``, or ``signed_in_user_required`` for an access token.
        InvalidInput: for ``label``; 1–100 characters without control characters.
    """
    actor = acting(change, actor, person=True, operator=True)
    read_label("label", label)
    credential = make(VERIFIER_KEY)
    change.session.execute(
        insert(verifier_keys),
        {
            "id": credential.id,
            "digest": credential.digest,
            "label": label,
            "created_at": change.now,
            "created_by": actor.user,
            "created_by_name": actor.name,
        },
    )
    row = _find(change, credential.id)
    publish(change, _grant(row))
    _record(change, actor, "verifier_key.created", row, after={"label": label})
    return _key(row), credential.text


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[VerifierKey]:
    """The installation's keys, newest first.

    Raises:
        Forbidden: ``operator_required``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_operator()
    after, limit = read_cursor(cursor), read_limit(limit)
    table = verifier_keys.c
    key = tuple_(table.created_at, table.id)
    found = select(verifier_keys).order_by(table.created_at.desc(), table.id.desc())
    if after is not None:
        found = found.where(key < tuple_(after.number, after.id))
    rows = reading.session.execute(found.limit(limit + 1)).all()
    page = rows[:limit]
    more = str(Cursor(page[-1].created_at, page[-1].id)) if len(rows) > limit else None
    return Page([_key(row) for row in page], more)


def deactivate(change: Change, actor: Actor, key_id: str) -> VerifierKey:
    """End a key at once, for good. Repeating it changes nothing.

    Raises:
        Forbidden: ``operator_required``, or ``signed_in_user_required`` for an access token.
        NotFound: there is none of that id.
    """
    actor = acting(change, actor, person=True, operator=True)
    row = _find(change, key_id)
    if row.deactivated_at is not None:
        return _key(row)
    change.session.execute(
        update(verifier_keys)
        .where(verifier_keys.c.id == key_id)
        .values(
            deactivated_at=change.now,
            deactivated_by=actor.user,
            deactivated_by_name=actor.name,
        )
    )
    row = _find(change, key_id)
    publish(change, _grant(row))
    _record(
        change,
        actor,
        "verifier_key.deactivated",
        row,
        before={"deactivated_at": None},
        after={"deactivated_at": row.deactivated_at},
    )
    receipts.begin(change, [_subject(row)], company=None, embedded_too=False)
    return _key(row)


def _find(reading: Reading, key_id: str) -> Row[Any]:
    select_key = select(verifier_keys).where(verifier_keys.c.id == key_id)
    row = reading.session.execute(select_key).one_or_none() if storable(key_id) else None
    if row is None:
        raise NotFound("There is no such verifier key.")
    return row


def _record(
    write: Write,
    actor: Actor,
    action: str,
    row: Row[Any],
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any],
) -> None:
    # It belongs to the installation: no company reads of it in its own log.
    log.record(write, actor, action, _subject(row), company=None, before=before, after=after)


def _subject(row: Row[Any]) -> Subject:
    return Subject("verifier_key", row.id, row.label)


def _key(row: Row[Any]) -> VerifierKey:
    ended = row.deactivated_at is not None
    return VerifierKey(
        id=row.id,
        label=row.label,
        status="deactivated" if ended else "active",
        created_at=row.created_at,
        created_by=Person(row.created_by, row.created_by_name),
        deactivated_at=row.deactivated_at,
        deactivated_by=Person(row.deactivated_by, row.deactivated_by_name) if ended else None,
    )


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        digest=row.digest,
        kind="verifier",
        company="",
        user="",
        label=row.label,
        permissions=frozenset(),
        networks=None,
        domains=(),
        expires_at=None,
        deactivated=row.deactivated_at is not None,
    )
