"""The alarm about a decoy that was used: audit, webhook and mail, at most once a minute."""

import json
from typing import Any

from sqlalchemy import select

from gatepass.core.networks import Networks
from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.actor import Actor
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.notifications import decoy_alarms
from gatepass.registry.storage.tables import outgoing_mail, webhook_deliveries
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls import usage
from gatepass.registry.webhooks import hooks
from gatepass.verify.spools import Batch
from tests.support.database.small_registry import MINUTE, SmallRegistry

CALL = ObservedCall(
    "token_invalid", ("charges:create",), "/v1/charges", "POST", "203.0.113.9", None
)
PROBE = ObservedCall("token_invalid", (), None, None, None, None)


def decoy(registry: SmallRegistry, actor: Actor) -> str:
    made, _ = registry.do(
        access_tokens.create, actor, catalogue=registry.catalogue, label="Wiki", kind="decoy"
    )
    return made.id


def used(registry: SmallRegistry, token: str, *calls: ObservedCall | None) -> bool:
    """Fold calls with a decoy, each a millisecond later; whether that raised an alarm."""
    before = len(alarms(registry))
    counted = [
        CountedCall(token, False, call, 1, registry.now + at, registry.now + at)
        for at, call in enumerate(calls)
    ]
    with registry.database.auxiliary_write(registry.now) as write:
        start = usage.folded_to(write, "spool")
        assert usage.fold(write, "spool", start, start + 1, [Batch({}, {})], counted)
        decoy_alarms.raise_alarms(write, counted)
    return len(alarms(registry)) > before


def alarms(registry: SmallRegistry) -> list[Any]:
    return [event for event in registry.events() if event.action == "access_token.decoy_used"]


def test_a_use_is_told_with_address_and_call(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.colleague("manager", "Bob")
    registry.colleague("admin", "Cleo")
    registry.do(
        hooks.create,
        ada,
        key=registry.encryption_key,
        networks=Networks(),
        url="https://hooks.example.com/",
        events=["access_token.decoy_used"],
    )
    token = decoy(registry, bob)
    assert used(registry, token, CALL, PROBE)
    (event,) = alarms(registry)
    assert (event.actor_kind, event.address, event.subject.id) == ("system", "203.0.113.9", token)
    assert event.after == {
        "address": "203.0.113.9",
        "permission": "charges:create",
        "method": "POST",
        "route": "/v1/charges",
        "used_at": registry.now,
    }
    assert sentence(event) == (
        "Somebody used the decoy Wiki from 203.0.113.9, for POST /v1/charges"
    )
    with registry.read() as reading:
        (payload,) = reading.session.scalars(select(webhook_deliveries.c.payload))
        mails = reading.session.execute(select(outgoing_mail)).all()
        letters = [decoy_alarms.letter(reading, mail.subject_id) for mail in mails]
    data = json.loads(payload)["data"]
    assert data["actor"]["address"] == "203.0.113.9"
    assert {**data["call"], "used_at": registry.now} == event.after
    # Its owner, who is no administrator, and the administrators.
    assert {mail.recipient.partition(".")[0] for mail in mails} == {
        "bob",
        "cleo",
        "ada@northwind",
    }
    assert {letter.user_name for letter in letters if letter} == {"Bob", "Cleo", "Ada Lovelace"}
    assert letters[0] is not None
    assert (letters[0].call, letters[0].address, letters[0].at) == (
        "POST /v1/charges",
        "203.0.113.9",
        registry.now,
    )


def test_at_most_once_a_minute_each(registry: SmallRegistry, ada: Actor) -> None:
    one, other = decoy(registry, ada), decoy(registry, ada)
    assert used(registry, one, PROBE)
    assert not used(registry, one, CALL)
    assert used(registry, other, PROBE)
    registry.now += MINUTE - 1
    assert not used(registry, one, CALL)
    registry.now += 1
    assert used(registry, one, CALL)
    assert [event.subject.id for event in alarms(registry)] == [one, other, one]
    # Those of the minute are in its list of calls.
    page = registry.ask(access_tokens.calls, ada, one)
    assert {(call.address, call.count) for call in page.items} == {(None, 1), ("203.0.113.9", 3)}


def test_nothing_else_raises_an_alarm(registry: SmallRegistry, ada: Actor) -> None:
    """A follower may claim anything: only a decoy's refusals count."""
    token, _ = registry.token(ada)
    assert not used(registry, token.id, CALL)
    assert not used(registry, "gpat_0000000000000000", CALL)
    assert not used(registry, decoy(registry, ada), None)
    assert alarms(registry) == []
