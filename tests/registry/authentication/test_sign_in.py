"""Sign-in: no oracle, throttled guessing, and only from the company's allowlist."""

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text, update

from gatepass.core.credentials import parse
from gatepass.core.decision import Reason
from gatepass.core.errors import GatepassError, SignInFailed, TooManyAttempts, Unavailable
from gatepass.core.grants import Holder
from gatepass.registry.actor import Actor, Person
from gatepass.registry.authentication import passwords
from gatepass.registry.grants.publishing import publish
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage import tables
from tests.support.database.small_registry import (
    ADDRESS,
    HOUR,
    MINUTE,
    NOW,
    PASSWORD,
    SmallRegistry,
    nothing_changes,
)

ADA = "ada@northwind.example"
NOBODY = "nobody@northwind.example"


class Watched(PasswordHasher):
    """A cheap hasher that records each verified hash and password."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[tuple[Any, Any]] = []

    def verify(self, hash: Any, password: Any) -> Any:
        self.verified.append((hash, password))
        return super().verify(hash, password)


def refusal(registry: SmallRegistry, **changes: Any) -> GatepassError:
    with pytest.raises(GatepassError) as refused:
        registry.sign_in(**changes)
    return refused.value


def fail(registry: SmallRegistry, times: int, **changes: Any) -> list[str]:
    """Fail *times* times, each from a new address unless one is given; returns the reasons."""
    return [
        refusal(registry, **{"password": "wrong", "address": f"192.0.2.{n % 250}"} | changes).reason
        for n in range(times)
    ]


def test_signing_in_issues_a_login_token_for_three_hours(registry: SmallRegistry) -> None:
    record, token, _ = registry.sign_in()
    credential = parse(token)
    assert credential is not None
    assert record.id == credential.id == token[:21]
    assert record.id.startswith("gplt_")
    assert record.user == Person(registry.ada.id, "Ada Lovelace")
    assert (record.status, record.current) == ("active", True)
    assert (record.created_at, record.expires_at) == (NOW, NOW + 3 * HOUR)
    assert (record.address, record.user_agent) == (ADDRESS, "a browser")
    assert registry.reason(token, "roles:manage") is Reason.allowed
    registry.now += 3 * HOUR
    assert registry.reason(token, "roles:manage") is Reason.token_expired
    event = registry.events(action="authentication.created")[-1]
    assert (event.actor_id, event.actor_credential) == (registry.ada.id, record.id)
    assert (event.company, event.address, event.at) == (registry.northwind.id, ADDRESS, NOW)


def test_case_and_surrounding_space_of_the_address_are_ignored(registry: SmallRegistry) -> None:
    assert registry.sign_in(email="  Ada@NORTHWIND.example ")[0].user.id == registry.ada.id


def test_every_refusal_is_the_same(registry: SmallRegistry) -> None:
    strange: list[dict[str, Any]] = [
        {"password": "wrong"},
        {"password": ""},
        {"password": "x" * 1025},
        {"password": "\ud800"},
        {"password": PASSWORD + "\0"},
        {"email": NOBODY},
        {"email": ""},
        {"email": "\0"},
        {"email": "\ud800@x"},
        {"email": "x" * 100_000},
        {"email": "ada@northwind.example\0"},
        {"user_agent": "\0\ud800", "password": "wrong"},
    ]
    for changes in strange:
        refused = refusal(registry, **changes)
        assert (type(refused), str(refused)) == (SignInFailed, str(SignInFailed()))


def test_strange_headers_are_harmless(registry: SmallRegistry) -> None:
    record, _, _ = registry.sign_in(user_agent="Bro\0w\ud800s\ner" + "x" * 1000, address=None)
    assert record.user_agent is not None
    assert record.user_agent.startswith("Browser")
    assert len(record.user_agent) == 300
    assert record.address is None


def test_a_deactivated_user_or_company_cannot_sign_in(registry: SmallRegistry) -> None:
    with registry.write() as change:
        change.session.execute(
            update(tables.users)
            .where(tables.users.c.id == registry.ada.id)
            .values(deactivated_at=NOW, deactivated_by_name="someone")
        )
        publish(change, Holder(registry.ada.id, registry.northwind.id, False, "admin"))
    assert isinstance(refusal(registry), SignInFailed)


def test_addresses_outside_the_allowlist_are_refused(registry: SmallRegistry) -> None:
    registry.do(
        allowlist.replace, Actor.command_line(), registry.northwind.id, [Entry("203.0.113.0/24")]
    )
    for address in (ADDRESS, None, "garbage", "203.0.113.1 "):
        assert isinstance(refusal(registry, address=address), SignInFailed)
    assert registry.sign_in(address="203.0.113.200")[0].status == "active"
    assert registry.sign_in(email="carl@contoso.example")[0].status == "active"


def test_every_refusal_does_the_same_work(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timing discloses nothing: every attempt verifies one hash before it is refused, whether the
    account exists or not, is active or not, and admits the address or not."""
    watched = Watched()
    registry.do(
        allowlist.replace, Actor.command_line(), registry.northwind.id, [Entry("203.0.113.0/24")]
    )
    for changes in (
        {"email": NOBODY},
        {"email": "no address at all"},
        {"password": "wrong", "address": "203.0.113.7"},
        {"password": "wrong"},
        {},
    ):
        before = len(watched.verified)
        assert isinstance(refusal(registry, **changes, hasher=watched), SignInFailed)
        assert len(watched.verified) == before + 1
    # The dummy hash has the same cost parameters.
    parameters = {kept.split("$")[3] for kept, _ in watched.verified}
    assert parameters == {"m=8,t=1,p=1"}


@pytest.mark.parametrize("email", [ADA, NOBODY])
def test_a_fixed_text_is_hashed_in_place_of_an_overlong_password(
    registry: SmallRegistry, email: str
) -> None:
    """They take the same way, and time, as others: whether there is an account isn't told apart by
    what is cheaper than hashing, nor does anyone write failures that cost them nothing."""
    watched = Watched()
    for password in ("é" * 513, "x" * 1025, "\ud800", "x" * 100_000):
        assert isinstance(
            refusal(registry, email=email, password=password, hasher=watched), SignInFailed
        )
    hashed = [password for _, password in watched.verified]
    assert len(hashed) == 4
    assert len(set(hashed)) == 1
    assert len(hashed[0]) < 100


@pytest.mark.parametrize("email", [ADA, NOBODY, "not an address"])
def test_from_the_eleventh_failure_an_account_is_throttled(
    registry: SmallRegistry, email: str
) -> None:
    assert fail(registry, 10, email=email) == ["sign_in_failed"] * 10
    assert fail(registry, 3, email=email.upper()) == ["too_many_attempts"] * 3
    refused = refusal(registry, email=email)
    assert isinstance(refused, TooManyAttempts)
    assert refused.retry_after == 15 * 60
    # Other accounts are unaffected.
    assert fail(registry, 1, email="carl@contoso.example") == ["sign_in_failed"]
    registry.now += 15 * MINUTE - 1
    assert refusal(registry, email=email).reason == "too_many_attempts"
    registry.now += 1
    assert fail(registry, 10, email=email) == ["sign_in_failed"] * 10


def test_after_ten_failures_the_right_password_works(registry: SmallRegistry) -> None:
    fail(registry, 10)
    assert registry.sign_in()[0].status == "active"
    assert fail(registry, 1) == ["too_many_attempts"]
    assert refusal(registry, address="192.0.2.0").reason == "too_many_attempts"
    # From the address of a success, others' failures don't count.
    assert registry.sign_in()[0].status == "active"


def test_successes_do_not_count(registry: SmallRegistry) -> None:
    for _ in range(12):
        registry.sign_in()
    assert fail(registry, 10) == ["sign_in_failed"] * 10


def test_from_the_hundred_and_first_failure_an_address_is_throttled(
    registry: SmallRegistry,
) -> None:
    reasons = [
        refusal(registry, email=f"user{n}@x.example", password="wrong").reason for n in range(101)
    ]
    assert reasons == ["sign_in_failed"] * 100 + ["too_many_attempts"]
    assert refusal(registry).reason == "too_many_attempts"
    assert registry.sign_in(address="192.0.2.1")[0].status == "active"


def test_retry_after_is_when_the_limit_allows_an_attempt(registry: SmallRegistry) -> None:
    for _ in range(11):
        fail(registry, 1)
        registry.now += MINUTE
    refused = refusal(registry)
    assert isinstance(refused, TooManyAttempts)
    assert refused.retry_after == 4 * 60
    registry.now += 4 * MINUTE - 1
    refused = refusal(registry)
    assert isinstance(refused, TooManyAttempts)
    assert refused.retry_after == 1
    registry.now += 1
    assert registry.sign_in()[0].status == "active"


def test_of_concurrent_attempts_ten_fail_and_the_rest_are_throttled(
    registry: SmallRegistry,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(lambda n: fail(registry, 1, address=f"192.0.2.{n}")[0], range(24)))
    assert sorted(reasons) == ["sign_in_failed"] * 10 + ["too_many_attempts"] * 14


def test_a_right_guess_beyond_the_limit_is_throttled(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst that began before the limit was reached must not get free guesses."""

    def slow(*arguments: Any, **named: Any) -> bool:
        fail_meanwhile()
        return True

    def fail_meanwhile() -> None:
        monkeypatch.undo()
        fail(registry, 11)

    monkeypatch.setattr(passwords, "verify", slow)
    assert refusal(registry).reason == "too_many_attempts"


def test_changes_during_hashing_are_detected(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(make: Callable[[Any], None]) -> Callable[..., bool]:
        def verify(*arguments: Any, **named: Any) -> bool:
            registry.do(make)
            return True

        return verify

    def other_password(write: Any) -> None:
        write.session.execute(update(tables.users).values(password_hash="another"))

    def closed(change: Any) -> None:
        allowlist.replace(
            change, Actor.command_line(), registry.northwind.id, [Entry("203.0.113.0/24")]
        )

    for make in (other_password, closed):
        monkeypatch.setattr(passwords, "verify", meanwhile(make))
        assert isinstance(refusal(registry), SignInFailed)


def test_at_most_two_passwords_are_hashed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    class Counting(PasswordHasher):
        def verify(self, hash: Any, password: Any) -> Any:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.01)
            with lock:
                running[0] -= 1
            return True

    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: passwords.verify("x", "y", hasher=hasher), range(16)))
    assert most == [2]
    monkeypatch.setattr(passwords, "_LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr(passwords, "_slots", threading.BoundedSemaphore(1))
    with passwords._slot(), pytest.raises(Unavailable):
        passwords.verify("x", "y", hasher=hasher)


def test_failures_of_known_accounts_are_in_the_audit_log(registry: SmallRegistry) -> None:
    fail(registry, 1, address="192.0.2.9")
    fail(registry, 1, email=NOBODY)
    [event] = registry.events(action="authentication.refused")
    assert (event.company, event.subject.id) == (registry.northwind.id, registry.ada.id)
    assert (event.actor_kind, event.actor_id, event.address) == ("system", None, "192.0.2.9")


def test_a_failure_changes_no_grants_and_stores_no_typed_address(registry: SmallRegistry) -> None:
    before = registry.revision()
    fail(registry, 1, email=NOBODY)
    assert registry.revision() == before
    with registry.read() as reading:
        keys = reading.session.scalars(text("SELECT key FROM sign_in_failures")).all()
    assert f"account:{hashlib.sha256(NOBODY.encode()).hexdigest()}" in keys
    assert not any("nobody" in key for key in keys)


def test_old_failures_are_removed(registry: SmallRegistry) -> None:
    fail(registry, 3)
    registry.now += 15 * MINUTE
    fail(registry, 1)
    with registry.read() as reading:
        assert reading.session.scalar(text("SELECT count(*) FROM sign_in_failures")) == 3


def test_a_throttled_attempt_writes_nothing(registry: SmallRegistry) -> None:
    fail(registry, 11)
    with nothing_changes(registry):
        refusal(registry)
