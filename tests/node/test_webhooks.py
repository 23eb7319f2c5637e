"""Delivery of events to real HTTPS receivers, on both engines."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook as StandardWebhook

from gatepass.core.errors import Unavailable
from gatepass.core.networks import Networks, parse_network
from gatepass.node.webhook_requests import Requests
from gatepass.node.webhooks import MOST_OF_WEBHOOK, Webhooks
from gatepass.registry.actor import Actor
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.membership import company_offboarding
from gatepass.registry.storage.database import Write
from gatepass.registry.storage.tables import outgoing_mail, webhooks
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.webhooks import deliveries, hooks, queue
from gatepass.registry.webhooks.deliveries import Delivery
from gatepass.registry.webhooks.hooks import Webhook
from gatepass.registry.webhooks.queue import GIVE_UP_MS, LEASE_MS, PAUSES_MS
from gatepass.settings import Settings
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import SmallRegistry
from tests.support.processes.ports import free_port
from tests.support.waiting import until
from tests.support.webhooks.certificates import Certificates
from tests.support.webhooks.receiver import Received, Receiver, status

NETWORKS = Networks.of([parse_network("127.0.0.0/8")])


@pytest.fixture
def ada(registry: SmallRegistry) -> Actor:
    return registry.signed_in(registry.ada)


Make = Callable[[], Webhooks]


@pytest.fixture
def make(registry: SmallRegistry, certificates: Certificates) -> Iterator[Make]:
    """Makes senders, each as if on a node of its own."""
    made = []

    def sender() -> Webhooks:
        settings = Settings(data_dir=Path("/nowhere"), database_url="")
        requests = Requests(NETWORKS, certificates.trusting())
        made.append(
            Webhooks(
                settings,
                registry.database,
                registry.encryption_key,
                lambda: registry.now,
                requests,
            )
        )
        return made[-1]

    yield sender
    for each in made:
        each.close()


@pytest.fixture
def sender(make: Make) -> Webhooks:
    return make()


def hook(
    registry: SmallRegistry, actor: Actor, url: str, *events: str, by_operator: bool = True
) -> tuple[Webhook, str]:
    """A webhook, and its secret."""
    made = registry.do(
        hooks.create,
        actor,
        key=registry.encryption_key,
        networks=NETWORKS,
        url="https://hooks.example.com/",
        events=events or ("access_token.*",),
    )
    # The actor is no operator; a test may say that the URL is one's.
    with registry.write() as change:
        change.session.execute(
            webhooks.update()
            .where(webhooks.c.id == made[0].id)
            .values(url=url, by_operator=by_operator)
        )
    return registry.ask(hooks.get, actor, made[0].id), made[1]


def sent(registry: SmallRegistry, actor: Actor, webhook: Webhook) -> list[Delivery]:
    """Its deliveries, the oldest first."""
    found = registry.ask(deliveries.list_, actor, webhook.id).items
    return list(reversed(found))


def run(sender: Webhooks, done: Callable[[], object]) -> None:
    """Let a sender work until *done*."""

    def step() -> object:
        sender.send_due()
        return done()

    until(step)


def idle(sender: Webhooks) -> bool:
    """Whether no attempt is under way."""
    return sender._under_way.total() == 0


def token(registry: SmallRegistry, actor: Actor, label: str = "Nightly") -> AccessToken:
    registry.now += 1
    return registry.token(actor, label=label)[0]


def relabel(registry: SmallRegistry, actor: Actor, token: AccessToken, label: str) -> None:
    registry.now += 1
    registry.do(
        access_tokens.modify,
        actor,
        token.id,
        catalogue=registry.catalogue,
        changes={"label": label},
    )


def test_an_event_arrives_signed(
    registry: SmallRegistry, receiver: Receiver, sender: Webhooks
) -> None:
    registry.now = time.time_ns() // 1_000_000
    ada = registry.signed_in(registry.ada)
    webhook, secret = hook(registry, ada, receiver.url)
    made = token(registry, ada)
    run(sender, lambda: receiver.received and idle(sender))
    (request,) = receiver.received
    assert request.path == "/hook?a=b"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    event = StandardWebhook(secret).verify(request.body, request.headers)
    assert event["type"] == "access_token.created"
    assert event["data"]["subject"] == {
        "kind": "access_token",
        "id": made.id,
        "name": "Nightly",
    }
    assert event["data"]["actor"]["id"] == registry.ada.id
    assert event["data"]["company"] == {"id": registry.northwind.id, "name": "Northwind"}
    assert event["data"]["id"] == request.headers["webhook-id"]
    (delivery,) = sent(registry, ada, webhook)
    assert (delivery.status, delivery.response_status) == ("delivered", 204)
    assert delivery.event_id == request.headers["webhook-id"]


def test_a_replaced_secret_signs_for_a_day(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, sender: Webhooks
) -> None:
    webhook, first = hook(registry, ada, receiver.url)
    _, second = registry.do(hooks.rotate_secret, ada, webhook.id, key=registry.encryption_key)
    token(registry, ada)
    run(sender, lambda: receiver.received and idle(sender))
    registry.now += hooks.FORMER_SIGNS_MS
    ada = registry.signed_in(registry.ada)
    token(registry, ada)
    run(sender, lambda: len(receiver.received) == 2 and idle(sender))

    def signs(secret: str, number: int) -> bool:
        request = receiver.received[number]
        signature = StandardWebhook(secret).sign(
            request.headers["webhook-id"],
            datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC),
            request.body.decode(),
        )
        return signature in request.headers["webhook-signature"].split(" ")

    assert [signs(first, 0), signs(second, 0)] == [True, True]
    assert [signs(first, 1), signs(second, 1)] == [False, True]


def test_the_next_event_of_a_subject_waits_and_other_subjects_do_not(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, sender: Webhooks
) -> None:
    hook(registry, ada, receiver.url)
    stuck, other = token(registry, ada, "stuck"), token(registry, ada, "other")

    def refuse_stuck(received: Received, handler: Any) -> None:
        status(500 if received.subject == stuck.id else 204)(received, handler)

    receiver.answer = refuse_stuck
    for label in ("second", "third"):
        relabel(registry, ada, stuck, f"stuck {label}")
        relabel(registry, ada, other, f"other {label}")
    run(sender, lambda: receiver.subjects().count(other.id) == 3 and idle(sender))
    assert receiver.subjects().count(stuck.id) == 1
    receiver.answer = status(204)
    registry.now += PAUSES_MS[0] * 2
    run(sender, lambda: receiver.subjects().count(stuck.id) == 4 and idle(sender))
    for subject in (stuck, other):
        of_one = [one.event for one in receiver.received if one.subject == subject.id]
        names = [event["data"]["subject"]["name"].split()[-1] for event in of_one]
        assert list(dict.fromkeys(names)) == [subject.label, "second", "third"]


def test_a_slow_webhook_delays_no_other(
    registry: SmallRegistry,
    ada: Actor,
    certificates: Certificates,
    receiver: Receiver,
    sender: Webhooks,
) -> None:
    with Receiver(certificates) as slow:
        slow.answer = slow.hang
        for _ in range(3):
            hook(registry, ada, slow.url)
        hook(registry, ada, f"https://127.0.0.1:{free_port()}/")
        hook(registry, ada, receiver.url)
        for number in range(6):
            token(registry, ada, f"number {number}")
        run(sender, lambda: len(receiver.received) == 6)
        run(sender, lambda: len(slow.received) == 3 * MOST_OF_WEBHOOK)
        run(sender, lambda: sender._under_way.total() == 3 * MOST_OF_WEBHOOK)


def test_an_event_is_sent_again_by_another_node_if_its_process_dies(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, make: Make
) -> None:
    """Between the request and the record of its outcome: at least once, not at most."""
    hook(registry, ada, receiver.url)
    made = token(registry, ada)
    relabel(registry, ada, made, "renamed")
    dead, other = make(), make()
    dead.send_due()
    until(lambda: dead._finished)
    other.send_due()
    assert idle(other)  # the lease holds, and the next event waits for the former
    registry.now += LEASE_MS
    run(other, lambda: len(receiver.received) == 3 and idle(other))
    names = [one.event["data"]["subject"]["name"] for one in receiver.received]
    assert names == ["Nightly", "Nightly", "renamed"]
    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert ids[0] == ids[1] != ids[2]
    # A process that comes back learns that its claim is lost.
    dead.send_due()
    assert idle(dead)
    assert len(receiver.received) == 3


def test_each_delivery_is_claimed_by_one_of_many_nodes(
    registry: SmallRegistry, ada: Actor, receiver: Receiver
) -> None:
    hook(registry, ada, receiver.url)
    made = [token(registry, ada, f"number {number}") for number in range(8)]
    ids = [one.id for one in sent(registry, ada, registry.ask(hooks.list_, ada).items[0])]

    def claim(number: int) -> list[str]:
        return [one.id for one in registry.auxiliary(queue.claim, ids)]

    claims = [one for found in concurrently(claim, range(4)) for one in found]
    assert sorted(claims) == sorted(ids)
    assert len(made) == len(ids)


def test_retries_take_three_days_and_then_administrators_are_told(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, sender: Webhooks
) -> None:
    webhook, _ = hook(registry, ada, receiver.url)
    receiver.answer = status(503)
    began = registry.now = registry.now + 1
    registry.token(ada)
    pauses = []
    while registry.ask(queue.receivers) and len(pauses) < 50:
        run(sender, lambda: idle(sender))
        (one,) = sent(registry, ada_now(registry), webhook)
        if one.due_at is None:
            break
        pauses.append(one.due_at - registry.now)
        registry.now = one.due_at
    assert registry.now == began + GIVE_UP_MS
    for pause, least in zip(pauses, PAUSES_MS, strict=False):
        assert least <= pause < least * 1.1
    assert len(receiver.received) == len(pauses) + 1
    ada = ada_now(registry)
    webhook = registry.ask(hooks.get, ada, webhook.id)
    assert (webhook.status, webhook.paused_because) == ("paused", "failing")
    assert mail(registry) == [(registry.ada.email, "webhook_paused")]
    assert "webhook.paused" in [event.action for event in registry.events(registry.northwind)]
    # Events still wait, and nothing is sent.
    registry.token(ada)
    sender.send_due()
    assert idle(sender)
    # Resumed: everything is sent, in order.
    receiver.answer = status(204)
    before = len(receiver.received)
    registry.do(hooks.modify, ada, webhook.id, networks=NETWORKS, changes={"paused": False})
    run(sender, lambda: len(receiver.received) == before + 2 and idle(sender))
    assert {one.status for one in sent(registry, ada, webhook)} == {"delivered"}


@pytest.mark.parametrize(
    ("asked", "least"), [("600", 600_000), ("1", PAUSES_MS[0]), ("999999999", PAUSES_MS[-1])]
)
def test_an_overloaded_receiver_says_when_to_try_again(
    registry: SmallRegistry,
    ada: Actor,
    receiver: Receiver,
    sender: Webhooks,
    asked: str,
    least: int,
) -> None:
    webhook, _ = hook(registry, ada, receiver.url)
    receiver.answer = status(503, **{"Retry-After": asked})
    registry.token(ada)
    run(sender, lambda: idle(sender))
    (one,) = sent(registry, ada, webhook)
    assert one.due_at is not None
    assert least <= one.due_at - registry.now < least * 1.1


def test_a_long_queue_is_resumed_in_parts(
    registry: SmallRegistry,
    ada: Actor,
    receiver: Receiver,
    sender: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The change that resumes it holds the lock of all changes, and must not touch each row."""
    monkeypatch.setattr(queue, "_AT_ONCE", 2)
    webhook, _ = hook(registry, ada, receiver.url)
    for number in range(5):
        token(registry, ada, f"number {number}")
    receiver.answer = status(500)
    run(sender, lambda: len(receiver.received) == 5 and idle(sender))
    receiver.answer = status(204)
    for paused in (True, False):
        registry.do(hooks.modify, ada, webhook.id, networks=NETWORKS, changes={"paused": paused})
    assert {one.failures for one in sent(registry, ada, webhook)} == {1}
    assert registry.ask(queue.receivers) == []
    run(sender, lambda: len(receiver.received) == 10 and idle(sender))
    assert {one.status for one in sent(registry, ada, webhook)} == {"delivered"}


def ada_now(registry: SmallRegistry) -> Actor:
    """The administrator, signed in now."""
    return registry.signed_in(registry.ada)


def mail(registry: SmallRegistry) -> list[tuple[str, str]]:
    """The recipients and kinds of mail that waits."""
    table = outgoing_mail.c
    with registry.read() as reading:
        rows = reading.session.execute(
            select(table.recipient, table.kind).where(table.state == "waiting")
        )
        return [(row.recipient, row.kind) for row in rows]


def test_a_receiver_that_is_gone_gets_nothing_more(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, sender: Webhooks
) -> None:
    webhook, _ = hook(registry, ada, receiver.url)
    receiver.answer = status(410)
    token(registry, ada)
    run(sender, lambda: receiver.received and idle(sender))
    webhook = registry.ask(hooks.get, ada, webhook.id)
    assert (webhook.status, webhook.paused_because) == ("paused", "gone")
    assert mail(registry) == [(registry.ada.email, "webhook_paused")]
    token(registry, ada)
    sender.send_due()
    assert idle(sender)
    assert len(receiver.received) == 1


def test_a_deactivated_companys_webhooks_get_nothing(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, sender: Webhooks
) -> None:
    hook(registry, ada, receiver.url)
    token(registry, ada)
    registry.do(company_offboarding.deactivate, Actor.command_line(), registry.northwind.id)
    sender.send_due()
    assert idle(sender)
    assert receiver.received == []


def test_without_the_encryption_key_events_wait_for_a_node_that_has_it(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, make: Make
) -> None:
    webhook, _ = hook(registry, ada, receiver.url)
    token(registry, ada)
    lacking, having = make(), make()
    lacking._key = EncryptionKey(Path("/nowhere/sealing-key"))
    lacking.send_due()
    assert idle(lacking)
    assert [one.attempts for one in sent(registry, ada, webhook)] == [0]
    run(having, lambda: receiver.received and idle(having))


def test_an_outcome_is_kept_while_the_database_is_away(
    registry: SmallRegistry,
    ada: Actor,
    receiver: Receiver,
    sender: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webhook, _ = hook(registry, ada, receiver.url)
    token(registry, ada)
    sender.send_due()
    until(lambda: sender._finished)
    with monkeypatch.context() as away:
        away.setattr(registry.database, "auxiliary_write", unavailable)
        with pytest.raises(Unavailable):
            sender.send_due()
    sender.send_due()
    assert idle(sender)
    assert [one.status for one in sent(registry, ada, webhook)] == ["delivered"]
    assert len(receiver.received) == 1


def test_an_outcome_that_cannot_be_recorded_blocks_no_other(
    registry: SmallRegistry,
    ada: Actor,
    receiver: Receiver,
    sender: Webhooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webhook, _ = hook(registry, ada, receiver.url)
    for number in range(3):
        token(registry, ada, f"number {number}")
    sender.send_due()
    until(lambda: len(sender._finished) == 3)
    settle, damaged = queue.settle, sender._finished[0][1].id

    def fail(write: Write, claimed: queue.Claimed, outcome: queue.Outcome) -> None:
        assert claimed.id != damaged
        settle(write, claimed, outcome)

    monkeypatch.setattr(queue, "settle", fail)
    with pytest.raises(AssertionError):
        sender.send_due()
    sender.send_due()
    found = [one.status for one in sent(registry, ada, webhook)]
    assert sorted(found) == ["delivered", "delivered", "waiting"]


def unavailable(now: int) -> Any:
    raise Unavailable("away")


def test_a_webhook_that_was_deleted_meanwhile_is_no_trouble(
    registry: SmallRegistry, ada: Actor, receiver: Receiver, sender: Webhooks
) -> None:
    webhook, _ = hook(registry, ada, receiver.url)
    token(registry, ada)
    sender.send_due()
    until(lambda: sender._finished)
    registry.do(hooks.delete, ada, webhook.id)
    sender.send_due()
    assert idle(sender)
