"""What is kept of a call, and the ids of refusals."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gatepass.core.observed_call import (
    LONGEST_ROUTE,
    ObservedCall,
    decision_id,
    needed,
    observe,
    observed_origin,
)
from gatepass.core.permissions import is_permission
from gatepass.core.reason import Reason
from gatepass.core.routes import Routes
from tests.support.vector_files import cases, load

DIGEST = bytes.fromhex(load("decision_ids.yaml")["digest"])
FIELDS = ("reason", "needed", "route", "method", "address", "origin")
AT = 1_800_000_000_000


@pytest.mark.parametrize("case", cases("decision_ids.yaml", "ids"))
def test_ids(case: dict[str, Any]) -> None:
    """The same for anybody who has the digest, in any language."""
    call = ObservedCall(*(case.get(field) for field in FIELDS))
    assert decision_id(DIGEST, call, case["at"]) == case["id"]


texts = st.none() | st.text("ab/:.", min_size=1, max_size=4)
calls = st.builds(
    ObservedCall,
    st.sampled_from([reason.value for reason in Reason]),
    st.lists(st.sampled_from(["a:b", "a:bb", "aa:b"]), max_size=2, unique=True).map(tuple),
    *[texts] * 4,
)
keys = st.tuples(calls, st.sampled_from([DIGEST, DIGEST[::-1]]), st.integers(0, 3))


@given(keys, keys)
def test_ids_are_equal_for_equal_calls_alone(one: Any, other: Any) -> None:
    """Of one token, on one day: no field runs into the next one."""
    ids = [decision_id(digest, call, AT + day * 86_400_000) for call, digest, day in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    assert all(len(each) == 26 and each[:4] == "dec_" and each[4:].isalnum() for each in ids)


def test_what_is_kept_of_a_call() -> None:
    routes = Routes([("GET /v1/charges/{id}", "charges:get")])
    route = routes.match("HEAD", "/v1/charges/secret?token=1")
    assert not isinstance(route, Reason)
    names = needed("refunds:create", route.permission)
    found = observe(Reason.address_not_allowed, names, route, "203.0.113.9", None)
    assert found == ObservedCall(
        "address_not_allowed",
        ("refunds:create", "charges:get"),
        "/v1/charges/{id}",
        "GET",
        "203.0.113.9",
        None,
    )
    unmatched = observe(Reason.route_unknown, (), None, None, "https://shop.example.com")
    assert (unmatched.route, unmatched.method) == (None, None)
    # A route that no report would take.
    long = structs.replace(route, text="GET /" + "x" * LONGEST_ROUTE)
    assert observe(Reason.allowed, (), long, None, None).route is None


@given(
    st.none() | st.text() | st.sampled_from(["a:b", "a:c", "a:*", "*"]),
    st.sampled_from([None, "a:b"]),
)
def test_only_well_formed_permissions_are_kept(permission: str | None, route: str | None) -> None:
    """In their order, each once."""
    kept = needed(permission, route)
    assert all(map(is_permission, kept))
    assert len(set(kept)) == len(kept) <= 2
    assert kept == tuple(dict.fromkeys(n for n in (permission, route) if n and is_permission(n)))
    assert needed("a:" + "b" * 200, "a:b") == ("a:b",)


@pytest.mark.parametrize(
    ("origin", "referer", "kept"),
    [
        (None, None, None),
        ("https://Shop.example.com:443", None, "https://shop.example.com"),
        ("https://shop.example.com", "https://example.net/x", "https://shop.example.com"),
        ("http://localhost:3000", None, "http://localhost:3000"),
        ("capacitor://localhost", None, "capacitor://localhost"),
        (None, "https://shop.example.com/cart?card=4111#x", "https://shop.example.com"),
        (None, "https://shop.example.com/" + "x" * 4_000, "https://shop.example.com"),
        (None, "about:blank", None),
        ("null", None, None),
        ("", "https://shop.example.com/", None),
        ("https://shop.example.com/", None, None),
        ("https://u:p@shop.example.com", None, None),
        ("x" * 5_000, None, None),
        ("\ud800", None, None),
        (["https://shop.example.com"], None, None),
        # 255 characters in all, and one more.
        ("s" * 240 + "://example.com", None, "s" * 240 + "://example.com"),
        ("s" * 241 + "://example.com", None, "s" * 241 + "://example.com"),
        ("s" * 242 + "://example.com", None, None),
    ],
)
def test_origins(origin: Any, referer: Any, kept: str | None) -> None:
    """Never a path, never more than 255 characters; asked again, the same."""
    for _ in range(2):
        assert observed_origin(origin, referer) == kept


@given(st.none() | st.text(max_size=600), st.none() | st.text(max_size=600))
def test_any_text_may_be_an_origin(origin: str | None, referer: str | None) -> None:
    """Nothing raises."""
    observed_origin(origin, referer)
