"""/company/users/invitations: the invitations, and the actions on each."""

from dataclasses import dataclass
from functools import cache, partial

from starlette.responses import Response

from gatepass.core.errors import Conflict
from gatepass.mail.delivery import PostKind
from gatepass.registry.directory import role_records
from gatepass.registry.membership import invitation_links, invitations
from gatepass.registry.membership.invitations import Invitation
from gatepass.registry.storage.database import Reading
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.people.invitation_state import State, said_after, state_of
from gatepass.web.pages.people.tabs import people_tabs

router = page_router()

INVITATIONS = "/company/users/invitations"


@dataclass(frozen=True)
class Section:
    """What ``company/_invitations.html`` shows.

    Attributes:
        items: one page of invitations, newest first, each with its state.
        post: how mail is sent.
        role_names: by role id.
        next: the cursor of the next page; None on the last.
        may_manage: whether to offer actions.
    """

    items: list[tuple[Invitation, State]]
    post: PostKind
    role_names: dict[str, str]
    next: str | None
    may_manage: bool


def _section(reading: Reading, screen: Screen, cursor: str | None) -> Section:
    """A page of the company's invitations."""
    page = invitations.list_(reading, screen.actor, cursor=cursor)
    known = role_records.of_company(reading, screen.node.catalogue, screen.company)
    names = {role.id: role.name for role in known.values()}
    post, now = screen.node.mailing.post.kind, screen.now()
    # Few inviters and roles, however many invitations.
    may_still_invite = cache(partial(invitation_links.may_still_invite, reading, screen.company))

    def state(one: Invitation) -> State:
        valid = one.status != "pending" or may_still_invite(one.invited_by.id, one.role)
        return state_of(one, post, now, valid=valid)

    items = [(one, state(one)) for one in page.items]
    return Section(items, post, names, page.next, screen.actor.kind != "token")


@router.get(INVITATIONS)
def show_list(screen: CurrentScreen, cursor: str | None = None, done: str = "") -> Response:
    """All invitations, a page at a time."""
    screen.actor.require("users:manage")
    with screen.read() as reading:
        found = _section(reading, screen, cursor or None)
        tabs = people_tabs(reading, screen)
    return screen.render(
        "company/invitations.html",
        section=found,
        tabs=tabs,
        first=cursor is None,
        flash=said_after(done, screen.node.mailing.post.kind),
    )


@router.post(INVITATIONS + "/{id}/resend")
def resend(screen: CurrentScreen, id: str) -> Response:
    """Mail a new link."""
    with screen.write() as change:
        lifetime_ms = screen.node.settings.invitation_lifetime * 1000
        invitations.resend(change, screen.actor, id, lifetime_ms=lifetime_ms)
    screen.node.mailing.wake()
    return see_other(f"{INVITATIONS}?done=resent", confirmed=change.confirmed)


@router.post(INVITATIONS + "/{id}/link")
def take_link(screen: CurrentScreen, id: str) -> Response:
    """Create a link to hand over in person, and show it once."""
    with screen.write() as change:
        invitation, token = invitations.take_link(
            change,
            screen.actor,
            id,
            lifetime_ms=screen.node.settings.invitation_lifetime * 1000,
            mail_server=screen.node.mailing.post.kind != "log",
        )
    return screen.render(
        "company/invitation_link.html",
        unconfirmed=not change.confirmed,
        invitation=invitation,
        link=f"{screen.node.settings.public_url}/invitations/{token}",
        back=INVITATIONS,
    )


@router.get(INVITATIONS + "/{id}/deactivate")
def ask_to_deactivate(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    screen.actor.require_signed_in()
    with screen.read() as reading:
        invitation = invitations.get(reading, screen.actor, id)
    if invitation.status == "accepted":
        raise Conflict("This invitation was already accepted.", reason="invitation_ended")
    return screen.render("company/invitation_deactivate.html", invitation=invitation)


@router.post(INVITATIONS + "/{id}/deactivate")
def deactivate(screen: CurrentScreen, id: str) -> Response:
    """Deactivate the invitation permanently."""
    with screen.write() as change:
        invitations.deactivate(change, screen.actor, id)
    return see_other(f"{INVITATIONS}?done=ended", confirmed=change.confirmed)
