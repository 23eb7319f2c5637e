"""/access-tokens/{id}/edit: change a token; concurrent edits are detected."""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.node.node import Node
from gatepass.registry.tokens import access_tokens, records
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.access_tokens.form import TokenForm, changes
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.differences import Difference, Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.widgets.expiry import CHOICES
from gatepass.web.pages.widgets.permission_groups import offered

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/access-tokens/{id}/edit")
def show_form(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """The form with the token's settings."""
    token = _editable(node, visitor, id)
    form = TokenForm.of(token)
    form.etag = records.etag(token)
    form.permissions = [name for name in token.permissions if node.catalogue.knows(name)]
    return _page(node, visitor, token, form)


@router.post("/access-tokens/{id}/edit")
@resumable
def send_form(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """Save the changes, or apply another button and show the form again."""
    token = _editable(node, visitor, id)
    form = TokenForm.read(fields)
    form.kind = token.kind
    pressed = fields.one("do")
    if pressed == "sentence":
        summary = form.summary(node.clock.now())
        return render("sentence.html", visitor=visitor, now=node.clock.now(), summary=summary)
    if pressed != "save":
        form.press(pressed, visitor.own_network)
        return _page(node, visitor, token, form)
    return _save(node, visitor, token, form)


def _save(node: Node, visitor: Visitor, token: AccessToken, form: TokenForm) -> Response:
    now = node.clock.now()
    try:
        changed = changes(token, form.chosen(now))
        with node.database.write(now) as change:
            access_tokens.modify(
                change,
                visitor.actor,
                token.id,
                catalogue=node.catalogue,
                changes=changed,
                if_match=[form.etag],
            )
    except InvalidInput as error:
        form.accept_errors([pair for pair in error.errors if pair[0] not in form.errors])
        return _page(node, visitor, token, form, 422)
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        return _changed_meanwhile(node, visitor, token.id, form)
    except Forbidden as error:
        if error.permission is None:
            raise
        form.errors["permissions"] = (
            f"You can't add {error.permission}: your role doesn't include it."
        )
        return _page(node, visitor, token, form, 403)
    except Unavailable as error:
        form.errors[""] = not_saved(error)
        return _page(node, visitor, token, form, 503)
    return see_other(f"/access-tokens/{token.id}?done=saved", confirmed=change.confirmed)


def _changed_meanwhile(
    node: Node, visitor: Visitor, token_id: str, form: TokenForm
) -> HTMLResponse:
    """Both versions beside each other; what was typed stays in the form, and saves over the new
    version if it is sent again."""
    token = _editable(node, visitor, token_id)
    form.etag = records.etag(token)
    with node.database.read(node.clock.now()) as reading:
        first = meanwhile(reading, visitor, token_id, _differences(node, token, form))
    return _page(node, visitor, token, form, 409, first)


def _differences(node: Node, token: AccessToken, form: TokenForm) -> list[Difference]:
    typed = form.chosen(node.clock.now())
    changed = changes(token, typed)
    found = [
        Difference(name, _words(getattr(token, field)), _words(getattr(typed, field)))
        for field, name in (
            ("label", "Label"),
            ("permissions", "Permissions"),
            ("domains", "Domains"),
            ("networks", "IP addresses"),
        )
        if field in changed
    ]
    if "expires_at" in changed:
        found.append(Difference("Expires", token.expires_at, typed.expires_at, is_time=True))
    return found


def _words(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "Any"


def _editable(node: Node, visitor: Visitor, token_id: str) -> AccessToken:
    """The token, if this visitor may change it now.

    Raises:
        Forbidden: they may not, or it holds more than they do.
        Conflict: it has ended.
    """
    visitor.actor.require_signed_in()
    visitor.actor.require("access-tokens:modify")
    with node.database.read(node.clock.now()) as reading:
        token = access_tokens.get(reading, visitor.actor, token_id)
    if token.status != "active":
        raise Conflict(f"This token is {token.status} and can't be changed.", reason="ended")
    for name in token.permissions:
        if not visitor.actor.may(name):
            raise Forbidden(
                "Only a user with all of this token's permissions can change it.",
                permission=name,
            )
    return token


def _page(
    node: Node,
    visitor: Visitor,
    token: AccessToken,
    form: TokenForm,
    status: int = 200,
    first: Meanwhile | None = None,
) -> HTMLResponse:
    now = node.clock.now()
    return render(
        "access_tokens/edit.html",
        status,
        visitor=visitor,
        now=now,
        token=token,
        form=form,
        groups=offered(node.catalogue, visitor.actor, form.permissions, built_in=False),
        own_groups=offered(node.catalogue, visitor.actor, form.permissions, built_in=True),
        forgotten=[name for name in token.permissions if not node.catalogue.knows(name)],
        presets=CHOICES,
        summary=form.summary(now),
        meanwhile=first,
    )
