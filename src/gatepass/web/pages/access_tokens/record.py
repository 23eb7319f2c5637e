"""/access-tokens/record: a token by example, which may do everything for some minutes; and
/access-tokens/{id}/keep, which narrows it to what it used."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.core.narrowing import Limits
from gatepass.core.networks import InvalidNetwork
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.tokens import access_tokens, records
from gatepass.registry.tokens.least_privilege import recording, suggestion
from gatepass.registry.tokens.least_privilege.recording import MINUTES
from gatepass.registry.tokens.least_privilege.suggestion import Suggestion
from gatepass.registry.tokens.policy import token_policies
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.edit import editable
from gatepass.web.pages.access_tokens.form import Summary
from gatepass.web.pages.access_tokens.least_privilege import (
    USED_MEANWHILE,
    limits_to_narrow,
)
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import not_saved
from gatepass.web.pages.layout.one_time_form import INCOMPLETE, is_form_id, new_form_id
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.widgets.expiry import AT, NEVER, choices, read_expiry
from gatepass.web.pages.widgets.snippets import serves, snippets
from gatepass.web.pages.widgets.typed_networks import read_network

PATH = "/access-tokens/record"
_KINDS = ("api", "ui")
#: The first of these expiries that the company's policy allows is proposed for a kept token.
_KEPT = ("90d", "30d", "7d", "1d")

router = page_router()


@dataclass
class RecordForm:
    """The form that starts a recording, as typed.

    Attributes:
        networks: separated by commas.
        form_id: one-time; a form submitted twice creates one token.
        errors: a message by field; "" for the form as a whole.
    """

    label: str = ""
    kind: str = "api"
    minutes: int = MINUTES[0]
    networks: str = ""
    form_id: str = field(default_factory=new_form_id)
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> "RecordForm":
        """The form that was sent. An unknown choice means the first one."""
        return cls(
            label=fields.one("label").strip(),
            kind=next((kind for kind in _KINDS if kind == fields.one("kind")), _KINDS[0]),
            minutes=next((each for each in MINUTES if str(each) == fields.one("minutes")), 10),
            networks=fields.one("networks").strip(),
            form_id=fields.one("form_id"),
        )

    def error(self, name: str) -> str:
        """The message for a field or for the form as a whole; "" if there is none."""
        return self.errors.get(name, "")

    def typed_networks(self) -> list[str]:
        """The networks; ``errors`` says if one is invalid."""
        found = []
        for text in re.split(r"[,;\n]", self.networks):
            try:
                found += [str(read_network(text.strip()))] if text.strip() else []
            except InvalidNetwork as error:
                self.errors["networks"] = str(error)
        return found


@dataclass(frozen=True)
class KeepForm:
    """The form that keeps what a token used, as chosen.

    Attributes:
        narrow: the limits to narrow besides its permissions.
        expire, expires_on, offset: see ``expiry.read_expiry``.
    """

    narrow: Sequence[str]
    expire: str
    expires_on: str = ""
    offset: str = ""

    @classmethod
    def read(cls, fields: Fields) -> "KeepForm":
        """The form that was sent."""
        return cls(
            fields.all("narrow"),
            fields.one("expire") or NEVER,
            fields.one("expires_on").strip(),
            fields.one("offset"),
        )


@router.get(PATH)
def show_form(screen: CurrentScreen) -> Response:
    """The form."""
    screen.require("access-tokens:create")
    form, policy = RecordForm(), _policy(screen)
    if policy.networks_required:
        form.networks = screen.visitor.own_network or ""
    return _page(screen, form, policy)


@router.post(PATH)
@resumable
def send_form(request: Request, screen: CurrentScreen, fields: Form) -> Response:
    """Create the token, and show its text once."""
    screen.require("access-tokens:create")
    form, policy, node = RecordForm.read(fields), _policy(screen), screen.node
    if fields.one("do") != "record":
        return _page(screen, form, policy)
    if not is_form_id(form.form_id):
        form.form_id, form.errors[""] = new_form_id(), INCOMPLETE
        return _page(screen, form, policy, 422)
    networks = form.typed_networks()
    if form.errors:
        return _page(screen, form, policy, 422)
    try:
        with screen.write() as change:
            token, text = access_tokens.create(
                change,
                screen.actor,
                catalogue=node.catalogue,
                label=form.label,
                kind=form.kind,
                permissions=_permissions(screen, policy),
                expires_at=recording.expiry(change.now, form.minutes),
                networks=networks,
                form_id=form.form_id,
            )
    except Conflict as error:
        if error.reason != "form_already_used":
            raise
        return see_other(f"/access-tokens/{error.current}")
    except InvalidInput as error:
        for name, message in error.errors:
            root = name.partition(".")[0]
            form.errors.setdefault(root if root in ("label", "networks") else "", message)
        return _page(screen, form, policy, 422)
    except Unavailable as error:
        form.errors[""] = not_saved(error, button="Record calls")
        return _page(screen, form, policy, 503)
    return screen.render(
        "access_tokens/created.html",
        unconfirmed=not change.confirmed,
        token=token,
        text=text,
        snippets=snippets(
            token, text, catalogue=node.catalogue, settings=node.settings, serves=serves(request)
        ),
    )


@router.get("/access-tokens/{id}/keep")
def show_keep(screen: CurrentScreen, id: str) -> Response:
    """What the token used, and what to keep of it."""
    token, found = _recorded(screen, id)
    if found is None:
        return see_other(f"/access-tokens/{token.id}")
    policy = _policy(screen)
    offered = [
        value for value, _ in choices(screen.now(), policy.latest_expiry(token.created_at), "")
    ]
    expire = next((value for value in _KEPT if value in offered), AT)
    return _keep_page(screen, token, found, policy, KeepForm(("networks", "domains"), expire))


@router.post("/access-tokens/{id}/keep")
@resumable
def keep(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Narrow the token to what it used, and give it the chosen expiry."""
    token, found = _recorded(screen, id)
    if found is None:
        return see_other(f"/access-tokens/{token.id}")
    form, policy = KeepForm.read(fields), _policy(screen)
    pressed = fields.one("do")
    if pressed == "sentence":
        return screen.render("summary.html", summary=_summary(screen, token, found, form))
    if pressed != "keep":
        return _keep_page(screen, token, found, policy, form)
    if fields.one("limits") != etag_of(found.limits):
        return _keep_page(screen, token, found, policy, form, 409, {"": USED_MEANWHILE})
    try:
        expires_at = read_expiry(form.expire, form.expires_on, form.offset, screen.now())
    except ValueError as error:
        return _keep_page(screen, token, found, policy, form, 422, {"expires_at": str(error)})
    limits = _limits(token, found, form)._asdict()
    changes = {name: list(entries) for name, entries in limits.items()}
    try:
        with screen.write() as change:
            access_tokens.modify(
                change,
                screen.actor,
                token.id,
                catalogue=screen.node.catalogue,
                changes={**changes, "expires_at": expires_at},
                if_match=[fields.one("etag")],
            )
    except InvalidInput as error:
        problems = {name if name == "expires_at" else "": message for name, message in error.errors}
        return _keep_page(screen, token, found, policy, form, 422, problems)
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        return _keep_page(screen, token, found, policy, form, 409, {"": USED_MEANWHILE})
    except Unavailable as error:
        failure = not_saved(error, button="Keep what it used")
        return _keep_page(screen, token, found, policy, form, 503, {"": failure})
    return see_other(f"/access-tokens/{token.id}?done=kept", confirmed=change.confirmed)


def _policy(screen: Screen) -> TokenPolicy:
    with screen.read() as reading:
        return token_policies.of(reading, screen.company)


def _permissions(screen: Screen, policy: TokenPolicy) -> tuple[str, ...]:
    return recording.permissions(screen.node.catalogue, screen.actor, policy.approval_required)


def _page(screen: Screen, form: RecordForm, policy: TokenPolicy, status: int = 200) -> HTMLResponse:
    given = _permissions(screen, policy)
    return screen.render(
        "access_tokens/record.html",
        status,
        form=form,
        minutes=MINUTES,
        permissions=given,
        without=recording.permissions(screen.node.catalogue, screen.actor, ()) != given,
        networks_required=policy.networks_required,
    )


def _recorded(screen: Screen, token_id: str) -> tuple[AccessToken, Suggestion | None]:
    """The token, and what it used; None if it isn't a recording, or nothing can be kept of it."""
    token = editable(screen, token_id)
    with screen.read() as reading:
        found = suggestion.of_token(reading, token)
    kept = recording.is_recording(token) and token.status == "active"
    return token, found if kept and found.calls and found.told_apart else None


def _limits(token: AccessToken, found: Suggestion, form: KeepForm) -> Limits:
    """The limits that the token gets."""
    names = ("networks", "domains")
    unchanged = {name: getattr(token, name) for name in names if name not in form.narrow}
    return found.limits._replace(**unchanged)


def _summary(screen: Screen, token: AccessToken, found: Suggestion, form: KeepForm) -> Summary:
    try:
        expires_at = read_expiry(form.expire, form.expires_on, form.offset, screen.now())
    except ValueError as error:
        return Summary(str(error))
    return Summary("", *_limits(token, found, form), expires_at, token.unused_days)


def _keep_page(
    screen: Screen,
    token: AccessToken,
    found: Suggestion,
    policy: TokenPolicy,
    form: KeepForm,
    status: int = 200,
    problems: Mapping[str, str] | None = None,
) -> HTMLResponse:
    latest = policy.latest_expiry(token.created_at)
    narrower = limits_to_narrow(token, found.limits)
    chosen = [limit for limit in narrower if limit.name != "permissions"]
    return screen.render(
        "access_tokens/keep.html",
        status,
        token=token,
        form=form,
        found=found,
        limits=chosen,
        presets=choices(screen.now(), latest, form.expire),
        latest_expiry=latest,
        shown=etag_of(found.limits),
        etag=records.etag(token),
        problems={"": "", "expires_at": "", **(problems or {})},
        summary=_summary(screen, token, found, form),
    )
