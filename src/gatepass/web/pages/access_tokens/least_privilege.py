"""/access-tokens/{id}/narrow: limit a token to what it used, and undo that; its page says so."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.core.grants import DECOY
from gatepass.core.narrowing import Limits
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.tokens import access_tokens, records
from gatepass.registry.tokens.least_privilege import narrowing, suggestion
from gatepass.registry.tokens.least_privilege.narrowing import Narrowing
from gatepass.registry.tokens.least_privilege.recording import is_recording
from gatepass.registry.tokens.least_privilege.suggestion import (
    DAYS,
    FEWEST_CALLS,
    Suggestion,
    limits_of,
)
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.edit import editable
from gatepass.web.pages.access_tokens.form import Summary
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import not_saved
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.wording import counted

#: A list of more addresses isn't proposed: programs that move would soon be refused.
_MOST_ADDRESSES = 10
_TITLES = {"permissions": "Permissions", "networks": "IP addresses", "domains": "Domains"}
USED_MEANWHILE = "Nothing was changed: the token was used in another way meanwhile. Look again."
_CHANGED_MEANWHILE = "Nothing was changed: somebody edited the token meanwhile. Look again."

router = page_router()


@dataclass(frozen=True)
class Limit:
    """One of a token's limits that would be narrowed.

    Attributes:
        name: of the field.
        gone, kept: the entries that it has no longer, and those that it would have.
        was_any: whether it has no entries, which allows anything.
    """

    name: str
    title: str
    gone: tuple[str, ...]
    kept: tuple[str, ...]
    was_any: bool


@dataclass(frozen=True)
class LeastPrivilege:
    """What a token's page says of its use.

    Attributes:
        sentence: what it used, or "".
        narrows: whether to offer narrowing it.
        undo: the narrowing that can be undone.
        recording: what it used so far, if it was made to record that.
    """

    sentence: str = ""
    narrows: bool = False
    undo: Narrowing | None = None
    recording: Suggestion | None = None


def least_privilege(reading: Reading, screen: Screen, token: AccessToken) -> LeastPrivilege:
    """What the page of *token* says of its use."""
    recording = is_recording(token)
    if token.kind == DECOY:
        return LeastPrivilege()
    if token.status != "active" and not (recording and token.status == "expired"):
        return LeastPrivilege()
    found = suggestion.of_token(reading, token)
    may_change = screen.visitor.may_modify and all(map(screen.actor.may, token.permissions))
    undo = narrowing.undoable(reading, token) if may_change else None
    if recording:
        return LeastPrivilege(undo=undo, recording=found)
    if found.calls < FEWEST_CALLS or not found.told_apart:
        return LeastPrivilege(undo=undo)
    return LeastPrivilege(used_sentence(token, found), may_change and found.narrows(token), undo)


def used_sentence(token: AccessToken, found: Suggestion) -> str:
    """``In 30 days it used 3 of its 18 permissions, from 2 addresses.``"""
    span = "Since it was created" if found.since == token.created_at else f"In {DAYS} days"
    count = len(token.permissions)
    used = f"{count - len(found.unused.permissions)} of its {counted(count, 'permission')}"
    if count == 1:
        used = "its permission"
    elif not found.unused.permissions:
        used = f"all of its {count} permissions"
    places = "1 address" if found.addresses == 1 else f"{found.addresses:,} addresses"
    return f"{span} it used {used}{f', from {places}' if found.addresses else ''}."


def limits_to_narrow(token: AccessToken, limits: Limits) -> list[Limit]:
    """Those of the token's limits that differ from *limits*."""
    found = []
    for name, present, kept in zip(Limits._fields, limits_of(token), limits, strict=True):
        if set(present) != set(kept):
            gone = tuple(entry for entry in present if entry not in kept)
            found.append(Limit(name, _TITLES[name], gone, kept, not present))
    return found


@router.get("/access-tokens/{id}/narrow")
def show_form(screen: CurrentScreen, id: str) -> Response:
    """The confirmation, which names what goes."""
    token, found = _proposed(screen, id)
    if found is None:
        return see_other(f"/access-tokens/{token.id}")
    chosen = [
        limit.name
        for limit in limits_to_narrow(token, found.limits)
        if limit.name != "networks" or len(limit.kept) <= _MOST_ADDRESSES
    ]
    return _page(screen, token, found, chosen)


@router.post("/access-tokens/{id}/narrow")
@resumable
def send_form(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Narrow the chosen limits, or show what that would do."""
    token, found = _proposed(screen, id)
    if found is None:
        return see_other(f"/access-tokens/{token.id}")
    chosen, pressed = fields.all("narrow"), fields.one("do")
    if pressed == "sentence":
        return screen.render("summary.html", summary=_summary(token, found, chosen))
    if pressed != "narrow":
        return _page(screen, token, found, chosen)
    if fields.one("limits") != etag_of(found.limits):
        return _page(screen, token, found, chosen, 409, USED_MEANWHILE)
    changes = _changes(token, found, chosen)
    if not changes:
        return _page(screen, token, found, chosen, 422, "Choose what to narrow.")
    try:
        with screen.write() as change:
            access_tokens.modify(
                change,
                screen.actor,
                token.id,
                catalogue=screen.node.catalogue,
                changes=changes,
                if_match=[fields.one("etag")],
            )
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        return _page(screen, token, found, chosen, 409, _CHANGED_MEANWHILE)
    except InvalidInput as error:
        return _page(screen, token, found, chosen, 422, error.errors[0][1])
    except Unavailable as error:
        failure = not_saved(error, button="Narrow it")
        return _page(screen, token, found, chosen, 503, failure)
    return see_other(f"/access-tokens/{token.id}?done=narrowed", confirmed=change.confirmed)


@router.post("/access-tokens/{id}/undo")
def undo(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Give the token back what its latest narrowing took away."""
    token = editable(screen, id)
    try:
        with screen.write() as change:
            narrowing.undo(
                change,
                screen.actor,
                token.id,
                fields.one("event"),
                catalogue=screen.node.catalogue,
            )
    except InvalidInput as error:
        # The token policy has changed since, or the catalogue.
        raise Conflict(
            f"It can't be undone: {' '.join(message for _, message in error.errors)}",
            reason="not_undoable",
        ) from None
    return see_other(f"/access-tokens/{token.id}?done=undone", confirmed=change.confirmed)


def _proposed(screen: Screen, token_id: str) -> tuple[AccessToken, Suggestion | None]:
    """The token, and the limits to propose; None if there are none."""
    token = editable(screen, token_id)
    with screen.read() as reading:
        found = suggestion.of_token(reading, token)
    offered = found.calls >= FEWEST_CALLS and found.narrows(token)
    return token, found if offered and not is_recording(token) else None


def _changes(
    token: AccessToken, found: Suggestion, chosen: Collection[str]
) -> Mapping[str, object]:
    return {
        limit.name: list(limit.kept)
        for limit in limits_to_narrow(token, found.limits)
        if limit.name in chosen
    }


def _summary(token: AccessToken, found: Suggestion, chosen: Collection[str]) -> Summary:
    changed: dict[str, Any] = dict(_changes(token, found, chosen))
    if not changed:
        return Summary("Choose what to narrow.")
    limits = Limits(**limits_of(token)._asdict() | changed)
    return Summary("", *limits, token.expires_at, token.unused_days)


def _page(
    screen: Screen,
    token: AccessToken,
    found: Suggestion,
    chosen: Collection[str],
    status: int = 200,
    failure: str = "",
) -> HTMLResponse:
    return screen.render(
        "access_tokens/narrow.html",
        status,
        token=token,
        sentence=used_sentence(token, found),
        limits=limits_to_narrow(token, found.limits),
        shown=etag_of(found.limits),
        etag=records.etag(token),
        chosen=chosen,
        failure=failure,
        summary=_summary(token, found, chosen),
    )
