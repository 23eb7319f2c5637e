"""Replaying calls under changed rules."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.credentials import Credential
from gatepass.core.decision import Call, Reason, decide
from gatepass.core.grants import CompanyRules, Grant, Holder, Rehearsal
from gatepass.core.networks import Networks, parse_address, parse_network
from gatepass.core.replay import Replay, Rules, SeenCall

NOW = 1_800_000_000_000
SHOP = "https://shop.example.com"


def networks(*texts: str) -> Networks:
    return Networks.of(map(parse_network, texts))


def rules(
    permissions: tuple[str, ...] = ("charges:get", "refunds:create"),
    role: tuple[str, ...] = ("*",),
    allowlist: Networks | None = None,
    active: bool = True,
    **grant: Any,
) -> Rules:
    ordinary: dict[str, Any] = {
        "id": "gpat_0000000000000001",
        "digest": bytes(32),
        "kind": "api",
        "company": "com_1",
        "user": "usr_1",
        "label": "Settlement",
        "permissions": frozenset(permissions),
        "networks": None,
        "domains": (),
        "expires_at": None,
        "deactivated": False,
    }
    return Rules(
        Grant(**(ordinary | grant)),
        Holder("usr_1", "com_1", active, "desk"),
        CompanyRules("com_1", True, allowlist, {"desk": frozenset(role)}),
    )


def seen(permission: str | None = "charges:get", **more: Any) -> SeenCall:
    return SeenCall(True, permission, **more)


WIDE = rules()
OFFICE: dict[str, Any] = {"networks": networks("203.0.113.0/24")}
V6 = "2001:db8:1:2::/64"
UI: dict[str, Any] = {"kind": "ui"}


@pytest.mark.parametrize(
    ("before", "after", "call", "expected"),
    [
        (WIDE, WIDE, seen(), ("allowed", None)),
        # Permissions: by name, by the route, or both.
        (WIDE, rules(("refunds:create",)), seen(), ("refused", "permission_missing")),
        (
            WIDE,
            rules(("refunds:create",)),
            seen("charges:get", route="/v1/charges/{id}", method="GET"),
            ("refused", "permission_missing"),
        ),
        (
            WIDE,
            rules(("refunds:create",)),
            seen("refunds:create", second_permission="charges:get"),
            ("refused", "permission_missing"),
        ),
        (WIDE, rules(role=("refunds:*",)), seen(), ("refused", "permission_missing")),
        (WIDE, rules(role=("charges:*",)), seen(), ("allowed", None)),
        # Addresses, of the token's list and of the company's.
        (WIDE, rules(**OFFICE), seen(address="203.0.113.9"), ("allowed", None)),
        (WIDE, rules(**OFFICE), seen(address="192.0.2.1"), ("refused", "address_not_allowed")),
        (WIDE, rules(**OFFICE), seen(), ("refused", "address_not_allowed")),
        (
            WIDE,
            rules(allowlist=networks("203.0.113.0/24")),
            seen(address="192.0.2.1"),
            ("refused", "company_address_not_allowed"),
        ),
        # Origins; of a token for API they aren't looked at.
        (WIDE, rules(domains=("a.example",)), seen(origin=SHOP), ("allowed", None)),
        (
            rules(**UI),
            rules(**UI, domains=("a.example",)),
            seen(origin=SHOP),
            ("refused", "origin_not_allowed"),
        ),
        (
            rules(**UI),
            rules(**UI, domains=("*.example.com",)),
            seen(origin=SHOP),
            ("allowed", None),
        ),
        # Rules that were changed since the call refuse it already.
        (rules(("refunds:create",)), rules(("refunds:create",)), seen(), ("refused before", None)),
        (rules(active=False), rules(("refunds:create",)), seen(), ("refused before", None)),
        (rules(expires_at=NOW), rules(), seen(), ("refused before", None)),
        (WIDE, rules(expires_at=NOW + 1), seen(), ("allowed", None)),
        # A rehearsal lasts minutes.
        (
            rules(deactivated=True, rehearsal=Rehearsal(NOW - 9, NOW + 9, 100)),
            rules(deactivated=True, rehearsal=Rehearsal(NOW - 9, NOW + 9, 100)),
            seen(),
            ("allowed", None),
        ),
        # A /64: a list that has all of it, or nothing, is no question.
        (WIDE, rules(networks=networks("2001:db8::/32")), seen(address=V6), ("allowed", None)),
        (WIDE, rules(**OFFICE), seen(address=V6), ("refused", "address_not_allowed")),
        (WIDE, rules(networks=networks("2001:db8:1:2::7")), seen(address=V6), ("unknown", None)),
        (
            rules(networks=networks("2001:db8:1:2::7")),
            rules(("charges:get",), networks=networks("2001:db8:1:2::7")),
            seen(address=V6),
            ("allowed", None),
        ),
        # A part that isn't known is no excuse for another that is refused.
        (
            WIDE,
            rules(("refunds:create",), networks=networks("2001:db8:1:2::7")),
            seen(address=V6),
            ("refused", "permission_missing"),
        ),
        # An origin that was too long to be kept.
        (rules(**UI), rules(**UI, domains=("a.example",)), seen(), ("unknown", None)),
        (rules(**UI), rules(("charges:get",), **UI), seen(), ("allowed", None)),
        (
            rules(**UI, domains=("a.example",)),
            rules(**UI, domains=("a.example", "b.example")),
            seen(),
            ("allowed", None),
        ),
        # Gatepass's own API doesn't say what a call needed.
        (WIDE, rules(("charges:get",)), seen(None), ("unknown", None)),
        (WIDE, rules(**OFFICE), seen(None, address="203.0.113.9"), ("allowed", None)),
        (WIDE, rules(**OFFICE), seen(None), ("refused", "address_not_allowed")),
        # Too many to be told apart: unknown, as soon as anything is restricted.
        (WIDE, WIDE, SeenCall(False), ("allowed", None)),
        (WIDE, rules(("charges:get",)), SeenCall(False), ("unknown", None)),
        (WIDE, rules(**OFFICE), SeenCall(False), ("unknown", None)),
        (rules(**OFFICE), WIDE, SeenCall(False), ("allowed", None)),
        (WIDE, rules(deactivated=True), SeenCall(False), ("refused", "token_deactivated")),
    ],
)
def test_what_becomes_of_a_call(
    before: Rules, after: Rules, call: SeenCall, expected: tuple[str, str | None]
) -> None:
    outcome, reason = Replay(before, after, NOW).outcome(call)
    assert (outcome, None if reason is None else reason.value) == expected


addresses = st.sampled_from(["203.0.113.9", "192.0.2.1", "2001:db8::1", None])
lists = st.sampled_from([None, networks("203.0.113.0/24"), networks("2001:db8::/64", "192.0.2.1")])
names = st.sampled_from(["charges:get", "refunds:create", "refunds:get"])
sides = st.builds(
    rules,
    st.sampled_from([("charges:*",), ("charges:get", "refunds:create"), ("refunds:*",)]),
    st.sampled_from([("*",), ("charges:*", "refunds:get")]),
    lists,
    networks=lists,
    kind=st.sampled_from(["api", "ui"]),
    domains=st.sampled_from([(), ("shop.example.com",), ("*.example.com",)]),
)


@given(
    sides,
    sides,
    names,
    addresses,
    st.sampled_from([SHOP, "https://example.net"]),
)
def test_a_call_of_which_all_is_kept_is_decided_as_it_would_be(
    before: Rules, after: Rules, name: str, address: str | None, origin: str
) -> None:
    after = after._replace(grant=msgspec.structs.replace(after.grant, kind=before.grant.kind))
    kept = SeenCall(True, name, address=address, origin=origin)
    call = Call(
        Credential(before.grant.id, before.grant.digest),
        name,
        address=parse_address(address),
        origin=origin,
    )
    one, other = (decide(*side, call, NOW).reason for side in (before, after))
    found = Replay(before, after, NOW).outcome(kept)
    if one is not Reason.allowed:
        assert found == ("refused before", None)
    elif other is Reason.allowed:
        assert found == ("allowed", None)
    else:
        assert found == ("refused", other)
