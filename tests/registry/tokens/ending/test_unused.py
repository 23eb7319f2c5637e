"""Tokens that end when nobody uses them, and when they don't."""

import pytest

from gatepass.core.decision import Reason
from gatepass.core.token_policy import DAY_MS
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.replication import liveness
from gatepass.registry.storage.tables import nodes
from gatepass.registry.tokens.calls import usage
from gatepass.registry.tokens.ending import unused
from gatepass.registry.tokens.ending.unused import end_unused, ending_of
from gatepass.registry.tokens.records import AccessToken
from gatepass.verify.spools import Batch
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry
from tests.support.grants.fake_verifiers import (
    STALENESS,
    by_the_sessions_time,
    register,
    report_use,
)


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the session's time on PostgreSQL, too."""
    by_the_sessions_time(monkeypatch)


def use(registry: SmallRegistry, token: AccessToken, at: int) -> None:
    """Fold a call with the token."""
    batch = Batch({token.id: (1, at, "203.0.113.7", "charges:create")}, {"allowed": 1})
    registry.auxiliary(usage.fold, f"{token.id}-{at}", 0, 1, [batch], [])


def round_(registry: SmallRegistry, now: int) -> int:
    registry.now = now
    return end_unused(registry.database, lambda: registry.now)


def test_it_ends_after_its_days_without_use(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada, unused_days=2)
    other, _ = registry.token(ada)
    later, _ = registry.token(ada, unused_days=365)
    end = NOW + 2 * DAY_MS
    assert registry.ask(ending_of, token.id) == end
    assert round_(registry, end - 1) == 0
    use(registry, token, NOW + DAY_MS)
    assert registry.ask(ending_of, token.id) == NOW + 3 * DAY_MS
    assert round_(registry, end) == 0
    assert registry.reason(text) is Reason.allowed
    found = registry.ask(lambda reading: list(unused.endings(reading, NOW + 3 * DAY_MS)))
    assert [(each.token, each.at) for each in found] == [(token.id, NOW + 3 * DAY_MS)]
    assert round_(registry, NOW + 3 * DAY_MS) == 1
    assert round_(registry, NOW + 3 * DAY_MS) == 0
    ended = registry.get(token)
    assert (ended.status, ended.deactivated_by) == ("deactivated", Person("unused", "unused"))
    assert registry.reason(text) is Reason.token_deactivated
    assert [registry.get(each).status for each in (other, later)] == ["active", "active"]
    event = registry.events(registry.northwind)[-1]
    assert (event.action, event.actor_kind) == ("access_token.deactivated", "system")
    assert event.after is not None
    assert event.after["cause"] == "unused"
    said = "Gatepass deactivated the access token Nightly settlement, which nobody used"
    assert sentence(event) == said
    assert registry.ask(ending_of, token.id) is None


def test_its_days_count_from_their_setting(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    registry.now = NOW + 9 * DAY_MS
    registry.modify(ada := registry.signed_in(registry.ada), token, unused_days=2)
    assert registry.ask(ending_of, token.id) == NOW + 11 * DAY_MS
    # Saying the same again is no setting.
    registry.now += HOUR
    registry.modify(ada, token, unused_days=2, label="Same")
    assert registry.ask(ending_of, token.id) == NOW + 11 * DAY_MS
    registry.modify(ada, token, unused_days=3)
    assert registry.ask(ending_of, token.id) == NOW + 12 * DAY_MS + HOUR
    registry.modify(ada, token, unused_days=None)
    assert registry.ask(ending_of, token.id) is None
    assert round_(registry, NOW + 99 * DAY_MS) == 0


def test_its_days_count_from_a_restore(sqlite_registry: SmallRegistry) -> None:
    registry = sqlite_registry
    token, _ = registry.token(registry.signed_in(registry.ada), unused_days=1)
    registry.now = NOW + DAY_MS
    subject = Subject("installation", "installation", "installation")
    system = Actor.command_line()
    registry.do(log.record, system, "installation.restored", subject, company=None)
    assert round_(registry, NOW + 2 * DAY_MS - 1) == 0
    assert round_(registry, NOW + 2 * DAY_MS) == 1
    assert registry.get(token).status == "deactivated"


def test_an_expired_token_is_left_alone(sqlite_registry: SmallRegistry) -> None:
    registry = sqlite_registry
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada, unused_days=1, expires_at=NOW + DAY_MS)
    assert round_(registry, NOW + DAY_MS) == 0
    assert registry.get(token).status == "expired"


def test_nothing_ends_while_a_verifier_has_reported_nothing_for_an_hour(
    registry: SmallRegistry, ada: Actor
) -> None:
    registry.token(ada, unused_days=1)
    end = NOW + DAY_MS
    register(registry.database, NOW, "node_a", kind="node")
    # Its lease runs, but no report comes.
    register(registry.database, end + HOUR, "node_a", kind="node")
    report_use(registry.database, end + HOUR, "node_a", end)
    assert round_(registry, end + HOUR) == 0
    report_use(registry.database, end + HOUR, "node_a", end + 1)
    assert round_(registry, end + HOUR) == 1


def test_it_is_unused_only_up_to_the_oldest_report(registry: SmallRegistry, ada: Actor) -> None:
    registry.token(ada, unused_days=1)
    end = NOW + DAY_MS
    register(registry.database, end, "node_a", kind="node")
    report_use(registry.database, end, "node_a", end - 1)
    assert round_(registry, end) == 0
    report_use(registry.database, end, "node_a", end)
    assert round_(registry, end) == 1


def test_a_verifier_that_is_gone_counts_if_it_hid_an_hour(
    registry: SmallRegistry, ada: Actor
) -> None:
    token, _ = registry.token(ada, unused_days=2)
    quick, slow = NOW + DAY_MS, NOW + DAY_MS + HOUR
    for name, died in (("quick", quick), ("slow", slow)):
        register(registry.database, NOW, name)
        register(registry.database, died, name)
    # The seconds that any verifier leaves unreported when it stops delay nothing.
    report_use(registry.database, quick, "quick", quick - 10_000)
    report_use(registry.database, slow, "slow", slow - 2 * HOUR)
    allowed_until = slow + 2 * STALENESS
    registry.now = slow + 2 * HOUR
    assert registry.ask(ending_of, token.id) == allowed_until + 2 * DAY_MS
    registry.now = slow + 30 * HOUR
    registry.auxiliary(liveness.forget)
    assert registry.ask(lambda reading: reading.session.execute(nodes.select()).all()) == []
    assert registry.ask(ending_of, token.id) == allowed_until + 2 * DAY_MS
    assert round_(registry, allowed_until + 2 * DAY_MS - 1) == 0
    assert round_(registry, allowed_until + 2 * DAY_MS) == 1


def test_a_verifier_that_stopped_delays_nothing(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, unused_days=2)
    stopped = NOW + DAY_MS
    register(registry.database, NOW, "node_a")
    register(registry.database, stopped, "node_a")
    report_use(registry.database, stopped, "node_a", stopped - 10_000)
    # One that never reported, and lived for a moment.
    register(registry.database, stopped, "node_b")
    registry.now = NOW + 2 * DAY_MS
    assert registry.ask(ending_of, token.id) == registry.now
    registry.auxiliary(liveness.forget, HOUR)
    assert registry.ask(ending_of, token.id) == registry.now
    assert round_(registry, registry.now) == 1


def test_a_limited_verifier_holds_up_its_companies_alone(
    registry: SmallRegistry, ada: Actor
) -> None:
    registry.token(ada, unused_days=1)
    carl = registry.signed_in(registry.carl)
    held, _ = registry.token(carl, unused_days=1)
    end = NOW + DAY_MS
    limits = {"companies": [registry.contoso.id]}
    register(registry.database, end, "node_a", limits=limits)
    assert round_(registry, end) == 1
    assert registry.get(held).status == "active"


def test_a_round_ends_so_many_at_most(
    sqlite_registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = sqlite_registry
    monkeypatch.setattr(unused, "MOST_AT_ONCE", 2)
    ada, carl = (registry.signed_in(user) for user in (registry.ada, registry.carl))
    for actor in (ada, carl, ada):
        registry.token(actor, unused_days=1)
    assert [round_(registry, NOW + DAY_MS) for _ in range(3)] == [2, 1, 0]
