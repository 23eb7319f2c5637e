"""The first steps of a new company, above its list of access tokens; each ticks itself off."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from gatepass.registry.membership import first_steps
from gatepass.registry.membership.first_steps import NEW_MS, FirstSteps
from gatepass.registry.storage.database import Reading
from gatepass.web.pages.access_tokens.filters import PATH
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router

#: The value of ``part`` in the address of the list, for the steps alone.
PART = "first-steps"
_COOKIE = "gatepass-first-steps"
_HIDDEN = "hidden"

router = page_router()


@dataclass(frozen=True)
class Step:
    """One step. ``href`` is where to take it; "" if that can't be done yet."""

    title: str
    hint: str
    href: str
    done: bool


@dataclass(frozen=True)
class Steps:
    """The steps that the visitor may take.

    Attributes:
        live: whether a call is awaited, so that the page asks for it.
    """

    steps: tuple[Step, ...]
    live: bool

    @property
    def done(self) -> int:
        """How many are done."""
        return sum(step.done for step in self.steps)


def steps_above_list(request: Request, reading: Reading, screen: Screen) -> Steps | None:
    """The steps while they are of use; None once all are done, or the visitor has hidden them."""
    if screen.actor.kind != "user" or not screen.visitor.may_create or not _may_search(screen):
        return None
    hidden = request.cookies.get(_COOKIE) == _HIDDEN
    if hidden or not first_steps.is_new(reading, screen.company):
        return None
    found = _steps(reading, screen)
    return None if found.done == len(found.steps) else found


def part(screen: Screen) -> HTMLResponse:
    """The steps alone, also once all are done."""
    screen.require("access-tokens:create")
    with screen.read() as reading:
        found = _steps(reading, screen)
    return screen.render("access_tokens/first_steps.html", first_steps=found)


@router.post(f"{PATH}/first-steps/hide")
def hide(screen: CurrentScreen) -> Response:
    """Hide the steps in this browser, for as long as a company counts as new."""
    response = see_other(PATH)
    response.set_cookie(
        _COOKIE,
        _HIDDEN,
        max_age=NEW_MS // 1000,
        path=PATH,
        secure=screen.node.settings.is_https,
        httponly=True,
        samesite="lax",
    )
    return response


def _may_search(screen: Screen) -> bool:
    return screen.actor.may("access-tokens:search")


def _steps(reading: Reading, screen: Screen) -> Steps:
    facts = first_steps.first_steps(reading, screen.actor)
    return Steps(tuple(_offered(screen, facts)), bool(facts.token) and not facts.called)


def _offered(screen: Screen, facts: FirstSteps) -> Iterator[Step]:
    may_change, token = screen.visitor.may_change, facts.token
    yield Step(
        "Create a token",
        "For one server, script or web page, with only what it needs.",
        f"{PATH}/new",
        token is not None,
    )
    yield Step(
        "Make the first call",
        "Copy a call from the token's page. This step is done when the call arrives.",
        f"{PATH}/{token}" if token else "",
        facts.called,
    )
    if may_change("users:manage"):
        hint = "Somebody else can end tokens while you are away."
        yield Step("Invite someone", hint, f"{navigation.USERS.path}/invite", facts.invited)
    limit = _where_to_limit(screen, token)
    if limit is not None:
        hint = "List the networks that calls come from: a token that leaks is of no use elsewhere."
        yield Step("Limit where from", hint, limit, facts.limited)
    if not screen.node.settings.oidc_required:
        hint = "Then your password alone opens nothing."
        path = navigation.TWO_FACTOR.path
        yield Step("Set up a second factor", hint, path, facts.second_factor)


def _where_to_limit(screen: Screen, token: str | None) -> str | None:
    """The page that limits calls: a token's, else the company's; None without the permission."""
    if screen.visitor.may_modify and token:
        return f"{PATH}/{token}/edit"
    if screen.visitor.may_change("company:modify"):
        return navigation.SECURITY.path
    return "" if screen.visitor.may_modify else None
