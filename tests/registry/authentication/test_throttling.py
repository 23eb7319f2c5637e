"""Throttling: the keys of failed sign-ins, and attempts to circumvent the limits."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gatepass.registry.authentication import throttling
from gatepass.registry.authentication.throttling import source_of
from gatepass.registry.grants.compaction import compact
from tests.support.database.small_registry import ADDRESS, HOUR, MINUTE, SmallRegistry

ADA = "ada@northwind.example"
NOBODY = "nobody@northwind.example"
WINDOW = 15 * MINUTE


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::FFFF:cb00:7109", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8::1:0:0:0:1", "2001:db8:0:1::/64"),
        ("::1", "::/64"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff::/64"),
        # Mechanisms that carry an IPv4 address are networks like any other.
        ("2002:cb00:7109:1::1", "2002:cb00:7109:1::/64"),
        ("64:ff9b::203.0.113.9", "64:ff9b::/64"),
        ("203.0.113.9 ", None),
        ("fe80::1%eth0", None),
        ("", None),
        (None, None),
    ],
)
def test_the_source_of_an_address(address: str | None, source: str | None) -> None:
    assert source_of(address) == source


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_an_ipv6_64_is_one_source(network: int, one: int, other: int) -> None:
    def address(host: int) -> str:
        hexadecimal = f"{(network << 64) | host:032x}"
        return ":".join(hexadecimal[at : at + 4] for at in range(0, 32, 4))

    if network:
        assert source_of(address(one)) == source_of(address(other)) != source_of("2001:db8::")


SOURCES = (ADDRESS, "192.0.2.1", "2001:db8:1:2::7", "192.0.2.2")
_failures = st.lists(
    st.tuples(
        st.sampled_from((ADA, NOBODY)),
        st.sampled_from(SOURCES),
        st.sampled_from((0, 0, 0, 0, 0, 1000, 5 * MINUTE, WINDOW)),
    ),
    max_size=60,
)


@pytest.mark.slow
@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(_failures)
def test_at_most_ten_failures_in_any_fifteen_minutes(
    sqlite_registry: SmallRegistry, failures: list[tuple[str, str, int]]
) -> None:
    """However the failures of two accounts are spread over sources and time, the only one that is
    known to one of them included."""
    registry = sqlite_registry
    registry.signed_in(registry.ada)
    with registry.database.auxiliary_write(registry.now) as write:
        write.session.execute(text("DELETE FROM sign_in_failures"))
    failed: dict[Any, list[int]] = defaultdict(list)
    for email, address, later in failures:
        registry.now += later
        known = (email, address) == (ADA, ADDRESS)
        key = (email, known)
        lately = [at for at in failed[key] if at > registry.now - WINDOW]
        with registry.database.auxiliary_write(registry.now) as write:
            attempt = throttling.Attempt(
                throttling._digest(email),
                source_of(address),
                throttling._is_known(write, email, source_of(address)),
            )
            assert attempt.known == known
            counted = throttling.count_failure(write, attempt)
            refused = throttling.refusal(write, attempt)
        # The eleventh is counted, and refused like all that follow.
        assert counted == (len(lately) <= 10)
        assert (refused is not None) == (len(lately) >= 10)
        if counted:
            failed[key].append(registry.now)


@pytest.mark.parametrize("ahead", [HOUR, 365 * 24 * HOUR])
def test_failures_from_a_clock_far_ahead_are_not_counted(
    registry: SmallRegistry, ahead: int
) -> None:
    """Safe, because the same limit applied to those guesses at their time."""
    corrected = registry.now
    registry.now += ahead
    attempt = fail_until_refused(registry)
    registry.now = corrected
    assert registry.ask(throttling.refusal, attempt) is None
    # The limit itself still applies.
    fail_until_refused(registry)


def test_failures_from_a_clock_slightly_ahead_count(registry: SmallRegistry) -> None:
    """Nodes' clocks differ, and a request that waited for its turn has an earlier time than those
    that it waited for."""
    attempt = fail_until_refused(registry)
    registry.now -= 5_000
    refused = registry.ask(throttling.refusal, attempt)
    assert refused is not None
    assert refused.retry_after <= WINDOW // 1000 + 5


def fail_until_refused(registry: SmallRegistry) -> throttling.Attempt:
    with registry.database.auxiliary_write(registry.now) as write:
        attempt = throttling.begin(write, ADA, ADDRESS)
        counted = 0
        while throttling.count_failure(write, attempt):
            counted += 1
    assert counted == throttling.MOST_PER_ACCOUNT + 1
    return attempt


def test_known_addresses_survive_compaction(
    registry: SmallRegistry,
) -> None:
    registry.signed_in(registry.ada)
    for later, known in ((30 * 24 * HOUR - 1, True), (1, False)):
        registry.now += later
        compact(registry.database, lambda: registry.now)
        assert registry.ask(throttling.begin, ADA, ADDRESS).known == known


def test_an_address_is_known_for_its_own_account_only(registry: SmallRegistry) -> None:
    registry.signed_in(registry.ada)
    with registry.read() as reading:
        assert throttling.begin(reading, f" {ADA.upper()} ", ADDRESS).known
        for email in ("carl@contoso.example", NOBODY, "", "no address", "\0", "\ud800@x"):
            assert not throttling.begin(reading, email, ADDRESS).known


def test_old_failures_are_removed_in_small_batches(registry: SmallRegistry) -> None:
    def count() -> int:
        with registry.read() as reading:
            return reading.session.scalar(text("SELECT count(*) FROM sign_in_failures")) or 0

    def fail(number: int) -> None:
        with registry.database.auxiliary_write(registry.now) as write:
            attempt = throttling.begin(write, f"user{number}@x.example", f"2001:db8:{number:x}::")
            assert throttling.count_failure(write, attempt)

    for number in range(50):
        fail(number)
    assert count() == 150
    registry.now += WINDOW
    fail(50)
    assert count() == 53
    fail(51)
    assert count() == 6
