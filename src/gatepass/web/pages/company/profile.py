"""/company: the company's profile, its figures and its name."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.registry.directory import companies, user_search
from gatepass.registry.tokens.lists import search as token_search
from gatepass.web.pages.company.second_factor import rule_of
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, refused
from gatepass.web.pages.layout.navigation import PROFILE
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import RESUME, Form

_DONE = {
    "saved": "Saved.",
    "required": "Second factor required for everyone.",
    "lifted": "Second factor no longer required.",
}
_NOT_DONE = {
    "changed": "Not saved: someone else changed the company. The current settings are below.",
}

router = page_router()


@router.get(PROFILE.path)
def show(screen: CurrentScreen, done: str = "") -> Response:
    """The company's profile."""
    return _page(screen, FormState(flash=_DONE.get(done, "")), warning=_NOT_DONE.get(done, ""))


@router.post(PROFILE.path)
@resumable
def rename(screen: CurrentScreen, fields: Form) -> Response:
    """Rename the company."""
    name, etag = fields.one("name").strip(), fields.one("etag")
    if fields.one("do") == RESUME:
        return _page(screen, OPENED, name, etag)
    try:
        with screen.write() as change:
            companies.rename(change, screen.actor, name=name, if_match=[etag])
    except (InvalidInput, Conflict, Unavailable) as error:
        if error.reason == "changed_meanwhile":
            return _page(screen, _changed_meanwhile(screen, name), name)
        return _page(screen, refused(error), name, etag)
    return see_other(f"{PROFILE.path}?done=saved", confirmed=change.confirmed)


def _changed_meanwhile(screen: Screen, name: str) -> FormState:
    with screen.read() as reading:
        company = companies.own(reading, screen.actor)
    differences = [Difference("Name", company.name, name)] if company.name != name else []
    return screen.changed_meanwhile(company.id, differences, ["company.modified"])


def _page(
    screen: Screen,
    state: FormState,
    name: str | None = None,
    etag: str = "",
    *,
    warning: str = "",
) -> HTMLResponse:
    may = screen.actor.may
    with screen.read() as reading:
        company = companies.own(reading, screen.actor)
        second_factor = rule_of(reading, screen.visitor, company)
        people = user_search.by_status(reading, company.id) if may("users:get") else None
        tokens = (
            token_search.by_status(reading, company.id) if may("access-tokens:search") else None
        )
    return screen.render_form(
        "company/profile.html",
        state,
        company=company,
        typed=company.name if name is None else name,
        etag=etag or companies.etag(company),
        second_factor=second_factor,
        people=people,
        tokens=tokens,
        problem=next(iter(state.problems.values()), ""),
        warning=warning,
    )
