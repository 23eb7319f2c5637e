"""/account/password: change the user's own password."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from math import ceil

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.node.node import Node
from gatepass.registry.authentication import passwords
from gatepass.registry.membership import account
from gatepass.web.caller import CurrentNode
from gatepass.web.hashing_pool import Place, hashing
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import PASSWORD
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.text.wording import counted

_DONE = {"changed": "Password changed. You are signed out everywhere else."}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(PASSWORD.path)
def show(visitor: Visiting, node: CurrentNode, done: str = "") -> Response:
    """The form."""
    return _page(node, visitor, flash=_DONE.get(done, ""))


# Nothing to resume: all of the form is secret.
@router.post(PASSWORD.path)
async def send(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Change it."""
    return await hashing(Place.of_actor(visitor.actor), partial(_change, node, visitor, fields))


def _change(node: Node, visitor: Visitor, fields: Fields) -> Response:
    try:
        changed = account.change_password(
            node.reauthentication,
            visitor.actor,
            current=fields.one("current_password"),
            new=fields.one("password"),
        )
    except (InvalidInput, TooManyAttempts, Conflict, Unavailable) as error:
        return _refused(node, visitor, error)
    return see_other(f"{PASSWORD.path}?done=changed", confirmed=changed.confirmed)


def _refused(
    node: Node,
    visitor: Visitor,
    error: InvalidInput | TooManyAttempts | Conflict | Unavailable,
) -> Response:
    if isinstance(error, InvalidInput):
        return _page(node, visitor, 422, problems=dict(error.errors))
    if isinstance(error, TooManyAttempts):
        return too_many(error, _page(node, visitor, 429, problems={"": wait(error)}))
    if isinstance(error, Conflict):
        return _page(node, visitor, 409, problems={"": error.message})
    return _page(node, visitor, 503, problems={"": not_saved(error)})


def wait(error: TooManyAttempts) -> str:
    """How long one has to wait after too many tries, in a sentence."""
    minutes = counted(ceil(error.retry_after / 60), "minute")
    return f"{error.what} Nothing was changed. Try again in {minutes}."


def too_many(error: TooManyAttempts, page: Response) -> Response:
    """*page*, with what programs go by."""
    page.headers["Retry-After"] = str(error.retry_after)
    return page


def _page(
    node: Node,
    visitor: Visitor,
    status: int = 200,
    *,
    flash: str = "",
    problems: Mapping[str, str] | None = None,
) -> HTMLResponse:
    now = node.clock.now()
    with node.database.read(now) as reading:
        mine = account.get(reading, visitor.actor)
    long, short = passwords.SHORTEST, passwords.SHORTEST_WITH_SECOND_FACTOR
    return render(
        "account/password.html",
        status,
        visitor=visitor,
        now=now,
        account=mine,
        shortest=short if mine.second_factor else long,
        flash=flash,
        problems=defaultdict(str, problems or {}),
    )
