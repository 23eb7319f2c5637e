"""/company/service-accounts/{id}/deactivate, and the same of external owners."""

from typing import Literal

from starlette.responses import Response

from gatepass.core.grants import EXTERNAL, SERVICE_ACCOUNT
from gatepass.registry.directory import owner_search
from gatepass.registry.directory.owner_roles import require_not_above
from gatepass.registry.membership import owner_offboarding
from gatepass.registry.tokens.ending.of_owner import left
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.company.owners import PATHS
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.confirmation import confirmation_problem
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.text.times import HOUR

_MANAGE = "service-accounts:manage"
_SHOWN = 20
_Type = Literal["service_account", "external"]

router = page_router()


@router.get(f"{PATHS[SERVICE_ACCOUNT]}/{{id}}/deactivate")
def ask_service_account(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page, with the service account's access tokens."""
    return _ask(screen, SERVICE_ACCOUNT, id)


@router.post(f"{PATHS[SERVICE_ACCOUNT]}/{{id}}/deactivate")
def deactivate_service_account(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Deactivate it with its tokens. If they are in use, its name must be typed."""
    return _deactivate(screen, SERVICE_ACCOUNT, id, fields)


@router.get(f"{PATHS[EXTERNAL]}/{{id}}/deactivate")
def ask_external(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page, with the external owner's access tokens."""
    return _ask(screen, EXTERNAL, id)


@router.post(f"{PATHS[EXTERNAL]}/{{id}}/deactivate")
def deactivate_external(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Deactivate it with its tokens. If they are in use, its name must be typed."""
    return _deactivate(screen, EXTERNAL, id, fields)


def _deactivate(screen: Screen, type: _Type, id: str, fields: Fields) -> Response:
    screen.require(_MANAGE)
    with screen.read() as reading:
        owner = owner_search.get(reading, screen.actor, id, type)
        its = left(reading, screen.actor, owner.id, limit=1, permission=_MANAGE).latest
    problem = confirmation_problem("name", owner.name, owner.id, fields.one("name"))
    if problem and owner.status == "active" and _is_used(its, screen.now()):
        return _ask(screen, type, id, problem)
    with screen.write() as change:
        owner_offboarding.deactivate(change, screen.actor, id, type=type)
    return see_other(f"{PATHS[type]}?done=deactivated", confirmed=change.confirmed)


def _is_used(latest: list[AccessToken], now: int) -> bool:
    """Whether a token was used within the last hour; the last used token comes first."""
    used = latest[0].last_used if latest else None
    return used is not None and now - used.at < HOUR


def _ask(screen: Screen, type: _Type, id: str, problem: str = "") -> Response:
    screen.require(_MANAGE)
    with screen.read() as reading:
        owner = owner_search.get(reading, screen.actor, id, type)
        require_not_above(reading, screen.actor, owner)
        its = left(reading, screen.actor, owner.id, limit=_SHOWN, permission=_MANAGE)
    if owner.status != "active":
        return see_other(PATHS[type])
    return screen.render(
        "company/owner_deactivate.html",
        422 if problem else 200,
        owner=owner,
        path=PATHS[type],
        tokens=its.latest,
        token_count=its.count,
        typed_name=_is_used(its.latest, screen.now()),
        problem=problem,
    )
