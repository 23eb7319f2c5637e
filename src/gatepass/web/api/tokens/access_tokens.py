"""``/v1/access-tokens``."""

from typing import Annotated, Any, Literal, TypedDict

from fastapi import Depends, Query, Response
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from gatepass.core.errors import InvalidInput
from gatepass.core.grants import DECOY
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID, LONGEST_EXTERNAL_ID
from gatepass.registry.input.metadata import KEY, MOST_BYTES, MOST_KEYS
from gatepass.registry.input.networks import MOST_NETWORKS
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.registry.membership import token_approvals
from gatepass.registry.storage.database import Change
from gatepass.registry.tokens import access_tokens, rotation
from gatepass.registry.tokens.ending import bulk
from gatepass.registry.tokens.input import MOST_DOMAINS, MOST_UNUSED_DAYS
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.lists import selection
from gatepass.registry.tokens.rotation import (
    LONGEST_AFTER_S,
    LONGEST_SILENCE_S,
    SHORTEST_SILENCE_S,
    SILENCE_S,
    Closing,
)
from gatepass.registry.tokens.temporary import rehearsals
from gatepass.registry.tokens.temporary.rehearsals import LARGEST_SHARE, MOST_MINUTES
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.owner_reference import OwnerReference, OwnerTerm
from gatepass.web.api.parameters import IfMatch, Paging, RecordId, Term
from gatepass.web.api.records.access_tokens import AccessToken
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import (
    IdText,
    Listed,
    Permissions,
    Record,
    TakenTime,
    TokenStatus,
    current_as,
    plain,
    sent,
)
from gatepass.web.caller import (
    Authenticated,
    AuthenticatedOrPortal,
    CurrentNode,
    SignedIn,
    SignedInOrPortal,
)

router = resource("Access tokens")

_LABEL: dict[str, Any] = {"minLength": 1, "maxLength": LONGEST_LABEL}
_NETWORKS: dict[str, Any] = {"maxItems": MOST_NETWORKS}
_DOMAINS: dict[str, Any] = {"maxItems": MOST_DOMAINS}
_AFTER: Any = Field(json_schema_extra={"minimum": 1, "maximum": LONGEST_AFTER_S})
_SILENT_FOR: Any = Field(
    json_schema_extra={"minimum": SHORTEST_SILENCE_S, "maximum": LONGEST_SILENCE_S}
)

Metadata = Annotated[
    dict[str, str],
    Field(
        json_schema_extra={
            "maxProperties": MOST_KEYS,
            "propertyNames": {"pattern": f"^{KEY}$"},
        },
        description=f"Texts by key, for other programs; at most {MOST_BYTES:,} bytes in all.",
        examples=[{"team": "payments"}],
    ),
]
ExternalIdText = Annotated[
    str,
    Field(
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_EXTERNAL_ID},
        description="The id by which another program knows it, unique among the company's active "
        "tokens.",
    ),
]
UnusedDays = Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": MOST_UNUSED_DAYS})]
#: A key of metadata and its value, as a filter.
MetadataTerm = Annotated[str, Query(max_length=MOST_BYTES + 1), BeforeValidator(plain)]


def _without_required_permissions(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema["required"] if name != "permissions"]


class NewAccessToken(Fields):
    """A new access token."""

    model_config = ConfigDict(json_schema_extra=_without_required_permissions)

    label: str = Field(json_schema_extra=_LABEL, examples=["Nightly settlement"])
    kind: Literal["api", "ui", "decoy"] = Field(
        description="A `decoy` has a label alone: it is refused like an unknown token, and every "
        "use of it is reported.",
        examples=["api"],
    )
    permissions: Permissions = Field(description="Required, except for a `decoy`, which has none.")
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
    metadata: Metadata = Field(default={})
    external_id: ExternalIdText | None = Field(default=None, examples=["deploy-7"])
    unused_days: UnusedDays | None = Field(
        default=None,
        description="After so many days without use it is deactivated; absent or null: what the "
        "company's policy says, by default never.",
        examples=[60],
    )
    owner: OwnerReference | None = Field(
        default=None,
        description="A service account or an external owner, with `service-accounts:manage`. "
        "Absent or null: yourself.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_decoy(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("kind") == DECOY:
            return {"permissions": [], **value}
        return value


class AccessTokenChanges(Fields):
    """Changes of an access token; absent fields stay."""

    label: str = Field(default="", json_schema_extra=_LABEL, examples=["Nightly settlement"])
    permissions: Permissions = Field(default=[])
    expires_at: TakenTime | None = Field(default=None, description="Null: never.")
    networks: list[str] = Field(default=[], json_schema_extra=_NETWORKS)
    domains: list[str] = Field(default=[], json_schema_extra=_DOMAINS)
    metadata: Metadata = Field(default={}, description="Replaces all keys.")
    external_id: ExternalIdText | None = Field(
        default=None, description="Null: none.", examples=["deploy-7"]
    )
    unused_days: UnusedDays | None = Field(
        default=None,
        description="Null: what the company's policy says. They count from this change, or from "
        "the last use after it.",
        examples=[60],
    )


class AccessTokenFilter(Fields):
    """Filters of the list of access tokens; an absent one or null filters nothing."""

    q: str | None = Field(default=None, max_length=200, examples=["nightly"])
    status: TokenStatus | None = None
    permission: str | None = Field(default=None, max_length=200, examples=["charges:create"])
    kind: Literal["api", "ui", "decoy"] | None = None
    owner: str | None = Field(
        default=None,
        max_length=len(BY_EXTERNAL_ID) + LONGEST_EXTERNAL_ID,
        description="An owner's id, or `ext:` and its external id.",
        examples=["svc_4fT0aB3cD5eF7gH9"],
    )
    metadata: str | None = Field(
        default=None,
        max_length=MOST_BYTES + 1,
        description="A `key:value`.",
        examples=["team:payments"],
    )
    external_id: str | None = Field(
        default=None, max_length=LONGEST_EXTERNAL_ID, examples=["deploy-7"]
    )
    created_by: str | None = Field(default=None, max_length=64, examples=["usr_4fT0aB3cD5eF7gH9"])
    expires_before: TakenTime | None = None
    used: Literal["ever", "never"] | None = None
    unused_since: TakenTime | None = None
    network: Literal["any", "none"] | None = None

    def filters(self) -> selection.Filters:
        """The filters, as registry operations take them."""
        return selection.Filters(
            q=(self.q or "").strip() or None,
            status=self.status,
            permission=self.permission,
            kind=self.kind,
            owner=self.owner,
            created_by=self.created_by,
            metadata=self.metadata,
            external_id=self.external_id,
            expires_before=self.expires_before,
            used=self.used,
            unused_since=self.unused_since,
            network=self.network,
        )


class AccessTokenSelection(Fields):
    """The access tokens to deactivate: `ids`, or `filter` and `expect`."""

    ids: (
        Annotated[list[IdText], Field(json_schema_extra={"minItems": 1, "maxItems": bulk.MOST_IDS})]
        | None
    ) = Field(default=None, examples=[["gpat_4fT0aB3cD5eF7gH9"]])
    filter: AccessTokenFilter | None = Field(
        default=None, description="At least one filter.", examples=[None]
    )
    expect: Annotated[int, Field(json_schema_extra={"maximum": bulk.MOST_TOKENS})] | None = Field(
        default=None,
        description="With `filter`, the number of tokens that match, deactivated ones included; "
        f"at most {bulk.MOST_TOKENS:,}.",
        examples=[None],
    )


class DeactivatedAccessTokens(Record):
    """What became of the selected access tokens, in numbers."""

    deactivated: int = Field(examples=[412])
    already: int = Field(description="Were deactivated before.", examples=[3])
    not_found: int = Field(description="Ids of no token of the company.", examples=[0])


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


class AccessTokenRehearsal(Fields):
    """How long which share of the calls is refused."""

    minutes: int = Field(json_schema_extra={"minimum": 1, "maximum": MOST_MINUTES}, examples=[5])
    share: int = Field(
        json_schema_extra={"minimum": 1, "maximum": LARGEST_SHARE},
        description="In percent.",
        examples=[10],
    )


class CreatedAccessToken(AccessToken):
    """A new access token with its text, which no other answer has."""

    token: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9…"])

    @classmethod
    def with_text(cls, answer: AccessToken, text: str) -> "CreatedAccessToken":
        """The answer about a token, with its text."""
        return cls.model_construct(**dict(answer), token=text)


async def _filters(
    q: Annotated[
        Term | None,
        Query(
            description="Part of the label, ignoring case, or the beginning of the id, with or "
            "without `gpat_`."
        ),
    ] = None,
    status: TokenStatus | None = None,
    permission: Term | None = None,
    kind: Literal["api", "ui", "decoy"] | None = None,
    owner: OwnerTerm | None = None,
    created_by: Annotated[
        Term | None, Query(description="The id of the user who created them.")
    ] = None,
    metadata: Annotated[
        MetadataTerm | None,
        Query(description="Only those with this `key:value`.", examples=["team:payments"]),
    ] = None,
    external_id: Annotated[
        Term | None,
        Query(description="Only those with exactly this one, ended ones included."),
    ] = None,
    expires_before: Annotated[
        TakenTime | None, Query(description="Also those that have expired.")
    ] = None,
    used: Annotated[
        Literal["ever", "never"] | None, Query(description="Whether they were used at all.")
    ] = None,
    unused_since: Annotated[
        TakenTime | None,
        Query(description="Only those that weren't used since; never used ones, too."),
    ] = None,
    network: Annotated[
        Literal["any", "none"] | None,
        Query(description="`any`: those with networks; `none`: those without."),
    ] = None,
) -> selection.Filters:
    return selection.Filters(
        q=q or None,
        status=status,
        permission=permission,
        kind=kind,
        owner=owner,
        created_by=created_by,
        metadata=metadata,
        external_id=external_id,
        expires_before=expires_before,
        used=used,
        unused_since=unused_since,
        network=network,
    )


class SortedBy(TypedDict):
    """The arguments of a list operation that select the order."""

    sort: str
    order: str | None


async def _sorted_by(
    sort: Annotated[
        Literal["created_at", "label", "expires_at", "last_used"] | None,
        Query(
            description="By default `created_at`. Tokens that never expire, or were never used, "
            "come last. A cursor belongs to its order."
        ),
    ] = None,
    order: Annotated[
        Literal["asc", "desc"] | None,
        Query(description="By default `desc` for `created_at`, else `asc`."),
    ] = None,
) -> SortedBy:
    return SortedBy(sort=sort or "created_at", order=order)


#: The query parameters of the order of a list of access tokens.
TokenOrder = Annotated[SortedBy, Depends(_sorted_by)]
#: The query parameters of a list of access tokens.
TokenFilters = Annotated[selection.Filters, Depends(_filters)]


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
    user's: 403 `not_owner`. A deactivated owner's: 409 `owner_deactivated`. An external id that an
    active token of the company has: 409 `external_id_taken`. The answer is the only one with the
    token's text."""
    fields = new.named() | {"owner": None if new.owner is None else new.owner.reference()}

    def operation(change: Change) -> CreatedAccessToken:
        token, text = access_tokens.create(change, actor, catalogue=node.catalogue, **fields)
        response.headers["Location"] = f"/v1/access-tokens/{token.id}"
        return CreatedAccessToken.with_text(sent(AccessToken, token, response), text)

    return changing(operation)


@router.get("/access-tokens", summary="The company's access tokens")
def search(
    node: CurrentNode,
    actor: AuthenticatedOrPortal,
    paging: Paging,
    order: TokenOrder,
    filters: TokenFilters,
) -> Listed[AccessToken]:
    """Needs `access-tokens:search`."""
    with node.database.read(node.clock.now()) as reading:
        page = token_search.list_(reading, actor, counted=False, **filters, **order, **paging)
    return Listed[AccessToken].of(page)


@router.post(
    "/access-tokens/deactivate",
    operation_id="access_tokens_deactivate_many",
    summary="Deactivate many access tokens for good",
    responses=refusing(409),
)
def deactivate_many(
    actor: Authenticated,
    changing: CurrentChange,
    selection: Annotated[AccessTokenSelection, body(AccessTokenSelection)],
) -> DeactivatedAccessTokens:
    """Needs `access-tokens:deactivate`, unless all are your own. All in one change, with an audit
    event each. More than 5,000 that match `filter` are 409 `too_many`; another number than `expect`
    is 409 `count_changed`, and nothing is deactivated."""
    ids, expect = selection.ids, selection.expect
    filters = None if selection.filter is None else selection.filter.filters()
    if (ids is None) == (filters is None) or (expect is None) != (filters is None):
        raise InvalidInput([("ids", "Must be given, or filter and expect.")])

    def operation(change: Change) -> DeactivatedAccessTokens:
        if filters is None or expect is None:
            outcome = bulk.deactivate_listed(change, actor, ids or [])
        else:
            outcome = bulk.deactivate_matching(change, actor, filters, expect=expect)
        return DeactivatedAccessTokens.model_validate(outcome)

    return changing(operation)


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
    deactivated tokens can't be changed (409). An active one gets no permission that needs a second
    person (409 `approval_required`). An external id that another active token has is 409
    `external_id_taken`. With `If-Match`, only that version is changed (else 409)."""
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


@router.post(
    "/access-tokens/{id}/rehearse",
    summary="Rehearse the deactivation of an access token",
    responses=refusing(409),
)
def rehearse(
    response: Response,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    how: Annotated[AccessTokenRehearsal, body(AccessTokenRehearsal)],
) -> AccessToken:
    """Needs `access-tokens:deactivate`. A share of its calls is refused (401 `token_rehearsed`)
    until it ends, by itself. Another one is running: 409 `rehearsal_running`."""

    def operation(change: Change) -> AccessToken:
        return sent(AccessToken, rehearsals.start(change, actor, id, **how.named()), response)

    with current_as(AccessToken):
        return changing(operation)


@router.post("/access-tokens/{id}/rehearse/end", summary="End the rehearsal of an access token")
def end_rehearsal(
    response: Response, actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody
) -> AccessToken:
    """Needs `access-tokens:deactivate`. Repeating it changes nothing."""

    def operation(change: Change) -> AccessToken:
        return sent(AccessToken, rehearsals.end(change, actor, id), response)

    return changing(operation)


@router.post(
    "/access-tokens/{id}/approve", summary="Approve an access token", responses=refusing(409)
)
def approve(
    response: Response,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    _: NoBody,
    if_match: IfMatch,
) -> AccessToken:
    """Needs `access-tokens:approve`, and all of the token's permissions. Those who created or own
    it, or added a permission to it meanwhile, can't approve it (403 `second_person_required`). One
    that waits for no approval is 409 `not_pending`; one that has ended 409 `token_deactivated` or
    `token_expired`. Repeating it changes nothing. With `If-Match`, only that version is approved
    (else 409)."""

    def operation(change: Change) -> AccessToken:
        token = token_approvals.approve(change, actor, id, if_match=if_match)
        return sent(AccessToken, token, response)

    with current_as(AccessToken):
        return changing(operation)


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
    `token_expired`, a pending one 409 `token_pending`, each with the `current` record; a
    deactivated owner's 409 `owner_deactivated`. The new token waits for a second person if the old
    one's permissions need one and it wasn't approved; then the old one can't close `now` (409
    `approval_required`). The answer is the only one with the new token's text."""

    def operation(change: Change) -> CreatedAccessToken:
        token, text = rotation.rotate(change, actor, id, how.closing())
        response.headers["Location"] = f"/v1/access-tokens/{token.id}"
        return CreatedAccessToken.with_text(sent(AccessToken, token, response), text)

    with current_as(AccessToken):
        return changing(operation)
