"""The page with the form of a token, as opened or after a change that was refused."""

from typing import Any

from starlette.responses import HTMLResponse

from gatepass.core.approval import needing_approval
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.tokens import token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.layout.form_state import not_saved
from gatepass.web.pages.layout.screen import Screen
from gatepass.web.pages.widgets.expiry import choices
from gatepass.web.pages.widgets.permission_groups import offered


def form_page(
    screen: Screen, template: str, form: TokenForm, status: int = 200, **context: Any
) -> HTMLResponse:
    """The page of *template* with *form*, and what the company's policy requires of it."""
    catalogue, chosen = screen.node.catalogue, form.permissions
    with screen.read() as reading:
        policy = token_policies.of(reading, screen.company)
    token: AccessToken | None = context.get("token")
    now = screen.now()
    latest = policy.latest_expiry(token.created_at if token else now)
    return screen.render(
        template,
        status,
        form=form,
        groups=offered(catalogue, screen.actor, chosen, built_in=False),
        own_groups=offered(catalogue, screen.actor, chosen, built_in=True),
        presets=choices(now, latest, form.expire),
        latest_expiry=latest,
        policy=policy,
        summary=form.summary(now),
        **_second_person(policy, form, token),
        **context,
    )


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
    summary = form.summary(screen.now())
    return screen.render("sentence.html", summary=summary, **_second_person(policy, form, token))


def _second_person(
    policy: TokenPolicy, form: TokenForm, token: AccessToken | None
) -> dict[str, Any]:
    """What of the form's permissions needs a second person; of an active token's, what is added."""
    active = token is not None and token.status == "active"
    held = token.permissions if token is not None and active else ()
    needs = needing_approval(form.permissions, policy.approval_required, held=held)
    return {"needs": needs, "adding": active}
