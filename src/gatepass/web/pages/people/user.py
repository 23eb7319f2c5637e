"""/company/users/{id}: one user: role, access tokens, sign-ins and events, as far as one may."""

from starlette.responses import Response

from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.authentication import sessions
from gatepass.registry.authentication.session_records import Authentication
from gatepass.registry.directory import role_records, user_search
from gatepass.registry.directory.users import User
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Page
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.company.role_strip import role_strip
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.people.changeable import changeable
from gatepass.web.pages.text.browsers import browser

_TOKENS = 10
_SIGN_INS = 5
_EVENTS = 10

router = page_router()


@router.get(USERS.path + "/{id}")
def show(screen: CurrentScreen, id: str) -> Response:
    """The user's page."""
    actor, catalogue = screen.actor, screen.node.catalogue
    with screen.read() as reading:
        user = user_search.get(reading, actor, id)
        roles = role_records.of_company(reading, catalogue, screen.company)
        tokens = _tokens(reading, actor, user)
        sign_ins = _sign_ins(reading, actor, user)
        events = _events(reading, actor, user)
    role = roles.get(user.role)
    is_self = user.id == actor.user
    # What a role of the company's own permits is for those who may read roles, and its people.
    readable = role is not None and (role.built_in or is_self or actor.may("roles:get"))
    return screen.render(
        "company/user.html",
        user=user,
        is_self=is_self,
        role=role,
        strip=role_strip(catalogue, role.permissions) if role and readable else None,
        tokens=tokens,
        sign_ins=sign_ins,
        browser=browser,
        events=events,
        changeable=changeable(screen, [user], roles),
    )


def _tokens(reading: Reading, actor: Actor, user: User) -> Page[AccessToken] | None:
    """The user's access tokens, the last used first: the active ones of an active user."""
    if not actor.may("access-tokens:search"):
        return None
    return token_search.list_(
        reading,
        actor,
        sort="last_used",
        order="desc",
        limit=_TOKENS,
        owner=user.id,
        status="active" if user.status == "active" else None,
    )


def _sign_ins(reading: Reading, actor: Actor, user: User) -> list[Authentication] | None:
    """The user's latest sign-ins; None unless they are the visitor's or the visitor manages users.

    An access token sees nobody's.
    """
    is_self = user.id == actor.user
    if actor.kind == "token" or not (is_self or actor.may("users:manage")):
        return None
    whose = None if is_self else user.id
    return sessions.list_(reading, actor, user=whose, limit=_SIGN_INS).items


def _events(reading: Reading, actor: Actor, user: User) -> list[AuditEvent] | None:
    """The latest events about or by the user; None without ``audit:get``."""
    if not actor.may("audit:get"):
        return None
    return search.list_(reading, actor, people=[user.id], limit=_EVENTS).items
