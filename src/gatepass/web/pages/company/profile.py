"""/company: the account itself, in figures, and its name."""

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.node.node import Node
from gatepass.registry.directory import companies
from gatepass.registry.directory.figures import people_by_status, tokens_by_status
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.company.second_factor import rule_of
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.differences import Difference, Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import PROFILE
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import RESUME, Form

_DONE = {
    "saved": "Saved.",
    "required": "Second factor required for everyone.",
    "lifted": "Second factor no longer required.",
}
_NOT_DONE = {
    "changed": "Not saved: someone else changed the company. The current settings are below.",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(PROFILE.path)
def show(visitor: Visiting, node: CurrentNode, done: str = "") -> Response:
    """The company's profile."""
    return _page(node, visitor, flash=_DONE.get(done, ""), warning=_NOT_DONE.get(done, ""))


@router.post(PROFILE.path)
@resumable
def rename(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Give the company another name."""
    name, etag = fields.one("name").strip(), fields.one("etag")
    if fields.one("do") == RESUME:
        return _page(node, visitor, name, etag)
    try:
        with node.database.write(node.clock.now()) as change:
            companies.rename(change, visitor.actor, name=name, if_match=[etag])
    except InvalidInput as error:
        return _page(node, visitor, name, etag, error.errors[0][1], 422)
    except Conflict as error:
        if error.reason == "changed_meanwhile":
            return _changed_meanwhile(node, visitor, name)
        return _page(node, visitor, name, etag, error.message, 409)
    except Unavailable as error:
        return _page(node, visitor, name, etag, not_saved(error), 503)
    return see_other(f"{PROFILE.path}?done=saved", confirmed=change.confirmed)


def _changed_meanwhile(node: Node, visitor: Visitor, name: str) -> HTMLResponse:
    with node.database.read(node.clock.now()) as reading:
        company = companies.own(reading, visitor.actor)
        differences = [Difference("Name", company.name, name)] if company.name != name else []
        first = meanwhile(reading, visitor, company.id, differences, ["company.modified"])
    return _page(node, visitor, name, status=409, first=first)


def _page(
    node: Node,
    visitor: Visitor,
    name: str | None = None,
    etag: str = "",
    problem: str = "",
    status: int = 200,
    first: Meanwhile | None = None,
    flash: str = "",
    warning: str = "",
) -> HTMLResponse:
    now = node.clock.now()
    may = visitor.actor.may
    with node.database.read(now) as reading:
        company = companies.own(reading, visitor.actor)
        second_factor = rule_of(reading, visitor, company)
        people = people_by_status(reading, company.id) if may("users:get") else None
        tokens = tokens_by_status(reading, company.id) if may("access-tokens:search") else None
    return render(
        "company/profile.html",
        status,
        visitor=visitor,
        now=now,
        company=company,
        typed=company.name if name is None else name,
        etag=etag or companies.etag(company),
        second_factor=second_factor,
        people=people,
        tokens=tokens,
        problem=problem,
        meanwhile=first,
        flash=flash,
        warning=warning,
    )
