"""/access-tokens/new: create a token and show its text once.

Three measures keep a double submit or the back button from creating a second token or showing the
text again: the form carries a one-time id, which the registry accepts once; browsers store nothing;
and a script clears the text when the page is left, before the browser caches it for "back".
"""

from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from gatepass.core.grants import SERVICE_ACCOUNT
from gatepass.registry.directory import owner_search
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.storage.paging import LARGEST_PAGE
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens import prefill
from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.access_tokens.form_page import (
    form_page,
    press,
    refused_page,
    summary_part,
)
from gatepass.web.pages.layout.one_time_form import INCOMPLETE, is_form_id, new_form_id
from gatepass.web.pages.layout.resuming import path_of, resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.widgets.snippets import serves, snippets

PATH = "/access-tokens/new"
_TEMPLATE = "access_tokens/new.html"


router = page_router()


@router.get(PATH)
def show_form(
    request: Request,
    screen: CurrentScreen,
    replace: Annotated[str, Query()] = "",
    duplicate: Annotated[str, Query()] = "",
    owner: Annotated[str, Query()] = "",
) -> Response:
    """The form: empty, with the settings of a token to replace or duplicate, or filled by a
    link."""
    screen.require("access-tokens:create")
    catalogue, actor, now = screen.node.catalogue, screen.actor, screen.now()
    copied = _token(screen, replace or duplicate) if replace or duplicate else None
    link: prefill.Link | None = None
    left_out: prefill.LeftOut | None = None
    if copied is None:
        form = TokenForm()
        asked = Fields(request.query_params.multi_items())
        link = prefill.fill(form, path_of(request), asked, catalogue, actor, now)
    else:
        form = (TokenForm.replacing if replace else TokenForm.duplicating)(copied, now)
        left_out = prefill.choose_held(form, form.permissions, catalogue, actor)
    form.form_id = new_form_id()
    form.owner = owner or form.owner
    with screen.read() as reading:
        form.keep_within(token_policies.of(reading, screen.company))
    return _page(screen, form, copied=copied, link=link, left_out=left_out)


@router.post(PATH)
@resumable
def send_form(request: Request, screen: CurrentScreen, fields: Form) -> Response:
    """Create the token, or apply another button and show the form again."""
    screen.require("access-tokens:create")
    form = TokenForm.read(fields)
    replaces = fields.one("replaces")
    form.replaces = _token(screen, replaces) if replaces else None
    pressed = fields.one("do")
    if pressed == "sentence":
        return summary_part(screen, form)
    if not is_form_id(form.form_id):
        form.form_id = new_form_id()
        form.errors[""] = INCOMPLETE
        return _page(screen, form, 422)
    if pressed != "create":
        press(screen, form, pressed)
        return _page(screen, form)
    return _create(request, screen, form)


def _create(request: Request, screen: Screen, form: TokenForm) -> Response:
    node = screen.node
    try:
        chosen = form.chosen(screen.now())
        with screen.write() as change:
            token, text = access_tokens.create(
                change,
                screen.actor,
                catalogue=node.catalogue,
                label=chosen.label,
                kind=chosen.kind,
                permissions=chosen.permissions,
                expires_at=chosen.expires_at,
                networks=chosen.networks,
                domains=chosen.domains,
                metadata=chosen.metadata,
                external_id=chosen.external_id,
                unused_days=chosen.unused_days,
                owner=form.owner or None,
                form_id=form.form_id,
            )
    except (Conflict, InvalidInput, Forbidden, Unavailable) as error:
        if isinstance(error, Conflict) and error.reason == "form_already_used":
            return _already_created(screen, error.current)
        return refused_page(
            screen, _TEMPLATE, form, error, button="Create", **_context(screen, form)
        )
    return screen.render(
        "access_tokens/created.html",
        unconfirmed=not change.confirmed,
        token=token,
        text=text,
        snippets=snippets(
            token, text, catalogue=node.catalogue, settings=node.settings, serves=serves(request)
        ),
    )


def _page(screen: Screen, form: TokenForm, status: int = 200, **more: Any) -> HTMLResponse:
    return form_page(screen, _TEMPLATE, form, status, **_context(screen, form) | more)


def _context(screen: Screen, form: TokenForm) -> dict[str, Any]:
    """What the page has beside the form; nothing new was filled in."""
    filled = {"copied": form.replaces, "link": None, "left_out": None}
    return {"owners": _owners(screen, form), **filled}


def _owners(screen: Screen, form: TokenForm) -> list[Owner]:
    """The service accounts to choose from, and the chosen owner if it is another."""
    if not screen.visitor.may_change("service-accounts:manage"):
        return []
    with screen.read() as reading:
        offered = owner_search.list_(
            reading,
            screen.actor,
            type=SERVICE_ACCOUNT,
            status="active",
            limit=LARGEST_PAGE,
            counted=False,
        ).items
        if form.owner and form.owner not in [owner.id for owner in offered]:
            offered.append(owner_search.get(reading, screen.actor, form.owner))
    return offered


def _already_created(screen: Screen, current: object) -> HTMLResponse:
    token_id = current.id if isinstance(current, AccessToken) else str(current)
    try:
        token = _token(screen, token_id)
    except (NotFound, Forbidden):
        token = None
    return screen.render("access_tokens/already_created.html", 409, token=token)


def _token(screen: Screen, token_id: str) -> AccessToken:
    with screen.read() as reading:
        return access_tokens.get(reading, screen.actor, token_id)
