"""Deactivation receipts: created with the revocation, complete when no verifier can allow."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import search, sentences
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import verifier_keys
from gatepass.registry.membership import offboarding
from gatepass.registry.replication import liveness, receipts
from gatepass.registry.storage import revisions, tables
from gatepass.registry.storage.database import Database
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.hand_over import Handling
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry
from tests.support.grants.fake_verifiers import (
    STALENESS,
    acknowledge,
    by_the_sessions_time,
    complete,
    register,
    rows,
)

DAY = 24 * HOUR
TOKEN = Subject("access_token", "gpat_1", "Nightly settlement")


@pytest.fixture(autouse=True)
def by_hand() -> Iterator[None]:
    """Use the session's time on PostgreSQL, too."""
    with pytest.MonkeyPatch.context() as patch:
        by_the_sessions_time(patch)
        yield


def end(database: Database, now: int, *subjects: Subject, **more: Any) -> int:
    """Revoke a record; returns its revision."""
    with database.write(now) as change:
        receipts.begin(change, subjects or [TOKEN], company="com_1", **more)
        revision = change.revision
        return revision


def expected(database: Database) -> dict[str, int | None]:
    """The expected verifiers, and when each confirmed."""
    return {row["node_id"]: row["confirmed_at"] for row in rows(database, "receipt_confirmations")}


def test_every_verifier_that_may_have_a_lease_is_expected(database: Database) -> None:
    register(database, NOW, "node_a", "node_b", "node_c")
    acknowledge(database, NOW + 2 * STALENESS, "node_b")
    acknowledge(database, NOW + 1, "node_c")
    end(database, NOW + 2 * STALENESS)
    assert expected(database) == {"node_b": None, "node_c": None}


def test_a_receipt_is_complete_when_all_have_confirmed(database: Database) -> None:
    register(database, NOW, "node_a", "node_b")
    revision = end(database, NOW + 100)
    acknowledge(database, NOW + 160, "node_b")
    assert complete(database, NOW + 170) == 0
    # Reading on, but not that far.
    with database.auxiliary_write(NOW + 180) as write:
        liveness.report(write, "node_a", None, NOW + 180)
    assert complete(database, NOW + 190) == 0
    acknowledge(database, NOW + 310, "node_a")
    assert expected(database) == {"node_a": NOW + 310, "node_b": NOW + 160}
    assert complete(database, NOW + 320) == 1
    assert complete(database, NOW + 330) == 0
    (receipt,) = rows(database, "receipts")
    assert (receipt["revision"], receipt["completed_at"]) == (revision, NOW + 320)
    with database.read(NOW) as reading:
        (event,) = search.list_(reading, Actor.command_line()).items
    assert (event.action, event.actor_kind) == ("access_token.refused_everywhere", "system")
    assert (event.company, event.subject) == ("com_1", TOKEN)
    assert event.after == {
        "verifiers": 2,
        "confirmed": 2,
        "silent": 0,
        "slowest_ms": 210,
        "median_ms": 135,
        "each": [
            {"name": "node_a.internal", "id": "node_a", "after_ms": 210},
            {"name": "node_b.internal", "id": "node_b", "after_ms": 60},
        ],
    }
    assert sentences.sentence(event) == (
        "The deactivation of the access token Nightly settlement is complete: "
        "refused by 2 of 2 servers, the last after 0.21 s"
    )


def test_a_very_short_time_reads_at_once(database: Database) -> None:
    register(database, NOW, "node_a")
    end(database, NOW + 100)
    acknowledge(database, NOW + 109, "node_a")
    assert complete(database, NOW + 120) == 1
    with database.read(NOW) as reading:
        (event,) = search.list_(reading, Actor.command_line()).items
    assert sentences.sentence(event).endswith(": refused by 1 of 1 server immediately")


def test_a_verifier_silent_for_too_long_is_not_waited_for(database: Database) -> None:
    """Even if its connection swallows heartbeats, as a frozen one's does."""
    register(database, NOW, "node_a", "node_b")
    end(database, NOW)
    acknowledge(database, NOW + 50, "node_b")
    # Long in committing, it may be: what counts is when it was seen to have been.
    assert complete(database, NOW + 9_000) == 0
    silent_since = NOW + 9_000 + STALENESS + STALENESS // 10
    with database.auxiliary_write(silent_since - 1) as write:
        liveness.report(write, "node_a", None, silent_since - 1)
    assert complete(database, silent_since - 1) == 0
    assert complete(database, silent_since) == 1
    with database.read(NOW) as reading:
        (event,) = search.list_(reading, Actor.command_line()).items
    assert event.after is not None
    assert (event.after["confirmed"], event.after["silent"]) == (1, 1)
    assert event.after["each"][0] == {
        "name": "node_a.internal",
        "id": "node_a",
        "silent_since": silent_since,
    }
    assert sentences.sentence(event).endswith(
        "refused by 1 of 2 servers, the last after 0.05 s; "
        "1 was unreachable for too long to allow anything"
    )
    # It is back, and confirms what it missed; what was complete stays so.
    acknowledge(database, silent_since + 5, "node_a")
    assert expected(database)["node_a"] == silent_since + 5
    assert complete(database, silent_since + 6) == 0


def test_a_receipt_without_verifiers_is_complete(database: Database) -> None:
    end(database, NOW)
    assert complete(database, NOW) == 1
    with database.read(NOW) as reading:
        (event,) = search.list_(reading, Actor.command_line()).items
    assert sentences.sentence(event).endswith("no server was running that could have allowed it")


def test_on_one_machine_the_node_confirms_with_the_commit(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    register(database, NOW, "node_a", kind="node")
    register(database, NOW, "node_b")
    end(database, NOW + 1)
    assert expected(database) == {"node_a": NOW + 1, "node_b": None}
    database.close()


def test_on_several_machines_a_node_confirms_like_any_verifier(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    register(database, NOW, "node_a", kind="node")
    end(database, NOW + 1)
    assert expected(database) == {"node_a": None}
    database.close()


def test_a_position_of_another_history_confirms_nothing(database: Database) -> None:
    register(database, NOW, "node_a")
    revision = end(database, NOW)
    with database.auxiliary_write(NOW) as write:
        liveness.report(write, "node_a", (revision + 5, "f" * 16), NOW)
    assert expected(database) == {"node_a": None}


def test_concurrent_nodes_complete_a_receipt_once(database: Database, database_url: str) -> None:
    register(database, NOW, "node_a")
    others = [Database(database_url) for _ in range(4)]
    for number in range(10):
        end(database, NOW, Subject("access_token", f"gpat_{number}", "One"))
    acknowledge(database, NOW + 1, "node_a")
    completed = concurrently(lambda other: complete(other, NOW + 2), others)
    for other in others:
        other.close()
    assert sorted(completed) == [0, 0, 0, 10]
    events = rows(database, "audit_events")
    assert len({event["subject_id"] for event in events}) == len(events) == 10


def test_an_event_names_only_the_slowest_of_very_many(database: Database) -> None:
    ids = [f"node_{number:03}" for number in range(receipts.NAMED + 10)]
    register(database, NOW, *ids)
    end(database, NOW)
    for place, id in enumerate(ids):
        acknowledge(database, NOW + place, id)
    complete(database, NOW + 100)
    with database.read(NOW) as reading:
        (event,) = search.list_(reading, Actor.command_line()).items
    assert event.after is not None
    assert event.after["verifiers"] == len(ids)
    assert len(event.after["each"]) == receipts.NAMED
    assert event.after["each"][0]["id"] == ids[-1]


def test_details_are_kept_for_a_week_and_the_event_permanently(database: Database) -> None:
    register(database, NOW, "node_a")
    end(database, NOW)
    acknowledge(database, NOW, "node_a")
    complete(database, NOW)
    register(database, NOW + DAY, "node_a")
    end(database, NOW + DAY, Subject("user", "usr_1", "Grace Hopper"))
    for now, left in ((NOW + 7 * DAY, 2), (NOW + 7 * DAY + 1, 1), (NOW + 99 * DAY, 1)):
        with database.auxiliary_write(now) as write:
            receipts.prune(write)
        assert len(rows(database, "receipts")) == left
        assert len(rows(database, "receipt_confirmations")) == left
    assert len(rows(database, "audit_events")) == 1


# --- what begins one -----------------------------------------------------------------------------


def begun(registry: SmallRegistry, make: Callable[[Any], object]) -> list[tuple[str, str]]:
    """The subjects of the receipts that *make* created."""
    with registry.write() as change:
        change.session.execute(delete(tables.receipts))
    with registry.write() as change:
        make(change)
        revision = change.revision
    found = rows(registry.database, "receipts")
    assert {row["revision"] for row in found} <= {revision}
    return sorted((row["subject_kind"], row["subject_id"]) for row in found)


def test_a_revocation_creates_one_receipt(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    revocation = lambda change: access_tokens.deactivate(change, ada, token.id)  # noqa: E731 - said twice
    assert begun(registry, revocation) == [("access_token", token.id)]
    (receipt,) = rows(registry.database, "receipts")
    assert receipt["company_id"] == registry.northwind.id
    assert receipt["subject_name"] == token.label
    assert begun(registry, revocation) == [], "repeating it ends nothing"


def test_deactivating_a_user_creates_a_receipt_for_each_of_their_tokens(
    registry: SmallRegistry, ada: Actor
) -> None:
    bob = registry.user(registry.northwind, "bob@northwind.example", "Bob")
    tokens = [registry.token(registry.signed_in(bob))[0] for _ in range(3)]
    found = begun(registry, lambda change: offboarding.deactivate(change, ada, bob.id))
    assert found == sorted([("user", bob.id), *(("access_token", each.id) for each in tokens)])


def test_a_user_whose_tokens_are_kept_has_one_receipt(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.user(registry.northwind, "bob@northwind.example", "Bob")
    registry.token(registry.signed_in(bob))
    found = begun(
        registry,
        lambda change: offboarding.deactivate(change, ada, bob.id, tokens=Handling("keep")),
    )
    assert found == [("user", bob.id)]


def test_a_deactivated_sign_in_has_a_receipt_and_a_sign_out_has_none(
    registry: SmallRegistry, ada: Actor
) -> None:
    other = registry.signed_in(registry.ada)
    assert other.credential is not None
    found = begun(registry, lambda change: sessions.deactivate(change, ada, str(other.credential)))
    assert found == [("authentication", other.credential)]
    assert begun(registry, lambda change: sessions.sign_out(change, ada)) == []


def test_only_nodes_check_verifier_keys(registry: SmallRegistry) -> None:
    register(registry.database, NOW, "node_a", kind="node")
    register(registry.database, NOW, "node_b")
    operator = Actor.command_line()
    key, _ = registry.do(verifier_keys.create, operator, label="nginx")
    found = begun(registry, lambda change: verifier_keys.deactivate(change, operator, key.id))
    assert found == [("verifier_key", key.id)]
    (receipt,) = rows(registry.database, "receipts")
    assert receipt["company_id"] is None
    assert list(expected(registry.database)) == ["node_a"]


# --- the promise ---------------------------------------------------------------------------------


class World:
    """Verifiers as they are, beside what the registry knows of them.

    A verifier may decide by the revision of its copy until its lease expires. Leases are renewed as
    the protocol says: only if the registry got a report within the last staleness; after a longer
    absence, only once the registry has got a new one.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.copies: dict[str, int] = {}
        self.lease_until: dict[str, int] = {}
        self.told: dict[str, int] = {}
        self.ended = 0
        with database.write(NOW) as change:
            for table in (tables.nodes, tables.receipts, tables.receipt_confirmations):
                change.session.execute(delete(table))

    def register(self, id: str) -> None:
        register(self.database, self.now, id)
        self.told[id] = self.now

    def report(self, id: str) -> None:
        """It acknowledges what its copy has, which may be less than there is."""
        with self.database.auxiliary_write(self.now) as write:
            tag = write.session.scalar(
                tables.revisions.select()
                .with_only_columns(tables.revisions.c.tag)
                .where(tables.revisions.c.number == self.copies.get(id, 0))
            )
            position = (self.copies[id], str(tag)) if id in self.copies else None
            known = liveness.report(write, id, position, self.now)
        if known:
            self.told[id] = self.now

    def renew(self, id: str) -> None:
        """It reads the changes and renews its lease, before it reports."""
        if id in self.told and self.now - self.told[id] < STALENESS:
            with self.database.read(self.now) as reading:
                self.copies[id] = revisions.latest(reading)[0]
            self.lease_until[id] = self.now + STALENESS

    def end(self, _: str) -> None:
        self.ended += 1
        end(self.database, self.now, Subject("access_token", f"gpat_{self.ended}", "One"))

    def complete(self, _: str) -> None:
        complete(self.database, self.now)

    def forget(self, _: str) -> None:
        with self.database.auxiliary_write(self.now) as write:
            liveness.forget(write)

    def check(self) -> None:
        """No verifier can allow a record whose receipt is complete."""
        for receipt in rows(self.database, "receipts"):
            if receipt["completed_at"] is not None:
                able = [
                    id
                    for id, revision in self.copies.items()
                    if self.now < self.lease_until[id] and revision < receipt["revision"]
                ]
                assert not able, receipt


STEPS = ("register", "report", "renew", "end", "complete", "forget")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    schedule=st.lists(
        st.tuples(
            st.sampled_from(STEPS),
            st.sampled_from(["node_a", "node_b"]),
            st.sampled_from(
                [0, 0, 0, 1, 100, STALENESS - 1, STALENESS, 2 * STALENESS - 1, 2 * DAY]
            ),
        ),
        max_size=25,
    )
)
@example(
    # A lease renewed as late after a report as possible.
    schedule=[("register", "node_a", STALENESS - 1), ("renew", "node_a", 1), ("end", "node_a", 0)]
)
@example(
    # Silent since the revocation, with a lease that still runs.
    schedule=[
        ("register", "node_a", 0),
        ("renew", "node_a", 0),
        ("end", "node_a", STALENESS - 1),
        ("complete", "node_a", 0),
    ]
)
@example(
    # Out of reach for long, and back.
    schedule=[
        ("register", "node_a", 0),
        ("renew", "node_a", 2 * STALENESS),
        ("end", "node_a", 2 * DAY),
        ("forget", "node_a", 0),
        ("report", "node_a", 0),
        ("renew", "node_a", 0),
        ("register", "node_a", 0),
        ("renew", "node_a", 0),
        ("end", "node_a", 0),
    ]
)
def test_a_receipt_is_never_complete_while_a_verifier_can_allow(
    database: Database, schedule: list[tuple[str, str, int]]
) -> None:
    world = World(database)
    for step, id, passes in schedule:
        getattr(world, step)(id)
        world.complete(id)
        world.check()
        world.now += passes
        world.check()
