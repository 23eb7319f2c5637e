"""/company/webhooks: the webhooks, one with its deliveries, and the actions on it."""

from typing import Any

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict
from gatepass.core.networks import Networks
from gatepass.registry.webhooks import deliveries, hooks
from gatepass.registry.webhooks.hooks import PERMISSION, Webhook
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.navigation import WEBHOOKS
from gatepass.web.pages.layout.one_time_form import (
    AlreadyCreated,
    create_once,
    is_form_id,
    new_form_id,
)
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form

router = page_router()

PATH = WEBHOOKS.path
_DONE = {
    "saved": "Saved. The changes apply from the next event.",
    "tested": "A test event is on its way. Reload the page to see what became of it.",
    "resent": "The event is on its way again. Reload the page to see what became of it.",
    "paused": "Paused. Events wait until you resume it.",
    "resumed": "Resumed. What waited is on its way.",
    "deleted": "Deleted. Nothing is sent there any more.",
}
#: Why an attempt failed, in a sentence.
_TROUBLES = {
    "unresolved": "The host name has no address.",
    "address_not_allowed": "The host's address isn't globally reachable.",
    "connection_failed": "The connection failed.",
    "untrusted_certificate": "The certificate isn't valid for this host.",
    "timed_out": "No complete answer came within 10 seconds.",
    "invalid_answer": "The answer wasn't HTTP.",
    "answer_too_large": "The answer was larger than 64 KiB.",
}


@router.get(PATH)
def show_list(screen: CurrentScreen, done: str = "") -> Response:
    """The webhooks, newest first; a company has few."""
    screen.require(PERMISSION)
    with screen.read() as reading:
        found = hooks.list_(reading, screen.actor).items
    return screen.render(
        "company/webhooks.html",
        webhooks=found,
        most=hooks.MOST_WEBHOOKS,
        flash=_DONE.get(done, ""),
    )


@router.get(f"{PATH}/{{id}}")
def show(screen: CurrentScreen, id: str, cursor: str = "", done: str = "") -> Response:
    """One webhook and its deliveries, newest first."""
    return _page(screen, id, cursor=cursor, flash=_DONE.get(done, ""))


@router.post(f"{PATH}/{{id}}/test")
def test(screen: CurrentScreen, id: str) -> Response:
    """Send a test event."""
    try:
        with screen.write() as change:
            deliveries.test(change, screen.actor, id)
    except Conflict as error:
        return _page(screen, id, refused(error))
    return _done(screen, id, "tested", confirmed=change.confirmed)


@router.post(f"{PATH}/{{id}}/resend")
def resend(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Send one event again."""
    try:
        with screen.write() as change:
            deliveries.resend(change, screen.actor, id, fields.one("delivery"))
    except Conflict as error:
        return _page(screen, id, refused(error))
    return _done(screen, id, "resent", confirmed=change.confirmed)


@router.post(f"{PATH}/{{id}}/pause")
def pause(screen: CurrentScreen, id: str) -> Response:
    """Let events wait."""
    return _set_paused(screen, id, paused=True)


@router.post(f"{PATH}/{{id}}/resume")
def resume(screen: CurrentScreen, id: str) -> Response:
    """Send events again, those that waited first."""
    return _set_paused(screen, id, paused=False)


@router.get(f"{PATH}/{{id}}/rotate-secret")
def ask_to_rotate(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    return _ask_to_rotate(screen, id)


@router.post(f"{PATH}/{{id}}/rotate-secret")
def rotate(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Replace the secret, and show the new one once."""
    screen.require(PERMISSION)
    form_id = fields.one("form_id")
    if not is_form_id(form_id):
        return _ask_to_rotate(screen, id)
    path = f"{PATH}/{id}/rotate-secret"
    try:
        webhook, secret, confirmed = create_once(
            screen,
            path,
            form_id,
            lambda change: hooks.rotate_secret(
                change, screen.actor, id, key=screen.node.encryption_key
            ),
        )
    except AlreadyCreated:
        return screen.render("company/webhook_already_created.html", 409, path=f"{PATH}/{id}")
    return screen.render(
        "company/webhook_secret.html",
        webhook=webhook,
        secret=secret,
        created=False,
        unconfirmed=not confirmed,
    )


@router.get(f"{PATH}/{{id}}/delete")
def ask_to_delete(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    return _ask_to_delete(screen, id)


@router.post(f"{PATH}/{{id}}/delete")
def delete(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Delete the webhook with its deliveries."""
    try:
        with screen.write() as change:
            hooks.delete(change, screen.actor, id, if_match=[fields.one("etag")])
    except Conflict:
        state = screen.changed_meanwhile(id, [])
        return _ask_to_delete(screen, id, state)
    return see_other(f"{PATH}?done=deleted", confirmed=change.confirmed)


def networks(screen: Screen) -> Networks:
    """Where operators' webhooks may be."""
    return Networks.of(screen.node.settings.webhook_networks)


def _set_paused(screen: Screen, id: str, *, paused: bool) -> Response:
    with screen.write() as change:
        hooks.modify(
            change, screen.actor, id, networks=networks(screen), changes={"paused": paused}
        )
    return _done(screen, id, "paused" if paused else "resumed", confirmed=change.confirmed)


def _done(screen: Screen, id: str, done: str, *, confirmed: bool) -> Response:
    screen.node.webhooks.wake()
    return see_other(f"{PATH}/{id}?done={done}", confirmed=confirmed)


def _find(screen: Screen, id: str) -> Webhook:
    screen.require(PERMISSION)
    with screen.read() as reading:
        return hooks.get(reading, screen.actor, id)


def _ask_to_rotate(screen: Screen, id: str) -> HTMLResponse:
    webhook = _find(screen, id)
    return screen.render("company/webhook_rotate.html", webhook=webhook, form_id=new_form_id())


def _ask_to_delete(screen: Screen, id: str, state: FormState = OPENED) -> HTMLResponse:
    webhook = _find(screen, id)
    return screen.render_form(
        "company/webhook_delete.html", state, webhook=webhook, etag=hooks.etag(webhook)
    )


def _page(
    screen: Screen, id: str, state: FormState = OPENED, *, cursor: str = "", flash: str = ""
) -> HTMLResponse:
    webhook = _find(screen, id)
    with screen.read() as reading:
        page = list_page(
            lambda: deliveries.list_(reading, screen.actor, id, limit=50, cursor=cursor or None),
            lambda at: address_of_page(f"{PATH}/{id}", {"cursor": at}),
            cursor,
            of="deliveries",
        )
    context: dict[str, Any] = {"webhook": webhook, "page": page, "troubles": _TROUBLES}
    status = page.status if state is OPENED else state.status
    shown = FormState(status, state.problems, flash=flash)
    return screen.render_form("company/webhook.html", shown, **context)
