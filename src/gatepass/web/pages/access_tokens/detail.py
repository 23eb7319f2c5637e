"""/access-tokens/{id}: a token's settings, use and history, and its deactivation."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from gatepass.registry.audit import search
from gatepass.registry.replication import receipt_status
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens, usage
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.people_text import is_typed, to_type
from gatepass.web.pages.text.times import HOUR
from gatepass.web.pages.widgets.permission_groups import permission_rows
from gatepass.web.pages.widgets.snippets import serves, snippets
from gatepass.web.pages.widgets.sparkline import DayOfUse, days_until

_HISTORY = 50
_DAYS = 30
_DONE = {
    "saved": "Saved. The changes are in effect.",
    "created": "Token created. Its text was shown once and can't be shown again.",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Use:
    """How a token was used: calls in all, calls a day with today last, and from where."""

    total: int
    days: tuple[DayOfUse, ...]
    addresses: tuple[usage.AddressUse, ...]


@router.get("/access-tokens/{id}")
def show(
    request: Request, visitor: Visiting, node: CurrentNode, id: str, done: str = "", part: str = ""
) -> Response:
    """One token; with ``part=receipt`` only the receipt of its deactivation."""
    now = node.clock.now()
    with node.database.read(now) as reading:
        token = access_tokens.get(reading, visitor.actor, id)
        ended = token.status == "deactivated"
        receipt = receipt_status.find(reading, token.id) if ended else None
        if part == "receipt" and receipt is not None:
            return render(
                "access_tokens/receipt.html",
                visitor=visitor,
                now=now,
                token=token,
                receipt=receipt,
                staleness=node.settings.max_staleness,
            )
        use = _use(reading, token.id, now)
        history = None
        if visitor.actor.may("audit:get"):
            history = search.list_(reading, visitor.actor, subject=token.id, limit=_HISTORY).items
    return render(
        "access_tokens/show.html",
        visitor=visitor,
        now=now,
        token=token,
        flash=_DONE.get(done, ""),
        permission_rows=permission_rows(
            node.catalogue, token.permissions, token.effective_permissions
        ),
        reduced=set(token.permissions) != set(token.effective_permissions),
        use=use,
        receipt=receipt,
        staleness=node.settings.max_staleness,
        history=history,
        snippets=snippets(
            token, None, catalogue=node.catalogue, settings=node.settings, serves=serves(request)
        ),
        typed_label=in_use(token, now),
    )


@router.get("/access-tokens/{id}/deactivate")
def ask(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """The confirmation page."""
    return _ask(visitor, node, id)


@router.post("/access-tokens/{id}/deactivate")
def deactivate(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """Deactivate the token. One in use needs its label typed."""
    now = node.clock.now()
    with node.database.read(now) as reading:
        token = access_tokens.get(reading, visitor.actor, id)
    confirmed = True
    if token.status != "deactivated":
        typed = fields.one("label").strip()
        if in_use(token, now) and not is_typed(typed, token.label, token.id):
            what = "label" if to_type(token.label, token.id) != token.id else "id"
            problem = (
                f"Must be the {what} shown above." if typed else f"Type the {what} to confirm."
            )
            return _ask(visitor, node, id, problem)
        with node.database.write(now) as change:
            access_tokens.deactivate(change, visitor.actor, id)
        confirmed = change.confirmed
    return see_other(f"/access-tokens/{token.id}", confirmed=confirmed)


def _use(reading: Reading, token_id: str, now: int) -> Use:
    return Use(
        total=usage.total(reading, token_id),
        days=days_until(now, usage.daily(reading, [token_id], days=_DAYS)[token_id]),
        addresses=tuple(usage.addresses(reading, token_id)),
    )


def in_use(token: AccessToken, now: int) -> bool:
    """Whether calls came in within the last hour: ending it will be noticed."""
    return token.last_used is not None and now - token.last_used.at < HOUR


def _ask(visitor: Visiting, node: CurrentNode, id: str, problem: str | None = None) -> Response:
    now = node.clock.now()
    with node.database.read(now) as reading:
        token = access_tokens.get(reading, visitor.actor, id)
    if not visitor.may_deactivate(token):
        visitor.actor.require("access-tokens:deactivate")
    if token.status == "deactivated":
        return see_other(f"/access-tokens/{token.id}")
    return render(
        "access_tokens/deactivate.html",
        422 if problem else 200,
        visitor=visitor,
        now=now,
        token=token,
        typed_label=in_use(token, now),
        problem=problem,
    )
