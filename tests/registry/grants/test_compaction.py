"""Garbage collection: what is deleted, when, and that followers stay correct."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from gatepass.core.networks import Networks
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions, used_once
from gatepass.registry.grants import compaction
from gatepass.registry.grants.compaction import (
    DELIVERIES_KEPT_MS,
    GRANTS_KEPT_MS,
    HISTORY_KEPT_MS,
    MAIL_KEPT_MS,
    compact,
)
from gatepass.registry.grants.publishing import published_grant
from gatepass.registry.storage import revisions
from gatepass.registry.storage.idempotent_answers import KEPT_MS
from gatepass.registry.storage.revisions import Position
from gatepass.registry.storage.tables import (
    email_changes,
    idempotent_answers,
    outgoing_mail,
    password_resets,
)
from gatepass.registry.tokens import access_tokens
from gatepass.registry.webhooks import hooks, queue
from gatepass.registry.webhooks.queue import Outcome
from tests.support.database.small_registry import HOUR, MINUTE, SmallRegistry
from tests.support.feed.followed_copy import published

LIFETIME = 3 * HOUR


class Copy:
    """A follower's copy, advanced by the test.

    Attributes:
        rebuilt: how often it was rebuilt.
    """

    def __init__(self, registry: SmallRegistry) -> None:
        self._registry = registry
        self.rows: dict[tuple[str, str], tuple[bytes, int]] = {}
        self.at: Position | None = None
        self.rebuilt = 0

    def follow(self) -> None:
        """Read the changes, or rebuild."""
        with self._registry.read() as reading:
            ahead = None if self.at is None else revisions.changes_since(reading, self.at)
            if ahead is None:
                self.rebuilt += 1
                self.at = revisions.latest(reading)
        if ahead is None:
            self.rows = published(self._registry.database)
            return
        self.at, changed = ahead
        for table, key, record, revision in changed:
            if record is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = (bytes(record), revision)

    def check(self) -> None:
        assert self.rows == published(self._registry.database)


def run(registry: SmallRegistry, **how: Any) -> compaction.Compacted:
    return compact(registry.database, lambda: registry.now, **how)


def has_grant(registry: SmallRegistry, credential: str | None) -> bool:
    assert credential is not None
    return registry.ask(published_grant, credential) is not None


def count(registry: SmallRegistry, table: str) -> int:
    with registry.read() as reading:
        number: int = reading.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return number


def test_a_login_tokens_grant_is_deleted_a_day_after_it_ended(registry: SmallRegistry) -> None:
    """Then it is refused like an unknown text; the sign-in stays listed."""
    ended = registry.signed_in(registry.ada)
    registry.do(sessions.sign_out, ended)
    token, _ = registry.token(registry.signed_in(registry.ada), expires_at=registry.now + HOUR)
    expiring = registry.signed_in(registry.carl)
    copy = Copy(registry)
    copy.follow()
    registry.now += GRANTS_KEPT_MS - 1
    run(registry)
    assert has_grant(registry, ended.credential)
    registry.now += 1
    run(registry)
    assert not has_grant(registry, ended.credential)
    assert has_grant(registry, expiring.credential)
    registry.now += LIFETIME
    current = registry.signed_in(registry.ada)
    run(registry)
    assert not has_grant(registry, expiring.credential)
    # An access token's past use is asked about: it goes on being "expired".
    assert has_grant(registry, token.id)
    assert has_grant(registry, current.credential)
    listed = registry.ask(sessions.list_, current).items
    assert ended.credential in [each.id for each in listed]
    copy.follow()
    copy.check()
    assert copy.rebuilt == 1


def test_grants_are_deleted_in_small_changes_with_pauses(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_GRANTS_AT_ONCE", 2)
    monkeypatch.setattr(compaction, "_SCANNED_AT_ONCE", 3)
    for _ in range(7):
        registry.signed_in(registry.ada)
    registry.now += LIFETIME + GRANTS_KEPT_MS
    before = registry.revision()
    pauses = []

    def pause() -> bool:
        pauses.append(registry.revision() - before)
        return len(pauses) < 3

    run(registry, pause=pause)
    assert pauses[:3] == [1, 2, 3]
    assert registry.revision() == before + 3
    run(registry)
    assert registry.revision() - before in (4, 5)
    # Nothing is left, and nothing is changed for it.
    assert run(registry).grants == 0
    assert registry.revision() - before in (4, 5)


def test_a_follower_up_to_seven_days_old_catches_up_and_an_older_one_rebuilds(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_AT_ONCE", 3)
    old, young = Copy(registry), Copy(registry)
    old.follow()
    registry.now += MINUTE
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada)
    young.follow()
    registry.now += HISTORY_KEPT_MS - 1
    last = registry.signed_in(registry.ada)
    assert run(registry).revisions > 3
    assert run(registry).revisions == 0
    for copy, rebuilt in ((old, 2), (young, 1)):
        copy.follow()
        copy.check()
        assert copy.rebuilt == rebuilt
    assert not has_grant(registry, ada.credential)
    assert has_grant(registry, token.id)
    assert has_grant(registry, last.credential)


def test_the_latest_revision_is_kept_however_old(registry: SmallRegistry) -> None:
    """Otherwise all current followers would rebuild their copies."""
    registry.now += LIFETIME + GRANTS_KEPT_MS
    run(registry)
    copy = Copy(registry)
    copy.follow()
    registry.now += 100 * HISTORY_KEPT_MS
    run(registry)
    assert count(registry, "revisions") == 1
    copy.follow()
    copy.check()
    assert copy.rebuilt == 1
    with registry.write():
        pass
    copy.follow()
    assert copy.rebuilt == 1


def test_mail_and_links_are_deleted_a_month_after_they_expired(registry: SmallRegistry) -> None:
    made = {"created_at": registry.now, "expires_at": registry.now + HOUR}
    with registry.database.auxiliary_write(registry.now) as write:
        write.session.execute(
            insert(password_resets), [{"id": "rst_1", "user_id": registry.ada.id, **made}]
        )
        change = {"former_email": "a@b.example", "email": "c@d.example", "requested_by_name": "Ada"}
        write.session.execute(
            insert(email_changes), [{"id": "eml_1", "user_id": registry.ada.id, **change, **made}]
        )
        mail = {
            "kind": "password_reset",
            "subject_id": "rst_1",
            "company_id": registry.northwind.id,
            "recipient": "ada@northwind.example",
            "due_at": registry.now,
            "attempts": 1,
            **made,
        }
        states = ("delivered", "given_up", "dropped", "handed_over")
        write.session.execute(
            insert(outgoing_mail),
            [{"id": f"mail_{n}", "state": s, **mail} for n, s in enumerate(states)],
        )
    registry.now += HOUR + MAIL_KEPT_MS - 1
    done = run(registry)
    assert (done.mail, done.password_resets, done.email_changes) == (0, 0, 0)
    registry.now += 1
    done = run(registry)
    assert (done.mail, done.password_resets, done.email_changes) == (4, 1, 1)


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.sampled_from(
            ("sign in", "sign out", "make", "end", "hours", "days", "compact", "follow one")
        ),
        min_size=10,
        max_size=30,
    )
)
def test_a_copy_that_followed_always_equals_the_registry(
    registry: SmallRegistry, steps: list[str]
) -> None:
    ada = registry.signed_in(registry.ada)
    here: list[Actor] = []
    tokens: list[str] = []
    copies = [Copy(registry), Copy(registry)]

    def end_token() -> None:
        if tokens:
            registry.do(access_tokens.deactivate, Actor.command_line(), tokens.pop())

    def sign_out() -> None:
        if here:
            registry.do(sessions.sign_out, here.pop())

    def pass_time(ms: int) -> None:
        nonlocal ada
        registry.now += ms
        here.clear()
        ada = registry.signed_in(registry.ada)

    done: dict[str, Callable[[], object]] = {
        "sign in": lambda: here.append(registry.signed_in(registry.carl)),
        "sign out": sign_out,
        "make": lambda: tokens.append(registry.token(ada)[0].id),
        "end": end_token,
        "hours": lambda: pass_time(20 * HOUR),
        "days": lambda: pass_time(HISTORY_KEPT_MS // 2),
        "compact": lambda: run(registry),
        "follow one": lambda: (copies[0].follow(), copies[0].check()),
    }
    for step in steps:
        done[step]()
    for copy in copies:
        copy.follow()
        copy.check()


def test_answers_are_kept_for_a_day(registry: SmallRegistry) -> None:
    with registry.database.auxiliary_write(registry.now) as write:
        for number, age in enumerate((KEPT_MS + 1, KEPT_MS, KEPT_MS - 1)):
            row = {
                "credential": "gpak_0000000000000000",
                "key_digest": bytes([number]),
                "path_digest": bytes(32),
                "at": registry.now - age,
                "sealed": b"",
            }
            write.session.execute(insert(idempotent_answers), row)
    assert compact(registry.database, lambda: registry.now).idempotent_answers == 2
    with registry.read() as reading:
        left = reading.session.scalars(idempotent_answers.select()).all()
    assert len(left) == 1


def test_identifiers_that_are_used_once_are_deleted_when_they_expire(
    registry: SmallRegistry,
) -> None:
    """By then what they identify is refused by its age."""
    with registry.write() as change:
        assert used_once.use(change, "logout", "one", kept_ms=HOUR)
        assert used_once.use(change, "state", "one", kept_ms=2 * HOUR)
        assert not used_once.use(change, "logout", "one", kept_ms=HOUR)
    registry.now += HOUR - 1
    assert run(registry).used_once == 0
    registry.now += 1
    assert run(registry).used_once == 1
    with registry.write() as change:
        assert not used_once.use(change, "state", "one", kept_ms=HOUR)


def test_portal_sessions_are_deleted_a_day_after_they_ended(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_GRANTS_AT_ONCE", 1)
    owner = registry.external_owner()
    copy = Copy(registry)
    tokens = [registry.portal_session(owner)[:21] for _ in range(3)]
    copy.follow()
    registry.now += 900_000 + GRANTS_KEPT_MS - 1
    assert run(registry).portal_sessions == 0
    assert all(has_grant(registry, token) for token in tokens)
    registry.now += 1
    # A session whose grant is still there stays: nothing else would delete the grant.
    assert run(registry, pause=lambda: False).portal_sessions == 1
    run(registry)
    assert count(registry, "portal_sessions") == 0
    assert not any(has_grant(registry, token) for token in tokens)
    copy.follow()
    copy.check()


def test_deliveries_to_webhooks_are_deleted_after_a_month(registry: SmallRegistry) -> None:
    """Delivered or not: a paused webhook's, too."""
    ada = registry.signed_in(registry.ada)
    webhook, _ = registry.do(
        hooks.create,
        ada,
        key=registry.encryption_key,
        networks=Networks(),
        url="https://hooks.example.com/",
        events=["access_token.*"],
    )
    registry.token(ada)
    registry.token(ada)
    (first, _) = registry.ask(queue.due, webhook.id, 2)
    (claimed,) = registry.auxiliary(queue.claim, [first])
    registry.auxiliary(queue.settle, claimed, Outcome(200, None, 1))
    registry.now += DELIVERIES_KEPT_MS - 1
    assert run(registry).webhook_deliveries == 0
    registry.now += 1
    assert run(registry).webhook_deliveries == 2
    assert run(registry).webhook_deliveries == 0
