"""/access-tokens/{id}/edit: change a token; concurrent edits are detected."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.registry.explanations import token_impact
from gatepass.registry.input.metadata import entries as metadata_entries
from gatepass.registry.tokens import access_tokens, records
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.form import TokenForm, changes
from gatepass.web.pages.access_tokens.form_page import form_page, press, refused_page, summary_part
from gatepass.web.pages.access_tokens.suggested import fill_in
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import Difference
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.times import MINUTE

_TEMPLATE = "access_tokens/edit.html"

router = page_router()


@router.get("/access-tokens/{id}/edit")
def show_form(request: Request, screen: CurrentScreen, id: str) -> Response:
    """The form with the token's settings, and a change that a link suggests."""
    token = editable(screen, id)
    form = TokenForm.of(token)
    form.etag = records.etag(token)
    form.permissions = [name for name in token.permissions if screen.node.catalogue.knows(name)]
    suggested = fill_in(form, request.query_params, screen.node.catalogue)
    return form_page(screen, _TEMPLATE, form, suggested=suggested, **_shown(screen, token))


@router.post("/access-tokens/{id}/edit")
@resumable
def send_form(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Save the changes, or apply another button and show the form again."""
    token = editable(screen, id)
    form = TokenForm.read(fields)
    form.kind = token.kind
    pressed = fields.one("do")
    if pressed == "sentence":
        return summary_part(screen, form, token)
    if pressed == "impact":
        return screen.render("impact.html", of_token=True, **_impact(screen, token, form))
    if pressed != "save":
        press(screen, form, pressed)
        shown = _shown(screen, token) | _impact(screen, token, form)
        return form_page(screen, _TEMPLATE, form, **shown)
    return _save(screen, token, form)


def _save(screen: Screen, token: AccessToken, form: TokenForm) -> Response:
    try:
        changed = changes(token, form.chosen(screen.now()))
        with screen.write() as change:
            access_tokens.modify(
                change,
                screen.actor,
                token.id,
                catalogue=screen.node.catalogue,
                changes=changed,
                if_match=[form.etag],
            )
    except (Conflict, InvalidInput, Forbidden, Unavailable) as error:
        if isinstance(error, Conflict) and error.reason == "changed_meanwhile":
            return _changed_meanwhile(screen, token.id, form)
        shown = _shown(screen, token)
        return refused_page(screen, _TEMPLATE, form, error, button="Save", **shown)
    return see_other(f"/access-tokens/{token.id}?done=saved", confirmed=change.confirmed)


def _changed_meanwhile(screen: Screen, token_id: str, form: TokenForm) -> HTMLResponse:
    """The page with both versions. The form keeps its input, and saving it again replaces the other
    version."""
    token = editable(screen, token_id)
    form.etag = records.etag(token)
    differences = _differences(token, form, screen.now())
    state = screen.changed_meanwhile(token_id, differences)
    shown = _shown(screen, token) | {"meanwhile": state.meanwhile}
    return form_page(screen, _TEMPLATE, form, state.status, **shown)


def _differences(token: AccessToken, form: TokenForm, now: int) -> list[Difference]:
    typed = form.chosen(now)
    changed = changes(token, typed)
    found = [
        Difference(name, _words(field, getattr(token, field)), _words(field, getattr(typed, field)))
        for field, name in (
            ("label", "Label"),
            ("permissions", "Permissions"),
            ("domains", "Domains"),
            ("networks", "IP addresses"),
            ("metadata", "Metadata"),
            ("external_id", "External id"),
            ("unused_days", "Days without use"),
        )
        if field in changed
    ]
    if "expires_at" in changed:
        found.append(Difference("Expires", token.expires_at, typed.expires_at, is_time=True))
    return found


def _words(field: str, value: str | int | Sequence[str] | Mapping[str, str] | None) -> str:
    if isinstance(value, str | int):
        return str(value)
    entries = ", ".join(metadata_entries(value) if isinstance(value, Mapping) else value or ())
    return entries or ("Any" if field in ("networks", "domains") else "None")


def editable(screen: Screen, token_id: str) -> AccessToken:
    """The token, if the visitor may change it now.

    Raises:
        Forbidden: the visitor may not, or the token includes more than they do.
        Conflict: the token is neither active nor pending.
    """
    screen.require("access-tokens:modify")
    with screen.read() as reading:
        token = access_tokens.get(reading, screen.actor, token_id)
    if token.status not in ("active", "pending"):
        raise Conflict(f"This token is {token.status} and can't be changed.", reason="ended")
    for name in (*token.permissions, *(each.permission for each in token.exceptions)):
        if not screen.actor.may(name):
            raise Forbidden(
                "Only a user with all of this token's permissions can change it.",
                permission=name,
            )
    return token


def _shown(screen: Screen, token: AccessToken) -> dict[str, Any]:
    """What the page shows of *token* beside the form."""
    known = screen.node.catalogue.knows
    forgotten = [name for name in token.permissions if not known(name)]
    return {
        "token": token,
        "forgotten": forgotten,
        "meanwhile": None,
        "impact": None,
        "since": None,
        "at_once": True,
    }


def _impact(screen: Screen, token: AccessToken, form: TokenForm) -> dict[str, Any]:
    """The calls that the change would newly refuse (``impact``): some at once, or all from a nearer
    expiry on (``since``), or both; no impact if nothing that decides changes, or can't be read."""
    typed = form.summary(screen.now())
    nothing = {"impact": None, "since": None, "at_once": True}
    changed = {
        name: list(getattr(typed, name))
        for name in ("permissions", "networks", "domains")
        if set(getattr(typed, name)) != set(getattr(token, name))
    }
    since = typed.expires_at
    if since is not None and token.expires_at is not None and since >= token.expires_at - MINUTE:
        # The form has it to the minute.
        since = None
    if typed.missing or not (changed or since):
        return nothing
    actor, catalogue = screen.actor, screen.node.catalogue
    try:
        with screen.read() as reading:
            if changed:
                found = token_impact.preview(reading, actor, token.id, changed, catalogue=catalogue)
            else:
                found = token_impact.once_expired(reading, actor, token.id)
    except InvalidInput:
        return nothing
    return {"impact": found, "since": since, "at_once": bool(changed)}
