"""/company/security: from which networks the company's account is reached at all."""

from shlex import quote

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.display_text import bidi_controls, has_bidi_control
from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.node.node import Node
from gatepass.registry.network_policy import allowlist, allowlist_entries
from gatepass.registry.network_policy.allowlist_entries import Allowlist, Entry
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.company.allowlist_form import MOST_ROWS, AllowlistForm
from gatepass.web.pages.company.allowlist_impact import Reach, reach_of
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.differences import Difference, Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Form

PATH = navigation.SECURITY.path
_ACTIONS = ("allowlist.changed", "allowlist.lifted", "allowlist.trial_started")
_MOST_DIFFERENCES = 20
_DONE = {
    "saved": "Saved. The list is in effect.",
    "lifted": "List removed. The account can be reached from any address.",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(PATH)
def show(visitor: Visiting, node: CurrentNode, done: str = "") -> Response:
    """The list; a form for those who may change it."""
    with node.database.read(node.clock.now()) as reading:
        current = allowlist.show(reading, visitor.actor, _company(visitor))
    form = AllowlistForm.of(current.entries, allowlist_entries.etag(current))
    reach = Reach(networks=tuple(entry.network for entry in current.entries))
    return _page(node, visitor, current, form, reach, flash=_DONE.get(done, ""))


@router.post(PATH)
@resumable
def send(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Save the list; or do what another button says, and show the form again."""
    visitor.actor.require_signed_in()
    visitor.actor.require("company:modify")
    form = AllowlistForm.read(fields)
    pressed = fields.one("do")
    if pressed in ("save", "trial"):
        return _save(node, visitor, form, confirm=pressed == "trial")
    form.press(pressed, visitor.own_network)
    shown = form.errors
    current, reach = _look(node, visitor, form)
    if pressed == "reach":
        return render(
            "company/reach.html",
            visitor=visitor,
            now=node.clock.now(),
            form=form,
            current=current,
            reach=reach,
        )
    if pressed != "check":
        # Nobody has said yet that what is typed is complete.
        form.errors = shown
    return _page(node, visitor, current, form, reach)


def _save(node: Node, visitor: Visitor, form: AllowlistForm, *, confirm: bool) -> Response:
    try:
        with node.database.write(node.clock.now()) as change:
            saved = allowlist.replace(
                change,
                visitor.actor,
                _company(visitor),
                form.entries(),
                confirm=confirm,
                if_match=[form.etag],
            )
    except InvalidInput as error:
        form.accept_errors(error.errors)
        return _again(node, visitor, form, 422)
    except Conflict as error:
        if error.reason == "would_lock_you_out":
            return _again(node, visitor, form, 409)
        return _changed_meanwhile(node, visitor, form)
    except Unavailable as error:
        form.errors[""] = not_saved(error)
        return _again(node, visitor, form, 503)
    if saved.trial_until is not None:
        # From where they are, this is the last page for a while: there is nowhere to redirect to.
        return render(
            "company/on_trial.html",
            visitor=visitor,
            now=node.clock.now(),
            unconfirmed=not change.confirmed,
            saved=saved,
            address=node.settings.public_url + PATH,
        )
    done = "saved" if saved.entries else "lifted"
    return see_other(f"{PATH}?done={done}", confirmed=change.confirmed)


def _again(node: Node, visitor: Visitor, form: AllowlistForm, status: int) -> HTMLResponse:
    shown = form.errors
    current, reach = _look(node, visitor, form)
    form.errors = shown
    return _page(node, visitor, current, form, reach, status)


def _changed_meanwhile(node: Node, visitor: Visitor, form: AllowlistForm) -> HTMLResponse:
    """Both versions; what was typed stays in the form, and replaces the new one if sent again."""
    current, reach = _look(node, visitor, form)
    form.etag = allowlist_entries.etag(current)
    with node.database.read(node.clock.now()) as reading:
        first = meanwhile(
            reading, visitor, _company(visitor), _differences(current, form.entries()), _ACTIONS
        )
    return _page(node, visitor, current, form, reach, 409, first=first)


def _look(node: Node, visitor: Visitor, form: AllowlistForm) -> tuple[Allowlist, Reach]:
    """What counts, and what the form would make of it; ``form.errors`` has what can't be read."""
    with node.database.read(node.clock.now()) as reading:
        current = allowlist.show(reading, visitor.actor, _company(visitor))
        try:
            typed = form.entries()
            return current, reach_of(reading, visitor.actor, _company(visitor), current, typed)
        except InvalidInput as error:
            form.accept_errors(error.errors)
            return current, Reach(form.errors.get("") or form.unread())


def _differences(current: Allowlist, typed: list[Entry]) -> list[Difference]:
    saved, yours = set(current.entries), set(typed)
    saved_only = [entry for entry in current.entries if entry not in yours]
    typed_only = [entry for entry in typed if entry not in saved]
    found = [Difference("Only in this version", _listed(saved_only), _listed(typed_only))]
    if current.trial_until is not None:
        found.append(Difference("On trial", "Yes", "No"))
    return found


def _listed(entries: list[Entry]) -> str:
    shown = [f"{entry.network} {entry.note}".strip() for entry in entries[:_MOST_DIFFERENCES]]
    if len(entries) > _MOST_DIFFERENCES:
        shown.append(f"{len(entries) - _MOST_DIFFERENCES:,} more")
    return ", ".join(shown) or "—"


def _quoted(name: str) -> str:
    """*name* for a shell that people paste it into, whatever the company is called."""
    if not has_bidi_control(name):
        return quote(name)
    # What would reorder the line is written as an escape, which today's shells read in $'…'.
    escaped = name.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + bidi_controls.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped) + "'"


def _company(visitor: Visitor) -> str:
    return visitor.actor.company or ""


def _page(
    node: Node,
    visitor: Visitor,
    current: Allowlist,
    form: AllowlistForm,
    reach: Reach,
    status: int = 200,
    *,
    flash: str = "",
    first: Meanwhile | None = None,
) -> HTMLResponse:
    return render(
        "company/security.html",
        status,
        visitor=visitor,
        now=node.clock.now(),
        current=current,
        form=form,
        reach=reach,
        flash=flash,
        meanwhile=first,
        may_modify=visitor.actor.kind != "token" and visitor.actor.may("company:modify"),
        most_rows=MOST_ROWS,
        way_back=f"gatepass allowlist clear --company {_quoted(visitor.company_name)}",
    )
