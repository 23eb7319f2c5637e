"""``/v1/authentications``, ``/v1/sign-out`` and ``/v1/me``."""

from typing import Annotated, Literal

from fastapi import Query, Request, Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from gatepass.core.errors import NotConfirmed
from gatepass.registry.authentication import sessions
from gatepass.registry.authentication.totp import LONGEST_TYPED
from gatepass.registry.directory import companies
from gatepass.registry.tokens.policy import token_policies
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import mark
from gatepass.web.api.parameters import Paging, RecordId
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import (
    EmailAddressText,
    Listed,
    PasswordText,
    Record,
    SparseRecord,
    Status,
    Time,
    person_id,
    person_name,
    sent,
)
from gatepass.web.caller import CallerOrPortal, CurrentNode, SignedIn
from gatepass.web.cookies import clear_login_cookie, login_cookie
from gatepass.web.credentials import sign_in
from gatepass.web.http_boundary import problem_response
from gatepass.web.problems import problem_of_error

router = resource("Authentications")


class SignIn(Fields):
    """Credentials of a user."""

    email: EmailAddressText = Field(examples=["ada@example.com"])
    password: PasswordText = Field(examples=["correct horse battery staple"])
    code: Annotated[str, Field(json_schema_extra={"maxLength": LONGEST_TYPED})] | None = Field(
        default=None, description="Of the second factor, if the user has one."
    )


class Authentication(Record):
    """A sign-in."""

    id: str = Field(examples=["gplt_4fT0aB3cD5eF7gH9"])
    user: str | None = person_id("user")
    user_name: str | None = person_name("user")
    status: Status
    created_at: Time
    expires_at: Time
    address: str | None = Field(examples=["203.0.113.7"])
    user_agent: str | None = Field(examples=["curl/8.11.0"])
    current: bool = Field(description="Whether this request uses it.")
    deactivated_at: Time | None = Field(examples=[None])


class CreatedAuthentication(Record):
    """A login token and its authentication."""

    token: str = Field(examples=["gplt_4fT0aB3cD5eF7gH9…"])
    authentication: Authentication


class DeactivatedAuthentications(Record):
    """The number of deactivated authentications."""

    deactivated: int


class MyUser(Record):
    """The credential's owner."""

    id: str = Field(examples=["usr_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Ada Lovelace"])
    email: str | None = Field(
        default=None, examples=["ada@example.com"], description="Null unless it is a user."
    )
    role: str = Field(examples=["admin"], description="The role's id.")


class MyCompany(Record):
    """The credential's company."""

    id: str = Field(examples=["com_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Analytical Engines"])


class TokenLimits(Record):
    """What the company requires of new access tokens."""

    longest_life_days: int | None = Field(
        description="The most days from a token's creation to its expiry; null: no limit.",
        examples=[90],
    )
    networks_required: bool = Field(
        description="Whether a token must have networks, or, of kind `ui`, domains.",
        examples=[False],
    )
    unused_days: int | None = Field(
        description="The most days without use after which a token ends; null: no limit.",
        examples=[60],
    )


class Me(SparseRecord):
    """The credential in use."""

    kind: Literal["api", "ui", "login", "portal"]
    user: MyUser
    company: MyCompany
    permissions: tuple[str, ...] = Field(
        examples=[["charges:create", "charges:get"]],
        description="The effective permissions. Of a portal session: what the tokens that it "
        "creates and changes may hold.",
    )
    address: str | None = Field(
        examples=["203.0.113.7"], description="The client address that this server sees."
    )
    expires_at: Time | None
    token_policy: TokenLimits | SkipJsonSchema[None] = Field(
        default=None, description="Of a portal session alone."
    )


@router.post(
    "/authentications",
    status_code=201,
    summary="Sign in",
    responses=refusing(401, 403, 429),
)
async def create(
    request: Request, response: Response, who: Annotated[SignIn, body(SignIn)]
) -> CreatedAuthentication:
    """Any wrong credential is 401 `sign_in_failed`. The answer is the only one with the login
    token's text."""
    made = await sign_in(request, who.email, who.password, who.code)
    mark(response, made.confirmed)
    authentication = sent(Authentication, made.authentication, response)
    return CreatedAuthentication(token=made.text, authentication=authentication)


@router.get("/authentications", summary="Recent authentications", responses=refusing(404))
def recent(
    node: CurrentNode,
    actor: SignedIn,
    paging: Paging,
    user: Annotated[
        str | None,
        Query(description="A user's id, or `all`.", json_schema_extra={"maxLength": 64}),
    ] = None,
) -> Listed[Authentication]:
    """Your own; others' with `users:manage`."""
    with node.database.read(node.clock.now()) as reading:
        page = sessions.list_(reading, actor, user=user, **paging)
    return Listed[Authentication].of(page)


@router.post("/authentications/{id}/deactivate", summary="Deactivate an authentication for good")
def deactivate(
    response: Response, actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody
) -> Authentication:
    """Your own; others' with `users:manage`, an operator's by operators alone (403
    `operator_required`). Repeating it changes nothing."""
    return changing(
        lambda change: sent(Authentication, sessions.deactivate(change, actor, id), response)
    )


@router.post(
    "/authentications/deactivate-others", summary="Deactivate all your other authentications"
)
def deactivate_others(
    actor: SignedIn, changing: CurrentChange, _: NoBody
) -> DeactivatedAuthentications:
    """All of this user's other sign-ins are refused from their next call on."""
    return changing(
        lambda change: DeactivatedAuthentications(
            deactivated=sessions.deactivate_others(change, actor)
        )
    )


@router.post("/sign-out", status_code=204, response_class=Response, summary="Sign out")
def sign_out(request: Request, node: CurrentNode, actor: SignedIn, _: NoBody) -> Response:
    """Deactivates the authentication in use, and clears a browser's cookie."""
    with node.database.write(node.clock.now()) as change:
        deactivated = sessions.sign_out(change, actor)
    response = Response(status_code=204)
    if not change.confirmed:
        current = Authentication.model_validate(deactivated).model_dump(mode="json")
        response = problem_response(problem_of_error(NotConfirmed(current)))
    if login_cookie(request):
        clear_login_cookie(response, node.settings)
    return response


@router.get("/me", summary="The credential in use")
def me(node: CurrentNode, caller: CallerOrPortal) -> Me:
    """For any token or portal session: its owner, permissions and client address."""
    with node.database.read(node.clock.now()) as reading:
        company = companies.get(reading, caller.grant.company)
        # A portal session can't read the company's settings.
        policy = token_policies.of(reading, company.id) if caller.actor.is_portal_session else None
    found = {
        "kind": caller.grant.kind,
        "user": caller.owner,
        "company": company,
        "permissions": sorted(caller.actor.permissions),
        "address": caller.actor.address,
        "expires_at": caller.grant.expires_at,
    }
    return Me.model_validate(found if policy is None else {**found, "token_policy": policy})
