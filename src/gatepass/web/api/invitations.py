"""``/v1/invitations``."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gatepass.registry.membership import invitations
from gatepass.web.api.confirmation import mark, settled
from gatepass.web.api.request_body import Fields, NoFields, body, takes
from gatepass.web.api.shapes import (
    Limit,
    Listed,
    PageCursor,
    Record,
    RecordId,
    Time,
    person_id,
    person_name,
)
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn
from gatepass.web.mail_links import accept_invitation

router = APIRouter(tags=["Invitations"])


class NewInvitation(Fields):
    """Whom to invite."""

    email: str = Field(examples=["grace@example.com"])
    role: str = Field(description="The id of the role they will have.", examples=["reporting"])


class Acceptance(Fields):
    """Who accepts."""

    token: str = Field(description="The last part of the link.", examples=["gpiv_…"])
    name: str = Field(json_schema_extra={"minLength": 1, "maxLength": 100})
    password: str = Field(examples=["correct horse battery staple"])


class Invitation(Record):
    """An invitation; never its link."""

    id: str
    email: str
    role: str = Field(description="The role's id.")
    status: Literal["pending", "accepted", "expired", "deactivated"]
    created_at: Time
    expires_at: Time
    invited_by: str | None = person_id("invited_by")
    invited_by_name: str | None = person_name("invited_by")
    delivered_at: Time | None = Field(
        description="When a mail server took the mail; null: not delivered yet, or not known."
    )
    delivery_trouble: str | None = Field(
        description="What went wrong with the mail last, or why there is none."
    )


class InvitationLink(Invitation):
    """An invitation with a new link, which is sent this once."""

    url: str = Field(examples=["https://tokens.example.com/invitations/gpiv_…"])


class Newcomer(Record):
    """The user that was made."""

    id: str
    name: str
    email: str
    role: str = Field(description="The role's id.")
    status: Literal["active", "deactivated"]
    created_at: Time


@router.post(
    "/invitations",
    status_code=201,
    summary="Invite someone",
    openapi_extra=takes(NewInvitation),
)
def create(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    new: Annotated[NewInvitation, body(NewInvitation)],
) -> Invitation:
    """Needs `users:manage`, and all that the role grants. The mail goes out afterwards; trouble
    with it doesn't undo the invitation."""
    with node.database.write(node.clock.now()) as change:
        invitation = invitations.create(
            change,
            actor,
            email=new.email,
            role=new.role,
            lifetime_ms=node.settings.invitation_lifetime * 1000,
        )
    node.mailing.wake()
    mark(response, change.confirmed)
    return _sent(invitation, response)


@router.get("/invitations", summary="The company's invitations")
def list_(
    node: CurrentNode, actor: Authenticated, limit: Limit | None = None, cursor: PageCursor = None
) -> Listed[Invitation]:
    """Needs `users:manage`."""
    with node.database.read(node.clock.now()) as reading:
        page = invitations.list_(reading, actor, limit=limit, cursor=cursor)
    items = [Invitation.model_validate(one) for one in page.items]
    return Listed[Invitation](items=items, next=page.next)


@router.post(
    "/invitations/accept",
    status_code=201,
    summary="Accept an invitation",
    openapi_extra=takes(Acceptance),
)
async def accept(
    request: Request, response: Response, acceptance: Annotated[Acceptance, body(Acceptance)]
) -> Newcomer:
    """With the link's token, once. Whatever is wrong with the link is 410 `invitation_broken`; with
    the name or password 422, and the link stays good."""
    accepted = await accept_invitation(
        request, acceptance.token, acceptance.name, acceptance.password
    )
    mark(response, accepted.confirmed)
    sent = Newcomer.model_validate(accepted.made)
    response.headers["ETag"] = sent.entity_tag()
    return sent


@router.post(
    "/invitations/{id}/resend",
    summary="Send an invitation again",
    openapi_extra=takes(NoFields),
)
def resend(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: RecordId,
    _: Annotated[NoFields, body(NoFields)],
) -> Invitation:
    """Needs `users:manage`, and all that the role grants. A new link, good for the full time; the
    old one is dead at once. Accepted and deactivated ones: 409."""
    with node.database.write(node.clock.now()) as change:
        invitation = invitations.resend(
            change, actor, id, lifetime_ms=node.settings.invitation_lifetime * 1000
        )
    node.mailing.wake()
    return settled(change.confirmed, _sent(invitation, response))


@router.post(
    "/invitations/{id}/link",
    status_code=201,
    summary="Take an invitation's link to hand it over",
    openapi_extra=takes(NoFields),
)
def take_link(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: RecordId,
    _: Annotated[NoFields, body(NoFields)],
) -> InvitationLink:
    """For an installation without a mail server; with one: 409 `link_goes_by_mail`. Needs
    `users:manage`, and all that the role grants. A new link, good for the full time; the old one
    is dead at once. Accepted and deactivated ones: 409."""
    with node.database.write(node.clock.now()) as change:
        invitation, token = invitations.take_link(
            change,
            actor,
            id,
            lifetime_ms=node.settings.invitation_lifetime * 1000,
            mail_server=node.mailing.post.kind != "log",
        )
    mark(response, change.confirmed)
    sent = _sent(invitation, response)
    url = f"{node.settings.public_url}/invitations/{token}"
    return InvitationLink.model_construct(**dict(sent), url=url)


@router.post(
    "/invitations/{id}/deactivate",
    summary="Deactivate an invitation for good",
    openapi_extra=takes(NoFields),
)
def deactivate(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: RecordId,
    _: Annotated[NoFields, body(NoFields)],
) -> Invitation:
    """Needs `users:manage`. Repeating it changes nothing; an accepted one: 409."""
    with node.database.write(node.clock.now()) as change:
        invitation = invitations.deactivate(change, actor, id)
    return settled(change.confirmed, _sent(invitation, response))


def _sent(invitation: invitations.Invitation, response: Response) -> Invitation:
    sent = Invitation.model_validate(invitation)
    response.headers["ETag"] = sent.entity_tag()
    return sent
