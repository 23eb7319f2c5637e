"""/access-tokens/{id}: a token's settings, use and history, and its deactivation."""

from fastapi import Request
from starlette.responses import Response

from gatepass.core.grants import DECOY
from gatepass.core.permissions import covers
from gatepass.registry.audit import search
from gatepass.registry.replication import receipt_status
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens, records
from gatepass.registry.tokens.ending import unused
from gatepass.registry.tokens.policy import approval, policy_breaches, token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.temporary import request_records
from gatepass.verify.http.refusals import SENTENCES
from gatepass.web.pages.access_tokens.least_privilege import least_privilege
from gatepass.web.pages.access_tokens.use import PERIODS, Shown, use_of
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.confirmation import confirmation_problem
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.policy_text import broken_rule
from gatepass.web.pages.text.times import HOUR
from gatepass.web.pages.widgets.permission_groups import by_resource, permission_rows
from gatepass.web.pages.widgets.snippets import serves, snippets

_HISTORY = 50
_APPROVERS = 4
#: The rest are folded.
_PERMISSIONS = 8
_CHANGED = "Not approved: somebody changed the token meanwhile. Look at it again."
_DONE = {
    "saved": "Saved. The changes are in effect.",
    "narrowed": "Narrowed. The change is in effect.",
    "undone": "Undone. The token is as it was.",
    "kept": "Kept. From now on the token can do what it used, and nothing else.",
    "approved": "Approved. The token works from now on.",
    "created": "Token created. Its text was shown once and can't be shown again.",
}

router = page_router()


@router.get("/access-tokens/{id}")
def show(
    request: Request,
    screen: CurrentScreen,
    id: str,
    done: str = "",
    part: str = "",
) -> Response:
    """One token; with ``part=receipt`` only the receipt of its deactivation, with
    ``part=recording`` only what a short-lived one used so far.

    What of its use is shown: see ``Shown``.
    """
    node, now = screen.node, screen.now()
    with screen.read() as reading:
        token = access_tokens.get(reading, screen.actor, id)
        ended = token.status == "deactivated"
        receipt = receipt_status.find(reading, token.id) if ended else None
        if part == "receipt" and receipt is not None:
            return screen.render(
                "access_tokens/receipt.html",
                token=token,
                receipt=receipt,
                staleness=node.settings.max_staleness,
            )
        least = least_privilege(reading, screen, token)
        if part == "recording" and least.recording is not None:
            return screen.render(
                "access_tokens/recording.html", token=token, recording=least.recording
            )
        shown = Shown.read(f"/access-tokens/{token.id}", request.query_params)
        use = use_of(reading, token.id, shown)
        predecessor, successor = _rotated(reading, screen, token)
        policy = token_policies.of(reading, token.company)
        ends_unused_at = unused.ending_of(reading, token.id) if token.unused_days else None
        pending = token.status == "pending"
        approvers = approval.approvers(reading, token, most=_APPROVERS) if pending else ()
        asked = request_records.pending_of(reading, token.id)
        history = None
        if screen.actor.may("audit:get"):
            history = search.list_(reading, screen.actor, subject=token.id, limit=_HISTORY).items
    permissions = permission_rows(node.catalogue, token.permissions, token.effective_permissions)
    return screen.render(
        "access_tokens/decoy.html" if token.kind == DECOY else "access_tokens/show.html",
        token=token,
        flash=_DONE.get(done, ""),
        least=least,
        asked=asked,
        permission_rows=permissions,
        permissions_shown=by_resource(permissions[:_PERMISSIONS]),
        permissions_folded=by_resource(permissions[_PERMISSIONS:]),
        lasting=[each for each in token.effective_permissions if covers(token.permissions, each)],
        reduced=not set(token.permissions) <= set(token.effective_permissions),
        use=use,
        periods=PERIODS,
        broken=[broken_rule(policy, rule) for rule in policy_breaches.of_token(policy, token)],
        ends_unused_at=ends_unused_at,
        approvers=[one.name for one in approvers],
        may_approve=pending and screen.visitor.may_approve(token),
        etag=records.etag(token),
        not_approved=_CHANGED if done == "changed" else "",
        predecessor=predecessor,
        successor=successor,
        reasons=SENTENCES,
        receipt=receipt,
        staleness=node.settings.max_staleness,
        history=history,
        snippets=snippets(
            token, None, catalogue=node.catalogue, settings=node.settings, serves=serves(request)
        ),
        typed_label=in_use(token, now),
    )


@router.get("/access-tokens/{id}/deactivate")
def ask(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    return _ask(screen, id)


@router.post("/access-tokens/{id}/deactivate")
def deactivate(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Deactivate the token. One in use needs its label typed."""
    with screen.read() as reading:
        token = access_tokens.get(reading, screen.actor, id)
    confirmed = True
    if token.status != "deactivated":
        problem = confirmation_problem("label", token.label, token.id, fields.one("label"))
        if problem and in_use(token, screen.now()):
            return _ask(screen, id, problem)
        with screen.write() as change:
            access_tokens.deactivate(change, screen.actor, id)
        confirmed = change.confirmed
    return see_other(f"/access-tokens/{token.id}", confirmed=confirmed)


def _rotated(
    reading: Reading, screen: Screen, token: AccessToken
) -> tuple[AccessToken | None, AccessToken | None]:
    """The token that *token* replaces, and the one that replaces it."""
    if token.rotation is None:
        return None, None
    before, after = (
        None if id is None else access_tokens.get(reading, screen.actor, id)
        for id in (token.rotation.replaces, token.rotation.replaced_by)
    )
    return before, after


def in_use(token: AccessToken, now: int) -> bool:
    """Whether the token was used within the last hour, so that its calls would fail."""
    return token.last_used is not None and now - token.last_used.at < HOUR


def _ask(screen: Screen, id: str, problem: str | None = None) -> Response:
    with screen.read() as reading:
        token = access_tokens.get(reading, screen.actor, id)
    if not screen.visitor.may_deactivate(token):
        screen.actor.require("access-tokens:deactivate")
    if token.status == "deactivated":
        return see_other(f"/access-tokens/{token.id}")
    return screen.render(
        "access_tokens/deactivate.html",
        422 if problem else 200,
        token=token,
        typed_label=in_use(token, screen.now()),
        problem=problem,
    )
