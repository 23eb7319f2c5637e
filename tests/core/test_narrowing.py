"""The narrowest limits that would have sufficed."""

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatepass.core.narrowing import (
    MOST_ADDRESSES,
    Limits,
    domain_of,
    is_narrower,
    narrowed,
)
from gatepass.core.networks import Networks, parse_network
from gatepass.core.replay import Replay, Rules, SeenCall
from tests.core.test_replay import NOW, rules

SHOP, OTHER = "https://shop.example.com", "https://example.net:8443"


def call(
    permission: str | None = "charges:get", address: str | None = None, **more: Any
) -> SeenCall:
    return SeenCall(True, permission, address=address, **more)


@pytest.mark.parametrize(
    ("present", "calls", "limits", "unused"),
    [
        # Permissions
        (("a:get", "a:create"), [call("a:get")], ("a:get",), ("a:create",)),
        (("a:*", "b:get"), [call("a:get"), call("a:create")], ("a:create", "a:get"), ("b:get",)),
        (("a:get", "b:get"), [call("a:get", second_permission="b:get")], ("a:get", "b:get"), ()),
        # Calls that the token isn't allowed any more need nothing.
        (("a:get",), [call("a:get"), call("b:get")], ("a:get",), ()),
        (("a:get",), [call("b:get")], ("a:get",), ()),
        # Gatepass's own API: its permissions stay.
        (
            ("a:*", "users:get", "access-tokens:*"),
            [call("a:get"), call(None)],
            ("a:get", "access-tokens:*", "users:get"),
            (),
        ),
        # A wildcard that stays has the permission that was seen.
        (("users:*", "users:get"), [call("users:get"), call(None)], ("users:*",), ("users:get",)),
        # Too many to be told apart
        (("a:get", "a:create"), [call("a:get"), SeenCall(False)], ("a:get", "a:create"), ()),
        (("a:get",), [], ("a:get",), ()),
    ],
)
def test_permissions(
    present: tuple[str, ...],
    calls: list[SeenCall],
    limits: tuple[str, ...],
    unused: tuple[str, ...],
) -> None:
    found = narrowed("api", Limits(present), calls)
    assert (found.limits.permissions, found.unused.permissions) == (limits, unused)


@pytest.mark.parametrize(
    ("present", "addresses", "limits", "unused"),
    [
        ((), ["203.0.113.9", "192.0.2.1"], ("192.0.2.1/32", "203.0.113.9/32"), ()),
        ((), ["2001:db8::1", "192.0.2.1"], ("192.0.2.1/32", "2001:db8::1/128"), ()),
        ((), ["2001:db8::1", "2001:db8::/64"], ("2001:db8::/64",), ()),
        (
            ("203.0.113.0/24", "198.51.100.0/24"),
            ["203.0.113.9", "192.0.2.1"],
            ("203.0.113.9/32",),
            ("198.51.100.0/24",),
        ),
        (
            ("2001:db8::7/128", "192.0.2.0/24"),
            ["2001:db8::/64"],
            ("2001:db8::7/128",),
            ("192.0.2.0/24",),
        ),
        (("203.0.113.9/32",), ["203.0.113.9"], ("203.0.113.9/32",), ()),
        # With a list, calls from an unknown address would be refused.
        ((), ["203.0.113.9", None], (), ()),
        ((), [f"10.0.0.{number}" for number in range(MOST_ADDRESSES + 1)], (), ()),
        (("203.0.113.0/24",), ["192.0.2.1"], ("203.0.113.0/24",), ()),
    ],
)
def test_networks(
    present: tuple[str, ...],
    addresses: list[str | None],
    limits: tuple[str, ...],
    unused: tuple[str, ...],
) -> None:
    calls = [call(address=address) for address in addresses]
    found = narrowed("api", Limits(("charges:get",), present), calls)
    assert (found.limits.networks, found.unused.networks) == (limits, unused)


@pytest.mark.parametrize(
    ("present", "origins", "limits", "unused"),
    [
        ((), [SHOP, OTHER], ("example.net:8443", "shop.example.com"), ()),
        (("*.example.com", "a.example"), [SHOP], ("shop.example.com",), ("a.example",)),
        # One that was too long to be kept, and one that no list could allow.
        ((), [SHOP, None], (), ()),
        ((), [SHOP, "http://shop.example.com"], (), ()),
        (
            (),
            ["http://localhost:3000", "capacitor://localhost"],
            ("capacitor://localhost", "localhost:3000"),
            (),
        ),
    ],
)
def test_domains(
    present: tuple[str, ...],
    origins: list[str | None],
    limits: tuple[str, ...],
    unused: tuple[str, ...],
) -> None:
    calls = [call(origin=origin) for origin in origins]
    found = narrowed("ui", Limits(("charges:get",), (), present), calls)
    assert (found.limits.domains, found.unused.domains) == (limits, unused)


def test_the_domain_of_an_origin() -> None:
    assert domain_of("https://shop.example.com:8443") == "shop.example.com:8443"
    assert domain_of("http://127.0.0.1:3000") == "127.0.0.1:3000"
    assert domain_of("http://192.0.2.1") is None


narrow = Limits(("a:get",), ("203.0.113.9/32",), ("shop.example.com",))


@pytest.mark.parametrize(
    ("than", "expected"),
    [
        (Limits(("a:*",)), True),
        (Limits(("a:get",), ("203.0.113.0/24",), ("*.example.com",)), True),
        (narrow, False),
        (Limits(("a:create", "b:get")), False),
        (Limits(("a:*",), ("192.0.2.0/24",)), False),
        (Limits(("a:*",), (), ("example.net",)), False),
    ],
)
def test_what_is_narrower(than: Limits, expected: bool) -> None:
    assert is_narrower(narrow, than) is expected
    assert not is_narrower(Limits(("a:get",)), narrow)


names = st.sampled_from(["charges:get", "charges:create", "refunds:get", "users:get"])
seen = st.builds(
    call,
    st.none() | names,
    st.sampled_from(["203.0.113.9", "203.0.113.10", "2001:db8::1", "2001:db8::/64"]),
    second_permission=st.none() | names,
    origin=st.sampled_from([SHOP, OTHER, "http://localhost:3000"]),
)
held = st.sampled_from(
    [("charges:*", "users:get"), ("charges:get", "refunds:get"), ("charges:*", "refunds:*")]
)


@given(
    st.sampled_from(["api", "ui"]),
    held,
    st.sampled_from([(), ("203.0.113.0/24", "2001:db8::/32")]),
    st.sampled_from([(), ("*.example.com", "localhost:3000")]),
    st.lists(seen, min_size=1, max_size=6),
)
def test_a_narrowed_token_is_allowed_what_it_was_before(
    kind: str,
    permissions: tuple[str, ...],
    networks: tuple[str, ...],
    domains: tuple[str, ...],
    calls: list[SeenCall],
) -> None:
    if kind == "api":
        domains = ()
    present = Limits(permissions, networks, domains)
    before = with_limits(kind, present)
    allowed = [
        each for each in calls if Replay(before, before, NOW).outcome(each).outcome == "allowed"
    ]
    assume(allowed)
    found = narrowed(kind, present, allowed)
    replay = Replay(before, with_limits(kind, found.limits), NOW)
    outcomes = {replay.outcome(each).outcome for each in allowed if each.permission is not None}
    assert outcomes <= {"allowed"}
    assert found.limits == present or is_narrower(found.limits, present)
    assert narrowed(kind, found.limits, allowed).limits == found.limits


def with_limits(kind: str, limits: Limits) -> Rules:
    made = rules(limits.permissions, kind=kind, domains=limits.domains)
    networks = Networks.of(map(parse_network, limits.networks)) if limits.networks else None
    return made._replace(grant=msgspec.structs.replace(made.grant, networks=networks))
