"""Access tokens, for a company's own users: create, read, modify, deactivate."""

from collections.abc import Collection, Mapping, Sequence
from typing import Unpack

from sqlalchemy import select

from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import DECOY
from gatepass.registry.actor import Actor
from gatepass.registry.directory.company_scope import scope
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.text import storable
from gatepass.registry.replication import receipt_status
from gatepass.registry.replication.receipt_status import Receipt
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import Page
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import decoys, external_ids, store, token_owners
from gatepass.registry.tokens import input as fields
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.calls.observed_calls import CallRecord
from gatepass.registry.tokens.exception_records import exceptions_of
from gatepass.registry.tokens.records import AccessToken

_LONGEST_FORM_ID = 100


def create(
    change: Change,
    actor: Actor,
    *,
    catalogue: Catalogue,
    label: str,
    kind: str,
    permissions: Sequence[str] = (),
    expires_at: int | None = None,
    networks: Sequence[str] = (),
    domains: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    external_id: str | None = None,
    unused_days: int | None = None,
    owner: str | None = None,
    form_id: str | None = None,
) -> tuple[AccessToken, str]:
    """Create a token and return it with its text, which can't be read again.

    A portal session needs no permission but those of the token, and creates tokens of its owner.

    Args:
        kind: ``api``, ``ui``, or ``decoy``, which has a *label* alone.
        expires_at: Unix ms, in the future; None is never.
        metadata: texts by key; None is none.
        external_id: unique among the company's active tokens.
        unused_days: after so many without use it ends; None is what the company's policy says.
        owner: the id of the actor, or of a service account or external owner of its company; or
            ``ext:`` and an external id. None is the actor; in a portal session its owner.
        form_id: id of the form that requests it; a form creates one token at most.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:create``, or without one of
            the *permissions*; for another owner also without ``service-accounts:manage``, or if its
            role doesn't grant one of the *permissions*; ``not_owner``: the owner is another user;
            ``portal_session``: it sets an external id, or creates a decoy.
        NotFound: there is no such owner, or it is another company's.
        InvalidInput: with all errors of the fields.
        Conflict: ``form_already_used``; ``current`` is the id of the token that it created;
            ``owner_deactivated``, ``external_id_taken``.
    """
    actor = acting(change, actor, "access-tokens:create", person=True, portal=True)
    if actor.user is None or actor.company is None:
        raise Forbidden(
            "Only a signed-in user can create an access token.", reason="signed_in_user_required"
        )
    if form_id is not None:
        _require_unused_form(change, actor.user, form_id)
    external_ids.require_allowed(actor, external_id)
    if kind == DECOY:
        decoys.require_creator(actor, owner)
    new_owner = token_owners.of_new_token(change, actor, owner)
    found = fields.read(
        {
            "label": label,
            "permissions": permissions,
            "networks": networks,
            "domains": domains,
            "expires_at": expires_at,
            "metadata": metadata or {},
            "external_id": external_id,
            "unused_days": unused_days,
        },
        kind=kind,
        catalogue=catalogue,
        owner_type=new_owner.owner.type,
        now=change.now,
    )
    actor.require_held(found["permissions"])
    new_owner.require_granted(found["permissions"])
    return store.add(change, actor, actor.company, new_owner, found, kind=kind, form_id=form_id)


def get(
    reading: Reading, actor: Actor, token_id: str, *, company: str | None = None
) -> AccessToken:
    """One token of a company; in a portal session, of its owner.

    Args:
        company: for operators, and admin keys with ``tokens``: its id, or ``ext:`` and its external
            id. None is the actor's.

    Raises:
        Forbidden: without ``access-tokens:get``; for *company*, as ``scope`` says.
        NotFound: there is none that the actor sees; as ``scope`` says.
    """
    its = scope(reading, actor, company, permission="access-tokens:get", area="tokens", portal=True)
    return store.token_of(reading, store.find(reading, its, token_id, owner=actor.only_owner))


def modify(
    change: Change,
    actor: Actor,
    token_id: str,
    *,
    catalogue: Catalogue,
    changes: Mapping[str, object],
    if_match: Collection[str] | None = None,
) -> AccessToken:
    """Change the fields in *changes*, which are of ``input.CHANGEABLE``; each is replaced whole.

    If all values stay the same, no audit event is written. A portal session needs no permission
    but those of the token, which must be its owner's.

    Args:
        if_match: the ETags of versions that may be changed; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:modify``, or without a
            permission that the token has or gets; the token is a service account's or an external
            owner's, whose role doesn't grant a permission that it gets; ``portal_session``: it sets
            an external id.
        NotFound: there is none, or it is another company's.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``token_deactivated`` or
            ``token_expired``: such a token can't be changed; ``external_id_taken``.
        InvalidInput: with all errors of the fields.
    """
    actor = acting(change, actor, "access-tokens:modify", person=True, portal=True)
    row = store.find(change, actor.company, token_id, owner=actor.only_owner)
    found = store.read_changes(change, row, changes, catalogue=catalogue, if_match=if_match)
    external_ids.require_allowed(actor, found.get("external_id"), row.external_id)
    excepted = [each.permission for each in exceptions_of(row._mapping, change.now)]
    actor.require_held([*row.permissions, *excepted, *found.get("permissions", ())])
    return store.update(change, actor, row, found)


def deactivate(change: Change, actor: Actor, token_id: str) -> AccessToken:
    """Deactivate a token permanently. Repeating it changes nothing.

    Signed-in users and portal sessions may deactivate their own tokens. An access token needs the
    permission for all.

    Raises:
        Forbidden: without ``access-tokens:deactivate``, for a token of another owner.
        NotFound: there is none, or it is another company's.
    """
    actor = acting(change, actor, portal=True)
    row = store.find(change, actor.company, token_id, owner=actor.only_owner)
    if actor.kind == "token" or row.owner_id != actor.user:
        actor.require("access-tokens:deactivate")
    return store.end(change, actor, row)


def calls(
    reading: Reading,
    actor: Actor,
    token_id: str,
    *,
    limit: int | None = None,
    cursor: str | None = None,
    **filters: Unpack[observed_calls.Filters],
) -> Page[CallRecord]:
    """A page of the calls that a token made, the last first; in a portal session, of its owner's.

    Raises:
        Forbidden: without ``access-tokens:get``.
        NotFound: there is no such token that the actor sees.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    token = get(reading, actor, token_id)
    return observed_calls.list_(reading, token.id, limit=limit, cursor=cursor, **filters)


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
