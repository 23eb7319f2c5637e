"""Invitations on the Users page, and what is done with one of them."""

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from gatepass.core.errors import Conflict
from gatepass.mail.delivery import PostKind
from gatepass.node.node import Node
from gatepass.registry.directory import role_records
from gatepass.registry.membership import invitations
from gatepass.registry.membership.invitations import Invitation
from gatepass.registry.storage.database import Reading
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.people.invitation_mail import MailState, mail_state, said_after

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Where one is led back to.
BACK = "/company/users/invitations"


@dataclass(frozen=True)
class Section:
    """What ``company/_invitations.html`` shows.

    Attributes:
        items: a page of them, newest first, each with how it stands with its mail.
        post: how mail goes out.
        role_names: by role id.
        next: the cursor of the page after; None at the end.
        may_manage: whether to offer changing them.
    """

    items: list[tuple[Invitation, MailState | None]]
    post: PostKind
    role_names: dict[str, str]
    next: str | None
    may_manage: bool


def section(
    reading: Reading, node: Node, visitor: Visitor, *, limit: int, cursor: str | None = None
) -> Section | None:
    """The visitor's company's invitations; None for someone who has no business with them."""
    actor = visitor.actor
    if not actor.may("users:manage"):
        return None
    page = invitations.list_(reading, actor, limit=limit, cursor=cursor)
    known = role_records.of_company(reading, node.catalogue, actor.company or "")
    names = {role.id: role.name for role in known.values()}
    post, now = node.mailing.post.kind, node.clock.now()
    items = [(one, mail_state(one, post, now)) for one in page.items]
    return Section(items, post, names, page.next, actor.kind != "token")


@router.get(BACK)
def show_list(
    visitor: Visiting, node: CurrentNode, cursor: str | None = None, done: str = ""
) -> Response:
    """All of them, a page at a time."""
    visitor.actor.require("users:manage")
    now = node.clock.now()
    with node.database.read(now) as reading:
        found = section(reading, node, visitor, limit=50, cursor=cursor or None)
    return render(
        "company/invitations.html",
        visitor=visitor,
        now=now,
        section=found,
        first=cursor is None,
        flash=said_after(done, node.mailing.post.kind),
    )


@router.post("/company/users/invitations/{id}/resend")
def resend(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """Send a new link."""
    with node.database.write(node.clock.now()) as change:
        invitations.resend(
            change,
            visitor.actor,
            id,
            lifetime_ms=node.settings.invitation_lifetime * 1000,
        )
    node.mailing.wake()
    return see_other(f"{BACK}?done=resent", confirmed=change.confirmed)


@router.post("/company/users/invitations/{id}/link")
def take_link(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """Make a link to hand over, and show it this once."""
    with node.database.write(node.clock.now()) as change:
        invitation, token = invitations.take_link(
            change,
            visitor.actor,
            id,
            lifetime_ms=node.settings.invitation_lifetime * 1000,
            mail_server=node.mailing.post.kind != "log",
        )
    return render(
        "company/invitation_link.html",
        visitor=visitor,
        now=node.clock.now(),
        unconfirmed=not change.confirmed,
        invitation=invitation,
        link=f"{node.settings.public_url}/invitations/{token}",
        back=BACK,
    )


@router.get("/company/users/invitations/{id}/deactivate")
def ask_to_deactivate(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """What deactivating means."""
    visitor.actor.require_signed_in()
    now = node.clock.now()
    with node.database.read(now) as reading:
        invitation = invitations.get(reading, visitor.actor, id)
    if invitation.status == "accepted":
        raise Conflict("This invitation was already accepted.", reason="invitation_ended")
    return render(
        "company/invitation_deactivate.html", visitor=visitor, now=now, invitation=invitation
    )


@router.post("/company/users/invitations/{id}/deactivate")
def deactivate(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """End it for good."""
    with node.database.write(node.clock.now()) as change:
        invitations.deactivate(change, visitor.actor, id)
    return see_other(f"{BACK}?done=ended", confirmed=change.confirmed)
