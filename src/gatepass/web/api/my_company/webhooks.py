"""``/v1/webhooks``: who is told of the company's events, and what was sent."""

from typing import Annotated, Any, ClassVar, Literal

from fastapi import Response
from pydantic import Field

from gatepass.core.errors import NotConfirmed
from gatepass.core.networks import Networks
from gatepass.node.node import Node
from gatepass.registry.audit.webhook_events import EVENTS, GROUPS
from gatepass.registry.storage.database import Change
from gatepass.registry.webhooks import deliveries, hooks
from gatepass.registry.webhooks.urls import LONGEST_URL
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import IfMatch, Paging, RecordId
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import (
    Listed,
    Record,
    Time,
    Versions,
    current_as,
    person_id,
    person_name,
    sent,
)
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = resource("Webhooks")

_URL: dict[str, Any] = {"format": "uri", "minLength": 1, "maxLength": LONGEST_URL}
_NAMES = (*GROUPS, *EVENTS)
_EVENTS: dict[str, Any] = {
    "minItems": 1,
    "maxItems": len(_NAMES),
    "items": {"type": "string", "enum": list(_NAMES)},
}
_URL_EXAMPLE = "https://hooks.example.com/gatepass"


class NewWebhook(Fields):
    """A new webhook."""

    url: str = Field(
        json_schema_extra=_URL,
        description="https, on port 443 or one from 1024, at a globally reachable address.",
        examples=[_URL_EXAMPLE],
    )
    events: list[str] = Field(
        json_schema_extra=_EVENTS,
        description="Names of events; `user.*` is all of a group, later ones too.",
        examples=[["access_token.*", "user.deactivated"]],
    )


class WebhookChanges(Fields):
    """Changes of a webhook; absent fields stay."""

    url: str = Field(default="", json_schema_extra=_URL, examples=[_URL_EXAMPLE])
    events: list[str] = Field(default=[], json_schema_extra=_EVENTS, examples=[["access_token.*"]])
    paused: bool = Field(
        default=False,
        description="Events wait while it is paused, and are sent in order when it is resumed.",
    )


class Webhook(Record):
    """A webhook; never its secret."""

    etag: ClassVar[Versions] = hooks.etag

    id: str = Field(examples=["whk_4fT0aB3cD5eF7gH9"])
    url: str = Field(examples=[_URL_EXAMPLE])
    events: tuple[str, ...] = Field(examples=[["access_token.*", "user.deactivated"]])
    status: Literal["active", "paused"]
    paused: bool
    paused_at: Time | None = Field(examples=[None])
    paused_because: Literal["requested", "failing", "gone", "restored"] | None = Field(
        examples=[None],
        description="`requested` by a user; `failing`: an event failed for three days; `gone`: the "
        "receiver answered 410; `restored`: from a backup.",
    )
    former_secret_until: Time | None = Field(
        validation_alias="former_until",
        examples=[None],
        description="Until when the replaced secret signs beside its successor.",
    )
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")


class WebhookWithSecret(Webhook):
    """A webhook with its new secret, which no other answer has."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class Delivery(Record):
    """An event on its way to a webhook."""

    id: str = Field(examples=["dlv_4fT0aB3cD5eF7gH9"])
    event: str = Field(examples=["access_token.created"])
    event_id: str = Field(
        examples=["evt_4fT0aB3cD5eF7gH9"],
        description="The `webhook-id` of its requests, and the id of the audit event.",
    )
    subject: str = Field(
        examples=["gpat_4fT0aB3cD5eF7gH9"], description="The record that the event is about."
    )
    status: Literal["waiting", "failing", "delivered"] = Field(
        description="`failing`: its last attempt failed; it is repeated."
    )
    response_status: int | None = Field(
        examples=[204], description="Of the last attempt's answer; null without one."
    )
    error: (
        Literal[
            "unresolved",
            "address_not_allowed",
            "connection_failed",
            "untrusted_certificate",
            "timed_out",
            "invalid_answer",
            "answer_too_large",
        ]
        | None
    ) = Field(
        validation_alias="trouble",
        examples=[None],
        description="Why the last attempt failed, where the status doesn't say.",
    )
    attempts: int = Field(examples=[1])
    attempted_at: Time | None = Field(validation_alias="last_at")
    duration_ms: int | None = Field(
        validation_alias="took_ms", examples=[87], description="Of the last attempt."
    )
    created_at: Time
    delivered_at: Time | None
    next_attempt_at: Time | None = Field(
        validation_alias="due_at",
        examples=[None],
        description="Null once it is delivered, and while the webhook is paused.",
    )


@router.get("/webhooks", summary="The company's webhooks")
def search(node: CurrentNode, actor: Authenticated, paging: Paging) -> Listed[Webhook]:
    """Needs `company:webhooks`."""
    with node.database.read(node.clock.now()) as reading:
        page = hooks.list_(reading, actor, **paging)
    return Listed[Webhook].of(page)


@router.post("/webhooks", status_code=201, summary="Create a webhook", responses=refusing(409))
def create(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    new: Annotated[NewWebhook, body(NewWebhook)],
) -> WebhookWithSecret:
    """Needs `company:webhooks`. The answer is the only one with the secret. A company has up to 20
    (else 409 `too_many_webhooks`)."""

    def operation(change: Change) -> WebhookWithSecret:
        made, secret = hooks.create(
            change,
            actor,
            key=node.encryption_key,
            networks=_networks(node),
            url=new.url,
            events=new.events,
        )
        response.headers["Location"] = f"/v1/webhooks/{made.id}"
        return _with_secret(made, secret, response)

    return changing(operation)


@router.get("/webhooks/{id}", summary="One webhook")
def get(response: Response, node: CurrentNode, actor: Authenticated, id: RecordId) -> Webhook:
    """Needs `company:webhooks`."""
    with node.database.read(node.clock.now()) as reading:
        return sent(Webhook, hooks.get(reading, actor, id), response)


@router.patch("/webhooks/{id}", summary="Change, pause or resume a webhook")
def modify(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: RecordId,
    changes: Annotated[WebhookChanges, body(WebhookChanges)],
    if_match: IfMatch,
) -> Webhook:
    """Needs `company:webhooks`. With `If-Match`, only that version is changed (else 409)."""
    with current_as(Webhook), node.database.write(node.clock.now()) as change:
        webhook = hooks.modify(
            change,
            actor,
            id,
            networks=_networks(node),
            changes=changes.named(),
            if_match=if_match,
        )
    node.webhooks.wake()
    return settled(change.confirmed, sent(Webhook, webhook, response))


@router.delete(
    "/webhooks/{id}", status_code=204, response_class=Response, summary="Delete a webhook"
)
def delete(node: CurrentNode, actor: SignedIn, id: RecordId, if_match: IfMatch) -> None:
    """Needs `company:webhooks`. What waits isn't sent any more. With `If-Match`, only that version
    is deleted (else 409)."""
    with current_as(Webhook), node.database.write(node.clock.now()) as change:
        hooks.delete(change, actor, id, if_match=if_match)
    if not change.confirmed:
        # Without a current record, because the webhook is deleted.
        raise NotConfirmed


@router.post("/webhooks/{id}/rotate-secret", summary="Replace a webhook's secret")
def rotate_secret(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    _: NoBody,
) -> WebhookWithSecret:
    """Needs `company:webhooks`. The answer is the only one with the new secret. For 24 hours the
    replaced one signs, too; one that was replaced before no longer does."""

    def operation(change: Change) -> WebhookWithSecret:
        webhook, secret = hooks.rotate_secret(change, actor, id, key=node.encryption_key)
        return _with_secret(webhook, secret, response)

    return changing(operation)


@router.post("/webhooks/{id}/test", summary="Send a test event")
def test(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    _: NoBody,
) -> Delivery:
    """Needs `company:webhooks`. Sends the event `webhook.test`; its delivery says what became of it
    a moment later. A paused webhook is 409 `webhook_paused`."""
    made = changing(lambda change: sent(Delivery, deliveries.test(change, actor, id), response))
    node.webhooks.wake()
    return made


@router.get("/webhooks/{id}/deliveries", summary="The deliveries of a webhook")
def search_deliveries(
    node: CurrentNode, actor: Authenticated, paging: Paging, id: RecordId
) -> Listed[Delivery]:
    """Needs `company:webhooks`. Those of the last 30 days, newest first."""
    with node.database.read(node.clock.now()) as reading:
        page = deliveries.list_(reading, actor, id, **paging)
    return Listed[Delivery].of(page)


@router.post("/webhooks/{id}/deliveries/{delivery}/resend", summary="Send an event again")
def resend(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    delivery: RecordId,
    _: NoBody,
) -> Delivery:
    """Needs `company:webhooks`. Sends it now, whether it waits or was delivered, with the same
    `webhook-id`. A paused webhook is 409 `webhook_paused`."""
    made = changing(
        lambda change: sent(Delivery, deliveries.resend(change, actor, id, delivery), response)
    )
    node.webhooks.wake()
    return made


def _networks(node: Node) -> Networks:
    return Networks.of(node.settings.webhook_networks)


def _with_secret(webhook: hooks.Webhook, secret: str, response: Response) -> WebhookWithSecret:
    answer = sent(Webhook, webhook, response)
    return WebhookWithSecret.model_construct(**dict(answer), secret=secret)
