"""Observed calls: bounded rows of equal calls, whichever way they come in."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import select

from gatepass.core.errors import Forbidden, InvalidInput, NotFound
from gatepass.core.observed_call import CountedCall, ObservedCall, decision_id
from gatepass.registry.grants.compaction import CALLS_KEPT_DAYS, compact
from gatepass.registry.storage import tables
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls import observed_calls, usage
from gatepass.registry.tokens.calls.observed_calls import (
    ADDRESSES_TOLD_APART,
    MOST,
    MOST_ROWS,
    Caller,
    CallRecord,
)
from gatepass.registry.tokens.calls.usage import DAY_MS
from tests.support.database.small_registry import NOW, SmallRegistry

ALLOWED = ObservedCall(
    "allowed", ("charges:get",), "/v1/charges/{id}", "GET", "192.0.2.1", "https://shop.example.com"
)
REFUSED = ObservedCall("permission_missing", ("charges:create",), None, None, "192.0.2.1", None)
MIDNIGHT = NOW - NOW % DAY_MS


@pytest.fixture
def token(registry: SmallRegistry) -> str:
    return registry.token(registry.signed_in(registry.ada))[0].id


def counted(
    token: str,
    call: ObservedCall | None = ALLOWED,
    number: int = 1,
    at: int = NOW,
    *,
    first: int | None = None,
    allowed: bool | None = None,
) -> CountedCall:
    if call is not None:
        allowed = call.reason == "allowed"
    assert allowed is not None
    return CountedCall(token, allowed, call, number, at if first is None else first, at)


def fold(registry: SmallRegistry, *calls: CountedCall) -> None:
    registry.auxiliary(observed_calls.fold, calls)


def listed(registry: SmallRegistry, token: str, **filters: Any) -> list[CallRecord]:
    """All records of a token, page by page."""
    return registry.every(observed_calls.list_, token, **filters)


def digest(registry: SmallRegistry, token: str) -> bytes:
    table = tables.access_tokens.c
    with registry.read() as reading:
        found: bytes = reading.session.scalar(select(table.digest).where(table.id == token))
    return found


def test_equal_calls_are_one_row_of_the_day(registry: SmallRegistry, token: str) -> None:
    fold(registry, counted(token, ALLOWED, 2, NOW - 5, first=NOW - 9), counted(token, REFUSED))
    fold(registry, counted(token, ALLOWED, 3, NOW - 20), counted(token, ALLOWED, 1, NOW - 3))
    refused, allowed = listed(registry, token)
    assert allowed == CallRecord(
        decision=None,
        outcome="allowed",
        reason="allowed",
        permission="charges:get",
        route="/v1/charges/{id}",
        method="GET",
        address="192.0.2.1",
        origin="https://shop.example.com",
        count=6,
        first_at=NOW - 20,
        last_at=NOW - 3,
    )
    assert refused == CallRecord(
        decision=decision_id(digest(registry, token), REFUSED, NOW),
        outcome="refused",
        reason="permission_missing",
        permission="charges:create",
        route=None,
        method=None,
        address="192.0.2.1",
        origin=None,
        count=1,
        first_at=NOW,
        last_at=NOW,
    )
    # The next day they are other rows; the refusal has another id.
    fold(registry, counted(token, REFUSED, 1, NOW + DAY_MS))
    assert [each.count for each in listed(registry, token)] == [1, 1, 6]
    assert len({each.decision for each in listed(registry, token)}) == 3


def test_calls_that_differ_in_one_part_are_two_rows(registry: SmallRegistry, token: str) -> None:
    others: list[dict[str, Any]] = [
        {"reason": "address_not_allowed"},
        {"needed": ("charges:get", "charges:create")},
        {"needed": ()},
        {"route": "/v1/charges"},
        {"method": "POST"},
        {"route": None, "method": None},
        {"address": "192.0.2.2"},
        {"address": None},
        {"origin": "https://example.net"},
        {"origin": None},
    ]
    fold(registry, counted(token), *(counted(token, structs.replace(ALLOWED, **o)) for o in others))
    assert [each.count for each in listed(registry, token)] == [1] * 11


def test_calls_around_midnight_are_found_on_both_days(registry: SmallRegistry, token: str) -> None:
    before, after = MIDNIGHT - 400, MIDNIGHT + 300
    fold(registry, counted(token, REFUSED, 5, after, first=before))
    key = digest(registry, token)
    assert [(each.decision, each.count, each.first_at) for each in listed(registry, token)] == [
        (decision_id(key, REFUSED, after), 4, after),
        (decision_id(key, REFUSED, before), 1, before),
    ]


def test_rows_of_a_token_and_day_are_bounded(registry: SmallRegistry, token: str) -> None:
    """The first ones stay; the others count together, allowed and refused."""
    one, other = registry.token(registry.signed_in(registry.ada))[0].id, token

    def flood(token: str, start: int, end: int) -> list[CountedCall]:
        return [
            counted(token, structs.replace(each, address=f"10.0.{n // 256}.{n % 256}"), 1, NOW + n)
            for n in range(start, end)
            for each in [REFUSED if n % 3 else ALLOWED]
        ]

    fold(registry, *flood(one, 0, 150), counted(other))
    fold(registry, *flood(one, 100, 320), counted(one, None, 7, NOW - 9, allowed=True))
    fold(registry, *flood(one, 190, 210))
    rows = listed(registry, one)
    rest = [each for each in rows if each.reason is None]
    assert len(rows) - len(rest) == MOST_ROWS
    assert sum(each.count for each in rows) == 150 + 220 + 7 + 20
    nothing = dict.fromkeys(
        ("decision", "reason", "permission", "route", "method", "address", "origin")
    )
    assert {each.outcome: each for each in rest} == {
        "allowed": CallRecord(
            outcome="allowed", count=40 + 7 + 3, first_at=NOW - 9, last_at=NOW + 318, **nothing
        ),
        "refused": CallRecord(
            outcome="refused", count=80 + 7, first_at=NOW + 200, last_at=NOW + 319, **nothing
        ),
    }
    assert {each.address for each in rows if each.address} == {
        f"10.0.0.{n}" for n in range(MOST_ROWS)
    }
    # Neither another token nor another day has less room.
    assert len(listed(registry, other)) == 1
    fold(registry, counted(one, ALLOWED, 1, NOW + DAY_MS))
    assert listed(registry, one)[0].address == ALLOWED.address


def test_further_ipv6_addresses_count_by_64_bits(registry: SmallRegistry, token: str) -> None:
    def from_(number: int, network: str = "2001:db8:0:1", at: int = NOW) -> CountedCall:
        call = structs.replace(REFUSED, address=f"{network}::{number:x}")
        return counted(token, call, 1, at + number)

    whole = ADDRESSES_TOLD_APART
    # However they are spread over folds, and in whichever order they come.
    fold(registry, *(from_(number) for number in range(whole - 5, 0, -1)))
    fold(registry, *(from_(number) for number in range(whole + 10, 0, -1)))
    fold(registry, from_(3), from_(99), from_(7, "2001:db8:0:2"), counted(token, REFUSED))
    rows = {each.address: each for each in listed(registry, token)}
    assert set(rows) == {
        *(f"2001:db8:0:1::{number:x}" for number in range(1, whole + 1)),
        *("2001:db8:0:1::/64", "2001:db8:0:2::/64", "192.0.2.1"),
    }
    assert rows["2001:db8:0:1::3"].count == 3
    assert rows["2001:db8:0:1::/64"].count == 11
    # By the first call's whole address.
    first = structs.replace(REFUSED, address=f"2001:db8:0:1::{whole + 1:x}")
    assert rows["2001:db8:0:1::/64"].decision == decision_id(digest(registry, token), first, NOW)


def test_unknown_tokens_and_old_days_leave_nothing(registry: SmallRegistry, token: str) -> None:
    unknown = "gpat_0123456789abcdef"
    kept, gone = NOW - CALLS_KEPT_DAYS * DAY_MS, NOW - (CALLS_KEPT_DAYS + 1) * DAY_MS
    fold(
        registry,
        counted(unknown),
        counted(unknown, None, allowed=False),
        counted(token, ALLOWED, 1, kept),
        counted(token, ALLOWED, 1, gone),
    )
    with registry.read() as reading:
        rows = reading.session.execute(select(tables.observed_calls)).all()
    assert [(row.token_id, row.last_at) for row in rows] == [(token, kept)]


def test_compaction_deletes_them_after_90_days(registry: SmallRegistry, token: str) -> None:
    for ago in (0, CALLS_KEPT_DAYS, 40):
        fold(registry, counted(token, ALLOWED, 1, NOW - ago * DAY_MS))
    assert compact(registry.database, lambda: registry.now).observed_calls == 0
    registry.now += DAY_MS
    assert compact(registry.database, lambda: registry.now).observed_calls == 1
    registry.now += (CALLS_KEPT_DAYS - 40) * DAY_MS
    assert compact(registry.database, lambda: registry.now).observed_calls == 1
    assert [each.last_at for each in listed(registry, token)] == [NOW]


def test_counts_stop_at_the_maximum(registry: SmallRegistry, token: str) -> None:
    for number in (MOST - 1, 1, 1, MOST, 2**64):
        fold(registry, counted(token, ALLOWED, number), counted(token, ALLOWED, number))
    assert [each.count for each in listed(registry, token)] == [MOST]


def test_they_are_counted_with_the_use_of_the_same_lines(
    registry: SmallRegistry, token: str
) -> None:
    """Once, like all lines of a spool."""
    for counts in (True, False):
        calls = [counted(token)]
        assert registry.auxiliary(usage.fold, "1-a", 0, 10, [], calls) == counts
    assert [each.count for each in listed(registry, token)] == [1]


def test_a_list_shows_what_is_asked_for(registry: SmallRegistry, token: str) -> None:
    for number in range(6):
        call = structs.replace(REFUSED if number % 2 else ALLOWED, address=f"192.0.2.{number}")
        at = NOW - number * DAY_MS
        fold(registry, counted(token, call, 1, at, first=at - 10))

    def shown(**filters: Any) -> list[int]:
        found = listed(registry, token, **filters)
        return [int((each.address or "").rpartition(".")[2]) for each in found]

    assert shown() == shown(limit=1) == shown(limit=4) == [0, 1, 2, 3, 4, 5]
    assert shown(outcome="allowed") == [0, 2, 4]
    assert shown(outcome="refused", limit=2) == [1, 3, 5]
    assert shown(since=NOW - 2 * DAY_MS) == [0, 1, 2]
    assert shown(since=NOW - 2 * DAY_MS + 1) == [0, 1]
    assert shown(until=NOW - 2 * DAY_MS) == [2, 3, 4, 5]
    assert shown(until=NOW - 2 * DAY_MS - 10) == [3, 4, 5]
    assert shown(since=NOW - 3 * DAY_MS, until=NOW, outcome="allowed") == [0, 2]
    assert shown(since=NOW + DAY_MS) == []
    with pytest.raises(InvalidInput):
        registry.ask(observed_calls.list_, token, cursor="x")


def test_who_may_see_them(registry: SmallRegistry, token: str) -> None:
    """Who may see the token."""
    fold(registry, counted(token))
    ada, carl = registry.signed_in(registry.ada), registry.signed_in(registry.carl)
    assert len(registry.ask(access_tokens.calls, ada, token).items) == 1
    reporting = registry.colleague("reporting", "Rita")
    assert len(registry.ask(access_tokens.calls, reporting, token).items) == 1
    with pytest.raises(NotFound):
        registry.ask(access_tokens.calls, carl, token)
    with pytest.raises(Forbidden):
        registry.ask(access_tokens.calls, replace(ada, permissions=frozenset()), token)


def test_callers_are_named_the_latest_first(registry: SmallRegistry, token: str) -> None:
    def call(address: str | None, *needed: str, reason: str = "allowed") -> ObservedCall:
        return ObservedCall(reason, needed, None, None, address, None)

    def callers(since: int) -> list[Caller]:
        found = registry.ask(observed_calls.callers, {token: since, "gpat_unknown": 0})
        assert found.pop("gpat_unknown") == []
        return found[token]

    assert callers(0) == []
    assert registry.ask(observed_calls.last_seen, [token]) == {}
    day = NOW - DAY_MS
    fold(
        registry,
        counted(token, call("192.0.2.1", "charges:get"), 2, NOW - 50),
        counted(token, call("192.0.2.1", "charges:get"), 3, day),
        counted(token, call("192.0.2.1", "charges:create"), 1, NOW - 40),
        counted(token, call(None), 1, NOW - 60),
        counted(token, call("192.0.2.7", "charges:get"), 1, day - 1),
        counted(token, call("192.0.2.9", "charges:get", reason="token_expired"), 1, NOW - 1),
        counted(token, None, 4, NOW - 70, allowed=True),
    )
    fold(registry, counted(token, structs.replace(ALLOWED, origin=None), 1, NOW - 50))
    assert callers(day) == [
        Caller("192.0.2.1", "charges:create", NOW - 40, 1),
        Caller("192.0.2.1", "charges:get", NOW - 50, 6),
        Caller(None, None, NOW - 60, 5),
    ]
    assert callers(NOW - 45) == [Caller("192.0.2.1", "charges:create", NOW - 40, 1)]
    # A refused call, too, shows that somebody has the token.
    assert registry.ask(observed_calls.last_seen, [token]) == {token: NOW - 1}


def test_equal_calls_of_several_days_together(registry: SmallRegistry, token: str) -> None:
    day = NOW - DAY_MS
    fold(
        registry,
        *(counted(token, ALLOWED, 2, day, first=day - 5), counted(token, ALLOWED, 3, NOW - 9)),
        *(counted(token, REFUSED, 1, day), counted(token, REFUSED, 4, NOW - 2 * DAY_MS)),
        *(counted(token, None, MOST, NOW - 1, allowed=True) for _ in range(2)),
        counted(token, None, MOST, day, allowed=True),
    )

    def found(**wanted: Any) -> list[tuple[str, int, int, int]]:
        rows = registry.ask(
            observed_calls.over_days,
            token,
            **{"since": day, "outcome": None, "most": 9, **wanted},
        )
        return [(str(row.reason), row.count, row.first_at, row.last_at) for row in rows]

    rest = ("None", 2 * MOST, day, NOW - 1)
    allowed = ("allowed", 5, day - 5, NOW - 9)
    refused = ("permission_missing", 1, day, day)
    assert found() == [refused, rest, allowed]
    assert found(most=2) == [refused, rest]
    assert found(most=2, skipped=1) == [rest, allowed]
    assert found(outcome="allowed") == [rest, allowed]
    assert found(outcome="refused", since=0) == [("permission_missing", 5, NOW - 2 * DAY_MS, day)]
    (both,) = registry.ask(observed_calls.over_days, token, since=0, outcome="refused", most=9)
    assert both.decision == decision_id(digest(registry, token), REFUSED, day), "the last day's"
    assert found(since=NOW) == [("None", MOST, NOW - 1, NOW - 1), ("allowed", 3, NOW - 9, NOW - 9)]


def test_refused_calls_are_counted_by_day(registry: SmallRegistry, token: str) -> None:
    """As allowed ones are; those of a clock that is slightly fast are today's."""
    other = registry.token(registry.signed_in(registry.ada))[0].id
    fold(
        registry,
        *(
            counted(token, REFUSED, 4, NOW - 2 * DAY_MS),
            counted(token, REFUSED, 9, NOW - 3 * DAY_MS),
        ),
        *(
            counted(token, REFUSED, 2),
            counted(token, None, 5, allowed=False),
            counted(token, ALLOWED),
        ),
        counted(token, REFUSED, 1, NOW + DAY_MS),
    )
    found = registry.ask(usage.daily_refused, [token, other], days=3)
    assert found == {token: [4, 0, 8], other: [0, 0, 0]}
    assert registry.ask(usage.daily_refused, []) == {}
    reason = "permission_missing"
    totals = registry.ask(observed_calls.totals, [token, other], reason)
    assert totals == {token: 16, other: 0}


def test_at_most_fifty_callers_are_named(registry: SmallRegistry, token: str) -> None:
    calls = [structs.replace(ALLOWED, address=f"192.0.2.{number}") for number in range(60)]
    fold(registry, *(counted(token, call, 1, NOW + n) for n, call in enumerate(calls)))
    found = registry.ask(observed_calls.callers, {token: NOW})
    assert [each.address for each in found[token]] == [f"192.0.2.{n}" for n in range(59, 9, -1)]
