"""``/v1/invitations``."""

from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import Field

from gatepass.registry.authentication.passwords import LONGEST, SHORTEST
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.registry.membership import invitations
from gatepass.registry.storage.database import Change
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import mark
from gatepass.web.api.parameters import Paging, RecordId
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import (
    EmailAddressText,
    IdText,
    Listed,
    Record,
    Time,
    person_id,
    person_name,
    sent,
)
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn
from gatepass.web.credentials import accept_invitation

router = resource("Invitations")


class NewInvitation(Fields):
    """A new invitation."""

    email: EmailAddressText = Field(examples=["grace@example.com"])
    role: IdText = Field(description="The id of the new user's role.", examples=["reporting"])


class InvitationAcceptance(Fields):
    """The acceptance of an invitation."""

    token: str = Field(
        description="The last part of the link.",
        json_schema_extra={"maxLength": 200},
        examples=["gpiv_…"],
    )
    name: str = Field(
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_LABEL}, examples=["Grace Hopper"]
    )
    password: str = Field(
        json_schema_extra={"format": "password", "minLength": SHORTEST, "maxLength": LONGEST},
        examples=["correct horse battery staple"],
    )


class Invitation(Record):
    """An invitation; never its link."""

    id: str = Field(examples=["inv_4fT0aB3cD5eF7gH9"])
    email: str = Field(examples=["grace@example.com"])
    role: str = Field(examples=["reporting"], description="The role's id.")
    status: Literal["pending", "accepted", "expired", "deactivated"]
    created_at: Time
    expires_at: Time
    invited_by: str | None = person_id("invited_by")
    invited_by_name: str | None = person_name("invited_by")
    delivered_at: Time | None = Field(
        description="When a mail server accepted the mail; null: not yet, or unknown."
    )
    delivery_trouble: str | None = Field(
        examples=[None], description="The last delivery failure, or why no mail is sent."
    )


class InvitationLink(Invitation):
    """An invitation with a new link, which no other answer has."""

    url: str = Field(examples=["https://tokens.example.com/invitations/gpiv_…"])


class JoinedUser(Record):
    """The new user."""

    id: str = Field(examples=["usr_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Grace Hopper"])
    email: str = Field(examples=["grace@example.com"])
    role: str = Field(examples=["reporting"], description="The role's id.")
    status: Literal["active", "deactivated"]
    created_at: Time


@router.post("/invitations", status_code=201, summary="Invite a user", responses=refusing(409))
def create(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    new: Annotated[NewInvitation, body(NewInvitation)],
) -> Invitation:
    """Needs `users:manage`, and all permissions of the role. The mail is sent afterwards; a failed
    delivery doesn't undo the invitation."""

    def operation(change: Change) -> Invitation:
        invitation = invitations.create(
            change,
            actor,
            email=new.email,
            role=new.role,
            lifetime_ms=node.settings.invitation_lifetime * 1000,
        )
        return sent(Invitation, invitation, response)

    try:
        return changing(operation)
    finally:
        node.mailing.wake()


@router.get("/invitations", summary="The company's invitations")
def list_(node: CurrentNode, actor: Authenticated, paging: Paging) -> Listed[Invitation]:
    """Needs `users:manage`."""
    with node.database.read(node.clock.now()) as reading:
        page = invitations.list_(reading, actor, **paging)
    return Listed[Invitation].of(page)


@router.post(
    "/invitations/accept",
    status_code=201,
    summary="Accept an invitation",
    responses=refusing(401, 403, 409, 410),
)
async def accept(
    request: Request,
    response: Response,
    acceptance: Annotated[InvitationAcceptance, body(InvitationAcceptance)],
) -> JoinedUser:
    """Takes the link's token, once. Any fault of the link is 410 `invitation_broken`. A fault of
    the name or password is 422, and the link stays valid. 409 `oidc_required` where users sign in
    with an OIDC provider alone."""
    accepted = await accept_invitation(
        request, acceptance.token, acceptance.name, acceptance.password
    )
    mark(response, accepted.confirmed)
    return sent(JoinedUser, accepted.made, response)


@router.post("/invitations/{id}/resend", summary="Send an invitation again")
def resend(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    _: NoBody,
) -> Invitation:
    """Needs `users:manage`, and all permissions of the role. Sends a new link, valid for the full
    lifetime; the old one is revoked at once. 409 for accepted and deactivated invitations
    (`invitation_ended`), and if the role was deleted (`role_gone`)."""

    def operation(change: Change) -> Invitation:
        invitation = invitations.resend(
            change, actor, id, lifetime_ms=node.settings.invitation_lifetime * 1000
        )
        return sent(Invitation, invitation, response)

    try:
        return changing(operation)
    finally:
        node.mailing.wake()


@router.post(
    "/invitations/{id}/link", status_code=201, summary="Get an invitation's link to pass it on"
)
def take_link(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    _: NoBody,
) -> InvitationLink:
    """For an installation without a mail server; with one: 409 `link_goes_by_mail`. Needs
    `users:manage`, and all permissions of the role. Creates a new link, valid for the full
    lifetime; the old one is revoked at once. 409 for accepted and deactivated invitations."""

    def operation(change: Change) -> InvitationLink:
        invitation, token = invitations.take_link(
            change,
            actor,
            id,
            lifetime_ms=node.settings.invitation_lifetime * 1000,
            mail_server=node.mailing.post.kind != "log",
        )
        answer = sent(Invitation, invitation, response)
        url = f"{node.settings.public_url}/invitations/{token}"
        return InvitationLink.model_construct(**dict(answer), url=url)

    return changing(operation)


@router.post("/invitations/{id}/deactivate", summary="Deactivate an invitation for good")
def deactivate(
    response: Response, actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody
) -> Invitation:
    """Needs `users:manage`. Repeating it changes nothing. 409 for an accepted invitation."""
    return changing(
        lambda change: sent(Invitation, invitations.deactivate(change, actor, id), response)
    )
