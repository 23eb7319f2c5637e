"""``/v1/access-tokens``."""

from typing import Annotated, Any, Literal, TypedDict

from fastapi import Depends, Query, Response
from pydantic import Field

from gatepass.registry.input.networks import MOST_NETWORKS
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.registry.storage.database import Change
from gatepass.registry.tokens import access_tokens, rotation
from gatepass.registry.tokens import search as token_search
from gatepass.registry.tokens.input import MOST_DOMAINS
from gatepass.registry.tokens.rotation import (
    LONGEST_AFTER_S,
    LONGEST_SILENCE_S,
    SHORTEST_SILENCE_S,
    SILENCE_S,
    Closing,
)
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.owner_reference import OwnerReference, OwnerTerm
from gatepass.web.api.parameters import IfMatch, Paging, RecordId, Term
from gatepass.web.api.records.access_tokens import AccessToken
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import Listed, Permissions, Status, TakenTime, current_as, sent
from gatepass.web.caller import AuthenticatedOrPortal, CurrentNode, SignedInOrPortal

router = resource("Access tokens")

_LABEL: dict[str, Any] = {"minLength": 1, "maxLength": LONGEST_LABEL}
_NETWORKS: dict[str, Any] = {"maxItems": MOST_NETWORKS}
_DOMAINS: dict[str, Any] = {"maxItems": MOST_DOMAINS}
_AFTER: Any = Field(json_schema_extra={"minimum": 1, "maximum": LONGEST_AFTER_S})
_SILENT_FOR: Any = Field(
    json_schema_extra={"minimum": SHORTEST_SILENCE_S, "maximum": LONGEST_SILENCE_S}
)


class NewAccessToken(Fields):
    """A new access token."""

    label: str = Field(json_schema_extra=_LABEL, examples=["Nightly settlement"])
    kind: Literal["api", "ui"]
    permissions: Permissions
    expires_at: TakenTime | None = Field(default=None, description="Absent or null: never.")
    networks: list[str] = Field(
        default=[],
        json_schema_extra=_NETWORKS,
        description="Networks it can be used from; empty: any.",
        examples=[["203.0.113.0/24"]],
    )
    domains: list[str] = Field(
        default=[],
        json_schema_extra=_DOMAINS,
        description="Sites on which a `ui` token can be used; empty: any.",
        examples=[[]],
    )
    owner: OwnerReference | None = Field(
        default=None,
        description="A service account or an external owner, with `service-accounts:manage`. "
        "Absent or null: yourself.",
    )


class AccessTokenChanges(Fields):
    """Changes of an access token; absent fields stay."""

    label: str = Field(default="", json_schema_extra=_LABEL, examples=["Nightly settlement"])
    permissions: Permissions = Field(default=[])
    expires_at: TakenTime | None = Field(default=None, description="Null: never.")
    networks: list[str] = Field(default=[], json_schema_extra=_NETWORKS)
    domains: list[str] = Field(default=[], json_schema_extra=_DOMAINS)


class AccessTokenRotation(Fields):
    """How an access token is replaced."""

    close: Literal["now", "after", "when_silent"] = Field(
        description="When the old token closes: at once; after some time; or when no call with it "
        "was seen for some time, after 90 days at the latest. Never later than it expires."
    )
    after: Annotated[int, _AFTER] | None = Field(
        default=None,
        description="Seconds, for `after`.",
        examples=[None],
    )
    silent_for: Annotated[int, _SILENT_FOR] | None = Field(
        default=None,
        description=f"Seconds, for `when_silent`; absent or null: {SILENCE_S}.",
        examples=[SILENCE_S],
    )
    label: Annotated[str, Field(json_schema_extra=_LABEL)] | None = Field(
        default=None,
        description="Of the new token; absent or null: the old one's.",
        examples=[None],
    )

    def closing(self) -> Closing:
        """As the registry takes it."""
        return Closing(self.close, self.after, self.silent_for, self.label)


class CreatedAccessToken(AccessToken):
    """A new access token with its text, which no other answer has."""

    token: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9…"])

    @classmethod
    def with_text(cls, answer: AccessToken, text: str) -> "CreatedAccessToken":
        """The answer about a token, with its text."""
        return cls.model_construct(**dict(answer), token=text)


class Filters(TypedDict):
    """The arguments of a list operation that select access tokens."""

    q: str | None
    status: str | None
    permission: str | None
    kind: str | None
    owner: str | None


async def _filters(
    q: Annotated[
        Term | None,
        Query(
            description="Part of the label, ignoring case, or the beginning of the id, with or "
            "without `gpat_`."
        ),
    ] = None,
    status: Status | None = None,
    permission: Term | None = None,
    kind: Literal["api", "ui"] | None = None,
    owner: OwnerTerm | None = None,
) -> Filters:
    return Filters(q=q or None, status=status, permission=permission, kind=kind, owner=owner)


#: The query parameters of a list of access tokens.
TokenFilters = Annotated[Filters, Depends(_filters)]


@router.post(
    "/access-tokens",
    status_code=201,
    summary="Create an access token",
    responses=refusing(404),
)
def create(
    response: Response,
    node: CurrentNode,
    actor: SignedInOrPortal,
    changing: CurrentChange,
    new: Annotated[NewAccessToken, body(NewAccessToken)],
) -> CreatedAccessToken:
    """Needs `access-tokens:create`, and all of the token's permissions; for another `owner` also
    `service-accounts:manage`, and its role must grant them (403 `permission_missing`). Another
    user's: 403 `not_owner`. A deactivated owner's: 409 `owner_deactivated`. The answer is the only
    one with the token's text."""
    fields = new.named() | {"owner": None if new.owner is None else new.owner.reference()}

    def operation(change: Change) -> CreatedAccessToken:
        token, text = access_tokens.create(change, actor, catalogue=node.catalogue, **fields)
        response.headers["Location"] = f"/v1/access-tokens/{token.id}"
        return CreatedAccessToken.with_text(sent(AccessToken, token, response), text)

    return changing(operation)


@router.get("/access-tokens", summary="The company's access tokens")
def search(
    node: CurrentNode, actor: AuthenticatedOrPortal, paging: Paging, filters: TokenFilters
) -> Listed[AccessToken]:
    """Needs `access-tokens:search`."""
    with node.database.read(node.clock.now()) as reading:
        page = token_search.list_(reading, actor, counted=False, **filters, **paging)
    return Listed[AccessToken].of(page)


@router.get("/access-tokens/{id}", summary="One access token")
def get(
    response: Response, node: CurrentNode, actor: AuthenticatedOrPortal, id: RecordId
) -> AccessToken:
    """Needs `access-tokens:get`."""
    with node.database.read(node.clock.now()) as reading:
        return sent(AccessToken, access_tokens.get(reading, actor, id), response)


@router.patch("/access-tokens/{id}", summary="Change an access token")
def modify(
    response: Response,
    node: CurrentNode,
    actor: SignedInOrPortal,
    id: RecordId,
    changes: Annotated[AccessTokenChanges, body(AccessTokenChanges)],
    if_match: IfMatch,
) -> AccessToken:
    """Needs `access-tokens:modify`, and all permissions of the token before and after. Expired and
    deactivated tokens can't be changed (409). With `If-Match`, only that version is changed (else
    409)."""
    with current_as(AccessToken), node.database.write(node.clock.now()) as change:
        token = access_tokens.modify(
            change,
            actor,
            id,
            catalogue=node.catalogue,
            changes=changes.named(),
            if_match=if_match,
        )
    return settled(change.confirmed, sent(AccessToken, token, response))


@router.post("/access-tokens/{id}/deactivate", summary="Deactivate an access token for good")
def deactivate(
    response: Response,
    actor: AuthenticatedOrPortal,
    changing: CurrentChange,
    id: RecordId,
    _: NoBody,
) -> AccessToken:
    """Needs `access-tokens:deactivate`, except for your own. Repeating it changes nothing."""
    return changing(
        lambda change: sent(AccessToken, access_tokens.deactivate(change, actor, id), response)
    )


@router.post(
    "/access-tokens/{id}/rotate",
    status_code=201,
    summary="Replace an access token",
    responses=refusing(404, 409),
)
def rotate(
    response: Response,
    actor: SignedInOrPortal,
    changing: CurrentChange,
    id: RecordId,
    how: Annotated[AccessTokenRotation, body(AccessTokenRotation)],
) -> CreatedAccessToken:
    """Needs `access-tokens:create`, and all of the token's permissions. A user's token is theirs
    alone (403 `not_owner`); that of a service account or an external owner needs
    `service-accounts:manage`. The new token has the old one's owner, settings and length of life.
    A replaced token is 409 `already_rotated`, one that has ended 409 `token_deactivated` or
    `token_expired`, each with the `current` record; a deactivated owner's 409 `owner_deactivated`.
    The answer is the only one with the new token's text."""

    def operation(change: Change) -> CreatedAccessToken:
        token, text = rotation.rotate(change, actor, id, how.closing())
        response.headers["Location"] = f"/v1/access-tokens/{token.id}"
        return CreatedAccessToken.with_text(sent(AccessToken, token, response), text)

    with current_as(AccessToken):
        return changing(operation)
