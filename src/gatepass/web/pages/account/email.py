"""/account/email: another address of one's own, once its link was used."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.node.node import Node
from gatepass.registry.membership import account, email_changes
from gatepass.web.caller import CurrentNode
from gatepass.web.hashing_pool import Place, hashing
from gatepass.web.pages.account.password import too_many, wait
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import MY_PROFILE
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import RESUME, Fields, Form

_PATH = "/account/email"

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(_PATH)
def show(visitor: Visiting, node: CurrentNode) -> Response:
    """The form."""
    return _page(node, visitor)


@router.post(_PATH)
@resumable
async def send(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Have the link sent."""
    return await hashing(Place.of_actor(visitor.actor), partial(_request, node, visitor, fields))


@router.post(_PATH + "/cancel")
def cancel(visitor: Visiting, node: CurrentNode) -> Response:
    """Leave the address as it is."""
    with node.database.write(node.clock.now()) as change:
        email_changes.cancel_own(change, visitor.actor)
    return see_other(f"{MY_PROFILE.path}?done=email-stays", confirmed=change.confirmed)


def _request(node: Node, visitor: Visitor, fields: Fields) -> Response:
    email = fields.one("email").strip()
    if fields.one("do") == RESUME:
        return _page(node, visitor, email=email)
    try:
        made = email_changes.request_own(
            node.reauthentication,
            visitor.actor,
            email=email,
            password=fields.one("current_password"),
        )
    except InvalidInput as error:
        return _page(node, visitor, 422, email=email, problems=dict(error.errors))
    except TooManyAttempts as error:
        page = _page(node, visitor, 429, email=email, problems={"": wait(error)})
        return too_many(error, page)
    except Conflict as error:
        where = "" if error.reason == "changed_meanwhile" else "email"
        return _page(node, visitor, 409, email=email, problems={where: error.message})
    except Unavailable as error:
        problems = {"": not_saved(error, button="Send link")}
        return _page(node, visitor, 503, email=email, problems=problems)
    node.mailing.wake()
    return see_other(MY_PROFILE.path, confirmed=made.confirmed)


def _page(
    node: Node,
    visitor: Visitor,
    status: int = 200,
    *,
    email: str = "",
    problems: Mapping[str, str] | None = None,
) -> HTMLResponse:
    now = node.clock.now()
    with node.database.read(now) as reading:
        mine = account.get(reading, visitor.actor)
    return render(
        "account/email.html",
        status,
        visitor=visitor,
        now=now,
        account=mine,
        email=email,
        problems=defaultdict(str, problems or {}),
        post=node.mailing.post.kind,
    )
