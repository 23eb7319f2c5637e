"""Impact of an allowlist: the users and tokens it would refuse, by their last address."""

from typing import Any

import pytest
from sqlalchemy import insert, text, update

from gatepass.core.errors import Forbidden, InvalidInput, NotFound
from gatepass.registry.actor import Actor
from gatepass.registry.network_policy import allowlist_impact
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.network_policy.allowlist_impact import AllowlistImpact
from gatepass.registry.storage.tables import token_use, token_use_addresses, users
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls.usage import DAY_MS
from gatepass.registry.tokens.records import AccessToken
from tests.support.database.small_registry import ADDRESS, HOUR, NOW, SmallRegistry, nothing_changes

OFFICE = Entry("198.51.100.0/24", "Office")
ELSEWHERE = "203.0.113.9"


def preview(registry: SmallRegistry, actor: Actor, *entries: Entry) -> AllowlistImpact:
    return registry.ask(allowlist_impact.preview, actor, registry.northwind.id, entries)


def used(registry: SmallRegistry, token: AccessToken, **addresses: int) -> None:
    """Record uses of a token from ``a203_0_113_9`` and the like, at these times."""
    rows: list[dict[str, Any]] = [
        {"token_id": token.id, "address": name[1:].replace("_", "."), "last_at": at, "uses": 1}
        for name, at in addresses.items()
    ]
    with registry.database.auxiliary_write(registry.now) as write:
        write.session.execute(insert(token_use_addresses), rows)
        write.session.execute(
            insert(token_use),
            {"token_id": token.id, "last_at": max(addresses.values()), "total": len(rows)},
        )


def test_users_are_judged_by_their_last_address(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.user(registry.northwind, "bob@northwind.example", "Bob")
    eve = registry.user(registry.northwind, "eve@northwind.example", "Eve")
    registry.signed_in(bob)
    registry.signed_in(eve, ELSEWHERE)
    registry.signed_in(registry.carl, ELSEWHERE)
    registry.now += 1
    registry.signed_in(bob, ELSEWHERE)
    registry.signed_in(eve)
    registry.now += 1
    registry.signed_in(bob, None)
    found = preview(registry, ada, OFFICE)
    assert found.users == [allowlist_impact.Caller(bob.id, "Bob", ELSEWHERE, NOW + 1)]
    assert (found.user_count, found.token_count, found.includes_you) == (1, 0, True)
    assert preview(registry, ada, OFFICE, Entry(ELSEWHERE)).user_count == 0
    none = preview(registry, ada)
    assert (none.user_count, none.token_count, none.includes_you) == (0, 0, True)
    home = preview(registry, ada, Entry("192.0.2.0/24"))
    assert {one.name for one in home.users} == {"Ada Lovelace", "Bob", "Eve"}
    assert not home.includes_you
    with registry.write() as change:
        change.session.execute(update(users).where(users.c.id == bob.id).values(deactivated_at=1))
    assert preview(registry, ada, OFFICE).user_count == 0


def test_tokens_are_judged_by_their_last_address(registry: SmallRegistry, ada: Actor) -> None:
    moved, _ = registry.token(ada, label="Moved")
    stayed, _ = registry.token(ada, label="Stayed")
    ended, _ = registry.token(ada, label="Ended")
    expired, _ = registry.token(ada, label="Expired", expires_at=NOW + 1)
    registry.token(ada, label="Never used")
    used(registry, moved, a198_51_100_7=NOW - 1, a203_0_113_9=NOW)
    used(registry, stayed, a198_51_100_7=NOW, a203_0_113_9=NOW - 1)
    used(registry, ended, a203_0_113_9=NOW)
    used(registry, expired, a203_0_113_9=NOW)
    registry.do(access_tokens.deactivate, ada, ended.id)
    registry.now += 1
    found = preview(registry, ada, OFFICE)
    assert found.tokens == [allowlist_impact.Caller(moved.id, "Moved", ELSEWHERE, NOW)]
    assert (found.user_count, found.token_count) == (0, 1)


def test_uses_older_than_a_month_are_ignored(registry: SmallRegistry, ada: Actor) -> None:
    registry.signed_in(registry.user(registry.northwind, "bob@northwind.example"), ELSEWHERE)
    token, _ = registry.token(ada)
    used(registry, token, a203_0_113_9=NOW)
    # It is still used, but its addresses are no longer known.
    with registry.database.auxiliary_write(registry.now) as write:
        write.session.execute(update(token_use).values(last_at=NOW + 31 * DAY_MS))
    registry.now = NOW + 30 * DAY_MS
    found = preview(registry, registry.signed_in(registry.ada), OFFICE)
    assert (found.user_count, found.token_count) == (1, 1)
    registry.now += 1
    found = preview(registry, registry.signed_in(registry.ada), OFFICE)
    assert (found.user_count, found.token_count) == (0, 0)


def test_required_permissions(registry: SmallRegistry) -> None:
    ada, manager = registry.signed_in(registry.ada), registry.colleague("manager")
    token = registry.with_token(registry.token(ada, permissions=["company:*"])[0])
    carl = registry.signed_in(registry.carl)
    with nothing_changes(registry):
        for actor, reason in ((manager, "permission_missing"), (token, "signed_in_user_required")):
            with pytest.raises(Forbidden) as refusal:
                preview(registry, actor, OFFICE)
            assert refusal.value.reason == reason
        with pytest.raises(NotFound):
            preview(registry, carl, OFFICE)
        with pytest.raises(InvalidInput):
            preview(registry, ada, Entry("300.1.2.3"))


def test_ten_thousand_users_are_looked_up_by_index_and_a_hundred_named(
    registry: SmallRegistry, ada: Actor
) -> None:
    """However many sign-ins there are, because the query never scans them all."""
    with registry.read() as reading:
        for statement in (allowlist_impact._people, allowlist_impact._tokens):
            query = statement(reading, registry.northwind.id).compile(
                reading.session.get_bind(), compile_kwargs={"literal_binds": True}
            )
            if reading.session.get_bind().dialect.name == "sqlite":
                plan = reading.session.execute(text(f"EXPLAIN QUERY PLAN {query}")).all()
                assert not any(row.detail.startswith("SCAN") for row in plan), plan
    for number in range(allowlist_impact.NAMED + 2):
        registry.now += HOUR
        person = registry.user(registry.northwind, f"{number}@northwind.example", f"No {number}")
        registry.signed_in(person, ELSEWHERE)
    found = preview(registry, ada, Entry(ADDRESS))
    assert found.user_count == allowlist_impact.NAMED + 2
    assert len(found.users) == allowlist_impact.NAMED
    assert found.users[0].name == f"No {allowlist_impact.NAMED + 1}"
