"""``/v1/access-tokens``."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from pydantic import Field

from gatepass.core.errors import Conflict
from gatepass.registry.tokens import access_tokens, records
from gatepass.registry.tokens import search as token_search
from gatepass.web.api.body import Fields, NoFields, body, takes
from gatepass.web.api.confirmation import mark, settled
from gatepass.web.api.shapes import (
    Limit,
    Listed,
    PageCursor,
    Record,
    RecordId,
    Status,
    TakenTime,
    Term,
    Time,
    person_id,
    person_name,
    wanted_tags,
)
from gatepass.web.caller import Authenticated, OurNode, SignedIn

router = APIRouter(tags=["Access tokens"])

_LABEL: dict[str, Any] = {"minLength": 1, "maxLength": 100}
_PERMISSIONS: dict[str, Any] = {"minItems": 1, "maxItems": 200}


class NewAccessToken(Fields):
    """What a new access token shall be."""

    label: str = Field(json_schema_extra=_LABEL, examples=["Nightly settlement"])
    kind: Literal["api", "ui"]
    permissions: list[str] = Field(json_schema_extra=_PERMISSIONS, examples=[["access-tokens:get"]])
    expires_at: TakenTime | None = Field(default=None, description="Absent or null: never.")
    networks: list[str] = Field(
        default=[],
        json_schema_extra={"maxItems": 500},
        description="From where it may be used; none: from anywhere.",
        examples=[["203.0.113.0/24"]],
    )
    domains: list[str] = Field(
        default=[],
        json_schema_extra={"maxItems": 100},
        description="Where a `ui` token may be used; none: on any site.",
        examples=[[]],
    )


class AccessTokenChanges(Fields):
    """What shall change; fields that are absent stay as they are."""

    label: str = Field(default="", json_schema_extra=_LABEL, examples=["Nightly settlement"])
    permissions: list[str] = Field(
        default=[], json_schema_extra=_PERMISSIONS, examples=[["access-tokens:get"]]
    )
    expires_at: TakenTime | None = Field(default=None, description="Null: never.")
    networks: list[str] = Field(default=[], json_schema_extra={"maxItems": 500})
    domains: list[str] = Field(default=[], json_schema_extra={"maxItems": 100})

    def named(self) -> dict[str, Any]:
        """The fields that were there, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class LastUsed(Record):
    """When and from where a token was last used; lags by a few seconds."""

    at: Time
    address: str | None


class AccessToken(Record):
    """An access token; never its text."""

    id: str
    label: str
    kind: Literal["api", "ui"]
    status: Status
    permissions: tuple[str, ...] = Field(description="What was chosen.")
    effective_permissions: tuple[str, ...] = Field(
        description="What counts: what was chosen, within its maker's role now."
    )
    networks: tuple[str, ...]
    domains: tuple[str, ...]
    expires_at: Time | None
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")
    last_used: LastUsed | None


class CreatedAccessToken(AccessToken):
    """A new access token with its text, which is sent this once."""

    token: str


@router.post(
    "/access-tokens",
    status_code=201,
    summary="Create an access token",
    openapi_extra=takes(NewAccessToken),
)
def create(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    new: Annotated[NewAccessToken, body(NewAccessToken)],
) -> CreatedAccessToken:
    """Needs `access-tokens:create`. The answer holds the token's text, this once."""
    with node.database.write(node.clock.now()) as change:
        token, text = access_tokens.create(
            change,
            actor,
            catalogue=node.catalogue,
            label=new.label,
            kind=new.kind,
            permissions=new.permissions,
            expires_at=new.expires_at,
            networks=new.networks,
            domains=new.domains,
        )
    response.headers["Location"] = f"/v1/access-tokens/{token.id}"
    mark(response, change.confirmed)
    sent = _sent(token, response)
    return CreatedAccessToken.model_construct(**dict(sent), token=text)


@router.get("/access-tokens", summary="The company's access tokens")
def search(
    node: OurNode,
    actor: Authenticated,
    q: Term | None = None,
    status: Status | None = None,
    permission: Term | None = None,
    kind: Literal["api", "ui"] | None = None,
    limit: Limit | None = None,
    cursor: PageCursor = None,
) -> Listed[AccessToken]:
    """Needs `access-tokens:search`. `q` is looked for in labels, without case, and at the
    beginning of ids, with or without `gpat_`."""
    with node.database.read(node.clock.now()) as reading:
        page = token_search.list_(
            reading,
            actor,
            q=q or None,
            status=status,
            permission=permission,
            kind=kind,
            limit=limit,
            cursor=cursor,
        )
    items = [AccessToken.model_validate(token) for token in page.items]
    return Listed[AccessToken](items=items, next=page.next)


@router.get("/access-tokens/{id}", summary="One access token")
def get(response: Response, node: OurNode, actor: Authenticated, id: RecordId) -> AccessToken:
    """Needs `access-tokens:get`."""
    with node.database.read(node.clock.now()) as reading:
        return _sent(access_tokens.get(reading, actor, id), response)


@router.patch(
    "/access-tokens/{id}",
    summary="Change an access token",
    openapi_extra=takes(AccessTokenChanges),
)
def modify(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    changes: Annotated[AccessTokenChanges, body(AccessTokenChanges)],
    if_match: Annotated[list[str] | None, Header()] = None,
) -> AccessToken:
    """Needs `access-tokens:modify`, and all that the token has and gets. Ended tokens stay as they
    are (409). With `If-Match`, only the version it names is changed (else 409)."""
    try:
        with node.database.write(node.clock.now()) as change:
            token = access_tokens.modify(
                change,
                actor,
                id,
                catalogue=node.catalogue,
                changes=changes.named(),
                if_match=wanted_tags(if_match),
            )
    except Conflict as conflict:
        if isinstance(conflict.current, records.AccessToken):
            current = AccessToken.model_validate(conflict.current)
            conflict.current = current.model_dump(mode="json")
        raise
    return settled(change.confirmed, _sent(token, response))


@router.post(
    "/access-tokens/{id}/deactivate",
    summary="Deactivate an access token for good",
    openapi_extra=takes(NoFields),
)
def deactivate(
    response: Response,
    node: OurNode,
    actor: Authenticated,
    id: RecordId,
    _: Annotated[NoFields, body(NoFields)],
) -> AccessToken:
    """Needs `access-tokens:deactivate`, or that it is one's own. Repeating it changes nothing."""
    with node.database.write(node.clock.now()) as change:
        token = access_tokens.deactivate(change, actor, id)
    return settled(change.confirmed, _sent(token, response))


def _sent(token: records.AccessToken, response: Response) -> AccessToken:
    response.headers["ETag"] = records.etag(token)
    return AccessToken.model_validate(token)
