"""``/v1/me/email``, ``/v1/users/{id}/email``: e-mail addresses, and changes of them that wait."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import Field

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.directory import user_search, users
from gatepass.registry.membership import email_changes, pending_email_changes
from gatepass.registry.storage.database import Reading
from gatepass.web.api.body import Fields, NoFields, body, takes
from gatepass.web.api.confirmation import mark, settled
from gatepass.web.api.shapes import Record, RecordId, Time, person_id, person_name, wanted_tags
from gatepass.web.api.users import readable
from gatepass.web.caller import OurNode, SignedIn
from gatepass.web.hashing_pool import Place, hashing

router = APIRouter(tags=["Users"])

_NEW = "The new address. It counts once the link that is mailed there was used."


class NewEmail(Fields):
    """Another address for a colleague."""

    email: str = Field(description=_NEW, examples=["grace.hopper@example.com"])


class OwnNewEmail(Fields):
    """Another address for oneself."""

    email: str = Field(description=_NEW, examples=["ada@example.com"])
    password: str = Field(description="The current one.", examples=["correct horse battery staple"])


class WaitingChange(Record):
    """A change that waits for its link to be used."""

    email: str = Field(description="The new address.")
    requested_by: str | None = person_id("requested_by")
    requested_by_name: str | None = person_name("requested_by")
    created_at: Time
    expires_at: Time = Field(description="Until then the link works.")


class EmailAddress(Record):
    """A user's address, and the one that it is to become."""

    user: str = Field(description="The user's id.")
    email: str = Field(description="The address that counts.")
    pending: WaitingChange | None


@router.get("/me/email", summary="Your e-mail address, and its change that waits")
def own(node: OurNode, actor: SignedIn) -> EmailAddress:
    """For a signed-in user."""
    with node.database.read(node.clock.now()) as reading:
        return _address(reading, str(actor.user))


@router.post(
    "/me/email",
    status_code=202,
    summary="Change your e-mail address",
    openapi_extra=takes(OwnNewEmail),
)
async def request_own(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    new: Annotated[OwnNewEmail, body(OwnNewEmail)],
) -> EmailAddress:
    """Takes the current password; a wrong one is 422, and counts like a failed sign-in. A link is
    mailed to the new address, good for 24 hours, and the present address is told. 409 if somebody
    of the company has the new address (`email_taken`), or is invited to it
    (`invitation_pending`)."""

    prove_and_request = partial(
        email_changes.request_own,
        node.reauthentication,
        actor,
        email=new.email,
        password=new.password,
    )
    try:
        made, confirmed = await hashing(Place.of_actor(actor), prove_and_request)
    except InvalidInput as error:
        fields = {"current_password": "password"}
        raise InvalidInput(
            [(fields.get(name, name), message) for name, message in error.errors]
        ) from None
    node.mailing.wake()
    mark(response, confirmed)
    # Nothing is read any more: it is committed, whatever becomes of the database.
    return EmailAddress(
        user=made.user, email=made.former_email, pending=WaitingChange.model_validate(made)
    )


@router.post(
    "/me/email/cancel",
    summary="Cancel the change of your e-mail address",
    openapi_extra=takes(NoFields),
)
def cancel_own(
    node: OurNode, actor: SignedIn, _: Annotated[NoFields, body(NoFields)]
) -> EmailAddress:
    """Whoever asked for it. Its link is dead at once; the address stays. Repeating it changes
    nothing."""
    with node.database.write(node.clock.now()) as change:
        user = email_changes.cancel_own(change, actor)
        address = _address(change, user.id)
    return settled(change.confirmed, address)


@router.get("/users/{id}/email", summary="A user's e-mail address, and its change that waits")
def get(node: OurNode, actor: SignedIn, id: RecordId) -> EmailAddress:
    """Needs `users:manage`."""
    with node.database.read(node.clock.now()) as reading:
        actor.require("users:manage")
        return _address(reading, user_search.find(reading, actor, id).id)


@router.post(
    "/users/{id}/email",
    status_code=202,
    summary="Change a user's e-mail address",
    openapi_extra=takes(NewEmail),
)
def request(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    new: Annotated[NewEmail, body(NewEmail)],
    if_match: Annotated[list[str] | None, Header()] = None,
) -> EmailAddress:
    """Needs `users:manage`, and all that their role permits. Never an operator's, not even by
    another operator (403 `operator_required`). A link is mailed to the new address, good for 24
    hours, and the present address is told at once. 409 as for one's own; for one's own
    (`own_email`), and for deactivated users. With `If-Match`, only the version of the user that it
    names is changed (else 409)."""
    try:
        with node.database.write(node.clock.now()) as change:
            email_changes.request(
                change, actor, id, email=new.email, if_match=wanted_tags(if_match)
            )
            address = _address(change, id)
    except Conflict as conflict:
        raise readable(conflict) from None
    node.mailing.wake()
    mark(response, change.confirmed)
    return address


@router.post(
    "/users/{id}/email/cancel",
    summary="Cancel the change of a user's e-mail address",
    openapi_extra=takes(NoFields),
)
def cancel(
    node: OurNode, actor: SignedIn, id: RecordId, _: Annotated[NoFields, body(NoFields)]
) -> EmailAddress:
    """Needs what changing it needs. Repeating it changes nothing."""
    try:
        with node.database.write(node.clock.now()) as change:
            user = email_changes.cancel(change, actor, id)
            address = _address(change, user.id)
    except Conflict as conflict:
        raise readable(conflict) from None
    return settled(change.confirmed, address)


def _address(reading: Reading, user_id: str) -> EmailAddress:
    waiting = pending_email_changes.pending(reading, user_id)
    return EmailAddress(
        user=user_id,
        email=users.get(reading, user_id).email,
        pending=None if waiting is None else WaitingChange.model_validate(waiting),
    )
