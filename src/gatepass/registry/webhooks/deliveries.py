"""Deliveries of a webhook, as its company sees them: list, test, send again."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, select

from gatepass.core.credentials import new_id
from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.audit.webhook_events import delivery, payload_of
from gatepass.registry.directory import companies
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.tables import webhook_deliveries
from gatepass.registry.webhooks import hooks, queue
from gatepass.registry.webhooks.hooks import PERMISSION, Webhook

TEST_EVENT = "webhook.test"

_its = webhook_deliveries.c


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a webhook. Times are Unix ms.

    Attributes:
        event_id: the ``webhook-id`` of its requests.
        subject: the id of the record that the event is about.
        attempts: of all time.
        failures: since it was written, or sent again or resumed by hand.
        last_at, took_ms: of the last attempt: its end and its duration; None before the first.
        response_status: of its answer; None without one.
        trouble: why it failed, where the status doesn't say (``queue.Outcome``).
        due_at: the next attempt; None once it was delivered, and while the webhook is paused.
    """

    id: str
    event_id: str
    event: str
    subject: str
    created_at: int
    attempts: int
    failures: int
    last_at: int | None
    took_ms: int | None
    response_status: int | None
    trouble: str | None
    due_at: int | None
    delivered_at: int | None

    @property
    def status(self) -> Literal["waiting", "failing", "delivered"]:
        """``failing`` is waiting after a failed attempt."""
        if self.delivered_at is not None:
            return "delivered"
        return "failing" if self.failures else "waiting"


def list_(
    reading: Reading,
    actor: Actor,
    webhook: str,
    *,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Delivery]:
    """A page of a webhook's deliveries of the last 30 days, newest first.

    Raises:
        Forbidden: without ``company:webhooks``.
        NotFound: there is no such webhook, or it is another company's.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    found = hooks.get(reading, actor, webhook)
    query = select(webhook_deliveries).where(_its.webhook_id == found.id)
    page, more = newest_first(
        reading, query, webhook_deliveries, limit=limit, cursor=cursor, by="number"
    )
    return Page([_delivery(row, found) for row in page], more)


def get(reading: Reading, webhook: Webhook, delivery_id: str) -> Delivery:
    """One delivery of a webhook. Performs no permission check.

    Raises:
        NotFound: there is none.
    """
    query = select(webhook_deliveries).where(_its.id == delivery_id, _its.webhook_id == webhook.id)
    return _delivery(rows.find(reading, query, delivery_id, "delivery"), webhook)


def test(change: Change, actor: Actor, webhook: str) -> Delivery:
    """Send an event that tells of nothing. One that still waits is sent again now.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:webhooks``.
        NotFound: there is none, or it is another company's.
        Conflict: ``webhook_paused``.
    """
    actor = acting(change, actor, PERMISSION, person=True)
    found = _active(change, actor, webhook)
    waiting = change.session.scalar(
        select(_its.id).where(
            _its.webhook_id == found.id, _its.subject_id == found.id, _its.delivered_at.is_(None)
        )
    )
    if waiting is not None:
        return _again(change, found, waiting)
    event_id = new_id("evt")
    data = {
        "id": event_id,
        "action": TEST_EVENT,
        "subject": {"kind": "webhook", "id": found.id, "name": found.host},
        "actor": {
            "kind": actor.kind,
            "id": actor.user,
            "name": actor.name,
            "credential": actor.credential,
            "address": actor.address,
        },
        "company": {"id": found.company, "name": companies.get(change, found.company).name},
        "changed": [],
    }
    payload = payload_of(TEST_EVENT, change.now, data)
    row = delivery(change, found.id, TEST_EVENT, event_id, found.id, payload)
    change.session.execute(insert(webhook_deliveries), row)
    return get(change, found, row["id"])


def resend(change: Change, actor: Actor, webhook: str, delivery_id: str) -> Delivery:
    """Send an event now, whether it waits or was delivered, with the same ``webhook-id``.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:webhooks``.
        NotFound: there is none, or it is another company's.
        Conflict: ``webhook_paused``.
    """
    actor = acting(change, actor, PERMISSION, person=True)
    found = _active(change, actor, webhook)
    return _again(change, found, get(change, found, delivery_id).id)


def _active(change: Change, actor: Actor, webhook: str) -> Webhook:
    found = hooks.get(change, actor, webhook)
    queue.lock(change, found.id)
    found = hooks.get(change, actor, webhook)
    if found.paused:
        raise Conflict("This webhook is paused: resume it first.", reason="webhook_paused")
    return found


def _again(change: Change, webhook: Webhook, delivery_id: str) -> Delivery:
    queue.send_again(change, delivery_id)
    return get(change, webhook, delivery_id)


def _delivery(row: Row[Any], webhook: Webhook) -> Delivery:
    sent_later = row.delivered_at is None and not webhook.paused
    return rows.record_of(
        Delivery,
        row,
        subject=row.subject_id,
        response_status=row.status,
        due_at=row.due_at if sent_later else None,
    )
