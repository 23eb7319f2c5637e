"""/account: the user's own profile and name."""

from collections import defaultdict
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.node.node import Node
from gatepass.registry.membership import account
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.differences import Difference, Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import MY_PROFILE
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import RESUME, Form

_DONE = {
    "saved": "Name saved.",
    "email-stays": "Change cancelled. Your e-mail address stays the same.",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(MY_PROFILE.path)
def show(visitor: Visiting, node: CurrentNode, done: str = "") -> Response:
    """The profile."""
    return _page(node, visitor, flash=_DONE.get(done, ""))


@router.post(MY_PROFILE.path)
@resumable
def send(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Save the name."""
    name, former = fields.one("name").strip(), fields.one("former")
    if fields.one("do") == RESUME:
        return _page(node, visitor, typed=name, former=former)
    now = node.clock.now()
    try:
        with node.database.write(now) as change:
            account.rename(change, visitor.actor, name, former=former)
    except InvalidInput as error:
        return _page(node, visitor, 422, typed=name, former=former, problems=dict(error.errors))
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        saved = str(error.current)
        with node.database.read(now) as reading:
            first = meanwhile(
                reading, visitor, visitor.actor.user or "", [Difference("Name", saved, name)]
            )
        return _page(node, visitor, 409, typed=name, former=saved, first=first)
    except Unavailable as error:
        problems = {"": not_saved(error)}
        return _page(node, visitor, 503, typed=name, former=former, problems=problems)
    return see_other(f"{MY_PROFILE.path}?done=saved", confirmed=change.confirmed)


def _page(
    node: Node,
    visitor: Visitor,
    status: int = 200,
    *,
    typed: str | None = None,
    former: str | None = None,
    flash: str = "",
    problems: Mapping[str, str] | None = None,
    first: Meanwhile | None = None,
) -> HTMLResponse:
    now = node.clock.now()
    with node.database.read(now) as reading:
        mine = account.get(reading, visitor.actor)
    return render(
        "account/profile.html",
        status,
        visitor=visitor,
        now=now,
        account=mine,
        typed=mine.name if typed is None else typed,
        former=mine.name if former is None else former,
        flash=flash,
        problems=defaultdict(str, problems or {}),
        post=node.mailing.post.kind,
        meanwhile=first,
    )
