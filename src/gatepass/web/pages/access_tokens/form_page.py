"""The page with the form of a token, as opened or after a change that was refused."""

from typing import Any

from starlette.responses import HTMLResponse

from gatepass.core.approval import needing_approval
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.lists import labels
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.layout.form_state import not_saved
from gatepass.web.pages.layout.screen import Screen
from gatepass.web.pages.widgets.expiry import choices
from gatepass.web.pages.widgets.permission_groups import PermissionGroup, offered
from gatepass.web.pages.widgets.permission_presets import Presets, presets_of


def form_page(
    screen: Screen, template: str, form: TokenForm, status: int = 200, **context: Any
) -> HTMLResponse:
    """The page of *template* with *form*, and what the company's policy requires of it."""
    token: AccessToken | None = context.get("token")
    with screen.read() as reading:
        policy = token_policies.of(reading, screen.company)
        beside = _beside(reading, screen, policy, form, token)
    groups, own_groups, presets = _offered(screen, form)
    now = screen.now()
    latest = policy.latest_expiry(token.created_at if token else now)
    return screen.render(
        template,
        status,
        form=form,
        groups=groups,
        own_groups=own_groups,
        permission_presets=presets,
        presets=choices(now, latest, form.expire),
        latest_expiry=latest,
        policy=policy,
        summary=form.summary(now),
        **beside,
        **context,
    )


def press(screen: Screen, form: TokenForm, button: str) -> None:
    """Apply a button that changes the input, such as ``preset_read`` or ``add_domain``."""
    *_, presets = _offered(screen, form)
    chosen = presets.press(button)
    if chosen is None:
        form.press(button, screen.visitor.own_network)
    else:
        form.permissions = chosen


def refused_page(
    screen: Screen,
    template: str,
    form: TokenForm,
    error: Conflict | InvalidInput | Forbidden | Unavailable,
    *,
    button: str,
    **context: Any,
) -> HTMLResponse:
    """The page with *form* again, and why it wasn't saved.

    Args:
        button: the label of the button to press again.
    """
    if isinstance(error, InvalidInput):
        status = 422
        form.accept_errors([pair for pair in error.errors if pair[0] not in form.errors])
    elif isinstance(error, Conflict):
        fields = {"external_id_taken": "external_id", "approval_required": "permissions"}
        if error.reason not in fields:
            raise error
        status = 409
        form.errors[fields[error.reason]] = error.message
    elif isinstance(error, Forbidden):
        if error.permission is None:
            raise error
        status = 403
        what = f"You can't add {error.permission}: your role doesn't include it."
        if form.owner and screen.actor.may(error.permission):
            what = f"You can't add {error.permission}: its owner's role doesn't include it."
        form.errors["permissions"] = what
    else:
        status = 503
        form.errors[""] = not_saved(error, button=button)
    return form_page(screen, template, form, status, **context)


def summary_part(screen: Screen, form: TokenForm, token: AccessToken | None = None) -> HTMLResponse:
    """The summary beside the form alone, for the live preview.

    Args:
        token: the one that is edited; None for a new one.
    """
    with screen.read() as reading:
        policy = token_policies.of(reading, screen.company)
        beside = _beside(reading, screen, policy, form, token)
    return screen.render("sentence.html", summary=form.summary(screen.now()), **beside)


def _offered(
    screen: Screen, form: TokenForm
) -> tuple[list[PermissionGroup], list[PermissionGroup], Presets]:
    """What the picker offers: the product's permissions, Gatepass's own, and presets of both."""
    catalogue, actor, chosen = screen.node.catalogue, screen.actor, form.permissions
    groups, own_groups = (
        offered(catalogue, actor, chosen, built_in=built_in) for built_in in (False, True)
    )
    return groups, own_groups, presets_of(catalogue, actor, groups, own_groups, chosen)


def _beside(
    reading: Reading,
    screen: Screen,
    policy: TokenPolicy,
    form: TokenForm,
    token: AccessToken | None,
) -> dict[str, Any]:
    """What the summary adds: whether another token has the label, and what of the permissions needs
    a second person; of an active token's, what is added."""
    active = token is not None and token.status == "active"
    held = token.permissions if token is not None and active else ()
    needs = needing_approval(form.permissions, policy.approval_required, held=held)
    but = None if token is None else token.id
    taken = labels.is_taken(reading, screen.actor, form.label, but=but)
    return {"needs": needs, "adding": active, "label_taken": taken}
