"""/company/users/{id}/role: change a user's role."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.display_text import isolated, marked
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.registry.directory import (
    role_records,
    user_privileges,
    user_roles,
    user_search,
    users,
)
from gatepass.registry.directory.role_records import Role
from gatepass.registry.directory.users import User
from gatepass.registry.tokens.calls import role_impact
from gatepass.registry.tokens.calls.impact import Impact
from gatepass.registry.tokens.ending.of_owner import left
from gatepass.web.pages.company.role_strip import role_strips
from gatepass.web.pages.company.roles import may_hold
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, refused
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.wording import counted, role_can

router = page_router()


@router.get("/company/users/{id}/role")
def show_form(screen: CurrentScreen, id: str, role: str = "") -> Response:
    """The roles to choose from; *role* is chosen already."""
    user = _user(screen, id)
    return _page(screen, user, role, suggested=role not in ("", user.role))


@router.post("/company/users/{id}/role")
@resumable
def send_form(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Save the chosen role, or show what it would change."""
    user = _user(screen, id)
    role, etag = fields.one("role"), fields.one("etag")
    pressed = fields.one("do")
    if pressed == "sentence":
        return screen.render("company/sentence.html", sentence=_sentence(screen, user, role))
    if pressed == "impact":
        return screen.render("impact.html", impact=_impact(screen, user, role), of_token=False)
    if pressed != "save":
        return _page(screen, user, role, etag, impact=_impact(screen, user, role))
    try:
        with screen.write() as change:
            user_roles.change_role(change, screen.actor, id, role=role, if_match=[etag])
    except InvalidInput:
        problem = "This role no longer exists. Choose another." if role else "Choose a role."
        return _page(screen, user, role, etag, FormState(422, {"": problem}))
    except Forbidden as error:
        if error.permission is None:
            raise
        return _page(screen, user, role, etag, FormState(403, {"": error.message}))
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        return _changed_meanwhile(screen, id, role)
    except Unavailable as error:
        return _page(screen, user, role, etag, refused(error))
    return see_other(f"{USERS.path}?done=role", confirmed=change.confirmed)


def _changed_meanwhile(screen: Screen, user_id: str, role: str) -> HTMLResponse:
    user = _user(screen, user_id)
    known = _roles(screen)
    differences = []
    if role != user.role:
        saved, typed = (known[each].name if each in known else each for each in (user.role, role))
        differences.append(Difference("Role", saved, typed))
    state = screen.changed_meanwhile(user_id, differences)
    return _page(screen, user, role, state=state)


def _page(
    screen: Screen,
    user: User,
    role: str = "",
    etag: str = "",
    state: FormState = OPENED,
    *,
    impact: Impact | None = None,
    suggested: bool = False,
) -> HTMLResponse:
    known = _roles(screen)
    with screen.read() as reading:
        is_last = user_privileges.is_last_administrator(reading, user)
    offered = [each for each in known.values() if may_hold(screen, each)]
    chosen = role or user.role
    return screen.render_form(
        "company/user_role.html",
        state,
        user=user,
        role_name=known[user.role].name if user.role in known else "a deleted role",
        offered=offered,
        strips=role_strips(screen.node.catalogue, offered),
        withheld=len(known) - len(offered),
        chosen=chosen,
        etag=etag or users.etag(user),
        is_last=is_last,
        sentence=_sentence(screen, user, chosen),
        impact=impact,
        suggested=suggested,
    )


def _impact(screen: Screen, user: User, role: str) -> Impact | None:
    """The calls that *role* would newly refuse their tokens; None if they have it."""
    if role == user.role or role not in _roles(screen):
        return None
    with screen.read() as reading:
        return role_impact.of_user(reading, screen.actor, user.id, role)


def _sentence(screen: Screen, user: User, role: str) -> str:
    """The summary of saving *role*."""
    chosen = _roles(screen).get(role)
    if chosen is None:
        return "Choose a role."
    if role == user.role:
        return f"{marked(user.name)} already has the role {marked(chosen.name)}."
    with screen.read() as reading:
        tokens = left(reading, screen.actor, user.id, limit=0).count
    sentence = f"From their next request, {marked(user.name)} can {role_can(chosen)}."
    if tokens:
        sentence += f" This also limits their {counted(tokens, 'access token')}."
    return sentence


def _roles(screen: Screen) -> dict[str, Role]:
    with screen.read() as reading:
        return role_records.of_company(reading, screen.node.catalogue, screen.company)


def _user(screen: Screen, user_id: str) -> User:
    """The user, if the visitor may change their role now.

    Raises:
        Forbidden: the visitor may not, or the user's role includes more than theirs.
        Conflict: the account is deactivated.
    """
    screen.require("users:manage")
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, user_id)
        user_privileges.require_changeable(reading, screen.actor, user)
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated, so their role can't be changed.",
            reason="user_deactivated",
        )
    return user
