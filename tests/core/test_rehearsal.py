"""Which calls a rehearsal refuses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.credentials import ACCESS_TOKEN, make, parse
from gatepass.core.decision import Call, Reason, decide
from gatepass.core.grants import CompanyRules, Grant, Holder, Rehearsal
from gatepass.core.networks import parse_address
from gatepass.core.rehearsal import refuses
from gatepass.core.routes import CatalogueRoute

TOKEN = "gpat_4fT0aB3cD5eF7gH9"
START = 1_700_000_000_000
CALL: dict[str, Any] = {
    "address": parse_address("203.0.113.9"),
    "permission": "charges:get",
    "route": None,
}


def refused(share: int, now: int = START, **call: Any) -> bool:
    rehearsal = Rehearsal(START, START + 3_600_000, share)
    return refuses(rehearsal, TOKEN, now, **CALL | call)


def test_known_calls() -> None:
    """The bytes of docs/reference/rules.md: another implementation must choose the same calls."""
    chosen = [second for second in range(40) if refused(10, START + second * 1000)]
    assert chosen == [4, 14, 15]


@given(st.integers(0, 3_599_999), st.integers(1, 99))
def test_a_larger_share_refuses_the_same_calls_and_more(offset: int, share: int) -> None:
    if refused(share, START + offset):
        assert refused(share + 1, START + offset)
    assert refused(100, START + offset)
    second = START + offset // 1000 * 1000
    assert {refused(share, second + ms) for ms in (0, 500, 999)} == {refused(share, second)}


@pytest.mark.parametrize("share", [1, 10, 50, 90])
def test_the_share_of_calls(share: int) -> None:
    found = sum(refused(share, START + second * 1000) for second in range(3_000))
    assert abs(found - 30 * share) < 150


@pytest.mark.parametrize(
    "other",
    [
        {"address": None},
        {"address": parse_address("203.0.113.8")},
        {"permission": "charges:create"},
        {"permission": None, "route": "GET /v1/charges"},
        {"route": "GET /v1/charges"},
    ],
)
def test_calls_are_chosen_apart(other: dict[str, Any]) -> None:
    seconds = range(400)
    one, two = (
        [refused(50, START + second * 1000, **call) for second in seconds] for call in ({}, other)
    )
    assert one != two


def test_it_ends_by_the_clock() -> None:
    rehearsal = Rehearsal(START, START + 60_000, 100)
    assert refuses(rehearsal, TOKEN, START + 59_999, **CALL)
    assert not refuses(rehearsal, TOKEN, START + 60_000, **CALL)
    # A node whose clock is behind refuses as well.
    assert refuses(rehearsal, TOKEN, START - 500, **CALL)


def test_two_routes_with_one_permission_are_chosen_apart() -> None:
    credential = make(ACCESS_TOKEN)
    parsed = parse(credential.text)
    assert parsed is not None
    names = frozenset({"charges:get"})
    grant = Grant(
        *(credential.id, credential.digest, "api", "cmp_1", "usr_1", "", names, None, ()),
        expires_at=None,
        deactivated=True,
        rehearsal=Rehearsal(START, START + 3_600_000, 50),
    )
    holder = Holder("usr_1", "cmp_1", active=True, role="reader")
    company = CompanyRules("cmp_1", active=True, allowlist=None, roles={"reader": names})
    one, two = (
        [
            decide(grant, holder, company, Call(parsed, route=route), START + second * 1000).reason
            for second in range(100)
        ]
        for route in (
            CatalogueRoute(f"GET {path}", "GET", path, "charges:get")
            for path in ("/v1/charges", "/v1/charges/{id}")
        )
    )
    assert set(one) == set(two) == {Reason.allowed, Reason.token_rehearsed}
    assert one != two
