"""Explanations, held against decisions, and what they say was compared."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from gatepass.core.credentials import Credential
from gatepass.core.decision import Call, Reason, admit, decide
from gatepass.core.explanation import CHECK_OF, NAMES, Explanation, entries, explain
from gatepass.core.grants import CompanyRules, Grant, Holder, Rehearsal
from gatepass.core.networks import Networks, parse_address, parse_network
from gatepass.core.routes import CatalogueRoute
from tests.core.test_decision import build, worlds

NOW = 1_800_000_000_000
CHARGE = CatalogueRoute("POST /v1/charges", "POST", "/v1/charges", "charges:create")


def networks(*texts: str) -> Networks:
    return Networks.of(map(parse_network, texts))


@dataclass
class World:
    """One token, its owner and company; everything may be replaced."""

    grant: dict[str, Any] = field(default_factory=dict)
    holder: dict[str, Any] = field(default_factory=dict)
    company: dict[str, Any] = field(default_factory=dict)

    def explain(self, how: dict[str, Any] | None = None, **call: Any) -> Explanation:
        ordinary: dict[str, Any] = {
            "id": "gpat_0000000000000000",
            "digest": bytes(32),
            "kind": "api",
            "company": "com_1",
            "user": "usr_1",
            "label": "Till",
            "permissions": frozenset({"charges:create"}),
            "networks": None,
            "domains": (),
            "expires_at": None,
            "deactivated": False,
        }
        owner = {"id": "usr_1", "company": "com_1", "active": True, "role": "till"}
        roles = {"till": frozenset({"charges:*"})}
        rules = {"id": "com_1", "active": True, "allowlist": None, "roles": roles}
        asked = {"permission": "charges:create", **call}
        return explain(
            Grant(**(ordinary | self.grant)),
            Holder(**(owner | self.holder)),
            CompanyRules(**(rules | self.company)),
            Call(Reason.token_missing, **asked),
            NOW,
            **(how or {}),
        )


@settings(max_examples=300)
@given(worlds)
def test_an_explanation_is_the_decision(world: dict[str, Any]) -> None:
    """Whatever the facts: the check that fails is the one that refuses, and no other."""
    (grant, holder, company), attempted = build(world)
    if grant is None:
        return
    told = explain(grant, holder, company, attempted, 1_000)
    presented = msgspec.structs.replace(attempted, credential=Credential(grant.id, grant.digest))
    decision = decide(grant, holder, company, presented, 1_000)
    assert told.decision == decision
    assert [check.number for check in told.checks] == list(range(1, 11))
    outcomes = [check.outcome for check in told.checks]
    assert outcomes[:2] == ["not_applicable"] * 2
    failed = CHECK_OF.get(decision.reason, 11)
    if failed > 2:
        before = ["passed"] * (failed - 3)
        if attempted.address_garbage and failed > 6:
            before[3] = "not_applicable"
        assert outcomes[2 : failed - 1] == before
        assert outcomes[failed - 1 : failed] == ["failed"] * (failed <= 10)
    assert set(outcomes[max(failed, 2) :]) <= {"not_reached"}
    for check in told.checks:
        assert bool(check.detail) == (check.outcome != "not_reached")


def test_every_reason_has_its_check() -> None:
    assert set(CHECK_OF) == set(Reason) - {Reason.allowed}
    assert set(CHECK_OF.values()) == set(range(1, len(NAMES) + 1))


@pytest.mark.parametrize(
    ("world", "call", "number", "detail"),
    [
        ({"deactivated": True}, {}, 3, "It is deactivated for good."),
        (
            {"deactivated": True, "pending": True},
            {},
            3,
            "It waits for the approval of a second person.",
        ),
        (
            {"deactivated": True, "rehearsal": Rehearsal(NOW, NOW + 1_000, 100)},
            {},
            3,
            "A rehearsal of its deactivation refuses 100 % of its calls until "
            "2027-01-15 08:00:01 UTC, and this one.",
        ),
        (
            {"expires_at": NOW},
            {},
            4,
            "It expired on 2027-01-15 08:00:00 UTC; the call is on 2027-01-15 08:00:00 UTC.",
        ),
        (
            {"networks": networks("203.0.113.0/24")},
            {"address": parse_address("192.0.2.9")},
            7,
            "192.0.2.9 is not in 203.0.113.0/24.",
        ),
        (
            {"networks": networks("203.0.113.0/24", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32")},
            {"address": parse_address("192.0.2.9")},
            7,
            "192.0.2.9 is in none of the token's networks: 10.0.0.0/8, 203.0.113.0/24, "
            "2001:db8::/32.",
        ),
        (
            {"networks": Networks()},
            {"address": parse_address("::1")},
            7,
            "::1 is not in the token's networks: the list is empty.",
        ),
        (
            {"networks": networks("203.0.113.0/24")},
            {},
            7,
            "The call has no address that can be read, so it isn't in the token's networks.",
        ),
        ({}, {"address_garbage": True}, 7, "The address that was forwarded can't be read."),
        (
            {"kind": "ui"},
            {},
            8,
            "The call has neither Origin nor Referer; a token for UI access needs one.",
        ),
        ({"kind": "ui"}, {"origin": "null"}, 8, "The call's origin can't be read, or is “null”."),
        (
            {"kind": "ui", "domains": ("shop.example.com",)},
            {"referer": "https://evil.example/pay"},
            8,
            "https://evil.example doesn't match shop.example.com.",
        ),
        (
            {"kind": "ui", "domains": ("a.example", "b.example", "c.example", "*.d.example")},
            {"origin": "https://d.example"},
            8,
            "https://d.example matches none of the token's domains: a.example, b.example, "
            "c.example and others.",
        ),
        (
            {},
            {"route": Reason.path_ambiguous},
            9,
            "Two servers could read the path differently.",
        ),
        (
            {},
            {"route": Reason.route_unknown},
            9,
            "No route of the catalogue matches the method and path.",
        ),
        (
            {"permissions": frozenset({"charges:get"})},
            {"route": CHARGE},
            10,
            "The token lacks charges:create. It holds charges:get.",
        ),
        (
            {"permissions": frozenset({"refunds:get", "a:b", "c:d", "e:f"})},
            {"permission": "refunds:create"},
            10,
            "Token and owner's role lack refunds:create. It holds a:b, c:d, e:f and 1 more.",
        ),
        (
            {"permissions": frozenset({"refunds:*"})},
            {"permission": "refunds:create"},
            10,
            "The token has refunds:create, but its owner's role lacks it.",
        ),
        (
            {"permissions": frozenset({"users:*"})},
            {"permission": "users:manage"},
            10,
            "No access token can do users:manage.",
        ),
        (
            {},
            {"permission": None},
            10,
            "The call asks for no permission, so there is nothing to allow.",
        ),
    ],
)
def test_what_was_compared(
    world: dict[str, Any], call: dict[str, Any], number: int, detail: str
) -> None:
    told = World(world).explain(**call)
    assert told.failed == number
    assert (told.checks[number - 1].outcome, told.checks[number - 1].detail) == ("failed", detail)


def test_what_was_compared_of_owner_and_company() -> None:
    def told(world: World) -> str:
        return world.explain().checks[4].detail

    assert told(World()) == "Its owner and company are active."
    assert told(World(holder={"active": False})) == "Its owner is deactivated."
    assert told(World(company={"active": False})) == "Its company is deactivated."
    assert told(World(holder={"id": "usr_2"})) == "Its owner isn't known."
    assert told(World(company={"id": "com_2"})) == "Its company isn't known."


def test_the_allowlist_is_named_to_those_who_may_see_it() -> None:
    world = World(company={"allowlist": networks("203.0.113.0/24", "198.51.100.0/24")})

    def told(address: str | None, **how: Any) -> str:
        packed = None if address is None else parse_address(address)
        return world.explain(how, address=packed).checks[5].detail

    hidden = {"name_allowlist": False}
    assert told("203.0.113.9") == "203.0.113.9 is in 203.0.113.0/24."
    assert told("192.0.2.9").endswith(
        "none of the company's allowlist: 198.51.100.0/24, 203.0.113.0/24."
    )
    assert told("203.0.113.9", **hidden) == "203.0.113.9 is in the company's allowlist."
    assert told("192.0.2.9", **hidden) == "192.0.2.9 is not in the company's allowlist."
    assert "so it isn't in the company's allowlist" in told(None, **hidden)


def test_what_passes_says_why() -> None:
    world = World({"kind": "ui", "domains": ("shop.example.com",), "expires_at": NOW + 1_000})
    told = world.explain(origin="https://shop.example.com", route=CHARGE)
    assert told.decision.allowed
    assert told.failed is None
    assert [check.detail for check in told.checks[2:]] == [
        "It is neither deactivated nor pending.",
        "It expires on 2027-01-15 08:00:01 UTC; the call is on 2027-01-15 08:00:00 UTC.",
        "Its owner and company are active.",
        "The company has no allowlist: any address may reach it.",
        "The token has no networks: any address may use it.",
        "https://shop.example.com matches one of the token's domains.",
        "It matches POST /v1/charges.",
        "The token and its owner's role hold charges:create.",
    ]


def test_calls_to_the_control_plane_end_before_routes_and_permissions() -> None:
    told = World().explain({"rule": admit}, permission=None)
    assert told.decision.allowed
    assert [check.outcome for check in told.checks[7:]] == ["passed", *["not_applicable"] * 2]
    refused = World(holder={"active": False}).explain({"rule": admit}, permission=None)
    assert (refused.failed, refused.checks[9].outcome) == (5, "not_reached")


@pytest.mark.parametrize(
    "listed",
    [[], ["0.0.0.0/1"], ["10.0.0.0/8", "10.9.0.0/16", "192.0.2.9"], ["::/1", "2001:db8::1"]],
)
def test_merged_intervals_are_networks(listed: list[str]) -> None:
    found = networks(*listed)
    assert Networks.of(entries(found)) == found
    assert {str(each) for each in entries(found)} <= {str(parse_network(one)) for one in listed}


def test_an_exception_counts_until_it_ends() -> None:
    world = World(
        grant={"permissions": frozenset({"charges:get"}), "exceptions": {"charges:create": NOW + 1}}
    )
    allowed = world.explain()
    assert allowed.decision.allowed
    assert allowed.checks[9].detail == (
        "The token, by an exception until 2027-01-15 08:00:00 UTC, and its owner's role hold "
        "charges:create."
    )
    world.grant["exceptions"] = {"charges:create": NOW}
    assert (
        world.explain().checks[9].detail == "The token lacks charges:create. It holds charges:get."
    )
