"""``/v1/users``: list, change a role, deactivate, turn off a second factor."""

from typing import Annotated, Literal

from fastapi import Response
from pydantic import Field

from gatepass.registry.authentication import totp_reset
from gatepass.registry.directory import user_roles, user_search
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID, LONGEST_EXTERNAL_ID
from gatepass.registry.membership import offboarding
from gatepass.registry.storage.database import Change
from gatepass.registry.tokens.hand_over import MOST_CHOICES, Handling, Recipient
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import IfMatch, Paging, RecordId, Term
from gatepass.web.api.records.users import User, UserStatus
from gatepass.web.api.request_body import Fields, NoBody, body, resource
from gatepass.web.api.shapes import IdText, Listed, current_as, sent
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = resource("Users")


class UserChanges(Fields):
    """Changes of a user."""

    role: IdText = Field(description="A role's id.", examples=["reporting"])


class TokenRecipient(Fields):
    """Who gets access tokens that are handed over."""

    type: Literal["user", "service_account"]
    id: str = Field(
        json_schema_extra={"maxLength": len(BY_EXTERNAL_ID) + LONGEST_EXTERNAL_ID},
        description="A user's or a service account's; or `ext:` and a service account's external "
        "id.",
        examples=["svc_4fT0aB3cD5eF7gH9"],
    )


class UserDeactivation(Fields):
    """What happens to the user's access tokens. Those that aren't handed over are refused in any
    case."""

    access_tokens: Literal["deactivate", "keep", "hand_over"] = Field(
        default="deactivate",
        description="`deactivate` deactivates each token for good. With `keep` they stay in the "
        "list as they are, and are refused with `account_deactivated`. With `hand_over` they "
        "belong to the owner in `to`, and keep working.",
    )
    to: TokenRecipient | None = Field(
        default=None,
        description="Required if tokens are handed over; absent or null otherwise.",
        examples=[None],
    )
    tokens: Annotated[
        dict[IdText, Literal["deactivate", "hand_over"]],
        Field(json_schema_extra={"maxProperties": MOST_CHOICES}),
    ] = Field(
        default={},
        description="What happens to single ones, by id, instead of what `access_tokens` says.",
        examples=[{}],
    )

    def handling(self) -> Handling:
        """As the registry takes it."""
        to = None if self.to is None else Recipient(self.to.type, self.to.id)
        return Handling(self.access_tokens, to, self.tokens)


@router.get("/users", summary="The company's users")
def search(
    node: CurrentNode,
    actor: Authenticated,
    paging: Paging,
    q: Term | None = None,
    status: UserStatus | None = None,
) -> Listed[User]:
    """Needs `users:get`. `q` searches names and e-mail addresses."""
    with node.database.read(node.clock.now()) as reading:
        page = user_search.list_(
            reading, actor, q=q or None, status=status, counted=False, **paging
        )
    return Listed[User].of(page)


@router.get("/users/{id}", summary="One user")
def get(response: Response, node: CurrentNode, actor: Authenticated, id: RecordId) -> User:
    """Needs `users:get`."""
    with node.database.read(node.clock.now()) as reading:
        return sent(User, user_search.get(reading, actor, id), response)


@router.patch("/users/{id}", summary="Change a user's role")
def change_role(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: RecordId,
    changes: Annotated[UserChanges, body(UserChanges)],
    if_match: IfMatch,
) -> User:
    """Needs `users:manage`, and all permissions of the user's old and new role; an operator's role
    only operators can change (403 `operator_required`). Takes effect on the user's next call. 409
    for the last administrator (`last_administrator`) and for deactivated users
    (`user_deactivated`). With `If-Match`, only that version is
    changed (else 409)."""
    with current_as(User), node.database.write(node.clock.now()) as change:
        user = user_roles.change_role(change, actor, id, role=changes.role, if_match=if_match)
    return settled(change.confirmed, sent(User, user, response))


@router.post("/users/{id}/deactivate", summary="Deactivate a user for good")
def deactivate(
    response: Response,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    end: Annotated[UserDeactivation, body(UserDeactivation)],
) -> User:
    """Needs `users:manage`, and all permissions of the user's role; an operator only operators can
    deactivate (403 `operator_required`). The user's sign-ins and access tokens are refused from now
    on, and their e-mail address can be invited again. Repeating it changes nothing. 409 for the
    last administrator (`last_administrator`) and the installation's last operator
    (`last_operator`)."""

    def operation(change: Change) -> User:
        user = offboarding.deactivate(change, actor, id, tokens=end.handling())
        return sent(User, user, response)

    with current_as(User):
        return changing(operation)


@router.post("/users/{id}/second-factor/deactivate", summary="Turn off a user's lost second factor")
def turn_off_second_factor(
    response: Response, actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody
) -> User:
    """Needs `users:manage`, and all permissions of the user's role; an operator's only operators
    can turn off (403 `operator_required`). Deletes the recovery codes and deactivates all sign-ins
    of the user; the next sign-in takes the password alone. Repeating it changes nothing. 409
    (`own_second_factor`) for your own."""

    def operation(change: Change) -> User:
        return sent(User, totp_reset.turn_off_second_factor(change, actor, id), response)

    with current_as(User):
        return changing(operation)
