"""/company/users/invite: one address, one role."""

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput
from gatepass.node.node import Node
from gatepass.registry.directory import role_records
from gatepass.registry.membership import invitations
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.people.invitations import BACK
from gatepass.web.pages.text.forms import RESUME, Form
from gatepass.web.pages.text.wording import duration

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PATH = "/company/users/invite"


@router.get(_PATH)
def show_form(visitor: Visiting, node: CurrentNode) -> Response:
    """The form."""
    visitor.actor.require_signed_in()
    visitor.actor.require("users:manage")
    return _page(node, visitor)


@router.post(_PATH)
@resumable
def send_form(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Send the invitation, or show the form again with its errors."""
    email, role = fields.one("email").strip(), fields.one("role")
    if fields.one("do") == RESUME:
        visitor.actor.require_signed_in()
        visitor.actor.require("users:manage")
        return _page(node, visitor, email, role)
    try:
        with node.database.write(node.clock.now()) as change:
            invitations.create(
                change,
                visitor.actor,
                email=email,
                role=role,
                lifetime_ms=node.settings.invitation_lifetime * 1000,
            )
    except InvalidInput as error:
        return _page(node, visitor, email, role, 422, dict(error.errors))
    except Conflict as error:
        return _page(node, visitor, email, role, 409, {"email": error.message})
    except Forbidden as error:
        if error.permission in (None, "users:manage"):
            raise
        problem = f"This role includes {error.permission}, which you don't have."
        return _page(node, visitor, email, role, 403, {"role": problem})
    node.mailing.wake()
    return see_other(f"{BACK}?done=invited", confirmed=change.confirmed)


def _page(
    node: Node,
    visitor: Visitor,
    email: str = "",
    role: str = "",
    status: int = 200,
    problems: Mapping[str, str] = {},
) -> HTMLResponse:
    now = node.clock.now()
    with node.database.read(now) as reading:
        all_roles = role_records.of_company(reading, node.catalogue, visitor.actor.company or "")
    offered = [one for one in all_roles.values() if all(map(visitor.actor.may, one.permissions))]
    return render(
        "company/invite.html",
        status,
        visitor=visitor,
        now=now,
        email=email,
        role=role,
        offered=offered,
        withheld=[one.name for one in all_roles.values() if one not in offered],
        problems=problems,
        lifetime=duration(node.settings.invitation_lifetime),
        post=node.mailing.post.kind,
    )
