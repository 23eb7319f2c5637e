"""Access tokens: make, find, change, deactivate."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import ACCESS_TOKEN, make
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.text import folded, storable
from gatepass.registry.replication import receipt_status, receipts
from gatepass.registry.replication.receipt_status import Receipt
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import input as fields
from gatepass.registry.tokens.records import (
    STORED,
    AccessToken,
    LastUse,
    TokenStatus,
    etag,
    grant_of,
    tokens_of,
)
from gatepass.registry.tokens.search import list_

__all__ = [
    "AccessToken",
    "LastUse",
    "TokenStatus",
    "create",
    "deactivate",
    "etag",
    "get",
    "list_",
    "modify",
    "receipt",
]

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
    form_id: str | None = None,
) -> tuple[AccessToken, str]:
    """Make a token; its text is returned here and nowhere else, ever.

    Args:
        expires_at: Unix ms, in the future; None is never.
        form_id: names the form it was asked for with; a form makes one token at most.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:create``, or without one of
            the *permissions* oneself.
        InvalidInput: with all that is wrong with the fields.
        Conflict: ``form_already_used``; ``current`` is the id of the token it made.
    """
    actor = acting(change, actor, "access-tokens:create", person=True)
    if actor.user is None or actor.company is None:
        raise Forbidden("A token is a user's own.", reason="signed_in_user_required")
    if form_id is not None:
        _require_fresh_form(change, actor.user, form_id)
    now = change.now
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
        now=now,
    )
    actor.require_held(found["permissions"])
    credential = make(ACCESS_TOKEN)
    values = {
        "id": credential.id,
        "company_id": actor.company,
        "digest": credential.digest,
        "kind": kind,
        "label_folded": folded(label),
        "created_at": now,
        "created_by": actor.user,
        "form_id": form_id,
        **found,
    }
    change.session.execute(insert(access_tokens), values)
    row = _find(change, actor, credential.id)
    publish(change, grant_of(row))
    _record(change, actor, "created", row, after={**found, "kind": kind})
    return _token(change, row), credential.text


def get(reading: Reading, actor: Actor, token_id: str) -> AccessToken:
    """One token of the actor's company.

    Raises:
        Forbidden: without ``access-tokens:get``.
        NotFound: there is none, or it is another company's.
    """
    actor.require("access-tokens:get")
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
    """Change those of label, permissions, networks, domains and expires_at that *changes* names.

    What stays the same is no change: it writes no event.

    Args:
        if_match: the versions (``etag``) it may be changed from; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:modify``, or without
            something that the token has or gets.
        NotFound: there is none, or it is another company's.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``token_deactivated`` or
            ``token_expired``: ended ones stay as they are.
        InvalidInput: with all that is wrong with the fields.
    """
    actor = acting(change, actor, "access-tokens:modify", person=True)
    row = _find(change, actor, token_id)
    token = _token(change, row)
    if if_match is not None and etag(token) not in if_match:
        raise Conflict(
            "Someone changed this token meanwhile.", reason="changed_meanwhile", current=token
        )
    if token.status != "active":
        raise Conflict(
            f"This token is {token.status}: it stays as it is.",
            reason=f"token_{token.status}",
            current=token,
        )
    found = fields.read(changes, kind=row.kind, catalogue=catalogue, now=change.now)
    actor.require_held([*row.permissions, *found.get("permissions", ())])
    before = {name: getattr(row, name) for name in found}
    after = {name: value for name, value in found.items() if value != before[name]}
    if not after:
        return token
    values = dict(after)
    if "label" in after:
        values["label_folded"] = folded(after["label"])
    change.session.execute(update(access_tokens).where(access_tokens.c.id == row.id).values(values))
    row = _find(change, actor, row.id)
    publish(change, grant_of(row))
    _record(
        change, actor, "modified", row, before={name: before[name] for name in after}, after=after
    )
    return _token(change, row)


def deactivate(change: Change, actor: Actor, token_id: str) -> AccessToken:
    """End a token for good. Repeating it changes nothing.

    Whoever signed in may end their own; an access token needs the permission for any.

    Raises:
        Forbidden: without ``access-tokens:deactivate``, where it isn't one's own.
        NotFound: there is none, or it is another company's.
    """
    actor = acting(change, actor)
    row = _find(change, actor, token_id)
    if actor.kind == "token" or row.created_by != actor.user:
        actor.require("access-tokens:deactivate")
    if row.deactivated_at is not None:
        return _token(change, row)
    ended = {
        "deactivated_at": change.now,
        "deactivated_by": actor.user,
        "deactivated_by_name": actor.name,
    }
    change.session.execute(update(access_tokens).where(access_tokens.c.id == row.id).values(ended))
    row = _find(change, actor, row.id)
    publish(change, grant_of(row))
    _record(
        change,
        actor,
        "deactivated",
        row,
        before={"deactivated_at": None},
        after={"deactivated_at": row.deactivated_at},
    )
    receipts.begin(change, [_subject(row)], company=row.company_id)
    return _token(change, row)


def receipt(reading: Reading, actor: Actor, token_id: str) -> Receipt:
    """The receipt of an access token's end.

    Raises:
        Forbidden: without ``access-tokens:get``.
        NotFound: there is no such token, it hasn't ended, or that is so long ago that the audit log
            alone knows of it.
    """
    token = get(reading, actor, token_id)
    found = receipt_status.find(reading, token.id)
    if found is None:
        raise NotFound("There is no receipt of this access token's end.")
    return found


def _find(reading: Reading, actor: Actor, token_id: str) -> Row[Any]:
    wanted = [access_tokens.c.id == token_id]
    if actor.company is not None:
        wanted.append(access_tokens.c.company_id == actor.company)
    row = (
        reading.session.execute(STORED.where(*wanted)).one_or_none() if storable(token_id) else None
    )
    if row is None:
        raise NotFound("There is no such access token.")
    return row


def _subject(row: Row[Any]) -> Subject:
    return Subject("access_token", row.id, row.label)


def _token(reading: Reading, row: Row[Any]) -> AccessToken:
    return tokens_of(reading, [row])[0]


def _require_fresh_form(reading: Reading, user: str, form_id: str) -> None:
    if not 1 <= len(form_id) <= _LONGEST_FORM_ID or not storable(form_id):
        raise InvalidInput([("form_id", "This is not a form that we have shown.")])
    made = reading.session.execute(
        select(access_tokens.c.id).where(
            access_tokens.c.created_by == user, access_tokens.c.form_id == form_id
        )
    ).scalar_one_or_none()
    if made is not None:
        raise Conflict(
            "This form has made a token already.", reason="form_already_used", current=made
        )


def _record(
    write: Write,
    actor: Actor,
    what: str,
    row: Row[Any],
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any],
) -> None:
    log.record(
        write,
        actor,
        f"access_token.{what}",
        _subject(row),
        company=row.company_id,
        before=before,
        after=after,
    )
