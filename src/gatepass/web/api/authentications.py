"""``/v1/authentications``, ``/v1/sign-out`` and ``/v1/me``."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gatepass.core.errors import NotConfirmed
from gatepass.registry.authentication import session_records, sessions
from gatepass.registry.directory import companies
from gatepass.web.api.body import Fields, NoFields, body, takes
from gatepass.web.api.confirmation import mark, settled
from gatepass.web.api.shapes import (
    Limit,
    Listed,
    PageCursor,
    Record,
    RecordId,
    Status,
    Time,
    person_id,
    person_name,
)
from gatepass.web.caller import Calling, OurNode, SignedIn
from gatepass.web.cookies import clear_login_cookie, login_cookie
from gatepass.web.problem_response import problem_response
from gatepass.web.problems import problem_of_error
from gatepass.web.sign_in import sign_in

router = APIRouter(tags=["Authentications"])


class SignIn(Fields):
    """Who signs in."""

    email: str = Field(examples=["ada@example.com"])
    password: str = Field(examples=["correct horse battery staple"])
    code: str | None = Field(default=None, description="The second factor, where one is set up.")


class Authentication(Record):
    """One sign-in."""

    id: str
    user: str | None = person_id("user")
    user_name: str | None = person_name("user")
    status: Status
    created_at: Time
    expires_at: Time
    address: str | None
    user_agent: str | None
    current: bool = Field(description="Whether it is the one that this request came with.")
    deactivated_at: Time | None


class SignedInAnswer(Record):
    """A login token, and the authentication it belongs to."""

    token: str
    authentication: Authentication


class DeactivatedOthers(Record):
    """How many there were."""

    deactivated: int


class MyUser(Record):
    """Whose token it is."""

    id: str
    name: str
    email: str
    role: str = Field(description="The role's id.")


class MyCompany(Record):
    """Whose account it is."""

    id: str
    name: str


class Me(Record):
    """The credential in use."""

    kind: Literal["api", "ui", "login"]
    user: MyUser
    company: MyCompany
    permissions: tuple[str, ...] = Field(description="The effective ones.")
    address: str | None = Field(description="The address this server sees the call come from.")
    expires_at: Time | None


@router.post("/authentications", status_code=201, summary="Sign in", openapi_extra=takes(SignIn))
async def create(
    request: Request, response: Response, who: Annotated[SignIn, body(SignIn)]
) -> SignedInAnswer:
    """Whatever is wrong is 401 `sign_in_failed`. The answer holds a login token, this once."""
    made = await sign_in(request, who.email, who.password, who.code)
    mark(response, made.confirmed)
    return SignedInAnswer(token=made.text, authentication=_sent(made.authentication, response))


@router.get("/authentications", summary="Recent authentications")
def recent(
    node: OurNode,
    actor: SignedIn,
    user: Annotated[str | None, Query(description="A user's id, or `all`.")] = None,
    limit: Limit | None = None,
    cursor: PageCursor = None,
) -> Listed[Authentication]:
    """One's own; others' with `users:manage`."""
    with node.database.read(node.clock.now()) as reading:
        page = sessions.list_(reading, actor, user=user, limit=limit, cursor=cursor)
    items = [Authentication.model_validate(one) for one in page.items]
    return Listed[Authentication](items=items, next=page.next)


@router.post(
    "/authentications/{id}/deactivate",
    summary="Deactivate an authentication for good",
    openapi_extra=takes(NoFields),
)
def deactivate(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    _: Annotated[NoFields, body(NoFields)],
) -> Authentication:
    """One's own; others' with `users:manage`, an operator's by operators alone (403
    `operator_required`). Repeating it changes nothing."""
    with node.database.write(node.clock.now()) as change:
        ended = sessions.deactivate(change, actor, id)
    return settled(change.confirmed, _sent(ended, response))


@router.post(
    "/authentications/deactivate-others",
    summary="Deactivate all of one's own authentications but this one",
    openapi_extra=takes(NoFields),
)
def deactivate_others(
    node: OurNode, actor: SignedIn, _: Annotated[NoFields, body(NoFields)]
) -> DeactivatedOthers:
    """Whoever else is signed in as this user is out with their next call."""
    with node.database.write(node.clock.now()) as change:
        ended = sessions.deactivate_others(change, actor)
    return settled(change.confirmed, DeactivatedOthers(deactivated=ended))


@router.post(
    "/sign-out",
    status_code=204,
    response_class=Response,
    summary="Sign out",
    openapi_extra=takes(NoFields),
)
def sign_out(
    request: Request, node: OurNode, actor: SignedIn, _: Annotated[NoFields, body(NoFields)]
) -> Response:
    """Deactivates the authentication in use. A browser forgets its cookie."""
    with node.database.write(node.clock.now()) as change:
        ended = sessions.sign_out(change, actor)
    response = Response(status_code=204)
    if not change.confirmed:
        current = Authentication.model_validate(ended).model_dump(mode="json")
        response = problem_response(problem_of_error(NotConfirmed(current)))
    if login_cookie(request):
        clear_login_cookie(response, node.settings)
    return response


@router.get("/me", summary="The credential in use")
def me(node: OurNode, caller: Calling) -> Me:
    """Any token may ask who it is, what it may do and from where it comes."""
    with node.database.read(node.clock.now()) as reading:
        company = companies.get(reading, caller.grant.company)
    return Me.model_validate(
        {
            "kind": caller.grant.kind,
            "user": caller.user,
            "company": company,
            "permissions": sorted(caller.actor.permissions),
            "address": caller.actor.address,
            "expires_at": caller.grant.expires_at,
        }
    )


def _sent(made: session_records.Authentication, response: Response) -> Authentication:
    sent = Authentication.model_validate(made)
    response.headers["ETag"] = sent.entity_tag()
    return sent
