"""Throttling of failed sign-ins over REST: what it refuses, and until when."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from gatepass.core.errors import GatepassError
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import throttling
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Visit
from tests.support.mail.mailbox import Mailbox

ADA = "ada@example.com"
NOBODY = "nobody@example.com"
HOME = "198.51.100.7"
NEW = "a wholly new phrase"
DAY = 86_400_000


def at(installation: Installation, address: str) -> httpx.Client:
    """A client with that address."""
    client = installation.client()
    client.headers["X-Forwarded-For"] = address
    return client


def attempt(
    installation: Installation, address: str, password: str = "wrong", email: str = ADA
) -> int:
    answer = at(installation, address).post(
        "/v1/authentications", json={"email": email, "password": password}
    )
    if answer.status_code == 429:
        assert answer.json()["reason"] == "too_many_attempts"
        assert 0 < int(answer.headers["retry-after"]) <= 15 * 60
    return answer.status_code


def fail_from_anywhere(installation: Installation, email: str = ADA) -> None:
    """Fail from many addresses, until the account's limit refuses."""
    statuses = [attempt(installation, f"192.0.2.{n}", email=email) for n in range(13)]
    assert statuses == [401] * 10 + [429] * 3


def test_failures_elsewhere_dont_lock_out_a_known_address(any_installation: Installation) -> None:
    """The password is still required, and a known address has the same limit as an account."""
    assert attempt(any_installation, HOME, PASSWORD) == 201
    fail_from_anywhere(any_installation)
    assert attempt(any_installation, "203.0.113.1", PASSWORD) == 429
    assert attempt(any_installation, HOME, PASSWORD) == 201
    assert [attempt(any_installation, HOME) for _ in range(12)] == [401] * 10 + [429] * 2
    assert attempt(any_installation, HOME, PASSWORD) == 429


def test_a_successful_sign_in_resets_no_count(any_installation: Installation) -> None:
    assert [attempt(any_installation, HOME) for _ in range(10)] == [401] * 10
    assert attempt(any_installation, HOME, PASSWORD) == 201
    assert attempt(any_installation, HOME) == 429
    assert attempt(any_installation, HOME, PASSWORD) == 429


def test_addresses_are_known_per_account(any_installation: Installation) -> None:
    any_installation.new_user("bob@example.com")
    assert attempt(any_installation, HOME, PASSWORD, "bob@example.com") == 201
    for email in (ADA, NOBODY):
        fail_from_anywhere(any_installation, email)
        assert attempt(any_installation, HOME, PASSWORD, email) == 429
    assert attempt(any_installation, HOME, PASSWORD, "bob@example.com") == 201


def test_failures_at_a_known_address_dont_count_for_the_account(
    any_installation: Installation,
) -> None:
    assert attempt(any_installation, HOME, PASSWORD) == 201
    assert [attempt(any_installation, HOME) for _ in range(11)] == [401] * 10 + [429]
    # Another address has its own count.
    assert attempt(any_installation, "203.0.113.1", PASSWORD) == 201
    assert attempt(any_installation, "203.0.113.1") == 401


def test_an_address_is_known_for_thirty_days(
    any_installation: Installation, tolerant_of_clock_differences: None
) -> None:
    assert attempt(any_installation, HOME, PASSWORD) == 201
    with any_installation.node.database.auxiliary_write(any_installation.node.clock.now()) as write:
        moved = text("UPDATE authentications SET created_at = created_at - :by")
        write.session.execute(moved, {"by": 30 * DAY - 60_000})
    fail_from_anywhere(any_installation)
    assert attempt(any_installation, HOME) == 401
    with any_installation.node.database.auxiliary_write(any_installation.node.clock.now()) as write:
        write.session.execute(moved, {"by": 60_000})
    assert attempt(any_installation, HOME) == 429


def test_ipv6_addresses_are_counted_per_64_prefix(any_installation: Installation) -> None:
    statuses = [
        attempt(any_installation, f"2001:db8:1:2:{n:x}::{n:x}", email=f"user{n}@example.com")
        for n in range(101)
    ]
    assert statuses == [401] * 100 + [429]
    assert attempt(any_installation, "2001:db8:1:2:ffff::", PASSWORD) == 429
    assert attempt(any_installation, "2001:db8:1:3::1", PASSWORD) == 201


def test_a_known_ipv6_address_covers_its_64_prefix(any_installation: Installation) -> None:
    assert attempt(any_installation, "2001:db8:1:2:aaaa::1", PASSWORD) == 201
    fail_from_anywhere(any_installation)
    assert attempt(any_installation, "2001:db8:1:2:bbbb::9", PASSWORD) == 201
    assert attempt(any_installation, "2001:db8:1:3::1", PASSWORD) == 429


def test_mapped_addresses_count_as_ipv4(any_installation: Installation) -> None:
    assert attempt(any_installation, HOME, PASSWORD) == 201
    fail_from_anywhere(any_installation)
    assert attempt(any_installation, f"::ffff:{HOME}", PASSWORD) == 201
    # One /64 prefix of mapped addresses would cover all of IPv4.
    assert attempt(any_installation, "::ffff:203.0.113.9", PASSWORD) == 429


@pytest.mark.slow
def test_a_completed_password_reset_clears_the_accounts_count(
    open_installation: Callable[..., Installation], database_url: str
) -> None:
    with Mailbox() as mailbox:
        check_reset(open_installation(database_url, smtp_url=mailbox.url), mailbox)


def check_reset(installation: Installation, mailbox: Mailbox) -> None:
    assert attempt(installation, HOME, PASSWORD) == 201
    for _ in range(11):
        attempt(installation, HOME)
    fail_from_anywhere(installation)
    fail_from_anywhere(installation, NOBODY)
    elsewhere = Visit(at(installation, "203.0.113.1"))
    elsewhere.send("/password-resets", {"email": ADA})
    installation.node.reset_requests.handle()
    installation.node.mailing.send_due()
    mailbox.wait()
    path = f"/password-resets/{mailbox.token()}"
    # Requesting and opening a link clears nothing.
    elsewhere.get(path)
    assert attempt(installation, HOME, PASSWORD) == 429
    assert elsewhere.send(path, {"password": NEW}).answer.status_code == 303
    assert attempt(installation, HOME, NEW) == 201
    # An attacker fills the account's count again at once; the address that used the link is
    # known, so it isn't refused.
    fail_from_anywhere(installation)
    assert attempt(installation, "203.0.113.2", NEW) == 429
    assert attempt(installation, "203.0.113.1", NEW) == 201
    assert attempt(installation, "203.0.113.1", NEW, NOBODY) == 429


@pytest.mark.parametrize("email", [ADA, NOBODY])
def test_every_throttled_sign_in_gets_the_same_answer(
    any_installation: Installation, email: str
) -> None:
    """It must not disclose whether the account exists."""
    assert attempt(any_installation, HOME, PASSWORD) == 201
    begun = time.monotonic()
    fail_from_anywhere(any_installation, email)
    answers = [
        at(any_installation, address).post(
            "/v1/authentications", json={"email": email, "password": password}
        )
        for address in ("192.0.2.1", "203.0.113.1", "2001:db8::1")
        for password in ("wrong", PASSWORD, "x" * 1025)
    ]
    # The seconds that are left go by meanwhile, and tell nothing else.
    passed = int(time.monotonic() - begun) + 1
    left = {int(re.findall("([0-9]+) seconds", answer.text)[0]) for answer in answers}
    assert all(900 - passed <= each <= 900 for each in left)
    bodies = {re.sub("[0-9]+ seconds", "… seconds", answer.text) for answer in answers}
    assert len(bodies) == 1
    assert "too_many_attempts" in bodies.pop()


def test_a_password_that_is_too_long_counts(any_installation: Installation) -> None:
    installation = any_installation
    statuses = [
        attempt(installation, f"192.0.2.{n}", "x" * 1025 if n % 2 else "é" * 513) for n in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2


def test_throttled_attempts_write_nothing(any_installation: Installation) -> None:
    fail_from_anywhere(any_installation)
    before = rows(any_installation)
    for n in range(5):
        attempt(any_installation, f"192.0.2.{n}")
        attempt(any_installation, f"203.0.113.{n}", "x" * 1025)
    assert rows(any_installation) == before


def rows(installation: Installation) -> list[int]:
    with installation.node.database.read(installation.node.clock.now()) as reading:
        return [
            reading.session.scalar(text(f"SELECT count(*) FROM {table}")) or 0
            for table in ("sign_in_failures", "audit_events", "authentications", "revisions")
        ]


def test_forwarding_headers_of_untrusted_peers_are_ignored(
    any_installation: Installation,
) -> None:
    assert attempt(any_installation, HOME, PASSWORD) == 201
    fail_from_anywhere(any_installation)
    outside = any_installation.client(peer="203.0.113.1")
    outside.headers["X-Forwarded-For"] = HOME
    body = {"email": ADA, "password": PASSWORD}
    assert outside.post("/v1/authentications", json=body).status_code == 429


def test_guessing_from_a_stolen_session_doesnt_lock_out_the_owner(
    any_installation: Installation,
) -> None:
    """Wrong current passwords count like failed sign-ins at the session's address."""
    owner = Visit.signed_in(at(any_installation, HOME))
    thief = Visit(at(any_installation, "203.0.113.1"))
    thief.client.cookies.set("gatepass", owner.client.cookies["gatepass"])
    wrong = {"current_password": "wrong", "password": NEW, "do": "change"}
    statuses = [thief.send("/account/password", wrong).answer.status_code for _ in range(12)]
    assert statuses == [422] * 10 + [429] * 2
    assert attempt(any_installation, "192.0.2.1", PASSWORD) == 429
    right = {"current_password": PASSWORD, "password": NEW, "do": "change"}
    assert thief.send("/account/password", right).answer.status_code == 429
    assert owner.send("/account/password", right).answer.status_code == 303
    assert attempt(any_installation, HOME, NEW) == 201


def test_unlocking_a_user_clears_the_counts(any_installation: Installation) -> None:
    assert attempt(any_installation, HOME, PASSWORD) == 201
    for _ in range(11):
        attempt(any_installation, HOME)
    fail_from_anywhere(any_installation)
    fail_from_anywhere(any_installation, NOBODY)
    now: Callable[[], int] = any_installation.node.clock.now
    with any_installation.node.database.auxiliary_write(now()) as write:
        user = throttling.unlock(write, Actor.command_line(), "Ada@Example.com")
    assert user.id == any_installation.ada.id
    assert attempt(any_installation, "203.0.113.1", PASSWORD) == 201
    assert attempt(any_installation, HOME, PASSWORD) == 201
    assert attempt(any_installation, "203.0.113.1", PASSWORD, NOBODY) == 429
    with (
        pytest.raises(GatepassError, match="no such user"),
        any_installation.node.database.auxiliary_write(now()) as write,
    ):
        throttling.unlock(write, Actor.command_line(), NOBODY)
    events: Any = (
        at(any_installation, HOME)
        .get(
            "/v1/audit-events",
            params={"action": "user.unlocked"},
            headers={"Authorization": f"Bearer {any_installation.sign_in()}"},
        )
        .json()["items"]
    )
    assert [event["subject"]["id"] for event in events] == [any_installation.ada.id]
