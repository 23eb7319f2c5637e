"""``/v1/me/email``, ``/v1/users/{id}/email``: e-mail addresses and their pending changes."""

from functools import partial
from typing import Annotated, cast

from fastapi import Response
from pydantic import Field

from gatepass.core.errors import InvalidInput
from gatepass.registry.directory import user_search, users
from gatepass.registry.membership import email_changes, pending_email_changes
from gatepass.registry.membership.pending_email_changes import EmailChange
from gatepass.registry.storage.database import Change, Reading, Repeated
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.parameters import IfMatch, RecordId
from gatepass.web.api.records.users import User
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import (
    EmailAddressText,
    PasswordText,
    Record,
    Time,
    current_as,
    person_id,
    person_name,
)
from gatepass.web.caller import CurrentNode, SignedIn
from gatepass.web.hashing_pool import Place, hashing

router = resource("Users")

_NEW = "The new address. It takes effect when the link mailed to it is used."


class NewEmailAddress(Fields):
    """A new address for another user."""

    email: EmailAddressText = Field(description=_NEW, examples=["grace.hopper@example.com"])


class NewOwnEmailAddress(Fields):
    """A new address for yourself."""

    email: EmailAddressText = Field(description=_NEW, examples=["ada@example.com"])
    password: PasswordText = Field(
        description="Your password.", examples=["correct horse battery staple"]
    )


class PendingEmailChange(Record):
    """A change whose link hasn't been used yet."""

    email: str = Field(examples=["ada.lovelace@example.com"], description="The new address.")
    requested_by: str | None = person_id("requested_by")
    requested_by_name: str | None = person_name("requested_by")
    created_at: Time
    expires_at: Time = Field(description="When the link expires.")


class EmailAddress(Record):
    """A user's address, and its pending change."""

    user: str = Field(examples=["usr_4fT0aB3cD5eF7gH9"], description="The user's id.")
    email: str = Field(examples=["ada@example.com"], description="The current address.")
    pending: PendingEmailChange | None


@router.get("/me/email", summary="Your e-mail address and its pending change")
def own(node: CurrentNode, actor: SignedIn) -> EmailAddress:
    """For a signed-in user."""
    with node.database.read(node.clock.now()) as reading:
        return _address(reading, str(actor.user))


@router.post(
    "/me/email",
    status_code=202,
    summary="Change your e-mail address",
    responses=refusing(409, 429),
)
async def request_own(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    new: Annotated[NewOwnEmailAddress, body(NewOwnEmailAddress)],
) -> EmailAddress:
    """Takes your password; a wrong one is 422, and counts like a failed sign-in. A link that is
    valid for 24 hours is mailed to the new address, and a notice to the current one. 409 if a user
    of the company has the new address (`email_taken`), or an invitation to it is pending
    (`invitation_pending`)."""

    def address_after(made: EmailChange) -> EmailAddress:
        return EmailAddress(
            user=made.user, email=made.former_email, pending=PendingEmailChange.model_validate(made)
        )

    request = partial(
        email_changes.request_own,
        node.reauthentication,
        actor,
        email=new.email,
        password=new.password,
        begun=changing.begin,
        then=lambda change, made: changing.keep(change, address_after(made)),
    )
    try:
        made, confirmed = await hashing(Place.of_actor(actor), request)
    except Repeated as repeated:
        return cast(EmailAddress, changing.again(repeated, confirmed=True))
    except InvalidInput as error:
        fields = {"current_password": "password"}
        raise InvalidInput(
            [(fields.get(name, name), message) for name, message in error.errors]
        ) from None
    node.mailing.wake()
    # No further query: the change is committed, even if the database fails now.
    return changing.settled(address_after(made), confirmed)


@router.post("/me/email/cancel", summary="Cancel the change of your e-mail address")
def cancel_own(actor: SignedIn, changing: CurrentChange, _: NoBody) -> EmailAddress:
    """Also a change that someone else requested. Revokes its link at once; the address stays.
    Repeating it changes nothing."""
    return changing(lambda change: _address(change, email_changes.cancel_own(change, actor).id))


@router.get("/users/{id}/email", summary="A user's e-mail address and its pending change")
def get(node: CurrentNode, actor: SignedIn, id: RecordId) -> EmailAddress:
    """Needs `users:manage`."""
    with node.database.read(node.clock.now()) as reading:
        actor.require("users:manage")
        return _address(reading, user_search.find(reading, actor, id).id)


@router.post(
    "/users/{id}/email",
    status_code=202,
    summary="Change a user's e-mail address",
    responses=refusing(429),
)
def request(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    new: Annotated[NewEmailAddress, body(NewEmailAddress)],
    if_match: IfMatch,
) -> EmailAddress:
    """Needs `users:manage`, and all permissions of the user's role. An operator's can't be changed
    here, not even by another operator (403 `operator_required`). A link that is valid for 24 hours
    is mailed to the new address, and a notice to the current one at once. 409 as for your own
    address; also for your own (`own_email`), and for deactivated users. With `If-Match`, only that
    version of the user is changed (else 409)."""

    def operation(change: Change) -> EmailAddress:
        email_changes.request(change, actor, id, email=new.email, if_match=if_match)
        return _address(change, id)

    try:
        with current_as(User):
            return changing(operation)
    finally:
        node.mailing.wake()


@router.post("/users/{id}/email/cancel", summary="Cancel the change of a user's e-mail address")
def cancel(actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody) -> EmailAddress:
    """Needs the permissions of changing it. Repeating it changes nothing."""
    with current_as(User):
        return changing(lambda change: _address(change, email_changes.cancel(change, actor, id).id))


def _address(reading: Reading, user_id: str) -> EmailAddress:
    pending = pending_email_changes.pending(reading, user_id)
    return EmailAddress(
        user=user_id,
        email=users.get(reading, user_id).email,
        pending=None if pending is None else PendingEmailChange.model_validate(pending),
    )
