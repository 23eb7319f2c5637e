"""/company/security: the networks from which the company's account can be reached."""

from shlex import quote

from starlette.responses import HTMLResponse, Response

from gatepass.core.display_text import bidi_controls, has_bidi_control
from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.registry.network_policy import allowlist, allowlist_entries, allowlist_impact
from gatepass.registry.network_policy.allowlist_entries import Allowlist, Entry
from gatepass.registry.tokens.calls.impact import Impact
from gatepass.web.pages.company.allowlist_form import MOST_ROWS, AllowlistForm
from gatepass.web.pages.company.allowlist_impact import Reach, reach_of
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, not_saved
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form

PATH = navigation.SECURITY.path
_ACTIONS = ("allowlist.changed", "allowlist.lifted", "allowlist.trial_started")
_MOST_DIFFERENCES = 20
_DONE = {
    "saved": "Saved. The list is in effect.",
    "lifted": "List removed. The account can be reached from any address.",
}

router = page_router()


@router.get(PATH)
def show(screen: CurrentScreen, done: str = "", add: str = "") -> Response:
    """The list, as a form for visitors who may change it, with a network that a link adds."""
    with screen.read() as reading:
        current = allowlist.show(reading, screen.actor, screen.company)
    form = AllowlistForm.of(current.entries, allowlist_entries.etag(current))
    if screen.visitor.may_change("company:modify") and form.suggest(add):
        current, reach = _look(screen, form)
        return _page(screen, current, form, reach, suggested=True)
    reach = Reach(networks=tuple(entry.network for entry in current.entries))
    return _page(screen, current, form, reach, FormState(flash=_DONE.get(done, "")))


@router.post(PATH)
@resumable
def send(screen: CurrentScreen, fields: Form) -> Response:
    """Save the list, or apply another button and show the form again."""
    screen.require("company:modify")
    form = AllowlistForm.read(fields)
    pressed = fields.one("do")
    if pressed in ("save", "trial"):
        return _save(screen, form, confirm=pressed == "trial")
    if pressed == "impact":
        return screen.render("impact.html", impact=_impact(screen, form), of_token=False)
    form.press(pressed, screen.visitor.own_network)
    shown = form.errors
    current, reach = _look(screen, form)
    if pressed == "reach":
        return screen.render("company/reach.html", form=form, current=current, reach=reach)
    if pressed != "check":
        # The visitor may still be typing.
        form.errors = shown
    impact = _impact(screen, form) if pressed == "check" else None
    return _page(screen, current, form, reach, impact=impact)


def _save(screen: Screen, form: AllowlistForm, *, confirm: bool) -> Response:
    try:
        with screen.write() as change:
            saved = allowlist.replace(
                change,
                screen.actor,
                screen.company,
                form.entries(),
                confirm=confirm,
                if_match=[form.etag],
            )
    except InvalidInput as error:
        form.accept_errors(error.errors)
        return _again(screen, form, 422)
    except Conflict as error:
        if error.reason == "would_lock_you_out":
            return _again(screen, form, 409)
        return _changed_meanwhile(screen, form)
    except Unavailable as error:
        form.errors[""] = not_saved(error)
        return _again(screen, form, 503)
    if saved.trial_until is not None:
        # No other page opens from the visitor's address now, so there is nowhere to redirect to.
        return screen.render(
            "company/on_trial.html",
            unconfirmed=not change.confirmed,
            saved=saved,
            address=screen.node.settings.public_url + PATH,
        )
    done = "saved" if saved.entries else "lifted"
    return see_other(f"{PATH}?done={done}", confirmed=change.confirmed)


def _again(screen: Screen, form: AllowlistForm, status: int) -> HTMLResponse:
    shown = form.errors
    current, reach = _look(screen, form)
    form.errors = shown
    return _page(screen, current, form, reach, FormState(status))


def _changed_meanwhile(screen: Screen, form: AllowlistForm) -> HTMLResponse:
    """The page with both versions. The form keeps its input, and saving it again replaces the other
    version."""
    current, reach = _look(screen, form)
    form.etag = allowlist_entries.etag(current)
    differences = _differences(current, form.entries())
    state = screen.changed_meanwhile(screen.company, differences, _ACTIONS)
    return _page(screen, current, form, reach, state)


def _look(screen: Screen, form: AllowlistForm) -> tuple[Allowlist, Reach]:
    """The list in effect, and the effect of saving *form*; ``form.errors`` has what is invalid."""
    with screen.read() as reading:
        current = allowlist.show(reading, screen.actor, screen.company)
        try:
            typed = form.entries()
            return current, reach_of(reading, screen.actor, screen.company, current, typed)
        except InvalidInput as error:
            form.accept_errors(error.errors)
            return current, Reach(form.errors.get("") or form.unread())


def _impact(screen: Screen, form: AllowlistForm) -> Impact | None:
    """The calls that the list typed would newly refuse; None if it can't be read, or allows all."""
    try:
        typed = form.entries()
        if not typed:
            return None
        with screen.read() as reading:
            return allowlist_impact.calls(reading, screen.actor, screen.company, typed)
    except InvalidInput:
        return None


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
    """*name* as a shell word, safe to paste whatever characters it has."""
    if not has_bidi_control(name):
        return quote(name)
    # Bidi controls, which would reorder the line, become escapes, which shells read in $'…'.
    escaped = name.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + bidi_controls.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped) + "'"


def _page(
    screen: Screen,
    current: Allowlist,
    form: AllowlistForm,
    reach: Reach,
    state: FormState = OPENED,
    *,
    suggested: bool = False,
    impact: Impact | None = None,
) -> HTMLResponse:
    return screen.render_form(
        "company/security.html",
        state,
        suggested=suggested,
        current=current,
        form=form,
        reach=reach,
        impact=impact,
        may_modify=screen.visitor.may_change("company:modify"),
        most_rows=MOST_ROWS,
        way_back=f"gatepass allowlist clear --company {_quoted(screen.visitor.company_name)}",
    )
