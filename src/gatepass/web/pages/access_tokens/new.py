"""/access-tokens/new: create a token and show its text once.

Three things keep the text from showing twice or a second token from being made: the form carries a
one-time id, which the registry takes once; nothing is stored by browsers; and a script clears the
text when the page is left, before a browser keeps a picture of it for its back button.
"""

import re
import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from gatepass.node.node import Node
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.layout.after_change import not_saved
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.widgets.expiry import CHOICES
from gatepass.web.pages.widgets.permission_groups import offered
from gatepass.web.pages.widgets.snippets import serves, snippets

PATH = "/access-tokens/new"

_form_id = re.compile(r"[A-Za-z0-9_-]{22}").fullmatch

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(PATH)
def show_form(
    visitor: Visiting, node: CurrentNode, replace: Annotated[str, Query()] = ""
) -> Response:
    """The form, empty or with the settings of the token that is to be replaced."""
    _require(visitor)
    now = node.clock.now()
    replaced = _token(node, visitor, replace) if replace else None
    form = TokenForm() if replaced is None else TokenForm.replacing(replaced, now)
    if replaced is not None:
        # What the catalogue or the visitor no longer has can't be handed on.
        form.permissions = [name for name in form.permissions if _may_offer(node, visitor, name)]
    form.form_id = new_form_id()
    return _page(node, visitor, form)


@router.post(PATH)
@resumable
def send_form(request: Request, visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Create the token, or apply another button and show the form again."""
    _require(visitor)
    form = TokenForm.read(fields)
    replaces = fields.one("replaces")
    form.replaces = _token(node, visitor, replaces) if replaces else None
    pressed = fields.one("do")
    if pressed == "sentence":
        summary = form.summary(node.clock.now())
        return render("sentence.html", visitor=visitor, now=node.clock.now(), summary=summary)
    if not _form_id(form.form_id):
        form.form_id = new_form_id()
        form.errors[""] = "The form was incomplete. Check it and press Create again."
        return _page(node, visitor, form, 422)
    if pressed != "create":
        form.press(pressed, visitor.own_network)
        return _page(node, visitor, form)
    return _create(request, node, visitor, form)


def new_form_id() -> str:
    """A number for one form, which nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


def _create(request: Request, node: Node, visitor: Visitor, form: TokenForm) -> Response:
    now = node.clock.now()
    try:
        chosen = form.chosen(now)
        with node.database.write(now) as change:
            token, text = access_tokens.create(
                change,
                visitor.actor,
                catalogue=node.catalogue,
                label=chosen.label,
                kind=chosen.kind,
                permissions=chosen.permissions,
                expires_at=chosen.expires_at,
                networks=chosen.networks,
                domains=chosen.domains,
                form_id=form.form_id,
            )
    except InvalidInput as error:
        form.accept_errors([pair for pair in error.errors if pair[0] not in form.errors])
        return _page(node, visitor, form, 422)
    except Conflict as error:
        if error.reason != "form_already_used":
            raise
        return _already_created(node, visitor, error.current)
    except Forbidden as error:
        if error.permission is None:
            raise
        form.errors["permissions"] = (
            f"You can't add {error.permission}: your role doesn't include it."
        )
        return _page(node, visitor, form, 403)
    except Unavailable as error:
        form.errors[""] = not_saved(error, button="Create")
        return _page(node, visitor, form, 503)
    return render(
        "access_tokens/created.html",
        visitor=visitor,
        now=now,
        unconfirmed=not change.confirmed,
        token=token,
        text=text,
        snippets=snippets(
            token, text, catalogue=node.catalogue, settings=node.settings, serves=serves(request)
        ),
    )


def _already_created(node: Node, visitor: Visitor, current: object) -> HTMLResponse:
    token_id = current.id if isinstance(current, AccessToken) else str(current)
    try:
        token = _token(node, visitor, token_id)
    except (NotFound, Forbidden):
        token = None
    return render(
        "access_tokens/already_created.html",
        409,
        visitor=visitor,
        now=node.clock.now(),
        token=token,
    )


def _page(node: Node, visitor: Visitor, form: TokenForm, status: int = 200) -> HTMLResponse:
    now = node.clock.now()
    chosen = form.permissions
    return render(
        "access_tokens/new.html",
        status,
        visitor=visitor,
        now=now,
        form=form,
        groups=offered(node.catalogue, visitor.actor, chosen, built_in=False),
        own_groups=offered(node.catalogue, visitor.actor, chosen, built_in=True),
        presets=CHOICES,
        summary=form.summary(now),
    )


def _require(visitor: Visitor) -> None:
    visitor.actor.require_signed_in()
    visitor.actor.require("access-tokens:create")


def _may_offer(node: Node, visitor: Visitor, permission: str) -> bool:
    return node.catalogue.knows(permission) and visitor.actor.may(permission)


def _token(node: Node, visitor: Visitor, token_id: str) -> AccessToken:
    with node.database.read(node.clock.now()) as reading:
        return access_tokens.get(reading, visitor.actor, token_id)
