"""What webhooks are told: which events, in the transaction of their changes, and no secret."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from gatepass.core.networks import Networks
from gatepass.registry.actor import Actor
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.audit.webhook_events import EVENT_OF, EVENTS, is_wanted
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.tables import webhook_deliveries
from gatepass.registry.tokens import access_tokens
from gatepass.registry.webhooks import hooks
from tests.support.database.small_registry import SmallRegistry


def subscribe(registry: SmallRegistry, actor: Actor, *events: str) -> str:
    webhook, _ = registry.do(
        hooks.create,
        actor,
        key=registry.encryption_key,
        networks=Networks(),
        url="https://hooks.example.com/",
        events=events,
    )
    return webhook.id


def told(registry: SmallRegistry, webhook: str) -> list[Any]:
    """The payloads for a webhook, the oldest first."""
    table = webhook_deliveries.c
    query = select(table.payload).where(table.webhook_id == webhook).order_by(table.number)
    with registry.read() as reading:
        return [json.loads(payload) for payload in reading.session.scalars(query)]


def test_each_webhook_is_told_of_what_it_asked_for(registry: SmallRegistry, ada: Actor) -> None:
    every = subscribe(registry, ada, "access_token.*")
    few = subscribe(registry, ada, "access_token.deactivated", "allowlist.changed")
    carl = registry.signed_in(registry.carl)
    other = subscribe(registry, carl, "access_token.*", "allowlist.changed")
    token, text = registry.token(ada, networks=["10.0.0.1"])
    registry.do(
        access_tokens.modify,
        ada,
        token.id,
        catalogue=registry.catalogue,
        changes={"label": "Other", "networks": ["192.0.2.77"]},
    )
    registry.do(access_tokens.deactivate, ada, token.id)
    entries = [Entry("198.51.100.0/24", "Office")]
    registry.do(allowlist.replace, Actor.command_line(), registry.northwind.id, entries)
    registry.do(allowlist.replace, Actor.command_line(), registry.northwind.id, [])
    assert [event["type"] for event in told(registry, every)] == [
        "access_token.created",
        "access_token.modified",
        "access_token.deactivated",
    ]
    assert [(event["type"], event["data"]["action"]) for event in told(registry, few)] == [
        ("access_token.deactivated", "access_token.deactivated"),
        ("allowlist.changed", "allowlist.changed"),
        ("allowlist.changed", "allowlist.lifted"),
    ]
    assert told(registry, other) == []
    audited = registry.events(subject=token.id)
    assert {event["data"]["id"] for event in told(registry, every)} <= {one.id for one in audited}
    # Names of fields, and neither their values nor a secret.
    modified = told(registry, every)[1]["data"]
    assert list(modified) == ["id", "action", "subject", "actor", "company", "changed"]
    assert sorted(modified["changed"]) == ["label", "networks"]
    written = json.dumps(told(registry, every) + told(registry, few))
    for absent in (text, text[21:53], "192.0.2.77", "10.0.0.1", "198.51.100.0", "Office"):
        assert absent not in written


def test_events_are_written_with_their_change_or_not_at_all(
    registry: SmallRegistry, ada: Actor
) -> None:
    webhook = subscribe(registry, ada, "access_token.*")

    def create_and_fail(change: Change) -> None:
        access_tokens.create(
            change,
            ada,
            catalogue=registry.catalogue,
            label="Never",
            kind="api",
            permissions=["charges:create"],
        )
        raise RuntimeError

    with pytest.raises(RuntimeError):
        registry.do(create_and_fail)
    assert told(registry, webhook) == []


def test_the_events_exist_in_the_audit_log_and_are_named_as_the_surface_says() -> None:
    audited = {action for kind in KINDS.values() for action in kind.actions}
    assert EVENT_OF.keys() <= audited
    # All of a user's and an invitation's.
    groups = ("user.", "invitation.")
    assert {action for action in audited if action.startswith(groups)} <= set(EVENTS)
    assert is_wanted("user.created", ["user.*"])
    assert is_wanted("user.created", ["user.created"])
    assert not is_wanted("user.created", ["user.renamed", "access_token.*"])
