"""/password-resets: a forgotten password. Neither the response nor its timing, or that of the next,
reveals whether an account exists: see ``reset_requests``."""

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import BrokenLink, Forbidden, InvalidInput
from gatepass.node.node import Node
from gatepass.registry.authentication import passwords
from gatepass.registry.membership import password_resets
from gatepass.web.caller import CurrentNode, node_of
from gatepass.web.credentials import address_text_of, reset_password
from gatepass.web.pages.layout.after_change import is_unconfirmed, see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import not_from_outside
from gatepass.web.pages.sign_in.links import LinkRoute, broken_page, shut_out_page, signed_in_here
from gatepass.web.pages.text.forms import Form

_LONGEST = 320
_DONE = "/password-resets/done"

router = APIRouter(include_in_schema=False)
_asking = APIRouter(
    route_class=PageRoute, include_in_schema=False, dependencies=[Depends(not_from_outside)]
)
_following = APIRouter(route_class=LinkRoute, include_in_schema=False)


@_asking.get("/password-resets")
def show_request(node: CurrentNode) -> Response:
    """The form that asks for a link."""
    return _request_page(node)


@_asking.post("/password-resets")
async def send_request(request: Request, node: CurrentNode, fields: Form) -> Response:
    """Always the same answer."""
    email = fields.one("email").strip()[:_LONGEST]
    node.reset_requests.take(email, address_text_of(request))
    return _request_page(node, email, asked=True)


@_asking.get(_DONE)
def done(request: Request, node: CurrentNode) -> Response:
    """The way on, for someone who has just set a new password."""
    return render(
        "links/done.html",
        visitor=None,
        now=node.clock.now(),
        unconfirmed=is_unconfirmed(request),
        title="Your new password is set",
        what="You are signed out everywhere. Sign in with your new password.",
        here=signed_in_here(request),
    )


@_following.get("/password-resets/{token}")
def show(request: Request, token: str) -> Response:
    """The form, as long as the link is good; looking doesn't use it up."""
    return _page(request, token)


@_following.post("/password-resets/{token}")
async def reset(request: Request, token: str, fields: Form) -> Response:
    """Set the new password, once."""
    try:
        confirmed = await reset_password(request, token, fields.one("password"))
    except InvalidInput as error:
        return await run_in_threadpool(_page, request, token, dict(error.errors))
    except BrokenLink as error:
        return broken_page(request, error)
    except Forbidden as error:
        if error.reason != "company_address_not_allowed":
            raise
        return shut_out_page(request, error)
    return see_other(_DONE, confirmed=confirmed)


def _request_page(node: Node, email: str = "", *, asked: bool = False) -> HTMLResponse:
    return render(
        "links/request_reset.html",
        visitor=None,
        now=node.clock.now(),
        asked=asked,
        email=email,
        post=node.mailing.post.kind,
        most_an_hour=password_resets.MOST_AN_HOUR,
    )


def _page(request: Request, token: str, problems: dict[str, str] | None = None) -> HTMLResponse:
    node = node_of(request)
    try:
        with node.database.read(node.clock.now()) as reading:
            account = password_resets.look(reading, token, address_text_of(request))
    except BrokenLink as error:
        return broken_page(request, error)
    except Forbidden as error:
        if error.reason != "company_address_not_allowed":
            raise
        return shut_out_page(request, error)
    shortest = passwords.SHORTEST_WITH_SECOND_FACTOR if account.second_factor else None
    return render(
        "links/reset.html",
        422 if problems else 200,
        visitor=None,
        now=node.clock.now(),
        token=token,
        account=account,
        problems=problems or {},
        shortest=shortest or passwords.SHORTEST,
    )


# "done" is no token.
router.include_router(_asking)
router.include_router(_following)
