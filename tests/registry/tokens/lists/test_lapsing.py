"""Lists go by the time of expiry, whether or not a round has recorded it."""

from gatepass.registry.actor import Actor
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.lists.lapsing import record_lapsed
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry


def listed(registry: SmallRegistry, actor: Actor) -> dict[str, list[str]]:
    """The labels of each status."""
    return {
        status: [
            token.label for token in registry.ask(token_search.list_, actor, status=status).items
        ]
        for status in ("active", "expired", "deactivated")
    }


def lapse(registry: SmallRegistry) -> int:
    return record_lapsed(registry.database, lambda: registry.now)


def test_a_round_changes_no_list(registry: SmallRegistry, ada: Actor) -> None:
    registry.token(ada, label="Never")
    registry.token(ada, label="Soon", expires_at=NOW + 10)
    ended, _ = registry.token(ada, label="Ended", expires_at=NOW + 10)
    registry.token(ada, label="Later", expires_at=NOW + HOUR)
    registry.do(access_tokens.deactivate, ada, ended.id)
    assert lapse(registry) == 0
    registry.now = NOW + 10
    before = listed(registry, ada)
    assert {status: sorted(found) for status, found in before.items()} == {
        "active": ["Later", "Never"],
        "expired": ["Soon"],
        "deactivated": ["Ended"],
    }
    assert lapse(registry) == 1
    assert listed(registry, ada) == before
    assert lapse(registry) == 0


def test_by_a_clock_that_was_ahead_nothing_is_lost(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, label="Later", expires_at=NOW + HOUR)
    registry.now = NOW + 2 * HOUR
    assert lapse(registry) == 1
    registry.now = NOW + 1
    assert listed(registry, ada) == {"active": ["Later"], "expired": [], "deactivated": []}
    registry.modify(ada, token, expires_at=NOW + 3 * HOUR)
    registry.now = NOW + 2 * HOUR
    assert listed(registry, ada) == {"active": ["Later"], "expired": [], "deactivated": []}
    registry.now = NOW + 3 * HOUR
    assert listed(registry, ada) == {"active": [], "expired": ["Later"], "deactivated": []}


def test_a_round_stops_between_two_batches(registry: SmallRegistry, ada: Actor) -> None:
    registry.token(ada, label="Soon", expires_at=NOW + 10)
    registry.now = NOW + 10
    assert record_lapsed(registry.database, lambda: registry.now, lambda: False) == 1
