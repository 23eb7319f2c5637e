"""/company/users/invite: invite someone at an e-mail address, with a role."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.registry.directory import role_records
from gatepass.registry.membership import invitations
from gatepass.web.pages.company.role_strip import role_strips
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.people.invitations import INVITATIONS
from gatepass.web.pages.text.forms import RESUME, Form
from gatepass.web.pages.text.wording import duration

router = page_router()

_PATH = "/company/users/invite"


@router.get(_PATH)
def show_form(screen: CurrentScreen) -> Response:
    """The form."""
    screen.require("users:manage")
    return _page(screen)


@router.post(_PATH)
@resumable
def send_form(screen: CurrentScreen, fields: Form) -> Response:
    """Send the invitation, or show the form again with its errors."""
    email, role = fields.one("email").strip(), fields.one("role")
    if fields.one("do") == RESUME:
        screen.require("users:manage")
        return _page(screen, OPENED, email, role)
    try:
        with screen.write() as change:
            invitations.create(
                change,
                screen.actor,
                email=email,
                role=role,
                lifetime_ms=screen.node.settings.invitation_lifetime * 1000,
            )
    except (InvalidInput, Conflict, Unavailable) as error:
        state = refused(error, button=_button(screen), conflict_at="email")
        return _page(screen, state, email, role)
    except Forbidden as error:
        if error.permission in (None, "users:manage"):
            raise
        problem = f"This role includes {error.permission}, which you don't have."
        return _page(screen, FormState(403, {"role": problem}), email, role)
    screen.node.mailing.wake()
    return see_other(f"{INVITATIONS}?done=invited", confirmed=change.confirmed)


def _button(screen: Screen) -> str:
    without_mail = screen.node.mailing.post.kind == "log"
    return "Create invitation" if without_mail else "Send invitation"


def _page(
    screen: Screen, state: FormState = OPENED, email: str = "", role: str = ""
) -> HTMLResponse:
    with screen.read() as reading:
        all_roles = role_records.of_company(reading, screen.node.catalogue, screen.company).values()
    offered = [one for one in all_roles if all(map(screen.actor.may, one.permissions))]
    return screen.render_form(
        "company/invite.html",
        state,
        email=email,
        role=role,
        offered=offered,
        strips=role_strips(screen.node.catalogue, offered),
        withheld=[one.name for one in all_roles if one not in offered],
        lifetime=duration(screen.node.settings.invitation_lifetime),
        post=screen.node.mailing.post.kind,
        button=_button(screen),
    )
