"""``/v1/users``: who there is; another role, the end of an account, or of a lost second factor."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from pydantic import Field

from gatepass.core.errors import Conflict
from gatepass.registry.authentication import totp_reset
from gatepass.registry.directory import user_roles, user_search, users
from gatepass.registry.membership import offboarding
from gatepass.web.api.body import Fields, NoFields, body, takes
from gatepass.web.api.confirmation import settled
from gatepass.web.api.shapes import (
    Limit,
    Listed,
    PageCursor,
    Record,
    RecordId,
    Term,
    Time,
    person_id,
    person_name,
    wanted_tags,
)
from gatepass.web.caller import Authenticated, OurNode, SignedIn

router = APIRouter(tags=["Users"])

UserStatus = Literal["active", "deactivated"]


class UserChanges(Fields):
    """What shall change."""

    role: str = Field(description="A role's id.", examples=["reporting"])


class UserEnd(Fields):
    """What becomes of their access tokens, besides being refused."""

    access_tokens: Literal["deactivate", "keep"] = Field(
        default="deactivate",
        description="`deactivate` ends each of them for good. With `keep` they stay in the list "
        "as they are, and are refused as `account_deactivated`, like everything of that user.",
    )


class User(Record):
    """A person of the company."""

    id: str
    name: str
    email: str
    role: str = Field(description="A role's id.")
    status: UserStatus
    created_at: Time
    last_sign_in_at: Time | None
    second_factor: bool = Field(description="Whether signing in takes one.")
    deactivated_at: Time | None
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")


@router.get("/users", summary="The company's users")
def search(
    node: OurNode,
    actor: Authenticated,
    q: Term | None = None,
    status: UserStatus | None = None,
    limit: Limit | None = None,
    cursor: PageCursor = None,
) -> Listed[User]:
    """Needs `users:get`. `q` is looked for in names and e-mail addresses."""
    with node.database.read(node.clock.now()) as reading:
        page = user_search.list_(
            reading, actor, q=q or None, status=status, limit=limit, cursor=cursor
        )
    return Listed[User](items=[User.model_validate(user) for user in page.items], next=page.next)


@router.get("/users/{id}", summary="One user")
def get(response: Response, node: OurNode, actor: Authenticated, id: RecordId) -> User:
    """Needs `users:get`."""
    with node.database.read(node.clock.now()) as reading:
        return _sent(user_search.get(reading, actor, id), response)


@router.patch("/users/{id}", summary="Give a user another role", openapi_extra=takes(UserChanges))
def change_role(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    changes: Annotated[UserChanges, body(UserChanges)],
    if_match: Annotated[list[str] | None, Header()] = None,
) -> User:
    """Needs `users:manage`, and all that their present role and the new one permit; an operator's
    needs an operator (403 `operator_required`). It counts on their next call. 409 for the last
    administrator and for deactivated users. With `If-Match`, only the version it names is changed
    (else 409)."""
    try:
        with node.database.write(node.clock.now()) as change:
            user = user_roles.change_role(
                change, actor, id, role=changes.role, if_match=wanted_tags(if_match)
            )
    except Conflict as conflict:
        raise readable(conflict) from None
    return settled(change.confirmed, _sent(user, response))


@router.post(
    "/users/{id}/deactivate", summary="Deactivate a user for good", openapi_extra=takes(UserEnd)
)
def deactivate(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    end: Annotated[UserEnd, body(UserEnd)],
) -> User:
    """Needs `users:manage`, and all that their role permits; an operator's needs an operator (403
    `operator_required`). Their sign-ins and access tokens are refused from now on, and their e-mail
    address may be invited again. Repeating it changes nothing. 409 for the last administrator
    (`last_administrator`) and the installation's last operator (`last_operator`)."""
    try:
        with node.database.write(node.clock.now()) as change:
            user = offboarding.deactivate(change, actor, id, access_tokens=end.access_tokens)
    except Conflict as conflict:
        raise readable(conflict) from None
    return settled(change.confirmed, _sent(user, response))


@router.post(
    "/users/{id}/second-factor/deactivate",
    summary="Turn off the second factor of someone who lost it",
    openapi_extra=takes(NoFields),
)
def turn_off_second_factor(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    _: Annotated[NoFields, body(NoFields)],
) -> User:
    """Needs `users:manage`, and all that their role permits; an operator's needs an operator (403
    `operator_required`). Their recovery codes are gone, too, and all their sign-ins end; the next
    takes the password alone. Repeating it changes nothing. 409 (`own_second_factor`) for one's
    own."""
    try:
        with node.database.write(node.clock.now()) as change:
            user = totp_reset.turn_off_second_factor(change, actor, id)
    except Conflict as conflict:
        raise readable(conflict) from None
    return settled(change.confirmed, _sent(user, response))


def readable(conflict: Conflict) -> Conflict:
    """*conflict* with the user that it is about as they are sent."""
    if isinstance(conflict.current, users.User):
        conflict.current = User.model_validate(conflict.current).model_dump(mode="json")
    return conflict


def _sent(user: users.User, response: Response) -> User:
    response.headers["ETag"] = users.etag(user)
    return User.model_validate(user)
