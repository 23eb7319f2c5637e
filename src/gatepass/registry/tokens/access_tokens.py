"""Access tokens: create, read, modify, deactivate."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, insert, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import ACCESS_TOKEN, make
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, publish_grants
from gatepass.registry.input.text import folded, storable
from gatepass.registry.replication import receipt_status, receipts
from gatepass.registry.replication.receipt_status import Receipt
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.rows import (
    find,
    mark_deactivated,
    require_unchanged,
    update_row,
)
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import indexing, token_owners
from gatepass.registry.tokens import input as fields
from gatepass.registry.tokens.records import (
    STORED,
    AccessToken,
    etag,
    grant_of,
    new_token,
    tokens_of,
    visible_to,
)

_LONGEST_FORM_ID = 100


def create(
    change: Change,
    actor: Actor,
    *,
    catalogue: Catalogue,
    label: str,
    kind: str,
    permissions: Sequence[str],
    expires_at: int | None = None,
    networks: Sequence[str] = (),
    domains: Sequence[str] = (),
    owner: str | None = None,
    form_id: str | None = None,
) -> tuple[AccessToken, str]:
    """Create a token and return it with its text, which can't be read again.

    A portal session needs no permission but those of the token, and creates tokens of its owner.

    Args:
        expires_at: Unix ms, in the future; None is never.
        owner: the id of the actor, or of a service account or external owner of its company; or
            ``ext:`` and an external id. None is the actor; in a portal session its owner.
        form_id: id of the form that requests it; a form creates one token at most.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:create``, or without one of
            the *permissions*; for another owner also without ``service-accounts:manage``, or if its
            role doesn't grant one of the *permissions*; ``not_owner``: the owner is another user.
        NotFound: there is no such owner, or it is another company's.
        InvalidInput: with all errors of the fields.
        Conflict: ``form_already_used``; ``current`` is the id of the token that it created;
            ``owner_deactivated``.
    """
    actor = acting(change, actor, "access-tokens:create", person=True, portal=True)
    if actor.user is None or actor.company is None:
        raise Forbidden(
            "Only a signed-in user can create an access token.", reason="signed_in_user_required"
        )
    if form_id is not None:
        _require_unused_form(change, actor.user, form_id)
    now = change.now
    new_owner = token_owners.of_new_token(change, actor, owner)
    found = fields.read(
        {
            "label": label,
            "permissions": permissions,
            "networks": networks,
            "domains": domains,
            "expires_at": expires_at,
        },
        kind=kind,
        catalogue=catalogue,
        owner_type=new_owner.owner.type,
        now=now,
    )
    actor.require_held(found["permissions"])
    new_owner.require_granted(found["permissions"])
    credential = make(ACCESS_TOKEN)
    columns = {
        "id": credential.id,
        "company_id": actor.company,
        "digest": credential.digest,
        "kind": kind,
        "label_folded": folded(label),
        "created_at": now,
        "owner_id": new_owner.owner.id,
        "created_by": actor.person.id,
        "created_by_name": None if actor.person.id else actor.name,
        "form_id": form_id,
        "deactivated_at": None,
        **found,
    }
    change.session.execute(insert(access_tokens), columns)
    indexing.add(change, columns)
    publish(change, grant_of(columns))
    token = new_token(columns, new_owner.owner, actor.person, new_owner.permits)
    after = {**found, "kind": kind}
    if token.owner.id != actor.user:
        after |= {"owner": token.owner.id, "owner_name": token.owner.name}
    _record(change, actor, "created", token, after=after)
    return token, credential.text


def get(reading: Reading, actor: Actor, token_id: str) -> AccessToken:
    """One token of the actor's company; in a portal session, of its owner.

    Raises:
        Forbidden: without ``access-tokens:get``.
        NotFound: there is none that the actor sees.
    """
    actor.require("access-tokens:get", portal=True)
    return _token(reading, _find(reading, actor, token_id))


def modify(
    change: Change,
    actor: Actor,
    token_id: str,
    *,
    catalogue: Catalogue,
    changes: Mapping[str, object],
    if_match: Collection[str] | None = None,
) -> AccessToken:
    """Change the fields in *changes*: label, permissions, networks, domains, expires_at.

    If all values stay the same, no audit event is written. A portal session needs no permission
    but those of the token, which must be its owner's.

    Args:
        if_match: the ETags of versions that may be changed; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:modify``, or without a
            permission that the token has or gets; the token is a service account's or an external
            owner's, whose role doesn't grant a permission that it gets.
        NotFound: there is none, or it is another company's.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``token_deactivated`` or
            ``token_expired``: such a token can't be changed.
        InvalidInput: with all errors of the fields.
    """
    actor = acting(change, actor, "access-tokens:modify", person=True, portal=True)
    row = _find(change, actor, token_id)
    token = _token(change, row)
    require_unchanged(token, etag(token), if_match, "this token")
    if token.status != "active":
        raise Conflict(
            f"This token is {token.status} and can't be changed.",
            reason=f"token_{token.status}",
            current=token,
        )
    found = fields.read(
        changes, kind=row.kind, catalogue=catalogue, owner_type=row.owner_type, now=change.now
    )
    actor.require_held([*row.permissions, *found.get("permissions", ())])
    added = set(found.get("permissions", ())) - set(row.permissions)
    token_owners.require_granted(change, row, added)
    before = {name: getattr(row, name) for name in found}
    after = {name: value for name, value in found.items() if value != before[name]}
    if not after:
        return token
    values = dict(after)
    if "label" in after:
        values["label_folded"] = folded(after["label"])
    if "expires_at" in after:
        values["lapsed_at"] = None
    update_row(change, access_tokens, row.id, **values)
    former_row, row = row, _find(change, actor, row.id)
    indexing.replace(change, former_row._mapping, row._mapping)
    publish(change, grant_of(row._mapping))
    former = {name: before[name] for name in after}
    changed = _token(change, row)
    _record(change, actor, "modified", changed, before=former, after=after)
    return changed


def deactivate(change: Change, actor: Actor, token_id: str) -> AccessToken:
    """Deactivate a token permanently. Repeating it changes nothing.

    Signed-in users and portal sessions may deactivate their own tokens. An access token needs the
    permission for all.

    Raises:
        Forbidden: without ``access-tokens:deactivate``, for a token of another owner.
        NotFound: there is none, or it is another company's.
    """
    actor = acting(change, actor, portal=True)
    row = _find(change, actor, token_id)
    if actor.kind == "token" or row.owner_id != actor.user:
        actor.require("access-tokens:deactivate")
    if row.deactivated_at is None:
        revoke(change, actor, [row.id])
        row = _find(change, actor, row.id)
    return _token(change, row)


def revoke(change: Change, actor: Actor, ids: Sequence[str]) -> None:
    """Deactivate active tokens of one company, each with a receipt and an audit event.

    Performs no permission check; the caller must have done it.
    """
    these = access_tokens.c.id.in_(ids)
    mark_deactivated(change, actor, access_tokens, these)
    rows = change.session.execute(
        STORED.where(these).order_by(access_tokens.c.created_at, access_tokens.c.id)
    ).all()
    publish_grants(change, [grant_of(row._mapping) for row in rows])
    subjects, company = [_subject(row) for row in rows], rows[0].company_id
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


def receipt(reading: Reading, actor: Actor, token_id: str) -> Receipt:
    """The receipt of an access token's deactivation.

    Raises:
        Forbidden: without ``access-tokens:get``.
        NotFound: there is no such token, it isn't deactivated, or its receipt is only kept in the
            audit log any more.
    """
    actor.refuse_portal_session()
    token = get(reading, actor, token_id)
    found = receipt_status.find(reading, token.id)
    if found is None:
        raise NotFound("There is no receipt of this access token's deactivation.")
    return found


def _find(reading: Reading, actor: Actor, token_id: str) -> Row[Any]:
    rows = STORED.where(access_tokens.c.id == token_id, *visible_to(actor))
    return find(reading, rows, token_id, "access token")


def _record(
    write: Write, actor: Actor, verb: str, token: AccessToken, **fields: dict[str, Any]
) -> None:
    action, subject = f"access_token.{verb}", _subject(token)
    log.record(write, actor, action, subject, company=token.company, **fields)


def _subject(token: Row[Any] | AccessToken) -> Subject:
    return Subject("access_token", token.id, token.label)


def _token(reading: Reading, row: Row[Any]) -> AccessToken:
    return tokens_of(reading, [row])[0]


def _require_unused_form(reading: Reading, user: str, form_id: str) -> None:
    if not 1 <= len(form_id) <= _LONGEST_FORM_ID or not storable(form_id):
        raise InvalidInput([("form_id", "Must be the id of a form from this installation.")])
    created = reading.session.execute(
        select(access_tokens.c.id).where(
            access_tokens.c.created_by == user, access_tokens.c.form_id == form_id
        )
    ).scalar_one_or_none()
    if created is not None:
        raise Conflict(
            "This form has created a token already.", reason="form_already_used", current=created
        )
