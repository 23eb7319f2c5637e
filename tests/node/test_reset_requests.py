"""Password reset requests: their limits, and what they disclose."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from gatepass.core.errors import Unavailable
from gatepass.node import reset_requests
from gatepass.node.reset_requests import ResetRequests
from gatepass.registry.authentication.throttling import MOST_PER_ADDRESS, WINDOW_MS
from gatepass.registry.storage.database import Database
from tests.support.database.small_registry import ADDRESS, HOUR, SmallRegistry, nothing_changes

ADA = "ada@northwind.example"
NOBODY = "nobody@northwind.example"


@pytest.fixture
def woken() -> list[str]:
    """One entry for each time that mail was enqueued."""
    return []


@pytest.fixture
def requests(registry: SmallRegistry, woken: list[str]) -> ResetRequests:
    return ResetRequests(registry.database, lambda: registry.now, lambda: woken.append("mail"))


def count(registry: SmallRegistry, table: str) -> int:
    with registry.read() as reading:
        return reading.session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


class Watched:
    """A registry's database that records which transactions are opened."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.used: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.used.append(name)
        found: Callable[..., Any] = getattr(self._database, name)
        return found


def test_a_request_is_handled_later(
    registry: SmallRegistry, requests: ResetRequests, woken: list[str]
) -> None:
    with nothing_changes(registry):
        requests.take("  Ada@NORTHWIND.example", ADDRESS)
    assert woken == []
    requests.handle()
    assert woken == ["mail"]
    assert (count(registry, "password_resets"), count(registry, "outgoing_mail")) == (1, 1)
    [event] = registry.events(action="user.password_reset_requested")
    assert (event.subject.id, event.address) == (registry.ada.id, ADDRESS)
    with nothing_changes(registry):
        requests.handle()


def test_accepting_a_request_reads_nothing(registry: SmallRegistry) -> None:
    """Its duration must not disclose whether the account exists."""
    watched = Watched(registry.database)
    requests = ResetRequests(watched, lambda: registry.now, lambda: None)  # type: ignore[arg-type]
    for email in (ADA, NOBODY):
        requests.take(email, ADDRESS)
    assert watched.used == []


def test_requests_for_unknown_addresses_write_nothing(
    registry: SmallRegistry, woken: list[str]
) -> None:
    """Not even a write transaction is begun, since those wait for each other."""
    watched = Watched(registry.database)
    requests = ResetRequests(
        watched,  # type: ignore[arg-type]
        lambda: registry.now,
        lambda: woken.append("mail"),
    )
    with nothing_changes(registry):
        for n in range(50):
            requests.take(f"nobody{n}@northwind.example", ADDRESS)
        for email in ("", "no address", "\x00", "\ud800@x", "ü" * 400):
            requests.take(email, ADDRESS)
        requests.handle()
    assert (watched.used, woken) == (["read"], [])


def test_an_account_gets_at_most_three_mails_an_hour(
    registry: SmallRegistry, requests: ResetRequests
) -> None:
    for round_ in range(10):
        for n in range(5):
            requests.take(ADA, f"192.0.2.{round_ * 5 + n}")
        requests.handle()
    assert count(registry, "password_resets") == 3
    assert len(registry.events(action="user.password_reset_requested")) == 3
    registry.now += HOUR
    requests.take(ADA, ADDRESS)
    requests.handle()
    assert count(registry, "password_resets") == 4


def test_requests_of_one_address_are_limited(
    registry: SmallRegistry, requests: ResetRequests, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(MOST_PER_ADDRESS + 50):
        requests.take(f"nobody{n}@northwind.example", f"2001:db8:1:2:{n:x}::1")
    requests.take(ADA, "2001:db8:1:2:ffff::1")
    with nothing_changes(registry):
        requests.handle()
    assert [record.getMessage() for record in caplog.records] == [
        "password reset requests are dropped: too many from one address"
    ]
    requests.take(ADA, "2001:db8:1:3::1")
    requests.handle()
    assert count(registry, "password_resets") == 1
    registry.now += WINDOW_MS
    requests.take("carl@contoso.example", "2001:db8:1:2::1")
    requests.handle()
    assert count(registry, "password_resets") == 2


def test_the_number_of_pending_requests_is_bounded(
    registry: SmallRegistry,
    requests: ResetRequests,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(reset_requests, "_MOST_WAITING", 3)
    monkeypatch.setattr(reset_requests, "_MOST_SOURCES", 10)
    for n in range(40):
        requests.take(f"nobody{n}@northwind.example", f"192.0.2.{n}")
    assert len(requests._waiting) == 3
    assert len(requests._asked) <= 10
    requests.take(ADA, ADDRESS)
    requests.handle()
    assert count(registry, "password_resets") == 0
    assert len(caplog.records) == 1
    requests.take(ADA, ADDRESS)
    requests.handle()
    assert count(registry, "password_resets") == 1


def test_requests_are_handled_again_after_an_outage(
    registry: SmallRegistry, requests: ResetRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(now: int) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(registry.database, "read", away)
        requests.take(ADA, ADDRESS)
        requests.handle()
    requests.take(ADA, ADDRESS)
    requests.handle()
    assert count(registry, "password_resets") == 1
