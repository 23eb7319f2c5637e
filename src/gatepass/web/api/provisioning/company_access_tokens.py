"""``/v1/companies/{id}/access-tokens``: the access tokens of a company, for its platform."""

from typing import Annotated, Literal

from fastapi import Depends, Response
from pydantic import ConfigDict, Field

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Change
from gatepass.registry.tokens import access_tokens, provisioning, rotation
from gatepass.registry.tokens.lists import search as token_search
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.owner_reference import OwnerReference
from gatepass.web.api.parameters import IfMatch, Paging, RecordId, Reference
from gatepass.web.api.records.access_tokens import AccessToken
from gatepass.web.api.request_body import NoBody, body, refusing, resource
from gatepass.web.api.shapes import Listed, Permissions, current_as, sent
from gatepass.web.api.tokens.access_tokens import (
    AccessTokenChanges,
    AccessTokenRotation,
    CreatedAccessToken,
    NewAccessToken,
    TokenFilters,
    TokenOrder,
)
from gatepass.web.caller import CurrentNode, administering

router = resource("Companies' access tokens")

Administrator = Annotated[Actor, Depends(administering("tokens"))]


class NewOwnedAccessToken(NewAccessToken):
    """A new access token of a service account or an external owner."""

    model_config = ConfigDict(json_schema_extra=None)

    kind: Literal["api", "ui"]
    permissions: Permissions
    owner: OwnerReference = Field(
        description="A service account or an external owner of the company."
    )


@router.post(
    "/companies/{id}/access-tokens",
    status_code=201,
    summary="Create an access token for an owner",
)
def create(
    response: Response,
    node: CurrentNode,
    actor: Administrator,
    changing: CurrentChange,
    id: Reference,
    new: Annotated[NewOwnedAccessToken, body(NewOwnedAccessToken)],
) -> CreatedAccessToken:
    """For operators, and admin keys with `tokens`. The owner's role must grant all of the token's
    permissions (403 `permission_missing`); an external owner's tokens hold permissions of the
    catalogue file alone. A user as the owner is 404, a deactivated one 409 `owner_deactivated`, a
    deactivated company 409 `company_deactivated`, an external id that an active token of the
    company has 409 `external_id_taken`. The answer is the only one with the token's text."""
    values = new.named()
    owner, kind = values.pop("owner").reference(), values.pop("kind")

    def operation(change: Change) -> CreatedAccessToken:
        token, text = provisioning.create(
            change, actor, id, catalogue=node.catalogue, owner=owner, kind=kind, values=values
        )
        response.headers["Location"] = f"/v1/companies/{token.company}/access-tokens/{token.id}"
        return CreatedAccessToken.with_text(sent(AccessToken, token, response), text)

    return changing(operation)


@router.get("/companies/{id}/access-tokens", summary="A company's access tokens, users' included")
def search(
    node: CurrentNode,
    actor: Administrator,
    id: Reference,
    paging: Paging,
    order: TokenOrder,
    filters: TokenFilters,
) -> Listed[AccessToken]:
    """For operators, and admin keys with `tokens`."""
    with node.database.read(node.clock.now()) as reading:
        page = token_search.list_(
            reading, actor, company=id, counted=False, **filters, **order, **paging
        )
    return Listed[AccessToken].of(page)


@router.get("/companies/{id}/access-tokens/{token}", summary="One access token of a company")
def get(
    response: Response, node: CurrentNode, actor: Administrator, id: Reference, token: RecordId
) -> AccessToken:
    """For operators, and admin keys with `tokens`."""
    with node.database.read(node.clock.now()) as reading:
        found = access_tokens.get(reading, actor, token, company=id)
    return sent(AccessToken, found, response)


@router.patch("/companies/{id}/access-tokens/{token}", summary="Change an owner's access token")
def modify(
    response: Response,
    node: CurrentNode,
    actor: Administrator,
    id: Reference,
    token: RecordId,
    changes: Annotated[AccessTokenChanges, body(AccessTokenChanges)],
    if_match: IfMatch,
) -> AccessToken:
    """For operators, and admin keys with `tokens`. The owner's role must grant all permissions that
    the token gets (403 `permission_missing`). A user's token is 404. Expired and deactivated ones
    can't be changed (409), nor those of a deactivated company (409 `company_deactivated`). An
    external id that another active token has is 409 `external_id_taken`. With `If-Match`, only that
    version is changed (else 409)."""
    with current_as(AccessToken), node.database.write(node.clock.now()) as change:
        changed = provisioning.modify(
            change,
            actor,
            id,
            token,
            catalogue=node.catalogue,
            changes=changes.named(),
            if_match=if_match,
        )
    return settled(change.confirmed, sent(AccessToken, changed, response))


@router.post(
    "/companies/{id}/access-tokens/{token}/deactivate",
    summary="Deactivate a company's access token for good",
)
def deactivate(
    response: Response,
    actor: Administrator,
    changing: CurrentChange,
    id: Reference,
    token: RecordId,
    _: NoBody,
) -> AccessToken:
    """For operators, and admin keys with `tokens`; also a user's token. Repeating it changes
    nothing."""
    return changing(
        lambda change: sent(
            AccessToken, provisioning.deactivate(change, actor, id, token), response
        )
    )


@router.post(
    "/companies/{id}/access-tokens/{token}/rotate",
    status_code=201,
    summary="Replace an owner's access token",
    responses=refusing(409),
)
def rotate(
    response: Response,
    actor: Administrator,
    changing: CurrentChange,
    id: Reference,
    token: RecordId,
    how: Annotated[AccessTokenRotation, body(AccessTokenRotation)],
) -> CreatedAccessToken:
    """For operators, and admin keys with `tokens`. A user's token is 404. The new token has the
    old one's owner, settings and length of life. A replaced token is 409 `already_rotated`, one
    that has ended 409 `token_deactivated` or `token_expired`, each with the `current` record; a
    deactivated owner's 409 `owner_deactivated`, a deactivated company's 409 `company_deactivated`.
    The answer is the only one with the new token's text."""

    def operation(change: Change) -> CreatedAccessToken:
        made, text = rotation.rotate_owned(change, actor, id, token, how.closing())
        response.headers["Location"] = f"/v1/companies/{made.company}/access-tokens/{made.id}"
        return CreatedAccessToken.with_text(sent(AccessToken, made, response), text)

    with current_as(AccessToken):
        return changing(operation)
