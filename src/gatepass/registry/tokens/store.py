"""Access tokens as stored, with the grants, index entries and audit events that follow.

Performs no permission check: the operations do.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, insert

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import ACCESS_TOKEN, make
from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import users
from gatepass.registry.grants.publishing import publish, publish_grants
from gatepass.registry.input.text import folded
from gatepass.registry.replication import receipts
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.rows import mark_deactivated, require_unchanged, update_row
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import external_ids, token_owners
from gatepass.registry.tokens import input as fields
from gatepass.registry.tokens.calls import recency
from gatepass.registry.tokens.lists import indexing
from gatepass.registry.tokens.policy import approval, policy_enforcement
from gatepass.registry.tokens.records import (
    STORED,
    AccessToken,
    etag,
    grant_of,
    new_token,
    tokens_of,
)
from gatepass.registry.tokens.rotation_records import LONGEST_CLOSING_S
from gatepass.registry.tokens.token_owners import NewOwner


def find(
    reading: Reading, company: str | None, token_id: str, *, owner: str | None = None
) -> Row[Any]:
    """The row of ``STORED`` of one token.

    Args:
        company: an id; None is any company.
        owner: likewise.

    Raises:
        NotFound: there is none, or it is another company's or owner's.
    """
    wanted = STORED.where(access_tokens.c.id == token_id)
    if owner is not None:
        wanted = wanted.where(access_tokens.c.owner_id == owner)
    if company is not None:
        wanted = wanted.where(access_tokens.c.company_id == company)
    return rows.find(reading, wanted, token_id, "access token")


def token_of(reading: Reading, row: Row[Any]) -> AccessToken:
    """The record of a row of ``STORED``."""
    return tokens_of(reading, [row])[0]


def add(
    change: Change,
    actor: Actor,
    company: str,
    new_owner: NewOwner,
    found: Mapping[str, Any],
    *,
    kind: str,
    form_id: str | None = None,
) -> tuple[AccessToken, str]:
    """Create a token and return it with its text.

    Args:
        company: an id.
        found: its fields, as ``input.read`` returns them; and ``replaces``, the id of the token
            that it replaces, with what ``approval.kept`` returns.

    Raises:
        InvalidInput: the company's policy doesn't allow it, with an error by field.
        Conflict: ``external_id_taken``.
    """
    found = policy_enforcement.require_of_new(change, company, kind, found)
    external_ids.claim(change, company, found["external_id"])
    credential = make(ACCESS_TOKEN)
    maker = actor.person
    if maker.id is not None and not users.is_user(maker.id):
        # A service account's token has rotated itself; the column names a user.
        maker = Person(None, maker.name)
    columns = {
        "id": credential.id,
        "company_id": company,
        "digest": credential.digest,
        "kind": kind,
        "label_folded": folded(found["label"]),
        "created_at": change.now,
        "owner_id": new_owner.owner.id,
        "created_by": maker.id,
        # A user's name is read from their record.
        "created_by_name": None if maker.id else maker.name,
        "form_id": form_id,
        "deactivated_at": None,
        "unused_set_at": None if found["unused_days"] is None else change.now,
        # A round looks at it.
        "warn_at": 0 if found["expires_at"] or found["unused_days"] else None,
        **found,
        **approval.of_new_token(change, company, found),
    }
    change.session.execute(insert(access_tokens), columns)
    indexing.add(change, columns)
    recency.add(change, columns)
    publish(change, grant_of(columns))
    token = new_token(columns, new_owner.owner, maker, new_owner.permits)
    after = {**found, "kind": kind}
    if token.owner.id != actor.user:
        after |= {"owner": token.owner.id, "owner_name": token.owner.name}
    _record(change, actor, "created", token, after=after)
    if token.status == "pending":
        _record(change, actor, "pending", token)
    return token, credential.text


def read_changes(
    change: Change,
    row: Row[Any],
    changes: Mapping[str, object],
    *,
    catalogue: Catalogue,
    if_match: Collection[str] | None,
) -> dict[str, Any]:
    """Parse the changes of a token, which must be active or pending.

    Raises:
        Conflict: ``changed_meanwhile``, ``token_deactivated`` or ``token_expired``, with the
            ``current`` record.
        InvalidInput: with all errors of the fields; or those by the company's policy.
    """
    token = token_of(change, row)
    require_unchanged(token, etag(token), if_match, "this token")
    require_active(token, "changed", pending=True)
    found = fields.read(
        changes,
        kind=row.kind,
        catalogue=catalogue,
        owner_type=row.owner_type,
        stored=row.permissions,
        now=change.now,
    )
    if row.replaced_by is not None and "expires_at" in found:
        _require_closing(found["expires_at"], row.rotated_at)
    return policy_enforcement.require_of_changed(change, row, found)


def _require_closing(expires_at: int | None, rotated_at: int) -> None:
    """Require that a replaced token still closes; *rotated_at* is when it was replaced."""
    if expires_at is None or expires_at > rotated_at + 1_000 * LONGEST_CLOSING_S:
        days = LONGEST_CLOSING_S // 86_400
        raise InvalidInput(
            [("expires_at", f"Must be within {days} days of the token's replacement.")]
        )


def require_active(token: AccessToken, what: str, *, pending: bool = False) -> None:
    """Require that *token* is active, to be *what*, such as ``changed``.

    Args:
        pending: whether it may be pending as well.

    Raises:
        Conflict: ``token_deactivated``, ``token_expired`` or ``token_pending``, with the
            ``current`` record.
    """
    if token.status != "active" and not (pending and token.status == "pending"):
        raise Conflict(
            f"This token is {token.status} and can't be {what}.",
            reason=f"token_{token.status}",
            current=token,
        )


def update(change: Change, actor: Actor, row: Row[Any], found: Mapping[str, Any]) -> AccessToken:
    """Change the fields *found* of a token. If all values stay the same, nothing is written.

    Raises:
        Forbidden: ``permission_missing``: its owner isn't a user, and their role doesn't grant a
            permission that it gets.
        Conflict: ``external_id_taken``; ``approval_required``, with the ``current`` record.
    """
    added = set(found.get("permissions", ())) - set(row.permissions)
    token_owners.require_granted(change, row, added)
    before = {name: getattr(row, name) for name in found}
    after = {name: value for name, value in found.items() if value != before[name]}
    if not after:
        return token_of(change, row)
    if "external_id" in after or "expires_at" in after:
        # By the clock of another node it may have expired, and its external id be another's.
        external_id = after.get("external_id", row.external_id)
        external_ids.claim(change, row.company_id, external_id, but=row.id)
    values = dict(after)
    if "permissions" in after:
        token = token_of(change, row)
        values |= approval.of_changed_token(change, actor, token, after["permissions"])
    if "label" in after:
        values["label_folded"] = folded(after["label"])
    if "expires_at" in after:
        values |= {"lapsed_at": None, "warn_at": 0, "warned_at": change.now, "warned_of": None}
        recency.set_life(change, [row.id], "active")
    if "unused_days" in after:
        set_at = None if after["unused_days"] is None else change.now
        values |= {"unused_set_at": set_at, "warn_at": 0}
    update_row(change, access_tokens, row.id, **values)
    former_row, row = row, find(change, row.company_id, row.id)
    indexing.replace(change, former_row._mapping, row._mapping)
    publish(change, grant_of(row._mapping))
    former = {name: before[name] for name in after}
    changed = token_of(change, row)
    _record(change, actor, "modified", changed, before=former, after=after)
    return changed


def end(change: Change, actor: Actor, row: Row[Any]) -> AccessToken:
    """Deactivate a token, unless it is deactivated already."""
    if row.deactivated_at is None:
        revoke(change, actor, [row.id])
        row = find(change, row.company_id, row.id)
    return token_of(change, row)


def revoke(change: Change, actor: Actor, ids: Sequence[str], *, receipt: bool = True) -> None:
    """Deactivate active tokens of one company, each with an audit event and a receipt.

    Their ``deactivated_by`` is the actor, or its cause.

    Args:
        receipt: False if the caller begins one for all.
    """
    these = access_tokens.c.id.in_(ids)
    mark_deactivated(change, actor, access_tokens, these)
    recency.set_life(change, ids, "deactivated")
    ended = change.session.execute(
        STORED.where(these).order_by(access_tokens.c.created_at, access_tokens.c.id)
    ).all()
    publish_grants(change, [grant_of(row._mapping) for row in ended])
    subjects, company = [_subject(row) for row in ended], ended[0].company_id
    if receipt:
        receipts.begin(change, subjects, company=company)
    log.record_each(
        change,
        actor,
        "access_token.deactivated",
        subjects,
        company=company,
        before={"deactivated_at": None},
        after={"deactivated_at": change.now},
    )


def _record(
    write: Write, actor: Actor, verb: str, token: AccessToken, **fields: dict[str, Any]
) -> None:
    action, subject = f"access_token.{verb}", _subject(token)
    log.record(write, actor, action, subject, company=token.company, **fields)


def _subject(token: Row[Any] | AccessToken) -> Subject:
    return Subject("access_token", token.id, token.label)
