"""/company/users/{id}/email: another address for a colleague, once its link was used."""

from collections import defaultdict
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.node.node import Node
from gatepass.registry.directory import user_search, users
from gatepass.registry.membership import email_changes, pending_email_changes
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.account.password import too_many, wait
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.differences import Difference, Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import RESUME, Form

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/company/users/{id}/email")
def show(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """The form."""
    return _page(node, visitor, id)


@router.post("/company/users/{id}/email")
@resumable
def send(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """Have the link sent."""
    email, etag = fields.one("email").strip(), fields.one("etag")
    if fields.one("do") == RESUME:
        return _page(node, visitor, id, email=email, etag=etag)
    try:
        with node.database.write(node.clock.now()) as change:
            email_changes.request(change, visitor.actor, id, email=email, if_match=[etag])
    except InvalidInput as error:
        return _page(node, visitor, id, 422, email=email, etag=etag, problems=dict(error.errors))
    except TooManyAttempts as error:
        problems = {"": wait(error)}
        page = _page(node, visitor, id, 429, email=email, etag=etag, problems=problems)
        return too_many(error, page)
    except Conflict as error:
        if error.reason == "changed_meanwhile":
            return _changed_meanwhile(node, visitor, id, email)
        if error.reason not in ("email_taken", "invitation_pending"):
            raise
        problems = {"email": error.message}
        return _page(node, visitor, id, 409, email=email, etag=etag, problems=problems)
    except Unavailable as error:
        problems = {"": not_saved(error, button="Send link")}
        return _page(node, visitor, id, 503, email=email, etag=etag, problems=problems)
    node.mailing.wake()
    return see_other(f"{USERS.path}?done=email", confirmed=change.confirmed)


@router.post("/company/users/{id}/email/cancel")
def cancel(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """Leave the address as it is."""
    with node.database.write(node.clock.now()) as change:
        email_changes.cancel(change, visitor.actor, id)
    return see_other(f"{USERS.path}?done=email-stays", confirmed=change.confirmed)


def _changed_meanwhile(node: Node, visitor: Visitor, user_id: str, email: str) -> HTMLResponse:
    with node.database.read(node.clock.now()) as reading:
        user = user_search.find(reading, visitor.actor, user_id)
        differences = [Difference("E-mail address", user.email, email)]
        first = meanwhile(reading, visitor, user_id, differences)
    return _page(node, visitor, user_id, 409, email=email, first=first)


def _page(
    node: Node,
    visitor: Visitor,
    user_id: str,
    status: int = 200,
    *,
    email: str = "",
    etag: str = "",
    problems: Mapping[str, str] | None = None,
    first: Meanwhile | None = None,
) -> HTMLResponse:
    now = node.clock.now()
    with node.database.read(now) as reading:
        user = email_changes.changeable(reading, visitor.actor, user_id)
        waiting = pending_email_changes.pending(reading, user.id)
    return render(
        "company/user_email.html",
        status,
        visitor=visitor,
        now=now,
        user=user,
        waiting=waiting,
        email=email,
        etag=etag or users.etag(user),
        problems=defaultdict(str, problems or {}),
        post=node.mailing.post.kind,
        meanwhile=first,
    )
