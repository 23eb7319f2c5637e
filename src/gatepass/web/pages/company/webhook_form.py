"""/company/webhooks/new and …/{id}/edit: a webhook's URL and events."""

from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Self

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.registry.audit.webhook_events import EVENTS
from gatepass.registry.storage.database import Change
from gatepass.registry.webhooks import hooks
from gatepass.registry.webhooks.hooks import PERMISSION, Webhook
from gatepass.web.pages.company.webhooks import PATH, networks
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, refused
from gatepass.web.pages.layout.one_time_form import (
    INCOMPLETE,
    AlreadyCreated,
    create_once,
    is_form_id,
    new_form_id,
)
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import RESUME, Fields, Form
from gatepass.web.pages.text.wording import listed

router = page_router()

_TITLES = {
    "access_token": "Access tokens",
    "access_request": "Access requests",
    "allowlist": "The allowlist",
    "authentication": "Sign-ins",
    "invitation": "Invitations",
    "user": "Users",
}


@dataclass(frozen=True)
class EventGroup:
    """The events of one kind of record.

    Attributes:
        wildcard: for all of them, later ones too.
        events: pairs of an event's title and its name.
    """

    title: str
    wildcard: str
    events: tuple[tuple[str, str], ...]


def _group(noun: str, events: list[str]) -> EventGroup:
    title = _TITLES.get(noun, noun.replace("_", " ").capitalize())
    return EventGroup(title, f"{noun}.*", tuple((_title(event), event) for event in events))


def _title(event: str) -> str:
    words = event.partition(".")[2].replace("email", "e-mail").replace("_", " ")
    return words[0].upper() + words[1:]


GROUPS = tuple(
    _group(noun, list(events))
    for noun, events in groupby(
        sorted(EVENTS, key=lambda event: event.partition(".")[0]),
        lambda event: event.partition(".")[0],
    )
)


@dataclass(frozen=True)
class Typed:
    """The input of the form."""

    url: str = ""
    events: tuple[str, ...] = ()
    etag: str = ""
    form_id: str = field(default_factory=new_form_id)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The submitted form."""
        return cls(
            fields.one("url").strip(),
            tuple(fields.all("events")),
            fields.one("etag"),
            fields.one("form_id"),
        )


@router.get(f"{PATH}/new")
def show_new(screen: CurrentScreen) -> Response:
    """The empty form."""
    screen.require(PERMISSION)
    return _form(screen, None, Typed(events=("access_token.*",)))


@router.post(f"{PATH}/new")
@resumable
def create(screen: CurrentScreen, fields: Form) -> Response:
    """Create the webhook and show its secret once, or show the form again with its errors."""
    screen.require(PERMISSION)
    typed = Typed.read(fields)
    if fields.one("do") == RESUME:
        return _form(screen, None, typed)
    if not is_form_id(typed.form_id):
        typed = replace(typed, form_id=new_form_id())
        return _form(screen, None, typed, FormState(422, {"": INCOMPLETE}))

    def make(change: Change) -> tuple[Webhook, str]:
        return hooks.create(
            change,
            screen.actor,
            key=screen.node.encryption_key,
            networks=networks(screen),
            url=typed.url,
            events=typed.events,
        )

    try:
        webhook, secret, confirmed = create_once(screen, f"{PATH}/new", typed.form_id, make)
    except AlreadyCreated:
        return screen.render("company/webhook_already_created.html", 409, path=PATH)
    except (InvalidInput, Conflict, Unavailable) as error:
        return _form(screen, None, typed, _state(error, "Create"))
    return screen.render(
        "company/webhook_secret.html",
        webhook=webhook,
        secret=secret,
        created=True,
        unconfirmed=not confirmed,
    )


@router.get(f"{PATH}/{{id}}/edit")
def show_edit(screen: CurrentScreen, id: str) -> Response:
    """The form with the present settings."""
    webhook = _find(screen, id)
    return _form(screen, webhook, Typed(webhook.url, webhook.events, hooks.etag(webhook)))


@router.post(f"{PATH}/{{id}}/edit")
@resumable
def modify(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Save the changes, or show the form again with its errors."""
    webhook, typed = _find(screen, id), Typed.read(fields)
    if fields.one("do") == RESUME:
        return _form(screen, webhook, typed)
    try:
        with screen.write() as change:
            hooks.modify(
                change,
                screen.actor,
                id,
                networks=networks(screen),
                changes={"url": typed.url, "events": typed.events},
                if_match=[typed.etag],
            )
    except (InvalidInput, Unavailable) as error:
        return _form(screen, webhook, typed, _state(error, "Save"))
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        return _changed_meanwhile(screen, id, typed)
    return see_other(f"{PATH}/{id}?done=saved", confirmed=change.confirmed)


def _changed_meanwhile(screen: Screen, id: str, typed: Typed) -> HTMLResponse:
    webhook = _find(screen, id)
    differences = []
    if typed.url != webhook.url:
        differences.append(Difference("URL", webhook.url, typed.url))
    if set(typed.events) != set(webhook.events):
        saved, chosen = listed(webhook.events), listed(typed.events)
        differences.append(Difference("Events", saved, chosen))
    state = screen.changed_meanwhile(id, differences)
    return _form(screen, webhook, replace(typed, etag=hooks.etag(webhook)), state)


def _state(error: InvalidInput | Conflict | Unavailable, button: str) -> FormState:
    """Messages of list items at their field."""
    state = refused(error, button=button)
    problems: dict[str, str] = {}
    for name, message in state.problems.items():
        problems.setdefault(name.partition(".")[0], message)
    return replace(state, problems=problems)


def _find(screen: Screen, id: str) -> Webhook:
    screen.require(PERMISSION)
    with screen.read() as reading:
        return hooks.get(reading, screen.actor, id)


def _form(
    screen: Screen, webhook: Webhook | None, typed: Typed, state: FormState = OPENED
) -> HTMLResponse:
    return screen.render_form(
        "company/webhook_form.html", state, webhook=webhook, typed=typed, groups=GROUPS
    )
