"""``/v1/access-requests``: access tokens ask for a permission; ``…/exceptions/{permission}``."""

from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import Field

from gatepass.core.errors import InvalidInput, NotConfirmed
from gatepass.registry.membership import access_requests
from gatepass.registry.membership.access_requests import LONGEST_JUSTIFICATION
from gatepass.registry.storage.database import Change
from gatepass.registry.tokens.temporary import exceptions, request_records
from gatepass.registry.tokens.temporary.exceptions import LONGEST_S
from gatepass.registry.tokens.temporary.request_records import RequestStatus
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.parameters import Paging, RecordId
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import (
    Listed,
    Record,
    Time,
    current_as,
    person_id,
    person_name,
    sent,
)
from gatepass.web.caller import Authenticated, CurrentNode, OwnAccessToken, SignedIn

router = resource("Access requests")

_DECISION = "dec_4fT0aB3cD5eF7gH9iJ1kL2"
_OF_REFUSAL: Any = Field(json_schema_extra={"pattern": "^dec_[0-9A-Za-z]{22}$"})
_JUSTIFICATION: Any = Field(json_schema_extra={"maxLength": LONGEST_JUSTIFICATION})
_SECONDS: Any = Field(json_schema_extra={"minimum": 1, "maximum": LONGEST_S})
#: A permission in a path. A malformed one is 404 like an unknown one.
PermissionName = Annotated[
    str,
    Path(
        pattern="^[a-z0-9-]{1,100}:[a-z0-9-]{1,100}$",
        description="Of the exception, such as `charges:create`.",
    ),
]


class NewAccessRequest(Fields):
    """A request for a permission."""

    permission: str = Field(
        json_schema_extra={"maxLength": 200},
        description="One of the catalogue's file; no wildcard.",
        examples=["charges:create"],
    )
    decision: Annotated[str, _OF_REFUSAL] | None = Field(
        default=None,
        description="The id of the refusal, from the end of its `help`.",
        examples=[_DECISION],
    )
    justification: Annotated[str, _JUSTIFICATION] | None = Field(
        default=None,
        description="For the people who answer.",
        examples=["The invoice of order 7 needs a refund."],
    )


class AccessRequestApproval(Fields):
    """For how long the permission is allowed: exactly one of both."""

    seconds: Annotated[int, _SECONDS] | None = Field(
        default=None, examples=[900], description="Of the exception."
    )
    always: bool | None = Field(
        default=None,
        description="Instead of seconds, `true`: adds the permission to the token.",
        examples=[None],
    )


class AskedAccess(Record):
    """A request that was made."""

    id: str = Field(examples=["req_4fT0aB3cD5eF7gH9"])
    status: RequestStatus = Field(examples=["pending"])
    permission: str = Field(examples=["charges:create"])
    expires_at: Time = Field(description="From then on it can't be answered.")


class AskingToken(Record):
    """The access token that asks."""

    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Nightly settlement"])


class AccessRequest(AskedAccess):
    """A request of an access token for a permission."""

    access_token: AskingToken
    decision: str | None = Field(
        examples=[_DECISION], description="The id of the refusal, as the token's holder named it."
    )
    justification: str | None = Field(examples=["The invoice of order 7 needs a refund."])
    created_at: Time
    decided_at: Time | None = Field(examples=[None])
    decided_by: str | None = person_id("decided_by")
    decided_by_name: str | None = person_name("decided_by")
    until: Time | None = Field(
        description="When its exception ends or ended; null without one.", examples=[None]
    )
    always: bool = Field(
        description="Whether the permission was added to the token.", examples=[False]
    )


@router.post(
    "/access-requests",
    status_code=202,
    summary="Ask for a permission",
    responses=refusing(404, 409, 429),
)
def ask(
    node: CurrentNode,
    actor: OwnAccessToken,
    changing: CurrentChange,
    asked: Annotated[NewAccessRequest, body(NewAccessRequest)],
) -> AskedAccess:
    """The refused access token itself is the credential; it must pass the checks up to the
    permission. A permission that the catalogue's file doesn't have is 404, and so is a wildcard.
    One that the token holds is 409 `already_held`; one that its owner's role doesn't grant 409
    `role_too_small`. While the same request is pending, the answer is that one. One that was denied
    within 24 hours is 429, and so are more than 20 of a token in 24 hours, or more than 100 pending
    ones of a company. People get one mail about it."""

    def operation(change: Change) -> AskedAccess:
        request = access_requests.ask(
            change,
            actor,
            catalogue=node.catalogue,
            permission=asked.permission,
            decision=asked.decision,
            justification=asked.justification,
            lifetime_ms=1_000 * node.settings.request_lifetime,
        )
        return AskedAccess.model_validate(request)

    with node.database.read(node.clock.now()) as reading:
        pending = access_requests.pending(reading, actor, asked.permission)
    if pending is not None and changing.request is None:
        return AskedAccess.model_validate(pending)
    made = changing(operation)
    node.mailing.wake()
    return made


@router.get("/access-requests", summary="The company's access requests")
def search(
    node: CurrentNode, actor: SignedIn, paging: Paging, status: RequestStatus | None = None
) -> Listed[AccessRequest]:
    """Needs `access-requests:decide`; those for permissions that you hold."""
    with node.database.read(node.clock.now()) as reading:
        page = request_records.list_(
            reading, actor, catalogue=node.catalogue, status=status, **paging
        )
    return Listed[AccessRequest].of(page)


@router.get("/access-requests/{id}", summary="One access request")
def get(response: Response, node: CurrentNode, actor: Authenticated, id: RecordId) -> AccessRequest:
    """Needs `access-requests:decide`, and the permission that it asks for. An access token may read
    its own, to learn the answer."""
    with node.database.read(node.clock.now()) as reading:
        return sent(AccessRequest, request_records.get(reading, actor, id), response)


@router.post(
    "/access-requests/{id}/approve", summary="Approve an access request", responses=refusing(409)
)
def approve(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    how: Annotated[AccessRequestApproval, body(AccessRequestApproval)],
) -> AccessRequest:
    """Needs `access-requests:decide`, and the permission that it asks for. With `seconds` the token
    has an exception for so long, 20 at once at most (409 `too_many_exceptions`). `always` is a
    change of the token by you, as `PATCH /v1/access-tokens/{id}` is, with what that needs. A
    permission that the token policy wants approved takes `access-tokens:approve` as well, of
    somebody who neither created nor owns the token (403 `second_person_required`). One that is
    answered or expired is 409 `not_pending`; a token that ended 409 `token_deactivated` or
    `token_expired`."""
    if how.always is False:
        raise InvalidInput([("always", "Must be true, or left out.")])
    if (how.seconds is None) == (how.always is None):
        both = "Must be left out: always is given." if how.always else "Must be given, or always."
        raise InvalidInput([("seconds", both)])

    def operation(change: Change) -> AccessRequest:
        request = access_requests.approve(
            change, actor, id, seconds=how.seconds, catalogue=node.catalogue
        )
        return sent(AccessRequest, request, response)

    with current_as(AccessRequest):
        return changing(operation)


@router.post(
    "/access-requests/{id}/deny", summary="Deny an access request", responses=refusing(409)
)
def deny(
    response: Response, actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody
) -> AccessRequest:
    """Needs `access-requests:decide`, and the permission that it asks for. The token can't ask for
    it again within 24 hours. One that is answered or expired is 409 `not_pending`."""

    def operation(change: Change) -> AccessRequest:
        return sent(AccessRequest, access_requests.deny(change, actor, id), response)

    with current_as(AccessRequest):
        return changing(operation)


@router.delete(
    "/access-tokens/{id}/exceptions/{permission}",
    status_code=204,
    response_class=Response,
    summary="End an exception of an access token",
)
def end_exception(
    node: CurrentNode, actor: SignedIn, id: RecordId, permission: PermissionName
) -> None:
    """Needs `access-tokens:modify`. It ends now; a token without it is 404."""
    with node.database.write(node.clock.now()) as change:
        exceptions.end(change, actor, id, permission)
    if not change.confirmed:
        # Without a current record, because the exception is gone.
        raise NotConfirmed
