"""``/v1/portal-sessions``: an owner's access tokens, managed on a page of another product."""

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import Field

from gatepass.core.errors import BrokenLink
from gatepass.core.networks import format_address
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import portal_codes, throttling
from gatepass.registry.authentication.throttling import CodeAttempt, source_of
from gatepass.registry.directory import portal_sessions
from gatepass.registry.directory.portal_sessions import LONGEST_LIFETIME_S, MOST_ORIGINS
from gatepass.registry.input.permissions import MOST_PERMISSIONS
from gatepass.registry.storage.database import Change
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import mark
from gatepass.web.api.owner_reference import OwnerReference, id_reference
from gatepass.web.api.request_body import Fields, body, refusing, resource
from gatepass.web.api.shapes import IdText, Record, Time
from gatepass.web.caller import CurrentNode, address_of, administering
from gatepass.web.cross_origin import cross_origin, name_origin, page_origin
from gatepass.web.public_origin import origin_of

router = resource("Portal sessions")

_ORIGINS: dict[str, Any] = {"minItems": 1, "maxItems": MOST_ORIGINS}
_PERMISSIONS: dict[str, Any] = {"minItems": 1, "maxItems": MOST_PERMISSIONS}
_LIFETIME: dict[str, Any] = {"minimum": 1, "maximum": LONGEST_LIFETIME_S}


class NewPortalSession(Fields):
    """A new portal session."""

    company: IdText = Field(description="A company's id.", examples=["com_4fT0aB3cD5eF7gH9"])
    owner: OwnerReference = Field(description="A service account or an external owner.")
    origins: list[str] = Field(
        json_schema_extra=_ORIGINS,
        description="Of the pages that may use it: `https`, for localhost also `http`.",
        examples=[["https://shop.example.com"]],
    )
    permissions: Annotated[list[str], Field(json_schema_extra=_PERMISSIONS)] | None = Field(
        default=None,
        description="What the tokens that it creates and changes may hold, within the owner's "
        "role. Absent or null: all that the role has of the catalogue file.",
        examples=[["charges:get"]],
    )
    expires_in: int = Field(
        json_schema_extra=_LIFETIME,
        description="Its lifetime in seconds, from the redeeming of its code.",
        examples=[900],
    )


class OpenedPortalSession(Record):
    """A portal session with its code, which no other answer has."""

    id: str = Field(examples=["gpps_4fT0aB3cD5eF7gH9"])
    code: str = Field(
        description="For the page, which redeems it within 60 seconds, once.",
        examples=["gppc_4fT0aB3cD5eF7gH9…"],
    )
    url: str = Field(
        description="A page of Gatepass with the owner's access tokens, to open or to frame.",
        examples=["https://gatepass.example.com/portal/gpps_4fT0aB3cD5eF7gH9#gppc_4fT0a…"],
    )


class PortalCode(Fields):
    """The code of a portal session."""

    code: str = Field(json_schema_extra={"maxLength": 200}, examples=["gppc_4fT0aB3cD5eF7gH9…"])


class RedeemedPortalSession(Record):
    """The token of a portal session, which no other answer has."""

    token: str = Field(examples=["gpps_4fT0aB3cD5eF7gH9…"])
    expires_at: Time


@cross_origin
def _from_page(request: Request) -> Request:
    return request


#: A request without a credential, from a page of any origin.
FromPage = Annotated[Request, Depends(_from_page)]


@router.post(
    "/portal-sessions",
    status_code=201,
    summary="Open a portal session",
    responses=refusing(404, 409),
)
def create(
    node: CurrentNode,
    actor: Annotated[Actor, Depends(administering("portal"))],
    changing: CurrentChange,
    new: Annotated[NewPortalSession, body(NewPortalSession)],
) -> OpenedPortalSession:
    """For operators, and admin keys with `portal`. A user as the owner is 404; a deactivated
    company or owner 409 (`company_deactivated`, `owner_deactivated`). The session ends with its
    owner, its company and the admin key."""
    fields = new.named() | {
        "company": id_reference(new.company),
        "owner": new.owner.reference(),
    }

    def operation(change: Change) -> OpenedPortalSession:
        session, code = portal_sessions.create(change, actor, catalogue=node.catalogue, **fields)
        url = f"{node.settings.public_url}/portal/{session.id}#{code}"
        return OpenedPortalSession(id=session.id, code=code, url=url)

    return changing(operation)


@router.post(
    "/portal-sessions/redeem",
    status_code=201,
    summary="Redeem a portal session's code",
    responses=refusing(403, 410, 429),
)
def redeem(
    request: FromPage,
    response: Response,
    node: CurrentNode,
    given: Annotated[PortalCode, body(PortalCode)],
) -> RedeemedPortalSession:
    """For the page of the session, without a credential. Its `Origin` must be one of the session's
    or Gatepass's own, else 403 `origin_not_allowed`; the code then stays valid. A code that was
    used, is older than 60 seconds or is wrong, and that of a session whose owner, company or admin
    key has ended, is 410 `code_broken`. The answer is the only one with the session's token."""
    packed = address_of(request)
    address = None if packed is None else format_address(packed)
    attempt = CodeAttempt(source_of(address))
    own, origin = origin_of(node.settings.public_url), page_origin(request)
    try:
        with node.database.read(node.clock.now()) as reading:
            try:
                row = portal_codes.find(reading, given.code)
            except BrokenLink:
                throttling.check(reading, attempt)
                raise
            origins = (*row.origins, own)
            # First, so that the session's page can read how long it has to wait.
            name_origin(request, origins)
            throttling.check(reading, attempt)
            # Here as well, so that a broken code doesn't wait for the lock of all changes.
            portal_codes.require_redeemable(
                reading, row, origins=origins, origin=origin, address=address
            )
        with node.database.write(node.clock.now()) as change:
            redeemed = portal_codes.redeem(
                change, given.code, own_origin=own, origin=origin, address=address
            )
    except BrokenLink as broken:
        with node.database.auxiliary_write(node.clock.now()) as write:
            throttling.count_failure(write, attempt)
            too_many = throttling.refusal(write, attempt)
        raise too_many or broken from None
    mark(response, change.confirmed)
    return RedeemedPortalSession.model_validate(redeemed)
